//! What is paused by hand: kept in the journal, by the daemon or by a command where none runs.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sprited::journal::{EventId, MaintenanceError, Pausable, audit, set_paused};

use super::Bench;

/// As exact as the journal keeps it.
fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(Utc::now().timestamp_millis()).unwrap()
}

/// Since when pulling and the sinks `a` and `b` are paused, as a command sees it.
fn overview(bench: &Bench) -> [Option<DateTime<Utc>>; 3] {
    let seen = bench.reader().overview(Utc::now(), EventId::default()).unwrap();
    [seen.pulling_paused, seen.sinks[0].paused, seen.sinks[1].paused]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_stays_over_restarts_with_the_time_when_it_began() {
    let bench = Bench::new().await;
    let (first, later) = (now(), now() + TimeDelta::hours(1));
    let b = bench.sinks[1];
    assert_eq!(overview(&bench), [None; 3]);
    assert_eq!(bench.journal.set_pulling_paused(Some(first)).await, Ok(None));
    assert_eq!(bench.journal.set_sink_paused(b, Some(later)).await, Ok(None));
    assert_eq!(overview(&bench), [Some(first), None, Some(later)]);
    let bench = Bench::within(bench.close().await, &["a", "b"]).await;
    assert_eq!(bench.journal.pulling_paused().await, Ok(Some(first)));
    assert_eq!(bench.journal.sink_paused(bench.sinks[0]).await, Ok(None));
    assert_eq!(bench.journal.sink_paused(b).await, Ok(Some(later)));
    assert_eq!(bench.journal.set_pulling_paused(Some(later)).await, Ok(Some(first)));
    assert_eq!(overview(&bench), [Some(first), None, Some(later)]);
    assert!(audit(&bench.path()).unwrap().unwrap().ok());

    assert_eq!(bench.journal.set_pulling_paused(None).await, Ok(Some(first)));
    assert_eq!(bench.journal.set_pulling_paused(None).await, Ok(None));
    assert_eq!(bench.journal.set_sink_paused(b, None).await, Ok(Some(later)));
    assert_eq!(overview(&bench), [None; 3]);
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_pauses_where_no_daemon_has_the_journal() {
    let bench = Bench::new().await;
    let (path, since) = (bench.path(), now());
    for what in [Pausable::Pulling, Pausable::Sink("b")] {
        let refused = set_paused(&path, what, Some(since)).unwrap_err();
        assert!(matches!(refused, MaintenanceError::InUse { .. }), "{refused}");
    }
    assert_eq!(overview(&bench), [None; 3]);
    let folder = bench.close().await;
    // One that no daemon has had yet is paused when it does.
    let new = Pausable::Sink("new");
    for what in [Pausable::Pulling, Pausable::Sink("b"), new] {
        assert_eq!(set_paused(&path, what, Some(since)).unwrap(), None);
        let again = set_paused(&path, what, Some(since + TimeDelta::hours(1))).unwrap();
        assert_eq!(again, Some(since));
    }
    assert_eq!(set_paused(&path, Pausable::Sink("unheard of"), None).unwrap(), None);
    let bench = Bench::within(folder, &["a", "b", "new"]).await;
    assert_eq!(overview(&bench), [Some(since), None, Some(since)]);
    assert_eq!(bench.journal.sink_paused(bench.sinks[2]).await, Ok(Some(since)));
    assert_eq!(bench.number("SELECT count(*) FROM sinks"), 3);
    assert!(audit(&path).unwrap().unwrap().ok());
    bench.close().await;
}

/// Such a command has the daemon's lock for a moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_starts_meanwhile_waits_for_the_command() {
    let folder = Bench::new().await.close().await;
    let lock = std::fs::File::open(folder.path().join("j.db.lock")).unwrap();
    lock.lock().unwrap();
    let unlock = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(120));
        lock.unlock().unwrap();
    });
    Bench::within(folder, &["a", "b"]).await.close().await;
    unlock.join().unwrap();
}
