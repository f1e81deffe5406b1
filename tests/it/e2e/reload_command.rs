//! `sprited reload` and `config show --running` beside a daemon, and the unit's ExecReload.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::{chown, geteuid};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::daemon::PROGRAM;
use super::receiver::{Answer, Receiver};
use super::reload::Load;
use super::service::Manager;
use super::{Site, file, until};
use crate::cli::{Ended, ended, sprited};

/// The user that stands for the service's.
const NOBODY: u32 = 65534;
const STAYS: &str = "sprited: not reloaded: the previous configuration stays active";

impl Site {
    /// Runs the command beside the daemon.
    async fn beside(&self, arguments: &[&str]) -> Ended {
        let mut command = sprited();
        command.args(arguments).env("SPRITED_CONFIG", self.path("sprited.toml"));
        spawn_blocking(move || ended(&mut command)).await.unwrap()
    }

    async fn is_asked(&self) {
        until(async || self.path("journal.db.sock").exists()).await;
    }
}

#[tokio::test]
async fn the_verdict_is_printed_and_is_the_exit_code() {
    let other = Receiver::start(Answer::Take).await;
    let site = Site::new(&file("sprites", "*")).await;
    let said = site.beside(&["reload"]).await;
    assert_eq!(said.code, 1);
    assert!(said.err.contains("no daemon answers at "), "{}", said.err);
    let daemon = site.start();
    site.is_asked().await;
    let name = site.path("sprited.toml").display().to_string();

    let said = site.beside(&["reload"]).await;
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert_eq!(said.out, format!("reloaded {name}: nothing has changed\n"));

    site.edit("interval = '20ms'", "interval = '30ms'");
    site.set_sinks(&[file("sprites", "image-sprite"), other.sink("hook", "")].concat());
    let said = site.beside(&["reload"]).await;
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    let parts = "  sinks added:    hook\n  sinks changed:  sprites\n  tables changed: poll\n";
    assert_eq!(said.out, format!("reloaded {name}\n{parts}"));
    site.set_sinks(&file("sprites", "image-sprite"));
    let verdict =
        json!({ "added": [], "removed": ["hook"], "changed": [], "tables": [], "mistakes": [] });
    let said = site.beside(&["reload", "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&said.out).unwrap(), verdict);

    // What the file shows by itself: the daemon is not asked.
    let before = daemon.metric("sprited_reloads_total{outcome=\"failed\"}").await;
    site.edit("interval = '30ms'", "intervall = '30ms'");
    let said = site.beside(&["reload"]).await;
    assert_eq!((said.code, said.out.as_str()), (78, ""));
    let lines: Vec<_> = said.err.lines().collect();
    assert!(
        lines[0].contains("unknown key \"intervall\"") && lines[0].contains(&name),
        "{lines:?}"
    );
    assert_eq!(lines[1..], [STAYS]);
    let said = site.beside(&["reload", "--json"]).await;
    let verdict: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.code, verdict["mistakes"].as_array().unwrap().len()), (78, 1));
    site.edit("intervall = '30ms'", "interval = '30ms'");
    assert_eq!(daemon.metric("sprited_reloads_total{outcome=\"failed\"}").await, before);

    // What the daemon alone knows.
    site.edit("listen = '127.0.0.1:0'", "listen = 'off'");
    let said = site.beside(&["reload"]).await;
    assert_eq!((said.code, said.out.as_str()), (78, ""));
    let why = "sprited: [http] listen: a change needs a restart";
    assert_eq!(said.err, format!("{why}\n{STAYS}\n"));

    // Another file that finds the same daemon.
    site.edit("listen = 'off'", "listen = '127.0.0.1:0'");
    let other = site.path("other.toml");
    fs::copy(site.path("sprited.toml"), &other).unwrap();
    let other = other.display().to_string();
    let said = site.beside(&["reload", "--config", &other]).await;
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    assert_eq!(said.err, format!("sprited: the daemon runs with {name}, not with {other}\n"));
    daemon.stop().await;
}

