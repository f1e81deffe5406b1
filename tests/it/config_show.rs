//! `sprited config show`: every key with its value and where that is from, and no secret.

use std::path::Path;

use serde_json::Value;
use sprited::config::{self, Config, Loaded, MASK, ShownConfig};
use sprited::sinks::KINDS;

use crate::cli::{Ended, ended, sprited};
use crate::config::{example, shown};

/// A secret in each place that may have one, and in each form.
const SECRETS: &str = "
[credentials]
secret_id = 'hunter2-id'
secret_key = { env = 'KEY' }
token = 'hunter2'
role_arn = 'qcs::cam::uin/100000000001:roleName/sprited'

[receive]
token = 'hunter2-hunter2-hunter2'
sign_key = { credential = 'sign_key' }
previous_sign_key = 'hunter2'

[poll]
interval = '1m 30s'

[[sinks]]
name = 'site'
type = 'webhook'
url = 'https://me:hunter2@example.com/hunter2?key=hunter2#hunter2'
secret = 'hunter2'
headers.authorization = 'Bearer hunter2'
headers.\"x-key\" = { file = '/etc/key' }

[[sinks]]
name = 'program'
type = 'exec'
command = ['/bin/true', '\u{202e}', 'tab\\t \"']
env = { A_KEY = 'hunter2', B_KEY = { env = 'B' } }
";

fn parse(text: &str) -> Loaded {
    Config::parse(text, Path::new("sprited.toml")).unwrap_or_else(|why| panic!("{text}\n{why}"))
}

/// The least entry of each kind, so that all the rest is by default.
fn least() -> String {
    let entry = |kind: &str| {
        let own = match kind {
            "jsonl" => "path = '/var/lib/sprited/a.jsonl'",
            "webhook" => "url = 'https://example.com/'",
            "mirror" => {
                "store = 'folder'\npath = '/srv/a'\npublic_url = 'https://a.example'\n\
                 hosts = ['a.example']"
            }
            "exec" => "command = ['/bin/true']",
            _ => "",
        };
        format!("[[sinks]]\nname = '{kind}'\ntype = '{kind}'\n{own}\n")
    };
    KINDS.iter().map(|kind| entry(kind.name)).collect()
}

/// Puts what was masked back in its place.
fn unmask(shown: &mut Value, written: &Value) {
    match shown {
        Value::String(text) if text.contains(MASK) => *shown = written.clone(),
        Value::Object(entries) => {
            entries.iter_mut().for_each(|(key, value)| unmask(value, &written[key]));
        }
        Value::Array(values) => {
            values.iter_mut().enumerate().for_each(|(n, value)| unmask(value, &written[n]));
        }
        _ => {}
    }
}

#[test]
fn what_is_shown_is_a_configuration_that_says_the_same() {
    for text in [example(), shown(), least(), SECRETS.to_owned()] {
        let loaded = parse(&text);
        let mut again: Value = toml::from_str(&loaded.shown.to_string()).unwrap();
        unmask(&mut again, &toml::from_str(&text).unwrap());
        let again = parse(&toml::to_string(&again).unwrap()).config;
        let before = loaded.config;
        assert_eq!(before.changed_tables(&again), [] as [&str; 0]);
        assert_eq!(format!("{before:#?}"), format!("{again:#?}"));
        for (before, again) in before.sinks.iter().zip(&again.sinks) {
            assert!(before.opens_as(again), "{}", before.name);
        }
    }
}

#[test]
fn every_key_is_shown_with_its_value_or_as_not_set() {
    let all: Vec<(String, Vec<&str>)> = config::outline()
        .into_iter()
        .filter(|(table, _)| *table != "sinks")
        .map(|(table, keys)| (table.to_owned(), keys.to_vec()))
        .collect();
    let outline = config::outline();
    let (_, common) = outline.last().unwrap();
    for text in [least(), shown()] {
        let ShownConfig { tables, .. } = parse(&text).shown;
        assert_eq!(tables.len(), all.len() + KINDS.len());
        for (table, (name, keys)) in tables.iter().zip(&all) {
            let shown: Vec<_> = table.keys.iter().map(|key| key.key.as_str()).collect();
            assert_eq!(&table.table, name);
            assert!(shown == *keys || table.unset.is_some(), "{name}: {shown:?}");
        }
        let lines: Vec<_> = text.lines().collect();
        for table in &tables[all.len()..] {
            let kind = table.keys.iter().find(|key| key.key == "type").unwrap();
            let kind = KINDS.iter().find(|it| kind.value == Some(it.name.into())).unwrap();
            let shown: Vec<_> = table.keys.iter().map(|key| key.key.as_str()).collect();
            assert_eq!(shown, [common, (kind.keys)()].concat(), "{}", kind.name);
        }
        for (table, key) in tables.iter().flat_map(|it| it.keys.iter().map(move |key| (it, key))) {
            let at = format!("{} {}", table.table, key.key);
            // What is not set says what holds instead, and only that.
            assert_eq!(key.unset.is_some(), key.value.is_none(), "{at}");
            let Some(line) = key.line else { continue };
            assert!(lines[line - 1].starts_with(&format!("{} = ", key.key)), "{at}: {line}");
        }
    }
}

