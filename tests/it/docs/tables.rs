//! What the documents list in full: exit codes, signals, label values, members of the envelope, what
//! an answer means, pages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::Utc;
use serde_json::{Map, Value};
use sprited::cli::Exit;
use sprited::event::{
    self, AfterResult, AfterState, AppId, Event, EventFormat, MirrorResult, MirrorStatus,
};
use sprited::journal::On;
use sprited::metrics::{Metrics, Times};

use super::{documents, prose, root};
use crate::cli::{ended, sprited};
use crate::support::data;

fn text(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// The rows of the table whose head begins with this cell, cell by cell.
pub(super) fn table(text: &str, head: &str) -> Vec<Vec<String>> {
    let start = text.find(&format!("\n| {head} |")).unwrap_or_else(|| panic!("no table {head}"));
    let lines = text[start + 1..].lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells = |line: &str| {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    };
    lines.map(cells).collect()
}

/// Each way to end, and the word that a document has to call it by.
const EXITS: [(Exit, &str); 6] = [
    (Exit::Success, "done"),
    (Exit::Failure, "not done"),
    (Exit::Usage, "command line"),
    (Exit::Journal, "journal"),
    (Exit::Credentials, "credentials"),
    (Exit::Configuration, "configuration"),
];

/// Has to be changed with the list above.
#[allow(dead_code, reason = "not a test until there is another exit code")]
fn all_are_listed(exit: Exit) {
    match exit {
        Exit::Success | Exit::Failure | Exit::Usage => {}
        Exit::Journal | Exit::Credentials | Exit::Configuration => {}
    }
}

#[test]
fn the_table_of_exit_codes_is_the_programs() {
    let rows = table(&text("docs/operations.md"), "Exit code");
    let codes: Vec<_> = rows.iter().map(|row| row[0].clone()).collect();
    assert_eq!(codes, EXITS.map(|(exit, _)| exit.code().to_string()));
    for (row, (exit, word)) in rows.iter().zip(EXITS) {
        assert!(row[1].contains(word), "{exit:?}: {row:?}");
    }
    let help = ended(sprited().arg("--help")).out;
    let (_, listed) = help.split_once("Exit codes: ").unwrap();
    let listed = listed.split_whitespace().collect::<Vec<_>>().join(" ");
    let codes: Vec<_> = listed.trim_end_matches('.').split(", ").collect();
    let codes: Vec<_> = codes.iter().map(|code| code.split(' ').next().unwrap()).collect();
    assert_eq!(codes, EXITS.map(|(exit, _)| exit.code().to_string()));
}

/// Which message stands before which exit code.
const ENDS: [(&str, Exit); 8] = [
    ("unknown key", Exit::Configuration),
    ("cannot be read and was left alone", Exit::Journal),
    ("is empty: fill ", Exit::Configuration),
    ("tells that there was one", Exit::Journal),
    ("a webhook secret without a key", Exit::Configuration),
    ("standard output is closed", Exit::Configuration),
    ("names, each with a write-ahead log of its own", Exit::Journal),
    ("is the placeholder of the example", Exit::Configuration),
];

#[test]
fn the_exit_codes_of_messages_are_the_programs_and_the_units() {
    let unit = text("systemd/sprited.service");
    let prevented = unit.lines().find_map(|line| line.strip_prefix("RestartPreventExitStatus="));
    let prevented: Vec<_> = prevented.unwrap().split(' ').collect();
    let document = text("docs/troubleshooting.md");
    let mut seen = BTreeSet::new();
    for line in document.lines().filter(|line| line.starts_with('|')) {
        let Some((_, rest)) = line.split_once("Exit code ") else { continue };
        let code = rest.split(':').next().unwrap();
        let (message, exit) = ENDS.iter().find(|(message, _)| line.contains(message)).expect(line);
        assert_eq!(code, exit.code().to_string(), "{line}");
        assert!(prevented.contains(&code) && line.contains("systemd does not try again"), "{line}");
        seen.insert(*message);
    }
    assert_eq!(seen.len(), ENDS.len());
    // What the table of messages says of those that need no journal is so.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sprited.toml");
    let sink = "[[sinks]]\nname = 'a'\ntype = 'stdout'\n";
    let credential = "[credentials]\nsecret_id = 'a'\nsecret_key = { credential = 'secret_key' }\n";
    std::fs::write(folder.path().join("secret_key"), "").unwrap();
    let keyless =
        "[[sinks]]\nname = 'b'\ntype = 'webhook'\nurl = 'https://x/'\nsecret = 'whsec_'\n";
    let placeholder = "[credentials]\nsecret_id = 'AKID…'\nsecret_key = 'k'\n";
    for (config, (message, exit)) in
        [("[pol]\n", ENDS[0]), (credential, ENDS[2]), (keyless, ENDS[4]), (placeholder, ENDS[7])]
    {
        let journal = format!("[journal]\npath = {:?}\n", folder.path().join("j.db"));
        std::fs::write(&path, format!("{config}{journal}{sink}")).unwrap();
        let mut command = sprited();
        command.env("CREDENTIALS_DIRECTORY", folder.path()).arg("run").arg("--config").arg(&path);
        let run = ended(&mut command);
        assert!(run.err.contains(message), "{}", run.err);
        assert_eq!(run.code, i32::from(exit.code()), "{}", run.err);
    }
}

#[test]
fn the_signals_are_those_that_the_program_obeys() {
    let rows = table(&text("docs/operations.md"), "Signal");
    let named: Vec<_> = rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(named, ["`TERM`, `INT`", "`HUP`"]);
    let source = text("src/cli/process.rs");
    let obeyed = source.lines().filter(|line| line.contains("signal(SignalKind::")).count();
    assert_eq!(obeyed, 3);
    assert!(text("systemd/sprited.service").contains("\nExecReload=/usr/bin/sprited reload "));
}

/// The values of a label of each metric that has it from the start.
fn exported(label: &str) -> BTreeMap<String, BTreeSet<String>> {
    let text = Metrics::new(&Times::new([1.0])).encode();
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, rest)) = line.split_once('{') else { continue };
        let Some((_, value)) = rest.split_once(&format!("{label}=\"")) else { continue };
        let value = value.split('"').next().unwrap();
        values.entry(name.to_owned()).or_default().insert(value.to_owned());
    }
    values
}

