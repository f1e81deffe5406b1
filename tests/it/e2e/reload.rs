//! A configuration that changes while the daemon runs, and SIGHUP.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use sprited::journal::EventState;
use tokio::io::AsyncBufReadExt;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vod_emulator::{ApiAction, EmulatorControl, EmulatorSettings, SpriteOrder};

use super::daemon::Daemon;
use super::receiver::{Answer, Receiver};
use super::{Site, file, ids, settings};
use crate::support::until;

const REFUSED: &str = "reload rejected; previous configuration stays active";

impl Daemon {
    /// Has it read its configuration again; what it said of that.
    pub(super) async fn reload(&self) -> Vec<Value> {
        let (reloads, said) = (self.reloads().await, self.outcomes().len());
        self.signal(Signal::SIGHUP);
        super::until(async || self.reloads().await > reloads).await;
        self.outcomes().split_off(said)
    }

    /// Has it take its configuration over; the line that says so.
    pub(super) async fn reloaded(&self) -> Value {
        let said = self.reload().await;
        assert!(said.len() == 1 && said[0]["message"] != REFUSED, "{said:?}");
        said[0].clone()
    }

    fn outcomes(&self) -> Vec<Value> {
        let log = self.log();
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let is_outcome = |event: &Value| {
            let message = event["message"].as_str().unwrap_or_default();
            message == REFUSED || message.starts_with("reloaded")
        };
        events.filter(is_outcome).collect()
    }

    /// How often it read its configuration again, whatever came of it.
    async fn reloads(&self) -> u64 {
        let of = async |outcome: &str| {
            self.metric(&format!("sprited_reloads_total{{outcome=\"{outcome}\"}}")).await
        };
        (of("ok").await + of("failed").await).round() as u64
    }

    /// Whether a metric of the sink at work is told.
    async fn tells_of(&self, sink: &str) -> bool {
        let (_, page) = self.get("/metrics").await;
        // What is pending there stays in the journal, with or without a sink.
        let of_journal = ["sprited_sink_events", "sprited_sink_oldest_pending_age_seconds"];
        page.lines()
            .filter(|line| !of_journal.iter().any(|name| line.starts_with(name)))
            .any(|line| line.contains(&format!("sink=\"{sink}\"")))
    }
}

impl Site {
    /// Other sinks; what a daemon reads meanwhile is the one or the other.
    pub(super) fn set_sinks(&self, sinks: &str) {
        let text = std::fs::read_to_string(self.path("sprited.toml")).unwrap();
        let (_, old) = text.split_once("[[sinks]]").unwrap();
        let sinks = sinks.replace("DIR", self.folder.path().to_str().unwrap());
        self.edit(&format!("[[sinks]]{old}"), &sinks);
    }

    /// A site on which a handle is good for longer than any test waits.
    pub(super) async fn patient(sinks: &str) -> Self {
        let lease = Duration::from_secs(60);
        let site = Self::with(EmulatorSettings { lease, ..settings() }, "", sinks).await;
        site.set_lease(lease);
        site
    }

    async fn audit_is_clean(&self) {
        let ended = self.run(&["audit"]).await;
        assert_eq!(ended.code, 0, "{}", ended.log);
    }
}

