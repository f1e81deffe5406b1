//! `sprited config schema`: it takes what the program takes, and refuses what it refuses.

use std::path::Path;

use serde_json::{Value, json};
use sprited::config::{self, Config};

use crate::cli::{ended, sprited};
use crate::config::{example, shown};

/// The validator of configurations, from the program itself.
pub(crate) fn validator() -> jsonschema::Validator {
    let printed = ended(sprited().args(["config", "schema"]));
    assert_eq!((printed.code, printed.err.as_str()), (0, ""));
    let schema: Value = serde_json::from_str(&printed.out).unwrap();
    assert_eq!(schema, config::schema());
    jsonschema::draft202012::meta::validate(&schema).unwrap_or_else(|error| panic!("{error}"));
    jsonschema::draft202012::new(&schema).unwrap()
}

/// What is wrong with a configuration by the schema.
pub(crate) fn faults(validator: &jsonschema::Validator, toml: &str) -> Vec<String> {
    let value: Value = toml::from_str(toml).unwrap();
    validator.iter_errors(&value).map(|error| error.to_string()).collect()
}

fn is_understood(toml: &str) -> bool {
    Config::parse(toml, Path::new("sprited.toml")).is_ok()
}

#[test]
fn the_example_fits_with_all_that_its_comments_show() {
    let validator = validator();
    for text in [example(), shown()] {
        assert_eq!(faults(&validator, &text), [] as [String; 0], "{text}");
    }
}

#[test]
fn it_has_every_key_of_the_program_and_no_other() {
    let schema = config::schema();
    let names = |object: &Value| -> Vec<String> {
        let mut names: Vec<_> = object["properties"].as_object().unwrap().keys().cloned().collect();
        names.sort();
        names
    };
    let sorted = |keys: Vec<&str>| {
        let mut keys: Vec<_> = keys.into_iter().map(str::to_owned).collect();
        keys.sort();
        keys
    };
    let outline = config::outline();
    assert_eq!(names(&schema), sorted(outline.iter().map(|(table, _)| *table).collect()));
    let (_, common) = outline.iter().find(|(table, _)| *table == "sinks").unwrap();
    for (table, keys) in outline.iter().filter(|(table, _)| *table != "sinks") {
        assert_eq!(names(&schema["properties"][table]), sorted(keys.to_vec()), "[{table}]");
    }
    let kinds = schema["properties"]["sinks"]["items"]["allOf"].as_array().unwrap();
    assert_eq!(kinds.len(), sprited::sinks::KINDS.len());
    for (described, kind) in kinds.iter().map(|by_kind| &by_kind["then"]).zip(sprited::sinks::KINDS)
    {
        assert_eq!(described["properties"]["type"]["const"], kind.name);
        let keys = [common, (kind.keys)()].concat();
        assert_eq!(names(described), sorted(keys), "{}", kind.name);
    }
}

