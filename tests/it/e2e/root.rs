//! Root in the folder of somebody else: what is planted there leads it nowhere.
//!
//! There have to be two users for that. Who is not root cannot run these tests and is told so;
//! `tests/run` leaves them out then, and says that.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, chown, geteuid};
use sprited::identity::Owner;

use super::daemon::{Daemon, PROGRAM};
use super::{Site, file};
use crate::cli::{Ended, ended, sprited};
use crate::support::until;

/// A user with a name, and one without.
const NOBODY: u32 = 65534;
const NAMELESS: u32 = 54321;

/// A site whose journal and file are in a folder of another user, who has no say in the rest.
struct Home {
    site: Site,
    user: u32,
}

impl Home {
    async fn of(user: u32) -> Self {
        Self::with(user, "").await
    }

    async fn with(user: u32, sinks: &str) -> Self {
        assert!(
            geteuid().is_root(),
            "THIS TEST NEEDS ROOT, who could else not be led astray: run it as root, or leave it out \
             with --skip e2e::root, as tests/run does"
        );
        let sink = file("home/sprites", "image-sprite").replace("'home/sprites'", "'sprites'");
        let site = Site::new(&(sink + sinks)).await;
        let home = Self { site, user };
        fs::create_dir(home.path("")).unwrap();
        home.give(Path::new(""));
        home.site.edit(
            &home.site.path("journal.db").display().to_string(),
            &home.journal().display().to_string(),
        );
        // Others may pass through, and read nothing but what is theirs.
        mode(home.site.folder.path(), 0o711);
        mode(&home.site.path("sprited.toml"), 0o600);
        home
    }

    /// A name in the other user's folder.
    fn path(&self, name: &str) -> PathBuf {
        self.site.path("home").join(name)
    }

    fn journal(&self) -> PathBuf {
        self.path("journal.db")
    }

    fn give(&self, name: impl AsRef<Path>) {
        let path = self.site.path("home").join(name);
        std::os::unix::fs::lchown(path, Some(self.user), Some(self.user)).unwrap();
    }

    /// Has the other user make a link there.
    fn plant(&self, target: &Path, name: &str) {
        drop(fs::remove_file(self.path(name)));
        symlink(target, self.path(name)).unwrap();
        self.give(name);
    }

    /// A file of root's that nobody else can read.
    fn treasure(&self) -> PathBuf {
        let path = self.site.path("treasure");
        if !path.exists() {
            fs::write(&path, "root's own").unwrap();
            mode(&path, 0o600);
        }
        path
    }

    #[track_caller]
    fn assert_untouched(&self) {
        let path = self.treasure();
        let about = fs::metadata(&path).unwrap();
        assert_eq!((about.uid(), about.gid(), about.mode() & 0o7777), (0, 0, 0o600));
        assert_eq!(fs::read_to_string(path).unwrap(), "root's own");
    }

    /// Runs a command as root.
    fn sprited(&self, arguments: &[&str]) -> Ended {
        ended(sprited().args(arguments).env("SPRITED_CONFIG", self.site.path("sprited.toml")))
    }

