//! The program as a child process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support;

/// The program.
pub(super) const PROGRAM: &str = env!("CARGO_BIN_EXE_sprited");

/// How a run ended by itself.
pub(super) struct Ended {
    /// The exit code; 128 and the signal's number if a signal ended it.
    pub(super) code: i32,
    /// All it said.
    pub(super) log: String,
}

/// A daemon that runs. Killed and reaped when it is dropped.
pub(super) struct Daemon {
    child: Child,
    log: PathBuf,
    http: reqwest::Client,
}

impl Daemon {
    /// Starts the program in `folder`, with nothing in its environment but `set`.
    pub(super) fn start(folder: &Path, arguments: &[&str], set: &[(&str, &str)]) -> Self {
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments)
            .env_clear()
            .env("SPRITED_CONFIG", folder.join("sprited.toml"))
            .envs(set.iter().copied());
        Self::spawn(command, folder)
    }

    /// Starts what becomes the program, with its output in `folder`.
    pub(super) fn spawn(mut command: Command, folder: &Path) -> Self {
        let log = tempfile::Builder::new().prefix("log.").tempfile_in(folder).unwrap();
        let (file, log) = log.keep().unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(folder.join("stdout")).unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, log, http: support::http() }
    }

    /// All it said so far.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The log's events with this message.
    pub(super) fn logged(&self, message: &str) -> Vec<Value> {
        let log = self.log();
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.filter(|event| event["message"] == message).collect()
    }

    /// Waits until it has logged this.
    pub(super) async fn has_logged(&self, message: &str) {
        support::until(|| !self.logged(message).is_empty()).await;
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    /// Stops it as it is; when this returns nothing of it moves until SIGCONT.
    pub(super) fn pause(&self) {
        self.signal(Signal::SIGSTOP);
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        let status = waitpid(pid, Some(WaitPidFlag::WUNTRACED)).unwrap();
        assert_eq!(status, WaitStatus::Stopped(pid, Signal::SIGSTOP), "{}", self.log());
    }

    /// Whether it still runs.
    pub(super) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends a signal again and again until it has ended: soon after the first it says nothing new.
    pub(super) async fn insist(&mut self, signal: Signal) {
        while self.runs() {
            self.signal(signal);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits for its end; its exit code, or 128 and the signal's number if a signal ended it.
    pub(super) async fn ended_within(&mut self, limit: Duration) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                let signal = || 128 + status.signal().unwrap();
                return status.code().unwrap_or_else(signal);
            }
            assert!(Instant::now() < deadline, "still runs after {limit:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Asks it to stop, and waits until it has.
    pub(super) async fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        assert_eq!(self.ended_within(Duration::from_secs(20)).await, 0);
    }

    /// A page of its HTTP server: status and body.
    pub(super) async fn get(&self, path: &str) -> (u16, String) {
        self.has_logged("started").await;
        let address = self.logged("started")[0]["http"].as_str().unwrap().to_owned();
        let answer = self.http.get(format!("http://{address}{path}")).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// The value of a metric, with its labels as they stand there; 0 if there is none yet.
    pub(super) async fn metric(&self, series: &str) -> f64 {
        let (_, page) = self.get("/metrics").await;
        let mut lines = page.lines().filter_map(|line| line.rsplit_once(' '));
        lines.find(|(name, _)| *name == series).map_or(0.0, |(_, value)| value.parse().unwrap())
    }
}

impl Drop for Daemon {
    #[allow(clippy::print_stdout, reason = "shown with the test that failed, and only then")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the daemon said:\n{}", self.log());
        }
        // Both fail only if it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
