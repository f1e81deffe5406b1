//! What a daemon that works exports.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use sprited::journal::EventState;

use super::callbacks::{Poster, seed};
use super::daemon::Daemon;
use super::receiver::{Answer, Receiver};
use super::{Site, file};
use crate::monitoring;
use crate::support::until;

/// Absent where the credentials do not expire, as here.
const EXPIRY: &str = "sprited_credentials_expiry_timestamp_seconds";

/// A daemon to which everything has happened that is counted.
async fn busy() -> (Site, Receiver, Daemon) {
    let hook = Receiver::start(Answer::Refuse(422)).await;
    let hook_sink = hook.sink("hook", "max_rejects = 'off'");
    let sinks = [hook_sink, file("sprites", "image-sprite")].concat();
    let site = Site::new(&sinks).await;
    site.receives("");
    site.edit("[poll]", "[reconcile]\nevery = '1s'\n[poll]");
    let daemon = site.start();
    site.add_sprites(6);
    site.drained().await;
    until(|| site.journaled(Some(EventState::Dead)).len() == 6).await;
    daemon.signal(Signal::SIGHUP);
    let reloads = async || daemon.metric("sprited_reloads_total{outcome=\"ok\"}").await;
    super::until(async || reloads().await > 0.5).await;
    let last = "sprited_reconcile_last_timestamp_seconds{app=\"1500012345\"}";
    super::until(async || daemon.metric(last).await > 0.5).await;
    (site, hook, daemon)
}

/// The labels of each series in a scrape.
fn exported(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|sample| {
            let (series, _) = sample.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
            let labels = labels.map(|label| label.split_once('=').unwrap().0.to_owned());
            (name.to_owned(), labels.collect())
        })
        .collect()
}

#[tokio::test]
async fn a_scrape_holds_the_table_and_nothing_else() {
    let (_site, _hook, daemon) = busy().await;
    assert_eq!(Poster::of(&daemon).await.post(&seed()).await.0, 200);
    let (status, text) = daemon.get("/metrics").await;
    assert_eq!(status, 200);
    let mut table: BTreeMap<_, _> = monitoring::series().into_iter().collect();
    table.remove(EXPIRY).unwrap();
    // Of mirrors that have found something.
    table.remove("sprited_mirror_findings_total").unwrap();
    assert_eq!(exported(&text), table);
    daemon.stop().await;
}

/// `increase` does not see the first count of a series that begins with it.
#[tokio::test]
async fn what_alerts_count_is_there_from_the_start() {
    let site = Site::new(&file("sprites", "*")).await;
    site.receives("");
    let daemon = site.start();
    let (_, text) = daemon.get("/metrics").await;
    for (name, matchers) in monitoring::counted() {
        let is_it = |sample: &str| {
            sample.split(['{', ' ']).next() == Some(&*name)
                && matchers.iter().all(|matcher| sample.contains(&**matcher))
        };
        assert!(text.lines().any(is_it), "{name} {matchers:?}");
    }
    assert!(text.contains("\nsprited_pull_concurrency 1\n"), "{text}");
    daemon.stop().await;
}

#[tokio::test]
async fn the_journals_figures_are_those_of_its_rows() {
    let (site, _hook, daemon) = busy().await;
    for kind in ["FileDeleted", "Made\\\"Up"] {
        site.cloud.control.add(&format!("{{\"EventType\":\"{kind}\"}}")).unwrap();
    }
    site.drained().await;
    let text = async || daemon.get("/metrics").await.1;
    let lines = [
        "sprited_journal_events{state=\"pending\"} 0",
        "sprited_journal_events{state=\"delivered\"} 0",
        "sprited_journal_events{state=\"dead\"} 6",
        "sprited_journal_events{state=\"unrouted\"} 2",
        "sprited_sink_events{sink=\"hook\",state=\"dead\"} 6",
        "sprited_sink_events{sink=\"sprites\",state=\"delivered\"} 6",
        "sprited_oldest_unconfirmed_age_seconds 0.0",
        "sprited_journal_writable 1",
        "sprited_events_total{type=\"FileDeleted\",outcome=\"new\",origin=\"queue\"} 1",
        "sprited_events_total{type=\"other\",outcome=\"new\",origin=\"queue\"} 1",
        "sprited_delivery_lag_seconds_count{sink=\"sprites\"} 6",
        "sprited_confirm_margin_seconds_count 8",
    ];
    let missing = async || {
        let text = text().await;
        let has = |line: &&&str| !text.lines().any(|other| other == **line);
        lines.iter().filter(has).map(|line| (*line).to_owned()).collect::<Vec<_>>()
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Some(line) = missing().await.first() {
        assert!(Instant::now() < deadline, "{line} is missing in {}", text().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!text().await.contains("Made"));
    daemon.stop().await;
}

mod full {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    #[tokio::test]
    #[ignore = "needs promtool"]
    async fn promtool_finds_nothing() {
        let (_site, _hook, daemon) = busy().await;
        let text = daemon.get("/metrics").await.1;
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let checked = promtool.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success() && said.is_empty(), "{said}");

        let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/monitoring/alerts.yml");
        let checked = Command::new("promtool").args(["check", "rules", rules]).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        daemon.stop().await;
    }

    #[test]
    #[ignore = "needs promtool"]
    fn alerts_fire_when_they_are_meant_to() {
        let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/alerts.test.yml");
        let ran = Command::new("promtool").args(["test", "rules", tests]).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
    }
}
