//! Faults on request.
//!
//! Owns the list of faults and draws the one that applies to a call. Pure: drawing is seeded, and
//! other modules apply the fault.

use std::time::Duration;

use bytesize::ByteSize;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;

use super::action::ApiAction;

/// The maximum number of faults that are set.
const MAX_FAULTS: usize = 1_000;

/// What a fault does. In JSON a plain name (`"reset"`) or, with a detail, one member
/// (`{"status": 502}`).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// This HTTP status with a page of HTML.
    Status(u16),
    /// The connection is reset without an answer.
    Reset,
    /// No answer ever; the connection stays open.
    Hang,
    /// No answer until the call is released; then the normal one.
    Hold,
    /// The answer is late by this time; after the call took effect, if so ordered.
    #[serde(with = "humantime_serde")]
    Delay(Duration),
    /// RequestLimitExceeded.
    Throttle,
    /// InternalError.
    InternalError,
    /// Any error code.
    Error(String),
    /// The call sees a clock that is off by this many seconds.
    WrongClock(i32),
    /// A complete answer whose JSON ends in the middle.
    Truncated,
    /// The connection is closed half way through the answer's body.
    Cut,
    /// The connection is reset half way through the answer's body.
    Torn,
    /// The answer's body drips in over this time.
    #[serde(with = "humantime_serde")]
    Slow(Duration),
    /// The answer is padded to this size.
    Oversized(ByteSize),
    /// A pull finds nothing, whatever waits, and is answered at once in this form.
    Empty(EmptyAnswer),
    /// The events of a batch come in reverse order.
    Reversed,
    /// A batch holds its first event twice.
    Duplicate,
    /// The second event of a batch stands under the handle of the first. Confirming it confirms
    /// both.
    SharedHandle,
    /// A batch holds a malformed entry.
    Malformed(MalformedEntry),
}

/// How a pull without events is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum EmptyAnswer {
    /// The error ResourceNotFound, as the service does.
    #[default]
    Error,
    /// An EventSet of null.
    Null,
    /// No EventSet.
    Absent,
    /// An EventSet without entries.
    List,
}

/// In what way an entry is malformed. The first three stand beside the events of the batch, the
/// others are its first event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MalformedEntry {
    /// It is null.
    Null,
    /// It is a number.
    Number,
    /// It is a string.
    String,
    /// It is a string that is not UTF-8.
    InvalidUtf8,
    /// It has no handle.
    NoHandle,
    /// Its handle is null.
    NullHandle,
    /// Its handle is a number.
    NumberHandle,
}

/// A fault: what, for which calls, how often.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub struct InjectedFault {
    kind: FaultKind,
    action: Option<ApiAction>,
    app: Option<u64>,
    takes_effect: bool,
    when: When,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    Next(u32),
    Rate(f64),
}

impl InjectedFault {
    /// Applies `kind` to the next `calls` calls.
    #[must_use]
    pub fn next(calls: u32, kind: FaultKind) -> Self {
        Self { kind, action: None, app: None, takes_effect: false, when: When::Next(calls) }
    }

    /// Applies `kind` to each call with probability `rate`, clamped to 0 to 1.
    #[must_use]
    pub fn rate(rate: f64, kind: FaultKind) -> Self {
        let rate = if rate.is_nan() { 0.0 } else { rate.clamp(0.0, 1.0) };
        Self { kind, action: None, app: None, takes_effect: false, when: When::Rate(rate) }
    }

    /// Limits the fault to calls of `action`.
    #[must_use]
    pub fn on(self, action: ApiAction) -> Self {
        Self { action: Some(action), ..self }
    }

    /// Limits the fault to calls that name the application `app`.
    #[must_use]
    pub fn of(self, app: u64) -> Self {
        Self { app: Some(app), ..self }
    }

    /// The call takes effect all the same, only its answer is lost or wrong. Without this, kinds of
    /// the whole call (from [`FaultKind::Status`] to [`FaultKind::Error`]) apply before the call is
    /// checked; the others always change the answer only.
    #[must_use]
    pub fn after_effect(self) -> Self {
        Self { takes_effect: true, ..self }
    }
}

/// A fault as it is written in JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    kind: FaultKind,
    action: Option<ApiAction>,
    app: Option<u64>,
    #[serde(default)]
    takes_effect: bool,
    next: Option<u32>,
    rate: Option<f64>,
}

impl TryFrom<Written> for InjectedFault {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let when = match (written.next, written.rate) {
            (Some(_), Some(_)) => return Err("a fault has either \"next\" or \"rate\", not both"),
            (_, Some(rate)) if !(0.0..=1.0).contains(&rate) => {
                return Err("\"rate\" is a probability from 0 to 1");
            }
            (None, Some(rate)) => When::Rate(rate),
            (next, None) => When::Next(next.unwrap_or(1)),
        };
        match written.kind {
            FaultKind::Status(status) if !(300..=599).contains(&status) => {
                Err("\"status\" is from 300 to 599")
            }
            FaultKind::Oversized(size) if size > ByteSize::gib(1) => {
                Err("\"oversized\" is at most 1GiB")
            }
            FaultKind::Slow(time) | FaultKind::Delay(time) if time > Duration::from_secs(3600) => {
                Err("\"slow\" and \"delay\" are at most 1h")
            }
            kind => {
                let Written { action, app, takes_effect, .. } = written;
                Ok(Self { kind, action, app, takes_effect, when })
            }
        }
    }
}

