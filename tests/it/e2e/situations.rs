//! What an operator is told in each situation, in the same words on the page, by `status`, by
//! `/readyz` and in the metrics; and what the log says of it.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use vod_emulator::{ApiAction, EmulatorSettings, FaultKind, InjectedFault};

use super::daemon::Daemon;
use super::receiver::{Answer, Receiver};
use super::{Site, file, settings, until};
use crate::local_server::{LocalServer, Reply};
use crate::support;

/// What a daemon says of itself at one moment.
struct Told {
    status: Value,
    ready: bool,
}

impl Told {
    /// Waits until the daemon tells something that begins so, everywhere.
    async fn of(daemon: &Daemon, words: &str) -> Self {
        Self::with(daemon, words, "").await
    }

    /// The same, of something with these words as well.
    async fn with(daemon: &Daemon, words: &str, more: &str) -> Self {
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        loop {
            let (code, ready) = daemon.get("/readyz").await;
            let [page, text, json, metrics] = [
                daemon.get("/").await.1,
                daemon.get("/status.txt").await.1,
                daemon.get("/status.json").await.1,
                daemon.get("/metrics").await.1,
            ];
            let status: Value = serde_json::from_str(&json).expect(&json);
            let probe: Value = serde_json::from_str(&ready).expect(&ready);
            let escaped = words.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
            let mood = status["mood"].as_str().unwrap();
            let told =
                [&status, &probe].map(|of| of["sentence"].as_str().unwrap().starts_with(words));
            if told == [true; 2]
                && text.lines().nth(1).is_some_and(|line| line.starts_with(words))
                && page.contains(&escaped)
                && metrics.contains(&format!("sprited_state{{state=\"{mood}\"}} 1\n"))
                && status["sentence"].as_str().unwrap().contains(more)
                && status["ready"] == probe["ready"]
                && status["mood"] == probe["mood"]
            {
                return Self { status, ready: code == 200 };
            }
            let late = std::time::Instant::now() > deadline;
            assert!(!late, "not told: {words}\n{text}\n{ready}\n{}", daemon.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    #[track_caller]
    fn is(&self, mood: &str, ready: bool) -> &Self {
        assert_eq!(
            (self.status["mood"].as_str(), self.ready),
            (Some(mood), ready),
            "{}",
            self.status
        );
        self
    }

    /// A member of the first check of that name that has it.
    fn member(&self, check: &str, member: &str) -> String {
        let checks = self.status["checks"].as_array().unwrap();
        let found =
            checks.iter().filter(|of| of["name"] == check).find_map(|of| of[member].as_str());
        found.unwrap_or_else(|| panic!("no {member} of {check}: {}", self.status)).to_owned()
    }
}

/// The sink `site`, which posts to `hook`.
fn site_sink(hook: &LocalServer, more: &str) -> String {
    let url = hook.url();
    format!("[[sinks]]\nname = 'site'\ntype = 'webhook'\nurl = '{url}/'\n{more}\n")
}

/// Stops the daemon while a delivery hangs, and tells what is told meanwhile.
#[tokio::test]
async fn starting_idle_and_stopping() {
    let hook = Receiver::start(Answer::Hang).await;
    let cloud = EmulatorSettings { hold: Duration::from_secs(3), ..settings() };
    let site = Site::with(cloud, "", &hook.sink("hook", "timeout = '5s'")).await;
    let mut daemon = site.start();
    let starting = "Starting: waiting for the first answer of the cloud.";
    Told::of(&daemon, starting).await.is("starting", false);
    let idle = "The queue is empty, nothing is pending; no event has come yet.";
    Told::of(&daemon, idle).await.is("good", true);
    site.add_sprites(1);
    support::until(|| hook.asked() == 1).await;
    daemon.signal(Signal::SIGTERM);
    Told::of(&daemon, "Stopping: waiting up to 15 s for 1 event in flight, ")
        .await
        .is("stopping", false);
    daemon.ended_within(Duration::from_secs(20)).await;
}

#[tokio::test]
async fn pulling_that_is_paused_by_hand() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let daemon = site.start();
    let idle = "The queue is empty, nothing is pending; no event has come yet.";
    Told::of(&daemon, idle).await.is("good", true);
    let command = async |asked: &'static str| {
        let config = site.path("sprited.toml");
        let ran = tokio::task::spawn_blocking(move || {
            crate::cli::ended(crate::cli::sprited().arg(asked).env("SPRITED_CONFIG", config))
        });
        assert_eq!(ran.await.unwrap().code, 0);
    };
    command("pause").await;
    let words = "Pulling is paused by hand (the cloud keeps an event for 4 days); for ";
    let told = Told::of(&daemon, words).await;
    told.is("degraded", true);
    assert_eq!(told.member("cloud", "remedy"), "sprited resume");
    assert!(!told.member("cloud", "since").is_empty());
    command("resume").await;
    Told::of(&daemon, idle).await.is("good", true);
    daemon.stop().await;
}

#[tokio::test]
async fn the_first_event_of_a_new_sink_that_fails() {
    let hook = Receiver::start(Answer::Refuse(404)).await;
    let site = Site::new(&hook.sink("site", "")).await;
    let daemon = site.start();
    site.add_sprites(1);
    let told = Told::with(&daemon, "Sink site is down, ", "1 event waits").await;
    told.is("degraded", true);
    let detail = told.member("sinks", "detail");
    assert!(
        detail.starts_with("sink site is down, 1 event waits in the journal: ")
            && detail.contains("404"),
        "{detail}"
    );
    assert!(
        !told.member("sinks", "next_try").is_empty() && !told.member("sinks", "since").is_empty()
    );
    let line = &daemon.logged("sink is down; its events wait in the journal")[0];
    assert!(line["error"].as_str().unwrap().contains("404"), "{line}");
    daemon.stop().await;
}

/// It takes a few, and then rejects whatever comes.
#[tokio::test]
async fn a_receiver_that_rejects_everything() {
    let hook =
        LocalServer::start(|_, number| Reply::new(if number < 5 { 204 } else { 422 }, &[], b""))
            .await;
    let site = Site::new(&site_sink(&hook, "max_in_flight = 1")).await;
    let daemon = site.start();
    site.add_sprites(60);
    let told = Told::with(&daemon, "Sink site is down, ", "20 dead letters at site").await;
    told.is("degraded", true);
    assert!(told.member("sinks", "detail").contains("422"), "{}", told.status);
    assert!(told.member("sinks", "remedy").contains("rejected 20 different events"));
    assert!(told.member("dead_letters", "detail").starts_with("20 dead letters at site, "));
    assert!(told.member("dead_letters", "detail").contains("20 of them: "));
    let redeliver = "sprited events redeliver --state dead --sink site";
    assert!(told.member("dead_letters", "remedy").ends_with(redeliver));
    let one_by_one = daemon.logged("event given up; it is a dead letter of this sink");
    assert_eq!(one_by_one.len(), 5);
    daemon.stop().await;
}

/// One event that a sink answers otherwise than all others: what is told of it, and what ends that.
struct OddEvent {
    answer: u16,
    sentence: &'static str,
    /// The check that tells of it, and what its detail and its remedy hold.
    check: &'static str,
    detail: &'static [&'static str],
    remedy: &'static [&'static str],
    log: &'static str,
    discard: &'static [&'static str],
}

