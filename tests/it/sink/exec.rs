//! Programs, run for real.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sprited::event::{Event, EventFormat, EventOrigin};
use sprited::sinks::{Sink, Verdict};

use super::{context, event, offer, open, plan, retry_error, until};
use crate::cli::sprited;
use crate::docs;
use crate::emulator::{Server, settings};
use crate::support::data;

async fn shell(script: &str, more: &str) -> Arc<dyn Sink> {
    open("exec", &format!("command = ['/bin/sh', '-c', '''{script}''']\n{more}")).await
}

/// Whether the process whose id stands in the file is at work.
fn is_alive(file: &Path) -> bool {
    let id = std::fs::read_to_string(file).unwrap();
    let about = std::fs::read_to_string(format!("/proc/{}/stat", id.trim()));
    about.is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim().starts_with('Z'))
}

fn has_content(file: &Path) -> bool {
    std::fs::read_to_string(file).is_ok_and(|text| text.ends_with('\n'))
}

#[tokio::test]
async fn the_exit_code_decides() {
    let sent = event("a");
    let ask = async |script: &str, more: &str| offer(&*shell(script, more).await, &sent).await;
    assert_eq!(ask("exit 0", "").await, Verdict::Delivered);
    for (script, says) in [
        ("exit 75", "exit code 75"),
        ("echo no >&2; exit 1", "exit code 1: no"),
        ("kill -9 $$", "signal 9"),
    ] {
        for more in ["", "otherwise = 'reject'"] {
            let verdict = ask(script, more).await;
            match &verdict {
                Verdict::Reject(error) if script.ends_with("exit 1") && !more.is_empty() => {
                    assert!(error.contains(says), "{error}");
                }
                verdict => {
                    assert!(retry_error(verdict).contains(says), "{verdict:?}");
                    assert!(more.is_empty() || !script.ends_with("exit 1"), "{verdict:?}");
                }
            }
        }
    }
    let missing = open("exec", "command = ['/no/such/program']\notherwise = 'reject'").await;
    let verdict = offer(&*missing, &sent).await;
    assert!(retry_error(&verdict).contains("/no/such/program"), "{verdict:?}");
    assert!(missing.probe().await.is_err());
}

#[tokio::test]
async fn a_file_that_is_no_program_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    for (text, is_told) in [("", true), ("echo hi\n", true), ("#!/bin/sh\nexit 0\n", false)] {
        let path = folder.path().join("program");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let sink = open("exec", &format!("command = [{path:?}]")).await;
        sink.probe().await.unwrap();
        let warnings = sink.warnings().await;
        assert_eq!(warnings.len(), usize::from(is_told), "{text:?}: {warnings:?}");
        assert!(warnings.iter().all(|warning| warning.contains(path.to_str().unwrap())));
    }
    let sink = open("exec", "command = ['/bin/true']").await;
    assert_eq!(sink.warnings().await, [] as [String; 0]);
}

/// The kernel does not kill such a program with the daemon. Only root can give a file away.
#[tokio::test]
async fn a_program_that_would_outlive_a_killed_daemon_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("program");
    let is_root = nix::unistd::geteuid().is_root();
    for (owner, mode, is_told) in [
        (None, 0o4755, false),
        (None, 0o2755, false),
        (Some(65534), 0o755, false),
        (Some(65534), 0o4755, true),
        (Some(65534), 0o2755, true),
        (Some(65534), 0o2745, false),
    ] {
        std::fs::write(&path, "#!/bin/sh\nexit 0\n").unwrap();
        if owner.is_some() && !is_root {
            continue;
        }
        std::os::unix::fs::chown(&path, owner, owner).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let sink = open("exec", &format!("command = [{path:?}]")).await;
        let warnings = sink.warnings().await.join("\n");
        assert_eq!(
            warnings.contains("survives a daemon that is killed"),
            is_told,
            "{mode:o}: {warnings}"
        );
        std::fs::remove_file(&path).unwrap();
    }
}

