//! Calls of ConfirmEvents that have to be made again, and how.

use std::time::Duration;

use tokio::time::Instant;

use super::leases::ReadyHandle;
use crate::limits::Backoff;
use crate::vod::{Advice, VodError};

/// Between repeats of a call that failed.
const CALL_RETRIES: Backoff =
    Backoff { base: Duration::from_millis(200), max: Duration::from_secs(5) };
/// Answers in a row with an error of any code after which a handle is taken to be at fault.
const MAX_REFUSALS: u32 = 2;

/// Answers in a row that are lost, others being taken meanwhile, after which a call is split: a
/// handle may be what breaks them.
const MAX_LOST: u32 = 2;
/// Such answers where nobody knows whether the service works. Such a call is split once.
const MAX_LOST_ALONE: u32 = 4;

/// Handles to confirm in one call.
#[derive(Clone, Debug, Default)]
pub(super) struct ConfirmCall {
    pub(super) handles: Vec<ReadyHandle>,
    not_before: Option<Instant>,
    /// Failures in a row, those of the call that it is a part of included.
    failures: u32,
    /// Answers in a row with an error that a handle may have caused.
    refusals: u32,
    /// Whether an answer was lost: the cloud may have taken what it then refuses.
    was_lost: bool,
    /// Answers in a row that were lost since the call was last split.
    lost: u32,
    /// Whether it was split without knowing that the service works.
    is_trial: bool,
    /// When it failed for the first time.
    failed_at: Option<Instant>,
    /// Whether it waits until the journal can record it.
    is_deferred: bool,
}

#[derive(Debug)]
pub(super) enum Followup {
    /// Its halves are tried on their own: one holds the handle at fault.
    Narrowed,
    /// This one is at fault.
    Refused {
        ready: ReadyHandle,
        /// Whether that is certain, and not the service that fails.
        is_certain: bool,
    },
    /// They may have been taken by a call whose answer was lost. What was not comes again.
    Dropped(Vec<ReadyHandle>),
    /// It is repeated whole, after a wait.
    Repeated {
        /// Whether there were too many requests.
        is_throttled: bool,
        /// Whether the service works, and it is a handle in it that fails.
        is_of_a_handle: bool,
    },
}

#[derive(Debug, Default)]
pub(super) struct CallQueue {
    calls: Vec<ConfirmCall>,
    /// When the last call was acknowledged: the service works.
    acknowledged_at: Option<Instant>,
}

impl ConfirmCall {
    pub(super) fn new(handles: Vec<ReadyHandle>) -> Self {
        Self { handles, ..Self::default() }
    }

    pub(super) fn take_expired(&mut self, now: Instant) -> Vec<ReadyHandle> {
        self.handles.extract_if(.., |ready| ready.deadline <= now).collect()
    }

    /// Takes out the handles that the journal has to record before they are sent.
    pub(super) fn take_repeatable(&mut self) -> Vec<ReadyHandle> {
        self.handles.extract_if(.., |ready| ready.is_repeatable).collect()
    }

    pub(super) fn is_repeatable(&self) -> bool {
        self.handles.iter().any(|ready| ready.is_repeatable)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.handles.iter().map(|ready| ready.deadline).min()
    }

    /// Returns a call with the same history for other handles.
    fn with(&self, handles: Vec<ReadyHandle>) -> Self {
        Self { handles, ..self.clone() }
    }
}

impl CallQueue {
    /// Takes a call that was given up as a handle in it expired: the others have time left. It may
    /// have been on its way.
    pub(super) fn expired(&mut self, call: ConfirmCall) {
        self.calls.push(ConfirmCall { was_lost: true, ..call });
    }

    /// Takes these handles of a call, if there are any, that the journal has to record first: until
    /// then, or until the next try.
    pub(super) fn defer(&mut self, call: &ConfirmCall, handles: Vec<ReadyHandle>, until: Instant) {
        if !handles.is_empty() {
            let call = call.with(handles);
            self.calls.push(ConfirmCall { not_before: Some(until), is_deferred: true, ..call });
        }
    }

