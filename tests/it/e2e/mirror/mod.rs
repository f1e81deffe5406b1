//! A mirror and what comes after it: the cloud's sprites in a folder, and the URLs of the copies in the
//! events that a file gets.

mod backfill;
mod kill;
mod served;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use sprited::journal::EventState;

use super::daemon::Daemon;
use super::{Site, ids};
use crate::local_server::{LocalServer, Reply};
use crate::sink::mirror::{INDEX, png, sprite, usual, whole_manifests};
use crate::support::until;

/// A mirror that fetches from these, and a file that gets its results.
fn sinks(hosts: &[String], more: &str) -> String {
    format!(
        "[[sinks]]\nname = 'cdn'\ntype = 'mirror'\nstore = 'folder'\npath = 'DIR/copies'\n\
         public_url = 'https://img.example.com/copies'\nhosts = {hosts:?}\n{more}\n\
         [[sinks]]\nname = 'site'\ntype = 'jsonl'\npath = 'DIR/site.jsonl'\nafter = 'cdn'\n"
    )
}

/// A site whose cloud has the sprites that it tells of, and these further hosts.
async fn site(hosts: &[&LocalServer]) -> Site {
    let site = Site::patient(&sinks(&["none.example".to_owned()], "")).await;
    fs::create_dir(site.path("copies")).unwrap();
    let mut all = vec![site.cloud.url.strip_prefix("http://").unwrap().to_owned()];
    all.extend(hosts.iter().map(|host| host.address().to_string()));
    site.edit("[\"none.example\"]", &format!("{all:?}"));
    site
}

impl Site {
    /// The mirror's results for the sprites of each line of the file.
    fn results(&self) -> Vec<Value> {
        let lines = self.lines("site.jsonl");
        let sprites = lines.iter().flat_map(|line| line["data"]["sprites"].as_array().unwrap());
        sprites.map(|sprite| sprite["mirror"].clone()).collect()
    }

    fn copies(&self) -> usize {
        whole_manifests(&self.path("copies"))
    }

    /// Waits until a sink's metric has this value.
    async fn until_metric(&self, daemon: &Daemon, series: &str, value: f64) {
        super::until(async || (daemon.metric(series).await - value).abs() < 0.1).await;
    }
}