#[tokio::test]
async fn one_event_of_many_is_told_until_somebody_handles_it() {
    for odd in [
        OddEvent {
            answer: 422,
            sentence: "1 dead letter at site, the newest ",
            check: "dead_letters",
            detail: &["1 dead letter at site, ", "422"],
            remedy: &["sprited events redeliver --state dead --sink site"],
            log: "event given up; it is a dead letter of this sink",
            discard: &["--state", "dead"],
        },
        OddEvent {
            answer: 500,
            sentence: "Event ",
            check: "events",
            detail: &["(Odd) has failed ", "500"],
            remedy: &["sprited events discard ", " --sink site"],
            log: "event keeps failing",
            discard: &["--state", "pending"],
        },
    ] {
        let hook = LocalServer::start(move |request, _| {
            let is_odd = request.body.contains("\"Odd\"");
            Reply::new(if is_odd { odd.answer } else { 204 }, &[], b"")
        })
        .await;
        let site = Site::new(&site_sink(&hook, "events = ['*']")).await;
        let daemon = site.start();
        site.add_sprites(3);
        site.drained().await;
        site.cloud.control.add(r#"{"EventType":"Odd","OddEvent":{"TaskId":"t-1"}}"#).unwrap();
        let told = Told::of(&daemon, odd.sentence).await;
        told.is("degraded", true);
        for (member, parts) in [("detail", odd.detail), ("remedy", odd.remedy)] {
            let text = told.member(odd.check, member);
            assert!(parts.iter().all(|part| text.contains(part)), "{member}: {text}");
        }
        daemon.has_logged(odd.log).await;
        let discard = ["events", "discard", "--sink", "site", "--yes"];
        let discard = site.run(&[&discard, odd.discard].concat()).await;
        assert_eq!(discard.code, 0, "{}", discard.log);
        Told::of(&daemon, "The queue is empty, nothing is pending; ").await.is("good", true);
        daemon.stop().await;
    }
}

#[tokio::test]
async fn a_cloud_that_fails_from_the_first_failure_on() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let daemon = site.start();
    Told::of(&daemon, "The queue is empty").await.is("good", true);
    let fails = FaultKind::Error("InternalError".to_owned());
    let fault = InjectedFault::rate(1.0, fails).on(ApiAction::PullEvents);
    site.cloud.control.fault(fault).unwrap();
    let words =
        format!("The cloud reports an error of its own ({}): InternalError: ", site.cloud.url);
    let told = Told::of(&daemon, &words).await;
    told.is("degraded", true);
    assert_eq!(told.member("cloud", "code"), "InternalError");
    assert!(!told.member("cloud", "request_id").is_empty());
    assert!(
        !told.member("cloud", "next_try").is_empty() && !told.member("cloud", "remedy").is_empty()
    );
    site.cloud.control.clear_faults();
    Told::of(&daemon, "The queue is empty").await.is("good", true);
    daemon.stop().await;
}

