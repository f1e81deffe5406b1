//! A call of ConfirmEvents, and what the journal has to know before it.

use chrono::Utc;
use tokio::time::Instant;

use super::batches::ConfirmCall;
use super::leases::ReadyHandle;
use super::records::ConfirmRecord;
use crate::journal::{self, ConfirmPermission, HandleConfirmation, Journal};
use crate::vod::{Client, VodError};

/// A call that is over.
#[derive(Debug)]
pub(super) struct FinishedCall {
    /// The place of the application.
    pub(super) place: usize,
    pub(super) sent: Instant,
    /// The call, as it was made.
    pub(super) call: ConfirmCall,
    /// Handles that were taken out of it: others count for their events.
    pub(super) superseded: Vec<ReadyHandle>,
    /// Handles that were taken out of it: the journal could not be told that they are sent.
    pub(super) unnoted: Vec<ReadyHandle>,
    pub(super) ended: CallEnd,
    /// What the journal is to be told now.
    pub(super) note: Option<ConfirmRecord>,
}

/// How a call ended.
#[derive(Debug)]
pub(super) enum CallEnd {
    /// The cloud took every handle.
    Taken,
    /// It did not, or nobody knows.
    Failed(VodError),
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
    call: ConfirmCall,
) -> FinishedCall {
    let deadline = call.deadline();
    let (superseded, unnoted) = Default::default();
    let mut asked =
        FinishedCall { place, sent, call, superseded, unnoted, ended: CallEnd::Unsent, note: None };
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
async fn ask(client: &Client, journal: &Journal, asked: &mut FinishedCall, deadline: Instant) {
    let noted = tokio::time::timeout_at(deadline, prepare(journal, asked)).await;
    let Ok(closed) = noted else {
        asked.ended = CallEnd::Lapsed;
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
            asked.note = Some(ConfirmRecord::Confirmed { events, at: Utc::now() });
            CallEnd::Taken
        }
        Ok(Err(error)) => {
            if error.had_no_effect() && !closed.is_empty() {
                asked.note = Some(ConfirmRecord::NotTaken(closed));
            }
            CallEnd::Failed(error)
        }
        Err(_) => CallEnd::Lapsed,
    };
}

/// Leaves in the call what may be sent now. Returns the occurrences that were open until now.
async fn prepare(journal: &Journal, asked: &mut FinishedCall) -> Vec<journal::EventId> {
    // What is confirmed must be in a journal that the next start finds.
    if let Err(error) = journal.was_in_place().await {
        tracing::debug!(%error, "a confirm waits for the journal");
        asked.unnoted = std::mem::take(&mut asked.call.handles);
        return Vec::new();
    }
    let FinishedCall { call, superseded, unnoted, .. } = asked;
    let repeatable = call.handles.iter().filter(|ready| ready.is_repeatable);
    let sending = repeatable.map(|ready| HandleConfirmation {
        handle: ready.handle.text.clone(),
        events: ready.events.clone(),
    });
    let sending: Vec<_> = sending.collect();
    if sending.is_empty() {
        return Vec::new();
    }
    let noted = match journal.begin_confirm(sending).await {
        Ok(noted) => noted,
        Err(error) => {
            tracing::debug!(%error, "the note of what is to be confirmed waits for the journal");
            unnoted.extend(call.handles.extract_if(.., |ready| ready.is_repeatable));
            return Vec::new();
        }
    };
    let mut closed = Vec::new();
    let mut noted = noted.into_iter();
    let does_not_count = |ready: &mut ReadyHandle| match ready.is_repeatable.then(|| noted.next()) {
        Some(Some(ConfirmPermission::Granted(events))) => {
            closed.extend(events);
            false
        }
        Some(Some(ConfirmPermission::Superseded) | None) => true,
        None => false,
    };
    superseded.extend(call.handles.extract_if(.., does_not_count));
    closed
}