#[tokio::test]
async fn a_program_that_cannot_be_run_is_told_from_one_that_fails() {
    let folder = tempfile::tempdir().unwrap();
    let script = |name: &str, text: &str, mode: u32| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let sent = event("a");
    let absent = "os error 2) (do the program, its interpreter and directory exist?)";
    for (program, more, says) in [
        ("/no/such/program".to_owned(), "", absent),
        (script("no-interpreter", "#!/no/such/shell\n", 0o755), "", absent),
        ("/bin/true".to_owned(), "directory = '/no/such/folder'", absent),
        (
            script("no-program", "#!/bin/sh\n", 0o644),
            "",
            "os error 13) (may this user execute it?)",
        ),
        (
            script("nothing", "", 0o755),
            "",
            "os error 8) (is it a script without #! and an interpreter?)",
        ),
    ] {
        let settings = format!("command = [{program:?}]\notherwise = 'reject'\n{more}");
        let verdict = offer(&*open("exec", &settings).await, &sent).await;
        let error = retry_error(&verdict);
        assert!(error.starts_with(&format!("cannot run {program}: ")), "{error}");
        assert!(error.ends_with(says), "{error}");
    }
    // Its own words for it, and its own codes.
    for code in [75, 126, 127] {
        let said = "0123456789abcdef0123456789abcdef 2";
        let sink = shell(&format!("echo {said} >&2; exit {code}"), "").await;
        let verdict = offer(&*sink, &sent).await;
        let error = retry_error(&verdict);
        assert_eq!(error, format!("/bin/sh ended with exit code {code}: {said}"));
    }
}

/// What the kernel has been asked for too late is seen by whose child it is.
#[test]
fn a_launcher_whose_daemon_has_ended_runs_nothing() {
    let launch = |parent: u32| {
        let parent = parent.to_string();
        let words = ["--launch-program-of-exec-sink", &parent, "token", "/", "/bin/echo", "ran"];
        crate::cli::ended(sprited().args(words))
    };
    let ran = launch(std::process::id());
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "ran\n", ""));
    let refused = launch(1);
    assert_eq!((refused.code, refused.out.as_str()), (75, ""));
    let without = crate::cli::ended(sprited().arg("--launch-program-of-exec-sink"));
    assert_eq!((without.code, without.out.as_str()), (75, ""));
}

#[tokio::test]
async fn a_program_starts_as_if_nothing_stood_between() {
    let folder = tempfile::tempdir().unwrap();
    // Its name, folder, group, signals, open files, limits and parent.
    let script = format!(
        r#"(tr "\000" " " < /proc/$$/cmdline; pwd; cut -d" " -f5 /proc/$$/stat | sed "s/^$$\$/leads/"
        grep -e SigBlk -e SigIgn -e Groups /proc/$$/status; ls /proc/$$/fd; cat /proc/$$/limits
        echo $PPID) > {}/$SPRITED_SINK"#,
        folder.path().display()
    );
    let sink = shell(&script, "directory = '/usr'").await;
    assert_eq!(offer(&*sink, &event("a")).await, Verdict::Delivered);
    let mut direct = std::process::Command::new("/bin/sh");
    direct.args(["-c", &script]).env("SPRITED_SINK", "direct").current_dir("/usr").process_group(0);
    direct.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    assert!(direct.status().unwrap().success());
    let [told, direct] =
        ["exec", "direct"].map(|name| std::fs::read_to_string(folder.path().join(name)).unwrap());
    assert_eq!(told, direct);
    assert!(told.contains("\nleads\n"), "{told}");
}

#[tokio::test]
async fn every_exit_code_means_what_the_documents_say() {
    let sent = event("a");
    let (delivers, tries_again) = docs::tables::exit_codes();
    for code in [0, 1, 2, 64, 65, 74, 75, 76, 77, 78, 126, 255] {
        for otherwise in ["retry", "reject"] {
            let script = format!("exit {code}");
            let sink = shell(&script, &format!("otherwise = '{otherwise}'")).await;
            let verdict = offer(&*sink, &sent).await;
            let is = (
                code == delivers,
                otherwise == "reject" && ![delivers, tries_again].contains(&code),
            );
            let becomes = (verdict == Verdict::Delivered, matches!(verdict, Verdict::Reject(_)));
            assert_eq!(is, becomes, "{code}, {otherwise}: {verdict:?}");
        }
    }
}

#[tokio::test]
async fn the_event_comes_on_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("event");
    let sink = open("exec", &format!("command = ['/usr/bin/tee', {file:?}]")).await;
    let sent = event("line\nend");
    assert_eq!(offer(&*sink, &sent).await, Verdict::Delivered);
    let mut line = Vec::new();
    sent.render(EventFormat::CloudEvents, &mut line);
    line.push(b'\n');
    assert_eq!(std::fs::read(&file).unwrap(), line);
}

