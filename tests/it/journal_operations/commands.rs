//! `sprited events redeliver` and `discard`, and what is left over by sinks that come and go.

use chrono::{DateTime, Utc};
use sprited::journal::{DeliveryOutcome, EventId, EventState, Filter};

use super::{Bench, days};
use crate::cli::Ended;

/// Four events of type T, of which `b` has 1 and 2; 3 is dead there after two failures.
async fn bench() -> (Bench, Vec<(EventId, String)>) {
    let bench = Bench::new().await;
    let mut events = Vec::new();
    for number in 1..=4 {
        let (id, key) = bench.append_kind("T", number, Utc::now()).await;
        events.push((id, key.to_string()));
        bench.record(0, id, DeliveryOutcome::Delivered).await;
    }
    for event in &events[..2] {
        bench.record(1, event.0, DeliveryOutcome::Delivered).await;
    }
    bench.fail(1, events[2].0, Utc::now() + days(1)).await;
    bench.kill(1, events[2].0, "answered 404").await;
    bench.commit().await;
    (bench, events)
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_with_their_reasons_and_delivered_again() {
    let (bench, events) = bench().await;
    let line = bench.said(&["events", "list", "--state", "dead"]);
    let expected = "dead b: dead after 2 attempts, first: refused, last: answered 404";
    let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.ends_with(expected), "{line}");
    let listed = bench.json(&["events", "list", "--state", "dead", "--sink", "b"]);
    let at = &listed["sinks"][1];
    assert_eq!((&at["attempts"], &at["first_error"]), (&2.into(), &"refused".into()));
    assert_eq!(at["last_error"], "answered 404");
    assert!(at["first_failed"].is_string() && at["last_failed"].is_string());

    let said = bench.said(&["events", "redeliver", "--state", "dead", "--dry-run"]);
    assert_eq!(said, "b: 1 event would be delivered again\n");
    assert_eq!(bench.number("SELECT count(*) FROM dead"), 1);
    let said = bench.said(&["events", "redeliver", &events[2].1[..12], "--yes"]);
    assert_eq!(said, "b: 1 event to be delivered again\n");
    assert_eq!(bench.due(1).await, [events[2].0]);
    // Once more does no harm, and dead letters there are none any more.
    let said = bench.said(&["events", "redeliver", "--state", "pending", "--sink", "b", "--yes"]);
    assert_eq!(said, "b: 2 events pending already, due now\n");
    assert_eq!(
        bench.said(&["events", "redeliver", "--state", "dead", "--yes"]),
        "nothing to deliver again\n"
    );
    let said = bench.said(&["events", "redeliver", &events[0].1, "--yes"]);
    assert!(said.contains("dead at no sink; --sink NAME"), "{said}");
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_at_a_sink_is_listed_with_the_sink() {
    let (bench, _) = bench().await;
    let files = |state: &str, sink: &str| {
        let out = bench.said(&["events", "list", "--state", state, "--sink", sink]);
        let file = |line: &str| line.split_whitespace().nth(3).unwrap().to_owned();
        out.lines().skip(1).map(file).collect::<Vec<_>>()
    };
    assert_eq!(files("delivered", "a"), ["file-4", "file-3", "file-2", "file-1"]);
    assert_eq!(files("delivered", "b"), ["file-2", "file-1"]);
    assert_eq!(
        (files("dead", "b"), files("pending", "b")),
        (vec!["file-3".to_owned()], vec!["file-4".to_owned()])
    );
    assert_eq!((files("dead", "a").len(), files("unrouted", "a").len()), (0, 0));
    let Ended { code, err, .. } = bench.sprited(&["events", "list", "--sink", "c"]);
    assert!(code == 1 && err.contains("unknown sink \"c\"; the journal knows a, b."), "{err}");
    bench.close().await;
}

/// Page by page: a page is 100 events.
#[tokio::test(flavor = "multi_thread")]
async fn the_state_over_all_sinks_is_listed_without_a_gap_and_without_repeats() {
    let bench = Bench::new().await;
    let mut ids = Vec::new();
    for number in 0..250 {
        ids.push(bench.append(number).await);
    }
    for (at, event) in ids.iter().enumerate() {
        // Pending at both, at one, dead at both or one, delivered.
        match at % 5 {
            0 => {}
            1 => bench.record(0, *event, DeliveryOutcome::Delivered).await,
            2 => {
                bench.kill(0, *event, "no").await;
                bench.kill(1, *event, "no").await;
            }
            3 => {
                bench.record(0, *event, DeliveryOutcome::Delivered).await;
                bench.kill(1, *event, "no").await;
            }
            _ => {
                bench.record(0, *event, DeliveryOutcome::Delivered).await;
                bench.record(1, *event, DeliveryOutcome::Delivered).await;
            }
        }
    }
    bench.commit().await;
    for (state, rests) in [(EventState::Pending, [0, 1]), (EventState::Dead, [2, 3])] {
        let list = ["events", "list", "--state", state.as_str(), "--limit", "1000"];
        let out = bench.said(&list);
        let files =
            out.lines().skip(1).map(|line| line.split_whitespace().nth(3).unwrap().to_owned());
        let files: Vec<_> = files.collect();
        let newest_first = (0..250).rev().filter(|at| rests.contains(&(at % 5)));
        assert_eq!(files, newest_first.map(|at| format!("file-{at}")).collect::<Vec<_>>());
        let oldest = Filter { state: Some(state), ..Filter::default() };
        let oldest = bench.reader().ids(&oldest, 3).unwrap();
        let first = [rests[0], rests[1], rests[0] + 5].map(|at: usize| (ids[at], false));
        assert_eq!(oldest, first);
    }
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_sink_is_filled_from_the_journal() {
    let (bench, events) = bench().await;
    bench.append_kind("U", 9, Utc::now()).await;
    bench.append_kind("T", 8, Utc::now() - days(9)).await;
    let bench = Bench::within(bench.close().await, &["a", "b", "new"]).await;
    bench.sqlite().execute("DELETE FROM bodies WHERE event = 2", []).unwrap();
    let config = bench.folder.path().join("sprited.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let new = text.rfind("[\"*\"]").unwrap();
    std::fs::write(&config, format!("{}[\"T\"]\n", &text[..new])).unwrap();

    // Not what is too old, nor what the sink does not want.
    let fill = ["events", "redeliver", "--sink", "new", "--since", "7d", "--missing", "--yes"];
    let done = &bench.json(&fill)["sinks"][0];
    assert_eq!((&done["sink"], &done["redelivered"]), (&"new".into(), &3.into()));
    assert_eq!((&done["without_body"], &done["active"]), (&1.into(), &true.into()));
    let ids = [1, 3, 4].map(EventId);
    let mut due = bench.due(2).await;
    due.sort_unstable();
    assert_eq!(due, ids);
    bench.record(2, ids[0], DeliveryOutcome::Delivered).await;
    bench.commit().await;
    // Again, as after an interruption: what it has is left out.
    let done = &bench.json(&fill)["sinks"][0];
    assert_eq!((&done["redelivered"], &done["due_now"]), (&0.into(), &2.into()));
    // By type or key it gets what is asked for.
    let done = bench.json(&["events", "redeliver", "--sink", "new", "--type", "U", "--yes"]);
    assert_eq!(done["sinks"][0]["redelivered"], 1);
    // A pruned body cannot be had, and asking for nothing else has failed.
    let Ended { code, out, .. } =
        bench.sprited(&["events", "redeliver", &events[1].1, "--yes", "--sink", "b"]);
    assert_eq!(
        (code, out.as_str()),
        (1, "b: 1 event cannot be delivered again: pruned for space\n")
    );
    let Ended { code, err, .. } = bench.sprited(&["events", "redeliver", "--sink", "nwe"]);
    assert!(code == 1 && err.contains("the journal knows a, b, new"), "{err}");
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pending_and_dead_events_are_discarded() {
    let (bench, events) = bench().await;
    let said = bench.said(&["events", "discard", "--sink", "b", "--dry-run"]);
    assert_eq!(said, "b: 2 events would be discarded\n");
    let said = bench.said(&["events", "discard", &events[3].1[..10], "--yes"]);
    assert_eq!(said, "b: 1 event discarded\n");
    let done = bench.json(&["events", "discard", "--state", "dead", "--yes"]);
    assert_eq!(done["sinks"][1]["discarded"], 1);
    assert_eq!(bench.said(&["events", "discard", "--sink", "b"]), "nothing to discard\n");
    for arguments in [
        &["discard"][..],
        &["redeliver"],
        &["discard", "--state", "delivered"],
        &["redeliver", "--state", "unrouted"],
        &["redeliver", "abc", "--state", "dead"],
    ] {
        let Ended { code, err, .. } = bench.sprited(&[&["events"], arguments].concat());
        assert_eq!(code, 64, "{arguments:?}: {err}");
    }
    bench.close().await;
}

/// As over ssh and in cron: whoever sits there could not answer.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_nothing_is_changed_unless_it_is_confirmed_in_advance() {
    let (bench, events) = bench().await;
    let rows = || {
        ["pending", "dead", "attempts"]
            .map(|table| bench.number(&format!("SELECT count(*) FROM {table}")))
    };
    let before = rows();
    let dead = events[2].1.as_str();
    for (arguments, says) in [
        (&["discard", "--sink", "b"][..], "2 events at b would be discarded"),
        (&["discard", dead], "1 event at b would be discarded"),
        (&["discard", "--state", "dead", "--json"], "1 event at b would be discarded"),
        (&["redeliver", dead], "1 event at b would be delivered again"),
        (
            &["redeliver", "--sink", "a", "--sink", "b", "--since", "1h"],
            "4 events at a, 4 events at b would be delivered again",
        ),
    ] {
        let arguments = [&["events"], arguments].concat();
        let Ended { code, out, err } = bench.sprited(&arguments);
        assert_eq!((code, out.as_str()), (64, ""), "{arguments:?}: {err}");
        let expected = format!(
            "sprited: {says}; there is no terminal to ask at: add --yes to do it, or --dry-run to \
             print what it would do; nothing was changed\n"
        );
        assert_eq!(err, expected, "{arguments:?}");
        bench.said(&[&arguments[..], &["--dry-run"]].concat());
    }
    assert_eq!(rows(), before);
    assert_eq!(bench.said(&["events", "discard", dead, "-y"]), "b: 1 event discarded\n");
    // There is nothing to confirm where nothing is chosen.
    assert_eq!(bench.said(&["events", "discard", dead]), "nothing to discard\n");
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_by_their_errors() {
    let bench = Bench::new().await;
    let pulled: DateTime<Utc> = "2026-11-30T00:00:00Z".parse().unwrap();
    for (number, at, error) in [
        (1, 1, "answered 404"),
        (2, 1, "answered 404"),
        (3, 1, "answered 422: \u{1b}[2J"),
        (4, 0, "answered 404"),
        (5, 1, "answered 404"),
    ] {
        let pulled = if number == 5 { pulled - days(1) } else { pulled };
        let (event, _) = bench.append_kind("T", number, pulled).await;
        bench.kill(at, event, error).await;
    }
    bench.commit().await;
    let group = ["events", "list", "--group", "error"];
    let listed = |more: &[&str]| -> Vec<String> {
        let out = bench.said(&[&group[..], more].concat());
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        out.lines().map(words).collect()
    };
    // Each is dead at one sink and pending at the other.
    let now = Utc::now().format("%Y-%m-%dT").to_string();
    let lines = listed(&[]);
    assert_eq!(lines[0], "COUNT NEWEST SINK ERROR");
    assert!(lines[1].starts_with(&format!("3 {now}")), "{lines:#?}");
    assert!(lines[1].ends_with("Z b answered 404"), "{lines:#?}");
    let rejected = lines.iter().any(|line| line.ends_with("Z b answered 422: \\u{1b}[2J"));
    assert!(rejected && lines.len() == 4, "{lines:#?}");
    assert_eq!(listed(&["--state", "dead"]), lines);
    assert_eq!(listed(&["--sink", "a"]).len(), 2);
    assert_eq!(listed(&["--since", "2026-11-30", "--sink", "b"])[1].chars().next(), Some('2'));
    let only = bench.json(&[&group[..], &["--until", "2026-11-30"]].concat());
    assert_eq!(
        (&only["error"], &only["count"], &only["sink"], &only["active"]),
        (&"answered 404".into(), &1.into(), &"b".into(), &true.into())
    );
    assert!(only["newest"].as_str().unwrap().starts_with(&now));
    assert_eq!(listed(&["--type", "PullComplete"]), [""; 0]);

    let Ended { code, out, err } = bench.sprited(&[&group[..], &["--limit", "1"]].concat());
    assert_eq!((code, out.lines().count()), (0, 2), "{out}");
    assert_eq!(err, "1 of 3 errors, those of most dead letters; more: --limit N\n");
    for wrong in [&["--state", "pending"][..], &["--before", "3f9a2c"]] {
        let Ended { code, err, .. } = bench.sprited(&[&group[..], wrong].concat());
        assert_eq!(code, 64, "{wrong:?}: {err}");
    }
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_events_go_at_a_rate_beside_a_writer_that_is_not_held_up() {
    let bench = Bench::new().await;
    for number in 0..400 {
        let event = bench.append(number).await;
        bench.kill(1, event, "no").await;
    }
    bench.commit().await;
    let start = std::time::Instant::now();
    let mut longest = std::time::Duration::ZERO;
    let mut appended = 1000;
    std::thread::scope(|scope| {
        let command = scope.spawn(|| {
            bench.json(&["events", "redeliver", "--state", "dead", "--rate", "400", "--yes"])
        });
        while !command.is_finished() {
            let began = std::time::Instant::now();
            append_blocking(&bench, appended);
            longest = longest.max(began.elapsed());
            appended += 1;
        }
        assert_eq!(command.join().unwrap()["sinks"][1]["redelivered"], 400);
    });
    assert!(start.elapsed() > std::time::Duration::from_millis(800), "{:?}", start.elapsed());
    assert!(appended > 1010 && longest < std::time::Duration::from_secs(1), "{longest:?}");
    assert_eq!(bench.due(1).await.len(), 400);
    bench.close().await;
}

fn append_blocking(bench: &Bench, number: u32) {
    let append = async { bench.append(number).await };
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(append));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_sink_keeps_its_rows_and_has_them_when_it_returns() {
    let bench = Bench::new().await;
    let long_ago = Utc::now() - days(99);
    let (dead, key) = bench.append_kind("T", 1, long_ago).await;
    let (pending, _) = bench.append_kind("T", 2, long_ago).await;
    for event in [dead, pending] {
        bench.record(0, event, DeliveryOutcome::Delivered).await;
    }
    bench.kill(1, dead, "no").await;
    bench.fail(1, pending, DateTime::UNIX_EPOCH).await;
    bench.commit().await;
    assert_eq!(bench.journal.orphans().await.unwrap(), []);
    let bench = Bench::within(bench.close().await, &["a"]).await;
    while bench.journal.prune(Utc::now()).await.unwrap() {}
    assert_eq!(bench.journal.pending().await.unwrap(), 0, "it holds up no confirm");
    let listed = bench.said(&["events", "list", "--sink", "b"]);
    assert_eq!(listed.lines().count(), 3, "with a header: {listed}");
    for at in ["1 attempt", "dead after 1 attempt: no"] {
        assert!(listed.contains(&format!("b (not in the configuration): {at}")), "{listed}");
    }
    let orphans = bench.journal.orphans().await.unwrap();
    assert_eq!(orphans.len(), 1);
    assert_eq!((orphans[0].sink.as_str(), orphans[0].pending, orphans[0].dead), ("b", 1, 1));
    let shown = bench.json(&["events", "show", &key.to_string()]);
    assert_eq!(
        (&shown["sinks"][0]["active"], &shown["sinks"][1]["active"]),
        (&true.into(), &false.into())
    );
    let audited = bench.json(&["audit"]);
    assert!(audited["sums"].as_array().unwrap().iter().any(|sum| sum["sink"] == "b"));
    let said = bench.said(&["events", "redeliver", "--state", "dead", "--yes"]);
    assert!(said.contains("b: not in the daemon's configuration"), "{said}");

    let bench = Bench::within(bench.close().await, &["b", "a"]).await;
    while bench.journal.prune(Utc::now()).await.unwrap() {}
    let mut due = bench.due(0).await;
    due.sort_unstable();
    assert_eq!(due, [dead, pending]);
    bench.close().await;
}

/// The two commands of whoever has renamed a sink.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_renamed_sink_has_left_goes_to_another_one_or_is_discarded() {
    let bench = Bench::within(tempfile::tempdir().unwrap(), &["old"]).await;
    let mut events = Vec::new();
    for number in 1..=4 {
        events.push(bench.append_kind("T", number, Utc::now()).await.0);
    }
    let [pending, dead, taken, late] = events[..] else { panic!() };
    bench.record(0, taken, DeliveryOutcome::Delivered).await;
    bench.kill(0, dead, "no").await;
    bench.kill(0, late, "no").await;
    bench.commit().await;
    let bench = Bench::within(bench.close().await, &["new"]).await;
    // The new one has one of them by now.
    bench.said(&["events", "redeliver", "--sink", "new", "--task", "task-4", "--yes"]);
    bench.record(0, late, DeliveryOutcome::Delivered).await;
    bench.commit().await;

    let hand_over = ["events", "redeliver", "--from", "old", "--sink", "new"];
    let dry = bench.said(&[&hand_over[..], &["--dry-run"]].concat());
    assert_eq!(dry, "new: 2 events would be delivered again\n");
    let said = bench.said(&[&hand_over[..], &["--yes"]].concat());
    assert_eq!(said, "new: 2 events to be delivered again\n");
    assert_eq!(bench.due(0).await, [pending, dead]);
    let left = bench.journal.orphans().await.unwrap();
    assert_eq!((left[0].pending, left[0].dead), (1, 2), "nothing is lost before it is discarded");
    let said = bench.said(&["events", "discard", "--sink", "old", "--yes"]);
    assert_eq!(said, "old: 3 events discarded\n");
    assert_eq!(bench.journal.orphans().await.unwrap(), []);
    assert_eq!(bench.due(0).await, [pending, dead]);
    assert_eq!(bench.said(&hand_over), "nothing to deliver again\n");
    bench.said(&["audit"]);

    for (code, wrong) in [
        (64, &["--from", "old"][..]),
        (1, &["--from", "nobody", "--sink", "new"]),
        (64, &["--from", "old", "--sink", "new", "3f9a2c"]),
    ] {
        let wrong = [&["events", "redeliver"], wrong].concat();
        assert_eq!(bench.sprited(&wrong).code, code, "{wrong:?}");
    }
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_never_pruned_by_age() {
    let bench = Bench::new().await;
    let (dead, key) = bench.append_kind("T", 1, Utc::now() - days(999)).await;
    let (gone, _) = bench.append_kind("T", 2, Utc::now() - days(999)).await;
    for event in [dead, gone] {
        bench.record(0, event, DeliveryOutcome::Delivered).await;
    }
    bench.record(1, gone, DeliveryOutcome::Delivered).await;
    bench.kill(1, dead, "no").await;
    bench.commit().await;
    while bench.journal.prune(Utc::now()).await.unwrap() {}
    assert_eq!(bench.number("SELECT count(*) FROM events"), 1);
    let shown = bench.json(&["events", "show", &key.to_string()]);
    assert_eq!(shown["event"]["EventType"], "T", "with its body");
    let said = bench.said(&["events", "redeliver", &key.to_string(), "--yes"]);
    assert_eq!(said, "b: 1 event to be delivered again\n");
    bench.close().await;
}

/// Every member that an answer has stands in the command's help.
#[tokio::test(flavor = "multi_thread")]
async fn what_programs_get_is_documented() {
    fn members(value: &serde_json::Value, found: &mut std::collections::BTreeSet<String>) {
        match value {
            serde_json::Value::Object(object) => {
                for (name, value) in object {
                    found.insert(name.clone());
                    // These are the event's own.
                    if !matches!(name.as_str(), "event" | "sprites") {
                        members(value, found);
                    }
                }
            }
            serde_json::Value::Array(values) => values.iter().for_each(|v| members(v, found)),
            _ => {}
        }
    }
    let (bench, events) = bench().await;
    let key = events[2].1.as_str();
    for (at, command) in [
        &["events", "list", "--state", "dead"][..],
        &["events", "show", key],
        &["events", "list", "--group", "error"],
        &["events", "redeliver", key, "--yes"],
        &["events", "discard", key, "--yes"],
        &["audit"],
    ]
    .into_iter()
    .enumerate()
    {
        let mut found = std::collections::BTreeSet::new();
        members(&bench.json(command), &mut found);
        let name = if command.len() == 1 { &command[..1] } else { &command[..2] };
        let mut help = bench.said(&[name, &["--help"]].concat());
        if at == 1 {
            help.push_str(&bench.said(&["events", "list", "--help"]));
        }
        for member in found {
            let is_word = |word: &str| word == member;
            let mut words = help.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            assert!(words.any(is_word), "{command:?}: {member}");
        }
    }
    bench.close().await;
}

/// Whoever sits at a terminal is asked, and nothing is done without a yes.
#[tokio::test(flavor = "multi_thread")]
async fn at_a_terminal_it_asks_before_it_changes_more_than_one_and_shows_how_far_it_is() {
    let (bench, _) = bench().await;
    let script = "import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
seen = b''
while b'[y/N]' not in seen:
    seen += os.read(fd, 1000)
os.write(fd, sys.argv[1].encode() + b'\\n')
try:
    while more := os.read(fd, 1000): seen += more
except OSError: pass
print(seen.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))";
    let answered = |answer: &str| {
        let config = bench.folder.path().join("sprited.toml");
        let mut command = std::process::Command::new("python3");
        command.args(["-c", script, answer, env!("CARGO_BIN_EXE_sprited")]);
        command.args(["events", "discard", "--sink", "b", "--rate", "5", "-c"]).arg(config);
        crate::cli::ended(&mut command)
    };
    let Ended { code, out, .. } = answered("n");
    assert!(code == 1 && out.contains("Discard 2 events at b? [y/N]"), "{out}");
    assert!(out.contains("nothing was changed"), "{out}");
    assert_eq!(bench.number("SELECT count(*) FROM dead"), 1);
    let Ended { code, out, .. } = answered("y");
    assert!(code == 0 && out.contains("b: 2 events discarded"), "{out}");
    assert!(out.contains(" 1/2 "), "a bar shows how far it has come: {out}");
    assert_eq!(bench.number("SELECT count(*) FROM dead"), 0);
    bench.close().await;
}
