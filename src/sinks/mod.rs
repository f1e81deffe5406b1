//! The destinations of events.
//!
//! Owns the [`Sink`] trait and the list of its kinds. A sink reports what happened and decides
//! nothing: concurrency, retries and time belong to the delivery loop. A new sink is one new file (or folder) beside this one and one line in [`KINDS`].

pub mod exec;
pub mod jsonl;
pub mod mirror;
pub mod stdout;
pub mod webhook;

mod kind;
mod output;
mod ownership;
mod warnings;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::event::{AppId, Event, EventFormat, Key, MirrorResult};

pub use kind::{KINDS, Plan, SinkKind};
pub use output::{OutputPath, OutputTarget, SinkOutput};
pub use ownership::FileMode;

/// Characters of a target's own words in an error, at most.
const MAX_REPLY_CHARS: usize = 200;

/// Where events go. May be called concurrently up to `limits().max_in_flight`; the delivery
/// loop owns concurrency, retries and time. A sink reports what happened and decides nothing.
#[async_trait]
pub trait Sink: Send + Sync + fmt::Debug {
    /// Prepares for the batch that is offered next. A checkpoint that it returns is recorded before
    /// the delivery: what the target will hold is then known as the sink's own, wherever a crash
    /// comes. Failures are for `deliver` to report.
    async fn prepare(&self, batch: &Batch) -> Option<String> {
        let _ = batch;
        None
    }

    /// Offers a batch to the target. One verdict per event by construction. Never cancelled
    /// from outside while the daemon runs: a sink that can hang enforces its own `timeout`. At
    /// the end of the time for stopping the future is dropped; a child process must then die.
    async fn deliver(&self, batch: &Batch) -> Verdicts;

    /// How much it takes at once. Constant for the life of the sink.
    fn limits(&self) -> BatchLimits;

    /// At start, before the first `deliver`: which of these pending events does the target
    /// already hold? Called several times, each with a part of what is pending, the last time
    /// with nothing; `since` is the last checkpoint that was recorded, `None` before the first.
    ///
    /// # Errors
    /// When the target cannot be read; nothing is delivered to it until it can.
    async fn recover(&self, since: Option<&str>, pending: &[Key]) -> anyhow::Result<HeldEvents> {
        let (_, _) = (since, pending);
        Ok(HeldEvents::default())
    }

    /// Opens its target again, on SIGHUP.
    ///
    /// # Errors
    /// When that fails; the sink then goes on with what it had.
    async fn reopen(&self) -> anyhow::Result<()> {
        Ok(())
    }

    /// Cancelled when the target is gone for as long as this process lives: no delivery can succeed
    /// any more. `None` of a sink whose target may always come back.
    fn gone(&self) -> Option<CancellationToken> {
        None
    }

    /// The places that it gets something from and that are down, those that have been down for
    /// longest first.
    fn sources_down(&self) -> Vec<SourceOutage> {
        Vec::new()
    }

    /// Ends at once whatever the sink has running outside of this process. For right before an end
    /// of the process that drops no values; nothing is delivered after it. Blocks for up to a
    /// second.
    fn abort(&self) {}

    /// Whether [`Sink::probe`] asks this machine alone: what it finds is then a mistake in the
    /// settings rather than an outage of the target.
    fn is_local(&self) -> bool {
        false
    }

    /// Checks whether the target would take an event, by something close to real use that leaves
    /// no trace of an event. For `sprited check`.
    ///
    /// # Errors
    /// What is wrong and what to do about it.
    async fn probe(&self) -> anyhow::Result<()>;

    /// What an operator should know of the target although it would take events: a sentence for
    /// each. Asked after a good [`Sink::probe`].
    async fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What a sink holds of what it was asked for.
#[derive(Clone, Debug, Default)]
pub struct HeldEvents {
    /// The keys of the events that it holds.
    pub keys: Vec<Key>,
    /// Whether it got them after the checkpoint that it was asked with. Otherwise some may be of
    /// long ago, which says nothing about an event that is to be delivered anew.
    pub is_since: bool,
    /// How far its target has come: recorded when all that is pending was asked for.
    pub checkpoint: Option<String>,
}

/// How much a sink takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Events in one call of `deliver`; at least 1.
    pub max_batch: usize,
    /// Calls of `deliver` at once; at least 1.
    pub max_in_flight: usize,
}

/// Events for one call of [`Sink::deliver`], at least one.
#[derive(Clone, Debug)]
pub struct Batch {
    events: Vec<Arc<Event>>,
}

impl Batch {
    /// A batch of these events, in this order.
    #[must_use]
    pub fn new(events: Vec<Arc<Event>>) -> Self {
        Self { events }
    }