#[tokio::test]
async fn the_environment_is_a_list_of_what_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("environment");
    // Without a shell, which would add variables of its own.
    let of = format!("of={}", file.display());
    let command = format!("command = ['/bin/dd', 'if=/proc/self/environ', {of:?}]");
    let settings =
        format!("{command}\npass_env = ['PATH', 'NO_SUCH_NAME']\nenv = {{ KEY = 'x y' }}");
    let sent = event("a");
    assert_eq!(offer(&*open("exec", &settings).await, &sent).await, Verdict::Delivered);
    let text = std::fs::read_to_string(&file).unwrap();
    let variables: BTreeSet<&str> = text.split_terminator('\0').collect();
    let path = format!("PATH={}", std::env::var("PATH").unwrap());
    let key = format!("SPRITED_EVENT_KEY={}", sent.key);
    let expected = ["KEY=x y", &path, &key, "SPRITED_EVENT_TYPE=FileDeleted", "SPRITED_SINK=exec"];
    assert_eq!(variables, BTreeSet::from(expected));

    assert_eq!(offer(&*open("exec", &command).await, &sent).await, Verdict::Delivered);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("PATH=") && !text.contains("CARGO"), "{text}");

    let posted = Arc::new(Event { origin: EventOrigin::Callback, ..Event::clone(&sent) });
    assert_eq!(offer(&*open("exec", &command).await, &posted).await, Verdict::Delivered);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.split('\0').any(|variable| variable == "SPRITED_EVENT_ORIGIN=callback"), "{text}");
}

#[tokio::test]
async fn a_type_that_no_variable_can_hold_does_not_stop_the_event() {
    let mut odd = (*event("a")).clone();
    odd.event_type = format!("a\0b{}", "x".repeat(300_000));
    let sink = shell("test ${#SPRITED_EVENT_TYPE} -lt 5000", "").await;
    assert_eq!(offer(&*sink, &Arc::new(odd)).await, Verdict::Delivered);
}

#[tokio::test]
async fn neither_side_waits_for_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("event");
    let sent = event(&"x".repeat(2 * 1024 * 1024));
    for script in [
        format!(
            "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2; cat > {}",
            file.display()
        ),
        "exit 0".to_owned(),
        "exec <&-; sleep 0.2".to_owned(),
        "head -c 1 > /dev/null; head -c 1000000 /dev/zero".to_owned(),
    ] {
        assert_eq!(offer(&*shell(&script, "").await, &sent).await, Verdict::Delivered, "{script}");
    }
    let mut line = Vec::new();
    sent.render(EventFormat::CloudEvents, &mut line);
    assert_eq!(std::fs::metadata(&file).unwrap().len(), line.len() as u64 + 1);
}

#[tokio::test]
async fn a_process_left_behind_is_not_waited_for() {
    let start = Instant::now();
    let sink = shell("sleep 9 & exit 0", "").await;
    assert_eq!(offer(&*sink, &event("a")).await, Verdict::Delivered);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test]
async fn the_timeout_kills_the_whole_group() {
    let folder = tempfile::tempdir().unwrap();
    let (child, grandchild) = (folder.path().join("child"), folder.path().join("grandchild"));
    let script = format!(
        "echo $$ > {}; sleep 300 & echo $! > {}; echo waiting; wait",
        child.display(),
        grandchild.display()
    );
    let mut context = context("run");
    context.timeout = Duration::from_millis(700);
    let plan = plan("exec", &format!("command = ['/bin/sh', '-c', '''{script}''']"));
    let sink = plan.open(&context).await.unwrap();
    let verdict = offer(&*sink, &event("a")).await;
    assert!(retry_error(&verdict).contains("killed after 700ms: waiting"), "{verdict:?}");
    assert!(!is_alive(&child), "the child is reaped before the answer");
    until("the grandchild is gone", || !is_alive(&grandchild)).await;
}

