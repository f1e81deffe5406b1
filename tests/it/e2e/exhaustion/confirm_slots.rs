//! A journal that cannot be written, and confirms that could go.

use serde_json::{Value, json};
use sprited::journal::{Filter, JournalReader};
use std::time::{Duration, Instant};
use vod_emulator::{ApiAction, EmulatorSettings, FaultKind, InjectedFault};

use super::super::{Site, file, settings};
use super::disk::{Disk, FOLDER};
use super::within;

/// Handles in a call, and calls at once, at most.
const CALL: usize = 16;
const PLACES: usize = 32;

/// Events that can be told from all others, or such as can happen again word for word.
fn events(range: std::ops::Range<usize>, is_repeatable: bool) -> String {
    let event = |n: usize| match is_repeatable {
        true => json!({ "EventType": "MediaCastStatusChanged", "E": { "CastId": n.to_string() } }),
        false => json!({ "EventType": "Some", "SomeEvent": { "TaskId": n.to_string() } }),
    };
    Value::from(range.map(event).collect::<Vec<_>>()).to_string()
}

/// A site whose disk is full, and whose calls of ConfirmEvents, as many as there may be at once, have
/// been answered since. Behind them wait first events of the one sort, then of the other.
async fn full_with_places_taken(
    site: &Site,
    then: &[(usize, bool)],
) -> super::super::daemon::Daemon {
    let control = &site.cloud.control;
    std::fs::create_dir(site.path(FOLDER)).unwrap();
    site.edit("lease = '2500ms'", "lease = '60s'");
    site.edit("journal.db", "disk/journal.db");
    site.edit("level = 'debug'", "level = 'info'");
    control.fault(InjectedFault::rate(1.0, FaultKind::Hold).on(ApiAction::ConfirmEvents)).unwrap();
    let daemon = Disk::Limited.start(site);
    daemon.has_logged("started").await;
    let written = async |count: usize| {
        within(60, async || site.lines("all.jsonl").len() == count).await;
        // And recorded, so that its confirm waits for a place alone.
        let reader = JournalReader::open(&site.path("disk/journal.db")).unwrap();
        let delivered = || {
            let state = Some(sprited::journal::EventState::Delivered);
            reader.list(&Filter { state, ..Filter::default() }, 10_000).unwrap().len()
        };
        within(60, async || delivered() == count).await;
    };
    let mut added = 0;
    // Call by call, so that each has a place.
    for calls in 1..=PLACES {
        control.add(&events(added..added + CALL, false)).unwrap();
        added += CALL;
        within(60, async || control.held() == calls).await;
    }
    written(added).await;
    within(60, async || control.held() == PLACES).await;
    for (count, is_repeatable) in then {
        control.add(&events(added..added + count, *is_repeatable)).unwrap();
        added += count;
        written(added).await;
    }
    assert_eq!(site.confirmed(), 0);
    Disk::Limited.fill(site, &daemon, "journal.db-wal");
    site.add_sprites(1);
    within(60, async || daemon.get("/readyz").await.0 == 503).await;
    control.clear_faults();
    control.release();
    daemon
}

async fn site() -> Site {
    let cloud = EmulatorSettings { lease: Duration::from_secs(60), ..settings() };
    Site::with(cloud, "", &file("all", "*")).await
}

async fn ends_well(site: &Site, daemon: super::super::daemon::Daemon, count: usize) {
    let control = &site.cloud.control;
    let freed = Instant::now();
    Disk::Limited.free(site, &daemon);
    within(30, async || site.confirmed() == count as u64).await;
    assert!(freed.elapsed() < Duration::from_secs(15), "{:?}", freed.elapsed());
    let reader = JournalReader::open(&site.path("disk/journal.db")).unwrap();
    let all_noted = || {
        let events = reader.list(&Filter::default(), 10_000).unwrap();
        events.len() == count && events.iter().all(|event| event.confirmed.is_some())
    };
    within(60, async || all_noted()).await;
    assert_eq!(control.totals().handed_out_again, 0);
    daemon.stop().await;
    site.assert_once("all.jsonl", count);
}

#[tokio::test]
async fn a_note_that_cannot_be_written_holds_up_no_other_confirm() {
    let site = site().await;
    let daemon = full_with_places_taken(&site, &[(8 * CALL, false)]).await;
    // All of them are on disk since before it was full.
    let safe = (PLACES + 8) * CALL;
    within(20, async || site.confirmed() == safe as u64).await;
    assert_eq!(daemon.get("/readyz").await.0, 503, "it is still full");
    ends_well(&site, daemon, safe + 1).await;
}

#[tokio::test]
async fn a_confirm_that_has_to_be_noted_first_holds_up_no_other() {
    let site = site().await;
    let repeatable = (PLACES + 2) * CALL;
    let daemon = full_with_places_taken(&site, &[(repeatable, true), (4 * CALL, false)]).await;
    let safe = (PLACES + 4) * CALL;
    within(20, async || site.confirmed() == safe as u64).await;
    assert_eq!(daemon.get("/readyz").await.0, 503, "it is still full");
    ends_well(&site, daemon, safe + repeatable + 1).await;
}

#[tokio::test]
async fn a_stop_ends_in_time_though_notes_cannot_be_written() {
    let site = site().await;
    let mut daemon = full_with_places_taken(&site, &[(CALL, true), (CALL, false)]).await;
    within(20, async || site.confirmed() == ((PLACES + 1) * CALL) as u64).await;
    let asked = Instant::now();
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    daemon.ended_within(Duration::from_secs(27)).await;
    assert!(asked.elapsed() < Duration::from_secs(26), "{:?}", asked.elapsed());
}