    /// Its events, in order.
    pub fn events(&self) -> &[Arc<Event>] {
        &self.events
    }

    /// The same verdict for every event.
    pub fn all(&self, verdict: &Verdict) -> Verdicts {
        Verdicts::new(vec![verdict.clone(); self.events.len()])
    }

    /// Delivers one event after the other, for a target that takes each by itself.
    pub async fn one_by_one<F: Future<Output = Verdict>>(
        &self,
        mut deliver: impl FnMut(Arc<Event>) -> F,
    ) -> Verdicts {
        let mut each = Vec::with_capacity(self.events.len());
        for event in &self.events {
            each.push(deliver(Arc::clone(event)).await);
        }
        Verdicts::new(each)
    }

    /// A verdict for each event, in order.
    pub fn each(&self, verdict: impl FnMut(&Arc<Event>) -> Verdict) -> Verdicts {
        Verdicts::new(self.events.iter().map(verdict).collect())
    }
}

/// What became of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The target has it, as safely as the target can hold it.
    Delivered,
    /// Not now: to be offered again.
    Retry {
        /// What happened, in words for the operator. Holds no secret.
        error: String,
        /// The least time to wait, if the target named one.
        after: Option<Duration>,
        /// What it is that fails.
        fault: Fault,
    },
    /// Never: the event becomes a dead letter of this sink, unless that rejects every other as
    /// well. In words for the operator.
    Reject(String),
}

impl Verdict {
    /// To be offered again, whenever that suits.
    pub(crate) fn retry(error: impl Into<String>) -> Self {
        Self::Retry { error: error.into(), after: None, fault: Fault::Target }
    }
}

/// What fails when a delivery does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The sink's target, or the event: other events that fail as well show which.
    Target,
    /// A place that the event names, where the sink gets something: its outage says nothing of the
    /// sink and holds up no event that has nothing to do with it.
    Source {
        /// Whether others fail there as well. While it is down no time counts towards giving up.
        is_down: bool,
    },
}

/// A place that a sink gets something from and that is down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceOutage {
    /// Its host, and its port where that is no usual one.
    pub host: String,
    /// When it went down.
    pub since: DateTime<Utc>,
    /// What the last try failed with. Holds no secret.
    pub error: String,
}

/// One verdict per event of a batch: made by [`Batch`] only.
#[derive(Clone, Debug)]
pub struct Verdicts {
    each: Vec<Verdict>,
    checkpoint: Option<String>,
    mirrored: Vec<Vec<MirrorResult>>,
}

impl Verdicts {
    fn new(each: Vec<Verdict>) -> Self {
        Self { each, checkpoint: None, mirrored: Vec::new() }
    }

    /// Adds what a mirror made of the image sprites of each event, in the order of the batch: one
    /// result for each sprite, in the order of the event, whatever the verdict. The sinks that come
    /// after it get that with the event.
    #[must_use]
    pub fn with_mirrored(mut self, mirrored: Vec<Vec<MirrorResult>>) -> Self {
        self.mirrored = mirrored;
        self
    }

    /// Takes out what a mirror made of the image sprites of each event; empty of other sinks.
    pub fn take_mirrored(&mut self) -> Vec<Vec<MirrorResult>> {
        std::mem::take(&mut self.mirrored)
    }

    /// Adds the sink's checkpoint: how far its target has come (a file and an offset, say). It
    /// is recorded with the verdicts and handed to [`Sink::recover`] at the next start.
    #[must_use]
    pub fn with_checkpoint(mut self, checkpoint: String) -> Self {
        self.checkpoint = Some(checkpoint);
        self
    }

    /// Returns the verdicts in the order of the batch, and the checkpoint.
    #[must_use]
    pub fn into_parts(self) -> (Vec<Verdict>, Option<String>) {
        (self.each, self.checkpoint)
    }
}

/// What every sink is opened with, beside its own settings.
#[derive(Clone, Debug)]
pub struct SinkContext {
    /// The sink's name in the configuration.
    pub name: String,
    /// The first application whose events it gets: a line in the format `callback` names its event
    /// only together with that, or else says which it is.
    pub app: AppId,
    /// How events are written for it.
    pub format: EventFormat,
    /// The longest one delivery may take, for sinks that can hang.
    pub timeout: Duration,
    /// The files that other sinks write to.
    pub others: Vec<PathBuf>,
    /// The program of sprited itself, which a sink that starts programs starts them through:
    /// [`exec::launcher::SELF`] in a process of it.
    pub launcher: PathBuf,
}