#[tokio::test]
async fn a_dropped_delivery_kills_the_whole_group() {
    let folder = tempfile::tempdir().unwrap();
    let (child, grandchild) = (folder.path().join("child"), folder.path().join("grandchild"));
    let script = format!(
        "echo $$ > {}; sleep 300 & echo $! > {}; wait",
        child.display(),
        grandchild.display()
    );
    let sink = shell(&script, "").await;
    let sent = event("a");
    tokio::select! {
        _ = offer(&*sink, &sent) => panic!("it should still be at work"),
        () = until("both are at work", || has_content(&child) && has_content(&grandchild)) => {}
    }
    until("both are gone", || !is_alive(&child) && !is_alive(&grandchild)).await;
}

#[tokio::test]
async fn secrets_are_masked_and_read_again_on_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "hunter2").unwrap();
    let sink = shell(
        "echo says $KEY; printf \"\\033[31m\"; test \"$KEY\" = other",
        &format!("env = {{ KEY = {{ file = {file:?} }} }}"),
    )
    .await;
    let verdict = offer(&*sink, &event("a")).await;
    assert!(retry_error(&verdict).ends_with(r"says [secret]\n\u{1b}[31m"), "{verdict:?}");
    std::fs::write(&file, "other").unwrap();
    sink.reopen().await.unwrap();
    assert_eq!(offer(&*sink, &event("a")).await, Verdict::Delivered);
}

#[tokio::test]
async fn a_status_within_the_limit_stands_whoever_holds_the_output() {
    let mut context = context("run");
    // Shorter than the time in which the rest of the output is waited for.
    context.timeout = Duration::from_millis(90);
    let plan = plan("exec", "command = ['/bin/sh', '-c', 'sleep 9 & exit 0']");
    let sink = plan.open(&context).await.unwrap();
    let sent = event("a");
    let deadline = Instant::now() + Duration::from_secs(20);
    // On a machine with much to do the program itself can be late.
    while offer(&*sink, &sent).await != Verdict::Delivered {
        assert!(Instant::now() < deadline, "a program that ended with 0 was never believed");
    }
}

/// A daemon, killed if the test ends before it.
struct Daemon(std::process::Child);

impl Daemon {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().cast_signed()), signal).unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Fails where it has ended, as it should have.
        self.0.kill().ok();
        self.0.wait().unwrap();
    }
}

#[tokio::test]
async fn a_second_signal_leaves_no_program_behind() {
    let server = Server::start(settings()).await;
    server.control.add(&data("create_image_sprite_complete.success.json")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (child, grandchild) = (folder.path().join("child"), folder.path().join("grandchild"));
    let (config, log) = (folder.path().join("sprited.toml"), folder.path().join("log"));
    let script = format!(
        "echo $$ > {}; sleep 300 & echo $! > {}; wait",
        child.display(),
        grandchild.display()
    );
    let text = format!(
        "credentials = {{ secret_id = 'AKIDEMULATOR', secret_key = 'emulator-secret-key' }}\n\
         vod = {{ endpoint = '{}', sub_app_id = 1500012345 }}\nhttp = {{ listen = 'off' }}\n\
         journal = {{ path = {:?} }}\n[[sinks]]\nname = 'run'\ntype = 'exec'\ntimeout = '5m'\n\
         command = ['/bin/sh', '-c', '{script}']\n",
        server.url,
        folder.path().join("journal.db"),
    );
    std::fs::write(&config, text).unwrap();
    let mut command = sprited();
    for proxy in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(proxy);
    }
    command.args(["run", "--config"]).arg(&config).stdout(std::process::Stdio::null());
    command.stderr(std::fs::File::create(&log).unwrap());
    let mut daemon = Daemon(command.spawn().unwrap());
    until("the program is at work", || has_content(&child) && has_content(&grandchild)).await;
    daemon.signal(Signal::SIGTERM);
    let says = |what: &str| std::fs::read_to_string(&log).unwrap().contains(what);
    until("the daemon stops", || says("stopping")).await;
    assert!(is_alive(&child), "a program gets its time");
    let mut ended = None;
    until("the daemon has ended", || {
        // Again and again: within a second of the first it is taken for that one.
        daemon.signal(Signal::SIGTERM);
        ended = daemon.0.try_wait().unwrap();
        ended.is_some()
    })
    .await;
    assert_eq!(ended.unwrap().code(), Some(128 + Signal::SIGTERM as i32));
    until("both are gone", || !is_alive(&child) && !is_alive(&grandchild)).await;
}