/// The literals behind `before` in a file of `src`.
fn literals(file: &str, before: &str, until: &str) -> BTreeSet<String> {
    let text = text(&format!("src/{file}"));
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {file}"));
    let (part, _) = rest.split_once(until).unwrap();
    part.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_values_of_outcome_are_those_that_are_counted() {
    let document = text("docs/metrics.md");
    // Those that are counted from the start, and those that are there with the first event or sink.
    let mut counted = exported("outcome");
    counted.extend([
        (
            "sprited_events_total".to_owned(),
            literals("ingest/mod.rs", "let outcome = if appended.is_new", ";"),
        ),
        (
            "sprited_deliveries_total".to_owned(),
            literals("metrics/mod.rs", "for outcome in [", "]"),
        ),
    ]);
    // Those of a counter that times the same calls.
    counted.remove("sprited_pull_duration_seconds_bucket");
    let mut documented: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let code = |cell: &str| cell.strip_prefix('`').unwrap().strip_suffix('`').unwrap().to_owned();
    for row in table(&document, "Metric with `outcome`") {
        let [metric, value, meaning] = <[String; 3]>::try_from(row).unwrap();
        assert!(meaning.ends_with('.'), "{metric} {value}: {meaning}");
        let is_new = documented.entry(code(&metric)).or_default().insert(code(&value));
        assert!(is_new, "{metric} {value} is there twice");
    }
    assert_eq!(documented, counted);
}

#[test]
fn the_states_are_the_four() {
    use sprited::journal::EventState;
    let states =
        [EventState::Pending, EventState::Delivered, EventState::Dead, EventState::Unrouted];
    let [a, b, c, d] = states.map(EventState::as_str);
    let moods = sprited::health::Mood::ALL.map(|mood| format!("`{}`", mood.name()));
    let (last, moods) = moods.split_last().unwrap();
    let moods = moods.join(", ");
    let said = format!("`state` is `{a}`, `{b}`, `{c}` or `{d}`; of the daemon {moods} or {last}.");
    assert!(prose("docs/metrics.md").contains(&said), "{said}");
    let said = format!("Each event is *{a}*, *{b}*, *{c}* or *{d}*");
    assert!(prose("README.md").contains(&said), "{said}");
}

/// Every member by its path; of what is in a list, of its first.
fn members(value: &Value, at: &str, all: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let at = format!("{at}/{name}");
                // The event itself is the cloud's.
                if at != "/data/event" {
                    members(value, &at, all);
                }
                all.insert(at);
            }
        }
        Value::Array(list) => list.iter().take(1).for_each(|value| members(value, at, all)),
        _ => {}
    }
}

