//! What the service manager is told, and how often it wants to hear.
//!
//! Owns the notification protocol. Outside systemd, without NOTIFY_SOCKET, everything here does
//! nothing. A message that cannot be sent is logged at debug level and forgotten: a daemon does
//! not stop because nobody listens. Never blocks for longer than one datagram takes.

use std::time::Duration;

use sd_notify::NotifyState;

/// Configuration, journal and sockets are there: `systemctl start` returns. Also ends a reload.
pub fn ready() {
    notify(&[NotifyState::Ready]);
}

/// The daemon has begun to stop.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// The daemon reads its configuration again; [`ready`] has to follow, whatever comes of it.
pub fn reloading() {
    // systemd from 253 on times a reload by this clock, earlier ones ignore the second line.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(_) => notify(&[NotifyState::Reloading]),
    }
}

/// One line for `systemctl status`. A line end in `text` becomes a space, since it would begin
/// another message of the protocol.
pub fn status(text: &str) {
    let line = text.replace(|c: char| c.is_control(), " ");
    notify(&[NotifyState::Status(&line)]);
}

/// Whether there is anybody to tell.
#[must_use]
pub fn listens() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Feeds the watchdog. To be called only after every loop has come round within its time.
pub fn alive() {
    notify(&[NotifyState::Watchdog]);
}

/// How often [`alive`] is to be called: half of what the unit's WatchdogSec allows. `None` if
/// there is no watchdog, or it watches another process.
#[must_use]
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()).map(|limit| limit / 2)
}

fn notify(message: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(message) {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;
    use std::process::Command;

    /// Stands for the daemon in a process of its own, since the environment belongs to all tests.
    #[test]
    #[ignore = "run by the test below with its own environment"]
    fn speaks() {
        ready();
        status("4 events\nSTOPPING=1");
        reloading();
        alive();
        stopping();
        println!("every {:?}", watchdog_interval());
    }

    fn speak(set: &[(&str, &str)]) -> String {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child
            .args(["--exact", "systemd::tests::speaks", "--ignored", "--nocapture"])
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .env_remove("WATCHDOG_PID")
            .envs(set.iter().copied());
        let output = child.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        text
    }

    #[test]
    fn each_message_arrives_as_a_datagram_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        speak(&[("NOTIFY_SOCKET", path.to_str().unwrap())]);
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
