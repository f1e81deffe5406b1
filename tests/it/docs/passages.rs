//! The passages of the documents that have numbers, and what the code has for each.

use std::path::Path;
use std::time::Duration;

use sprited::cli::Exit;
use sprited::config::Config;
use sprited::delivery::MaxRejects;

use super::code::{number, time, waits};
use super::quantities::Value;
use super::root;

/// A passage of a document, word for word, and what the code has for each number in braces. A
/// passage without is held against nothing: facts of the cloud, and what is measured elsewhere.
pub(super) struct Passage {
    pub(super) document: &'static str,
    pub(super) words: &'static str,
    pub(super) values: Vec<Value>,
}

/// The number before `unit` of an alert's expression, which is compared with `sign`.
fn alert(name: &str, sign: &str) -> f64 {
    let rules = std::fs::read_to_string(root().join("monitoring/alerts.yml")).unwrap();
    let (_, rule) = rules.split_once(&format!("alert: {name}\n")).expect(name);
    let (rule, _) = rule.split_once("alert: ").unwrap_or((rule, ""));
    let (_, rest) = rule.split_once(sign).unwrap_or_else(|| panic!("no {sign} in {rule}"));
    let numbers = rest.split([']', '\n']).next().unwrap();
    let number = |text: &str| -> f64 {
        let digits: String =
            text.trim().chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        digits.parse().unwrap_or_else(|_| panic!("{text:?} in {rule}"))
    };
    numbers.split('*').map(number).product()
}

fn alert_seconds(name: &str, sign: &str) -> Value {
    Value::Time(Duration::from_secs_f64(alert(name, sign)))
}

/// Every default.
fn defaults() -> Config {
    let text = "[[sinks]]\nname = 'a'\ntype = 'stdout'\n";
    Config::parse(text, Path::new("sprited.toml")).unwrap().config
}