#[test]
fn the_envelope_has_the_members_and_constants_that_are_shown() {
    let documents = documents();
    let sinks = documents.iter().find(|document| document.path.ends_with("sinks.md")).unwrap();
    let blocks = sinks.blocks.iter().filter(|(language, _)| language == "json");
    let shown: Vec<Value> = blocks.map(|(_, text)| serde_json::from_str(text).unwrap()).collect();
    let [shown, shown_mirror, shown_after] = shown.as_slice() else { panic!("{shown:?}") };

    let sample = data("create_image_sprite_complete.success.json");
    let event = event::read(AppId(1_500_012_345), &sample, false, Utc::now()).event;
    let mut rendered = Vec::new();
    event.render(EventFormat::CloudEvents, &mut rendered);
    let rendered: Value = serde_json::from_slice(&rendered).unwrap();

    let all = |value| {
        let mut all = BTreeSet::new();
        members(value, "", &mut all);
        all
    };
    assert_eq!(all(shown), all(&rendered));
    for constant in ["specversion", "source", "type", "datacontenttype"] {
        assert_eq!(shown[constant], rendered[constant], "{constant}");
    }
    let kinds = |value: &Value| -> Vec<(String, std::mem::Discriminant<Value>)> {
        let sprite: &Map<_, _> = value["data"]["sprites"][0].as_object().unwrap();
        sprite.iter().map(|(name, value)| (name.clone(), std::mem::discriminant(value))).collect()
    };
    assert_eq!(kinds(shown), kinds(&rendered));
    assert_eq!(shown["data"]["sprites"][0]["status"], rendered["data"]["sprites"][0]["status"]);
    let file_id = &shown["data"]["sprites"][0]["file_id"];
    assert_eq!(&shown["subject"], file_id);
    shown["time"].as_str().unwrap().parse::<chrono::DateTime<Utc>>().unwrap();

    hold_mirrored(&shown_mirror["mirror"]);

    // What became of it at the sink before.
    let result: AfterResult = serde_json::from_value(shown_after["after"].clone()).unwrap();
    let mut rendered = Vec::new();
    let after = Event { after: Some(Arc::new(result)), ..Event::clone(&event) };
    after.render(EventFormat::CloudEvents, &mut rendered);
    let rendered: Value = serde_json::from_slice(&rendered).unwrap();
    assert_eq!(shown_after["after"], rendered["data"]["after"]);
    let names = |of: &Value| of.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let rows = table(&text("docs/sinks.md"), "Member");
    let described = rows.iter().map(|row| row[0].trim_matches('`').to_owned());
    assert_eq!(described.collect::<BTreeSet<_>>(), names(&shown_after["after"]));
    let states = &rows.iter().find(|row| row[0] == "`state`").unwrap()[1];
    for state in
        [AfterState::Delivered, AfterState::Dead, AfterState::Discarded, AfterState::Skipped]
    {
        assert!(
            states.contains(&format!("`{}`", serde_json::to_string(&state).unwrap())),
            "{state:?}"
        );
    }
}

/// What a mirror made of a sprite.
fn hold_mirrored(shown: &Value) {
    let result: MirrorResult = serde_json::from_value(shown.clone()).unwrap();
    assert_eq!(serde_json::to_value(&result).unwrap(), *shown);
    let members: BTreeSet<_> = shown.as_object().unwrap().keys().cloned().collect();
    let rows = table(&text("docs/sinks.md"), "Member of `mirror`");
    let described = rows.iter().map(|row| row[0].trim_matches('`').to_owned());
    assert_eq!(described.collect::<BTreeSet<_>>(), members);
    let statuses = &rows.iter().find(|row| row[0] == "`status`").unwrap()[1];
    for status in [MirrorStatus::Ok, MirrorStatus::Failed, MirrorStatus::Skipped] {
        let word = serde_json::to_string(&status).unwrap();
        assert!(statuses.contains(&format!("`{word}`")), "{status:?}");
    }
}

#[test]
fn each_result_that_counts_is_there() {
    let rows = table(&text("docs/sinks.md"), "`on`");
    let words = rows.iter().map(|row| row[0].trim_matches(['`', '"']).to_owned());
    let on: Vec<On> = words.map(|word| serde_json::from_value(word.into()).unwrap()).collect();
    assert_eq!(on, [On::Settled, On::Delivered, On::Dead]);
    assert!(rows[0][1].ends_with("This is the default.") && on[0] == On::default());
}

/// A row of the table of what an answer means: delivered, dead at once, tried again.
fn meanings(sink: &str) -> [String; 3] {
    let rows = table(&text("docs/sinks.md"), "Sink");
    let row = rows.into_iter().find(|row| row[0].contains(&format!("`{sink}`"))).unwrap();
    let [_, delivered, dead, again] = row.try_into().unwrap();
    [delivered, dead, again]
}

