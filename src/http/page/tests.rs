//! What the page says in each situation.

use chrono::{DateTime, TimeDelta, Utc};

use super::render;
use crate::event::SpriteStatus;
use crate::health::{DaemonState, HealthCheck, Mood};
use crate::http::history::HistoryPoint;
use crate::http::status::{
    ApplicationStatus, CloudStatus, DaemonFacts, DeadLetterGroup, EventLine, HandleCounts,
    JournalStatus, ReloadStatus, SinkStatus, SpriteSummary, Status,
};
use crate::journal::EventState;

fn now() -> DateTime<Utc> {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn before(seconds: i64) -> DateTime<Utc> {
    now() - TimeDelta::seconds(seconds)
}

/// A message of 190 characters.
fn long() -> String {
    let message = "HTTP 503 Service Unavailable: upstream connect error or disconnect/reset before \
                   headers. reset reason: connection failure, transport failure reason: delayed \
                   connect error: 111 at 10.20.30.40";
    assert!(message.len() >= 190);
    message.to_owned()
}

/// A daemon with nothing to do.
fn idle() -> Status {
    let point =
        HistoryPoint { received_per_second: 0.0, delivered_per_second: 0.0, lag_seconds: None };
    Status {
        version: "0.2.0",
        at: now(),
        state: state(Mood::Good, "The queue is empty, nothing is pending.", vec![]),
        daemon: DaemonFacts {
            host: "vod-1".to_owned(),
            config: "/etc/sprited/sprited.toml".to_owned(),
            started: before(7_200),
            uptime_seconds: 7_200.0,
            last_reload: None,
        },
        cloud: CloudStatus {
            paused_since: None,
            backlog: Some(0),
            last_successful_pull_seconds: Some(1.2),
            is_pulled: true,
            pull_concurrency: 1,
            pull_rate: 0.2,
            pull_max_rate: 100.0,
            circulating: 0,
            credentials_expire_seconds: None,
            reconcile: None,
            applications: vec![application(1_500_012_345)],
        },
        journal: Some(JournalStatus {
            received: 21_012,
            duplicates: 3,
            confirmed: 21_012,
            pending: 0,
            delivered: 21_012,
            dead: 0,
            unrouted: 0,
            size_bytes: 34_000_000,
            max_size_bytes: 10_000_000_000,
            commit_seconds: Some(0.004),
            oldest_unconfirmed_seconds: None,
        }),
        journal_error: None,
        sinks: vec![sink("search-index"), sink("site")],
        handles: HandleCounts {
            confirmed: 21_012,
            expired: 0,
            refused: 0,
            confirmed_early: 0,
            margin_seconds: Some(27.0),
        },
        last_hour: vec![Some(point); 120],
        latest: vec![event("a", "queue", vec![]), event("b", "callback", vec![])],
        dead: vec![],
    }
}

fn state(mood: Mood, sentence: &str, problems: Vec<HealthCheck>) -> DaemonState {
    let fine = [
        HealthCheck::fine("journal", "ok"),
        HealthCheck::fine("commit", "no commit under way"),
        HealthCheck::fine("cloud", "last successful pull 1.2 s ago, at most 60 s"),
        HealthCheck::fine("deliveries", "none due"),
    ];
    let checks: Vec<_> = fine.into_iter().chain(problems).collect();
    DaemonState {
        sentence: sentence.to_owned(),
        line: sentence.to_owned(),
        mood,
        ready: checks.iter().all(|check| check.ok),
        degraded: checks.iter().any(|check| check.degraded),
        worst: None,
        checks,
    }
}

fn application(app: u64) -> ApplicationStatus {
    ApplicationStatus {
        app,
        backlog: Some(0),
        last_successful_pull_seconds: Some(1.2),
        trouble: None,
        is_pulled: true,
        event_config: None,
    }
}

fn sink(name: &str) -> SinkStatus {
    SinkStatus {
        name: name.to_owned(),
        state: "up",
        pending: 0,
        delivered: 21_012,
        dead: 0,
        oldest_pending_seconds: None,
        deliveries_per_second: 0.0,
        lag_seconds: None,
        last_error: None,
        last_error_seconds: None,
        paused_since: None,
        down_since: None,
        next_try: None,
        dead_letters: vec![],
    }
}

fn event(key: &str, origin: &'static str, sprites: Vec<SpriteSummary>) -> EventLine {
    EventLine {
        key: key.repeat(64),
        event_type: "ProcedureStateChanged".to_owned(),
        app: 1_500_012_345,
        origin,
        file_id: Some("387702299773851453".to_owned()),
        state: EventState::Delivered,
        first_pulled: before(61),
        sprites,
        more_sprites: 0,
    }
}

fn failed_sprite() -> SpriteSummary {
    SpriteSummary {
        status: SpriteStatus::Fail,
        tile_count: None,
        tile_width: None,
        tile_height: None,
        sheet_count: 0,
        sheet: None,
        error: Some(long()),
        mirrored: None,
    }
}

/// A sink that is down, with an error that is long.
fn down() -> Status {
    let mut check = HealthCheck::degraded(
        "sinks",
        format!("sink site is down: {}; 12 events wait in the journal", long()),
    );
    check.subject = Some("site".to_owned());
    check.since = Some(before(190));
    check.next_try = Some(before(-12));
    check.remedy = Some("mend what answers at its target; no event is lost".to_owned());
    let mut status = idle();
    let sentence = format!("Sink site is down: {}; for 3 min, next try in 12 s.", long());
    status.state = state(Mood::Degraded, &sentence, vec![check]);
    status.sinks[1] = SinkStatus {
        state: "down",
        pending: 12,
        oldest_pending_seconds: Some(190.0),
        last_error: Some(long()),
        last_error_seconds: Some(18.0),
        down_since: Some(before(190)),
        next_try: Some(before(-12)),
        ..sink("site")
    };
    status.latest[0].sprites = vec![failed_sprite()];
    status
}

fn refused() -> Status {
    let mut cloud = HealthCheck::not_ready(
        "cloud",
        "the cloud refuses the credentials (vod.example): AuthFailure.SignatureFailure: wrong",
    );
    cloud.code = Some("AuthFailure.SignatureFailure".to_owned());
    cloud.request_id = Some("2f8ee2a1-8a35-4ae7-a1c6-0a6f7a1f8e3b".to_owned());
    cloud.since = Some(before(190));
    cloud.remedy = Some("correct [credentials]".to_owned());
    let note = HealthCheck::notice("dead_letters", "12 dead letters at site");
    let mut status = idle();
    status.state = state(Mood::Bad, "The cloud refuses the credentials.", vec![note, cloud]);
    status
}

fn with_dead_letters() -> Status {
    let mut status = idle();
    let group = |error: &str, count| DeadLetterGroup {
        error: error.to_owned(),
        count,
        newest: before(190),
    };
    status.sinks[1].dead = 9_012;
    status.sinks[1].dead_letters =
        vec![group("HTTP 422 Unprocessable Content", 9_000), group(&long(), 9)];
    status
}

/// The text of a page, without its marks.
fn text(status: &Status) -> String {
    let page = render(status, true).into_string();
    let mut text = String::new();
    for part in page.split('<').skip(1) {
        text.push_str(part.split_once('>').map_or("", |(_, text)| text));
    }
    text
}

fn page(status: &Status) -> String {
    render(status, true).into_string()
}

#[test]
fn what_needs_attention_stands_under_the_banner_the_worst_first() {
    let status = refused();
    let text = text(&status);
    let said = [
        "not working",
        "The cloud refuses the credentials.",
        "Needs attention",
        "not ready",
        "the cloud refuses the credentials (vod.example): AuthFailure.SignatureFailure: wrong",
        "for 3 min",
        "since 03:00:55 UTC",
        "code AuthFailure.SignatureFailure",
        "RequestId 2f8ee2a1-8a35-4ae7-a1c6-0a6f7a1f8e3b",
        "correct [credentials]",
        "note12 dead letters at site",
        "Sinks",
    ];
    let mut from = 0;
    for words in said {
        let at = text[from..].find(words);
        from += at.unwrap_or_else(|| panic!("{words} is not in its place: {text}"));
    }
    assert!(!page(&idle()).contains("Needs attention"));
}

#[test]
fn that_a_daemon_stops_which_was_told_to_needs_no_attention() {
    let draining = HealthCheck::not_ready("draining", "the daemon is stopping");
    let status = Status { state: state(Mood::Stopping, "Stopping.", vec![draining]), ..idle() };
    for text in [text(&status), crate::http::text::render(&status)] {
        assert!(!text.contains("Needs attention") && !text.contains("not ready"), "{text}");
    }
    assert!(text(&status).contains("Not ready"), "as /readyz says");
}

#[test]
fn each_mood_has_its_banner() {
    for (mood, class) in [
        (Mood::Starting, "neutral"),
        (Mood::Good, "good"),
        (Mood::Degraded, "degraded"),
        (Mood::Bad, "bad"),
        (Mood::Stopping, "neutral"),
    ] {
        let status = Status { state: state(mood, "So it is.", vec![]), ..idle() };
        let page = page(&status);
        assert!(page.contains(&format!("class=\"now {class}\"")), "{page}");
        assert!(page.contains(&format!("<title>{} · sprited on vod-1</title>", mood.words())));
    }
}

#[test]
fn a_long_message_can_be_opened_and_a_short_one_is_whole() {
    let page = page(&down());
    assert!(page.contains(&format!("</summary><p>{}</p></details>", long())), "{page}");
    assert!(page.contains("down for 3 min") && page.contains("next try in 12 s"), "{page}");
    let idle = self::page(&idle());
    assert!(!idle.contains("<details"), "{idle}");
}

#[test]
fn dead_letters_are_grouped_by_error_with_one_command() {
    let status = with_dead_letters();
    let text = text(&status);
    assert!(text.contains("9,012 dead letters at site"), "{text}");
    assert!(text.contains("9,000HTTP 422 Unprocessable Contentthe newest 3 min ago"), "{text}");
    assert!(text.contains("3of other errors"), "{text}");
    let command = "sprited events redeliver --state dead --sink site";
    assert_eq!(text.matches(command).count(), 1, "{text}");
    let terminal = crate::http::text::render(&status);
    let line = "  site: 9,000, the newest 3 min ago: HTTP 422 Unprocessable Content\n";
    assert!(terminal.contains(line) && terminal.contains(command), "{terminal}");
}

#[test]
fn of_a_queue_that_is_not_pulled_from_nothing_is_said() {
    let mut status = idle();
    status.cloud.last_successful_pull_seconds = None;
    status.cloud.applications[0].last_successful_pull_seconds = None;
    assert!(page(&status).contains("no successful pull yet<"));
    status.cloud.applications.push(application(1_500_012_346));
    assert!(page(&status).contains("no successful pull yet from 1 of 2 applications"));
    status.cloud.applications.truncate(1);
    status.cloud.applications[0].is_pulled = false;
    status.cloud.is_pulled = false;
    let text = text(&status);
    for words in ["no successful pull yet", "Cloud", "Pulled", "Confirmed"] {
        assert!(!text.contains(words), "{words}: {text}");
    }
    assert!(text.contains("Received") && text.contains("origin callback"), "{text}");
}

#[test]
fn it_says_which_daemon_it_is_and_how_its_last_reload_went() {
    let mut status = idle();
    assert!(text(&status).contains("last reloadnone since the start"));
    status.daemon.last_reload =
        Some(ReloadStatus { at: before(60), mistakes: vec!["sprited.toml:6: no".to_owned()] });
    let text = text(&status);
    for words in [
        "on vod-1",
        "/etc/sprited/sprited.toml",
        "2 h, since 01:04:05 UTC",
        "rejected at 03:03:05 UTC, 60 s agosprited.toml:6: no",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn a_page_that_is_held_neither_runs_nor_loads_itself_again() {
    let follows = render(&idle(), false).into_string();
    assert!(follows.contains("<script src=\"/page.js\" defer></script>"), "{follows}");
    let refresh = "<noscript><meta http-equiv=\"refresh\" content=\"10\"></noscript>";
    assert!(follows.contains(refresh), "{follows}");
    let held = render(&idle(), true).into_string();
    assert!(!held.contains("<script") && !held.contains("http-equiv"), "{held}");
}

/// Of text; what is drawn needs 3.
const MIN_CONTRAST: f64 = 4.5;

/// By the formula of WCAG 2.
#[test]
fn text_stands_out_from_what_is_behind_it_in_light_and_dark() {
    let (light, dark) = super::STYLE.split_once("prefers-color-scheme").unwrap();
    let (dark, _) = dark.split_once("\n}\n").unwrap();
    for (theme, name) in [(light, "light"), (dark, "dark")] {
        let color = |token: &str| {
            let (_, hex) = theme.split_once(&format!("--{token}: #")).unwrap();
            let hex = hex.split_once(';').unwrap().0;
            let wide = if hex.len() == 3 {
                hex.chars().flat_map(|c| [c, c]).collect()
            } else {
                hex.to_owned()
            };
            luminance(u32::from_str_radix(&wide, 16).unwrap())
        };
        let pairs = [
            ("ink", &["paper", "card", "soft-back", "good-back", "warn-back", "bad-back"][..]),
            ("soft", &["paper", "card", "soft-back"]),
            ("good", &["card", "good-back", "paper"]),
            ("warn", &["card", "warn-back", "paper"]),
            ("bad", &["card", "bad-back", "paper"]),
        ];
        for (front, backs) in pairs {
            for back in backs {
                let (one, other) = (color(front), color(back));
                let contrast = (one.max(other) + 0.05) / (one.min(other) + 0.05);
                assert!(contrast >= MIN_CONTRAST, "{name}: {front} on {back}: {contrast:.2}");
            }
        }
    }
}

fn luminance(rgb: u32) -> f64 {
    let part = |shift: u32| {
        let value = f64::from((rgb >> shift) & 0xff) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * part(16) + 0.7152 * part(8) + 0.0722 * part(0)
}
