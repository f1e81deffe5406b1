//! What the service manager is told.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::net::UnixDatagram;

use super::daemon::{Daemon, PROGRAM};
use super::exhaustion::limit;
use super::receiver::{Answer, Receiver};
use super::{Site, file};
use crate::support::{python, until};

/// The service manager's end.
pub(super) struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    /// Starts the daemon as the service manager does, with a watchdog of two seconds.
    fn start(site: &Site) -> (Self, Daemon) {
        let mut command = Command::new(PROGRAM);
        command.arg("run");
        Self::spawn(site, command)
    }

    /// The same, by what becomes the daemon.
    pub(super) fn spawn(site: &Site, mut command: Command) -> (Self, Daemon) {
        let path = site.path("notify");
        std::fs::remove_file(&path).ok();
        let socket = UnixDatagram::bind(&path).unwrap();
        // The service may be of another user.
        std::fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        command.env_clear().env("SPRITED_CONFIG", site.path("sprited.toml"));
        command.env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", "2000000");
        // Enough for the other loops where one has stopped its thread.
        command.env("TOKIO_WORKER_THREADS", "4");
        let daemon = Daemon::spawn(command, site.folder.path());
        (Self { socket, heard: Vec::new() }, daemon)
    }

    async fn next(&mut self) -> String {
        let mut bytes = [0; 512];
        let length = self.socket.recv(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
        self.heard.push(text.clone());
        text
    }

    /// Waits for a message that begins like this.
    pub(super) async fn hears(&mut self, message: &str) {
        let hears = async { while !self.next().await.starts_with(message) {} };
        // A daemon that had nothing to tell for some time looks every 8 s whether it has, and its
        // puller tries a journal that could not be written every 5 s.
        let heard = tokio::time::timeout(Duration::from_secs(20), hears).await;
        assert!(heard.is_ok(), "waited for {message}, heard {:?}", self.heard);
    }

    /// The first lines of what has arrived since it heard last, but for what comes by itself.
    pub(super) async fn heard_by_now(&mut self) -> Vec<String> {
        const LAST: &str = "last";
        let own = self.socket.local_addr().unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        // Behind all that was sent before.
        let send = sender.send_to(LAST.as_bytes(), own.as_pathname().unwrap());
        let hear = async {
            let mut heard = Vec::new();
            loop {
                let message = self.next().await;
                if message == LAST {
                    return heard;
                }
                let line = message.lines().next().unwrap_or_default();
                if !line.starts_with("WATCHDOG=") && !line.starts_with("STATUS=") {
                    heard.push(line.to_owned());
                }
            }
        };
        let (sent, heard) = tokio::join!(send, hear);
        sent.unwrap();
        heard
    }

    /// Whether the watchdog's time passes without a word of the daemon that it is alive.
    async fn watchdog_barks(&mut self) -> bool {
        let fed = async { while self.next().await != "WATCHDOG=1\n" {} };
        tokio::time::timeout(Duration::from_secs(2), fed).await.is_err()
    }
}

#[tokio::test]
async fn ready_without_the_cloud_and_alive_until_the_stop() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    // Nobody listens there any more.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let path = site.path("sprited.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, config.replace(&site.cloud.url, &format!("http://{gone}"))).unwrap();
    let (mut manager, mut daemon) = Manager::start(&site);
    manager.hears("READY=1").await;
    manager.hears("WATCHDOG=1").await;
    manager.hears("WATCHDOG=1").await;
    assert_eq!(daemon.get("/readyz").await.0, 503);
    assert_eq!(daemon.get("/healthz").await.0, 200);
    daemon.signal(Signal::SIGTERM);
    manager.hears("STOPPING=1").await;
    assert_eq!(daemon.ended_within(Duration::from_secs(6)).await, 0);
}

#[tokio::test]
async fn an_empty_queue_and_a_reload_keep_the_watchdog_fed() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let (mut manager, daemon) = Manager::start(&site);
    manager.hears("READY=1").await;
    let began = Instant::now();
    for _ in 0..3 {
        manager.hears("WATCHDOG=1").await;
    }
    assert!(began.elapsed() < Duration::from_secs(5));
    daemon.signal(Signal::SIGHUP);
    manager.hears("RELOADING=1").await;
    manager.hears("READY=1").await;
    manager.hears("WATCHDOG=1").await;
    daemon.stop().await;
}

/// Loops that end in their turn are not stuck: health and watchdog hold to the end.
#[tokio::test]
async fn a_stop_that_takes_its_time_is_no_loop_that_is_stuck() {
    let hook = Receiver::start(Answer::Hang).await;
    let site = Site::new(&hook.sink("hook", "timeout = '4s'")).await;
    let (mut manager, mut daemon) = Manager::start(&site);
    site.add_sprites(1);
    until(|| hook.asked() == 1).await;
    daemon.signal(Signal::SIGTERM);
    manager.hears("STOPPING=1").await;
    for _ in 0..3 {
        manager.hears("WATCHDOG=1").await;
    }
    assert_eq!(daemon.get("/healthz").await.0, 200);
    assert_eq!(daemon.get("/readyz").await.0, 503);
    assert_eq!(daemon.ended_within(Duration::from_secs(10)).await, 0);
    assert!(daemon.logged("task stalled").is_empty());
}