/// All of them.
#[allow(clippy::too_many_lines, reason = "a table")]
pub(super) fn passages() -> Vec<Passage> {
    let config = defaults();
    let lease = config.confirm.lease;
    let [retry, longest_retry] = waits("delivery/mod.rs", "EVENT_RETRIES");
    let [probe, longest_probe] = waits("delivery/mod.rs", "PROBE_PAUSES");
    let source_hosts = "sinks/mirror/source_hosts.rs";
    let [source, longest_source] = waits(source_hosts, "PROBE_PAUSES");
    let mirror_timeout = sprited::sinks::SinkKind::named("mirror").unwrap().timeout;
    let retry_after = time("net/retry_after.rs", "MAX_RETRY_AFTER");
    assert_eq!(retry_after, sprited::limits::MAX_RETRY_AFTER);
    let named = time("delivery/verdicts.rs", "REPORT_AFTER");
    let named_again = time("delivery/verdicts.rs", "REPORT_EVERY");
    let keys = time("journal/settings.rs", "MIN_RETENTION");
    let MaxRejects::At(max_rejects) = config.sinks[0].max_rejects else { panic!("off by default") };
    let paused_too_long = time("health/checks/cloud.rs", "PAUSED_TOO_LONG").into();
    let sink_paused_too_long = time("health/checks/sinks.rs", "PAUSED_TOO_LONG").into();
    let patience = time("delivery/retrying.rs", "PATIENCE").into();
    let max_rejects = f64::from(max_rejects.get());
    let remind = time("limits/outage.rs", "REMINDER_INTERVAL");
    let share = |name| Value::Number(number("journal/sqlite/prune.rs", name) as f64);
    let row =
        |document, words, values: &[Value]| Passage { document, words, values: values.to_vec() };
    let mib = |bytes: u64| Value::Bytes(bytes);
    let rust: f64 = env!("CARGO_PKG_RUST_VERSION").parse().unwrap();
    let readme = "README.md";
    let sinks = "docs/sinks.md";
    let sprites = "docs/sprites.md";
    let fetching = sprited::fetch::FetchSettings::default();
    let metrics = "docs/metrics.md";
    let trouble = "docs/troubleshooting.md";
    let architecture = "docs/architecture.md";
    let operations = "docs/operations.md";
    let configuration = "docs/configuration.md";
    let performance = "docs/performance.md";
    let start = "docs/getting-started.md";
    let example = "config.example.toml";
    let circulation = |name| number("puller/circulation.rs", name);
    let observed = lease * circulation("WINDOW_LEASES") as u32;
    let now = lease * circulation("RECENT_PARTS") as u32 / circulation("PARTS_PER_LEASE") as u32;
    let slowest = time("puller/circulation.rs", "MAX_PAUSE");
    let role = |name| time("vod/credentials/settings.rs", name).into();
    vec![
        row(readme, "It needs Rust {1.95} or newer", &[rust.into()]),
        row(
            readme,
            "call ConfirmEvents within {30 s}; otherwise the events return, every {30 s} for days",
            &[lease.into(), lease.into()],
        ),
        row(
            readme,
            "{100} requests a second with {16} events each",
            &[
                u64::from(config.poll.max_requests_per_second).into(),
                number("vod/client.rs", "MAX_HANDLES").into(),
            ],
        ),
        row(start, "needs Rust {1.95} and a C compiler", &[rust.into()]),
        row(start, "leases each event for {30 s}, and refuses", &[lease.into()]),
        row(
            sprites,
            "The index has at most {4 MiB}",
            &[mib(sprited::sprite::MAX_TEXT_BYTES as u64)],
        ),
        row(sprites, "A sheet has at most {32 MiB}", &[mib(fetching.max_sheet.as_u64())]),
        row(
            sprites,
            "All files of a sprite have at most {512 MiB} together",
            &[mib(fetching.max_total.as_u64())],
        ),
        row(sprites, "at most {1,000} are named", &[(sprited::sprite::MAX_SHEETS as u64).into()]),
        row(
            sprites,
            "`us` and `sign`, good for {a day})",
            &[time("fetch/hotlink.rs", "VALIDITY").into()],
        ),
        row(operations, "rates the unit below {1.5})", &[crate::units::MAX_EXPOSURE.into()]),
        row(
            operations,
            "at the last {24 hours} or, with `--since`, at another time of up to {70 hours}",
            &[
                time("cli/reconcile.rs", "DEFAULT_SINCE").into(),
                sprited::reconcile::MAX_REACH.into(),
            ],
        ),
        row(
            operations,
            "at most {70 hours} ago: the cloud lists 72 hours",
            &[sprited::reconcile::MAX_REACH.into()],
        ),
        row(
            operations,
            "notices changes within {two seconds}",
            &[(time("daemon/maintenance.rs", "OUTSIDE_WRITES_INTERVAL")
                + Duration::from_millis(500))
            .into()],
        ),
        row(
            operations,
            "a commit is in progress for more than {30 s}",
            &[time("health/checks/own.rs", "MAX_COMMIT").into()],
        ),
        row(
            operations,
            "after {a minute} without a good pull",
            &[time("health/checks/cloud.rs", "MAX_PULL_AGE").into()],
        ),
        row(
            operations,
            "for their rate, after {10 s}",
            &[time("health/checks/cloud.rs", "THROTTLED_FOR").into()],
        ),
        row(
            operations,
            "could not be stored, in the last {10 min}",
            &[time("health/checks/cloud.rs", "NEWS").into()],
        ),
        row(
            operations,
            "the newest dead letter is at most {10 min} old",
            &[time("health/checks/sinks.rs", "NEWS").into()],
        ),
        row(
            operations,
            "differs from the cloud's by more than {a minute}: the times",
            &[Duration::from_secs(sprited::health::MAX_CLOCK_OFFSET.unsigned_abs()).into()],
        ),
        row(
            operations,
            "to a sink that is up is due for more than {60 s}",
            &[time("health/checks/sinks.rs", "MAX_DELIVERY_DELAY").into()],
        ),
        row(
            operations,
            "a commit takes more than {1 s}",
            &[time("health/checks/own.rs", "SLOW_COMMIT").into()],
        ),
        row(
            operations,
            "deliveries in flight get {15 s}",
            &[time("daemon/stop.rs", "DELIVERY_TIME").into()],
        ),
        row(
            operations,
            "{25 s} at most. A second signal, {a second} or more after the first",
            &[
                time("daemon/stop.rs", "STOP_TIME").into(),
                time("cli/process.rs", "SAME_SIGNAL_TIME").into(),
            ],
        ),
        row(operations, "once {a minute} while it is down", &[remind.into()]),
        row(operations, "has failed for {a minute} or longer.", &[remind.into()]),
        row(
            operations,
            "counters against its rows; exits with {1} if they differ",
            &[u64::from(Exit::Failure.code()).into()],
        ),
        row(
            trouble,
            "and exits with {1} if they differ",
            &[u64::from(Exit::Failure.code()).into()],
        ),
        row(
            sinks,
            "follows after {1 s}. Each further wait is twice as long, up to {10 min}, and is shortened at random by up to half",
            &[retry.into(), longest_retry.into()],
        ),
        row(
            sinks,
            "A source host is down after failures of {five} different events in a row:",
            &[number(source_hosts, "MAX_FAILURES").into()],
        ),
        row(
            sinks,
            "one delivery at a time tries it, at first after {1 s} and at last once {a minute}, or later",
            &[source.into(), longest_source.into()],
        ),
        row(sinks, "`timeout` ({30 s} by default)", &[mirror_timeout.into()]),
        row(sinks, "From 100 hours on, some players read no index", &[]),
        row(sinks, "their manifest has not named for 30 days", &[]),
        row(sprites, "For a video of 100 hours or more no spelling suits all", &[]),
        row(architecture, "of the written one, below 100 hours, and fail", &[]),
        row(sinks, "meanwhile, every {30 s}, which does no harm", &[lease.into()]),
        row(sinks, "asks for more, it counts, up to {an hour}.", &[retry_after.into()]),
        row(
            sinks,
            "unless `Retry-After` asks for longer than {two seconds}.",
            &[time("delivery/breaker.rs", "MAX_DRAIN_PAUSE").into()],
        ),
        row(
            sinks,
            "as it goes down, once {a minute} while it is down, and when it is up again.",
            &[remind.into()],
        ),
        row(
            sinks,
            "From the {6}th within {a minute} on, it reports their number once {a minute}",
            &[
                Value::Number(number("delivery/burst.rs", "MAX_LOGGED") as f64 + 1.0),
                time("delivery/burst.rs", "REPORT_INTERVAL").into(),
                time("delivery/burst.rs", "REPORT_INTERVAL").into(),
            ],
        ),
        row(sinks, "failed for `give_up_after` ({72 h})", &[config.sinks[0].give_up_after.into()]),
        row(
            sinks,
            "after {three} failures, after {an hour}, and then once {a day}",
            &[
                number("delivery/verdicts.rs", "REPORTED_FAILURES").into(),
                named.into(),
                named_again.into(),
            ],
        ),
        row(
            sinks,
            "{five} different events have failed in a row",
            &[number("delivery/breaker.rs", "DOWN_AFTER").into()],
        ),
        row(
            sinks,
            "follows after {1 s}; the interval grows to {a minute}, or to what `Retry-After` asks, up to {an hour}",
            &[probe.into(), longest_probe.into(), retry_after.into()],
        ),
        row(
            sinks,
            "Concurrent deliveries start at {8},",
            &[number("delivery/concurrency.rs", "INITIAL_SIZE").into()],
        ),
        row(
            sinks,
            "has rejected {20} different events in a row (`max_rejects`)",
            &[max_rejects.into()],
        ),
        row(start, "ten minutes in its console", &[]),
        row(start, "Events wait for {four days} at most", &[keys.into()]),
        row(
            start,
            "It uses the third once {a minute} to count",
            &[time("daemon/maintenance.rs", "BACKLOG_INTERVAL").into()],
        ),
        row(
            metrics,
            "are at most {a second} old",
            &[time("health/snapshot.rs", "GOOD_FOR").into()],
        ),
        row(metrics, "no more than a twentieth of the time", &[]),
        row(
            metrics,
            "started {three times} or more in {half an hour}",
            &[
                Value::Number(alert("SpritedRestarts", "> ") + 1.0),
                Value::Time(Duration::from_secs_f64(60.0 * alert("SpritedRestarts", "["))),
            ],
        ),
        row(metrics, "No good pull for {two minutes}", &[alert_seconds("SpritedNotPulling", "> ")]),
        row(metrics, "With a `poll.interval` of a minute or more", &[]),
        row(
            metrics,
            "More than {95 %} of `journal.max_size`",
            &[Value::Number(100.0 * alert("SpritedJournalFull", "> "))],
        ),
        row(metrics, "or the keys of the last {four days}", &[keys.into()]),
        row(metrics, "Delivered events are deleted from {90 %} on", &[share("SHORT_OF_SPACE")]),
        row(
            metrics,
            "its oldest event waits for more than {an hour}",
            &[alert_seconds("SpritedSinkBehind", "> ")],
        ),
        row(
            metrics,
            "that a `mirror` sink copies from has been down for {15 min}",
            &[Value::Time(Duration::from_secs_f64(60.0 * alert("SpritedSourceDown", "for: ")))],
        ),
        row(
            metrics,
            "is not confirmed for {three days}; the cloud deletes it after {four}",
            &[alert_seconds("SpritedEventsUnconfirmed", "> "), Value::Number(4.0)],
        ),
        row(
            metrics,
            "has been paused by hand for {a day}: `sprited resume`",
            &[alert_seconds("SpritedPullingPaused", "> ")],
        ),
        row(
            metrics,
            "paused by hand for {three days}. The cloud deletes an event after {four}",
            &[alert_seconds("SpritedPullingPausedLong", "> "), Value::Number(4.0)],
        ),
        row(
            metrics,
            "A sink has been paused by hand for {a day}",
            &[alert_seconds("SpritedSinkPaused", "> ")],
        ),
        row(operations, "paused by hand for more than {a day}", &[sink_paused_too_long]),
        row(operations, "no alarm is raised for {a day}", &[sink_paused_too_long]),
        row(operations, "the sink is down, or {15 s} have passed", &[patience]),
        row(operations, "is paused by hand, after {three days}", &[paused_too_long]),
        row(operations, "which keeps them for {4 days}", &[keys.into()]),
        row(operations, "and after {three days} not ready", &[paused_too_long]),
        row(
            operations,
            "fires after {a day}, `SpritedPullingPausedLong` after {three}",
            &[
                alert_seconds("SpritedPullingPaused", "> "),
                (alert("SpritedPullingPausedLong", "> ") / 86_400.0).into(),
            ],
        ),
        row(trouble, "wait in the cloud, for {4 days} at most; resume", &[keys.into()]),
        row(
            metrics,
            "expire within {ten minutes}",
            &[alert_seconds("SpritedCredentialsExpire", "< ")],
        ),
        row(
            metrics,
            "from the cloud's by more than {a minute}",
            &[alert_seconds("SpritedClockWrong", "> ")],
        ),
        row(
            metrics,
            "More than {40,000} events circulate",
            &[alert("SpritedEventsCirculate", "> ").into()],
        ),
        row(
            trouble,
            "again within {a minute}",
            &[waits("puller/application.rs", "UNTIL_CORRECTED")[1].into()],
        ),
        row(
            trouble,
            "asks STS again every {10 s}",
            &[time("vod/credentials/renewal.rs", "PAUSE").into()],
        ),
        row(
            trouble,
            "it retries every {5 s}, for {half an hour} or until it is stopped",
            &[
                time("daemon/rescue.rs", "COPY_RETRY").into(),
                time("daemon/rescue.rs", "COPY_TIMEOUT").into(),
            ],
        ),
        row(
            trouble,
            "from now on a count is logged once {a minute}` | As above, for more than {5} within {a minute};",
            &[
                time("delivery/burst.rs", "REPORT_INTERVAL").into(),
                Value::Number(number("delivery/burst.rs", "MAX_LOGGED") as f64),
                time("delivery/burst.rs", "REPORT_INTERVAL").into(),
            ],
        ),
        row(trouble, "They stay in the cloud, for {four days}: raise", &[keys.into()]),
        row(
            trouble,
            "logs it again after {an hour} and then once {a day}",
            &[named.into(), named_again.into()],
        ),
        row(trouble, "the cloud keeps events for {four days}", &[keys.into()]),
        row(
            trouble,
            "when nothing has failed for {10 s}; until",
            &[time("limits/outage.rs", "PROBATION").into()],
        ),
        row(
            "CHANGELOG.md",
            "until nothing has failed for {10 s}.",
            &[time("limits/outage.rs", "PROBATION").into()],
        ),
        row(trouble, "the [keys of {four days}]", &[keys.into()]),
        row(
            performance,
            "keeps to `poll.max_requests_per_second` ({100})",
            &[u64::from(config.poll.max_requests_per_second).into()],
        ),
        row(
            performance,
            "a pull brings at most {16} events",
            &[number("vod/client.rs", "MAX_HANDLES").into()],
        ),
        row(performance, "The default is {32};", &[u64::from(config.poll.max_concurrency).into()]),
        row(performance, "The cloud keeps events for {4 days}", &[keys.into()]),
        row(
            operations,
            "the default {16 GiB} are full after 4 days of 100 events/s",
            &[mib(config.journal.max_size.as_u64())],
        ),
        row(
            operations,
            "When {nine} of {ten} entries over {a minute} are such duplicates",
            &[
                circulation("REPEAT_SHARE").into(),
                circulation("REPEAT_SHARE_OF").into(),
                observed.into(),
            ],
        ),
        row(operations, "to {one} a second at least", &[slowest.as_secs().into()]),
        row(operations, "what comes within {five seconds} is new", &[now.into()]),
        row(operations, "fires at {40,000}", &[alert("SpritedEventsCirculate", "> ").into()]),
        row(
            operations,
            "deletes an event after {4 days}; `SpritedEventsUnconfirmed` fires after {three}",
            &[keys.into(), (alert("SpritedEventsUnconfirmed", "> ") / 86_400.0).into()],
        ),
        row(
            performance,
            "within {4 ms} of its start",
            &[time("journal/writer/mod.rs", "GATHER_TIME").into()],
        ),
        row(
            performance,
            "unless {64} wait at once",
            &[number("journal/writer/mod.rs", "MAX_GROUP").into()],
        ),
        row(
            performance,
            "kept for `journal.retention` ({14 days})",
            &[config.journal.retention.into()],
        ),
        row(performance, "from {90 %} of it on", &[share("SHORT_OF_SPACE")]),
        row(performance, "stay for {4 days} in any case", &[keys.into()]),
        row(
            performance,
            "{1,024} with {8 MiB} of texts",
            &[
                number("delivery/queue.rs", "MAX_EVENTS").into(),
                mib(number("delivery/queue.rs", "MAX_BYTES")),
            ],
        ),
        row(performance, "the handles of {28 s} wait", &[config.confirm.good_for().into()]),
        row(
            performance,
            "`vod.max_answer_size` ({16 MiB})",
            &[mib(config.vod.max_answer_size.as_u64())],
        ),
        row(operations, "and up to {30 s}. So while", &[lease.into()]),
        row(operations, "what came in the last {30 seconds}", &[lease.into()]),
        row(
            configuration,
            "from {15m} to {12h} and at most",
            &[role("MIN_ROLE_DURATION"), role("MAX_ROLE_DURATION")],
        ),
        row(configuration, "at least {4d}, the time in which a repeat", &[keys.into()]),
        row(configuration, "or keys of the last {4d}", &[keys.into()]),
        row(configuration, "adapts between {1} and this number", &[1.into()]),
        row(
            configuration,
            "{100} is the cloud's limit",
            &[u64::from(config.poll.max_requests_per_second).into()],
        ),
        // Held by the tests in configuration.rs.
        row(configuration, "log; at least 16 MiB.", &[]),
        row(
            architecture,
            "deliveries in flight get {15 s}; the confirmer",
            &[time("daemon/stop.rs", "DELIVERY_TIME").into()],
        ),
        row(
            architecture,
            "pulls less often, at most {1 s} apart, while nearly all",
            &[slowest.into()],
        ),
        row(
            architecture,
            "Before each commit, and at most {20 ms} before each confirmation,",
            &[time("journal/handle.rs", "MAX_CHECK_AGE").into()],
        ),
        row(
            architecture,
            "The whole stop takes at most {25 s}.",
            &[time("daemon/stop.rs", "STOP_TIME").into()],
        ),
        row(
            architecture,
            "wrote to the journal | {1.5 s} |",
            &[time("daemon/maintenance.rs", "OUTSIDE_WRITES_INTERVAL").into()],
        ),
        row(
            architecture,
            "(DescribeEventsState) | {60 s} |",
            &[time("daemon/maintenance.rs", "BACKLOG_INTERVAL").into()],
        ),
        row(
            sinks,
            "was posted less than {two minutes} ago",
            &[time("journal/receipts.rs", "REPOST_TIME").into()],
        ),
        row(
            architecture,
            "An equal event within {two minutes} is the same one",
            &[time("journal/receipts.rs", "REPOST_TIME").into()],
        ),
        row(
            architecture,
            "Prune the journal | {60 s} |",
            &[time("daemon/maintenance.rs", "PRUNE_INTERVAL").into()],
        ),
        row(
            architecture,
            "half of systemd's limit, {30 s} at most",
            &[time("daemon/maintenance.rs", "HEARTBEAT_INTERVAL").into()],
        ),
        row(
            architecture,
            "(DescribeEventConfig) | {an hour}; {5 min} after a failure",
            &[
                time("daemon/event_config.rs", "CHECK_INTERVAL").into(),
                time("daemon/event_config.rs", "RECHECK_INTERVAL").into(),
            ],
        ),
        row(
            architecture,
            "`systemctl status` | {1 s} to {8 s} |",
            &[
                time("daemon/status_line.rs", "MIN_INTERVAL").into(),
                time("daemon/status_line.rs", "MAX_INTERVAL").into(),
            ],
        ),
        row(
            architecture,
            "({128} at most, {32} of them with pages)",
            &[
                number("http/mod.rs", "MAX_CONNECTIONS").into(),
                number("http/mod.rs", "MAX_ANSWERS").into(),
            ],
        ),
        row(
            architecture,
            "for whoever shows the state | on request, at most once {a second}",
            &[time("health/snapshot.rs", "GOOD_FOR").into()],
        ),
        row(
            architecture,
            "The last hour is sampled every {10 s}.",
            &[time("http/history.rs", "SAMPLE_INTERVAL").into()],
        ),
        row(
            operations,
            "It waits up to {50 s} for the daemon",
            &[time("cli/reload.rs", "WAIT").into()],
        ),
        row(architecture, "{16} reloads |", &[number("daemon/reload_requests.rs", "QUEUE").into()]),
        row(architecture, "{256} jobs |", &[number("journal/handle.rs", "QUEUE_JOBS").into()]),
        row(
            architecture,
            "connection answers them ({16} at most). Only the daemon's user",
            &[number("control/server.rs", "MAX_CONNECTIONS").into()],
        ),
        row(
            architecture,
            "Connections of the control socket | {16}; {128} more wait |",
            &[
                number("control/server.rs", "MAX_CONNECTIONS").into(),
                number("control/socket.rs", "ACCEPT_QUEUE").into(),
            ],
        ),
        row(
            architecture,
            "Tests of sinks at once | {8} |",
            &[number("daemon/sink_commands.rs", "MAX_TESTS").into()],
        ),
        row(
            operations,
            "At most {8} tests are",
            &[number("daemon/sink_commands.rs", "MAX_TESTS").into()],
        ),
        row(
            operations,
            "until the cloud has answered, for {60 s} at most",
            &[time("health/checks/cloud.rs", "MAX_PULL_AGE").into()],
        ),
        row(
            architecture,
            "({one} line of JSON, 64 KiB at most, {5 s} to send it)",
            &[1.0.into(), time("control/server.rs", "CLIENT_TIMEOUT").into()],
        ),
        row(
            architecture,
            "the look at the socket's file every {5 s}",
            &[time("control/server.rs", "REVIEW_INTERVAL").into()],
        ),
        row(
            trouble,
            "Everything else works. The daemon tries again every {5 s}.",
            &[time("control/server.rs", "REVIEW_INTERVAL").into()],
        ),
        row(
            architecture,
            "{1,024} events, {8 MiB} of texts | new events",
            &[
                number("journal/feed.rs", "MAX_EVENTS").into(),
                mib(number("journal/feed.rs", "MAX_BYTES")),
            ],
        ),
        row(
            architecture,
            "{256} answers |",
            &[number("daemon/lifecycle.rs", "CONFIRMER_QUEUE").into()],
        ),
        row(
            architecture,
            "{256} writes |",
            &[number("daemon/lifecycle.rs", "CONFIRMER_QUEUE").into()],
        ),
        row(
            architecture,
            "{256} programs |",
            &[number("sinks/exec/group.rs", "MAX_STARTING").into()],
        ),
        row(
            architecture,
            "If the journal does not take the event within {8 s}, it answers with 503 (Service",
            &[time("receiver/mod.rs", "STORE_TIME").into()],
        ),
        row(
            architecture,
            "At the stop, requests in hand get {4 s}.",
            &[time("receiver/mod.rs", "STOP_GRACE").into()],
        ),
        row(
            architecture,
            "Bodies of posted events in hand | {64 MiB}",
            &[Value::Bytes(number("receiver/body.rs", "MAX_BYTES_IN_HAND"))],
        ),
        row(
            architecture,
            "Events in a delivery queue | {1,024}, with {8 MiB} of texts",
            &[
                number("delivery/queue.rs", "MAX_EVENTS").into(),
                mib(number("delivery/queue.rs", "MAX_BYTES")),
            ],
        ),
        row(
            architecture,
            "wait for the journal, for each sink | {8} |",
            &[number("delivery/launching.rs", "MAX_RECORDING").into()],
        ),
        row(
            architecture,
            "| {1,024} calls |",
            &[number("confirmer/records.rs", "MAX_RECORDS").into()],
        ),
        row(
            architecture,
            "to be confirmed early when they return | {100,000} |",
            &[number("confirmer/leases.rs", "MAX_RELEASED").into()],
        ),
        row(
            architecture,
            "Jobs in one commit | {64}, and one more |",
            &[number("journal/writer/mod.rs", "MAX_GROUP").into()],
        ),
        row(architecture, "Each run of the tests kills it 25 times. A daemon", &[]),
        row(architecture, "another 12 times, by `tests/run --full` 100 times", &[]),
        row(architecture, "1,000 kills of a daemon that pulls", &[]),
        row(architecture, "took six minutes on two busy cores", &[]),
        row(
            example,
            "temporary keys, from {15m} to {12h} and at most",
            &[role("MIN_ROLE_DURATION"), role("MAX_ROLE_DURATION")],
        ),
        row(example, "At least {4d}, the time in which a repeat may come", &[keys.into()]),
        row(example, "or the keys of the last {4d};", &[keys.into()]),
        row(
            example,
            "role_duration = \"{2h}\"",
            &[time("vod/credentials/settings.rs", "DEFAULT_ROLE_DURATION").into()],
        ),
        row(example, "The daemon adapts between {1} and this", &[1.into()]),
        row("CONTRIBUTING.md", "`--soak` ten minutes of faults and 1,000 kills", &[]),
        row("SECURITY.md", "an answer within a week", &[]),
    ]
}