fn show(text: &str, arguments: &[&str]) -> (String, Ended) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sprited.toml");
    std::fs::write(&path, text).unwrap();
    let mut command = sprited();
    let command = command.args(["config", "show", "--config"]).arg(&path).args(arguments);
    (path.display().to_string(), ended(command))
}

#[test]
fn each_value_names_its_line_and_no_secret_is_shown() {
    let (path, said) = show(SECRETS, &[]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert!(!said.out.contains("hunter2") && said.out.is_ascii(), "{}", said.out);
    insta::assert_snapshot!(said.out.replace(&path, "/etc/sprited/sprited.toml"), @r#"
    # /etc/sprited/sprited.toml, with defaults and without secrets; a `command` is shown as it is

    [credentials]
    secret_id = "********"                                    # line 3
    secret_key = { env = "KEY" }                              # line 4
    token = "********"                                        # line 5
    role_arn = "qcs::cam::uin/100000000001:roleName/sprited"  # line 6
    # role_session_name is not set: with role_arn it is "sprited"
    # role_duration is not set: with role_arn it is "2h"
    # sts_endpoint is not set: with role_arn it is "https://sts.tencentcloudapi.com"

    [vod]
    endpoint = "https://vod.tencentcloudapi.com"  # default
    # sub_app_id is not set: the primary application
    pull = true                                   # default
    max_answer_size = "16MiB"                     # default

    [receive]
    listen = "127.0.0.1:9772"               # default
    token = "********"                      # line 9
    # previous_token is not set: no second token
    sign_key = { credential = "sign_key" }  # line 10
    previous_sign_key = "********"          # line 11
    verify = "require"                      # default
    max_body = "16MiB"                      # default
    max_connections = 256                   # default

    [reconcile]
    every = "off"                 # default
    lookback = "6h"               # default
    settle = "10m"                # default
    max_requests_per_second = 10  # default

    [poll]
    interval = "1m 30s"            # line 14
    max_concurrency = 32           # default
    max_requests_per_second = 100  # default

    [confirm]
    after = "delivery"      # default
    max_unconfirmed = 2000  # default
    lease = "30s"           # default

    [journal]
    path = "/var/lib/sprited/journal.db"  # default
    retention = "14d"                     # default
    max_size = "16GiB"                    # default

    [http]
    listen = "127.0.0.1:9770"  # default
    ready = "any"              # default
    sprites = "auto"           # default

    [log]
    level = "info"   # default
    format = "auto"  # default

    [[sinks]]
    name = "site"                         # line 17
    type = "webhook"                      # line 18
    # after is not set: no other sink is waited for
    # on is not set: with after it is "settled"
    events = ["image-sprite"]             # default
    format = "cloudevents"                # default
    give_up_after = "3d"                  # default
    max_rejects = 20                      # default
    timeout = "10s"                       # default
    url = "https://example.com/********"  # line 19
    secret = "********"                   # line 20
    # previous_secret is not set: no second secret
    headers = { authorization = "********", x-key = { file = "/etc/key" } }  # line 21
    max_in_flight = 32                    # default

    [[sinks]]
    name = "program"                                     # line 25
    type = "exec"                                        # line 26
    # after is not set: no other sink is waited for
    # on is not set: with after it is "settled"
    events = ["image-sprite"]                            # default
    format = "cloudevents"                               # default
    give_up_after = "3d"                                 # default
    max_rejects = 20                                     # default
    timeout = "10s"                                      # default
    command = ["/bin/true", "\U0000202e", "tab\\t \""]   # line 27
    env = { A_KEY = "********", B_KEY = { env = "B" } }  # line 28
    pass_env = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR"]  # default
    directory = "/"                                      # default
    max_in_flight = 1                                    # default
    otherwise = "retry"                                  # default
    "#);
    let (_, said) = show(SECRETS, &["--json"]);
    let json: ShownConfig = serde_json::from_str(&said.out).unwrap();
    assert!(!said.out.contains("hunter2") && said.code == 0, "{}", said.out);
    assert_eq!(json.tables, parse(SECRETS).shown.tables);
}

#[test]
fn a_file_with_mistakes_shows_them_and_nothing_else() {
    let (path, said) = show("[poll]\nintervall = '1s'\n", &[]);
    assert_eq!((said.code, said.out.as_str()), (78, ""));
    let lines: Vec<_> = said.err.lines().collect();
    assert!(
        lines[0].starts_with(&format!("sprited: {path}:1: no sink is configured")),
        "{lines:?}"
    );
    assert!(lines[1].starts_with(&format!("{path}:2: unknown key \"intervall\"")), "{lines:?}");
}

#[test]
fn without_a_daemon_there_is_nothing_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal.db");
    let text = format!("{}[journal]\npath = {journal:?}\n", least());
    let (_, said) = show(&text, &["--running"]);
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    assert!(said.err.contains("no daemon answers at "), "{}", said.err);
}
