//! The configuration: what is understood, what is refused, and in which words.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use sprited::config::{self, Config, ConfigErrors, Loaded, PartialConfig};
use sprited::confirmer::MaxUnconfirmed;
use sprited::delivery::MaxRejects;

use crate::cli::{ended, sprited};

const LEAST: &str = r#"
[[sinks]]
name = "sprites"
type = "jsonl"
path = "/var/lib/sprited/sprites.jsonl"
"#;

fn parse(text: &str) -> Result<Loaded, ConfigErrors> {
    Config::parse(text, Path::new("sprited.toml"))
}

fn faults(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

/// The faults of a file that would be good without `text`.
fn faults_of(text: &str) -> String {
    faults(&format!("{text}\n{LEAST}"))
}

#[test]
fn the_least_that_works_has_every_default() {
    let Loaded { config, warnings, .. } = parse(LEAST).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert!(config.credentials.is_none());
    assert_eq!(config.vod.endpoint, "https://vod.tencentcloudapi.com");
    assert_eq!(config.vod.sub_app_id, None);
    assert_eq!(config.poll.interval, Duration::from_secs(1));
    assert_eq!(config.poll.max_concurrency, 32);
    assert_eq!(config.poll.max_requests_per_second, 100);
    assert_eq!(config.confirm.max_unconfirmed, MaxUnconfirmed::At(2000));
    assert_eq!(config.confirm.lease, Duration::from_secs(30));
    assert_eq!(config.journal.path, Path::new("/var/lib/sprited/journal.db"));
    assert_eq!(config.journal.retention, Duration::from_secs(14 * 86_400));
    assert_eq!(config.journal.max_size, bytesize::ByteSize::gib(16));
    assert_eq!(format!("{:?}", config.http.listen), "At(127.0.0.1:9770)");
    assert_eq!(config.log.level, "info");
    let [sink] = config.sinks.as_slice() else { panic!("{:?}", config.sinks) };
    assert_eq!(sink.name, "sprites");
    assert_eq!(sink.give_up_after, Duration::from_secs(72 * 3600));
    assert_eq!(sink.max_rejects, MaxRejects::At(20.try_into().unwrap()));
    assert_eq!(sink.timeout, Duration::from_secs(10));
    assert_eq!(sink.events, sprited::event::Wanted::default());
}

#[test]
fn a_setting_is_read_from_a_file_with_mistakes_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sprited.toml");
    let load = |text: &str| {
        std::fs::write(&file, text).unwrap();
        PartialConfig::load(&file)
    };
    let broken = "[http]\nlisten = '127.0.0.1:1'\n[poll]\nmax_concurrency = 0\nintervall = 1\n\
                  [vod]\nendpoint = 1\nsub_app_id = [1, 2]\n[[sinks]]\nname = 'A B'\n\
                  [journal]\nretention = '1s'\nmax_size = 'x'\n";
    let config = load(&format!("{broken}path = '/j.db'")).unwrap();
    assert_eq!(config.journal_path().unwrap(), Path::new("/j.db"));
    assert_eq!(config.http().unwrap().address().unwrap().port(), 1);
    assert_eq!(config.apps().unwrap().len(), 2);
    assert!(config.mistakes().len() >= 6, "{:?}", config.mistakes());
    let config = load(broken).unwrap();
    assert_eq!(config.journal_path().unwrap(), Path::new("/var/lib/sprited/journal.db"));
    assert!(load(LEAST).unwrap().mistakes().is_empty());

    // What is wrong with the setting itself, or may be meant by an unknown key.
    for (text, said) in [
        ("[journal]\npath = 'j.db'", "sprited.toml:2: [journal] path: \"j.db\" depends on"),
        ("[journal]\npath = 1", "[journal] path: invalid type"),
        ("journal = 1", "[journal]: expected a table"),
        ("[journal]\npaht = '/j.db'", "unknown key \"paht\" in [journal]; did you mean \"path\"?"),
        ("[journal]\nfile = '/j.db'", "unknown key \"file\" in [journal]; known are path"),
        ("[jurnal]\npath = '/j.db'", "unknown key \"jurnal\" in the file; did you mean"),
        ("path = '/j.db'", "unknown key \"path\" in the file; it belongs under [journal]"),
        ("[http]\npath = '/j.db'", "unknown key \"path\" in [http]; it belongs under [journal]"),
    ] {
        let error = load(text).unwrap().journal_path().expect_err(text).to_string();
        assert!(error.contains(said) && !error.contains('\n'), "{text}: {error}");
    }
    let error = load("[journal]\npath = '/j.db'\n[poll\n").unwrap_err().to_string();
    assert!(error.contains("sprited.toml:3: not TOML"), "{error}");
}

