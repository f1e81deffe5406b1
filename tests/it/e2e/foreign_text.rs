//! What the cloud, an event and the sinks say reaches logs and tables as text and as nothing else.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::daemon::Daemon;
use crate::cli::{Ended, ended, sprited};
use crate::local_server::{LocalServer, Reply, Request};
use crate::support::until;

/// What a terminal obeys or hides, what ends a line or a field, and what a page would obey.
const EVIL: &str = "MARK\nEVIL=1\r\x1b[2J\u{9b}31m\u{202e}\u{200b}\u{2028}\" x=\\ </script><b>";

/// A cloud and an endpoint for webhooks that say it wherever they can.
struct Site {
    folder: tempfile::TempDir,
    server: LocalServer,
}

impl Site {
    async fn new(format: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = LocalServer::start(answer).await;
        let url = server.url();
        let dir = folder.path().display();
        let config = format!(
            "[credentials]\nsecret_id = 'AKID'\nsecret_key = 'a-secret-key'\n\
             [vod]\nendpoint = '{url}'\nsub_app_id = 1500012345\n\
             [poll]\ninterval = '20ms'\n\
             [journal]\npath = '{dir}/journal.db'\n\
             [http]\nlisten = 'off'\n\
             [log]\nlevel = 'debug'\nformat = '{format}'\n\
             [[sinks]]\nname = 'hook'\ntype = 'webhook'\nurl = '{url}/hook'\nevents = ['*']\n\
             [[sinks]]\nname = 'script'\ntype = 'exec'\nevents = ['*']\n\
             command = ['/bin/sh', '-c', 'cat {dir}/evil >&2; exit 3']\n"
        );
        std::fs::write(folder.path().join("evil"), EVIL).unwrap();
        std::fs::write(folder.path().join("sprited.toml"), config).unwrap();
        Self { folder, server }
    }

    /// Runs the daemon until both sinks have refused the event and the cloud has said all.
    async fn run(&self, mut daemon: Daemon) -> String {
        let came = |is: fn(&Request) -> bool| {
            let server = &self.server;
            move || server.seen().iter().filter(|request| is(request)).count() >= 2
        };
        until(came(|request| request.target == "/hook")).await;
        until(came(is_pull)).await;
        let journal = self.folder.path().join("journal.db");
        let failed = || {
            let reader = sprited::journal::JournalReader::open(&journal).unwrap();
            let found = reader.list(&Default::default(), 10).unwrap();
            found.iter().any(|found| {
                let at = reader.sinks_of(found.id).unwrap();
                at.len() == 2 && at.iter().all(|at| at.attempts > 0)
            })
        };
        until(failed).await;
        daemon.signal(Signal::SIGTERM);
        daemon.ended_within(Duration::from_secs(30)).await;
        daemon.log()
    }

    fn sprited(&self, arguments: &[&str]) -> Ended {
        let config = self.folder.path().join("sprited.toml");
        ended(sprited().env("SPRITED_CONFIG", config).args(arguments))
    }
}

fn is_pull(request: &Request) -> bool {
    request.header("x-tc-action") == Some("PullEvents")
}

fn answer(request: &Request, number: usize) -> Reply {
    if request.target == "/hook" {
        return Reply::new(500, &[], EVIL.as_bytes());
    }
    let refused = json!({"Error": {"Code": EVIL, "Message": EVIL}, "RequestId": EVIL});
    // A name has no control characters, but it may have all the rest.
    let name = EVIL.replace(char::is_control, "");
    let event = json!({"EventHandle": "handle", "EventType": EVIL, "Other": EVIL,
        "CreateImageSpriteCompleteEvent": {"TaskId": format!("T{number}\u{202e}"), "FileId": name,
            "ErrCode": 1, "ErrCodeExt": EVIL, "Message": EVIL, "ImageSpriteUrlSet": [EVIL]}});
    let response = match number % 3 {
        _ if !is_pull(request) => refused,
        1 => json!({"EventSet": [event], "RequestId": EVIL}),
        2 => return Reply::new(502, &[], EVIL.as_bytes()),
        _ => refused,
    };
    Reply::json(&json!({ "Response": response }).to_string())
}

