//! A call of ConfirmEvents, and what the journal has to know before it.

use chrono::Utc;
use tokio::time::Instant;

use super::calls::Call;
use super::notes::Note;
use super::waiting::Ready;
use crate::journal::{self, Journal, Noted, Sending};
use crate::vod::{Client, Error};

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
    /// Handles that were taken out of it: the journal could not be told that they are sent.
    pub(super) unnoted: Vec<Ready>,
    pub(super) ended: Ended,
    /// What the journal is to be told now.
    pub(super) note: Option<Note>,
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

/// Makes a call. Waits for the journal once, and never for what it cannot write.
pub(super) async fn confirm(
    place: usize,
    client: Client,
    journal: Journal,
    sent: Instant,
    call: Call,
) -> Asked {
    let deadline = call.deadline();
    let (superseded, unnoted) = Default::default();
    let mut asked =
        Asked { place, sent, call, superseded, unnoted, ended: Ended::Unsent, note: None };
    if let Some(deadline) = deadline {
        ask(&client, &journal, &mut asked, deadline).await;
    }
    asked
}

/// Asks the cloud to take handles back, until the first deadline: it may have to wait for the
/// journal, for credentials, or be signed once more. Where events under the handles may repeat, the
/// journal knows first: it has the last word on which handle counts, and a kill may come between
/// the call and the record of its success. What certainly was not taken is open again, unless an
/// earlier call had left that open.
async fn ask(client: &Client, journal: &Journal, asked: &mut Asked, deadline: Instant) {
    let noted = tokio::time::timeout_at(deadline, prepare(journal, asked)).await;
    let Ok(closed) = noted else {
        asked.ended = Ended::Lapsed;
        return;
    };
    let handles = &asked.call.handles;
    if handles.is_empty() {
        return;
    }
    let texts: Vec<&str> = handles.iter().map(|ready| &*ready.handle.text).collect();
    asked.ended = match tokio::time::timeout_at(deadline, client.confirm(&texts)).await {
        Ok(Ok(())) => {
            let events = handles.iter().flat_map(|ready| ready.events.clone()).collect();
            asked.note = Some(Note::Confirmed { events, at: Utc::now() });
            Ended::Taken
        }
        Ok(Err(error)) => {
            if error.had_no_effect() && !closed.is_empty() {
                asked.note = Some(Note::NotTaken(closed));
            }
            Ended::Failed(error)
        }
        Err(_) => Ended::Lapsed,
    };
}

/// Leaves in the call what may be sent now. Returns the occurrences that were open until now.
async fn prepare(journal: &Journal, asked: &mut Asked) -> Vec<journal::EventId> {
    // What is confirmed must be in a journal that the next start finds.
    if let Err(error) = journal.was_in_place().await {
        tracing::debug!(%error, "a confirm waits for the journal");
        asked.unnoted = std::mem::take(&mut asked.call.handles);
        return Vec::new();
    }
    let Asked { call, superseded, unnoted, .. } = asked;
    let repeatable = call.handles.iter().filter(|ready| ready.is_repeatable);
    let sending = repeatable
        .map(|ready| Sending { handle: ready.handle.text.clone(), events: ready.events.clone() });
    let sending: Vec<_> = sending.collect();
    if sending.is_empty() {
        return Vec::new();
    }
    let noted = match journal.sending(sending).await {
        Ok(noted) => noted,
        Err(error) => {
            tracing::debug!(%error, "the note of what is to be confirmed waits for the journal");
            unnoted.extend(call.handles.extract_if(.., |ready| ready.is_repeatable));
            return Vec::new();
        }
    };
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
    superseded.extend(call.handles.extract_if(.., does_not_count));
    closed
}