#[test]
fn one_run_names_everything_by_line() {
    let text = r#"
pol = 1
[vod]
endpoint = "http://vod.tencentcloudapi.com"
[poll]
intervall = "1s"
interval = "1 parsec"
max_concurrency = "many"
[journal]
retention = "3d"
max_size = "16Gib of it"
[[sinks]]
name = "a"
type = "jsonl"
paht = "/x"
[[sinks]]
name = "a"
type = "webhok"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    sprited.toml:2: unknown key "pol" in the file; did you mean "poll"?
    sprited.toml:4: [vod] endpoint: plain http is for loopback only; expected https, such as "https://vod.tencentcloudapi.com"
    sprited.toml:6: unknown key "intervall" in [poll]; did you mean "interval"?
    sprited.toml:7: [poll] interval: invalid value: string "1 parsec", expected a duration with a unit, such as "500ms", "30s", "10m" or "14d"
    sprited.toml:8: [poll] max_concurrency: invalid type: a string, expected u32
    sprited.toml:11: [journal] max_size: invalid value: string "16Gib of it", expected a size with a unit, such as "64MiB" or "16GiB"
    sprited.toml:12: [[sinks]] "a": missing field `path`
    sprited.toml:15: unknown key "paht" in [[sinks]] "a"; did you mean "path"?
    sprited.toml:17: [[sinks]] name: "a" is already the name of another sink
    sprited.toml:18: [[sinks]] "a" type: unknown type "webhok"; did you mean "webhook"?
    "#);
}

#[test]
fn unknown_keys_are_refused_at_every_level() {
    for (text, said) in [
        ("colour = 1", "unknown key \"colour\" in the file; known are credentials, vod,"),
        ("[credentials]\nsecret_id='a'\nsecret_key='b'\nsecretkey='c'", "in [credentials]"),
        ("[vod]\nregion = 'x'", "unknown key \"region\" in [vod]"),
        ("[poll]\nx = 1", "unknown key \"x\" in [poll]; known are interval,"),
        ("[confirm]\nafterwards = 1", "in [confirm]"),
        ("[journal]\nPath = '/j'", "in [journal]; did you mean \"path\"?"),
        ("[http]\nport = 1", "in [http]"),
        ("[log]\nlevels = 'info'", "in [log]; did you mean \"level\"?"),
        ("poll.intervall = '1s'", "in [poll]; did you mean \"interval\"?"),
        ("max_concurrency = 3", "in the file; it belongs under [poll]"),
        ("give_up_after = '3h'", "in the file; it belongs under [[sinks]]"),
    ] {
        let found = faults_of(text);
        assert!(found.contains(said) && found.lines().count() == 1, "{text}:\n{found}");
    }
    let found = faults(&format!("{LEAST}rotate = {{ daily = true }}\n"));
    assert!(
        found.contains("sprited.toml:6: unknown key \"rotate\" in [[sinks]] \"sprites\""),
        "{found}"
    );
    let found = faults(&format!(
        "{LEAST}[[sinks]]\nname='w'\ntype='webhook'\nurl='http://x'\nsecret={{ fil = '/x' }}\n"
    ));
    assert!(found.contains(":10: [[sinks]] \"w\" secret: expected a secret"), "{found}");
}

