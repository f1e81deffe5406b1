//! The cloud's faults, one by one: whatever happens on the way, each event ends at the sink, once,
//! and is confirmed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use vod_emulator::{ApiAction, EmptyAnswer, EmulatorSettings, FaultKind, InjectedFault};

use super::{LEASE, Site, file, settings};
use crate::support::until;

const EVENTS: u32 = 20;
/// Events of the first pull, which the fault meets.
const BATCH: u64 = 16;
/// Daemons at once.
const AT_ONCE: usize = 12;

/// What a fault does to a call, if it does not take the effect as well.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Harm {
    /// It fails whole: before its effect, or after it without its answer.
    Call,
    /// It takes effect, and its answer is lost.
    Answer,
    /// Nothing that costs a hand-out: it is late, or of another shape.
    None,
    /// The first event cannot be confirmed.
    FirstHandle,
}

/// Every kind of fault, with its harm, which calls meet it, and how many entries of no event it adds.
pub(super) const CASES: &[(&str, Harm, &[ApiAction], usize)] = &[
    // Those that take longest go first.
    (r#""hang""#, Harm::Call, BOTH, 0),
    (r#"{"error":"UnauthorizedOperation.CamNoAuth"}"#, Harm::Call, BOTH, 0),
    (r#"{"error":"InvalidParameterValue"}"#, Harm::Call, BOTH, 0),
    (r#"{"error":"NeverHeardOf"}"#, Harm::Call, BOTH, 0),
    (r#"{"status":404}"#, Harm::Call, BOTH, 0),
    (r#"{"status":502}"#, Harm::Call, BOTH, 0),
    (r#""reset""#, Harm::Call, BOTH, 0),
    (r#""hold""#, Harm::None, BOTH, 0),
    (r#"{"delay":"1s"}"#, Harm::None, BOTH, 0),
    (r#""throttle""#, Harm::Call, BOTH, 0),
    (r#""internal-error""#, Harm::Call, BOTH, 0),
    (r#"{"wrong-clock":3600}"#, Harm::None, BOTH, 0),
    (r#"{"wrong-clock":-3600}"#, Harm::None, BOTH, 0),
    (r#""truncated""#, Harm::Answer, BOTH, 0),
    (r#""cut""#, Harm::Answer, BOTH, 0),
    (r#""torn""#, Harm::Answer, BOTH, 0),
    (r#"{"slow":"1s"}"#, Harm::None, BOTH, 0),
    (r#"{"oversized":"17MiB"}"#, Harm::Answer, BOTH, 0),
    (r#"{"empty":"error"}"#, Harm::None, PULL, 0),
    (r#"{"empty":"null"}"#, Harm::None, PULL, 0),
    (r#"{"empty":"absent"}"#, Harm::None, PULL, 0),
    (r#"{"empty":"list"}"#, Harm::None, PULL, 0),
    (r#""reversed""#, Harm::None, PULL, 0),
    (r#""duplicate""#, Harm::None, PULL, 0),
    (r#""shared-handle""#, Harm::None, PULL, 0),
    (r#"{"malformed":"null"}"#, Harm::None, PULL, 1),
    (r#"{"malformed":"number"}"#, Harm::None, PULL, 1),
    (r#"{"malformed":"string"}"#, Harm::None, PULL, 1),
    (r#"{"malformed":"invalid-utf8"}"#, Harm::None, PULL, 1),
    (r#"{"malformed":"no-handle"}"#, Harm::FirstHandle, PULL, 0),
    (r#"{"malformed":"null-handle"}"#, Harm::FirstHandle, PULL, 0),
    (r#"{"malformed":"number-handle"}"#, Harm::FirstHandle, PULL, 0),
];
const PULL: &[ApiAction] = &[ApiAction::PullEvents];
const BOTH: &[ApiAction] = &[ApiAction::PullEvents, ApiAction::ConfirmEvents];

/// The names that the emulator knows for the kind (`/`) or for a detail of it (`/empty`), by what
/// it says of one that it does not know.
fn known(detail: &str) -> BTreeSet<String> {
    let unknown = json!("no such name");
    let kind = match detail {
        "" => unknown,
        detail => json!({ detail: unknown }),
    };
    let error =
        serde_json::from_value::<InjectedFault>(json!({ "kind": kind })).unwrap_err().to_string();
    let (_, names) = error.split_once("expected one of ").expect(&error);
    names.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_kind_of_fault_has_its_case() {
    let kinds: Vec<Value> =
        CASES.iter().map(|case| serde_json::from_str(case.0).unwrap()).collect();
    let name = |kind: &Value| match kind {
        Value::Object(detailed) => detailed.keys().next().unwrap().clone(),
        plain => plain.as_str().unwrap().to_owned(),
    };
    assert_eq!(kinds.iter().map(name).collect::<BTreeSet<_>>(), known(""));
    for detail in ["empty", "malformed"] {
        let of = |kind: &Value| kind[detail].as_str().map(str::to_owned);
        assert_eq!(kinds.iter().filter_map(of).collect::<BTreeSet<_>>(), known(detail));
    }
}

/// A kind of fault at one action, before or after its effect.
#[derive(Clone, Copy, Debug)]
struct Case {
    kind: &'static str,
    harm: Harm,
    action: ApiAction,
    takes_effect: bool,
    strays: usize,
}

impl Case {
    fn all() -> Vec<Self> {
        let each = CASES.iter().flat_map(|(kind, harm, actions, strays)| {
            // The others spoil the answer alone, whatever is asked for.
            let has_both = *harm == Harm::Call || kind.contains("hold") || kind.contains("delay");
            let effects: &[bool] = if has_both { &[false, true] } else { &[false] };
            actions.iter().flat_map(move |action| {
                effects.iter().map(move |takes_effect| Self {
                    kind,
                    harm: *harm,
                    action: *action,
                    takes_effect: *takes_effect,
                    strays: *strays,
                })
            })
        });
        each.collect()
    }

    /// Runs a daemon whose first call of the action meets the fault.
    async fn pass(self) {
        let Self { kind, action, takes_effect, .. } = self;
        // What a confirm leaves is repaired by confirming, not by pulling once more. But where a disk
        // is slow, the first call may hold a lone handle, which is then the one at fault.
        let blames_handles = kind.contains("InvalidParameter");
        let lease = match action {
            ApiAction::PullEvents => LEASE,
            _ if blames_handles => Duration::from_secs(20),
            _ => Duration::from_secs(60),
        };
        let site =
            Site::with(EmulatorSettings { lease, ..settings() }, "", &file("all", "*")).await;
        site.set_lease(lease);
        let control = &site.cloud.control;
        let made = site.make_sprites(EVENTS);
        let kind: Value = serde_json::from_str(kind).unwrap();
        let fault = json!({ "kind": kind, "action": action.name(), "takes_effect": takes_effect });
        control.fault(serde_json::from_value(fault).unwrap()).unwrap();
        let daemon = site.start();
        let deadline = Instant::now() + Duration::from_secs(50);
        while control.totals().waiting > 0 {
            assert!(Instant::now() < deadline, "not drained: {self:?}, {:?}", control.totals());
            control.release();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        daemon.stop().await;
        let totals = control.totals();
        assert_eq!(totals.faults.values().sum::<u64>(), 1, "{self:?}: {totals:?}");
        let lost = match (self.harm, action) {
            (Harm::Call, ApiAction::PullEvents) if takes_effect => BATCH,
            (Harm::Answer, ApiAction::PullEvents) => BATCH,
            (Harm::FirstHandle, _) => 1,
            _ => 0,
        };
        assert!(totals.handed_out_again >= lost, "{self:?}: {totals:?}");
        if action == ApiAction::ConfirmEvents {
            let most = u64::from(blames_handles);
            assert!(totals.handed_out_again <= most, "{self:?}: {totals:?}");
        }
        site.assert_equal_ledgers("all.jsonl", &made, self.strays);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_fault_singly_before_and_after_the_effect_on_pull_and_on_confirm() {
    stream::iter(Case::all()).for_each_concurrent(AT_ONCE, Case::pass).await;
}

#[tokio::test]
async fn a_rate_that_is_lower_than_configured() {
    let cloud = EmulatorSettings { rate_limit: Some(5), ..settings() };
    let site = Site::with(cloud, "", &file("all", "*")).await;
    let made = site.make_sprites(5 * EVENTS);
    let daemon = site.start();
    site.drained().await;
    daemon.stop().await;
    let throttled = |action| site.cloud.control.totals().calls_of(action, "RequestLimitExceeded");
    assert!(throttled(ApiAction::PullEvents) > 0);
    site.assert_equal_ledgers("all.jsonl", &made, 0);
}

/// Each call of either action is refused for three seconds.
#[tokio::test]
async fn a_burst_of_throttling_is_met_with_fewer_calls() {
    let site = Site::new(&file("all", "*")).await;
    let made = site.make_sprites(5 * EVENTS);
    let control = &site.cloud.control;
    let throttled = |action| control.totals().calls_of(action, "fault");
    for action in BOTH {
        control.fault(InjectedFault::rate(1.0, FaultKind::Throttle).on(*action)).unwrap();
    }
    let daemon = site.start();
    let burst = Instant::now();
    until(|| throttled(ApiAction::PullEvents) >= 6).await;
    control.clear_faults();
    let (seconds, calls) = (burst.elapsed().as_secs_f64(), throttled(ApiAction::PullEvents));
    // The waits after the first five are 0.01, 0.02, 0.04, 0.08 and 0.16 s at least.
    assert!(seconds > 0.3, "{calls} pulls in {seconds} s");
    control
        .fault(InjectedFault::rate(1.0, FaultKind::Throttle).on(ApiAction::ConfirmEvents))
        .unwrap();
    until(|| throttled(ApiAction::ConfirmEvents) >= 6).await;
    control.clear_faults();
    site.drained().await;
    assert_eq!(daemon.logged("pulling fails").len(), 1, "once a minute at most");
    assert_eq!(daemon.logged("pulling works again").len(), 1);
    daemon.stop().await;
    site.assert_equal_ledgers("all.jsonl", &made, 0);
}

#[tokio::test]
async fn a_clock_that_is_off_by_an_hour() {
    join_all([1, -1].map(async |hours| {
        let site = Site::new(&file("sprites", "image-sprite")).await;
        site.cloud.control.set_clock_offset(TimeDelta::hours(hours));
        site.add_sprites(EVENTS);
        let daemon = site.start();
        site.drained().await;
        let seconds = daemon.metric("sprited_clock_offset_seconds").await;
        assert!((seconds - 3600.0 * hours as f64).abs() < 5.0, "{seconds}");
        // The clock is set right: what was learned is unlearned.
        site.cloud.control.set_clock_offset(TimeDelta::zero());
        site.add_sprites(EVENTS);
        site.drained().await;
        daemon.stop().await;
        site.assert_once("sprites.jsonl", 2 * EVENTS as usize);
    }))
    .await;
}

#[tokio::test]
async fn every_way_to_say_that_there_is_nothing() {
    join_all([EmptyAnswer::Error, EmptyAnswer::Null, EmptyAnswer::Absent, EmptyAnswer::List].map(
        async |empty| {
            let site =
                Site::with(EmulatorSettings { empty, ..settings() }, "", &file("all", "*")).await;
            let daemon = site.start();
            let empty_pulls =
                || site.cloud.control.totals().calls_of(ApiAction::PullEvents, "empty");
            until(|| empty_pulls() >= 2).await;
            site.add_sprites(EVENTS);
            site.drained().await;
            assert_eq!(daemon.get("/readyz").await.0, 200);
            // What there was to say of the events has been said two pulls later.
            let pulls = empty_pulls();
            until(|| empty_pulls() >= pulls + 2).await;
            // Nothing is said of an empty queue, at any level; the first line is that of the start.
            let lines = daemon.log().lines().count();
            let pulls = empty_pulls();
            until(|| empty_pulls() >= pulls + 3).await;
            assert_eq!(daemon.log().lines().count(), lines);
            daemon.stop().await;
            site.assert_once("all.jsonl", EVENTS as usize);
        },
    ))
    .await;
}

/// "At most 16" may be fewer though more wait.
#[tokio::test]
async fn answers_that_are_never_full_slow_nothing_down() {
    let cloud = EmulatorSettings { batch: 10, round_trip: Duration::from_millis(50), ..settings() };
    let site = Site::with(cloud, "", &file("sprites", "image-sprite")).await;
    let daemon = site.start();
    let mut made = 0;
    while daemon.metric("sprited_pull_concurrency").await < 3.5 {
        site.add_sprites(400);
        made += 400;
        assert!(made < 100_000, "one pull at a time");
    }
    site.drained().await;
    daemon.stop().await;
    site.assert_once("sprites.jsonl", made);
}
