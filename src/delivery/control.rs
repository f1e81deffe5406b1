//! How others reach the delivery loop of a sink: a bounded queue of commands, each with the way of
//! its answer.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, oneshot};

use crate::event::Event;
use crate::journal::{self, JournalError};
use crate::sinks::Verdict;
use crate::sync::{read, write};

/// Commands that wait for a loop at most; whoever sends another one waits.
const MAX_COMMANDS: usize = 16;

/// Reaches the delivery loop of a sink. Clones reach the same one.
#[derive(Clone, Debug)]
pub struct SinkControl(mpsc::Sender<SinkCommand>);

/// Why a loop did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SinkControlError {
    /// The loop has ended, or ends: the daemon stops, or the sink is replaced.
    #[error("the sink is stopping")]
    Gone,
    /// The journal could not be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What a sink said to a delivery that was a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestOutcome {
    /// Its verdict, from which nothing follows.
    pub verdict: Verdict,
    /// How long it took.
    pub took: Duration,
}

/// What came of the deliveries that were asked for, up to the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryOutcome {
    /// Since when the sink is paused: nothing was tried then.
    pub paused_since: Option<DateTime<Utc>>,
    /// Events that it took.
    pub delivered: u64,
    /// Events that became dead letters.
    pub dead: u64,
    /// Failed deliveries.
    pub failed: u64,
    /// What the last failure or rejection was.
    pub error: Option<String>,
    /// Events that wait for it still.
    pub pending: u64,
    /// Whether each event that waited was tried, or the sink is down; otherwise deliveries go on.
    pub is_over: bool,
}

/// What a loop is asked.
#[derive(Debug)]
pub(super) enum SinkCommand {
    Test(SinkTest),
    Retry(RetryRequest),
    SetPaused(PauseRequest),
}

/// One delivery from which nothing follows.
#[derive(Debug)]
pub(super) struct SinkTest {
    pub(super) event: Arc<Event>,
    pub(super) answer: oneshot::Sender<TestOutcome>,
}

#[derive(Debug)]
pub(super) struct RetryRequest {
    pub(super) accept_rejects: bool,
    pub(super) answer: oneshot::Sender<journal::Result<RetryOutcome>>,
}

#[derive(Debug)]
pub(super) struct PauseRequest {
    pub(super) since: Option<DateTime<Utc>>,
    pub(super) answer: oneshot::Sender<journal::Result<Option<DateTime<Utc>>>>,
}

impl SinkControl {
    pub(super) fn new() -> (Self, mpsc::Receiver<SinkCommand>) {
        let (commands, received) = mpsc::channel(MAX_COMMANDS);
        (Self(commands), received)
    }

    /// Delivers an event as a test, whether the sink is up, down or paused: nothing is recorded of it.
    /// Waits as long as the sink takes.
    ///
    /// # Errors
    /// When the loop ends first.
    pub async fn test(&self, event: Arc<Event>) -> Result<TestOutcome, SinkControlError> {
        self.ask(|answer| SinkCommand::Test(SinkTest { event, answer })).await
    }

    /// Delivers what waits now: failed events are due, and a sink that is down is probed. Answers when
    /// each was tried, the sink is down, or 15 s have passed. With `accept_rejects` rejections of what
    /// waits prove these events to be bad.
    ///
    /// # Errors
    /// When the loop ends first; with `accept_rejects` when the journal cannot be written: nothing has
    /// changed then.
    pub async fn retry(&self, accept_rejects: bool) -> Result<RetryOutcome, SinkControlError> {
        let retry = |answer| SinkCommand::Retry(RetryRequest { accept_rejects, answer });
        Ok(self.ask(retry).await??)
    }

    /// Pauses deliveries `since` then, or resumes them (`None`), over restarts. Returns since when they
    /// were paused before: that time stays.
    ///
    /// # Errors
    /// When the loop ends first, or the journal cannot be written; in that case nothing has changed.
    pub async fn set_paused(
        &self,
        since: Option<DateTime<Utc>>,
    ) -> Result<Option<DateTime<Utc>>, SinkControlError> {
        let pause = |answer| SinkCommand::SetPaused(PauseRequest { since, answer });
        Ok(self.ask(pause).await??)
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> SinkCommand,
    ) -> Result<T, SinkControlError> {
        let (answer, answered) = oneshot::channel();
        self.0.send(command(answer)).await.map_err(|_| SinkControlError::Gone)?;
        answered.await.map_err(|_| SinkControlError::Gone)
    }
}

/// The loops of the sinks in use, by name. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct SinkControls(Arc<RwLock<BTreeMap<String, SinkControl>>>);

impl SinkControls {
    /// Returns the loop of a sink; `None` if it is not in use.
    pub fn of(&self, sink: &str) -> Option<SinkControl> {
        read(&self.0).get(sink).cloned()
    }

    /// Returns the names of the sinks in use.
    pub fn names(&self) -> Vec<String> {
        read(&self.0).keys().cloned().collect()
    }

    /// Has commands reach this loop, in the place of the one that it replaces.
    pub fn set(&self, sink: &str, control: SinkControl) {
        write(&self.0).insert(sink.to_owned(), control);
    }

    /// Removes a sink that is not in use any more.
    pub fn forget(&self, sink: &str) {
        write(&self.0).remove(sink);
    }
}