#[tokio::test]
async fn what_is_in_force_is_shown_until_a_reload_replaces_it() {
    let site = Site::new(&file("sprites", "*")).await;
    let daemon = site.start();
    site.is_asked().await;
    let of_file = site.beside(&["config", "show"]).await.out;
    let said = site.beside(&["config", "show", "--running"]).await;
    assert_eq!((said.code, said.err.as_str(), &said.out), (0, "", &of_file));

    site.edit("interval = '20ms'", "interval = '31ms'");
    let said = site.beside(&["config", "show", "--running"]).await;
    let name = site.path("sprited.toml").display().to_string();
    let hint = format!("sprited: {name} has changed since; sprited reload applies it\n");
    assert_eq!((said.code, said.err, &said.out), (0, hint, &of_file));
    let said = site.beside(&["config", "show", "--running", "--json"]).await;
    let json: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&json["has_changed"], &json["file"]), (&json!(true), &json!(name)));

    assert_eq!(site.beside(&["reload"]).await.code, 0);
    let said = site.beside(&["config", "show", "--running"]).await;
    assert!(said.err.is_empty() && said.out.contains("interval = \"31ms\""), "{}", said.out);
    // A reload that is rejected leaves it as it is, and so does a file with mistakes.
    site.edit("interval = '31ms'", "intervall = '31ms'");
    daemon.reload().await;
    let again = site.beside(&["config", "show", "--running"]).await;
    assert_eq!((again.code, again.out), (0, said.out));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_ask_at_once_are_answered_one_after_the_other() {
    let site = Site::new(&file("sprites", "*")).await;
    let daemon = site.start();
    site.is_asked().await;
    site.edit("interval = '20ms'", "interval = '30ms'");
    let asked: Vec<_> = (0..6)
        .map(|_| {
            let mut command = sprited();
            command.args(["reload", "--json"]).env("SPRITED_CONFIG", site.path("sprited.toml"));
            spawn_blocking(move || ended(&mut command))
        })
        .collect();
    let mut changed = 0;
    for asked in asked {
        let Ended { code, out, err } = asked.await.unwrap();
        assert_eq!(code, 0, "{err}");
        let verdict: Value = serde_json::from_str(&out).unwrap();
        changed += verdict["tables"].as_array().unwrap().len();
    }
    assert_eq!(changed, 1, "one of them found the change");
    assert_eq!(daemon.logged("reloaded: nothing has changed").len(), 5);
    daemon.stop().await;
}

