//! A call of ConfirmEvents, and what the journal knows of it before and after.

use std::time::Duration;

use chrono::Utc;
use tokio::time::Instant;

use super::calls::Call;
use super::waiting::Ready;
use crate::journal::{self, Journal, Noted, Sending};
use crate::retry::Backoff;
use crate::vod::{Client, Error};

/// Between tries to write to the journal.
const JOURNAL: Backoff = Backoff { base: Duration::from_millis(200), max: Duration::from_secs(5) };

/// A call that is over.
#[derive(Debug)]
pub(super) struct Asked {
    /// The place of the application.
    pub(super) place: usize,
    pub(super) sent: Instant,
    /// The call, as it was made.
    pub(super) call: Call,
    /// Handles that were taken out of it: others count for their events.
    pub(super) superseded: Vec<Ready>,
    pub(super) ended: Ended,
}

/// How a call ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// The cloud took every handle.
    Taken,
    /// It did not, or nobody knows.
    Failed(Error),
    /// A handle lapsed before there was an answer.
    Lapsed,
    /// There was no handle to send.
    Unsent,
}

/// Makes a call, and notes in the journal what the cloud took back.
pub(super) async fn confirm(
    place: usize,
    client: Client,
    journal: Journal,
    sent: Instant,
    mut call: Call,
) -> Asked {
    let mut superseded = Vec::new();
    let ended = match call.deadline() {
        Some(deadline) => {
            ask(&client, &journal, &mut call.handles, &mut superseded, deadline).await
        }
        None => Ended::Unsent,
    };
    Asked { place, sent, call, superseded, ended }
}

/// Asks the cloud to take handles back, until the first deadline: it may have to wait for the
/// journal, for credentials, or be signed once more. Where events under the handles may repeat, the
/// journal knows first: it has the last word on which handle counts, and a kill may come between
/// the call and the record of its success. What certainly was not taken is open again, unless an
/// earlier call had left that open.
async fn ask(
    client: &Client,
    journal: &Journal,
    handles: &mut Vec<Ready>,
    superseded: &mut Vec<Ready>,
    deadline: Instant,
) -> Ended {
    let noted = async {
        // What is confirmed must be in a journal that the next start finds.
        insist(|| journal.in_place()).await;
        note(journal, handles, superseded).await
    };
    let Ok(closed) = tokio::time::timeout_at(deadline, noted).await else { return Ended::Lapsed };
    if handles.is_empty() {
        return Ended::Unsent;
    }
    let texts: Vec<&str> = handles.iter().map(|ready| &*ready.handle.text).collect();
    match tokio::time::timeout_at(deadline, client.confirm(&texts)).await {
        Ok(Ok(())) => {
            let events: Vec<_> = handles.iter().flat_map(|ready| ready.events.clone()).collect();
            insist(|| journal.confirmed(events.clone(), Utc::now())).await;
            Ended::Taken
        }
        Ok(Err(error)) => {
            if error.had_no_effect() && !closed.is_empty() {
                insist(|| journal.not_taken(closed.clone())).await;
            }
            Ended::Failed(error)
        }
        Err(_) => Ended::Lapsed,
    }
}

/// Notes that the handles are about to be sent, and takes out those that do not count any more.
/// Returns the occurrences that were open until now.
async fn note(
    journal: &Journal,
    handles: &mut Vec<Ready>,
    superseded: &mut Vec<Ready>,
) -> Vec<journal::EventId> {
    let sending =
        |ready: &Ready| Sending { handle: ready.handle.text.clone(), events: ready.events.clone() };
    let repeatable = handles.iter().filter(|ready| ready.is_repeatable);
    let sending: Vec<_> = repeatable.map(sending).collect();
    if sending.is_empty() {
        return Vec::new();
    }
    let noted = insist(|| journal.sending(sending.clone())).await;
    let mut closed = Vec::new();
    let mut noted = noted.into_iter();
    let does_not_count = |ready: &mut Ready| match ready.is_repeatable.then(|| noted.next()) {
        Some(Some(Noted::Closed(events))) => {
            closed.extend(events);
            false
        }
        Some(Some(Noted::Superseded) | None) => true,
        None => false,
    };
    superseded.extend(handles.extract_if(.., does_not_count));
    closed
}

/// Writes a note to the journal, waiting while that cannot be written: without it, an equal event
/// that happens anew would pass for a repeat.
async fn insist<T, Noted: Future<Output = journal::Result<T>>>(note: impl Fn() -> Noted) -> T {
    let mut failures = 0;
    loop {
        match note().await {
            Ok(noted) => return noted,
            Err(error) => {
                failures += 1;
                tracing::debug!(%error, "the note of what is confirmed waits for the journal");
                tokio::time::sleep(JOURNAL.wait(failures)).await;
            }
        }
    }
}
