//! Sinks that are down for long, take their time, hang, fail, or choke on one event.

use std::collections::BTreeSet;
use std::fmt;
use std::process::Command;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use sprited::journal::{EventState, Filter, JournalReader};
use vod_emulator::EmulatorSettings;

use super::super::daemon::{Daemon, PROGRAM};
use super::super::receiver::{Answer, Receiver};
use super::super::{LEASE, Site, file, settings};
use super::within;

const DOWN: &str = "sink is down; its events wait in the journal";

#[tokio::test]
async fn a_sink_that_is_down_for_longer_than_the_cloud_keeps_events_gets_all_of_them() {
    let hook = Receiver::start(Answer::Refuse(503)).await;
    let cloud = EmulatorSettings { retention: Duration::from_secs(4), ..settings() };
    // It would be up by far, if the time of an outage counted.
    let site = Site::with(cloud, "", &hook.sink("hook", "give_up_after = '1s'")).await;
    let totals = || site.cloud.control.totals();
    let daemon = site.start();
    site.add_sprites(20);
    within(60, async || totals().handed_out_again >= 20).await;
    site.add_sprites(10);
    within(30, async || totals().expired == 30).await;
    assert_eq!((totals().waiting, totals().confirmed), (0, 0));
    assert_eq!(site.journaled(Some(EventState::Pending)).len(), 30);
    hook.set(Answer::Take);
    within(60, async || hook.count() == 30).await;
    within(60, async || site.journaled(Some(EventState::Delivered)).len() == 30).await;
    // And goes on as if nothing had been.
    site.add_sprites(5);
    within(60, async || totals().confirmed == 5).await;
    assert_eq!(daemon.get("/readyz").await.0, 200);
    daemon.stop().await;
    hook.assert_once(35);
    assert_eq!(site.journaled(Some(EventState::Dead)).len(), 0);
}

/// A sink that takes so long for each event, and more events than it takes at once.
#[allow(clippy::print_stdout, reason = "shown by a soak")]
async fn is_slow(after: &str, lease: Duration, time: Duration) {
    let hook = Receiver::start(Answer::TakeAfter(time)).await;
    let timeout = format!("timeout = '{}s'", (time + time / 2).as_secs());
    let cloud = EmulatorSettings { lease, ..settings() };
    let confirm = format!("after = '{after}'");
    let site = Site::with(cloud, &confirm, &hook.sink("hook", &timeout)).await;
    site.edit("lease = '2500ms'", &format!("lease = '{}ms'", lease.as_millis()));
    let daemon = site.start();
    let count = 20;
    site.add_sprites(count);
    let rounds = count.div_ceil(8) + 1;
    let most = (time * rounds + lease * 2).as_secs() + 30;
    within(most, async || hook.count() == count as usize).await;
    within(most, async || site.cloud.control.totals().waiting == 0).await;
    // The last ones came, but the sink has not answered yet.
    within(most, async || site.journaled(Some(EventState::Delivered)).len() == count as usize)
        .await;
    let totals = site.cloud.control.totals();
    println!("after {after}: handed out again {}, {:?}", totals.handed_out_again, totals.calls);
    // Each event that waits comes again once a lease, no oftener.
    let leases = (time * rounds).as_secs_f64() / lease.as_secs_f64() + 2.0;
    assert!((totals.handed_out_again as f64) <= leases * f64::from(count), "{totals:?}");
    assert_eq!(totals.handed_out_again == 0, after == "journal");
    assert!(daemon.logged(DOWN).is_empty());
    daemon.stop().await;
    hook.assert_once(count as usize);
    assert_eq!(hook.asked(), count as usize, "none was tried twice");
    assert_eq!(site.confirmed(), u64::from(count));
}

#[tokio::test]
async fn a_sink_that_takes_twice_the_lease_gets_each_event_once() {
    join_all(["delivery", "journal"].map(|after| is_slow(after, LEASE, LEASE * 2))).await;
}

mod soak {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "takes minutes; tests/run --soak"]
    async fn one_poisonous_event_holds_up_none_of_ten_thousand() {
        one_is_poisonous(10_000).await;
    }

    #[tokio::test]
    #[ignore = "takes minutes; tests/run --soak"]
    async fn a_sink_that_takes_a_minute_gets_each_event_once() {
        let (lease, time) = (Duration::from_secs(30), Duration::from_secs(60));
        join_all(["delivery", "journal"].map(|after| is_slow(after, lease, time))).await;
    }
}