#[test]
fn every_wrong_value_is_named_where_it_stands() {
    for (text, said) in [
        (
            "[poll]\ninterval = 1",
            ":2: [poll] interval: invalid type: integer `1`, expected a duration with a unit",
        ),
        ("[poll]\ninterval = '2h'", ":2: [poll] interval: more than 1h"),
        ("[poll]\nmax_concurrency = 0", ":2: [poll] max_concurrency: 0 is not between"),
        ("[poll]\nmax_concurrency = -1", ":2: [poll] max_concurrency: invalid value: integer `-1`"),
        ("[poll]\nmax_requests_per_second = 0", ":2: [poll] max_requests_per_second: 0"),
        (
            "[confirm]\nafter = 'never'",
            ":2: [confirm] after: unknown variant `never`, expected `delivery` or `journal`",
        ),
        ("[confirm]\nlease = '2s'", ":2: [confirm] lease: 2s leaves no time"),
        ("[journal]\n\nretention = '95h'", ":3: [journal] retention: 3days 23h is too short"),
        ("[journal]\nmax_size = 16", ":2: [journal] max_size: 16 B is too small"),
        (
            "[journal]\nmax_size = -1",
            ":2: [journal] max_size: invalid value: integer `-1`, expected a size with a unit",
        ),
        ("[journal]\npath = 'j.db'", ":2: [journal] path: \"j.db\" depends on the folder"),
        ("[http]\nlisten = 'localhost'", ":2: [http] listen: expected an IP address with a port"),
        ("[log]\nlevel = 'loud'", ":2: [log] level: found \"loud\""),
        ("[log]\nformat = 'xml'", ":2: [log] format: unknown variant `xml`"),
        ("poll = 3", ":1: [poll]: expected a table, found an integer"),
        ("[[vod]]\nsub_app_id = 1", "[vod]: expected a table, found an array"),
        (
            "[vod]\nsub_app_id = '15'",
            ":2: [vod] sub_app_id: invalid type: a string, expected the number of an application, \
             or a list of such numbers",
        ),
    ] {
        let found = faults_of(text);
        assert!(found.contains(said) && found.lines().count() == 1, "{text}:\n{found}");
    }
}

#[test]
fn every_wrong_sink_is_named() {
    let sink = |keys: &str| faults(&format!("[[sinks]]\n{keys}\n"));
    for (keys, said) in [
        ("name = 'a'", ":1: [[sinks]] \"a\": missing field `type`"),
        ("type = 'stdout'", ":1: [[sinks]]: missing field `name`"),
        ("name = 3\ntype = 'stdout'", ":2: [[sinks]] name: invalid type: integer `3`"),
        ("name = 'a'\ntype = 3", ":3: [[sinks]] \"a\" type: invalid type"),
        ("name = 'A b'\ntype = 'stdout'", ":2: [[sinks]] name: invalid sink name \"A b\""),
        ("name = 'a'\ntype = 'kafka'", "unknown type \"kafka\"; known are stdout, jsonl, webhook"),
        (
            "name = 'a'\ntype = 'stdout'\nevents = []",
            ":4: [[sinks]] \"a\" events: the list is empty",
        ),
        ("name = 'a'\ntype = 'stdout'\nevents = 'image-sprite'", "expected a list, such as"),
        (
            "name = 'a'\ntype = 'stdout'\nformat = 'csv'",
            ":4: [[sinks]] \"a\" format: unknown variant",
        ),
        ("name = 'a'\ntype = 'stdout'\ntimeout = '0s'", ":4: [[sinks]] \"a\" timeout: expected"),
        ("name = 'a'\ntype = 'stdout'\ngive_up_after = '0s'", "\"a\" give_up_after: zero"),
        (
            "name = 'a'\ntype = 'stdout'\nmax_rejects = 0",
            ":4: [[sinks]] \"a\" max_rejects: expected a number from 1 on, or \"off\"; found 0",
        ),
        (
            "name = 'a'\ntype = 'stdout'\nmax_rejects = 'never'",
            "max_rejects: expected a number from 1 on, or \"off\"; found \"never\"",
        ),
        (
            "name = 'a'\ntype = 'stdout'\nmax_rejects = 2.5",
            "max_rejects: expected a number from 1 on, or \"off\"",
        ),
        ("name = 'a'\ntype = 'jsonl'\npath = 'x'", ":4: [[sinks]] \"a\" path: "),
        (
            "name = 'a'\ntype = 'webhook'\nurl = 'http://x'\n[sinks.headers]\nx = 'y'\nz = 3",
            ":7: [[sinks]] \"a\" headers: expected a secret",
        ),
    ] {
        let found = sink(keys);
        assert!(found.contains(said) && found.lines().count() == 1, "{keys}:\n{found}");
    }
    let name = "n".repeat(65);
    assert!(sink(&format!("name = '{name}'\ntype = 'stdout'")).contains("invalid sink name"));
    for none in ["", "sinks = []"] {
        assert!(faults(none).contains("sprited.toml:1: no sink is configured"), "{none}");
    }
    assert!(faults("sinks = 3").contains("expected a list of sinks"));
    assert!(faults("[sinks]\nname = 'a'").contains("expected a list of sinks"));
}

