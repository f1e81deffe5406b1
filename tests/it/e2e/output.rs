//! Standard output as a sink of the program: its reader leaves, it is closed, its disk is full.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use sprited::journal::EventState;

use super::daemon::{Daemon, PROGRAM};
use super::{Site, file, until};

const STDOUT: &str = "[[sinks]]\nname = 'out'\ntype = 'stdout'\nevents = ['image-sprite']\n";
const GONE: &str = "the reader of standard output is gone, and there is no other sink: stopping; pending \
                    events stay in the journal";

/// The daemon with its standard output to `to`, written for a shell in which `$0` is the site's folder.
fn start(site: &Site, to: &str, arguments: &[&str]) -> Daemon {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("trap '' XFSZ; exec \"$@\" {to}")])
        .arg(site.folder.path())
        .arg(PROGRAM)
        .args(arguments)
        .env_clear()
        .env("SPRITED_CONFIG", site.path("sprited.toml"));
    Daemon::spawn(command, site.folder.path())
}

fn make_pipe(site: &Site) -> PathBuf {
    let path = site.path("pipe");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    path
}

/// Closes the end that is read, and waits until nobody has it: a child of another test has it as well
/// until it is another program.
async fn leave(site: &Site, reader: BufReader<File>) {
    drop(reader);
    let path = site.path("pipe");
    let open = || OpenOptions::new().write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&path);
    until(async || open().is_err_and(|error| error.raw_os_error() == Some(Errno::ENXIO as i32)))
        .await;
}

/// The daemon with a pipe behind it, and the end that is read.
async fn piped(site: &Site, arguments: &[&str]) -> (Daemon, BufReader<File>) {
    let path = make_pipe(site);
    let daemon = start(site, ">\"$0/pipe\"", arguments);
    let reader = tokio::task::spawn_blocking(move || File::open(path).unwrap());
    (daemon, BufReader::new(reader.await.unwrap()))
}

fn read(mut from: BufReader<File>, lines: usize) -> BufReader<File> {
    for _ in 0..lines {
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        serde_json::from_str::<serde_json::Value>(&line).unwrap();
    }
    from
}

#[tokio::test]
async fn a_daemon_whose_only_reader_leaves_ends_in_good_order_with_1() {
    let site = Site::new(STDOUT).await;
    let (mut daemon, reader) = piped(&site, &["run"]).await;
    site.add_sprites(2);
    let reader = tokio::task::spawn_blocking(move || read(reader, 2)).await.unwrap();
    until(async || site.confirmed() == 2).await;
    leave(&site, reader).await;
    site.add_sprites(3);
    assert_eq!(daemon.ended_within(Duration::from_secs(20)).await, 1, "{}", daemon.log());
    assert_eq!(daemon.logged(GONE).len(), 1, "{}", daemon.log());
    assert_eq!(daemon.logged("stopped").len(), 1);
    assert_eq!(site.confirmed(), 2, "nothing that nobody has read");
    let pending = site.journaled(Some(EventState::Pending)).len();
    assert!(pending >= 1);
    // The next one goes on.
    let daemon = start(&site, ">\"$0/lines.jsonl\"", &["run"]);
    until(async || site.confirmed() == 5).await;
    daemon.stop().await;
    site.assert_once("lines.jsonl", 3);
}

/// To whom a terminal is gone, each write fails with EIO.
#[tokio::test]
async fn a_terminal_that_is_gone_is_a_reader_that_has_left() {
    let site = Site::new(STDOUT).await;
    // No child of any test may have it open as well.
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
    grantpt(&master).and_then(|()| unlockpt(&master)).unwrap();
    let terminal = ptsname_r(&master).unwrap();
    let mut daemon = start(&site, &format!(">{terminal}"), &["run"]);
    daemon.has_logged("started").await;
    site.add_sprites(2);
    let reader = BufReader::new(File::from(OwnedFd::from(master)));
    let reader = tokio::task::spawn_blocking(move || read(reader, 2)).await.unwrap();
    until(async || site.confirmed() == 2).await;
    drop(reader);
    until(async || !Path::new(&terminal).exists()).await;
    site.add_sprites(3);
    assert_eq!(daemon.ended_within(Duration::from_secs(20)).await, 1, "{}", daemon.log());
    assert_eq!(daemon.logged(GONE).len(), 1, "{}", daemon.log());
    assert_eq!((site.confirmed(), site.journaled(Some(EventState::Pending)).len()), (2, 3));
}