#[tokio::test]
async fn the_sprites_of_the_cloud_are_copied_and_the_file_has_their_urls() {
    let site = site(&[]).await;
    let made = site.make_sprites(5);
    let daemon = site.start();
    site.drained().await;
    assert_eq!(site.copies(), 5);
    site.assert_once("site.jsonl", 5);
    for result in site.results() {
        assert_eq!((&result["sink"], &result["status"]), (&"cdn".into(), &"ok".into()));
        for url in [&result["manifest"], &result["vtt"], &result["sheets"][0]] {
            let url = url.as_str().unwrap();
            let path = url.strip_prefix("https://img.example.com/copies/").expect(url);
            assert!(site.path("copies").join(path).is_file(), "{url}");
        }
        assert!(result["count"].as_u64().unwrap() > 0 && result["error"].is_null(), "{result}");
    }
    for line in site.lines("site.jsonl") {
        assert_eq!(line["data"]["after"]["state"], "delivered");
        // What the cloud says of it stays beside that.
        assert!(line["data"]["sprites"][0]["vtt_url"].as_str().unwrap().starts_with("http://127."));
    }
    let copied: BTreeSet<_> = fs::read_dir(site.path("copies/1500012345"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(copied, made.iter().map(|made| made.file_id.clone()).collect());
    daemon.stop().await;
    // Nothing is left in the spool, nor the spool.
    assert_eq!(fs::read_dir(site.path("copies/.sprited-tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn one_that_the_mirror_gives_up_goes_on_with_the_reason() {
    let site = site(&[]).await;
    let daemon = site.start();
    site.add_sprites(1);
    site.drained().await;
    // By one that has taken others: what it rejects is a dead letter.
    let forbidden = sprite("http://169.254.0.23", "5285890000000000001", "");
    site.cloud.control.add(&forbidden.body).unwrap();
    site.drained().await;
    site.assert_once("site.jsonl", 2);
    let results = site.results();
    assert_eq!((&results[0]["status"], &results[1]["status"]), (&"ok".into(), &"failed".into()));
    let error = results[1]["error"].as_str().unwrap();
    assert!(error.contains("169.254.0.23"), "{error}");
    assert!(results[1]["vtt"].is_null() && results[1]["sheets"].is_null());
    let line = &site.lines("site.jsonl")[1];
    assert_eq!((&line["data"]["after"]["state"], site.copies()), (&"dead".into(), 1));
    until(|| site.journaled(Some(EventState::Dead)).len() == 1).await;
    daemon.stop().await;
}

#[tokio::test]
async fn a_source_that_is_down_holds_up_no_other_and_makes_no_dead_letters() {
    let is_broken = Arc::new(AtomicBool::new(true));
    let broken = Arc::clone(&is_broken);
    let bad = LocalServer::start(move |request, _| match broken.load(Ordering::SeqCst) {
        true => Reply::new(503, &[], b""),
        false => usual(request),
    })
    .await;
    let good = LocalServer::start(|request, _| usual(request)).await;
    let site = site(&[&bad, &good]).await;
    let add = |server: &LocalServer, files: std::ops::Range<u32>| {
        for file in files {
            let event = sprite(&server.url(), &format!("528589{file}"), "");
            site.cloud.control.add(&event.body).unwrap();
        }
    };
    // The mirror has taken something.
    add(&good, 0..1);
    let daemon = site.start();
    site.drained().await;
    add(&bad, 100..120);
    daemon.has_logged("a source host is down; its sprites wait in the journal").await;
    add(&good, 1..31);
    until(|| site.lines("site.jsonl").len() == 31).await;
    assert!(site.results().iter().all(|result| result["status"] == "ok"));
    until(|| site.journaled(Some(EventState::Pending)).len() == 20).await;
    assert_eq!(site.journaled(Some(EventState::Dead)).len(), 0);
    // The sink itself is up.
    site.until_metric(&daemon, "sprited_sink_up{sink=\"cdn\"}", 1.0).await;
    let down = daemon.logged("a source host is down; its sprites wait in the journal");
    assert_eq!((down.len(), &down[0]["host"]), (1, &bad.address().to_string().into()));
    assert!(down[0]["error"].as_str().unwrap().contains("503"), "{down:?}");
    assert!(daemon.logged("sink is down; its events wait in the journal").is_empty());

    is_broken.store(false, Ordering::SeqCst);
    daemon.has_logged("a source host is up again").await;
    until(|| site.lines("site.jsonl").len() == 51).await;
    site.drained().await;
    assert_eq!((site.copies(), ids(&site.lines("site.jsonl")).len()), (51, 51));
    daemon.stop().await;
}

/// A host that answers is up, whatever is wrong with the answers.
#[tokio::test]
async fn broken_sprites_hold_up_no_good_ones_of_their_host() {
    let is_broken = Arc::new(AtomicBool::new(true));
    let broken = Arc::clone(&is_broken);
    let host = LocalServer::start(move |request, number| {
        let is_index = request.target.ends_with(".vtt");
        let wrong = match request.target.split('/').nth(1).unwrap() {
            _ if !broken.load(Ordering::SeqCst) => None,
            "html0" | "html1" => Some(b"<html><body>Sorry</body></html>".to_vec()),
            "none0" | "none1" => is_index.then(|| b"WEBVTT\n".to_vec()),
            "cut0" | "cut1" => (!is_index).then(|| {
                let sheet = png(&request.target);
                sheet[..sheet.len() - 12].to_vec()
            }),
            "changed0" | "changed1" => is_index.then(|| format!("{INDEX}\nNOTE {number}\n").into()),
            _ => None,
        };
        wrong.map_or_else(|| usual(request), |body| Reply::new(200, &[], &body))
    })
    .await;
    let site = site(&[&host]).await;
    let add = |file: &str| {
        site.cloud.control.add(&sprite(&host.url(), file, "").body).unwrap();
    };
    // How often the index of each was asked for.
    let asked = || {
        let mut asked = BTreeMap::<String, usize>::new();
        for request in host.seen().iter().filter(|request| request.target.ends_with(".vtt")) {
            *asked.entry(request.target.split('/').nth(1).unwrap().to_owned()).or_default() += 1;
        }
        asked
    };
    let kinds = ["html", "none", "cut", "changed"];
    let bad: Vec<_> =
        kinds.iter().flat_map(|kind| [format!("{kind}0"), format!("{kind}1")]).collect();
    bad.iter().for_each(|file| add(file));
    let daemon = site.start();
    let all_asked = |times: usize| {
        let asked = asked();
        bad.iter().all(|file| asked.get(file).is_some_and(|count| *count >= times))
    };
    until(|| all_asked(1)).await;
    let retried =
        async || daemon.metric("sprited_deliveries_total{sink=\"cdn\",outcome=\"retry\"}").await;
    super::until(async || retried().await >= bad.len() as f64).await;
    (0..20).for_each(|number| add(&format!("528589{number}")));
    until(|| site.lines("site.jsonl").len() == 20).await;
    assert!(site.results().iter().all(|result| result["status"] == "ok"));
    assert_eq!(site.copies(), 20);
    // At once: none of them at a second try.
    let mut good = asked();
    good.retain(|file, _| !bad.contains(file));
    assert!(good.len() == 20 && good.values().all(|count| *count == 2), "{good:?}");
    // The others are tried on and on: a changed one's index is asked for twice at a try.
    until(|| all_asked(3)).await;
    assert_eq!(site.journaled(Some(EventState::Pending)).len(), bad.len());
    assert_eq!(site.journaled(Some(EventState::Dead)).len(), 0);
    for down in [
        "a source host is down; its sprites wait in the journal",
        "sink is down; its events wait in the journal",
    ] {
        assert!(daemon.logged(down).is_empty(), "{}", daemon.log());
    }
    is_broken.store(false, Ordering::SeqCst);
    until(|| site.lines("site.jsonl").len() == 28).await;
    assert_eq!((site.copies(), ids(&site.lines("site.jsonl")).len()), (28, 28));
    daemon.stop().await;
}
