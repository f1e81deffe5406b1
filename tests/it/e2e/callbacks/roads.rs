//! More than one road by which events arrive: the cloud posts them and forgets what it could not
//! post, and an application's mode is switched while events are on their way.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use sprited::event::EventOrigin;
use vod_emulator::{
    CreatedSprite, EmulatorSettings, NotifyMode, PushFormat, PushRetry, PushSettings, ReportConfig,
    ReportMode, SourceApi, SpriteOrder,
};

use super::*;
use crate::e2e::{file, settings};
use crate::support::until;

/// How long ago a task must have finished to be looked at.
const TEN_MINUTES: Duration = Duration::from_secs(600);

impl Site {
    /// A site whose cloud signs what it posts.
    async fn posted_to(push: PushSettings) -> Self {
        let push = PushSettings { sign_key: Some(SIGN_KEY.into()), ..push };
        let cloud = EmulatorSettings { push, ..settings() };
        let site = Self::with(cloud, "", &file("sprites", "image-sprite")).await;
        site.receives(&format!("sign_key = '{SIGN_KEY}'"));
        site
    }

    /// From now on events are posted to this address, or wait in the queue where there is none.
    fn report_to(&self, address: Option<SocketAddr>) {
        let config = match address {
            None => ReportConfig::default(),
            Some(address) => ReportConfig {
                mode: ReportMode::Push,
                notification_url: format!("http://{address}{}", path()),
                ..ReportConfig::default()
            },
        };
        self.cloud.control.set_event_config(None, config).unwrap();
    }

    /// Waits until each event was answered or is lost to the cloud.
    async fn posted(&self) {
        until(|| self.cloud.control.totals().pushed.waiting == 0).await;
    }

    fn journaled_from(&self, origin: EventOrigin) -> usize {
        self.journaled(None).iter().filter(|row| row.event.origin == origin).count()
    }
}

/// An hour and more of the cloud's clock, in which tasks finish and nobody takes their events: one
/// after the other is given up by the rule that is documented.
#[tokio::test(flavor = "multi_thread")]
async fn after_an_hour_without_a_receiver_the_sink_has_what_the_cloud_has_finished() {
    let site = Site::posted_to(PushSettings::default()).await;
    let address = fixed_address();
    site.edit("listen = '127.0.0.1:0'\ntoken", &format!("listen = '{address}'\ntoken"));
    site.edit("sub_app_id = ", "pull = false\nsub_app_id = ");
    site.edit("[poll]", "[reconcile]\nevery = '1s'\nmax_requests_per_second = 50\n[poll]");
    site.report_to(Some(address));
    let control = &site.cloud.control;
    let daemon = site.start();
    Poster::of(&daemon).await;
    let mut made = site.make_sprites(20);
    site.posted().await;
    site.has_exactly(&[&made]).await;
    daemon.stop().await;

    for minute in 0..60 {
        control.set_clock_offset(TimeDelta::minutes(minute));
        let notify_mode = match minute % 5 {
            0 => NotifyMode::None,
            1 => NotifyMode::Change,
            _ => NotifyMode::Finish,
        };
        let order = SpriteOrder { count: 2, notify_mode, abort_every: 9, ..SpriteOrder::default() };
        made.extend(control.add_sprites(&order).unwrap());
        site.posted().await;
    }
    let is_told = |task: &&CreatedSprite| task.event != 0;
    let mut told: Vec<_> = made.iter().filter(is_told).cloned().collect();
    let lost = told.len() - 20;
    let pushed = control.totals().pushed;
    assert_eq!((pushed.answered, pushed.lost), (20, pushed.events - 20));

    // Then it is as long ago as a task has to be.
    control.set_clock_offset(TimeDelta::minutes(75));
    let daemon = site.start();
    Poster::of(&daemon).await;
    told.extend(site.make_sprites(10));
    site.has_exactly(&[&told]).await;
    // Nor do later runs find any.
    let lists = || control.totals().calls["DescribeTasks"]["ok"];
    let listed = lists();
    until(|| lists() > listed + 2).await;
    let added = daemon.metric("sprited_reconcile_tasks_total{outcome=\"added\"}").await;
    assert_eq!(added, lost as f64);
    daemon.stop().await;
    site.has_exactly(&[&told]).await;
    site.assert_once("sprites.jsonl", told.len());
    let totals = control.totals();
    assert_eq!(totals.tasks.finished - totals.tasks.silent, told.len() as u64);
    assert_eq!(totals.pushed.answered, 30);
    assert_eq!(site.journaled_from(EventOrigin::Callback), 30);
    assert_eq!(site.journaled_from(EventOrigin::Reconcile), lost);
    assert!(totals.tasks.silent > 0 && totals.tasks.aborted > 0, "{totals:?}");
}