#[test]
fn as_many_events_as_said_stay_unconfirmed_or_all() {
    let text = |value: &str| format!("[confirm]\nmax_unconfirmed = {value}\n{LEAST}");
    for (value, is) in [
        ("0", MaxUnconfirmed::At(0)),
        ("300", MaxUnconfirmed::At(300)),
        ("\"never\"", MaxUnconfirmed::Never),
    ] {
        assert_eq!(parse(&text(value)).unwrap().config.confirm.max_unconfirmed, is, "{value}");
    }
    let expected = ":2: [confirm] max_unconfirmed: expected a number from 0 on, or \"never\"";
    for (value, found) in
        [("-1", "; found -1"), ("'off'", "; found \"off\""), ("2.5", ""), ("true", "")]
    {
        let said = faults(&text(value));
        assert!(said.contains(&format!("{expected}{found}")), "{value}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn no_file_has_two_writers() {
    let sink = |name: &str, path: &str| {
        format!("[[sinks]]\nname = \"{name}\"\ntype = \"jsonl\"\npath = \"{path}\"\n")
    };
    let found = faults(&(sink("a", "/x/y.jsonl") + &sink("b", "/x/./y.jsonl")));
    assert!(
        found.contains(":8: [[sinks]] path: \"/x/y.jsonl\" is already written by another sink"),
        "{found}"
    );
    for suffix in ["", "-wal"] {
        let path = format!("/var/lib/sprited/journal.db{suffix}");
        let found = faults(&sink("a", &path));
        assert!(found.contains("is already written by the journal"), "{found}");
    }
}

#[test]
fn one_file_has_one_writer_however_it_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    std::fs::create_dir(at("d")).unwrap();
    std::fs::write(at("d/a.jsonl"), "").unwrap();
    std::fs::hard_link(at("d/a.jsonl"), at("hard.jsonl")).unwrap();
    std::os::unix::fs::symlink("d/a.jsonl", at("soft.jsonl")).unwrap();
    std::os::unix::fs::symlink("d", at("e")).unwrap();
    // To a file that is not there yet.
    std::os::unix::fs::symlink("new.jsonl", at("d/soft.jsonl")).unwrap();
    std::os::unix::fs::symlink(at("journal.db-wal"), at("wal.jsonl")).unwrap();
    let sink = |name: &str, path: &str, more: &str| {
        let path = at(path);
        format!("[[sinks]]\nname = '{name}'\ntype = 'jsonl'\npath = {path:?}\n{more}\n")
    };
    let journal = format!("[journal]\npath = {:?}\n", at("journal.db"));
    let rotates = "rotate_size = '1MiB'";
    let refused = |first: &str, second: &str, more: &str| {
        let sinks = sink("a", first, more) + &sink("b", second, "");
        let both = [sinks, sink("b", second, "") + &sink("a", first, more)];
        both.map(|sinks| parse(&format!("{journal}{sinks}")).err().map(|faults| faults.to_string()))
    };
    for (first, second, says) in [
        ("d/a.jsonl", "hard.jsonl", "is the same file as"),
        ("d/a.jsonl", "soft.jsonl", "is the same file as"),
        ("d/a.jsonl", "e/a.jsonl", "is the same file as"),
        ("d/none.jsonl", "e/none.jsonl", "is the same file as"),
        ("d/new.jsonl", "e/soft.jsonl", "is the same file as"),
        ("none.jsonl", "d/../none.jsonl", "is the same file as"),
        ("d/a.jsonl", "wal.jsonl", "which is already written by the journal"),
        ("d/a.jsonl", "journal.db.rescued-20260102T030405Z", "named like a copy of the journal"),
        ("d/a.jsonl", "d/../journal.db.replaced-1", "named like a copy of the journal"),
        ("d/r.jsonl", "d/r-20260102T030405.678Z.jsonl", "named like"),
        ("d/r.jsonl", "e/r-20260102T030405.678Z-0123abcd.jsonl", "named like"),
        ("soft.jsonl", "d/a-20260102T030405.678Z.jsonl.gz", "named like"),
    ] {
        for found in refused(first, second, rotates) {
            let found = found.unwrap_or_else(|| panic!("{first} and {second} pass"));
            assert!(found.contains(says), "{first}, {second}: {found}");
        }
    }
    // Names that are merely alike are fine.
    for (first, second, more) in [
        ("d/events", "d/events.all.jsonl", rotates),
        ("d/events.jsonl", "d/events.jsonl.1", rotates),
        ("d/events.jsonl", "d/events-20260102.jsonl", rotates),
        ("d/a.jsonl", "a.jsonl", rotates),
        ("d/r.jsonl", "r-20260102T030405.678Z.jsonl", rotates),
        ("d/r.jsonl", "d/r-20260102T030405.678Z.jsonl", ""),
    ] {
        assert_eq!(refused(first, second, more), [None, None], "{first} and {second}");
    }
}

#[test]
fn what_is_no_toml_is_reported_alone_and_without_its_text() {
    let found = faults("[poll]\nintervall = 1\n[credentials]\nsecret_key = \"hunter2\n");
    assert!(found.starts_with("sprited.toml:4: not TOML: "), "{found}");
    assert!(found.lines().count() == 1 && !found.contains("hunter2"), "{found}");
    let found = faults("[poll]\ninterval = '1s'\ninterval = '2s'\n");
    assert!(found.contains("sprited.toml:3: not TOML: duplicate key"), "{found}");
}

const SECRETS: &str = r#"
[credentials]
secret_id = "hunter1"
secret_key = "hunter2"
token = "hunter3"
[[sinks]]
name = "hook"
type = "webhook"
url = "https://example.net/"
secret = "hunter4"
headers = { authorization = "hunter5" }
"#;

#[test]
fn the_placeholder_of_an_example_is_named_and_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sprited.toml");
    let text = format!(
        "[credentials]\nsecret_id = 'AKID…'\nsecret_key = 'k'\n[http]\nlisten = 'off'\n\
         [journal]\npath = '{}'\n{LEAST}",
        folder.path().join("j.db").display()
    );
    std::fs::write(&file, text).unwrap();
    let command =
        |arguments: &[&str]| ended(sprited().args(arguments).env("SPRITED_CONFIG", &file));
    let said = "[credentials] secret_id is the placeholder of the example: put the SecretId of your key \
                in its place";
    let checked = command(&["check", "--offline"]);
    assert!(checked.out.contains(&format!("toml:2: warning: {said}")), "{}", checked.out);
    let started = command(&["run"]);
    assert_eq!(started.code, 78, "{}", started.err);
    assert!(started.err.ends_with(&format!("{said}\n")), "{}", started.err);
    assert!(!folder.path().join("j.db").exists());
}

