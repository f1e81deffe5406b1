//! Any order of what can happen to a journal, crashes included, against a plain model in memory.

mod bench;
mod plain;

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, TestRunner};

use sprited::journal::On;

use bench::Bench;

/// The sinks there may be.
const SINKS: [&str; 3] = ["a", "b", "c"];
const KINDS: u8 = 3;

/// An event by its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Content {
    kind: u8,
    number: u8,
    has_task: bool,
    /// The handle that it comes under.
    handle: u8,
}

impl Content {
    /// What equal events have in common.
    fn without_handle(self) -> Self {
        Self { handle: 0, ..self }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Verdict {
    Delivered,
    Retry { due: i64, error: String },
    Dead { error: String },
}

/// A verdict before it is known when it is given.
#[derive(Clone, Copy, Debug)]
enum Said {
    Delivered,
    /// Due after so many minutes.
    Retry(i64),
    Dead,
}

/// An event by its place among those that were ever stored; the last is one to come.
type Which = u8;

#[derive(Clone, Debug)]
enum Write {
    Append(Vec<Content>),
    Record { sink: usize, said: Vec<(Which, Said)>, mark: Option<u8> },
    Sending(Vec<(u8, Vec<Which>)>),
    NotTaken(Vec<Which>),
    Confirmed(Vec<Which>),
}

#[derive(Clone, Debug)]
enum Step {
    /// Asked for one after the other, without waiting for answers.
    Together(Vec<Write>),
    Requeue {
        sink: usize,
        events: Vec<Which>,
    },
    Discard {
        sink: usize,
        events: Vec<Which>,
    },
    Prune,
    /// Opened anew so small that all goes that may, and once more as it was.
    PruneForSpace,
    /// The sinks of the configuration, and what each of them wants.
    Configure {
        sinks: [bool; 3],
        wanted: [[bool; 3]; 3],
        /// The sink that each comes after, an earlier one.
        after: [Option<(usize, On)>; 3],
    },
    /// The clock goes on, or back, by so many minutes.
    Clock(i64),
    Due {
        sink: usize,
        limit: usize,
    },
    DueNow {
        sink: usize,
    },
    Reopen,
    /// What stands on the disk at this moment is all that is left.
    Crash,
    /// The same while events are stored.
    CrashWhile(Vec<Content>),
}

fn time(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap()
}

fn contents() -> impl Strategy<Value = Vec<Content>> {
    let content = (0..KINDS, 0..4_u8, any::<bool>(), 0..4_u8)
        .prop_map(|(kind, number, has_task, handle)| Content { kind, number, has_task, handle });
    prop::collection::vec(content, 1..5)
}

fn events() -> impl Strategy<Value = Vec<Which>> {
    prop::collection::vec(any::<Which>(), 1..6)
}

fn write() -> impl Strategy<Value = Write> {
    let said = prop_oneof![
        3 => Just(Said::Delivered),
        2 => (-5..200_i64).prop_map(Said::Retry),
        1 => Just(Said::Dead),
    ];
    let said = prop::collection::vec((any::<Which>(), said), 1..6);
    prop_oneof![
        3 => contents().prop_map(Write::Append),
        5 => (0..SINKS.len(), said, prop::option::of(any::<u8>()))
            .prop_map(|(sink, said, mark)| Write::Record { sink, said, mark }),
        2 => prop::collection::vec((0..4_u8, events()), 1..4).prop_map(Write::Sending),
        1 => events().prop_map(Write::NotTaken),
        2 => events().prop_map(Write::Confirmed),
    ]
}

fn after() -> impl Strategy<Value = [Option<(usize, On)>; 3]> {
    let on = || prop_oneof![Just(On::Settled), Just(On::Delivered), Just(On::Dead)];
    let second = prop::option::weighted(0.7, (Just(0_usize), on()));
    let third = prop::option::weighted(0.7, (0..2_usize, on()));
    (second, third).prop_map(|(second, third)| [None, second, third])
}

fn step() -> impl Strategy<Value = Step> {
    let sink = 0..SINKS.len();
    prop_oneof![
        20 => prop::collection::vec(write(), 1..4).prop_map(Step::Together),
        3 => (sink.clone(), events()).prop_map(|(sink, events)| Step::Requeue { sink, events }),
        3 => (sink.clone(), events()).prop_map(|(sink, events)| Step::Discard { sink, events }),
        2 => Just(Step::Prune),
        1 => Just(Step::PruneForSpace),
        2 => (any::<([bool; 3], [[bool; 3]; 3])>(), after()).prop_map(
            |((sinks, wanted), after)| Step::Configure { sinks, wanted, after }),
        3 => prop_oneof![0..30_i64, 0..30_000_i64, -3_000..0_i64].prop_map(Step::Clock),
        3 => (sink.clone(), 1..9_usize).prop_map(|(sink, limit)| Step::Due { sink, limit }),
        1 => sink.prop_map(|sink| Step::DueNow { sink }),
        1 => Just(Step::Reopen),
        2 => Just(Step::Crash),
        1 => contents().prop_map(Step::CrashWhile),
    ]
}

/// The seeds of cases that failed once, to be committed with what mends them: each run begins with
/// them.
const SEEDS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/journal_model/failed.proptest-regressions");

/// So many cases, behind those whose seeds are in the file; the seed of one that fails is added to
/// it and printed.
fn config(cases: u32, seeds: &'static str) -> ProptestConfig {
    ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(seeds))),
        max_shrink_iters: 4_000,
        ..ProptestConfig::with_cases(cases)
    }
}

/// Runs so many cases; `SPRITED_JOURNAL_CASES` asks for another number.
fn run(cases: u32) {
    let cases = match std::env::var("SPRITED_JOURNAL_CASES") {
        Ok(cases) => cases.parse().expect("SPRITED_JOURNAL_CASES is a number"),
        Err(_) => cases,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    proptest!(config(cases, SEEDS), |(steps in prop::collection::vec(step(), 1..60))| {
        runtime.block_on(async {
            let mut bench = Bench::new().await;
            for step in &steps {
                bench.step(step).await;
            }
            bench.end().await;
        });
    });
}

#[test]
fn any_order_of_events_verdicts_and_crashes_leaves_what_the_plain_model_says() {
    run(48);
}

#[test]
fn a_case_that_failed_once_is_tried_first_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    // The configuration wants a path that lasts as long as the program.
    let seeds: &'static str = folder.path().join("seeds").to_str().unwrap().to_owned().leak();
    let tried = |cases, fails: bool| {
        let tried = std::cell::RefCell::new(Vec::new());
        let result = TestRunner::new(config(cases, seeds)).run(&any::<u64>(), |number| {
            tried.borrow_mut().push(number);
            prop_assert!(!fails);
            Ok(())
        });
        assert_eq!(result.is_err(), fails);
        tried.into_inner()
    };
    assert_eq!(tried(1, false).len(), 1);
    let failed = tried(1, true)[0];
    assert!(std::fs::read_to_string(seeds).unwrap().lines().any(|line| line.starts_with("cc ")));
    assert_eq!(tried(1, false)[0], failed);
}

mod soak {
    #[test]
    #[ignore = "minutes"]
    fn any_order_of_events_verdicts_and_crashes_leaves_what_the_plain_model_says() {
        super::run(3_000);
    }
}