/// In the format 2.0, in which no event is word for word what is made of its task. Some are posted to
/// a daemon that does not answer: it may take them when the cloud has given them up.
#[tokio::test(flavor = "multi_thread")]
async fn what_came_in_the_older_format_or_too_late_is_known() {
    let push = PushSettings {
        format: PushFormat::V2,
        timeout: Duration::from_millis(500),
        retry: PushRetry::Failure,
        tries: 100,
        ..PushSettings::default()
    };
    let site = Site::posted_to(push).await;
    site.edit("[poll]", "[reconcile]\nevery = '1s'\n[poll]");
    let control = &site.cloud.control;
    let daemon = site.start();
    let address = Poster::of(&daemon).await.address;
    site.report_to(Some(address));
    let changes = SpriteOrder {
        count: 10,
        notify_mode: NotifyMode::Change,
        source_api: Some(SourceApi::Procedure),
        ..SpriteOrder::default()
    };
    let order = SpriteOrder { count: 20, fail_every: 3, ..SpriteOrder::default() };
    let mut made = [changes, order].map(|order| control.add_sprites(&order).unwrap()).concat();
    site.posted().await;
    site.has_exactly(&[&made]).await;

    daemon.pause();
    made.extend(site.make_sprites(10));
    until(|| control.totals().pushed.timed_out >= 30).await;
    daemon.signal(nix::sys::signal::Signal::SIGCONT);
    site.posted().await;
    site.has_exactly(&[&made]).await;
    assert_eq!(control.totals().pushed.lost, 0);
    daemon.stop().await;
    assert_eq!(site.journaled_from(EventOrigin::Callback), made.len() + 10);

    control.set_clock_offset(TimeDelta::minutes(20));
    let lost = SpriteOrder { count: 4, lose_every: 1, age: TEN_MINUTES, ..SpriteOrder::default() };
    made.extend(control.add_sprites(&lost).unwrap());
    let daemon = site.start();
    site.has_exactly(&[&made]).await;
    let lists = || control.totals().calls["DescribeTasks"]["ok"];
    let listed = lists();
    until(|| lists() > listed + 2).await;
    daemon.stop().await;
    site.has_exactly(&[&made]).await;
    assert_eq!(site.journaled_from(EventOrigin::Reconcile), 4);
}

/// Some are posted that were pulled as well, and the other way round; what is posted is repeated
/// after its answer.
#[tokio::test(flavor = "multi_thread")]
async fn over_switches_of_the_mode_in_mid_stream_each_event_comes_once() {
    // No try is to be given up because this machine is busy.
    let timeout = Duration::from_secs(60);
    let site =
        Site::posted_to(PushSettings { late: true, timeout, ..PushSettings::default() }).await;
    let control = &site.cloud.control;
    let daemon = site.start();
    let address = Poster::of(&daemon).await.address;
    let (mut made, mut both_busy) = (Vec::new(), 0);
    for mode in [None, Some(address), None, Some(address), None] {
        site.report_to(mode);
        // What the other road still has comes on it.
        let totals = control.totals();
        let left = if mode.is_some() { totals.waiting } else { totals.pushed.waiting as usize };
        both_busy += usize::from(left > 0);
        for number in 0..20 {
            control.add(&sprite(number)).unwrap();
            made.extend(site.make_sprites(4));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        made.extend(site.make_sprites(150));
    }
    // However busy this machine is.
    assert!(both_busy > 0);
    site.drained().await;
    site.posted().await;
    until(|| site.lines("sprites.jsonl").len() >= made.len() + 20).await;
    daemon.stop().await;

    site.assert_once("sprites.jsonl", made.len() + 20);
    let totals = control.totals();
    assert_eq!((totals.pushed.lost, totals.expired), (0, 0));
    assert_eq!(totals.confirmed, totals.added - totals.pushed.events);
    let [pulled, posted] = [EventOrigin::Queue, EventOrigin::Callback];
    let [pulled, posted] = [pulled, posted].map(|origin| site.journaled_from(origin));
    assert_eq!(pulled + posted, made.len() + 20);
    assert!(pulled > 400 && posted > 400, "{pulled} pulled, {posted} posted");
    let lines = site.lines("sprites.jsonl");
    let tasks = lines.iter().map(|line| line["data"]["sprites"][0]["task_id"].as_str().unwrap());
    let tasks: BTreeSet<_> = tasks.collect();
    assert!(made.iter().all(|task| tasks.contains(task.task_id.as_str())));
}
