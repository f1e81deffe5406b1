//! Calls of ConfirmEvents that have to be made again, and how.

use std::time::Duration;

use tokio::time::Instant;

use super::waiting::Ready;
use crate::retry::Backoff;
use crate::vod::{Advice, Error};

/// Between repeats of a call that failed whole.
const REPEATS: Backoff = Backoff { base: Duration::from_millis(200), max: Duration::from_secs(5) };

/// Handles to confirm in one call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) handles: Vec<Ready>,
    not_before: Option<Instant>,
    failures: u32,
}

/// What follows from a call that failed.
#[derive(Debug)]
pub(super) enum Followup {
    /// Its halves are tried on their own: one holds the handle at fault.
    Narrowed,
    /// This one is at fault.
    Refused(Ready),
    /// It is repeated whole, after a wait.
    Repeated {
        /// Whether there were too many requests.
        is_throttled: bool,
    },
}

/// Calls to be made again.
#[derive(Debug, Default)]
pub(super) struct Calls(Vec<Call>);

impl Call {
    pub(super) fn new(handles: Vec<Ready>) -> Self {
        Self { handles, not_before: None, failures: 0 }
    }

    /// Drops the handles past their deadline; tells how many.
    pub(super) fn drop_lapsed(&mut self, now: Instant) -> usize {
        let before = self.handles.len();
        self.handles.retain(|ready| ready.deadline > now);
        before - self.handles.len()
    }

    /// The first deadline.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.handles.iter().map(|ready| ready.deadline).min()
    }
}

impl Calls {
    /// Takes a call that was given up as a handle in it lapsed: the others have time left.
    pub(super) fn lapsed(&mut self, call: Call) {
        self.0.push(call);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Drops the calls that failed whole: there is no time to wait for better ones.
    pub(super) fn drop_repeats(&mut self) {
        self.0.retain(|call| call.failures == 0);
    }

    /// The next call whose wait is over.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Call> {
        let is_due = |call: &Call| call.not_before.is_none_or(|at| at <= now);
        let place = self.0.iter().position(is_due)?;
        Some(self.0.swap_remove(place))
    }

    /// When the next call is due. A moment in the past is now.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.0.iter().map(|call| call.not_before.unwrap_or_else(Instant::now)).min()
    }

    /// Takes a call that failed.
    pub(super) fn failed(&mut self, mut call: Call, error: &Error, now: Instant) -> Followup {
        if error.is_parameter_error() {
            if call.handles.len() == 1
                && let Some(handle) = call.handles.pop()
            {
                return Followup::Refused(handle);
            }
            let half = call.handles.split_off(call.handles.len() / 2);
            self.0.push(Call::new(call.handles));
            self.0.push(Call::new(half));
            return Followup::Narrowed;
        }
        call.failures += 1;
        let is_throttled = error.advice() == Advice::Throttled;
        // One that was throttled is the first to go when the rate allows.
        call.not_before = (!is_throttled).then(|| now + REPEATS.wait(call.failures));
        self.0.push(call);
        Followup::Repeated { is_throttled }
    }
}
