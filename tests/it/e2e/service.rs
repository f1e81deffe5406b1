//! What the service manager is told.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::net::UnixDatagram;

use super::daemon::Daemon;
use super::receiver::{Answer, Receiver};
use super::{Site, file};
use crate::support::until;

/// The service manager's end.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    /// Starts the daemon as the service manager does, with a watchdog of two seconds.
    fn start(site: &Site) -> (Self, Daemon) {
        let path = site.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let set = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "2000000")];
        let daemon = Daemon::start(site.folder.path(), &["run"], &set);
        (Self { socket, heard: Vec::new() }, daemon)
    }

    /// Waits for a message that begins like this.
    async fn hears(&mut self, message: &str) {
        let hears = async {
            loop {
                let mut bytes = [0; 512];
                let length = self.socket.recv(&mut bytes).await.unwrap();
                let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
                let found = text.starts_with(message);
                self.heard.push(text);
                if found {
                    return;
                }
            }
        };
        let heard = tokio::time::timeout(Duration::from_secs(10), hears).await;
        assert!(heard.is_ok(), "waited for {message}, heard {:?}", self.heard);
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
    assert!(daemon.logged("a loop does not come round").is_empty());
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
    assert!(daemon.logged("a loop does not come round").is_empty());
    daemon.stop().await;
}
