//! SIGKILL again and again while events arrive, at random moments and at named points on the way
//! of an event; and after the last restart, nothing is lost.
//!
//! How a point is reached: the cloud or the receiver holds an answer, or another process keeps
//! the journal; then the daemon is stopped and its events are looked for, in the cloud, the
//! journal's file and the sinks' own records. If one is at the point the daemon is killed, else it
//! goes on for a moment.

mod figures;
mod fixture;
mod hook;
pub(super) mod ledger;
mod pause;

use std::collections::HashMap;
use std::time::Instant;

use self::figures::Figures;
use self::fixture::{Fixture, Plan};
use self::hook::Pause;
use self::ledger::{After, FILE, HOOK, Look};
use super::soak::number;
use super::until;

/// Where a kill falls.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Point {
    /// Wherever the daemon is, its start included.
    Anywhere,
    /// The cloud has handed an event out, and its answer is on its way.
    Pulled,
    /// The answer is there, and its append waits for the journal.
    Appending,
    /// An event is in the journal, and this sink does not have it.
    Stored(&'static str),
    /// This sink has an event, and the journal does not know.
    Taken(&'static str),
    /// An event is delivered, as the journal has it, and not confirmed.
    Recorded,
    /// Of what is safe some was confirmed and some not.
    Confirming,
}

const NAMED: [Point; 8] = [
    Point::Pulled,
    Point::Appending,
    Point::Stored(FILE),
    Point::Stored(HOOK),
    Point::Taken(FILE),
    Point::Taken(HOOK),
    Point::Recorded,
    Point::Confirming,
];

impl Point {
    /// What it is called in the figures.
    fn name(self) -> &'static str {
        match self {
            Self::Anywhere => "at random moments",
            Self::Pulled => "after the pull",
            Self::Appending => "while the append waits",
            Self::Stored(_) => "after the append",
            Self::Taken(_) => "after the sink took it",
            Self::Recorded => "after its record",
            Self::Confirming => "between two confirms",
        }
    }

    /// Whether events are there.
    fn is_in(self, look: &Look, has_confirmed: bool) -> bool {
        let some = |of: &HashMap<String, _>, sink| of.contains_key(sink);
        match self {
            Self::Anywhere => true,
            Self::Pulled | Self::Appending => !look.pulled.is_empty(),
            Self::Stored(sink) => some(&look.stored, sink),
            Self::Taken(sink) => some(&look.taken, sink),
            Self::Recorded => !look.recorded.is_empty(),
            Self::Confirming => has_confirmed && !look.safe.is_empty(),
        }
    }
}

/// Kills a daemon at each of these points.
#[allow(clippy::print_stdout, reason = "shown with the test that failed, and in a soak")]
async fn round(plan: Plan, points: &[Point], seed: u64) -> Figures {
    println!("{plan:?}, seed {seed}");
    let mut fixture = Fixture::new(plan, seed).await;
    for point in points {
        fixture.kill(*point).await;
    }
    fixture.end().await
}

/// All named points, each followed by a random moment, until there are `kills`.
fn points(kills: usize) -> Vec<Point> {
    let cycle = NAMED.iter().flat_map(|named| [*named, Point::Anywhere]);
    cycle.cycle().take(kills).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_nothing_is_lost_and_confirmed_is_delivered() {
    let plan = Plan::new(After::Delivery, "cloudevents");
    println!("{}", round(plan, &points(15), rand::random()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_nothing_is_lost_that_was_confirmed_on_the_journals_word() {
    let points = [&NAMED[..], &[Point::Anywhere; 2]].concat();
    let plan = Plan::new(After::Journal, "callback");
    println!("{}", round(plan, &points, rand::random()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_one_sink_after_another_has_each_event_once() {
    for after in [After::Delivery, After::Journal] {
        let plan = Plan { is_chain: true, ..Plan::new(after, "cloudevents") };
        println!("{}", round(plan, &points(10), rand::random()).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirm_before_the_event_is_at_the_sinks_would_be_noticed() {
    let plan = Plan { expected: After::Delivery, ..Plan::new(After::Journal, "cloudevents") };
    let fixture = Fixture::new(plan, 1).await;
    fixture.hook.pause(Pause::BeforeTaking);
    let _daemon = fixture.site.start();
    until(async || !fixture.ledger.witnessed().1.is_empty()).await;
    assert!(fixture.ledger.witnessed().1.iter().any(|early| early.ends_with("not at the hook")));
}

/// `tests/run --soak`. SPRITED_SOAK_KILLS says how many (1,000), SPRITED_SOAK_SEED which.
mod soak {
    use super::*;

    /// In rounds of so many kills, since looking takes longer the more events there are.
    const ROUND: usize = 50;

    /// Two hundred, in both modes of confirming.
    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "takes minutes; tests/run --soak"]
    async fn two_hundred_kills_of_one_sink_after_another() {
        let mut all = Figures::default();
        for (index, points) in points(200).chunks(ROUND).enumerate() {
            let after = if index % 2 == 0 { After::Delivery } else { After::Journal };
            let plan = Plan { is_chain: true, ..Plan::new(after, "cloudevents") };
            all.add(round(plan, points, rand::random()).await);
        }
        println!("{all}");
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "takes minutes; tests/run --soak"]
    async fn a_thousand_kills_and_nothing_is_lost() {
        let kills = number("SPRITED_SOAK_KILLS").unwrap_or(1000) as usize;
        let seed = number("SPRITED_SOAK_SEED").unwrap_or_else(rand::random);
        println!("SPRITED_SOAK_SEED={seed}");
        let began = Instant::now();
        let mut all = Figures::default();
        for (index, points) in points(kills).chunks(ROUND).enumerate() {
            let plan = match index % 4 {
                0 => Plan::new(After::Delivery, "cloudevents"),
                1 => Plan::new(After::Journal, "callback"),
                2 => Plan::new(After::Delivery, "callback"),
                _ => Plan::new(After::Journal, "cloudevents"),
            };
            all.add(round(plan, points, seed.wrapping_add(index as u64)).await);
        }
        println!("{all}\n{} s", began.elapsed().as_secs());
    }
}