/// The loop of a sink that was replaced ends in its turn, and its successor waits for that: neither
/// is stuck.
#[tokio::test]
async fn a_sink_that_hangs_while_it_is_replaced_is_no_loop_that_is_stuck() {
    let (hook, other) = (Receiver::start(Answer::Hang).await, Receiver::start(Answer::Take).await);
    let site = Site::new(&hook.sink("hook", "timeout = '5s'")).await;
    let (mut manager, daemon) = Manager::start(&site);
    manager.hears("READY=1").await;
    site.add_sprites(1);
    until(|| hook.asked() == 1).await;
    site.configure("", &other.sink("hook", "timeout = '5s'"));
    daemon.signal(Signal::SIGHUP);
    manager.hears("RELOADING=1\nMONOTONIC_USEC=").await;
    manager.hears("READY=1").await;
    daemon.has_logged("reloaded").await;
    for _ in 0..3 {
        manager.hears("WATCHDOG=1").await;
    }
    until(|| other.taken().len() == 1).await;
    assert!(daemon.logged("task stalled").is_empty());
    daemon.stop().await;
}

#[tokio::test]
async fn the_status_says_what_is_done_now() {
    let hook = Receiver::start(Answer::Refuse(503)).await;
    let site = Site::new(&hook.sink("hook", "")).await;
    let (mut manager, daemon) = Manager::start(&site);
    manager.hears("STATUS=The queue is empty, nothing is pending.\n").await;
    site.add_sprites(6);
    manager.hears("STATUS=Sink hook is down.").await;
    // Told once, however often the daemon comes round.
    manager.hears("WATCHDOG=1").await;
    manager.hears("WATCHDOG=1").await;
    let told: Vec<_> = manager.heard.iter().filter(|heard| heard.starts_with("STATUS=")).collect();
    assert!(told.windows(2).all(|pair| pair[0] != pair[1]), "{told:?}");
    daemon.stop().await;
}

#[tokio::test]
async fn rejected_credentials_keep_the_watchdog_fed() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    site.set_key("not-the-secret-key");
    let (mut manager, daemon) = Manager::start(&site);
    manager.hears("STATUS=The cloud refuses the credentials").await;
    for _ in 0..3 {
        assert!(!manager.watchdog_barks().await, "{:?}", manager.heard);
    }
    daemon.stop().await;
}

#[tokio::test]
async fn a_full_disk_keeps_the_watchdog_fed() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh", PROGRAM, "run"]);
    let (mut manager, daemon) = Manager::spawn(&site, command);
    manager.hears("READY=1").await;
    manager.hears("STATUS=The queue is empty, nothing is pending.\n").await;
    let size = site.path("journal.db-wal").metadata().unwrap().len();
    limit(&daemon, &format!("--fsize={size}:"));
    site.add_sprites(1);
    manager.hears("STATUS=The journal").await;
    for _ in 0..3 {
        assert!(!manager.watchdog_barks().await, "{:?}", manager.heard);
    }
    limit(&daemon, "--fsize=unlimited:");
    manager.hears("STATUS=The queue is empty, nothing is pending.\n").await;
    daemon.stop().await;
}

/// Stops whatever thread of the daemon sets up a connection to a host next, for a minute. Not by
/// connect(2) itself, by which the service manager is told.
struct Stopper(Child);

impl Stopper {
    /// Holds the daemon by a debugger's means.
    async fn attach(daemon: &Daemon) -> Self {
        let pid = daemon.pid().to_string();
        let stop = "inject=setsockopt:delay_enter=60000000";
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=setsockopt", "-e", stop, "-p"]);
        let stopper = Self(command.arg(&pid).spawn().unwrap());
        let is_held = |status: std::path::PathBuf| {
            std::fs::read_to_string(status).is_ok_and(|status| !status.contains("TracerPid:\t0\n"))
        };
        let threads = format!("/proc/{pid}/task");
        until(|| {
            let threads = std::fs::read_dir(&threads).unwrap();
            threads.into_iter().all(|thread| is_held(thread.unwrap().path().join("status")))
        })
        .await;
        stopper
    }
}

impl Drop for Stopper {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A loop is stopped in the middle of its work, and with it the one thread that all of them share:
/// the watchdog barks, and after the restart nothing is lost.
#[tokio::test]
async fn a_loop_that_is_stuck_has_the_watchdog_bark() {
    let hook = Receiver::start(Answer::Take).await;
    let site = Site::new(&hook.sink("hook", "")).await;
    // No further connection is made to pull over.
    site.edit("interval = '20ms'", "interval = '20ms'\nmax_concurrency = 1");
    // Any process may hold this one, where only a parent may otherwise.
    let open = "import ctypes, os, sys; \
                ctypes.CDLL(None).prctl(0x59616d61, ctypes.c_ulong(-1), 0, 0, 0); \
                os.execv(sys.argv[1], sys.argv[1:])";
    let mut command = Command::new(python());
    command.args(["-c", open, PROGRAM, "run"]);
    let (mut manager, daemon) = Manager::spawn(&site, command);
    manager.hears("STATUS=The queue is empty, nothing is pending.\n").await;
    manager.hears("WATCHDOG=1").await;
    let stopper = Stopper::attach(&daemon).await;
    site.add_sprites(1);
    assert!(manager.watchdog_barks().await, "{:?}", manager.heard);
    assert!(hook.taken().is_empty());

    // As the service manager does then. It ends once nobody holds it any more.
    daemon.signal(Signal::SIGKILL);
    drop(stopper);
    drop(daemon);
    let (mut manager, daemon) = Manager::start(&site);
    until(|| hook.taken().len() == 1).await;
    manager.hears("WATCHDOG=1").await;
    daemon.stop().await;
}