/// What a sink that is well got: how long all of it took, and the time from the pull of an event
/// to its arrival, at the middle and at the worst hundredth.
struct Service {
    per_second: f64,
    middle: Duration,
    worst: Duration,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { per_second, middle, worst } = self;
        write!(f, "{per_second:.0} events/s, p50 {middle:.0?}, p99 {worst:.0?}")
    }
}

/// Of the events from the one numbered `first` on, which were added at `since`.
fn service(hook: &Receiver, first: usize, since: DateTime<Utc>) -> Service {
    let arrived = hook.times().split_off(first);
    let mut waits: Vec<Duration> = arrived
        .iter()
        .zip(hook.taken().split_off(first))
        .map(|(at, envelope)| {
            let pulled: DateTime<Utc> = envelope["time"].as_str().unwrap().parse().unwrap();
            (*at - pulled).to_std().unwrap_or_default()
        })
        .collect();
    waits.sort_unstable();
    let took = (*arrived.last().unwrap() - since).to_std().unwrap();
    Service {
        per_second: arrived.len() as f64 / took.as_secs_f64(),
        middle: waits[waits.len() / 2],
        worst: waits[waits.len() * 99 / 100],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_is_well_is_served_beside_sick_ones_as_if_alone() {
    let (backlog, trickle) = (1500, 200);
    let [alone, beside] =
        [Receiver::start(Answer::Take).await, Receiver::start(Answer::Take).await];
    let hanging = Receiver::start(Answer::Hang).await;
    let failing = Receiver::start(Answer::Refuse(500)).await;
    let confirm = "max_unconfirmed = 300";
    let site_alone = Site::with(settings(), confirm, &alone.sink("good", "")).await;
    let sinks = [
        hanging.sink("hanging", "timeout = '2s'"),
        failing.sink("failing", ""),
        beside.sink("good", ""),
    ];
    let site_beside = Site::with(settings(), confirm, &sinks.concat()).await;
    let sites = [&site_alone, &site_beside];
    let daemons = sites.map(Site::start);
    for daemon in &daemons {
        daemon.has_logged("started").await;
    }
    let began = Instant::now();

    let added = Utc::now();
    sites.iter().for_each(|site| site.add_sprites(backlog));
    let backlog = backlog as usize;
    within(120, async || alone.count() == backlog && beside.count() == backlog).await;
    // Nothing that was asked of a sick one was waited for: it has come a few events far.
    let sick = || (hanging.asked(), failing.asked());
    let behind = sick();
    assert!(behind.0 * 4 < backlog && behind.1 * 4 < backlog, "it waits for others: {behind:?}");
    let first = [&alone, &beside].map(|hook| service(hook, 0, added));
    // All that the sick ones owe is past its lease, and the oldest of it confirmed.
    within(60, async || site_beside.cloud.control.totals().waiting <= 300).await;
    let unsettled = daemons[1].metric("sprited_confirmed_early_total").await;
    assert!(unsettled >= backlog as f64 - 300.0, "{unsettled}");

    let added = Utc::now();
    for _ in 0..10 {
        sites.iter().for_each(|site| site.add_sprites(trickle / 10));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let all = backlog + trickle as usize;
    within(60, async || alone.count() == all && beside.count() == all).await;
    let then = [&alone, &beside].map(|hook| service(hook, backlog, added));
    println!("a backlog of {backlog}: alone {}; beside sick ones {}", first[0], first[1]);
    println!("then {trickle} more: alone {}; beside sick ones {}", then[0], then[1]);
    // Of all that came then, the sick ones were asked with single events.
    let more = (sick().0 - behind.0, sick().1 - behind.1);
    assert!(more.0 + more.1 < trickle as usize / 4, "it waits for others: {more:?}");
    alone.assert_once(all);
    beside.assert_once(all);
    assert_eq!((alone.asked(), beside.asked()), (all, all), "none was tried twice");
    assert_eq!((hanging.count(), failing.count()), (0, 0));
    assert!(hanging.asked() > 0 && failing.asked() > 0);
    assert_eq!(daemons[1].get("/readyz").await.0, 200);
    assert!(daemons[0].logged(DOWN).is_empty());
    // Each of the sick ones once, and then once a minute.
    let down = daemons[1].logged(DOWN);
    let sinks: BTreeSet<_> = down.iter().map(|line| line["sink"].as_str().unwrap()).collect();
    assert_eq!(sinks.len(), 2, "{down:?}");
    let minutes = began.elapsed().as_secs() / 60;
    assert!(down.len() as u64 <= 2 * (1 + minutes), "{down:?}");
}

#[allow(clippy::print_stdout, reason = "shown by a soak")]
async fn one_is_poisonous(mut good: u32) {
    let hook = Receiver::start(Answer::TakeUnless("poison")).await;
    let sink = hook.sink("hook", "events = ['*']\ngive_up_after = '6s'");
    let site = Site::with(settings(), "", &sink).await;
    site.edit("level = 'debug'", "level = 'info'");
    let daemon = site.start();
    // A sink that has taken nothing yet is down at its first failure.
    site.add_sprites(1);
    within(60, async || hook.count() == 1).await;
    good += 1;
    let poison = r#"{"EventType":"Odd","OddEvent":{"TaskId":"poison"}}"#;
    let poison = site.cloud.control.add(poison).unwrap()[0];
    site.add_sprites(good - 1);
    let began = Instant::now();
    within(120, async || hook.count() == good as usize).await;
    println!("{good} events in {:?}", began.elapsed());
    // Only time in which the sink takes others counts.
    let dead = || site.journaled(Some(EventState::Dead));
    let deadline = Instant::now() + Duration::from_secs(60);
    while dead().is_empty() {
        assert!(Instant::now() < deadline, "it is not given up");
        site.add_sprites(1);
        good += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    within(60, async || site.cloud.control.totals().waiting == 0).await;
    // It had its time, in which the sink took others.
    let reader = JournalReader::open(&site.path("journal.db")).unwrap();
    let states = reader.sinks_of(dead()[0].id).unwrap();
    let lasted = states[0].last_failed.unwrap() - states[0].first_failed.unwrap();
    assert!(lasted.num_milliseconds() >= 6000, "{states:?}");
    assert!(states[0].attempts >= 3, "{states:?}");
    assert!(states[0].last_error.as_ref().unwrap().contains("500"), "{states:?}");
    assert_eq!(hook.asked(), good as usize + states[0].attempts as usize);
    assert!(daemon.logged(DOWN).is_empty(), "one event took the sink down");
    let ledger = site.cloud.control.ledger();
    assert!(ledger.event(poison).unwrap().confirmed.is_some());
    daemon.stop().await;
    hook.assert_once(good as usize);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_poisonous_event_holds_up_none_of_the_others() {
    one_is_poisonous(2000).await;
}

/// More than take a sink down. After an outage all of them are tried again at once; they are known
/// to fail by themselves as soon as the sink takes another.
#[tokio::test(flavor = "multi_thread")]
async fn many_poisonous_events_take_no_sink_down_again_and_again() {
    let hook = Receiver::start(Answer::TakeUnless("poison")).await;
    let sink = hook.sink("hook", "events = ['*']\ngive_up_after = '6s'");
    let site = Site::with(settings(), "", &sink).await;
    let daemon = site.start();
    let (mut good, poison) = (0, 24);
    for n in 0..poison {
        site.add_sprites(5);
        good += 5;
        let task = format!(r#"{{"EventType":"Odd","OddEvent":{{"TaskId":"poison-{n}"}}}}"#);
        site.cloud.control.add(&task).unwrap();
        within(20, async || hook.count() == good).await;
    }
    hook.set(Answer::Refuse(503));
    site.add_sprites(10);
    good += 10;
    let downs = || daemon.logged(DOWN).len();
    within(20, async || downs() > 0).await;
    let before = downs();
    hook.set(Answer::TakeUnless("poison"));

    let dead = || site.journaled(Some(EventState::Dead)).len();
    let deadline = Instant::now() + Duration::from_secs(40);
    while dead() < poison {
        let (dead, downs) = (dead(), downs());
        assert!(Instant::now() < deadline, "{dead} of {poison} given up, down {downs} times");
        site.add_sprites(2);
        good += 2;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    within(20, async || site.cloud.control.totals().waiting == 0).await;
    let again = downs() - before;
    assert!(again <= 1, "down {again} times more");
    daemon.stop().await;
    hook.assert_once(good);
}

/// More than a sink is probed with in many minutes, and no good one has come before them.
#[tokio::test]
async fn poisonous_events_at_the_head_keep_no_sink_down_that_takes_others() {
    let hook = Receiver::start(Answer::TakeUnless("poison")).await;
    let site = Site::with(settings(), "", &hook.sink("hook", "events = ['*']")).await;
    let daemon = site.start();
    let (poison, good) = (30, 20);
    let event = |n| format!(r#"{{"EventType":"Odd","OddEvent":{{"TaskId":"poison-{n}"}}}}"#);
    (0..poison).for_each(|n| drop(site.cloud.control.add(&event(n)).unwrap()));
    daemon.has_logged(DOWN).await;
    within(20, async || site.journaled(None).len() == poison).await;
    let before = hook.asked();
    site.add_sprites(good);
    let good = good as usize;
    within(60, async || hook.count() == good).await;
    // Those under way when it went down, and a probe from the head.
    let probes = hook.asked_in_vain() - before;
    assert!(probes <= 8 + 1, "the first good event came after {probes} attempts in vain");
    let asked = hook.asked();
    println!("all good events after {asked} attempts, the first after {probes} in vain");
    assert!(asked <= good + 10 * poison, "{asked} attempts");
    assert_eq!(site.journaled(Some(EventState::Dead)).len(), 0);
    daemon.stop().await;
    hook.assert_once(good);
}

/// One event is never an outage, and on a sink that takes no other its time does not count.
#[tokio::test]
async fn an_event_that_fails_alone_on_a_quiet_sink_is_told_of() {
    let hook = Receiver::start(Answer::Take).await;
    let site = Site::new(&hook.sink("hook", "")).await;
    site.edit("level = 'debug'", "level = 'info'");
    let daemon = site.start();
    // Before, there is no journal, or half of one.
    daemon.has_logged("started").await;
    // A sink that has taken nothing yet is down at its first failure.
    site.add_sprites(1);
    within(60, async || site.journaled(Some(EventState::Delivered)).len() == 1).await;
    hook.set(Answer::Refuse(500));
    site.add_sprites(1);
    let attempts = || -> u32 {
        let reader = JournalReader::open(&site.path("journal.db")).unwrap();
        let found = reader.list(&Filter::default(), 1).unwrap();
        found.first().map_or(0, |found| reader.sinks_of(found.id).unwrap()[0].attempts)
    };
    // The next one is seconds away.
    within(60, async || attempts() >= 3).await;
    let told = || daemon.logged("event keeps failing");
    within(60, async || told().len() == 1).await;
    // As if it had begun two hours ago, and had last failed after half an hour.
    let journal = rusqlite::Connection::open(site.path("journal.db")).unwrap();
    journal.busy_timeout(Duration::from_secs(20)).unwrap();
    let ago = |hours: f64| Utc::now().timestamp_millis() - (hours * 3_600e3) as i64;
    let update = "UPDATE pending SET first_failed = ?1, last_failed = ?2";
    journal.execute(update, [ago(2.0), ago(1.5)]).unwrap();
    within(60, async || told().len() == 2).await;
    let asked = hook.asked();
    within(60, async || hook.asked() > asked).await;
    let told = told();
    assert_eq!(told.len(), 2, "at the third failure, after an hour, and once a day");
    let event = site.journaled(None)[0].event.key;
    let told = &told[1];
    assert_eq!((told["level"].as_str(), told["sink"].as_str()), (Some("WARN"), Some("hook")));
    assert_eq!(told["event"], event.to_string());
    assert!(told["attempts"].as_u64().unwrap() >= 4 && told["since"].is_string(), "{told}");
    assert!(told["error"].as_str().unwrap().contains("500"), "{told}");
    let hint = told["hint"].as_str().unwrap();
    let expected = format!(
        "sprited check shows whether the sink answers, sprited events show {event} its errors; if the event is bad: sprited events discard {event} --sink hook"
    );
    assert_eq!(hint, expected);
    assert!(daemon.logged(DOWN).is_empty());
    daemon.stop().await;
}

/// The system may take its time to read a program's file, from a disk that hangs say.
#[tokio::test]
async fn a_program_that_is_long_in_starting_holds_up_nothing_else() {
    let program = "[[sinks]]\nname = 'program'\ntype = 'exec'\n\
                   command = ['/bin/sh', '-c', 'echo > DIR/ran']\n";
    let site = Site::new(&[file("sprites", "image-sprite").as_str(), program].concat()).await;
    let mut strace = Command::new("strace");
    strace
        .args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=execve"])
        .args(["-e", "inject=execve:delay_enter=5000000", PROGRAM, "run"])
        .env_clear()
        .env("SPRITED_CONFIG", site.path("sprited.toml"));
    let daemon = Daemon::spawn(strace, site.folder.path());
    daemon.has_logged("started").await;
    site.add_sprites(1);
    within(60, async || site.lines("sprites.jsonl").len() == 1).await;
    let mut answers = 0;
    while !site.path("ran").exists() {
        assert_eq!(daemon.get("/healthz").await.0, 200);
        answers += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(answers >= 20, "it stood still while the program was started: {answers} answers");
    within(60, async || site.cloud.control.totals().waiting == 0).await;
    daemon.stop().await;
}