/// At which point of a call a fault applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultPoint {
    /// Before the request is looked at.
    Request,
    /// When a batch of this many events, at least one, is to be written.
    Batch(usize),
}

impl FaultKind {
    fn applies_at(&self, point: FaultPoint) -> bool {
        match (self, point) {
            (Self::Duplicate | Self::Malformed(_), FaultPoint::Batch(events)) => events >= 1,
            (Self::SharedHandle | Self::Reversed, FaultPoint::Batch(events)) => events >= 2,
            (_, FaultPoint::Batch(_)) => false,
            (_, FaultPoint::Request) => !self.is_of_batches(),
        }
    }

    fn is_for_pulls_only(&self) -> bool {
        self.is_of_batches() || matches!(self, Self::Empty(_))
    }

    fn is_of_batches(&self) -> bool {
        matches!(self, Self::Reversed | Self::Duplicate | Self::SharedHandle | Self::Malformed(_))
    }

    /// The name under which the ledger counts it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::Reset => "reset",
            Self::Hang => "hang",
            Self::Hold => "hold",
            Self::Delay(_) => "delay",
            Self::Throttle => "throttle",
            Self::InternalError => "internal-error",
            Self::Error(_) => "error",
            Self::WrongClock(_) => "wrong-clock",
            Self::Truncated => "truncated",
            Self::Cut => "cut",
            Self::Torn => "torn",
            Self::Slow(_) => "slow",
            Self::Oversized(_) => "oversized",
            Self::Empty(_) => "empty",
            Self::Reversed => "reversed",
            Self::Duplicate => "duplicate",
            Self::SharedHandle => "shared-handle",
            Self::Malformed(_) => "malformed",
        }
    }
}

/// A fault that was drawn for a call.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DrawnFault {
    pub(super) kind: FaultKind,
    pub(super) takes_effect: bool,
}

/// Why a fault was not set.
#[derive(Debug, thiserror::Error)]
#[error("there are 1,000 faults already; clear them first")]
pub struct TooManyFaults;

/// The faults that are set, in the order in which they were added.
#[derive(Debug)]
pub(super) struct Faults {
    set: Vec<InjectedFault>,
    random: StdRng,
}

impl Faults {
    pub(super) fn new(seed: u64) -> Self {
        Self { set: Vec::new(), random: StdRng::seed_from_u64(seed) }
    }

    pub(super) fn set(&mut self, fault: InjectedFault) -> Result<(), TooManyFaults> {
        if self.set.len() >= MAX_FAULTS {
            return Err(TooManyFaults);
        }
        self.set.push(fault);
        Ok(())
    }

    pub(super) fn clear(&mut self) {
        self.set.clear();
    }

    /// Whether it matters which application a call names.
    pub(super) fn ask_for_app(&self) -> bool {
        self.set.iter().any(|fault| fault.app.is_some())
    }