/// Sprite tasks that finish all the time.
pub(super) struct Load {
    cloud: EmulatorControl,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Load {
    pub(super) fn start(site: &Site) -> Self {
        let (cloud, stop) = (site.cloud.control.clone(), CancellationToken::new());
        let (making, stopped) = (cloud.clone(), stop.clone());
        let task = tokio::spawn(async move {
            let order = SpriteOrder { count: 2, fail_every: 0, ..SpriteOrder::default() };
            let pause = || tokio::time::sleep(Duration::from_millis(20));
            while stopped.run_until_cancelled(pause()).await.is_some() {
                making.add_sprites(&order).unwrap();
            }
        });
        Self { cloud, stop, task }
    }

    /// Waits until as many more were confirmed.
    pub(super) async fn goes_on(&self, events: u64) {
        let confirmed = self.cloud.totals().confirmed;
        until(|| self.cloud.totals().confirmed >= confirmed + events).await;
    }

    /// Ends it; how many there were.
    pub(super) async fn end(self) -> usize {
        self.stop.cancel();
        self.task.await.unwrap();
        usize::try_from(self.cloud.totals().added).unwrap()
    }
}

#[tokio::test]
async fn sinks_come_and_go_and_change_their_names_under_load() {
    let site = Site::new(&file("a", "*")).await;
    let daemon = site.start();
    let load = Load::start(&site);
    load.goes_on(20).await;
    assert_eq!(daemon.reloaded().await["message"], "reloaded: nothing has changed");

    site.set_sinks(&[file("a", "*"), file("b", "*")].concat());
    assert_eq!(daemon.reloaded().await["added"], "b");
    until(|| site.lines("b.jsonl").len() > 20).await;
    site.set_sinks(&[file("a", "*"), file("b", "NewFileUpload")].concat());
    assert_eq!(daemon.reloaded().await["changed"], "b");
    load.goes_on(20).await;
    site.set_sinks(&file("a", "*"));
    assert_eq!(daemon.reloaded().await["removed"], "b");
    super::until(async || !daemon.tells_of("b").await && daemon.tells_of("a").await).await;

    // Under another name it is another sink, which goes on in the same file.
    site.set_sinks(&file("a", "*").replace("name = 'a'", "name = 'c'"));
    let line = daemon.reloaded().await;
    assert_eq!((&line["added"], &line["removed"]), (&"c".into(), &"a".into()));
    load.goes_on(20).await;

    let count = load.end().await;
    site.drained().await;
    // What the old name had not taken waits for it, and for the old name of the other, too.
    site.set_sinks(
        &[file("a", "*"), file("b", "*"), file("c", "*").replace("c.jsonl", "rest.jsonl")].concat(),
    );
    daemon.reloaded().await;
    until(|| site.lines("a.jsonl").len() + site.lines("rest.jsonl").len() == count).await;
    let mut found = ids(&site.lines("a.jsonl"));
    found.extend(ids(&site.lines("rest.jsonl")));
    assert_eq!(found.len(), count, "an event is there twice");
    let b = site.lines("b.jsonl");
    assert_eq!(ids(&b).len(), b.len());
    assert!(daemon.logged("sink is down; its events wait in the journal").is_empty());
    daemon.stop().await;
    site.audit_is_clean().await;
}

#[tokio::test]
async fn what_is_wrong_or_cannot_change_leaves_all_as_it_was_and_says_why() {
    let hook = Receiver::start(Answer::Take).await;
    let sinks = [file("sprites", "*"), hook.sink("hook", "secret = { file = 'DIR/secret' }")];
    let site = Site::new(&sinks.concat()).await;
    std::fs::write(site.path("secret"), "for-tests").unwrap();
    let daemon = site.start();
    let load = Load::start(&site);
    load.goes_on(20).await;
    let good = std::fs::read_to_string(site.path("sprited.toml")).unwrap();
    let folder = site.folder.path().to_str().unwrap().to_owned();
    let new =
        |table: &str| format!("[[sinks]]\nname = 'new'\n{table}\n[[sinks]]\nname = 'sprites'");
    let first = "[[sinks]]\nname = 'sprites'";
    let wrong: [(&str, &str, &str); 13] = [
        ("interval = '20ms'", "intervall = '20ms'", "did you mean \"interval\"?"),
        ("[poll]", "[poll", "not TOML"),
        ("journal.db'", "other.db'", "[journal] path: a change needs a restart"),
        ("127.0.0.1:0'", "127.0.0.1:1'", "[http] listen: a change needs a restart"),
        ("1500012345", "1500012346", "[vod] sub_app_id: a change needs a restart"),
        ("[vod]\n", "[vod]\nmax_answer_size = '1MiB'\n", "[vod] max_answer_size: a change needs"),
        ("format = 'json'", "format = 'pretty'", "[log] format: a change needs a restart"),
        ("/key'", "/no-key'", "[credentials] secret_key: "),
        ("DIR/secret", "DIR/no-secret", "the sink \"hook\": "),
        (first, &new("type = 'jsonl'\npath = '/no/such/folder/a'"), "it must exist"),
        (first, &new("type = 'jsonl'\npath = '/dev/null'"), "not a regular file"),
        (first, &new("type = 'exec'\ncommand = ['/no/such/program']"), "/no/such/program"),
        (
            first,
            &new("type = 'webhook'\nurl = 'http://127.0.0.1/'\nsecret = { env = 'NO_SUCH' }"),
            "NO_SUCH",
        ),
    ];
    for (n, (from, to, why)) in wrong.into_iter().enumerate() {
        site.edit(&from.replace("DIR", &folder), &to.replace("DIR", &folder));
        let said = daemon.reload().await;
        assert_eq!(said.len(), 1, "one line for each fault: {said:?}");
        assert_eq!((&said[0]["message"], &said[0]["level"]), (&REFUSED.into(), &"ERROR".into()));
        assert!(said[0]["error"].as_str().unwrap().contains(why), "{why}: {said:?}");
        let failed = daemon.metric("sprited_reloads_total{outcome=\"failed\"}").await;
        assert_eq!(failed.round() as usize, n + 1);
        std::fs::write(site.path("sprited.toml"), &good).unwrap();
    }
    // All at once, and in the words of the check.
    site.edit("interval = '20ms'", "intervall = '20ms'");
    site.edit("name = 'hook'", "name = 'Hook'");
    let said = daemon.reload().await;
    assert_eq!(said.len(), 2, "{said:?}");
    let checked = site.run(&["check", "--offline"]).await;
    let told = std::fs::read_to_string(site.path("stdout")).unwrap();
    assert_eq!(checked.code, 78);
    // Wherever its table breaks a line.
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for line in said {
        let fault = line["error"].as_str().unwrap();
        let (_, fault) = fault.split_once("sprited.toml:").unwrap();
        assert!(words(&told).contains(&words(fault)), "{fault} is not in {told}");
    }
    // A kept sink whose secret is gone.
    std::fs::write(site.path("sprited.toml"), &good).unwrap();
    std::fs::remove_file(site.path("secret")).unwrap();
    let said = daemon.reload().await;
    assert!(said[0]["error"].as_str().unwrap().starts_with("the sink \"hook\": "), "{said:?}");
    load.goes_on(20).await;
    let count = load.end().await;
    site.drained().await;
    until(|| hook.taken().len() >= count).await;
    site.assert_once("sprites.jsonl", count);
    hook.assert_once(count);
    daemon.stop().await;
}

#[tokio::test]
async fn a_changed_sink_waits_for_what_is_under_way_and_others_for_nobody() {
    let (slow, other) = (Receiver::start(Answer::Hang).await, Receiver::start(Answer::Take).await);
    let good = Receiver::start(Answer::TakeAfter(Duration::from_millis(1500))).await;
    let more = "timeout = '15s'\nmax_in_flight = 20";
    let kept = [good.sink("good", more), file("file", "*")].concat();
    let site = Site::patient(&[kept.clone(), slow.sink("hook", more)].concat()).await;
    let daemon = site.start();
    site.add_sprites(3);
    // These will time out, those will be taken in the end.
    until(|| slow.asked() == 3 && good.asked() == 3).await;
    slow.set(Answer::TakeWhenReleased);
    site.add_sprites(4);
    until(|| slow.asked() == 7 && good.asked() == 7).await;
    site.set_sinks(&[kept, other.sink("hook", more)].concat());
    assert_eq!(daemon.reloaded().await["changed"], "hook");
    site.add_sprites(2);
    until(|| site.lines("file.jsonl").len() == 9 && good.asked() == 9).await;
    assert_eq!(other.asked(), 0, "it waits for what is under way");
    daemon.has_logged("waiting for in-flight deliveries of the replaced sink").await;
    slow.release();
    site.drained().await;
    slow.assert_once(4);
    other.assert_once(5);
    assert!(ids(&slow.taken()).is_disjoint(&ids(&other.taken())));
    good.assert_once(9);
    assert_eq!(good.asked(), 9);
    site.assert_once("file.jsonl", 9);
    daemon.stop().await;
    site.audit_is_clean().await;
}

#[tokio::test]
async fn what_waited_for_a_removed_sink_alone_is_confirmed_and_its_rows_wait_for_its_return() {
    let hook = Receiver::start(Answer::Refuse(500)).await;
    let (kept, gone) = (file("sprites", "*"), hook.sink("hook", ""));
    let site = Site::patient(&[kept.clone(), gone.clone()].concat()).await;
    let daemon = site.start();
    site.add_sprites(40);
    until(|| site.lines("sprites.jsonl").len() == 40 && hook.asked() >= 5).await;
    assert_eq!(site.confirmed(), 0);
    site.set_sinks(&kept);
    assert_eq!(daemon.reloaded().await["removed"], "hook");
    // The handles are good for a minute: this is no repeat.
    site.drained().await;
    assert_eq!(site.cloud.control.totals().handed_out_again, 0);
    super::until(async || !daemon.tells_of("hook").await).await;

    hook.set(Answer::Take);
    site.set_sinks(&[kept, gone].concat());
    assert_eq!(daemon.reloaded().await["added"], "hook");
    until(|| hook.taken().len() >= 40).await;
    site.add_sprites(2);
    site.drained().await;
    hook.assert_once(42);
    site.assert_once("sprites.jsonl", 42);
    daemon.stop().await;
    site.audit_is_clean().await;
}

/// What was on its way to a reader who stalled arrives when he reads on, and is not written again.
#[tokio::test]
async fn a_changed_standard_output_whose_reader_stalls_repeats_nothing() {
    let sink = "[[sinks]]\nname = 'out'\ntype = 'stdout'\ntimeout = '500ms'\nevents = ['*']\n";
    let site = Site::new(sink).await;
    let path = site.path("stdout");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let reader = tokio::net::unix::pipe::OpenOptions::new().open_receiver(&path).unwrap();
    let daemon = site.start();
    // More than the pipe holds.
    site.add_sprites(150);
    daemon.has_logged("sink is down; its events wait in the journal").await;
    site.edit("timeout = '500ms'", "timeout = '400ms'");
    assert_eq!(daemon.reloaded().await["changed"], "out");
    let said = daemon.logged("delivery failed").len();
    until(|| daemon.logged("delivery failed").len() > said).await;
    let reading = tokio::spawn(async move {
        let mut lines = tokio::io::BufReader::new(reader).lines();
        let mut all = Vec::new();
        while let Ok(Some(line)) = lines.next_line().await {
            all.push(serde_json::from_str::<Value>(&line).expect(&line));
        }
        all
    });
    site.drained().await;
    daemon.stop().await;
    let lines = reading.await.unwrap();
    assert_eq!((lines.len(), ids(&lines).len()), (150, 150));
}

#[tokio::test]
async fn a_changed_secret_signs_from_the_reload_on() {
    let hook = Receiver::start(Answer::Take).await;
    let site = Site::new(&hook.sink("hook", "secret = 'one'")).await;
    let daemon = site.start();
    site.add_sprites(1);
    site.drained().await;
    site.edit("secret = 'one'", "secret = 'another'\nheaders = { x-new = 'header' }");
    assert_eq!(daemon.reloaded().await["changed"], "hook");
    site.add_sprites(1);
    site.drained().await;
    let requests = hook.requests();
    let has_header = |n: usize| requests[n].header("x-new").is_some();
    assert!(!has_header(0) && has_header(1) && requests.len() == 2);
    assert!(!daemon.log().contains("another") && !daemon.log().contains("header'"));
    daemon.stop().await;
}

#[tokio::test]
async fn the_logs_level_follows() {
    let site = Site::new(&file("sprites", "*")).await;
    let daemon = site.start();
    let pulled = async || {
        let before = daemon.logged("entry stored").len();
        site.add_sprites(3);
        site.drained().await;
        daemon.logged("entry stored").len() - before
    };
    assert_eq!(pulled().await, 3);
    for (from, to, seen) in [("debug", "error", 0), ("error", "off", 0), ("off", "debug", 3)] {
        site.edit(&format!("level = '{from}'"), &format!("level = '{to}'"));
        let (reloads, said) = (daemon.reloads().await, daemon.outcomes().len());
        daemon.signal(Signal::SIGHUP);
        super::until(async || daemon.reloads().await > reloads).await;
        let said = daemon.outcomes().split_off(said);
        // Between two levels that hide it nothing shows it.
        assert_eq!(said.len(), usize::from(from != "error"), "{said:?}");
        assert!(said.iter().all(|line| line["tables"] == "log"), "{said:?}");
        assert_eq!(pulled().await, seen, "{to}");
    }
    daemon.stop().await;
}

#[tokio::test]
async fn the_pace_of_pulling_and_the_rule_of_confirming_follow_at_once() {
    let hook = Receiver::start(Answer::Refuse(500)).await;
    let site = Site::patient(&hook.sink("hook", "")).await;
    site.edit("interval = '20ms'", "interval = '1h'");
    let daemon = site.start();
    until(|| site.cloud.control.totals().calls_of(ApiAction::PullEvents, "empty") == 1).await;
    site.add_sprites(5);
    site.edit("interval = '1h'", "interval = '20ms'");
    assert_eq!(daemon.reloaded().await["tables"], "poll");
    until(|| hook.asked() >= 5).await;
    assert_eq!(site.confirmed(), 0);
    site.edit("[confirm]\n", "[confirm]\nafter = 'journal'\n");
    assert_eq!(daemon.reloaded().await["tables"], "confirm");
    // The handles are good for a minute: what waits goes, and not what comes again.
    site.drained().await;
    assert_eq!(site.cloud.control.totals().handed_out_again, 0);
    hook.set(Answer::Take);
    until(|| hook.taken().len() >= 5).await;
    daemon.stop().await;
    hook.assert_once(5);
}

#[tokio::test]
async fn a_run_that_happens_once_ends_by_the_sinks_it_has_at_the_end() {
    let hook = Receiver::start(Answer::TakeWhenReleased).await;
    let sinks = hook.sink("hook", "");
    let site = Site::new(&sinks).await;
    site.add_sprites(3);
    let mut daemon = Daemon::start(site.folder.path(), &["run", "--once"], &[]);
    until(|| hook.asked() == 3).await;
    site.set_sinks(&[file("sprites", "*"), sinks].concat());
    daemon.signal(Signal::SIGHUP);
    daemon.has_logged("reloaded").await;
    site.add_sprites(3);
    hook.release();
    assert_eq!(daemon.ended_within(Duration::from_secs(20)).await, 0);
    hook.assert_once(6);
    site.assert_once("sprites.jsonl", 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_a_hundred_reloads_loses_and_repeats_nothing() {
    let (hook, odd) = (Receiver::start(Answer::Take).await, Receiver::start(Answer::Take).await);
    let all = file("all", "*");
    let variants = [
        [all.clone(), hook.sink("hook", ""), odd.sink("odd", "")].concat(),
        [all.clone(), hook.sink("hook", "secret = 'one'"), file("file", "*")].concat(),
        [hook.sink("hook", "secret = 'two'"), all.clone()].concat(),
        [all.clone(), hook.sink("hook", "give_up_after = '1h'"), odd.sink("odd", "")].concat(),
        [all.clone(), hook.sink("hook", ""), file("file", "*") + "mode = '0600'\n"].concat(),
    ];
    let site = Site::new(&variants[0]).await;
    site.edit("level = 'debug'", "level = 'info'");
    let mut daemon = site.start();
    let load = Load::start(&site);
    load.goes_on(20).await;
    for n in 1..=100 {
        site.set_sinks(&variants[n % variants.len()]);
        if n % 7 == 0 {
            site.edit("interval = '20ms'", "interval = '20 milliseconds after'");
        }
        if n % 3 == 0 {
            daemon.reload().await;
        } else {
            daemon.signal(Signal::SIGHUP);
        }
        if n % 7 == 0 {
            site.edit("interval = '20 milliseconds after'", "interval = '20ms'");
        }
    }
    let last = [variants[0].clone(), file("file", "*")].concat();
    site.set_sinks(&last);
    // Some of those before may still be under way.
    daemon.reload().await;
    while daemon.outcomes().last().unwrap()["message"] != "reloaded: nothing has changed" {
        daemon.reload().await;
    }
    let count = load.end().await;
    site.drained().await;
    until(|| site.journaled(Some(EventState::Pending)).is_empty()).await;
    assert!(count > 100 && daemon.reloads().await > 30);
    site.assert_once("all.jsonl", count);
    hook.assert_once(count);
    for lines in [site.lines("file.jsonl"), odd.taken()] {
        assert!(lines.len() > 1 && ids(&lines).len() == lines.len());
    }
    for fault in ["sink is down; its events wait in the journal", "task stalled"] {
        assert!(daemon.logged(fault).is_empty(), "{fault}");
    }
    // A stop that comes at the same time as a reload.
    site.set_sinks(&variants[1]);
    daemon.signal(Signal::SIGHUP);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended_within(Duration::from_secs(20)).await, 0);
    site.audit_is_clean().await;
}
