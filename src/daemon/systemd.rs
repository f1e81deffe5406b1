//! Notifications to the service manager, and its watchdog.
//!
//! Owns the notification protocol. Outside systemd, without NOTIFY_SOCKET, everything here does
//! nothing. A message that cannot be sent is logged at debug level and forgotten: a daemon does
//! not stop because nobody listens. A manager that is too busy to take one is waited for, a few
//! seconds at most and without blocking a thread; a message is sent whole or not at all.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::{self, ffi::OsStrExt, net::SocketAddr};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::net::UnixDatagram;
use tokio::time::timeout;

/// The time to send what the manager waits for.
const STATE_TIMEOUT: Duration = Duration::from_secs(10);
/// The time to send what comes again, or must not hold up a stop.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(1);

/// The variable that has the manager's socket.
const SOCKET_VARIABLE: &str = "NOTIFY_SOCKET";

/// Reports that configuration, journal and sockets are open: `systemctl start` returns. Also ends a
/// reload.
pub(super) async fn ready() {
    notify(&[NotifyState::Ready], STATE_TIMEOUT).await;
}

pub(super) async fn stopping() {
    notify(&[NotifyState::Stopping], NOTICE_TIMEOUT).await;
}

/// Asks for so much time from now on for the start or stop in progress.
pub(super) async fn extend_timeout(longer: Duration) {
    let micros = u32::try_from(longer.as_micros()).unwrap_or(u32::MAX);
    notify(&[NotifyState::ExtendTimeoutUsec(micros)], NOTICE_TIMEOUT).await;
}

/// Reports that a reload has begun; [`ready`] has to follow, whatever comes of it.
pub(super) async fn reloading() {
    // systemd from 253 on times a reload by this clock, earlier ones ignore the second line.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now], STATE_TIMEOUT).await,
        Err(_) => notify(&[NotifyState::Reloading], STATE_TIMEOUT).await,
    }
}

/// Sets the line of `systemctl status`. A line end in `text` becomes a space, since it would begin
/// another message of the protocol.
pub(super) async fn status(text: &str) {
    let line = text.replace(|c: char| c.is_control(), " ");
    notify(&[NotifyState::Status(&line)], NOTICE_TIMEOUT).await;
}

pub(super) fn is_supervised() -> bool {
    std::env::var_os(SOCKET_VARIABLE).is_some()
}

/// Feeds the watchdog: to be called only while no task is stalled.
pub(super) async fn feed_watchdog() {
    notify(&[NotifyState::Watchdog], NOTICE_TIMEOUT).await;
}

/// Returns how often [`feed_watchdog`] is to be called: half of what the unit's WatchdogSec allows.
/// `None` if there is no watchdog, or it watches another process.
pub(super) fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()).map(|limit| limit / 2)
}

/// Sends by itself: sd_notify's own sending blocks while the manager's queue is full.
async fn notify(states: &[NotifyState<'_>], patience: Duration) {
    let Some(path) = std::env::var_os(SOCKET_VARIABLE) else { return };
    let message: String =
        states.iter().flat_map(|state| [state.to_string(), "\n".into()]).collect();
    let send = async { connect(&path)?.send(message.as_bytes()).await };
    let sent = timeout(patience, send).await;
    if let Err(error) = sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        tracing::debug!(%error, "service manager not notified");
    }
}

/// An `@` stands for an abstract name, which is none of a file.
fn connect(socket: &OsStr) -> io::Result<UnixDatagram> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let socket = unix::net::UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    UnixDatagram::from_std(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader};
    use std::os::unix::net::UnixDatagram;
    use std::process::Command;
    use std::sync::mpsc;

    /// Stands for the daemon in a process of its own, since the environment belongs to all tests.
    #[tokio::test]
    #[ignore = "run by the test below with its own environment"]
    async fn speaks() {
        ready().await;
        status("4 events\nSTOPPING=1").await;
        reloading().await;
        feed_watchdog().await;
        stopping().await;
        println!("every {:?}", watchdog_interval());
    }

    /// The same beside work that goes on, on one thread.
    #[tokio::test]
    #[ignore = "run by the test below with its own environment"]
    async fn speaks_and_works() {
        tokio::select! {
            biased;
            () = feed_watchdog() => println!("told"),
            () = tokio::task::yield_now() => println!("worked"),
        }
        ready().await;
    }

    fn speak(set: &[(&str, &str)]) -> String {
        let output = child("speaks", set).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        text
    }

    fn child(test: &str, set: &[(&str, &str)]) -> Command {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child
            .args([
                "--exact",
                &format!("daemon::systemd::tests::{test}"),
                "--ignored",
                "--nocapture",
            ])
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .env_remove("WATCHDOG_PID")
            .envs(set.iter().copied());
        child
    }

    /// Else a manager that is busy would stop all that goes on in the daemon.
    #[test]
    fn a_manager_whose_queue_is_full_is_waited_for_while_work_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        // As many as it takes: what one alone can have under way may be less than the queue holds.
        let mut others = Vec::new();
        loop {
            let other = UnixDatagram::unbound().unwrap();
            other.set_nonblocking(true).unwrap();
            other.connect(&path).unwrap();
            if other.send(b"from others").is_err() {
                break;
            }
            while other.send(b"from others").is_ok() {}
            others.push(other);
        }
        let mut child = child("speaks_and_works", &[("NOTIFY_SOCKET", path.to_str().unwrap())])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        let (tell, heard) = mpsc::channel();
        // To the end, else the program could not write any more.
        let reader = std::thread::spawn(move || {
            let lines = said.map_while(Result::ok).filter(|line| line.contains("worked"));
            lines.for_each(|_| tell.send(()).unwrap_or_default());
        });
        let went_on = heard.recv_timeout(Duration::from_secs(10)).is_ok();
        // Takes all, and with it lets go whoever waits.
        manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut bytes = [0; 64];
        while !bytes.starts_with(b"READY=1") {
            manager.recv(&mut bytes).unwrap();
        }
        assert!(child.wait().unwrap().success());
        reader.join().unwrap();
        assert!(went_on, "nothing went on");
    }

    #[test]
    fn each_message_arrives_as_a_datagram_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        hears(&UnixDatagram::bind(&path).unwrap(), path.to_str().unwrap());
    }

    #[test]
    fn a_manager_may_have_an_abstract_name() {
        let name = format!("sprited-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        hears(&UnixDatagram::bind_addr(&address).unwrap(), &format!("@{name}"));
    }

    #[track_caller]
    fn hears(socket: &UnixDatagram, name: &str) {
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        speak(&[("NOTIFY_SOCKET", name)]);
        let receive = || {
            let mut bytes = [0; 512];
            let length = socket.recv(&mut bytes).unwrap();
            String::from_utf8(bytes[..length].to_vec()).unwrap()
        };
        assert_eq!(receive(), "READY=1\n");
        assert_eq!(receive(), "STATUS=4 events STOPPING=1\n");
        let reloading = receive();
        assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
        assert_eq!(receive(), "WATCHDOG=1\n");
        assert_eq!(receive(), "STOPPING=1\n");
    }

    #[test]
    fn the_watchdog_is_fed_at_half_its_time_and_only_by_whom_it_watches() {
        let text = speak(&[("WATCHDOG_USEC", "60000000")]);
        assert!(text.contains("every Some(30s)"), "{text}");
        let text = speak(&[("WATCHDOG_USEC", "60000000"), ("WATCHDOG_PID", "1")]);
        assert!(text.contains("every None"), "{text}");
        let text = speak(&[("NOTIFY_SOCKET", "/nowhere/notify")]);
        assert!(text.contains("every None"), "{text}");
    }
}
