//! The program as the first process of a container: a process namespace of its own stands for one.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use sprited::journal::EventState;
use tokio::net::UnixDatagram;

use super::daemon::{Daemon, PROGRAM};
use super::receiver::{Answer, Receiver};
use super::{Site, file};
use crate::support::until;

/// A daemon in a namespace of its own: the init, and below it the daemon proper.
struct Container {
    outside: Daemon,
}

impl Container {
    fn start(site: &Site, arguments: &[&str], set: &[(&str, &str)]) -> Self {
        let mut command = Command::new("unshare");
        if !geteuid().is_root() {
            command.arg("--map-root-user");
        }
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc", PROGRAM]).args(arguments);
        command.env_clear().env("SPRITED_CONFIG", site.path("sprited.toml"));
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").envs(set.iter().copied());
        Self { outside: Daemon::spawn(command, site.folder.path()) }
    }

    /// The first process of the namespace, by its id out here.
    fn init(&self) -> Pid {
        only(Pid::from_raw(self.outside.pid().cast_signed()))
    }

    /// The daemon proper.
    fn daemon(&self) -> Pid {
        let init = self.init();
        let children = children(init).into_iter();
        let mut living = children.filter(|(_, name, state)| name == "sprited" && *state != 'Z');
        living.next().map_or_else(|| panic!("{init} has no child"), |(id, ..)| id)
    }

    async fn has_logged(&self, message: &str) {
        self.outside.has_logged(message).await;
    }

    fn signal(&self, signal: Signal) {
        kill(self.init(), signal).unwrap();
    }

    async fn ended(&mut self) -> i32 {
        self.outside.ended_within(Duration::from_secs(20)).await
    }
}

fn only(parent: Pid) -> Pid {
    let children = children(parent);
    assert_eq!(children.len(), 1, "{children:?}");
    children[0].0
}

/// The children of a process: id, name and state.
fn children(parent: Pid) -> Vec<(Pid, String, char)> {
    let of = |id: i32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        let (state, its_parent) = (fields.next()?.chars().next()?, fields.next()?);
        let is_child = its_parent == parent.to_string();
        is_child.then(|| (Pid::from_raw(id), name.to_owned(), state))
    };
    let names = fs::read_dir("/proc").unwrap();
    let ids = names.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    ids.filter_map(of).collect()
}

#[tokio::test]
async fn what_programs_leave_behind_is_reaped() {
    let script = "setsid sleep 0.1 > /dev/null 2>&1 < /dev/null & exit 0";
    let site = Site::new(&format!(
        "[[sinks]]\nname = 'program'\ntype = 'exec'\nmax_in_flight = 4\n\
         command = ['/bin/sh', '-c', '{script}']\n"
    ))
    .await;
    site.add_sprites(24);
    let mut container = Container::start(&site, &["run"], &[]);
    site.drained().await;
    let init = container.init();
    let others = || children(init).into_iter().filter(|(_, name, _)| name != "sprited").count();
    until(|| others() == 0).await;
    assert_eq!(children(container.daemon()).len(), 0);
    container.signal(Signal::SIGTERM);
    assert_eq!(container.ended().await, 0);
    assert_eq!(container.outside.logged("stopped").len(), 1);
    assert_eq!(site.journaled(Some(EventState::Delivered)).len(), 24);
}

#[tokio::test]
async fn signals_reach_the_daemon_and_its_end_is_the_container_s() {
    let hook = Receiver::start(Answer::Hang).await;
    let site = Site::new(&hook.sink("hook", "timeout = '60s'")).await;
    site.add_sprites(1);
    let mut container = Container::start(&site, &["run"], &[]);
    until(|| hook.asked() == 1).await;
    container.signal(Signal::SIGHUP);
    container.has_logged("reloaded: nothing has changed").await;
    // As a terminal does: to both of them.
    let began = Instant::now();
    for id in [container.init(), container.daemon()] {
        kill(id, Signal::SIGINT).unwrap();
    }
    container.has_logged("stopping").await;
    let init = container.init();
    while container.outside.runs() {
        kill(init, Signal::SIGTERM).ok();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Not by the second one, which came with the first.
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(container.ended().await, 143);

    join_all([(Signal::SIGKILL, 137), (Signal::SIGQUIT, 131)].map(async |(signal, code)| {
        let site = Site::new(&file("sprites", "image-sprite")).await;
        let mut container = Container::start(&site, &["run"], &[]);
        container.has_logged("started").await;
        if signal == Signal::SIGKILL {
            kill(container.daemon(), signal).unwrap();
        } else {
            container.signal(signal);
        }
        assert_eq!(container.ended().await, code);
    }))
    .await;
    site.edit("[journal]", "[nonsense]");
    assert_eq!(Container::start(&site, &["run"], &[]).ended().await, 78);
}

/// Whoever rotates logs sends them by habit.
#[tokio::test]
async fn signals_that_mean_nothing_to_the_daemon_do_not_end_the_container() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let mut container = Container::start(&site, &["run"], &[]);
    container.has_logged("started").await;
    for (number, signal) in [Signal::SIGUSR1, Signal::SIGUSR2].into_iter().enumerate() {
        container.signal(signal);
        // What comes after it is obeyed.
        container.signal(Signal::SIGHUP);
        let message = "reloaded: nothing has changed";
        until(|| container.outside.logged(message).len() > number).await;
    }
    site.add_sprites(1);
    site.drained().await;
    container.signal(Signal::SIGTERM);
    assert_eq!(container.ended().await, 0, "{}", container.outside.log());
}

#[tokio::test]
async fn nothing_outlives_the_init() {
    let site = Site::new(
        "[[sinks]]\nname = 'program'\ntype = 'exec'\ntimeout = '60s'\n\
         command = ['/bin/sh', '-c', 'setsid sleep 300 & echo > DIR/runs; sleep 300']\n",
    )
    .await;
    site.add_sprites(1);
    let mut container = Container::start(&site, &["run"], &[]);
    until(|| site.path("runs").exists()).await;
    let (init, daemon) = (container.init(), container.daemon());
    let program = only(daemon);
    kill(init, Signal::SIGKILL).unwrap();
    assert_ne!(container.ended().await, 0);
    for id in [daemon, program] {
        until(|| kill(id, None).is_err()).await;
    }
}

#[tokio::test]
async fn the_service_manager_hears_the_daemon_itself() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let manager = UnixDatagram::bind(site.path("notify")).unwrap();
    let socket = site.path("notify").display().to_string();
    let set =
        [("NOTIFY_SOCKET", socket.as_str()), ("WATCHDOG_USEC", "2000000"), ("WATCHDOG_PID", "1")];
    let mut container = Container::start(&site, &["run"], &set);
    let mut left = vec!["READY=1", "WATCHDOG=1"];
    while !left.is_empty() {
        let mut message = [0; 4096];
        let heard = tokio::time::timeout(Duration::from_secs(60), manager.recv(&mut message));
        let heard = heard.await.expect("it is silent").unwrap();
        let heard = String::from_utf8_lossy(&message[..heard]).into_owned();
        left.retain(|line| !heard.lines().any(|said| said == *line));
    }
    container.signal(Signal::SIGTERM);
    assert_eq!(container.ended().await, 0);
}