#[track_caller]
fn assert_intact(what: &str, text: &str) {
    assert!(text.contains("MARK"), "{what} is about something else: {text:?}");
    for line in text.lines() {
        assert!(!line.contains(sprited::sanitize::is_invisible), "{what}: {line:?}");
        assert!(!line.starts_with("EVIL"), "{what}: {line:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_log_format_stays_intact() {
    for format in ["logfmt", "json", "pretty"] {
        let site = Site::new(format).await;
        let log = site.run(Daemon::start(site.folder.path(), &["run"], &[])).await;
        assert_intact(format, &log);
        for line in log.lines() {
            let is_whole = match format {
                "logfmt" => line.starts_with("ts="),
                "json" => serde_json::from_str::<Value>(line).is_ok_and(|line| line.is_object()),
                _ => line.starts_with(|c: char| c.is_ascii_digit()),
            };
            assert!(is_whole, "{format}: {line:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_and_answer_stays_intact() {
    let site = Site::new("logfmt").await;
    site.run(Daemon::start(site.folder.path(), &["run"], &[])).await;
    let json = site.sprited(&["events", "list", "--json"]).out;
    let event: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    let key = event["key"].as_str().unwrap();
    for arguments in [
        &["events", "list"][..],
        &["events", "list", "--json"],
        &["events", "show", key],
        &["events", "show", key, "--json"],
        &["check"],
        &["check", "--json"],
    ] {
        let Ended { out, err, .. } = site.sprited(arguments);
        assert_intact(&arguments.join(" "), &(out.clone() + &err));
        if arguments.contains(&"--json") {
            let mut values = serde_json::Deserializer::from_str(&out).into_iter::<Value>();
            assert!(values.all(|value| value.is_ok()), "{arguments:?}: {out}");
        }
    }
    // In JSON, it is the same text for whoever reads it.
    let whole: Value =
        serde_json::from_str(&site.sprited(&["events", "show", key, "--json"]).out).unwrap();
    assert_eq!(whole["event"]["Other"], EVIL);
}

/// A journald of our own takes the place of the system's for the daemon alone.
#[tokio::test(flavor = "multi_thread")]
async fn journald_gets_each_value_as_one_field_and_all_in_the_message() {
    let site = Site::new("journald").await;
    let place = site.folder.path().join("journald");
    std::fs::create_dir(&place).unwrap();
    let socket = UnixDatagram::bind(place.join("socket")).unwrap();
    let reader = std::thread::spawn(move || {
        let mut entries: Vec<Vec<u8>> = Vec::new();
        let mut buffer = vec![0; 1024 * 1024];
        while let Ok(length) = socket.recv(&mut buffer) {
            match &buffer[..length] {
                // By an empty one it is asked whether it is there.
                b"" => {}
                b"that is all" => break,
                entry => entries.push(entry.to_vec()),
            }
        }
        entries
    });
    let mut command = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    let script = "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal && \
                  mount --bind \"$0\" /run/systemd/journal && exec \"$@\"";
    command.args(["--mount", "sh", "-c", script]).arg(&place).arg(env!("CARGO_BIN_EXE_sprited"));
    command.arg("run").env("SPRITED_CONFIG", site.folder.path().join("sprited.toml"));
    site.run(Daemon::spawn(command, site.folder.path())).await;
    UnixDatagram::unbound().unwrap().send_to(b"that is all", place.join("socket")).unwrap();
    let entries = reader.join().unwrap();
    let mut told = 0;
    for entry in &entries {
        let fields = fields(entry);
        let messages: Vec<_> = fields.iter().filter(|(name, _)| *name == "MESSAGE").collect();
        assert_eq!(messages.len(), 1);
        let message = &messages[0].1;
        assert!(!message.contains(sprited::sanitize::is_invisible), "{message:?}");
        for (name, value) in &fields {
            let Some(name) = name.strip_prefix("SPRITED_") else { continue };
            let quoted = format!("{value:?}");
            let mut shown = String::new();
            sprited::sanitize::escape(&quoted, |_| false, &mut shown);
            let name = name.to_lowercase();
            let is_there = [shown, value.clone()]
                .iter()
                .any(|value| message.contains(&format!(" {name}={value}")));
            assert!(is_there, "{message:?} lacks {name} = {value:?}");
        }
        for (name, value) in fields {
            assert_ne!(name, "EVIL");
            let is_plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
            assert!(!name.is_empty() && name.chars().all(is_plain), "{name:?}");
            told += usize::from(value.contains("MARK"));
        }
    }
    assert!(told > 0, "{} entries say nothing of it", entries.len());
    let mut all = entries.iter().flat_map(|entry| fields(entry));
    let started = all.find(|(name, text)| *name == "MESSAGE" && text.starts_with("started "));
    let (_, started) = started.unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert!(started.starts_with(&format!("started version={version} ")), "{started}");
    assert!(started.contains(" sinks="), "{started}");
}

/// Takes an entry of journald's protocol apart: `NAME=value` in a line, or a name in a line, eight
/// bytes of length, and the value.
fn fields(mut entry: &[u8]) -> Vec<(&str, String)> {
    let mut fields = Vec::new();
    while let Some(end) = entry.iter().position(|byte| *byte == b'\n') {
        let line = std::str::from_utf8(&entry[..end]).unwrap();
        entry = &entry[end + 1..];
        if let Some((name, value)) = line.split_once('=') {
            fields.push((name, value.to_owned()));
            continue;
        }
        let (length, rest) = entry.split_first_chunk::<8>().unwrap();
        let (value, rest) = rest.split_at(u64::from_le_bytes(*length).try_into().unwrap());
        fields.push((line, String::from_utf8(value.to_vec()).unwrap()));
        entry = rest.strip_prefix(b"\n").unwrap();
    }
    assert_eq!(entry, b"");
    fields
}
