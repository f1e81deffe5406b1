//! What commands ask of a sink, beside how it is.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{SubsecRound, Utc};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::config::nearest;
use crate::control::{ControlRefusal, PauseReport, RefusalKind, SinkTestReport, TestVerdict};
use crate::delivery::{RetryOutcome, SinkControl, SinkControlError, SinkControls, TestOutcome};
use crate::event::{AppId, Event, test_event};
use crate::journal::{EventRow, Journal, JournalReader};
use crate::sinks::Verdict;

/// How long a test is waited for, with what is in flight before it.
const TEST_TIMEOUT: Duration = Duration::from_secs(590);

/// Tests at once at most: half of the connections that commands have, whatever sinks hang.
const MAX_TESTS: usize = 8;

/// The sinks, as commands reach them. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct SinkCommands {
    controls: SinkControls,
    journal: Journal,
    /// Where it is, for events that are stored.
    path: PathBuf,
    /// The application whose event a sample is.
    app: AppId,
    /// Places for tests.
    tests: Arc<Semaphore>,
}

impl SinkCommands {
    /// Commands for the sinks of `controls`, beside the journal at `path`.
    pub(super) fn new(controls: SinkControls, journal: Journal, path: PathBuf, app: AppId) -> Self {
        Self { controls, journal, path, app, tests: Arc::new(Semaphore::new(MAX_TESTS)) }
    }

    /// Delivers an event as a test: the stored one whose key begins so, or a sample.
    pub(super) async fn test(
        &self,
        sink: String,
        key: Option<String>,
    ) -> Result<SinkTestReport, ControlRefusal> {
        let control = self.control(&sink)?;
        let _place = self.tests.try_acquire().map_err(|_| {
            let why = format!("{MAX_TESTS} tests are under way: try again");
            ControlRefusal::new(RefusalKind::Failed, why)
        })?;
        let is_sample = key.is_none();
        let event = match key {
            Some(key) => self.stored(key).await?,
            None => test_event(self.app, "A test of a sink, by `sprited sinks test`", Utc::now()),
        };
        let (key, event_type) = (event.key.to_string(), event.event_type.clone());
        let tested = timeout(TEST_TIMEOUT, control.test(event)).await.map_err(|_| {
            let why = format!("the sink has not answered within {} s", TEST_TIMEOUT.as_secs());
            ControlRefusal::new(RefusalKind::Failed, why)
        })?;
        let TestOutcome { verdict, took } = tested.map_err(refusal)?;
        let (verdict, error, after) = match verdict {
            Verdict::Delivered => (TestVerdict::Delivered, None, None),
            Verdict::Retry { error, after, .. } => (TestVerdict::Retry, Some(error), after),
            Verdict::Reject(error) => (TestVerdict::Reject, Some(error), None),
        };
        Ok(SinkTestReport {
            sink,
            event: key,
            event_type,
            is_sample,
            verdict,
            error,
            retry_after_seconds: after.as_ref().map(Duration::as_secs),
            milliseconds: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        })
    }

    pub(super) async fn retry(
        &self,
        sink: &str,
        accept_rejects: bool,
    ) -> Result<RetryOutcome, ControlRefusal> {
        self.control(sink)?.retry(accept_rejects).await.map_err(refusal)
    }

    pub(super) async fn set_paused(
        &self,
        sink: &str,
        pause: bool,
    ) -> Result<PauseReport, ControlRefusal> {
        // As exact as the journal keeps it.
        let wanted = pause.then(|| Utc::now().trunc_subsecs(3));
        let before = match self.control(sink) {
            Ok(control) => control.set_paused(wanted).await.map_err(refusal)?,
            // It was paused before it was removed from the configuration.
            Err(unknown) if !pause => {
                let resumed = self.journal.resume_sink_named(sink.to_owned()).await;
                Some(resumed.map_err(|error| refusal(error.into()))?.ok_or(unknown)?)
            }
            Err(unknown) => return Err(unknown),
        };
        Ok(PauseReport::of(wanted, before))
    }

    fn control(&self, sink: &str) -> Result<SinkControl, ControlRefusal> {
        self.controls.of(sink).ok_or_else(|| {
            let names = self.controls.names();
            let advice = match nearest(sink, names.iter().map(String::as_str)) {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => format!("the daemon has {}", names.join(", ")),
            };
            let why = format!("unknown sink {sink:?}; {advice}");
            ControlRefusal::new(RefusalKind::UnknownSink, why)
        })
    }

    async fn stored(&self, key: String) -> Result<Arc<Event>, ControlRefusal> {
        let path = self.path.clone();
        let find = move || {
            let failed = |error: &dyn std::error::Error| {
                let why = format!("the journal cannot be read: {error}");
                ControlRefusal::new(RefusalKind::Failed, why)
            };
            let reader = JournalReader::open(&path).map_err(|error| failed(&error))?;
            let keys = reader.keys(&key.to_ascii_lowercase()).map_err(|error| failed(&error))?;
            let unknown = |why: String| ControlRefusal::new(RefusalKind::UnknownEvent, why);
            let found = match keys[..] {
                [only] => reader.find(only).map_err(|error| failed(&error))?,
                [] => None,
                _ => {
                    let keys: Vec<_> = keys.iter().map(ToString::to_string).collect();
                    let why = format!("more than one key begins with {key}: {}", keys.join(", "));
                    return Err(unknown(why));
                }
            };
            match found {
                None => {
                    Err(unknown(format!("the journal has no event whose key begins with {key}")))
                }
                Some(EventRow { is_pruned: true, .. }) => {
                    Err(unknown(format!("the body of the event {key} was pruned for space")))
                }
                Some(found) => Ok(Arc::new(found.event)),
            }
        };
        let found = spawn_blocking(find).await;
        found.map_err(|error| ControlRefusal::new(RefusalKind::Failed, error.to_string()))?
    }
}

fn refusal(error: SinkControlError) -> ControlRefusal {
    match error {
        SinkControlError::Gone => {
            ControlRefusal::new(RefusalKind::Stopping, "the sink stops, or is replaced: try again")
        }
        SinkControlError::Journal(error) => {
            ControlRefusal::new(RefusalKind::Failed, format!("nothing was changed: {error}"))
        }
    }
}
