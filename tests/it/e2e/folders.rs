//! What a file system cannot do with a folder, and what an operator is told of it.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::daemon::{Daemon, PROGRAM};
use super::{Site, file};
use crate::cli::{self, ended};
use crate::support::until;

/// A command of the program that gets this error, and no other answer, when it syncs the folder.
fn with_syncs(site: &Site, folder: &Path, error: &str, arguments: &[&str]) -> Command {
    // With -D it is the program that is this process's child, and strace stands beside it.
    let mut strace = Command::new("strace");
    strace
        .args(["-D", "-f", "-q", "-o"])
        .arg(site.path("trace"))
        .arg("-P")
        .arg(folder)
        .args(["-e", "trace=fsync,fdatasync", "-e"])
        .arg(format!("inject=fsync,fdatasync:error={error}"))
        .arg(PROGRAM)
        .args(arguments)
        .env_clear()
        .env("SPRITED_CONFIG", site.path("sprited.toml"));
    strace
}

/// A site whose journal and files stand in this folder of it.
async fn site(more: &str) -> (Site, PathBuf) {
    let sinks = file("sprites", "image-sprite").replace("DIR/", "DIR/share/") + more;
    let site = Site::new(&sinks).await;
    site.edit("journal.db", "share/journal.db");
    let folder = site.folder.path().canonicalize().unwrap().join("share");
    std::fs::create_dir(&folder).unwrap();
    (site, folder)
}

fn checked(command: &mut Command) -> (i32, Vec<serde_json::Value>) {
    let cli::Ended { code, out, err } = ended(command);
    let answer: serde_json::Value = serde_json::from_str(&out).expect(&err);
    (code, answer["steps"].as_array().unwrap().clone())
}

fn outcome<'a>(steps: &'a [serde_json::Value], step: &str) -> (&'a str, String) {
    let found = steps.iter().find(|found| found["step"] == step);
    let found = found.unwrap_or_else(|| panic!("no {step} in {steps:?}"));
    (found["outcome"].as_str().unwrap(), found.to_string())
}

const UNSYNCED: &str = "cannot sync a folder: after a power cut";

fn lines(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
    files.map(|path| std::fs::read_to_string(path).unwrap().lines().count()).sum()
}

/// As SMB and some of FUSE do.
#[tokio::test]
async fn a_folder_that_cannot_be_synced_is_used_and_told_of_once() {
    for error in ["EINVAL", "EOPNOTSUPP"] {
        let (site, folder) = site("rotate_size = '1B'\n").await;
        let arguments = ["check", "--json"];
        let (_, steps) = checked(&mut with_syncs(&site, &folder, error, &arguments));
        for step in ["sink", "disk"] {
            let (outcome, said) = outcome(&steps, step);
            assert!(outcome == "warn" && said.contains(UNSYNCED), "{said}");
        }
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "it leaves nothing");

        let daemon = Daemon::spawn(with_syncs(&site, &folder, error, &["run"]), site.folder.path());
        for events in 1..=3 {
            site.add_sprites(1);
            until(|| site.confirmed() == events).await;
        }
        assert_eq!(lines(&folder), 3, "rotated, too");
        let told = daemon.log().matches(UNSYNCED).count();
        assert_eq!(told, 1, "{}", daemon.log());
        daemon.stop().await;
        let journal = folder.join("journal.db");
        let copy = folder.join("copy.db");
        let backup = ["journal", "backup", copy.to_str().unwrap()];
        assert_eq!(ended(&mut with_syncs(&site, &folder, error, &backup)).code, 0);
        let restore = ["journal", "restore", copy.to_str().unwrap(), "--yes"];
        assert_eq!(ended(&mut with_syncs(&site, &folder, error, &restore)).code, 0);
        assert!(journal.exists());
    }
}