    /// The journal was written: what it could not record is tried again at once.
    pub(super) fn wake(&mut self) {
        for call in self.calls.iter_mut().filter(|call| call.is_deferred) {
            call.not_before = None;
        }
    }

    pub(super) fn acknowledged(&mut self, now: Instant) {
        self.acknowledged_at = Some(now);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Takes out the calls that failed whole, or were deferred: there is no time to wait for better
    /// ones.
    pub(super) fn take_repeats(&mut self) -> Vec<ConfirmCall> {
        self.calls.extract_if(.., |call| call.failures > 0 || call.is_deferred).collect()
    }

    pub(super) fn take_due(&mut self, now: Instant) -> Option<ConfirmCall> {
        let is_due = |call: &ConfirmCall| call.not_before.is_none_or(|at| at <= now);
        let place = self.calls.iter().position(is_due)?;
        Some(self.calls.swap_remove(place))
    }

    /// When the next call is due. A moment in the past is now.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.calls.iter().map(|call| call.not_before.unwrap_or_else(Instant::now)).min()
    }

    pub(super) fn failed(
        &mut self,
        mut call: ConfirmCall,
        error: &VodError,
        now: Instant,
    ) -> Followup {
        call.is_deferred = false;
        call.refusals += u32::from(error.may_be_of_a_handle());
        if error.is_parameter_error() || call.refusals >= MAX_REFUSALS {
            return self.refused(call, error.is_parameter_error(), now);
        }
        let works = self.works_since(&call);
        call.failures = if works { 1 } else { call.failures + 1 };
        call.failed_at.get_or_insert(now);
        call.was_lost |= error.was_lost();
        call.lost = if error.was_lost() { call.lost + 1 } else { 0 };
        let is_split = call.handles.len() > 1
            && if works {
                call.lost >= MAX_LOST
            } else {
                call.lost >= MAX_LOST_ALONE && !call.is_trial
            };
        if is_split {
            self.split_lost(call, works, now);
            return Followup::Narrowed;
        }
        let is_throttled = error.advice() == Advice::Throttled;
        // One that was throttled is the first to go when the rate allows.
        let failures = call.failures.max(call.lost);
        call.not_before = (!is_throttled).then(|| now + CALL_RETRIES.wait(failures));
        self.calls.push(call);
        let is_of_a_handle = works && error.may_be_of_a_handle();
        Followup::Repeated { is_throttled, is_of_a_handle }
    }

    /// Tries the halves of a call on their own whose answers are lost again and again.
    fn split_lost(&mut self, mut call: ConfirmCall, works: bool, now: Instant) {
        let half = call.handles.split_off(call.handles.len() / 2);
        let first = std::mem::take(&mut call.handles);
        for handles in [first, half] {
            let part = call.with(handles);
            let not_before = Some(now + CALL_RETRIES.wait(part.failures));
            self.calls.push(ConfirmCall { not_before, lost: 0, is_trial: !works, ..part });
        }
    }

    /// Whether another call was taken since this one failed for the first time.
    fn works_since(&self, call: &ConfirmCall) -> bool {
        call.failed_at.is_some() && self.acknowledged_at > call.failed_at
    }

