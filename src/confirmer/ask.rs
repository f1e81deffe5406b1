//! A call of ConfirmEvents, and what the journal knows of it before and after.

use std::time::Duration;

use chrono::Utc;
use tokio::time::Instant;

use super::Answered;
use super::calls::Call;
use super::waiting::Ready;
use crate::journal::{self, Journal};
use crate::retry::Backoff;
use crate::vod::{Client, Error};

/// Between tries to write to the journal.
const JOURNAL: Backoff = Backoff { base: Duration::from_millis(200), max: Duration::from_secs(5) };

/// Makes a call, and notes in the journal what the cloud took back.
pub(super) async fn confirm(
    place: usize,
    client: Client,
    journal: Journal,
    sent: Instant,
    call: Call,
) -> Answered {
    // It may wait for the journal, for credentials, or be signed once more: not past the first
    // deadline.
    let result = match call.deadline() {
        Some(deadline) => {
            tokio::time::timeout_at(deadline, ask(&client, &journal, &call.handles)).await.ok()
        }
        None => None,
    };
    if matches!(result, Some(Ok(()))) {
        let events: Vec<_> = call.handles.iter().flat_map(|ready| ready.events.clone()).collect();
        insist(|| journal.confirmed(events.clone(), Utc::now())).await;
    }
    (place, sent, call, result)
}

/// Asks the cloud to take handles back. Of events that recur the journal knows first: a kill may
/// come between the call and the note of its success. It does not if they were certainly not taken,
/// unless an earlier call had left that open.
async fn ask(client: &Client, journal: &Journal, handles: &[Ready]) -> Result<(), Error> {
    let recurring = handles.iter().filter(|ready| ready.recurs);
    let recurring: Vec<_> = recurring.flat_map(|ready| ready.events.clone()).collect();
    let noted = match recurring.is_empty() {
        true => Vec::new(),
        false => insist(|| journal.confirming(recurring.clone(), Utc::now())).await,
    };
    let handles: Vec<&str> = handles.iter().map(|ready| &*ready.handle.text).collect();
    let result = client.confirm(&handles).await;
    if matches!(&result, Err(error) if error.had_no_effect()) && !noted.is_empty() {
        insist(|| journal.not_confirming(noted.clone())).await;
    }
    result
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
