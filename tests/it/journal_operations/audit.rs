//! `sprited audit` over a journal that is right, and over every way it can be wrong.

use chrono::Utc;
use serde_json::Value;
use sprited::journal::{DeliveryOutcome, EventId, JournalAdmin, Then};

use super::{Bench, days};
use crate::cli::Ended;

/// A journal with rows of every kind, and counters none of which is zero.
pub(super) async fn bench() -> Bench {
    let bench = Bench::new().await;
    let long_ago = Utc::now() - days(30);
    for number in 0..10 {
        let pulled = if number < 3 { long_ago } else { Utc::now() };
        bench.append_kind("T", number, pulled).await;
    }
    let event = EventId;
    for id in [1, 2, 3, 4] {
        bench.record(0, event(id), DeliveryOutcome::Delivered).await;
        bench.record(1, event(id), DeliveryOutcome::Delivered).await;
    }
    for sink in [0, 1] {
        bench.kill(sink, event(5), "no").await;
        bench.kill(sink, event(6), "no").await;
    }
    bench.journal.confirmed(vec![event(1), event(4)], Utc::now()).await.unwrap();
    bench.route(&["nothing", "nothing"]).await;
    bench.append_kind("U", 1, long_ago).await;
    bench.append_kind("U", 2, Utc::now()).await;
    let again = bench.append_kind("T", 9, Utc::now()).await.0;
    assert_eq!(again, event(10));
    bench.commit().await;
    let mut editor = JournalAdmin::open(&bench.path()).unwrap();
    for sink in &bench.sinks {
        editor.discard(*sink, &[event(6), event(7)], Then::Followers, Utc::now()).unwrap();
        editor.requeue(*sink, None, &[event(4)], Utc::now()).unwrap();
    }
    bench.journal.set_pulling_paused(Some(long_ago)).await.unwrap();
    bench.journal.set_sink_paused(bench.sinks[1], Some(long_ago)).await.unwrap();
    let sqlite = bench.sqlite();
    sqlite
        .execute("INSERT INTO occurrences SELECT 8, key, key, 1 FROM events WHERE id = 8", [])
        .unwrap();
    while bench.journal.prune(Utc::now()).await.unwrap() {}
    bench
}