#[test]
fn no_secret_is_shown() {
    let config = parse(SECRETS).unwrap().config;
    let shown = format!("{config:?} {config:#?}");
    assert!(!shown.contains("hunter"), "{shown}");
    assert!(config.check_secrets().is_empty());
    for broken in ["secret_id = 5", "secret_id = [\"hunter1\"]", "secret_id = { file = 3 }"] {
        let text = SECRETS.replace("secret_id = \"hunter1\"", broken);
        let found = faults(&text);
        assert!(found.contains(":3: [credentials] secret_id: expected a secret"), "{found}");
        assert!(!found.contains("hunter"), "{found}");
    }
}

#[test]
fn secrets_that_cannot_be_read_are_named_only_when_asked_for() {
    let text = "[credentials]\nsecret_id = 'AKID'\nsecret_key = { file = '/nowhere/key' }\n\
                token = { env = 'SPRITED_TEST_NO_SUCH' }\n";
    let config = parse(&format!("{text}{LEAST}")).unwrap().config;
    let missing = config.check_secrets();
    let keys: Vec<_> = missing.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, ["[credentials] secret_key", "[credentials] token"]);
    assert!(missing[0].1.to_string().contains("/nowhere/key"));
}

#[test]
fn a_secret_that_everybody_can_read_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sprited.toml");
    let warned = |text: &str, mode: u32| {
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let warnings = Config::load(&path).unwrap().warnings;
        warnings.iter().any(|warning| warning.message.contains("can be read by everybody"))
    };
    assert!(warned(SECRETS, 0o644));
    assert!(!warned(SECRETS, 0o640));
    assert!(!warned(LEAST, 0o644));
    let reference = "[credentials]\nsecret_id='a'\nsecret_key={ file='/secret/token' }\n";
    assert!(!warned(&format!("{reference}{LEAST}"), 0o644));
    let hook = &SECRETS[SECRETS.find("[[sinks]]").unwrap()..];
    assert!(warned(hook, 0o604));
    let header = hook.replace("secret = \"hunter4\"", "");
    assert!(warned(&header, 0o644));
    assert!(!warned(&header.replace("\"hunter5\"", "{ file = \"/secret\" }"), 0o644));
}

