//! The time of day as the daemon sees it: stepping while it runs, and hours in a moment.
//!
//! libfaketime shifts the clock of the daemon alone; the monotonic one goes on as it does where
//! an operator or NTP sets the time.

use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use sprited::journal::EventState;
use vod_emulator::ApiAction;

use super::daemon::Daemon;
use super::receiver::{Answer, Receiver};
use super::{Site, file};
use crate::local_server::{LocalServer, Reply};
use crate::support::until;

/// The clock of one daemon.
pub(super) struct Clock {
    file: PathBuf,
}

impl Clock {
    pub(super) fn in_folder(folder: &Path) -> Self {
        let clock = Self { file: folder.join("clock") };
        clock.set(TimeDelta::zero());
        clock
    }

    /// Sets it off from the true time.
    pub(super) fn set(&self, offset: TimeDelta) {
        // Renamed into its place: the daemon may read at any moment.
        let fresh = self.file.with_extension("new");
        std::fs::write(&fresh, format!("{:+}\n", offset.num_seconds())).unwrap();
        std::fs::rename(&fresh, &self.file).unwrap();
    }

    /// Starts the site's daemon by this clock.
    pub(super) fn start(&self, site: &Site) -> Daemon {
        let set = [
            ("LD_PRELOAD", library()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.to_str().unwrap()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("FAKETIME_NO_CACHE", "1"),
        ];
        Daemon::start(site.folder.path(), &["run"], &set)
    }
}

/// The library of Debian's package `faketime`, for programs with threads.
fn library() -> &'static str {
    let all = [
        "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
        "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    ];
    let found = all.into_iter().find(|path| Path::new(path).exists());
    found.expect("the package faketime is missing: tests/run installs it")
}

/// Each of these the daemon has to live through: forth and back, by more than the service
/// tolerates and by less, and to the time of a machine without a battery.
#[tokio::test]
async fn the_clock_may_step_while_events_come() {
    let hook = Receiver::start(Answer::Take).await;
    let site = Site::new(&[file("sprites", "image-sprite"), hook.sink("hook", "")].concat()).await;
    let clock = Clock::in_folder(site.folder.path());
    let daemon = clock.start(&site);
    let mut made = Vec::new();
    let epoch = DateTime::UNIX_EPOCH - Utc::now();
    let hours = [1, -1, 30, -30, 24 * 40, 0].map(TimeDelta::hours);
    for step in hours.into_iter().chain([TimeDelta::seconds(-90), epoch, TimeDelta::zero()]) {
        made.extend(site.make_sprites(30));
        clock.set(step);
        made.extend(site.make_sprites(30));
        site.drained().await;
        // By the true time, which the cloud's answers tell.
        let offset = daemon.metric("sprited_clock_offset_seconds").await;
        let off = offset + step.num_seconds() as f64;
        assert!(off.abs() < 300.0, "{offset} s learned at a step of {step}");
        let state = daemon.get("/status.json").await.1;
        let state: serde_json::Value = serde_json::from_str(&state).expect(&state);
        let checks = state["checks"].as_array().unwrap();
        let clock = checks.iter().find(|check| check["name"] == "clock").unwrap();
        assert_eq!(clock["degraded"], step.num_seconds().abs() > 60, "{clock}");
    }
    let refused = site.cloud.control.totals();
    assert!(
        refused.calls_of(ApiAction::PullEvents, "AuthFailure.SignatureExpire") > 4,
        "{refused:?}"
    );
    until(|| hook.taken().len() >= made.len()).await;
    assert_eq!(daemon.get("/readyz").await.0, 200);
    daemon.stop().await;
    hook.assert_once(made.len());
    site.assert_equal_ledgers("sprites.jsonl", &made, 0);
}

/// A retry is due at a time of day: an hour later, if that is set back by an hour.
#[tokio::test]
async fn a_clock_that_is_set_back_holds_up_no_retry() {
    let hook = LocalServer::start(|request, number| {
        let fails = request.body.contains("\"N\":0") && number < 5;
        Reply::new(if fails { 503 } else { 204 }, &[("Retry-After", "600")], b"")
    })
    .await;
    let url = hook.url();
    let sink =
        format!("[[sinks]]\nname = 'hook'\ntype = 'webhook'\nurl = '{url}/'\nevents = ['*']\n");
    let site = Site::new(&sink).await;
    let clock = Clock::in_folder(site.folder.path());
    let daemon = clock.start(&site);
    // A sink that has taken nothing yet would be down at the first failure.
    site.cloud.control.add(r#"{"EventType":"A","N":9}"#).unwrap();
    until(|| site.journaled(Some(EventState::Delivered)).len() == 1).await;
    let events: Vec<_> = (0..4).map(|n| format!(r#"{{"EventType":"A","N":{n}}}"#)).collect();
    site.cloud.control.add(&format!("[{}]", events.join(","))).unwrap();
    // One has failed and would be tried again in ten minutes.
    until(|| site.journaled(Some(EventState::Delivered)).len() == 4).await;
    clock.set(TimeDelta::hours(-1));
    until(|| site.journaled(Some(EventState::Delivered)).len() == 5).await;
    assert_eq!(hook.seen().len(), 6);
    daemon.has_logged("clock set back: failed events are retried now").await;
    daemon.stop().await;
}