/// Each of what the use of a file asks the system for, refused.
#[tokio::test]
async fn what_would_keep_a_sink_down_is_found_by_check() {
    for (call, error, said) in [
        ("flock", "EOPNOTSUPP", "cannot lock a file beside"),
        ("fsync", "EIO", "cannot write to a file beside"),
        ("rename", "EPERM", "cannot rename a file beside"),
        ("fchmod", "EPERM", "cannot set the mode of"),
    ] {
        let (site, folder) = site("rotate_size = '1MiB'\n").await;
        let mut strace = Command::new("strace");
        strace.args(["-D", "-f", "-q", "-o"]).arg(site.path("trace"));
        strace.args(["-e", &format!("inject={call}:error={error}"), PROGRAM, "check", "--json"]);
        strace.env_clear().env("SPRITED_CONFIG", site.path("sprited.toml"));
        let (_, steps) = checked(&mut strace);
        let (outcome, found) = outcome(&steps, "sink");
        assert!(outcome == "fail" && found.contains(said), "{call}: {found}");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "{call} leaves something");
    }
}

#[tokio::test]
async fn a_folder_whose_disk_fails_takes_the_sink_down() {
    let (site, folder) = site("").await;
    let (code, steps) = checked(&mut with_syncs(&site, &folder, "EIO", &["check", "--json"]));
    let (outcome, said) = outcome(&steps, "sink");
    assert!(outcome == "fail" && said.contains("cannot sync the folder of"), "{said}");
    assert_ne!(code, 0);
    let daemon = Daemon::spawn(with_syncs(&site, &folder, "EIO", &["run"]), site.folder.path());
    site.add_sprites(1);
    daemon.has_logged("sink is down; its events wait in the journal").await;
    assert_eq!(site.confirmed(), 0);
    daemon.stop().await;
}

/// The file itself works, so that a daemon that has run with it goes on.
#[tokio::test]
async fn a_name_too_long_to_be_rotated_is_a_fault_to_check_and_a_warning_to_the_daemon() {
    let name = "n".repeat(220);
    let sinks = file("sprites", "image-sprite").replace("sprites.jsonl", &format!("{name}.jsonl"));
    for more in ["rotate_size = '1B'\n", "rotate_age = '1ms'\ncompress = 'gzip'\n"] {
        let site = Site::new(&(sinks.clone() + more)).await;
        let mut check = Command::new(PROGRAM);
        check
            .args(["check", "--json"])
            .env_clear()
            .env("SPRITED_CONFIG", site.path("sprited.toml"));
        let (code, steps) = checked(&mut check);
        let (outcome, said) = outcome(&steps, "sink");
        assert!(outcome == "fail" && said.contains("where its file system takes 255"), "{said}");
        assert!(said.contains("choose a shorter name"), "{said}");
        assert_ne!(code, 0);
        let daemon = site.start();
        site.add_sprites(2);
        site.drained().await;
        let told = daemon.logged("cannot rotate the file; it keeps growing");
        assert!(!told.is_empty() && told.len() <= 2, "{told:?}");
        assert!(told[0]["error"].as_str().unwrap().contains("takes 255"), "{told:?}");
        assert_eq!(site.lines(&format!("{name}.jsonl")).len(), 2);
        daemon.stop().await;
    }
}

#[tokio::test]
async fn a_path_of_the_journal_that_leaves_no_room_for_its_files_is_found_by_check() {
    for (name, why) in [("j".repeat(240), "takes 255"), ("j".repeat(250), "takes 255")] {
        let site = Site::new(&file("sprites", "image-sprite")).await;
        site.edit("journal.db", &name);
        let mut check = Command::new(PROGRAM);
        check
            .args(["check", "--json"])
            .env_clear()
            .env("SPRITED_CONFIG", site.path("sprited.toml"));
        let (_, steps) = checked(&mut check);
        let (outcome, said) = outcome(&steps, "journal");
        assert!(outcome == "fail" && said.contains(why), "{said}");
    }
}