#[test]
fn doubtful_values_are_warned_of() {
    let warnings = |text: &str| {
        let loaded = parse(text).unwrap();
        loaded.warnings.iter().map(|w| w.message.clone()).collect::<Vec<_>>().join("\n")
    };
    let text = warnings(&format!("[http]\nlisten = '0.0.0.0:9770'\n{LEAST}"));
    assert!(text.contains("can be reached from other machines"), "{text}");
    assert_eq!(warnings(&format!("[http]\nlisten = 'off'\n{LEAST}")), "");
    let events = "['image-sprites', '*', 'NewFileUpload', 'FileDelted', 'Anything', 'whatever']";
    let text = warnings(&format!("{LEAST}events = {events}\n"));
    let expected = "\
        [[sinks]] \"sprites\" events: unknown EventType \"image-sprites\"; did you mean \
        \"image-sprite\"?\n\
        [[sinks]] \"sprites\" events: unknown EventType \"FileDelted\"; did you mean \
        \"FileDeleted\"?\n\
        [[sinks]] \"sprites\" events: unknown EventType \"whatever\"; EventTypes begin \
        with a capital letter; image sprites are \"image-sprite\"";
    assert_eq!(text, expected);
    let hook = |url: &str| format!("[[sinks]]\nname = 'hook'\ntype = 'webhook'\nurl = '{url}'\n");
    let expected = "[[sinks]] \"hook\" url: http://example.com is plain http: events can be read and \
                    changed on the way";
    assert_eq!(warnings(&hook("http://example.com/secret")), expected);
    assert_eq!(warnings(&hook("http://127.0.0.1:9/")), "");
    assert_eq!(warnings(&hook("https://example.com/")), "");
}

#[test]
fn a_file_that_cannot_be_read_is_a_fault() {
    let faults = Config::load(Path::new("/nowhere/sprited.toml")).unwrap_err().to_string();
    assert!(faults.contains("/nowhere/sprited.toml: cannot read the configuration"), "{faults}");
    assert!(faults.contains("--config"), "{faults}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latin1.toml");
    std::fs::write(&path, b"# \xe4\n").unwrap();
    assert!(Config::load(&path).unwrap_err().to_string().contains("not UTF-8"));
}

pub(crate) fn example() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml");
    std::fs::read_to_string(path).expect("the example is part of the package")
}

/// Whether `line` sets `key`, in effect or as a comment shows it.
fn sets(line: &str, key: &str) -> bool {
    let line = line.trim_start_matches(['#', ' ']);
    line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='))
}

/// The lines under each heading, in effect or shown by a comment.
fn headed(text: &str) -> Vec<(String, Vec<&str>)> {
    let mut parts: Vec<(String, Vec<&str>)> = Vec::new();
    for line in text.lines() {
        let plain = line.trim_start_matches(['#', ' ']);
        let heading = plain.strip_prefix('[').and_then(|_| plain.split_once("]"));
        match (heading, parts.last_mut()) {
            (Some((heading, _)), _) => {
                parts.push((heading.trim_start_matches('[').to_owned(), Vec::new()));
            }
            (None, Some((_, lines))) => lines.push(line),
            (None, None) => {}
        }
    }
    parts
}