    /// Has the daemon, as root, bring an event to its place.
    async fn deliver(&self) {
        self.site.add_sprites(1);
        let daemon = self.site.start();
        self.site.drained().await;
        daemon.stop().await;
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Every command that opens the journal, and what it wants besides.
const COMMANDS: [&[&str]; 11] = [
    &["run", "--once"],
    &["check"],
    &["audit"],
    &["events", "list"],
    &["events", "redeliver", "--state", "dead", "--yes"],
    &["events", "discard", "--sink", "sprites", "--yes"],
    &["journal", "check"],
    &["journal", "compact"],
    &["journal", "backup", "copy.db"],
    &["journal", "restore", "kept.db", "--yes"],
    &["run", "--once", "--new-journal"],
];

#[tokio::test(flavor = "multi_thread")]
async fn root_works_there_as_the_folder_s_owner_with_what_only_root_can_read() {
    for user in [NOBODY, NAMELESS] {
        let secret = "[[sinks]]\nname = 'program'\ntype = 'exec'\ncommand = ['/bin/sh', '-c', \
                      'id -u > DIR/home/id; id -G >> DIR/home/id; echo $KEY >> DIR/home/id']\n\
                      env = { KEY = { file = 'DIR/key' } }\n";
        let home = Home::with(user, secret).await;
        home.site.add_sprites(2);
        // With a group that is root's and not the user's.
        let mut command = Command::new("setpriv");
        command.args(["--groups", "4", PROGRAM, "run"]).env_clear();
        command.env("SPRITED_CONFIG", home.site.path("sprited.toml"));
        let daemon = Daemon::spawn(command, home.site.folder.path());
        home.site.drained().await;
        // The key is root's alone, for signing as for the sink.
        let said = fs::read_to_string(home.path("id")).unwrap();
        assert_eq!(said, format!("{user}\n{user}\nemulator-secret-key\n"));
        let told = "started as root; continuing as the owner of the journal's folder";
        let told = daemon.logged(told);
        assert_eq!(told.len(), 1, "{}", daemon.log());
        assert!(told[0]["user"].as_str().unwrap().contains(&user.to_string()), "{told:?}");
        assert_eq!(told[0]["place"], home.path("").display().to_string().trim_end_matches('/'));
        for status in ["Uid", "Gid"] {
            let about = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
            let line = about.lines().find_map(|line| line.strip_prefix(&format!("{status}:")));
            let ids: Vec<_> = line.unwrap().split_whitespace().collect();
            assert_eq!(ids, [user.to_string().as_str(); 4], "{status}");
        }
        // A change of the user would have opened its memory to its programs.
        let environ = format!("/proc/{}/environ", daemon.pid());
        assert_eq!(fs::metadata(environ).unwrap().uid(), 0);
        // What only root can read cannot be read again, and the log says why.
        daemon.signal(Signal::SIGHUP);
        daemon.has_logged("reload rejected; previous configuration stays active").await;
        until(|| daemon.log().contains("a restart reads them as root")).await;
        daemon.stop().await;
        for name in ["journal.db", "journal.db.lock", "sprites.jsonl"] {
            let about = fs::metadata(home.path(name)).unwrap();
            assert_eq!((about.uid(), about.gid()), (user, user), "{name}");
        }
        fs::copy(home.journal(), home.site.path("kept.db")).unwrap();
        mode(&home.site.path("kept.db"), 0o600);
        for command in COMMANDS {
            let mut run = sprited();
            run.args(command).env("SPRITED_CONFIG", home.site.path("sprited.toml"));
            let Ended { code, out, err } = ended(run.current_dir(home.site.folder.path()));
            assert_eq!(code, 0, "{command:?}: {out}{err}");
            for entry in fs::read_dir(home.path("")).unwrap() {
                let entry = entry.unwrap();
                assert_eq!(entry.metadata().unwrap().uid(), user, "{command:?} {entry:?}");
            }
        }
        let copy = fs::metadata(home.site.path("copy.db")).unwrap();
        assert_eq!((copy.uid(), copy.mode() & 0o7777), (0, 0o600));
        let names = fs::read_dir(home.site.folder.path()).unwrap();
        let is_left = |name: &str| name.contains("backup-") || name.ends_with("-wal");
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(names.filter(|name| is_left(name)).collect::<Vec<_>>(), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_in_the_folder_leads_root_nowhere() {
    let home = Home::of(NOBODY).await;
    home.deliver().await;
    fs::copy(home.journal(), home.site.path("kept.db")).unwrap();
    let new = home.site.path("made-by-a-link");
    for name in ["journal.db.lock", "journal.db", "journal.db-wal", "journal.db-shm"] {
        for target in [home.treasure(), new.clone()] {
            for command in COMMANDS {
                let kept = home.site.path("kept-aside");
                let was_there = fs::rename(home.path(name), &kept).is_ok();
                home.plant(&target, name);
                let mut run = sprited();
                run.args(command).env("SPRITED_CONFIG", home.site.path("sprited.toml"));
                run.current_dir(home.site.folder.path());
                let Ended { out, err, .. } = ended(&mut run);
                home.assert_untouched();
                assert!(!new.exists(), "{command:?} by {name}: {out}{err}");
                assert!(!(out + &err).contains("root's own"), "{command:?} by {name}");
                drop(fs::remove_file(home.site.path("copy.db")));
                for entry in fs::read_dir(home.path("")).unwrap() {
                    let path = entry.unwrap().path();
                    if path.to_str().unwrap().contains("journal.db") {
                        fs::remove_file(path).unwrap();
                    }
                }
                drop(
                    fs::remove_file(&kept)
                        .or_else(|error| if was_there { Err(error) } else { Ok(()) }),
                );
                fs::copy(home.site.path("kept.db"), home.journal()).unwrap();
                home.give("journal.db");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_a_link_is_read_as_whoever_made_it() {
    let home = Home::of(NOBODY).await;
    home.deliver().await;
    let secret = home.site.path("secret.db");
    fs::copy(home.journal(), &secret).unwrap();
    mode(&secret, 0o600);
    home.plant(&secret, "journal.db.rescued-20260101T000000Z");
    let link = home.path("journal.db.rescued-20260101T000000Z");
    let Ended { code, err, .. } =
        home.sprited(&["journal", "restore", link.to_str().unwrap(), "--yes"]);
    assert_ne!(code, 0, "{err}");
    assert!(err.contains("denied") || err.contains("unable to open"), "{err}");
    // Nor by another name of the file.
    fs::remove_file(&link).unwrap();
    fs::hard_link(&secret, &link).unwrap();
    let Ended { code, err, .. } =
        home.sprited(&["journal", "restore", link.to_str().unwrap(), "--yes"]);
    assert!(code != 0 && err.contains("unable to open"), "{err}");
    // What root has put there itself is no link.
    fs::remove_file(&link).unwrap();
    fs::copy(&secret, &link).unwrap();
    mode(&link, 0o600);
    let Ended { code, err, .. } =
        home.sprited(&["journal", "restore", link.to_str().unwrap(), "--yes"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(fs::metadata(home.journal()).unwrap().uid(), NOBODY);
    // And a journal that is a link to another one is not read as root either.
    home.plant(&secret, "journal.db");
    for command in COMMANDS.iter().filter(|command| !command.contains(&"restore")) {
        let mut run = sprited();
        run.args(*command).env("SPRITED_CONFIG", home.site.path("sprited.toml"));
        let Ended { code, out, err } = ended(run.current_dir(home.site.folder.path()));
        assert_eq!(code, 74, "{command:?}: {out}{err}");
    }
    assert!(!home.site.path("copy.db").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_a_link_counts_as_whose_the_link_is() {
    let home = Home::of(NOBODY).await;
    let vault = home.site.path("vault");
    fs::create_dir(&vault).unwrap();
    mode(&vault, 0o700);
    home.plant(&vault, "data");
    home.site.edit("home/journal.db", "home/data/journal.db");
    for command in COMMANDS {
        let mut run = sprited();
        run.args(command).env("SPRITED_CONFIG", home.site.path("sprited.toml"));
        let Ended { code, out, err } = ended(run.current_dir(home.site.folder.path()));
        assert_ne!(code, 0, "{command:?}: {out}{err}");
        assert_eq!(fs::read_dir(&vault).unwrap().count(), 0, "{command:?}: {out}{err}");
    }
}

/// As in /tmp.
#[tokio::test(flavor = "multi_thread")]
async fn in_a_folder_for_all_it_is_the_file_that_tells() {
    let home = Home::of(NOBODY).await;
    home.deliver().await;
    let all = home.site.path("all");
    fs::create_dir(&all).unwrap();
    mode(&all, 0o1777);
    let journal = all.join("journal.db");
    fs::copy(home.journal(), &journal).unwrap();
    chown(&journal, Some(Uid::from_raw(NOBODY)), Some(Gid::from_raw(NOBODY))).unwrap();
    home.site.edit("home/journal.db", "all/journal.db");
    let lock = all.join("journal.db.lock");
    assert_eq!(home.sprited(&["journal", "compact"]).code, 0);
    assert_eq!(fs::metadata(&lock).unwrap().uid(), NOBODY);
    fs::remove_file(&lock).unwrap();
    symlink(home.treasure(), &lock).unwrap();
    let Ended { code, err, .. } = home.sprited(&["journal", "compact"]);
    assert!(code == 74 && err.contains("it is a link, and a lock file must be none"), "{err}");
    home.assert_untouched();
    // Nobody's link to a journal of root's.
    fs::remove_file(&journal).unwrap();
    symlink(home.treasure(), &journal).unwrap();
    std::os::unix::fs::lchown(&journal, Some(NOBODY), Some(NOBODY)).unwrap();
    assert_eq!(home.sprited(&["journal", "check"]).code, 74);
    // Where nothing tells of anybody else, root keeps off what it did not make.
    fs::remove_file(&journal).unwrap();
    assert_eq!(home.sprited(&["run", "--once"]).code, 74);
    home.assert_untouched();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_goes_where_only_root_can_write_and_into_a_third_one_s_folder() {
    let home = Home::of(NOBODY).await;
    home.deliver().await;
    let vault = home.site.path("vault");
    fs::create_dir(&vault).unwrap();
    mode(&vault, 0o700);
    let copy = vault.join("copy.db");
    let backup = |to: &Path| home.sprited(&["journal", "backup", to.to_str().unwrap()]);
    assert_eq!(backup(&copy).code, 0);
    let about = fs::metadata(&copy).unwrap();
    assert_eq!((about.uid(), about.gid(), about.mode() & 0o7777), (0, 0, 0o600));
    sprited::journal::JournalReader::open(&copy).unwrap();
    let kept = home.site.path("kept.db");
    fs::copy(home.journal(), &kept).unwrap();
    // Whole or not at all.
    fs::remove_dir_all(&vault).unwrap();
    fs::create_dir(&vault).unwrap();
    home.plant(&home.treasure(), "journal.db");
    assert_eq!(backup(&copy).code, 74);
    assert_eq!(fs::read_dir(&vault).unwrap().count(), 0);
    home.assert_untouched();
    fs::remove_file(home.journal()).unwrap();
    fs::copy(kept, home.journal()).unwrap();
    home.give("journal.db");
    let third = home.site.path("third");
    fs::create_dir(&third).unwrap();
    chown(&third, Some(Uid::from_raw(NAMELESS)), Some(Gid::from_raw(NAMELESS))).unwrap();
    assert_eq!(backup(&third.join("copy.db")).code, 0);
    assert_eq!(fs::metadata(third.join("copy.db")).unwrap().uid(), NAMELESS);
    // A link that stands there is no free name.
    symlink(home.site.path("nothing"), third.join("taken.db")).unwrap();
    assert_eq!(backup(&third.join("taken.db")).code, 1);
    assert!(!home.site.path("nothing").exists());
}

/// As in a container of somebody who is not root: the folders above are of nobody that it knows.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_root_of_a_namespace_alone_has_nobody_to_become() {
    let home = Home::of(NOBODY).await;
    home.deliver().await;
    let program = home.site.path("sprited");
    fs::hard_link(PROGRAM, &program).or_else(|_| fs::copy(PROGRAM, &program).map(drop)).unwrap();
    mode(&home.site.path("sprited.toml"), 0o644);
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    command.args(["unshare", "--map-root-user"]).arg(program).args(["journal", "compact"]);
    command.env("SPRITED_CONFIG", home.site.path("sprited.toml"));
    let Ended { code, out, err } = ended(command.current_dir("/"));
    assert_eq!(code, 0, "{out}{err}");
}

/// As in a container without any capability.
#[tokio::test(flavor = "multi_thread")]
async fn root_that_may_not_change_its_user_refuses_and_says_what_to_do() {
    let home = Home::of(NOBODY).await;
    home.deliver().await;
    let bound = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-setuid,-setgid", "--inh-caps=-setuid,-setgid"]);
        command.arg(PROGRAM).args(arguments).env_clear();
        command.env("SPRITED_CONFIG", home.site.path("sprited.toml"));
        command.current_dir(home.site.folder.path()).stdin(Stdio::null());
        ended(&mut command)
    };
    for command in COMMANDS.iter().filter(|command| !command.contains(&"restore")) {
        let Ended { code, out, err } = bound(command);
        assert_eq!(code, 74, "{command:?}: {out}{err}");
        let said = out + &err;
        for what in ["belongs to nobody (65534)", "sudo -u nobody sprited", "--user 65534:65534"] {
            assert!(said.contains(what), "{command:?} does not say {what:?}: {said}");
        }
        assert!(said.contains(home.path("").to_str().unwrap().trim_end_matches('/')), "{said}");
    }
    // Where all is root's, there is nobody to become.
    home.site.edit("home/journal.db", "journal.db");
    home.site.edit("home/sprites", "sprites");
    let Ended { code, err, .. } = bound(&["run", "--once"]);
    assert_eq!(code, 0, "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_the_folder_s_owner_s_is_refused_with_the_way_out() {
    let home = Home::of(NOBODY).await;
    home.deliver().await;
    for name in ["journal.db", "journal.db.lock"] {
        chown(&home.path(name), Some(Uid::from_raw(0)), Some(Gid::from_raw(0))).unwrap();
    }
    let place = home.path("");
    let way_out = format!("chown --reference={}", place.to_str().unwrap().trim_end_matches('/'));
    let Ended { code, err, .. } = home.sprited(&["audit"]);
    assert!(code == 74 && err.contains(&way_out) && err.contains("nobody (65534)"), "{err}");
    let Ended { code, err, .. } = home.sprited(&["run", "--once"]);
    assert!(code == 74 && err.contains(&way_out), "{err}");
}

/// The nearest folder or link that is not root's tells.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_the_last_say_on_the_way_is_whom_root_becomes() {
    let home = Home::of(NOBODY).await;
    let owner = |path: &Path| Owner::of(path).unwrap().map(|owner| owner.to_string());
    let (nobody, nameless) = (Some("nobody (65534)".to_owned()), Some("user 54321".to_owned()));
    assert_eq!(owner(&home.journal()), nobody);
    assert_eq!(owner(&home.path("none/of/them/journal.db")), nobody);
    assert_eq!(owner(&home.site.path("journal.db")), None);
    for (name, user) in [("roots", 0), ("another", NAMELESS)] {
        fs::create_dir(home.path(name)).unwrap();
        chown(&home.path(name), Some(Uid::from_raw(user)), Some(Gid::from_raw(user))).unwrap();
    }
    assert_eq!(owner(&home.path("roots/journal.db")), nobody);
    assert_eq!(owner(&home.path("another/journal.db")), nameless);
    // Root's own link says nothing, and where it leads all.
    symlink(home.path("another"), home.site.path("link")).unwrap();
    assert_eq!(owner(&home.site.path("link/journal.db")), nameless);
    symlink("home/../home/another/j.db", home.site.path("j.db")).unwrap();
    assert_eq!(owner(&home.site.path("j.db")), nameless);
    symlink("loop", home.site.path("loop")).unwrap();
    let refused = Owner::of(&home.site.path("loop/journal.db")).unwrap_err().to_string();
    assert!(refused.contains("cannot tell whose") && refused.contains("sudo -u"), "{refused}");
    // What nobody else can put there is no sign of anybody else.
    let file = home.site.path("file");
    fs::write(&file, "").unwrap();
    chown(&file, Some(Uid::from_raw(NOBODY)), None).unwrap();
    assert_eq!(owner(&file), None);
    mode(home.site.folder.path(), 0o731);
    assert_eq!(owner(&file), nobody);
}

#[tokio::test(flavor = "multi_thread")]
async fn root_that_stays_root_and_writes_elsewhere_is_warned() {
    let home = Home::of(NOBODY).await;
    home.site.edit("home/journal.db", "journal.db");
    let says = "root writes in the folder of somebody else, who can lead it to any file by a link";
    let Ended { code, out, .. } = home.sprited(&["check"]);
    assert!(code == 0 && out.contains(says) && out.contains("nobody (65534)"), "{out}");
    let Ended { code, err, .. } = home.sprited(&["run", "--once"]);
    assert!(code == 0 && err.contains(says), "{err}");
    // And of a sink that a reload brings.
    home.site.set_sinks(&file("sprites", "image-sprite"));
    let daemon = home.site.start();
    daemon.has_logged("started").await;
    assert!(!daemon.log().contains(says), "{}", daemon.log());
    home.site.set_sinks(&file("home/sprites", "image-sprite").replace("'home/sprites'", "'other'"));
    daemon.reloaded().await;
    let warned = daemon.log();
    let warned = warned.lines().find(|line| line.contains(says)).expect(&warned);
    assert!(warned.contains("\"sink\":\"other\"") && warned.contains("nobody (65534)"), "{warned}");
    daemon.stop().await;
}

/// Before it becomes the user, root may listen where only root may.
#[tokio::test(flavor = "multi_thread")]
async fn root_listens_on_its_port_first() {
    let home = Home::of(NOBODY).await;
    let port = (700..1000).find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok());
    home.site.edit("127.0.0.1:0", &format!("127.0.0.1:{}", port.unwrap()));
    let daemon: Daemon = home.site.start();
    assert_eq!(daemon.get("/healthz").await.0, 200);
    assert_eq!(fs::metadata(home.path("journal.db.lock")).unwrap().uid(), NOBODY);
    daemon.stop().await;
}
