//! What the cloud's own configuration says of an application's events, told by the daemon.

use nix::sys::signal::Signal;
use serde_json::Value;
use vod_emulator::{
    ApiAction, EmulatorSettings, FaultKind, InjectedFault, ReportConfig, ReportMode,
};

use super::daemon::Daemon;
use super::{Site, file, settings, until};
use crate::support;

const KEEPS_AWAY: &str = "application settings keep events away";
const MENDED: &str = "application settings keep no events away any more, as far as is known";

impl Site {
    /// Has the cloud say this of the application from now on, and the daemon look.
    async fn says(&self, daemon: &Daemon, config: ReportConfig) {
        self.cloud.control.set_event_config(None, config).unwrap();
        self.has_looked(daemon).await;
    }

    /// Has the daemon look, and waits until it has.
    async fn has_looked(&self, daemon: &Daemon) {
        let looks = || self.cloud.control.totals().calls.get("DescribeEventConfig").cloned();
        let before = looks();
        daemon.signal(Signal::SIGHUP);
        support::until(|| looks() != before).await;
    }
}

/// What the status says of the reporting: of its check, and of the first application.
async fn told(daemon: &Daemon) -> (bool, String, Value) {
    let (_, status) = daemon.get("/status.json").await;
    let status: Value = serde_json::from_str(&status).unwrap();
    let checks = status["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == "event_config").unwrap();
    assert_eq!(check["ok"], true, "{check}");
    let detail = check["detail"].as_str().unwrap();
    let detail =
        detail.strip_prefix("the application's settings keep events away: ").unwrap_or(detail);
    let detail = detail.to_owned();
    let application = status["cloud"]["applications"][0]["event_config"].clone();
    (check["degraded"] == true, detail, application)
}

const REPORTED: &str = "sprited_events_reported{app=\"1500012345\"}";

#[tokio::test(flavor = "multi_thread")]
async fn a_mode_that_keeps_events_away_is_told_once_and_so_is_its_end() {
    let push = ReportConfig { mode: ReportMode::Push, upload: true, ..ReportConfig::default() };
    let cloud = EmulatorSettings { event_config: push.clone(), ..settings() };
    let site = Site::with(cloud, "", &file("sprites", "image-sprite")).await;
    let daemon = site.start();
    daemon.has_logged(KEEPS_AWAY).await;
    let warning = &daemon.logged(KEEPS_AWAY)[0];
    assert_eq!(warning["level"], "WARN");
    assert_eq!(warning["app"], "1500012345");
    let fault = "PUSH: events are posted to a URL: nothing waits to be pulled";
    assert_eq!(warning["problem"], fault);
    let command = "tccli vod ModifyEventConfig --SubAppId 1500012345 --Mode PULL \
                   --UploadMediaCompleteEventSwitch ON --DeleteMediaCompleteEventSwitch OFF \
                   --PersistenceCompleteEventSwitch OFF";
    assert!(warning["remedy"].as_str().unwrap().ends_with(command), "{warning}");
    until(async || told(&daemon).await == (true, fault.to_owned(), fault.into())).await;
    assert!(daemon.metric(REPORTED).await == 0.0);
    let (_, text) = daemon.get("/status.txt").await;
    assert!(text.contains("settings keep events away: PUSH: "), "{text}");
    // Pulls go on all the while, as far as that goes.
    site.add_sprites(3);
    site.drained().await;
    assert_eq!(daemon.get("/readyz").await.0, 200);

    // The same again says nothing; another fault does, and so does the end of it.
    site.says(&daemon, push).await;
    site.says(&daemon, ReportConfig { mode: ReportMode::Push, ..ReportConfig::default() }).await;
    support::until(|| daemon.logged(KEEPS_AWAY).len() == 2).await;
    site.says(&daemon, ReportConfig::default()).await;
    daemon.has_logged(MENDED).await;
    until(async || told(&daemon).await == (false, "ok".to_owned(), Value::Null)).await;
    assert!(daemon.metric(REPORTED).await == 1.0);
    site.says(&daemon, ReportConfig::default()).await;
    site.has_looked(&daemon).await;
    assert_eq!((daemon.logged(KEEPS_AWAY).len(), daemon.logged(MENDED).len()), (2, 1));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_that_a_sink_needs_and_that_is_off_is_told_when_the_sink_comes() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let daemon = site.start();
    support::until(|| {
        site.cloud.control.totals().calls_of(ApiAction::DescribeEventConfig, "ok") == 1
    })
    .await;
    assert_eq!(daemon.logged(KEEPS_AWAY).len(), 0, "nobody asked for what is off");
    site.edit("image-sprite", "FileDeleted");
    site.has_looked(&daemon).await;
    daemon.has_logged(KEEPS_AWAY).await;
    let warning = &daemon.logged(KEEPS_AWAY)[0];
    assert_eq!(warning["problem"], "a sink wants FileDeleted, which is switched off");
    let remedy = warning["remedy"].as_str().unwrap();
    assert!(remedy.contains("--UploadMediaCompleteEventSwitch OFF"), "{remedy}");
    assert!(remedy.contains("--DeleteMediaCompleteEventSwitch ON"), "{remedy}");
    site.says(&daemon, ReportConfig { delete: true, ..ReportConfig::default() }).await;
    daemon.has_logged(MENDED).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_may_not_ask_is_told_of_once_and_pulls_all_the_same() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let refusal = FaultKind::Error("UnauthorizedOperation".to_owned());
    let fault = InjectedFault::rate(1.0, refusal).on(ApiAction::DescribeEventConfig);
    site.cloud.control.fault(fault).unwrap();
    let daemon = site.start();
    let message = "event configuration unknown: if the application's settings keep its events \
                   away, none arrive and no error shows";
    daemon.has_logged(message).await;
    site.has_looked(&daemon).await;
    site.has_looked(&daemon).await;
    let logged = daemon.logged(message);
    assert!(logged.len() == 1 && logged[0]["level"] == "INFO", "{logged:?}");
    assert_eq!(told(&daemon).await, (false, "ok".to_owned(), Value::Null));
    let (_, page) = daemon.get("/metrics").await;
    assert!(!page.contains("sprited_events_reported{"), "{page}");
    site.add_sprites(3);
    site.drained().await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_hangs_holds_up_no_pull() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    site.cloud
        .control
        .fault(InjectedFault::rate(1.0, FaultKind::Hang).on(ApiAction::DescribeEventConfig))
        .unwrap();
    let daemon = site.start();
    site.add_sprites(3);
    site.drained().await;
    assert_eq!(daemon.get("/readyz").await.0, 200);
    daemon.stop().await;
}

/// An account of today without `sub_app_id`: pulls look like those from an empty queue.
#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_is_not_there_is_told_though_pulls_look_empty() {
    for may_ask in [true, false] {
        let code = "ResourceNotFound".to_owned();
        let cloud = EmulatorSettings { unknown_app_code: code, ..settings() };
        let site = Site::with(cloud, "", &file("sprites", "image-sprite")).await;
        if !may_ask {
            let refusal = FaultKind::Error("UnauthorizedOperation".to_owned());
            let fault = InjectedFault::rate(1.0, refusal).on(ApiAction::DescribeEventConfig);
            site.cloud.control.fault(fault).unwrap();
        }
        site.edit("sub_app_id = 1500012345\n", "");
        let daemon = site.start();
        daemon.has_logged(KEEPS_AWAY).await;
        let warning = &daemon.logged(KEEPS_AWAY)[0];
        let (fault, remedy) = (warning["problem"].as_str().unwrap(), &warning["remedy"]);
        assert!(fault.contains("ResourceNotFound") && fault.contains("RequestId"), "{fault}");
        assert!(remedy.as_str().unwrap().contains("[vod] sub_app_id"), "{remedy}");
        until(async || told(&daemon).await.0).await;
        daemon.stop().await;
    }
}