fn numbers(text: &str) -> Vec<u16> {
    let numbers = text.split(|c: char| !c.is_ascii_digit());
    numbers.filter(|digits| !digits.is_empty()).map(|digits| digits.parse().unwrap()).collect()
}

/// The statuses that deliver by the documents, and those that make a dead letter at once.
pub(crate) fn statuses() -> (BTreeSet<u16>, BTreeSet<u16>) {
    let [delivered, dead, again] = meanings("webhook");
    assert!(again.starts_with("every other status"), "{again}");
    let (from, to) = delivered.split_once(" to ").unwrap();
    let delivered = from.parse().unwrap()..=to.parse().unwrap();
    let dead: BTreeSet<u16> = numbers(&dead).into_iter().collect();
    let example = prose("config.example.toml");
    let said: Vec<_> = dead.iter().map(u16::to_string).collect();
    let said = format!("{} make a dead letter at once", said.join(" and "));
    assert!(example.contains("Only an answer of 2xx is a delivery"), "{example}");
    assert!(example.contains(&said), "{said}");
    for document in ["README.md", "docs/sinks.md"] {
        assert!(text(document).contains("the endpoint answers 2xx within `timeout`"), "{document}");
    }
    let again = prose("docs/sinks.md");
    let (again, _) = again.split_once(" among them, would affect every event").unwrap();
    let again = numbers(again.rsplit_once("wrong configuration can cause, ").unwrap().1);
    assert_eq!(again.len(), 3, "{again:?}");
    assert!(again.iter().all(|status| !dead.contains(status)), "{again:?}");
    (delivered.collect(), dead)
}

/// The exit codes of a program by the documents: of a delivery, and of another try whatever the
/// configuration says.
pub(crate) fn exit_codes() -> (u16, u16) {
    let [delivered, dead, again] = meanings("exec");
    let one = numbers(&delivered);
    assert_eq!(one.len(), 1, "{delivered}");
    let delivered = one[0];
    let again = numbers(&again)[0];
    assert_eq!(numbers(&dead), [delivered, again], "{dead}");
    let said = format!("Exit code {delivered} is a delivery, {again} asks for a retry");
    assert!(prose("config.example.toml").contains(&said), "{said}");
    for document in ["README.md", "docs/sinks.md"] {
        let said = format!("it exits with {delivered} within `timeout`");
        assert!(text(document).contains(&said), "{document}");
    }
    (delivered, again)
}

/// The paths of the daemon's server that the documents name.
pub(crate) fn pages() -> BTreeSet<String> {
    let mut pages = BTreeSet::new();
    for document in documents() {
        let text = std::fs::read_to_string(&document.path).unwrap();
        for (at, _) in text.match_indices("localhost:9770/") {
            let rest = &text[at + "localhost:9770".len()..];
            let is_path = |c: &char| c.is_alphanumeric() || matches!(c, '/' | '.');
            pages.insert(rest.chars().take_while(is_path).collect());
        }
        // `/readyz`, `GET /metrics`; in a comment of the shell as well.
        let words = text.split([' ', '`', '\n', ',', ')', '(', '|']);
        let words = words.map(|word| word.trim_end_matches('.'));
        let is_page = |word: &&str| {
            let name = word.strip_prefix('/').unwrap_or_default();
            name.len() > 2 && name.chars().all(|c| c.is_ascii_lowercase()) && name != "path"
        };
        pages.extend(words.filter(is_page).map(str::to_owned));
    }
    pages
}

/// The hosts of the cloud that the documents name, and the variables of the environment.
#[test]
fn the_clouds_actions_and_hosts_are_those_that_are_asked() {
    let [action, policy] = [text("docs/getting-started.md"), text("src/cli/check/policy.rs")];
    let (_, listed) = action.split_once("\"action\": [").unwrap();
    let listed = listed.split(']').next().unwrap();
    let listed: BTreeSet<_> = listed.split('"').skip(1).step_by(2).collect();
    let printed = ended(
        sprited()
            .args(["check", "--policy=100000000001", "--config"])
            .arg(root().join("config.example.toml")),
    );
    let printed: Value = serde_json::from_str(&printed.out)
        .unwrap_or_else(|error| panic!("{error}: {}{policy}", printed.out));
    let asked = printed["statement"][0]["action"].as_array().unwrap();
    let asked: BTreeSet<_> = asked.iter().map(|action| action.as_str().unwrap()).collect();
    assert_eq!(listed, asked);
}
