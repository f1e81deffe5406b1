//! The passages of the documents that have numbers, and what the code has for each.

use std::path::Path;
use std::time::Duration;

use sprited::cli::Exit;
use sprited::config::Config;

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
    let [retry, longest_retry] = waits("delivery/mod.rs", "RETRIES");
    let [probe, longest_probe] = waits("delivery/mod.rs", "PROBES");
    let retry_after = time("sinks/webhook/status.rs", "MAX_RETRY_AFTER");
    assert_eq!(retry_after, sprited::retry::MAX_ASKED);
    let named = time("delivery/verdicts.rs", "TOLD_AFTER");
    let named_again = time("delivery/verdicts.rs", "TOLD_EVERY");
    let keys = time("journal/settings.rs", "MIN_RETENTION");
    let remind = time("outage.rs", "REMIND");
    let share = |name| Value::Number(number("journal/prune.rs", name) as f64);
    let row =
        |document, words, values: &[Value]| Passage { document, words, values: values.to_vec() };
    let mib = |bytes: u64| Value::Bytes(bytes);
    let rust: f64 = env!("CARGO_PKG_RUST_VERSION").parse().unwrap();
    let readme = "README.md";
    let deliveries = "docs/deliveries.md";
    let metrics = "docs/metrics.md";
    let trouble = "docs/troubleshooting.md";
    let scaling = "docs/scaling.md";
    let start = "docs/getting-started.md";
    let example = "config.example.toml";
    let circulation = |name| number("puller/circulation.rs", name);
    let observed = lease * circulation("LEASES") as u32;
    let now = lease * circulation("NOW") as u32 / circulation("PARTS") as u32;
    let slowest = time("puller/circulation.rs", "MAX_PAUSE");
    let role = |name| time("vod/credentials/settings.rs", name).into();
    vec![
        row(readme, "it needs Rust {1.95} or newer", &[rust.into()]),
        row(readme, "needs Rust {1.95} and a C compiler", &[rust.into()]),
        row(readme, "rates it below {1.5})", &[crate::units::MAX_EXPOSURE.into()]),
        row(readme, "lends events out for {30 s}, refuses", &[lease.into()]),
        row(
            readme,
            "ConfirmEvents within {30 s}, else the event comes again, every {30 s} for days",
            &[lease.into(), lease.into()],
        ),
        row(readme, "25 times in each run of the tests, and 1,000 times by", &[]),
        row(readme, "Those took six minutes on two cores", &[]),
        row(
            readme,
            "takes notice within {two seconds}",
            &[(time("daemon/maintenance.rs", "LOOK_OUTSIDE") + Duration::from_millis(500)).into()],
        ),
        row(
            readme,
            "a commit is under way for more than {30 s}",
            &[time("http/health.rs", "MAX_COMMIT").into()],
        ),
        row(
            readme,
            "after {a minute} without a good pull",
            &[time("http/health.rs", "MAX_PULL_AGE").into()],
        ),
        row(
            readme,
            "a delivery does that is due for more than {60 s}",
            &[time("http/health.rs", "LATE").into()],
        ),
        row(
            readme,
            "a commit that takes more than {1 s}",
            &[time("http/health.rs", "SLOW_COMMIT").into()],
        ),
        row(
            readme,
            "deliveries under way get {15 s}",
            &[time("daemon/mod.rs", "DELIVERY_TIME").into()],
        ),
        row(
            readme,
            "{25 s} at most. A second one, {a second} or more after the first",
            &[
                time("daemon/mod.rs", "STOP_TIME").into(),
                time("cli/process.rs", "SAME_SIGNAL").into(),
            ],
        ),
        row(readme, "once {a minute} while it is down", &[remind.into()]),
        row(readme, "`--soak` ten minutes of faults and 1,000 kills", &[]),
        row(
            readme,
            "The cloud allows {100} requests a second with {16} events each",
            &[
                u64::from(config.poll.max_requests_per_second).into(),
                number("vod/client.rs", "MAX_HANDLES").into(),
            ],
        ),
        row(
            readme,
            "recount the journal; exits with {1} if",
            &[u64::from(Exit::Failure.code()).into()],
        ),
        row(
            trouble,
            "and exits with {1} if they differ",
            &[u64::from(Exit::Failure.code()).into()],
        ),
        row(
            deliveries,
            "After {1 s}, then after twice as long each time, up to {10 min}; each wait is shortened at random by up to half",
            &[retry.into(), longest_retry.into()],
        ),
        row(deliveries, "counts where it asks for more, up to {an hour}.", &[retry_after.into()]),
        row(
            deliveries,
            "unless `Retry-After` asks for longer than {two seconds}.",
            &[time("delivery/breaker.rs", "LONG_PAUSE").into()],
        ),
        row(
            deliveries,
            "as it goes down, once {a minute} while it lasts, and when it is up again.",
            &[remind.into()],
        ),
        row(
            deliveries,
            "from the {21}st within {a minute} on they are counted, and the log tells once {a minute} how",
            &[
                Value::Number(number("delivery/dead_letters.rs", "NAMED") as f64 + 1.0),
                time("delivery/dead_letters.rs", "MINUTE").into(),
                time("delivery/dead_letters.rs", "MINUTE").into(),
            ],
        ),
        row(
            deliveries,
            "failed for `give_up_after` ({72 h})",
            &[config.sinks[0].give_up_after.into()],
        ),
        row(
            deliveries,
            "the log names it after {an hour} and then once {a day}",
            &[named.into(), named_again.into()],
        ),
        row(
            deliveries,
            "when {five} different events have failed in a row",
            &[number("delivery/breaker.rs", "DOWN_AFTER").into()],
        ),
        row(
            deliveries,
            "at first after {1 s} and then up to {a minute} apart, or as long as `Retry-After` asks, up to {an hour}",
            &[probe.into(), longest_probe.into(), retry_after.into()],
        ),
        row(
            deliveries,
            "Deliveries at once begin with {8},",
            &[number("delivery/concurrency.rs", "START").into()],
        ),
        row(start, "ten minutes in its console", &[]),
        row(start, "Events wait for {four days} at the most", &[keys.into()]),
        row(
            start,
            "it sees once {a minute} what waits in the queue",
            &[time("daemon/maintenance.rs", "LOOK_AT_BACKLOG").into()],
        ),
        row(metrics, "is at most {a second} old", &[time("http/snapshot.rs", "GOOD_FOR").into()]),
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
        row(metrics, "settled goes from {90 %} on", &[share("SHORT_OF_SPACE")]),
        row(
            metrics,
            "its oldest event waits for more than {an hour}",
            &[alert_seconds("SpritedSinkBehind", "> ")],
        ),
        row(
            metrics,
            "is not confirmed for {three days}: the cloud forgets it after {four}",
            &[alert_seconds("SpritedEventsUnconfirmed", "> "), Value::Number(4.0)],
        ),
        row(
            metrics,
            "end within {ten minutes}",
            &[alert_seconds("SpritedCredentialsExpire", "< ")],
        ),
        row(
            metrics,
            "from the cloud's by more than {a minute}",
            &[alert_seconds("SpritedClockWrong", "> ")],
        ),
        row(
            metrics,
            "More than {40,000} events come again",
            &[alert("SpritedEventsCirculate", "> ").into()],
        ),
        row(
            trouble,
            "it reads again within {a minute}",
            &[waits("puller/application.rs", "LASTING")[1].into()],
        ),
        row(
            trouble,
            "STS is asked again every {10 s}",
            &[time("vod/credentials/renewal.rs", "PAUSE").into()],
        ),
        row(
            trouble,
            "it tries every {5 s}, for {half an hour} or until it is stopped",
            &[time("daemon/rescue.rs", "RETRY").into(), time("daemon/rescue.rs", "LONGEST").into()],
        ),
        row(
            trouble,
            "from here on they are counted once {a minute}` | As above, for more than {20} within {a minute};",
            &[
                time("delivery/dead_letters.rs", "MINUTE").into(),
                Value::Number(number("delivery/dead_letters.rs", "NAMED") as f64),
                time("delivery/dead_letters.rs", "MINUTE").into(),
            ],
        ),
        row(trouble, "They stay in the cloud, for {four days}: raise", &[keys.into()]),
        row(trouble, "It has failed for {an hour},", &[named.into()]),
        row(trouble, "told of once {a day}", &[named_again.into()]),
        row(trouble, "the cloud keeps events for {four days}", &[keys.into()]),
        row(
            trouble,
            "when nothing has failed for {10 s}; until",
            &[time("outage.rs", "PROBATION").into()],
        ),
        row(
            "CHANGELOG.md",
            "until nothing has failed for {10 s}.",
            &[time("outage.rs", "PROBATION").into()],
        ),
        row(trouble, "the [keys of {four days}]", &[keys.into()]),
        row(
            scaling,
            "keeps to `poll.max_requests_per_second` ({100})",
            &[u64::from(config.poll.max_requests_per_second).into()],
        ),
        row(
            scaling,
            "a pull brings at most {16} events",
            &[number("vod/client.rs", "MAX_HANDLES").into()],
        ),
        row(
            scaling,
            "{32} are allowed by default",
            &[u64::from(config.poll.max_concurrency).into()],
        ),
        row(scaling, "The cloud keeps what was not pulled for {4 days}", &[keys.into()]),
        row(scaling, "the default {16 GiB} are full", &[mib(config.journal.max_size.as_u64())]),
        row(
            scaling,
            "When {nine} of {ten} entries over {a minute} are such repeats",
            &[circulation("REPEATS").into(), circulation("OF").into(), observed.into()],
        ),
        row(scaling, "to {one} a second at least", &[slowest.as_secs().into()]),
        row(scaling, "what comes within {five seconds} is new", &[now.into()]),
        row(scaling, "fires at {40,000}", &[alert("SpritedEventsCirculate", "> ").into()]),
        row(
            scaling,
            "forgets an event after {4 days}, `SpritedEventsUnconfirmed` tells after {three}",
            &[keys.into(), (alert("SpritedEventsUnconfirmed", "> ") / 86_400.0).into()],
        ),
        row(scaling, "within {4 ms} of its start", &[time("journal/writer.rs", "GATHER").into()]),
        row(
            scaling,
            "but where {64} wait at once",
            &[number("journal/writer.rs", "MAX_GROUP").into()],
        ),
        row(
            scaling,
            "kept for `journal.retention` ({14 days})",
            &[config.journal.retention.into()],
        ),
        row(scaling, "from {90 %} of it on", &[share("SHORT_OF_SPACE")]),
        row(scaling, "stay for {4 days} in any case", &[keys.into()]),
        row(
            scaling,
            "{1,024} with {8 MiB} of texts",
            &[
                number("delivery/queue.rs", "MAX_EVENTS").into(),
                mib(number("delivery/queue.rs", "MAX_BYTES")),
            ],
        ),
        row(scaling, "the handles of {28 s} wait", &[config.confirm.good_for().into()]),
        row(
            scaling,
            "`vod.max_answer_size` ({16 MiB})",
            &[mib(config.vod.max_answer_size.as_u64())],
        ),
        row(
            example,
            "good for, {15m} to {12h} and no longer",
            &[role("SHORTEST"), role("LONGEST")],
        ),
        row(example, "At least {4d}: that long a repeat may come", &[keys.into()]),
        row(example, "or the keys of the last {4d}", &[keys.into()]),
        row(
            example,
            "role_duration = \"{2h}\"",
            &[time("vod/credentials/settings.rs", "DURATION").into()],
        ),
        row(example, "it adapts between {1} and this", &[1.into()]),
        row("SECURITY.md", "an answer within a week", &[]),
    ]
}