fn audited(bench: &Bench) -> (i32, Value, String) {
    let Ended { code, out, .. } = bench.sprited(&["audit", "--json"]);
    (code, serde_json::from_str(&out).expect(&out), out)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_is_right_adds_up() {
    let bench = bench().await;
    let said = bench.said(&["audit"]);
    assert!(said.ends_with("\nAll counters match their rows.\n") && !said.contains("NO"), "{said}");
    let (code, found, out) = audited(&bench);
    assert_eq!(
        (code, &found["ok"], &found["violations"]),
        (0, &true.into(), &Value::Array(vec![]))
    );
    assert_eq!(found["sums"].as_array().unwrap().len(), 3 + 2 * 3, "{out}");
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_counter_that_is_off_is_found() {
    let bench = bench().await;
    let sqlite = bench.sqlite();
    let mut select = sqlite.prepare("SELECT name, sink FROM counters").unwrap();
    let counters: Vec<(String, i64)> = select
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(counters.len(), 8 + 2 * 5, "{counters:?}");
    let add = |(name, sink): &(String, i64), by: i64| {
        let sql = "UPDATE counters SET value = value + ?3 WHERE name = ?1 AND sink = ?2";
        assert_eq!(sqlite.execute(sql, (name, sink, by)).unwrap(), 1);
    };
    for counter in &counters {
        for by in [1, -1, -1000] {
            // How often an event came again, or was asked for by hand, stands in no row.
            if ["seen_again", "requests"].contains(&&*counter.0) && by != -1000 {
                continue;
            }
            add(counter, by);
            let (code, found, out) = audited(&bench);
            assert!(code == 1 && found["ok"] == false, "{counter:?} {by}: {out}");
            add(counter, -by);
        }
    }
    assert_eq!(audited(&bench).0, 0, "and nothing else is off");
    drop(select);
    drop(sqlite);
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_that_is_off_is_found() {
    let bench = bench().await;
    let sqlite = bench.sqlite();
    // What is done, and what of it shows; without a colon it is the sum that is off.
    let harms = [
        ("DELETE FROM events WHERE id = 8", "pending without an event: event 8 at sink 1"),
        ("DELETE FROM events WHERE id = 5", "dead without an event: event 5 at sink 1"),
        ("DELETE FROM events WHERE id = 4", "confirmed without an event: event 4"),
        ("DELETE FROM events WHERE id = 8", "occurrences of no event: event 8"),
        ("DELETE FROM events WHERE sinks = ''", "unrouted"),
        (
            "UPDATE events SET sinks = '1' WHERE id = 8",
            "pending at a sink that the event is not for: event 8 at sink 2",
        ),
        (
            "UPDATE events SET sinks = '2' WHERE id = 5",
            "dead at a sink that the event is not for: event 5 at sink 1",
        ),
        (
            "UPDATE events SET sinks = '1 2 7' WHERE id = 8",
            "events for a sink that is unknown, or twice for one: event 8, key ",
        ),
        (
            "UPDATE events SET sinks = '1 2 2' WHERE id = 8",
            "events for a sink that is unknown, or twice for one: event 8, key ",
        ),
        ("UPDATE events SET sinks = '1 2' WHERE id = 12", "routed"),
        (
            "UPDATE events SET key = x'0102' WHERE id = 9",
            "events whose key is not 16 bytes: event 9, key 0102",
        ),
        (
            "UPDATE events SET key = 'abcdefghijklmnop' WHERE id = 9",
            "events whose key is not 16 bytes: event 9, key 6162",
        ),
        (
            "UPDATE events SET key = (SELECT key FROM events WHERE id = 8) WHERE id = 9",
            "keys of several events: key ",
        ),
        ("UPDATE keys_complete SET before = 9", "events that their key does not lead to: event 8"),
        (
            "INSERT INTO keys SELECT key, 9 FROM events WHERE id = 8",
            "events that their key does not lead to: event 8",
        ),
        ("INSERT INTO keys VALUES (x'00', 99)", "keys of no event: key 00"),
        ("DELETE FROM bodies WHERE event = 8", "pending without a body: event 8 at sink 1"),
        ("DELETE FROM bodies WHERE event = 5", "dead without a body: event 5 at sink 1"),
        ("DELETE FROM pending WHERE event = 8 AND sink = 1", "delivered"),
        (
            "UPDATE pending SET sink = 7 WHERE event = 8 AND sink = 1",
            "pending at no sink: event 8 at sink 7",
        ),
        (
            "INSERT INTO pending (sink, event) VALUES (1, 5)",
            "pending and dead at one sink: event 5 at sink 1",
        ),
        (
            "INSERT INTO pending (sink, event) VALUES (1, 99)",
            "pending without an event: event 99 at sink 1",
        ),
        (
            "INSERT INTO pending (sink, event) VALUES (1, 12)",
            "pending at a sink that the event is not for: event 12 at sink 1",
        ),
        ("DELETE FROM dead WHERE event = 5 AND sink = 1", "dead"),
        (
            "UPDATE dead SET sink = 7 WHERE event = 5 AND sink = 1",
            "dead at no sink: event 5 at sink 7",
        ),
        ("DELETE FROM confirmations", "confirmed"),
        ("INSERT INTO confirmations VALUES (8, 1)", "confirmed"),
        ("INSERT INTO bodies VALUES (99, '{}')", "bodies of no event: event 99"),
        ("INSERT INTO confirmations VALUES (99, 1)", "confirmed without an event: event 99"),
        (
            "INSERT INTO occurrences VALUES (99, zeroblob(16), NULL, 1)",
            "occurrences of no event: event 99",
        ),
        (
            "UPDATE occurrences SET is_open = 2",
            "occurrences that are neither open nor closed, or without content: event 8",
        ),
        (
            "UPDATE occurrences SET content = x'00'",
            "occurrences that are neither open nor closed, or without content: event 8",
        ),
        (
            "UPDATE occurrences SET handle = x'00'",
            "occurrences that are neither open nor closed, or without content: event 8",
        ),
        ("UPDATE events SET origin = 3 WHERE id = 8", "events of no origin: event 8"),
        ("DELETE FROM attempts WHERE event = 5", "dead without an attempt: event 5 at sink 1"),
        (
            "UPDATE pending SET attempts = 1 WHERE event = 8",
            "pending and failed, without an attempt: event 8 at sink 1",
        ),
        ("DELETE FROM events WHERE id = 5", "attempts of no event: event 5 at sink 1"),
        (
            "UPDATE attempts SET sink = 7 WHERE event = 5 AND sink = 1",
            "attempts at no sink: event 5 at sink 7",
        ),
        (
            "UPDATE events SET sinks = '2' WHERE id = 5",
            "attempts at a sink that the event is not for: event 5 at sink 1",
        ),
        (
            "UPDATE attempts SET is_delivered = 1 WHERE event = 5",
            "attempts that neither failed nor delivered, or both: event 5 at sink 1",
        ),
        ("INSERT INTO posted VALUES (99, 1)", "posted but no occurrences: event 99"),
        ("DELETE FROM sinks WHERE id = 2", "counters of no sink: dead of sink 2"),
        ("UPDATE sinks SET name = '' WHERE id = 2", "sinks without a name or state: sink 2"),
        ("INSERT INTO paused VALUES (7, 1)", "paused at no sink: sink 7"),
        ("INSERT INTO counters VALUES ('routed', 7, 1)", "counters of no sink: routed of sink 7"),
        ("INSERT INTO counters VALUES ('lost', 0, 1)", "counters of nothing: lost of sink 0"),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (at, (harm, shows)) in harms.into_iter().enumerate() {
        let copy = folder.path().join(format!("{at}.db"));
        sqlite.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
        rusqlite::Connection::open(&copy).unwrap().execute_batch(harm).expect(harm);
        let found = sprited::journal::audit(&copy).unwrap().unwrap();
        assert!(!found.ok(), "{harm}");
        let is_shown = match shows.split_once(": ") {
            Some((what, which)) => found.violations.iter().any(|violation| {
                violation.what == what
                    && violation.first.iter().any(|first| first.starts_with(which))
            }),
            None => found.sums.iter().any(|sum| sum.what == shows && !sum.ok),
        };
        assert!(is_shown, "{harm}: {found:#?}");
    }
    // The command says the same.
    sqlite.execute("DELETE FROM events WHERE id = 8", []).unwrap();
    let Ended { code, out, .. } = bench.sprited(&["audit"]);
    assert!(
        code == 1 && out.contains("pending without an event: 2\n  event 8 at sink 1\n"),
        "{out}"
    );
    assert!(out.contains("COUNTERS DO NOT MATCH"), "{out}");
    drop(sqlite);
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_journal_at_work_it_always_adds_up_and_so_does_each_copy() {
    let bench = Bench::new().await;
    let sink = bench.sinks[1];
    for number in 0..6000 {
        let pulled = Utc::now() - days(if number < 3000 { 30 } else { 1 });
        bench.append_kind("T", number, pulled).await;
    }
    let path = bench.path();
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let edits = scope.spawn(|| {
            let mut editor = JournalAdmin::open(&path).unwrap();
            let mut round = 0;
            while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
                let events: Vec<_> = (0..20).map(|n| EventId(round * 20 % 6000 + n)).collect();
                editor.discard(sink, &events, Then::Followers, Utc::now()).unwrap();
                editor.requeue(sink, None, &events[..10], Utc::now()).unwrap();
                round += 1;
                // As the commands do: whoever waits for the lock gets a turn.
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            round
        });
        let audits = scope.spawn(|| {
            for round in 0..25 {
                let found = sprited::journal::audit(&path).unwrap().unwrap();
                assert!(found.ok(), "{found:#?}");
                // A copy is of one moment, too.
                if round % 5 == 0 {
                    let copy = path.with_file_name(format!("copy-{round}.db"));
                    sprited::journal::SourceJournal::open(&path)
                        .unwrap()
                        .copy(&copy, |_, _| {})
                        .unwrap();
                    let found = sprited::journal::audit(&copy).unwrap().unwrap();
                    assert!(found.ok(), "{found:#?}");
                    let (damage, violations) = sprited::journal::check(&copy).unwrap();
                    assert!(
                        damage.is_empty() && violations.is_empty(),
                        "{damage:?} {violations:?}"
                    );
                }
            }
            is_done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let work = async {
            let mut number = 6000;
            while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
                bench.append(number).await;
                let event = EventId(i64::from(number % 6000));
                bench.record(0, event, DeliveryOutcome::Delivered).await;
                bench.record(1, event, DeliveryOutcome::Delivered).await;
                bench.kill(1, EventId(event.0 + 1), "no").await;
                bench.journal.prune(Utc::now()).await.unwrap();
                number += 1;
            }
        };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(work));
        audits.join().unwrap();
        assert!(edits.join().unwrap() > 10);
    });
    bench.close().await;
}