/// Through a link to another disk: rotated and compressed there, and the link stays.
#[tokio::test]
async fn what_a_link_leads_to_is_used_where_it_is() {
    let sink = file("sprites", "image-sprite") + "rotate_size = '1B'\ncompress = 'gzip'\n";
    let site = Site::new(&sink).await;
    let other = tempfile::tempdir_in("/dev/shm").unwrap();
    let third = tempfile::tempdir_in("/dev/shm").unwrap();
    let (link, target) = (site.path("sprites.jsonl"), other.path().join("here.jsonl"));
    symlink(&target, &link).unwrap();
    let daemon = site.start();
    let in_folder = |folder: &Path| {
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    for events in 1..=3 {
        site.add_sprites(1);
        until(|| site.confirmed() == events).await;
    }
    let gzips = || in_folder(other.path()).iter().filter(|name| name.ends_with(".gz")).count();
    until(|| gzips() == 2).await;
    assert!(link.is_symlink() && std::fs::read_link(&link).unwrap() == target);
    assert!(!in_folder(site.folder.path()).iter().any(|name| name.starts_with("here")));
    // Changed under the daemon.
    let next = site.path("next");
    symlink(third.path().join("there.jsonl"), &next).unwrap();
    std::fs::rename(&next, &link).unwrap();
    let before = in_folder(other.path());
    daemon.signal(nix::sys::signal::Signal::SIGHUP);
    until(|| third.path().join("there.jsonl").exists()).await;
    for events in 4..=5 {
        site.add_sprites(1);
        until(|| site.confirmed() == events).await;
    }
    until(|| in_folder(third.path()).iter().any(|name| name.ends_with(".gz"))).await;
    assert!(link.is_symlink());
    assert_eq!(in_folder(other.path()), before);
    daemon.stop().await;
}

#[tokio::test]
async fn a_path_that_is_no_file_is_told_of_and_nothing_is_lost() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let path = site.path("sprites.jsonl");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let daemon = site.start();
    site.add_sprites(1);
    daemon.has_logged("sink is down; its events wait in the journal").await;
    let down = &daemon.logged("sink is down; its events wait in the journal")[0];
    assert!(down["error"].as_str().unwrap().contains("is a pipe, not a regular file"), "{down}");
    std::fs::remove_file(&path).unwrap();
    super::until(async || site.confirmed() == 1).await;
    assert_eq!(site.lines("sprites.jsonl").len(), 1);
    daemon.stop().await;
}

/// As 0730 is for the service's group: it may make files there, and does not see them.
#[tokio::test]
async fn a_folder_that_may_not_be_read_is_named_with_what_to_do() {
    let site = Site::new(&file("share/sprites", "*").replace("'share/sprites'", "'sprites'")).await;
    let folder = site.path("share");
    std::fs::create_dir(&folder).unwrap();
    let mode = |mode| std::fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
    mode(0o300);
    let bound = |arguments: &[&str]| {
        let mut command = if nix::unistd::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--bounding-set=-dac_override,-dac_read_search", PROGRAM]);
            command
        } else {
            Command::new(PROGRAM)
        };
        command.args(arguments).env_clear().env("SPRITED_CONFIG", site.path("sprited.toml"));
        command
    };
    let says = format!("cannot read the folder {}", folder.display());
    let (code, steps) = checked(&mut bound(&["check", "--json"]));
    let (outcome, said) = outcome(&steps, "sink");
    assert!(code != 0 && outcome == "fail", "{said}");
    assert!(said.contains(&says) && said.contains("with chmod u+r or g+r"), "{said}");
    let daemon = Daemon::spawn(bound(&["run"]), site.folder.path());
    site.add_sprites(1);
    daemon.has_logged("sink is down; its events wait in the journal").await;
    let down = &daemon.logged("sink is down; its events wait in the journal")[0];
    assert!(down["error"].as_str().unwrap().contains(&says), "{down}");
    mode(0o700);
    until(|| site.confirmed() == 1).await;
    assert_eq!(site.lines("share/sprites.jsonl").len(), 1);
    daemon.stop().await;
}
