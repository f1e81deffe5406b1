//! A program that is measured.

use std::collections::HashMap;
use std::ffi::OsString;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// How long a program may take to end after it was asked to.
const PATIENCE: Duration = Duration::from_secs(30);

/// Killed and reaped when it is dropped.
pub(crate) struct Process {
    child: Child,
    pid: Pid,
    clock: ClockId,
    /// Of each thread, how often it had been woken at the last look.
    wake_ups: HashMap<OsString, u64>,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let pid = Pid::from_raw(i32::try_from(child.id())?);
        let clock = clock_getcpuclockid(pid).context("a process without a clock")?;
        Ok(Self { child, pid, clock, wake_ups: HashMap::new() })
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// User and system time of all its threads, ended ones included.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        Ok(clock_gettime(self.clock).context("it has ended")?.into())
    }

    /// Bytes of memory, as of now.
    pub(crate) fn rss(&self) -> anyhow::Result<u64> {
        self.status("VmRSS:")
    }

    /// Bytes of memory at most.
    pub(crate) fn peak_rss(&self) -> anyhow::Result<u64> {
        self.status("VmHWM:")
    }

    /// How often its threads waited for something and were woken; of those that have ended, up to
    /// the last look.
    pub(crate) fn wake_ups(&mut self) -> anyhow::Result<u64> {
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let thread = thread?;
            // It may end while it is looked at.
            let Ok(status) = std::fs::read_to_string(thread.path().join("status")) else {
                continue;
            };
            self.wake_ups.insert(thread.file_name(), field(&status, "voluntary_ctxt_switches:")?);
        }
        Ok(self.wake_ups.values().sum())
    }

    fn status(&self, name: &str) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        Ok(field(&status, name)? * 1024)
    }

    /// Fails if it has ended by itself.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            Some(status) => anyhow::bail!("a program under measurement ended: {status}"),
            None => Ok(()),
        }
    }

    /// Asks it to end and waits until it has.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        kill(self.pid, Signal::SIGTERM)?;
        let start = Instant::now();
        while self.child.try_wait()?.is_none() {
            anyhow::ensure!(start.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Ends it at once, whatever it is doing.
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn field(status: &str, name: &str) -> anyhow::Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).with_context(|| format!("no {name}"))
}