#[test]
fn the_example_shows_every_key() {
    let text = example();
    let parts = headed(&text);
    for (table, keys) in config::outline() {
        for key in keys {
            let shown = parts
                .iter()
                .any(|(heading, lines)| heading == table && lines.iter().any(|l| sets(l, key)));
            assert!(shown, "[{table}] {key} is missing from config.example.toml");
        }
    }
    for kind in sprited::sinks::KINDS {
        let named = format!("\"{}\"", kind.name);
        let part: Vec<_> = parts
            .iter()
            .filter(|(_, lines)| lines.iter().any(|l| sets(l, "type") && l.contains(&named)))
            .collect();
        assert!(!part.is_empty(), "type = {named} is missing from config.example.toml");
        for key in (kind.keys)() {
            let shown = part.iter().any(|(_, lines)| lines.iter().any(|l| sets(l, key)));
            assert!(shown, "{key} of {named} is missing from config.example.toml");
        }
    }
}

#[test]
fn the_example_is_the_defaults() {
    let text = example();
    let Loaded { config, warnings, .. } = parse(&text).unwrap_or_else(|faults| panic!("{faults}"));
    assert!(warnings.is_empty(), "{warnings:?}");
    let mut defaults = parse(LEAST).unwrap().config;
    defaults.sinks.truncate(1);
    assert_eq!(format!("{config:#?}"), format!("{defaults:#?}"));
    // In effect, not in a comment: only then the comparison above says anything.
    let optional = |table, key| {
        ["credentials", "receive"].contains(&table) || ["sub_app_id", "after", "on"].contains(&key)
    };
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    for (table, keys) in config::outline() {
        for key in keys.iter().filter(|key| !optional(table, **key)) {
            assert!(lines.iter().any(|line| sets(line, key)), "[{table}] {key} is a comment");
        }
    }
}

/// The example with the settings that its comments show in effect, too.
pub(crate) fn shown() -> String {
    example()
        .lines()
        .map(|line| {
            let plain = line.strip_prefix("# ").unwrap_or(line);
            let (word, _) = plain.split_once(" = ").unwrap_or_default();
            let key = !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            if key || plain.starts_with('[') { format!("{plain}\n") } else { "\n".to_owned() }
        })
        .collect()
}

#[test]
fn what_the_example_shows_in_comments_is_understood() {
    let config = parse(&shown()).unwrap_or_else(|faults| panic!("{faults}")).config;
    assert!(config.credentials.is_some() && config.vod.sub_app_id.is_some());
    assert!(config.receive.is_some());
    assert_eq!(config.sinks.len(), sprited::sinks::KINDS.len());
}

#[test]
fn the_defaults_that_comments_show_are_the_defaults() {
    let text = shown();
    let whole = format!("{:#?}", parse(&text).unwrap().config.sinks);
    for (kind, key) in [
        ("jsonl", "mode"),
        ("jsonl", "compress"),
        ("webhook", "max_in_flight"),
        ("mirror", "mode"),
        ("mirror", "max_in_flight"),
        ("mirror", "strict"),
        ("mirror", "max_sheet"),
        ("mirror", "max_total"),
        ("exec", "pass_env"),
        ("exec", "directory"),
        ("exec", "max_in_flight"),
        ("exec", "otherwise"),
    ] {
        let named = format!("type = \"{kind}\"");
        let start = text.find(&named).unwrap();
        let (before, after) = text.split_at(start);
        let line = after.lines().find(|line| sets(line, key)).unwrap();
        let without = format!("{before}{}", after.replacen(line, "", 1));
        let without = format!("{:#?}", parse(&without).unwrap().config.sinks);
        assert_eq!(whole, without, "{line} of {kind} is not the default");
    }
}

#[test]
fn standard_output_takes_one_sink_alone() {
    let sink = |name: &str| format!("[[sinks]]\nname = '{name}'\ntype = 'stdout'\n");
    let found = faults(&(sink("a") + &sink("b")));
    let expected = ":6: [[sinks]] type: standard output is already written by another sink";
    assert!(found.contains(expected), "{found}");
    parse(&sink("a")).unwrap();
}

#[test]
fn a_value_with_escapes_cannot_forge_a_line_of_the_answer() {
    let found = faults_of("[log]\nformat = \"x\\n/etc/sprited.toml:1: forged\\u001b[2J\\u202e\"");
    assert_eq!(found.lines().count(), 1, "{found}");
    assert!(!found.contains(sprited::sanitize::is_invisible), "{found:?}");
    assert!(found.contains(r"`x\n/etc/sprited.toml:1: forged\u{1b}[2J\u{202e}`"), "{found}");
}