/// Every object in `value`, by its pointer.
fn objects(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            found.push(at.to_owned());
            for (name, member) in members {
                objects(member, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                objects(value, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn an_unknown_key_is_refused_at_every_level_by_both() {
    let validator = validator();
    let whole: Value = toml::from_str(&shown()).unwrap();
    let mut places = Vec::new();
    objects(&whole, "", &mut places);
    // Names of headers and variables are free.
    places.retain(|at| !at.ends_with("/headers") && !at.ends_with("/env"));
    assert!(places.len() >= 15, "{places:?}");
    for at in places {
        let mut with = whole.clone();
        with.pointer_mut(&at).unwrap()["colour"] = json!("red");
        assert!(!validator.is_valid(&with), "the schema takes a colour at {at:?}");
        assert!(!is_understood(&toml::to_string(&with).unwrap()), "a colour at {at:?}");
    }
}

#[test]
fn values_are_judged_alike() {
    let validator = validator();
    let sink = "[[sinks]]\nname = 'a'\ntype = 'stdout'\n";
    let mut both = [0, 0];
    let durations = [
        "'30s'",
        "'500ms'",
        "'1m 30s'",
        "'1m30s'",
        "'2 minutes'",
        "'0s'",
        "'0'",
        "'1us'",
        "'30'",
        "''",
        "'1 parsec'",
        "'-1s'",
        "'1.5s'",
        "'1.s'",
        "30",
        "true",
    ];
    let sizes = [
        "'64MiB'",
        "'16 GiB'",
        "'1.5GB'",
        "'100000000'",
        "100000000",
        "'64m'",
        "'64Mi'",
        "'64MIB'",
        "'x'",
        "'16Gib of it'",
        "'100000000.5'",
        "'64 MiB '",
        "'-1'",
        "-1",
        "''",
        "1.5",
    ];
    let more = [
        "confirm.after = 'journal'",
        "confirm.after = 'never'",
        "log.format = 'json'",
        "log.format = 'xml'",
        "http.listen = 'off'",
        "http.listen = 9770",
        "vod.sub_app_id = 1",
        "vod.sub_app_id = '1'",
        "vod.sub_app_id = [1, 2]",
        "vod.sub_app_id = [1, '2']",
        "vod.sub_app_id = []",
        "vod.sub_app_id = [1, 1]",
        "vod.sub_app_id = 0",
        "poll.max_concurrency = -1",
        "poll.max_concurrency = 0",
        "poll.max_concurrency = 256",
        "poll.max_concurrency = 257",
        "poll.max_requests_per_second = 0",
        "poll.max_requests_per_second = 1000",
        "poll.max_requests_per_second = 1001",
        "reconcile.max_requests_per_second = 0",
        "reconcile.max_requests_per_second = 100",
        "reconcile.max_requests_per_second = 101",
        "receive = { token = 'a-token-of-some-length', max_connections = 0 }",
        "receive = { token = 'a-token-of-some-length', max_connections = 4096 }",
        "receive = { token = 'a-token-of-some-length', max_connections = 4097 }",
        "receive = { token = 'a-token-of-some-length', max_body = 65535 }",
        "receive = { token = 'a-token-of-some-length', max_body = 65536 }",
        "receive = { token = 'a-token-of-some-length', max_body = 67108864 }",
        "receive = { token = 'a-token-of-some-length', max_body = 67108865 }",
        "vod.max_answer_size = 65535",
        "vod.max_answer_size = 65536",
        "journal.max_size = 16777215",
        "journal.max_size = 16777216",
        "sinks = [{ name = 'a', type = 'jsonl', path = '/a', rotate_size = 0 }]",
        "sinks = [{ name = 'a', type = 'jsonl', path = '/a', rotate_size = 1, keep = 0 }]",
        "sinks = [{ name = 'a', type = 'jsonl', path = '/a', rotate_size = 1, keep = 1 }]",
        "sinks = [{ name = 'a', type = 'exec', command = ['/a'], max_in_flight = 1 }]",
        "poll = 1",
        "confirm.max_unconfirmed = 0",
        "confirm.max_unconfirmed = 2000",
        "confirm.max_unconfirmed = 'never'",
        "confirm.max_unconfirmed = -1",
        "confirm.max_unconfirmed = 2.5",
        "confirm.max_unconfirmed = 'off'",
        "confirm.max_unconfirmed = false",
        "sinks = []",
        "sinks = [{ name = 'a', type = 'stdout', max_rejects = 1 }]",
        "sinks = [{ name = 'a', type = 'stdout', max_rejects = 4294967295 }]",
        "sinks = [{ name = 'a', type = 'stdout', max_rejects = 'off' }]",
        "sinks = [{ name = 'a', type = 'stdout', max_rejects = 0 }]",
        "sinks = [{ name = 'a', type = 'stdout', max_rejects = -1 }]",
        "sinks = [{ name = 'a', type = 'stdout', max_rejects = 4294967296 }]",
        "sinks = [{ name = 'a', type = 'stdout', max_rejects = 2.5 }]",
        "sinks = [{ name = 'a', type = 'stdout', max_rejects = 'never' }]",
        "sinks = [{ name = 'a', type = 'stdout', max_rejects = true }]",
        "sinks = [{ name = 'a', type = 'stdout' }, { name = 'b', type = 'jsonl', path = '/b', after = 'a' }]",
        "sinks = [{ name = 'a', type = 'stdout' }, { name = 'b', type = 'jsonl', path = '/b', after = 'a', on = 'dead' }]",
        "sinks = [{ name = 'a', type = 'stdout' }, { name = 'b', type = 'jsonl', path = '/b', after = 'a', on = 'Dead' }]",
        "sinks = [{ name = 'a', type = 'stdout' }, { name = 'b', type = 'jsonl', path = '/b', after = 'a', on = true }]",
        "sinks = [{ name = 'a', type = 'stdout' }, { name = 'b', type = 'jsonl', path = '/b', after = ['a'] }]",
        "credentials = { secret_id = 'a' }",
        "credentials = { secret_id = 'a', secret_key = { env = 'B' } }",
        "credentials = { secret_id = 'a', secret_key = { env = 'B', file = '/c' } }",
        "credentials = { secret_id = 'a', secret_key = ['b'] }",
    ];
    let lines = durations.iter().map(|value| format!("poll.interval = {value}"));
    let lines = lines.chain(sizes.iter().map(|value| format!("journal.max_size = {value}")));
    for line in lines.chain(more.map(str::to_owned)) {
        let text = if line.starts_with("sinks") { line } else { format!("{line}\n{sink}") };
        let found = faults(&validator, &text);
        let is_understood = is_understood(&text);
        assert_eq!(found.is_empty(), is_understood, "{text}: {found:?}");
        both[usize::from(is_understood)] += 1;
    }
    assert!(both.iter().all(|count| *count >= 15), "{both:?}");
    for sinks in [
        "[[sinks]]\ntype = 'stdout'\n",
        "[[sinks]]\nname = 'A b'\ntype = 'stdout'\n",
        "[[sinks]]\nname = 'a'\ntype = 'webhok'\n",
        "[[sinks]]\nname = 'a'\ntype = 'jsonl'\n",
        "[[sinks]]\nname = 'a'\ntype = 'jsonl'\npath = '/a'\nmode = '0440'\n",
        "[[sinks]]\nname = 'a'\ntype = 'exec'\ncommand = ['/a']\nmax_in_flight = 0\n",
        "[[sinks]]\nname = 'a'\ntype = 'stdout'\nevents = []\n",
        "",
    ] {
        assert!(!faults(&validator, sinks).is_empty(), "the schema takes {sinks:?}");
        assert!(!is_understood(sinks), "{sinks}");
    }
}

#[test]
fn one_mistake_in_a_sink_is_one_fault_at_its_place() {
    let validator = validator();
    let faults = |entry: &str| -> Vec<(String, String)> {
        let value: Value = toml::from_str(&format!("sinks = [{{ {entry} }}]")).unwrap();
        let faults = validator.iter_errors(&value);
        faults.map(|fault| (fault.instance_path().to_string(), fault.to_string())).collect()
    };
    for (entry, place, said) in [
        ("name = 'a', type = 'jsonl', path = '/a', kep = 1", "/sinks/0", "'kep'"),
        ("name = 'a', type = 'webhook', url = 'http://a', path = '/a'", "/sinks/0", "'path'"),
        ("name = 'a', type = 'jsonl'", "/sinks/0", "\"path\" is a required"),
        ("name = 'a', type = 'jsonl', path = 1", "/sinks/0/path", "1 is not of type"),
        ("name = 'a', type = 'jsnl', path = '/a'", "/sinks/0/type", "\"jsnl\" is not one of"),
        ("name = 'a', path = '/a'", "/sinks/0", "\"type\" is a required"),
        ("type = 'stdout'", "/sinks/0", "\"name\" is a required"),
    ] {
        let found = faults(entry);
        let [(at, fault)] = found.as_slice() else { panic!("{entry}: {found:?}") };
        assert!(at == place && fault.contains(said), "{entry}: {found:?}");
    }
    let schema = config::schema();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(schema["$id"], format!("urn:sprited:configuration:{version}"));
}

#[test]
fn the_defaults_it_names_are_the_programs() {
    let schema = config::schema();
    let sink = json!({ "name": "a", "type": "stdout" });
    // A table that is not there has no defaults, and this one needs a key.
    let least = json!({ "sinks": [sink], "receive": { "token": "a-token-of-some-length" } });
    let mut named = least.clone();
    let mut count = 0;
    for (table, described) in schema["properties"].as_object().unwrap() {
        for (key, value) in described["properties"].as_object().into_iter().flatten() {
            // TOML has no null: such a default says that there is none.
            if let Some(default) = value.get("default").filter(|default| !default.is_null()) {
                named[table][key] = default.clone();
                count += 1;
            }
        }
    }
    assert!(count >= 10, "{named}");
    let parsed = |value: &Value| {
        let text = toml::to_string(value).unwrap();
        let loaded = Config::parse(&text, Path::new("sprited.toml"));
        format!("{:#?}", loaded.unwrap_or_else(|faults| panic!("{text}\n{faults}")).config)
    };
    assert_eq!(parsed(&named), parsed(&least));
}
