//! Programs of exec sinks: what they get to see of the daemon, and that none outlives it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use sprited::journal::EventState;

use super::daemon::{Daemon, PROGRAM};
use super::secrets::exposed::Nobody;
use super::{Site, file};
use crate::support::until;

/// A sink that has a shell read this script; `DIR` in it is the site's folder.
fn shell(script: &str) -> String {
    format!(
        "[[sinks]]\nname = 'program'\ntype = 'exec'\ntimeout = '60s'\n\
         command = ['/bin/sh', '-c', '''{script}''']\n"
    )
}

/// Whether the process is at work, not only waiting to be reaped.
fn is_alive(id: &str) -> bool {
    let about = fs::read_to_string(format!("/proc/{id}/stat"));
    about.is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim().starts_with('Z'))
}

/// A line that a program has written whole.
fn line(site: &Site, name: &str) -> Option<String> {
    let text = fs::read_to_string(site.path(name)).ok()?;
    Some(text.strip_suffix('\n')?.to_owned())
}

#[tokio::test]
async fn a_daemon_that_is_killed_takes_its_programs_with_it() {
    // By the thread that serves all sinks for as long as the daemon lives: two sinks, several runs.
    let site = Site::new(
        &(shell("echo $$ > DIR/id; sleep 3; echo late > DIR/late")
            + &shell("echo $$ >> DIR/others; exit 75").replace("'program'", "'other'")),
    )
    .await;
    site.add_sprites(1);
    let mut daemon = site.start();
    until(|| line(&site, "id").is_some() && line(&site, "others").is_some()).await;
    let id = line(&site, "id").unwrap();
    assert!(is_alive(&id));
    daemon.signal(Signal::SIGKILL);
    daemon.ended_within(Duration::from_secs(5)).await;
    until(|| !is_alive(&id)).await;
    // Had it been left alone, it would have ended by its line.
    assert!(!site.path("late").exists(), "it has outlived the daemon");
    assert_eq!(site.journaled(Some(EventState::Pending)).len(), 1);
}

/// The threads of the runtime that start things end when they have nothing to do for ten seconds,
/// and a program goes with the thread that started it.
#[tokio::test]
async fn a_program_that_takes_long_is_left_alone_for_as_long_as_the_daemon_lives() {
    let site = Site::new(&shell("sleep 13; echo done > DIR/done")).await;
    site.add_sprites(1);
    let daemon = site.start();
    site.drained().await;
    assert_eq!(line(&site, "done").as_deref(), Some("done"));
    assert!(!daemon.log().contains("signal 9"), "{}", daemon.log());
    daemon.stop().await;
}

#[tokio::test]
async fn a_program_starts_from_a_daemon_whose_own_file_was_replaced() {
    let site = Site::new(&shell("echo done > DIR/done")).await;
    let program = site.path("sprited");
    // Not a copy: what was just written is busy as long as a child that is being started has it open.
    fs::hard_link(PROGRAM, &program).or_else(|_| fs::copy(PROGRAM, &program).map(drop)).unwrap();
    let mut command = Command::new(&program);
    command.arg("run").env_clear().env("SPRITED_CONFIG", site.path("sprited.toml"));
    let daemon = Daemon::spawn(command, site.folder.path());
    daemon.has_logged("started").await;
    fs::remove_file(&program).unwrap();
    fs::write(&program, "#!/bin/sh\nexit 1\n").unwrap();
    site.add_sprites(1);
    site.drained().await;
    assert_eq!(line(&site, "done").as_deref(), Some("done"));
    daemon.stop().await;
}

/// Looks for a secret at every place where the daemon could have left it.
const LOOK: &str = r#"
    for place in environ mem maps; do
      (: < /proc/$PPID/$place) 2> /dev/null && echo "can open $place"
    done
    ls /proc/$PPID/fd > /dev/null 2>&1 && echo "can see what is open"
    tr "\000" "\n" < /proc/self/environ | grep -e secret-key -e PASSWORD -e NOTIFY -e WATCHDOG
    for descriptor in /proc/self/fd/*; do
      case $(readlink $descriptor) in socket:*|anon_inode:*|*journal*) readlink $descriptor ;; esac
    done
    echo done
"#;

#[tokio::test]
async fn a_program_of_the_same_user_finds_no_secret_in_the_daemon() {
    let site =
        Site::new(&shell(&format!("({LOOK}) > DIR/found.new; mv DIR/found.new DIR/found"))).await;
    let in_file = format!("{{ file = '{}' }}", site.path("key").display());
    site.edit(&in_file, "{ env = 'KEY' }");
    site.add_sprites(1);
    let nobody = Nobody::of(&site);
    let set = [
        "env",
        "KEY=emulator-secret-key",
        "HTTPS_PROXY=http://user:PASSWORD@127.0.0.1:9",
        "NOTIFY_SOCKET=@nobody",
        "WATCHDOG_USEC=60000000",
    ];
    let daemon = nobody.start(&["run"], &set);
    until(|| site.path("found").exists()).await;
    assert_eq!(fs::read_to_string(site.path("found")).unwrap(), "done\n");
    // Its own figures it sees all the same.
    for figure in ["process_open_fds", "process_resident_memory_bytes", "process_threads"] {
        assert!(daemon.metric(figure).await > 0.0, "{figure}");
    }
    daemon.stop().await;
}

#[tokio::test]
async fn every_command_that_knows_the_configuration_keeps_its_memory_to_itself() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let nobody = Nobody::of(&site);
    let daemon = nobody.start(&["run"], &[]);
    daemon.has_logged("started").await;
    let watch = nobody.start(&["status", "--watch"], &[]);
    let about = format!("/proc/{}", watch.pid());
    until(|| fs::read_to_string(format!("{about}/comm")).unwrap() == "sprited\n").await;
    // The kernel gives what belongs to such a process to root.
    until(|| fs::metadata(format!("{about}/environ")).unwrap().uid() == 0).await;
    drop(watch);
    daemon.stop().await;
}
