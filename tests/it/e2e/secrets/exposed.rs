//! Files that others can read or change, looked at by a user who is not root: root may do all.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::unistd::{Gid, Uid, chown, geteuid};

use super::super::daemon::{Daemon, PROGRAM};
use super::super::{Site, file};

/// The user without rights. Tests that are not run by root are run by such a one already.
const NOBODY: u32 = 65534;

/// Runs the program of a site as somebody who is not root.
pub(in super::super) struct Nobody<'s> {
    site: &'s Site,
    program: PathBuf,
}

impl<'s> Nobody<'s> {
    /// Hands the site's folder over, with a program in it that can be reached from there.
    pub(in super::super) fn of(site: &'s Site) -> Self {
        if !geteuid().is_root() {
            return Self { site, program: PROGRAM.into() };
        }
        let program = site.path("sprited");
        if fs::hard_link(PROGRAM, &program).is_err() {
            fs::copy(PROGRAM, &program).unwrap();
        }
        own(site.folder.path());
        for name in ["sprited.toml", "key"] {
            own(&site.path(name));
        }
        Self { site, program }
    }

    /// Starts it, under `wrapper`.
    pub(in super::super) fn start(&self, arguments: &[&str], wrapper: &[&str]) -> Daemon {
        let folder = self.site.folder.path();
        let drop_rights = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
        let drop_rights = drop_rights.iter().filter(|_| geteuid().is_root());
        let mut words = drop_rights.chain(wrapper).map(|word| word.to_string());
        let program = self.program.to_str().unwrap().to_owned();
        let first = words.next();
        let mut command = Command::new(first.as_ref().unwrap_or(&program));
        command.args(words).args(first.is_some().then_some(&program)).args(arguments);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("SPRITED_CONFIG", folder.join("sprited.toml")).current_dir(folder);
        Daemon::spawn(command, folder)
    }

    /// What `check --offline` says, and how it ends.
    async fn checks(&self) -> (i32, String) {
        let mut check = self.start(&["check", "--offline"], &[]);
        let code = check.ended_within(Duration::from_secs(20)).await;
        (code, fs::read_to_string(self.site.path("stdout")).unwrap() + &check.log())
    }
}

fn own(path: &Path) {
    chown(path, Some(Uid::from_raw(NOBODY)), Some(Gid::from_raw(NOBODY))).unwrap();
}

fn mode(path: PathBuf, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn what_others_can_read_or_change_is_told_by_check_and_at_the_start() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    mode(site.path("sprited.toml"), 0o644);
    let nobody = Nobody::of(&site);
    let (code, said) = nobody.checks().await;
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("warning"), "{said}");
    // The daemon makes a journal that is its own.
    site.add_sprites(3);
    let daemon = nobody.start(&["run"], &[]);
    site.drained().await;
    daemon.stop().await;
    let (_, said) = nobody.checks().await;
    assert!(!said.contains("warning"), "{said}");

    let (configuration, key, journal) =
        (site.path("sprited.toml"), site.path("key"), site.path("journal.db"));
    for (path, wrong, right, says) in [
        (&configuration, 0o664, 0o644, "can be changed by others than its owner (mode 664)"),
        (&key, 0o644, 0o600, "holds a secret and can be read by everybody (mode 644)"),
        (&key, 0o620, 0o600, "can be changed by others than its owner (mode 620)"),
        (&journal, 0o604, 0o600, "holds the events and can be read by everybody (mode 604)"),
        (&journal, 0o660, 0o600, "can be changed by others than its owner (mode 660)"),
        (&site.folder.path().to_owned(), 0o777, 0o700, "its folder has mode 777"),
    ] {
        mode(path.clone(), wrong);
        let (code, said) = nobody.checks().await;
        assert_eq!(code, 0, "a warning stops nothing: {said}");
        assert!(said.contains(says), "{says}: {said}");
        let daemon = nobody.start(&["run"], &[]);
        daemon.has_logged("started").await;
        assert!(daemon.log().contains(says), "{says}: {}", daemon.log());
        daemon.stop().await;
        mode(path.clone(), right);
    }
}

#[tokio::test]
async fn a_secret_that_the_service_cannot_read_is_a_fault() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    mode(site.path("sprited.toml"), 0o644);
    let nobody = Nobody::of(&site);
    mode(site.path("key"), 0o000);
    let (code, said) = nobody.checks().await;
    assert_eq!(code, 78, "{said}");
    assert!(said.contains("cannot read the secret file") && said.contains("denied"), "{said}");
    assert!(!said.contains("emulator-secret-key"), "{said}");
    let mut daemon = nobody.start(&["run"], &[]);
    assert_eq!(daemon.ended_within(Duration::from_secs(20)).await, 78);
    assert!(daemon.log().contains("cannot read the secret file"), "{}", daemon.log());
}
