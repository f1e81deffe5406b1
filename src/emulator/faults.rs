//! What goes wrong on purpose.
//!
//! Owns the list of faults and decides which call meets which. Pure: drawing is seeded, and how a
//! fault is carried out is for others.

use std::time::Duration;

use bytesize::ByteSize;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;

use super::Action;

/// The most faults that may be set at once.
const MAX_FAULTS: usize = 1_000;

/// What goes wrong. In JSON a plain name (`"reset"`) or, with a detail, one member
/// (`{"status": 502}`).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// This HTTP status with a page of HTML.
    Status(u16),
    /// The connection is reset without an answer.
    Reset,
    /// No answer ever; the connection stays open.
    Hang,
    /// No answer until [`Control::release`](super::Control::release); then as if nothing were.
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
    /// A pull finds nothing, whatever waits, and says so at once in this form.
    Empty(Empty),
    /// The events of a batch come in reverse order.
    Reversed,
    /// A batch holds its first event twice.
    Duplicate,
    /// The second event of a batch stands under the handle of the first. Confirming it confirms
    /// both.
    SharedHandle,
    /// A batch holds a malformed entry.
    Malformed(Malformed),
}

/// How a pull says that there is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Empty {
    /// The error ResourceNotFound, as the cloud does.
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
pub enum Malformed {
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
pub struct Fault {
    kind: Kind,
    action: Option<Action>,
    app: Option<u64>,
    takes_effect: bool,
    when: When,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    Next(u32),
    Rate(f64),
}

impl Fault {
    /// The next `calls` calls meet `kind`.
    #[must_use]
    pub fn next(calls: u32, kind: Kind) -> Self {
        Self { kind, action: None, app: None, takes_effect: false, when: When::Next(calls) }
    }

    /// Each call meets `kind` with probability `rate`, from 0 to 1; other numbers count as the
    /// nearer of the two.
    #[must_use]
    pub fn rate(rate: f64, kind: Kind) -> Self {
        let rate = if rate.is_nan() { 0.0 } else { rate.clamp(0.0, 1.0) };
        Self { kind, action: None, app: None, takes_effect: false, when: When::Rate(rate) }
    }

    /// Only calls of `action`.
    #[must_use]
    pub fn on(self, action: Action) -> Self {
        Self { action: Some(action), ..self }
    }

    /// Only calls that name the application `app`.
    #[must_use]
    pub fn of(self, app: u64) -> Self {
        Self { app: Some(app), ..self }
    }

    /// The call takes effect all the same, only its answer is lost or wrong. Without this, kinds
    /// that spoil the whole call (from [`Kind::Status`] to [`Kind::Error`]) strike before it is
    /// looked at; the others always spoil the answer only.
    #[must_use]
    pub fn after_effect(self) -> Self {
        Self { takes_effect: true, ..self }
    }
}

/// A fault as it is written in JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    kind: Kind,
    action: Option<Action>,
    app: Option<u64>,
    #[serde(default)]
    takes_effect: bool,
    next: Option<u32>,
    rate: Option<f64>,
}

impl TryFrom<Written> for Fault {
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
            Kind::Status(status) if !(300..=599).contains(&status) => {
                Err("\"status\" is from 300 to 599")
            }
            Kind::Oversized(size) if size > ByteSize::gib(1) => {
                Err("\"oversized\" is at most 1GiB")
            }
            Kind::Slow(time) | Kind::Delay(time) if time > Duration::from_secs(3600) => {
                Err("\"slow\" and \"delay\" are at most 1h")
            }
            kind => {
                let Written { action, app, takes_effect, .. } = written;
                Ok(Self { kind, action, app, takes_effect, when })
            }
        }
    }
}

/// At which point of a call a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    /// Before the request is looked at.
    Request,
    /// When a batch of this many events, at least one, is to be written.
    Batch(usize),
}