#[tokio::test]
async fn a_run_that_is_to_happen_once_ends_with_1_as_its_only_reader_leaves() {
    let site = Site::new(STDOUT).await;
    site.add_sprites(3);
    make_pipe(&site);
    // The reader is there for as long as the pipe is opened.
    let mut daemon = start(&site, "3<>\"$0/pipe\" >\"$0/pipe\" 3>&-", &["run", "--once"]);
    assert_eq!(daemon.ended_within(Duration::from_secs(20)).await, 1, "{}", daemon.log());
    assert_eq!(daemon.logged(GONE).len(), 1, "{}", daemon.log());
    assert_eq!((site.confirmed(), site.journaled(Some(EventState::Pending)).len()), (0, 3));
}

#[tokio::test]
async fn with_another_sink_the_one_without_a_reader_is_down_until_a_reload_takes_the_other_away() {
    let site = Site::new(&[STDOUT, &file("sprites", "image-sprite")].concat()).await;
    let (mut daemon, reader) = piped(&site, &["run"]).await;
    leave(&site, reader).await;
    site.add_sprites(3);
    until(async || site.lines("sprites.jsonl").len() == 3).await;
    daemon.has_logged("sink is down; its events wait in the journal").await;
    let down = &daemon.logged("sink is down; its events wait in the journal")[0];
    assert!(down["error"].as_str().unwrap().contains("closed it: restart sprited"), "{down}");
    assert_eq!(down["sink"], "out");
    site.add_sprites(1);
    until(async || site.lines("sprites.jsonl").len() == 4).await;
    assert!(daemon.runs() && daemon.logged(GONE).is_empty());
    site.configure("", STDOUT);
    daemon.signal(nix::sys::signal::Signal::SIGHUP);
    assert_eq!(daemon.ended_within(Duration::from_secs(20)).await, 1, "{}", daemon.log());
    assert_eq!(daemon.logged(GONE).len(), 1);
    assert_eq!(site.confirmed(), 0);
}

#[tokio::test]
async fn events_are_not_confirmed_into_a_closed_output() {
    let site = Site::new(STDOUT).await;
    site.add_sprites(1);
    for arguments in [&["run"][..], &["run", "--once"]] {
        let mut daemon = start(&site, ">&-", arguments);
        assert_eq!(daemon.ended_within(Duration::from_secs(20)).await, 78, "{}", daemon.log());
        assert!(daemon.log().contains("standard output is closed"), "{}", daemon.log());
    }
    let mut check = start(&site, ">&-", &["check"]);
    assert_ne!(check.ended_within(Duration::from_secs(20)).await, 0);
    // As some libraries give it to their children: it looks as if it were closed.
    let mut daemon = start(&site, "1<>/dev/null", &["run"]);
    assert_eq!(daemon.ended_within(Duration::from_secs(20)).await, 78, "{}", daemon.log());
    assert!(daemon.log().contains("opened for reading and writing"), "{}", daemon.log());
    assert_eq!(site.confirmed(), 0);
    // Thrown away on purpose.
    let daemon = start(&site, ">/dev/null", &["run"]);
    until(async || site.confirmed() == 1).await;
    assert!(daemon.log().contains("standard output is /dev/null"), "{}", daemon.log());
    daemon.stop().await;
}

#[tokio::test]
async fn a_full_disk_behind_it_costs_neither_an_event_nor_a_repeat() {
    let site = Site::new(STDOUT).await;
    site.edit("level = 'debug'", "level = 'info'");
    // No other file of the daemon's grows as large.
    let padding = format!("{{\"padding\":\"{}\"}}\n", "x".repeat(1000)).repeat(8000);
    std::fs::write(site.path("lines"), &padding).unwrap();
    let daemon = start(&site, ">>\"$0/lines\"", &["run"]);
    daemon.has_logged("started").await;
    // Room for some lines and a part of one.
    super::exhaustion::limit(&daemon, &format!("--fsize={}:", padding.len() + 5000));
    site.add_sprites(40);
    daemon.has_logged("sink is down; its events wait in the journal").await;
    super::exhaustion::limit(&daemon, "--fsize=unlimited:");
    until(async || site.confirmed() == 40).await;
    daemon.stop().await;
    let text = std::fs::read_to_string(site.path("lines")).unwrap();
    let events = text[padding.len()..].lines();
    let events: Vec<serde_json::Value> =
        events.filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!((events.len(), super::ids(&events).len()), (40, 40));
}