/// The key is in a pipe into which nobody writes: the reload waits, and so does whoever asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_while_a_reload_waits_is_its_answer() {
    let site = Site::new(&file("sprites", "*")).await;
    let mut daemon = site.start();
    site.is_asked().await;
    fs::remove_file(site.path("key")).unwrap();
    nix::unistd::mkfifo(&site.path("key"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut command = sprited();
    command.arg("reload").env("SPRITED_CONFIG", site.path("sprited.toml"));
    let asked = spawn_blocking(move || ended(&mut command));
    // It can be opened so only while the reload reads it.
    let open = || {
        let mut options = fs::OpenOptions::new();
        options.write(true).custom_flags(nix::libc::O_NONBLOCK).open(site.path("key")).ok()
    };
    let writer = RefCell::new(None);
    until(async || {
        *writer.borrow_mut() = open();
        writer.borrow().is_some()
    })
    .await;
    daemon.signal(Signal::SIGTERM);
    let said = asked.await.unwrap();
    assert_eq!((said.code, said.err.as_str()), (1, "sprited: the daemon is stopping\n"));
    drop(writer);
    assert_eq!(daemon.ended_within(Duration::from_secs(25)).await, 0);
}

/// Gives the folders to the service's user: another one, where the test may do that.
fn service_user(folders: &[&Path]) -> u32 {
    if !geteuid().is_root() {
        return geteuid().as_raw();
    }
    for folder in folders {
        let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        for path in files.chain([folder.to_path_buf()]) {
            chown(&path, Some(NOBODY.into()), Some(NOBODY.into())).unwrap();
        }
    }
    NOBODY
}

/// The command of a unit's ExecReload, with this site's file.
fn exec_reload(site: &Site, unit: &str, user: u32) -> Command {
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecReload=")).unwrap();
    let words: Vec<_> = line.split_whitespace().collect();
    let [program, command, "--config", path] = words[..] else { panic!("{line}") };
    assert_eq!((program, command), ("/usr/bin/sprited", "reload"));
    assert!(path.starts_with("/etc/sprited/"), "{path}");
    let mut reload = Command::new(PROGRAM);
    // What systemd gives it: its user, the daemon's process, and here no credentials.
    reload.uid(user).gid(user).env_clear().env("MAINPID", "1");
    reload.args([command, "--config"]).arg(site.path("sprited.toml"));
    reload
}

/// As systemd does it: the unit's command beside the daemon, which says when a reload begins and ends,
/// while events flow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_units_reload_fails_when_the_reload_does() {
    let units = [
        include_str!("../../../systemd/sprited.service"),
        include_str!("../../../systemd/sprited@.service"),
    ];
    let hook = Receiver::start(Answer::Take).await;
    let credentials = tempfile::tempdir().unwrap();
    fs::write(credentials.path().join("secret_key"), "emulator-secret-key\n").unwrap();
    let site = Site::new(&[file("sprites", "*"), hook.sink("hook", "")].concat()).await;
    // Only the service itself has it.
    let key = format!("{{ file = '{}' }}", site.path("key").display());
    site.edit(&key, "{ credential = 'secret_key' }");
    let user = service_user(&[site.folder.path(), credentials.path()]);
    let mut command = Command::new("env");
    command.arg(format!("CREDENTIALS_DIRECTORY={}", credentials.path().display()));
    command.args([PROGRAM, "run"]).uid(user).gid(user);
    let (mut manager, mut daemon) = Manager::spawn(&site, command);
    // A reload is possible at once then.
    manager.hears("READY=1").await;
    let load = Load::start(&site);
    load.goes_on(20).await;
    for (unit, turn) in units.iter().cycle().take(6).zip(1..) {
        // So that there is room for more.
        manager.heard_by_now().await;
        let reload = |site: &Site| {
            let mut command = exec_reload(site, unit, user);
            spawn_blocking(move || ended(&mut command))
        };
        site.set_sinks(
            &[file("sprites", "*"), hook.sink("hook", &format!("give_up_after = '{turn}h'"))]
                .concat(),
        );
        let said = reload(&site).await.unwrap();
        assert_eq!((said.code, said.err.as_str()), (0, ""));
        assert!(said.out.ends_with("\n  sinks changed:  hook\n"), "{}", said.out);
        // Before the command has ended, so that the unit is as it was then.
        assert_eq!(manager.heard_by_now().await, ["RELOADING=1", "READY=1"]);
        load.goes_on(20).await;

        // A mistake that the command finds, and one that the daemon finds.
        for (good, bad, told) in [
            ("interval = '20ms'", "interval = 20", vec![]),
            ("format = 'json'", "format = 'pretty'", vec!["RELOADING=1", "READY=1"]),
        ] {
            site.edit(good, bad);
            let said = reload(&site).await.unwrap();
            assert_eq!((said.code, said.out.as_str()), (78, ""), "{}", said.err);
            assert!(said.err.ends_with(&format!("{STAYS}\n")), "{}", said.err);
            assert_eq!(manager.heard_by_now().await, told);
            site.edit(bad, good);
        }
        load.goes_on(20).await;
    }
    assert!(daemon.runs());
    let count = load.end().await;
    site.drained().await;
    until(async || hook.taken().len() >= count).await;
    hook.assert_once(count);
    site.assert_once("sprites.jsonl", count);
    daemon.stop().await;
}