    /// Draws the fault for a call of `action` for `app` at `point`: the first of the list that
    /// applies. `action` is `None` where the call names none that exists.
    pub(super) fn draw(
        &mut self,
        action: Option<ApiAction>,
        app: Option<u64>,
        point: FaultPoint,
    ) -> Option<DrawnFault> {
        let random = &mut self.random;
        let hit = self.set.iter_mut().position(|fault| {
            let concerned = fault.action.is_none_or(|only| Some(only) == action)
                && fault.app.is_none_or(|only| Some(only) == app)
                && (!fault.kind.is_for_pulls_only() || action == Some(ApiAction::PullEvents))
                && fault.kind.applies_at(point);
            concerned
                && match &mut fault.when {
                    When::Rate(rate) => random.random_bool(*rate),
                    When::Next(left) => {
                        let hit = *left > 0;
                        *left = left.saturating_sub(1);
                        hit
                    }
                }
        })?;
        let fault = &self.set[hit];
        let drawn = DrawnFault { kind: fault.kind.clone(), takes_effect: fault.takes_effect };
        if fault.when == When::Next(0) {
            self.set.remove(hit);
        }
        Some(drawn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(faults: &mut Faults, action: ApiAction, calls: usize) -> usize {
        (0..calls)
            .filter(|_| faults.draw(Some(action), None, FaultPoint::Request).is_some())
            .count()
    }

    fn with(fault: InjectedFault) -> Faults {
        let mut faults = Faults::new(1);
        faults.set(fault).unwrap();
        faults
    }

    #[test]
    fn the_next_calls_meet_it_and_no_others() {
        let mut faults = with(InjectedFault::next(3, FaultKind::Reset));
        assert_eq!(draws(&mut faults, ApiAction::PullEvents, 10), 3);
        assert!(faults.set.is_empty());
    }

    #[test]
    fn it_can_be_limited_to_an_action() {
        let mut faults =
            with(InjectedFault::next(3, FaultKind::Reset).on(ApiAction::ConfirmEvents));
        assert_eq!(draws(&mut faults, ApiAction::PullEvents, 10), 0);
        assert_eq!(faults.draw(None, None, FaultPoint::Request), None);
        assert_eq!(draws(&mut faults, ApiAction::ConfirmEvents, 10), 3);
    }

    #[test]
    fn a_rate_is_kept_to_and_the_same_seed_draws_the_same() {
        let mut hits = Vec::new();
        for seed in [1, 1, 2] {
            let mut faults = Faults::new(seed);
            faults.set(InjectedFault::rate(0.1, FaultKind::Throttle)).unwrap();
            let drawn: Vec<_> = (0..10_000)
                .map(|_| {
                    faults.draw(Some(ApiAction::PullEvents), None, FaultPoint::Request).is_some()
                })
                .collect();
            let count = drawn.iter().filter(|hit| **hit).count();
            assert!((850..1150).contains(&count), "{count}");
            hits.push(drawn);
        }
        assert_eq!(hits[0], hits[1]);
        assert_ne!(hits[0], hits[2]);
    }

    #[test]
    fn a_fault_of_batches_waits_for_a_batch_that_can_have_it() {
        let mut faults = with(InjectedFault::next(1, FaultKind::SharedHandle));
        let pull = Some(ApiAction::PullEvents);
        assert_eq!(faults.draw(pull, None, FaultPoint::Request), None);
        assert_eq!(faults.draw(pull, None, FaultPoint::Batch(1)), None);
        assert!(faults.draw(pull, None, FaultPoint::Batch(2)).is_some());
        assert_eq!(faults.draw(pull, None, FaultPoint::Batch(2)), None);
    }

    #[test]
    fn several_faults_follow_each_other() {
        let mut faults = with(InjectedFault::next(1, FaultKind::Reset));
        faults.set(InjectedFault::next(1, FaultKind::Hang).after_effect()).unwrap();
        let drawn: Vec<_> = (0..3)
            .map(|_| faults.draw(Some(ApiAction::PullEvents), None, FaultPoint::Request))
            .collect();
        assert_eq!(
            drawn,
            [
                Some(DrawnFault { kind: FaultKind::Reset, takes_effect: false }),
                Some(DrawnFault { kind: FaultKind::Hang, takes_effect: true }),
                None
            ]
        );
    }

    #[test]
    fn json_says_the_same() {
        for (json, fault) in [
            (r#"{"kind":"reset"}"#, InjectedFault::next(1, FaultKind::Reset)),
            (
                r#"{"kind":"hold","action":"ConfirmEvents","takes_effect":true,"next":2}"#,
                InjectedFault::next(2, FaultKind::Hold).on(ApiAction::ConfirmEvents).after_effect(),
            ),
            (
                r#"{"kind":{"status":502},"rate":0.25}"#,
                InjectedFault::rate(0.25, FaultKind::Status(502)),
            ),
            (
                r#"{"kind":{"slow":"8s"}}"#,
                InjectedFault::next(1, FaultKind::Slow(Duration::from_secs(8))),
            ),
            (
                r#"{"kind":{"delay":"7s"}}"#,
                InjectedFault::next(1, FaultKind::Delay(Duration::from_secs(7))),
            ),
            (
                r#"{"kind":{"wrong-clock":-600}}"#,
                InjectedFault::next(1, FaultKind::WrongClock(-600)),
            ),
            (
                r#"{"kind":{"oversized":"64MiB"}}"#,
                InjectedFault::next(1, FaultKind::Oversized(ByteSize::mib(64))),
            ),
            (
                r#"{"kind":{"empty":"null"}}"#,
                InjectedFault::next(1, FaultKind::Empty(EmptyAnswer::Null)),
            ),
            (
                r#"{"kind":{"malformed":"no-handle"}}"#,
                InjectedFault::next(1, FaultKind::Malformed(MalformedEntry::NoHandle)),
            ),
            (
                r#"{"kind":{"error":"UnauthorizedOperation"}}"#,
                InjectedFault::next(1, FaultKind::Error("UnauthorizedOperation".to_owned())),
            ),
        ] {
            assert_eq!(serde_json::from_str::<InjectedFault>(json).unwrap(), fault, "{json}");
        }
        for json in [
            r#"{"kind":"rest"}"#,
            r#"{"kind":"reset","next":1,"rate":0.5}"#,
            r#"{"kind":"reset","rate":1.5}"#,
            r#"{"kind":"reset","times":1}"#,
            r#"{"kind":{"status":99}}"#,
            r#"{"kind":"reset","action":"PushEvents"}"#,
        ] {
            assert!(serde_json::from_str::<InjectedFault>(json).is_err(), "{json}");
        }
    }
}