#[tokio::test]
async fn a_wrong_key() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    site.set_key("not-the-secret-key");
    let daemon = site.start();
    let words = format!(
        "The cloud refuses the credentials ({}): AuthFailure.SignatureFailure: ",
        site.cloud.url
    );
    let told = Told::of(&daemon, &words).await;
    told.is("bad", false);
    assert!(told.member("cloud", "remedy").contains("secret_key"));
    let line = &daemon.logged("pulling fails")[0];
    assert_eq!(line["code"], "AuthFailure.SignatureFailure");
    daemon.stop().await;
}

#[tokio::test]
async fn several_sinks_down_count_events_and_a_sink_that_is_back_catches_up() {
    let hooks = [(); 3].map(|()| Receiver::start(Answer::Refuse(503)));
    let hooks = futures_util::future::join_all(hooks).await;
    let sinks: String =
        ["a", "b", "c"].iter().zip(&hooks).map(|(name, hook)| hook.sink(name, "")).collect();
    let site = Site::new(&sinks).await;
    let daemon = site.start();
    site.add_sprites(40);
    let told =
        Told::of(&daemon, "3 sinks are down (a, b, c), 40 events wait in the journal, ").await;
    told.is("degraded", true);
    for hook in &hooks {
        hook.set(Answer::Take);
    }
    Told::of(&daemon, "The queue is empty, nothing is pending; ").await.is("good", true);
    daemon.stop().await;
}

#[tokio::test]
async fn a_rejected_reload() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let daemon = site.start();
    Told::of(&daemon, "The queue is empty").await.is("good", true);
    site.edit("interval = '20ms'", "intervall = '20ms'");
    daemon.signal(Signal::SIGHUP);
    let told = Told::of(&daemon, "Last reload rejected at ").await;
    told.is("degraded", true);
    let detail = told.member("reload", "detail");
    assert!(detail.contains("sprited.toml:") && detail.contains("intervall"), "{detail}");
    assert!(detail.ends_with("the previous configuration is active"), "{detail}");
    site.edit("intervall = '20ms'", "interval = '20ms'");
    daemon.signal(Signal::SIGHUP);
    Told::of(&daemon, "The queue is empty").await.is("good", true);
    daemon.stop().await;
}

#[tokio::test]
async fn a_sink_that_was_renamed_while_events_waited_for_it() {
    let hook = Receiver::start(Answer::Refuse(503)).await;
    let site = Site::new(&hook.sink("old", "")).await;
    let daemon = site.start();
    site.add_sprites(3);
    Told::of(&daemon, "Sink old is down, ").await;
    site.edit("name = 'old'", "name = 'new'");
    daemon.signal(Signal::SIGHUP);
    let words = "3 events wait for the sink old, which the configuration no longer has.";
    let told = Told::of(&daemon, words).await;
    told.is("degraded", true);
    let discard = site.run(&["events", "discard", "--sink", "old", "--yes"]).await;
    assert_eq!(discard.code, 0, "{}", discard.log);
    Told::of(&daemon, "The queue is empty").await.is("good", true);
    daemon.stop().await;
}

#[tokio::test]
async fn one_of_two_applications_and_the_rule_of_readiness() {
    let site = Site::new(&file("all", "*")).await;
    site.edit("sub_app_id = 1500012345", "sub_app_id = [1500012345, 1500012346]");
    let daemon = site.start();
    until(async || daemon.get("/readyz").await.0 == 200).await;
    let words =
        format!("Application 1500012346: the cloud refuses the request ({})", site.cloud.url);
    Told::of(&daemon, &words).await.is("degraded", true);
    site.edit("listen = '127.0.0.1:0'", "listen = '127.0.0.1:0'\nready = 'all'");
    daemon.signal(Signal::SIGHUP);
    until(async || daemon.get("/readyz").await.0 == 503).await;
    Told::of(&daemon, &words).await.is("bad", false);
    daemon.stop().await;
}