    /// A handle in it is at fault, or the service: another call that is taken shows that it works.
    fn refused(&mut self, mut call: ConfirmCall, by_parameter: bool, now: Instant) -> Followup {
        if call.was_lost {
            return Followup::Dropped(call.handles);
        }
        let works = by_parameter || self.works_since(&call);
        if call.handles.len() == 1
            && let Some(ready) = call.handles.pop()
        {
            return Followup::Refused { ready, is_certain: works };
        }
        if !works {
            call.failures += 1;
        }
        let half = call.handles.split_off(call.handles.len() / 2);
        let first = std::mem::take(&mut call.handles);
        for handles in [first, half] {
            let mut part = call.with(handles);
            part.not_before = (!works).then(|| now + CALL_RETRIES.wait(part.failures));
            // What was refused in company counts, but for the handle that is given up for it.
            part.refusals = u32::from(!by_parameter && part.handles.len() > 1);
            self.calls.push(part);
        }
        Followup::Narrowed
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::leases::LeaseHandle;
    use super::*;
    use crate::event::AppId;
    use crate::vod::Action;

    fn call(handles: usize, now: Instant) -> ConfirmCall {
        let ready = |number: usize| ReadyHandle {
            handle: LeaseHandle { app: AppId(1), text: Arc::from(number.to_string()) },
            events: Vec::new(),
            is_repeatable: false,
            deadline: now + Duration::from_secs(28),
        };
        ConfirmCall::new((0..handles).map(ready).collect())
    }

    fn error(code: &str) -> VodError {
        VodError::answered(Action::ConfirmEvents, code, "")
    }

    fn lost() -> VodError {
        VodError::new(Action::ConfirmEvents, Advice::Transport, "")
    }

    /// Plays a cloud with one bad handle until nothing is left to do, from `now` on: how many calls
    /// that took, how long, and which handles were given up.
    fn play(calls: &mut CallQueue, handles: usize, code: &str) -> (usize, Duration, Vec<String>) {
        let start = Instant::now();
        let (mut now, mut made, mut given_up) = (start, 0, Vec::new());
        let mut next = Some(call(handles, start));
        loop {
            let Some(call) = next.take().or_else(|| calls.take_due(now)) else {
                let Some(at) = calls.next_due() else { break };
                now = now.max(at);
                continue;
            };
            made += 1;
            now += Duration::from_millis(5);
            if call.handles.iter().any(|ready| &*ready.handle.text == "5") {
                match calls.failed(call, &error(code), now) {
                    Followup::Refused { ready, is_certain } => {
                        assert!(is_certain, "{code}");
                        given_up.push(ready.handle.text.to_string());
                    }
                    Followup::Dropped(handles) => panic!("dropped {handles:?}"),
                    Followup::Narrowed | Followup::Repeated { .. } => {}
                }
            } else {
                calls.acknowledged(now);
            }
        }
        (made, now - start, given_up)
    }

    #[test]
    fn one_bad_handle_costs_its_neighbours_little_whatever_the_code() {
        for (code, most, longest) in [
            ("InvalidParameterValue", 9, 100),
            ("FailedOperation", 11, 1_700),
            ("InternalError", 11, 1_700),
            ("ResourceNotFound", 11, 1_700),
            ("NeverHeardOf", 11, 1_700),
        ] {
            for handles in [16, 6] {
                let (made, took, given_up) = play(&mut CallQueue::default(), handles, code);
                assert_eq!(given_up, ["5"], "{code}");
                assert!(made <= most, "{made} calls for {code}");
                assert!(took <= Duration::from_millis(longest), "{took:?} for {code}");
            }
        }
    }

    /// An answer is lost whenever the bad handle is in the call, as behind a proxy that stumbles
    /// over it.
    #[test]
    fn a_handle_that_breaks_each_answer_costs_its_neighbours_a_few_seconds() {
        for others_are_taken in [true, false] {
            let (mut calls, start) = (CallQueue::default(), Instant::now());
            let (mut now, mut made, mut taken) = (start, 0, 0);
            let mut next = Some(call(16, start));
            while now < start + Duration::from_secs(20) {
                if others_are_taken {
                    calls.acknowledged(now);
                }
                let Some(call) = next.take().or_else(|| calls.take_due(now)) else {
                    now += Duration::from_millis(10);
                    continue;
                };
                made += 1;
                if call.handles.iter().any(|ready| &*ready.handle.text == "5") {
                    let followup = calls.failed(call, &lost(), now);
                    assert!(matches!(followup, Followup::Narrowed | Followup::Repeated { .. }));
                } else {
                    taken += call.handles.len();
                    calls.acknowledged(now);
                }
            }
            assert_eq!(taken, 15);
            assert!(made <= 60, "{made} calls");
        }
    }

    /// Nor is a service that cannot be reached asked for each handle on its own.
    #[test]
    fn a_service_that_loses_each_answer_is_asked_for_halves_at_the_most() {
        let (mut calls, start) = (CallQueue::default(), Instant::now());
        let (mut now, mut made) = (start, 0);
        let mut next = Some(call(16, start));
        while now < start + Duration::from_secs(25) {
            let Some(call) = next.take().or_else(|| calls.take_due(now)) else {
                now += Duration::from_millis(10);
                continue;
            };
            made += 1;
            assert!(call.handles.len() >= 8);
            calls.failed(call, &lost(), now);
        }
        assert!(made <= 20, "{made} calls");
    }

    #[test]
    fn a_service_that_fails_is_asked_ever_less() {
        let (mut calls, start) = (CallQueue::default(), Instant::now());
        let (mut now, mut made) = (start, 0);
        let mut next = Some(call(16, start));
        while now < start + Duration::from_secs(8) {
            let Some(call) = next.take().or_else(|| calls.take_due(now)) else {
                now += Duration::from_millis(10);
                continue;
            };
            made += 1;
            let followup = calls.failed(call, &error("InternalError"), now);
            let is_certain = matches!(followup, Followup::Refused { is_certain: true, .. });
            assert!(!is_certain && !matches!(followup, Followup::Dropped(_)));
        }
        assert!(made <= 64, "{made} calls in 8 s");
    }

    #[test]
    fn an_error_that_passes_costs_one_repeat_of_the_whole_call() {
        let (mut calls, now) = (CallQueue::default(), Instant::now());
        for code in ["InternalError", "RequestLimitExceeded", "UnauthorizedOperation"] {
            let followup = calls.failed(call(16, now), &error(code), now);
            assert!(matches!(followup, Followup::Repeated { .. }), "{code}");
            let again = calls.take_due(now + Duration::from_secs(1)).unwrap();
            assert_eq!(again.handles.len(), 16);
        }
        // What no handle can cause is repeated whole however often it comes.
        let mut refused = call(16, now);
        for _ in 0..10 {
            let later = now + Duration::from_secs(60);
            assert!(matches!(
                calls.failed(refused, &error("UnauthorizedOperation.CamNoAuth"), now),
                Followup::Repeated { .. }
            ));
            refused = calls.take_due(later).unwrap();
        }
        assert_eq!(refused.handles.len(), 16);
    }

    #[test]
    fn what_is_refused_after_a_lost_answer_is_dropped() {
        let (mut calls, now) = (CallQueue::default(), Instant::now());
        let later = now + Duration::from_secs(10);
        for (code, tries) in [("InvalidParameterValue", 1), ("FailedOperation", 2)] {
            assert!(matches!(calls.failed(call(16, now), &lost(), now), Followup::Repeated { .. }));
            for left in (0..tries).rev() {
                let again = calls.take_due(later).unwrap();
                match calls.failed(again, &error(code), now) {
                    Followup::Dropped(handles) => assert_eq!((handles.len(), left), (16, 0)),
                    Followup::Repeated { .. } => assert!(left > 0),
                    other => panic!("{other:?}"),
                }
            }
            assert!(calls.is_empty());
        }
        // One that certainly did not arrive was not taken.
        let unsent = lost().unsent();
        calls.failed(call(2, now), &unsent, now);
        let again = calls.take_due(later).unwrap();
        let followup = calls.failed(again, &error("InvalidParameterValue"), now);
        assert!(matches!(followup, Followup::Narrowed));
    }

    #[test]
    fn a_call_that_is_cut_off_at_a_deadline_goes_on_with_the_handles_that_have_time_left() {
        let (mut calls, now) = (CallQueue::default(), Instant::now());
        let mut cut = call(3, now);
        cut.handles[1].deadline = now;
        calls.expired(cut);
        let mut again = calls.take_due(now).unwrap();
        let expired = again.take_expired(now);
        assert_eq!(expired.iter().map(|ready| &*ready.handle.text).collect::<Vec<_>>(), ["1"]);
        assert_eq!(again.handles.len(), 2);
    }
}
