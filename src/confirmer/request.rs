//! A call of ConfirmEvents, and what the journal has to know before it.

use chrono::Utc;
use tokio::time::Instant;

use super::batches::ConfirmCall;
use super::leases::ReadyHandle;
use super::records::ConfirmRecord;
use crate::journal::{self, ConfirmPermission, HandleConfirmation, Journal};
use crate::vod::{Client, VodError};

#[derive(Debug)]
pub(super) struct FinishedCall {
    /// The place of the application.
    pub(super) place: usize,
    pub(super) sent: Instant,
    pub(super) call: ConfirmCall,
    /// Handles that were taken out of it: others count for their events.
    pub(super) superseded: Vec<ReadyHandle>,
    /// Handles that were taken out of it: the journal could not record that they are sent.
    pub(super) unrecorded: Vec<ReadyHandle>,
    pub(super) ended: CallEnd,
    /// What the journal is to record now.
    pub(super) record: Option<ConfirmRecord>,
}

#[derive(Debug)]
pub(super) enum CallEnd {
    /// The cloud acknowledged every handle.
    Acknowledged,
    /// It did not, or nobody knows.
    Failed(VodError),
    /// A handle expired before there was an answer.
    Expired,
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
    let (superseded, unrecorded) = Default::default();
    let ended = CallEnd::Unsent;
    let mut finished =
        FinishedCall { place, sent, call, superseded, unrecorded, ended, record: None };
    if let Some(deadline) = deadline {
        send(&client, &journal, &mut finished, deadline).await;
    }
    finished
}

/// Sends the call, until the first deadline: it may have to wait for the journal, for credentials,
/// or be signed once more. Where events under the handles may repeat, the journal knows first: it
/// decides which handle counts, and a kill may come between the call and the record of its success.
/// What certainly was not confirmed is open again, unless an earlier call had left that open.
async fn send(client: &Client, journal: &Journal, finished: &mut FinishedCall, deadline: Instant) {
    let prepared = tokio::time::timeout_at(deadline, prepare(journal, finished)).await;
    let Ok(closed) = prepared else {
        finished.ended = CallEnd::Expired;
        return;
    };
    let handles = &finished.call.handles;
    if handles.is_empty() {
        return;
    }
    let texts: Vec<&str> = handles.iter().map(|ready| &*ready.handle.text).collect();
    finished.ended = match tokio::time::timeout_at(deadline, client.confirm(&texts)).await {
        Ok(Ok(())) => {
            let events = handles.iter().flat_map(|ready| ready.events.clone()).collect();
            finished.record = Some(ConfirmRecord::Confirmed { events, at: Utc::now() });
            CallEnd::Acknowledged
        }
        Ok(Err(error)) => {
            if error.had_no_effect() && !closed.is_empty() {
                finished.record = Some(ConfirmRecord::NotConfirmed(closed));
            }
            CallEnd::Failed(error)
        }
        Err(_) => CallEnd::Expired,
    };
}

/// Leaves in the call what may be sent now. Returns the occurrences that were open until now.
async fn prepare(journal: &Journal, finished: &mut FinishedCall) -> Vec<journal::EventId> {
    // What is confirmed must be in a journal that the next start finds.
    if let Err(error) = journal.was_in_place().await {
        tracing::debug!(%error, "confirm delayed: journal not in its place");
        finished.unrecorded = std::mem::take(&mut finished.call.handles);
        return Vec::new();
    }
    let FinishedCall { call, superseded, unrecorded, .. } = finished;
    let repeatable = call.handles.iter().filter(|ready| ready.is_repeatable);
    let sending = repeatable.map(|ready| HandleConfirmation {
        handle: ready.handle.text.clone(),
        events: ready.events.clone(),
    });
    let sending: Vec<_> = sending.collect();
    if sending.is_empty() {
        return Vec::new();
    }
    let allowed = match journal.begin_confirm(sending).await {
        Ok(allowed) => allowed,
        Err(error) => {
            tracing::debug!(%error, "confirm delayed: journal busy");
            unrecorded.extend(call.handles.extract_if(.., |ready| ready.is_repeatable));
            return Vec::new();
        }
    };
    let mut closed = Vec::new();
    let mut allowed = allowed.into_iter();
    let does_not_count = |ready: &mut ReadyHandle| match ready.is_repeatable.then(|| allowed.next())
    {
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