impl Kind {
    fn strikes_at(&self, point: Point) -> bool {
        match (self, point) {
            (Self::Duplicate | Self::Malformed(_), Point::Batch(events)) => events >= 1,
            (Self::SharedHandle | Self::Reversed, Point::Batch(events)) => events >= 2,
            (_, Point::Batch(_)) => false,
            (_, Point::Request) => !self.is_of_batches(),
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

/// A fault that a call meets.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Struck {
    pub(super) kind: Kind,
    pub(super) takes_effect: bool,
}

/// The list of faults is full.
#[derive(Debug)]
pub(super) struct TooMany;

/// The faults that are set, asked in the order in which they were.
#[derive(Debug)]
pub(super) struct Faults {
    set: Vec<Fault>,
    random: StdRng,
}

impl Faults {
    pub(super) fn new(seed: u64) -> Self {
        Self { set: Vec::new(), random: StdRng::seed_from_u64(seed) }
    }

    pub(super) fn set(&mut self, fault: Fault) -> Result<(), TooMany> {
        if self.set.len() >= MAX_FAULTS {
            return Err(TooMany);
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

    /// The fault that a call of `action` for `app` meets at `point`, the first of the list that
    /// does not miss it. `action` is `None` where the call names none that exists.
    pub(super) fn draw(
        &mut self,
        action: Option<Action>,
        app: Option<u64>,
        point: Point,
    ) -> Option<Struck> {
        let random = &mut self.random;
        let hit = self.set.iter_mut().position(|fault| {
            let concerned = fault.action.is_none_or(|only| Some(only) == action)
                && fault.app.is_none_or(|only| Some(only) == app)
                && (!fault.kind.is_for_pulls_only() || action == Some(Action::PullEvents))
                && fault.kind.strikes_at(point);
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
        let struck = Struck { kind: fault.kind.clone(), takes_effect: fault.takes_effect };
        if fault.when == When::Next(0) {
            self.set.remove(hit);
        }
        Some(struck)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(faults: &mut Faults, action: Action, calls: usize) -> usize {
        (0..calls).filter(|_| faults.draw(Some(action), None, Point::Request).is_some()).count()
    }

    fn with(fault: Fault) -> Faults {
        let mut faults = Faults::new(1);
        faults.set(fault).unwrap();
        faults
    }

    #[test]
    fn the_next_calls_meet_it_and_no_others() {
        let mut faults = with(Fault::next(3, Kind::Reset));
        assert_eq!(draws(&mut faults, Action::PullEvents, 10), 3);
        assert!(faults.set.is_empty());
    }

    #[test]
    fn it_can_be_limited_to_an_action() {
        let mut faults = with(Fault::next(3, Kind::Reset).on(Action::ConfirmEvents));
        assert_eq!(draws(&mut faults, Action::PullEvents, 10), 0);
        assert_eq!(faults.draw(None, None, Point::Request), None);
        assert_eq!(draws(&mut faults, Action::ConfirmEvents, 10), 3);
    }

    #[test]
    fn a_rate_is_kept_to_and_the_same_seed_draws_the_same() {
        let mut hits = Vec::new();
        for seed in [1, 1, 2] {
            let mut faults = Faults::new(seed);
            faults.set(Fault::rate(0.1, Kind::Throttle)).unwrap();
            let drawn: Vec<_> = (0..10_000)
                .map(|_| faults.draw(Some(Action::PullEvents), None, Point::Request).is_some())
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
        let mut faults = with(Fault::next(1, Kind::SharedHandle));
        let pull = Some(Action::PullEvents);
        assert_eq!(faults.draw(pull, None, Point::Request), None);
        assert_eq!(faults.draw(pull, None, Point::Batch(1)), None);
        assert!(faults.draw(pull, None, Point::Batch(2)).is_some());
        assert_eq!(faults.draw(pull, None, Point::Batch(2)), None);
    }

    #[test]
    fn several_faults_follow_each_other() {
        let mut faults = with(Fault::next(1, Kind::Reset));
        faults.set(Fault::next(1, Kind::Hang).after_effect()).unwrap();
        let drawn: Vec<_> =
            (0..3).map(|_| faults.draw(Some(Action::PullEvents), None, Point::Request)).collect();
        assert_eq!(
            drawn,
            [
                Some(Struck { kind: Kind::Reset, takes_effect: false }),
                Some(Struck { kind: Kind::Hang, takes_effect: true }),
                None
            ]
        );
    }

    #[test]
    fn json_says_the_same() {
        for (json, fault) in [
            (r#"{"kind":"reset"}"#, Fault::next(1, Kind::Reset)),
            (
                r#"{"kind":"hold","action":"ConfirmEvents","takes_effect":true,"next":2}"#,
                Fault::next(2, Kind::Hold).on(Action::ConfirmEvents).after_effect(),
            ),
            (r#"{"kind":{"status":502},"rate":0.25}"#, Fault::rate(0.25, Kind::Status(502))),
            (r#"{"kind":{"slow":"8s"}}"#, Fault::next(1, Kind::Slow(Duration::from_secs(8)))),
            (r#"{"kind":{"delay":"7s"}}"#, Fault::next(1, Kind::Delay(Duration::from_secs(7)))),
            (r#"{"kind":{"wrong-clock":-600}}"#, Fault::next(1, Kind::WrongClock(-600))),
            (
                r#"{"kind":{"oversized":"64MiB"}}"#,
                Fault::next(1, Kind::Oversized(ByteSize::mib(64))),
            ),
            (r#"{"kind":{"empty":"null"}}"#, Fault::next(1, Kind::Empty(Empty::Null))),
            (
                r#"{"kind":{"malformed":"no-handle"}}"#,
                Fault::next(1, Kind::Malformed(Malformed::NoHandle)),
            ),
            (
                r#"{"kind":{"error":"UnauthorizedOperation"}}"#,
                Fault::next(1, Kind::Error("UnauthorizedOperation".to_owned())),
            ),
        ] {
            assert_eq!(serde_json::from_str::<Fault>(json).unwrap(), fault, "{json}");
        }
        for json in [
            r#"{"kind":"rest"}"#,
            r#"{"kind":"reset","next":1,"rate":0.5}"#,
            r#"{"kind":"reset","rate":1.5}"#,
            r#"{"kind":"reset","times":1}"#,
            r#"{"kind":{"status":99}}"#,
            r#"{"kind":"reset","action":"PushEvents"}"#,
        ] {
            assert!(serde_json::from_str::<Fault>(json).is_err(), "{json}");
        }
    }
}
