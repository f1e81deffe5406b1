//! Running programs, each in a process group of its own, and all of them known to the process.
//!
//! A program goes with the value that holds it; [`kill_all`] is for an end of the process that
//! drops no values.

use std::collections::BTreeSet;
use std::io;
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

static LIVE: Mutex<Live> = Mutex::new(Live { groups: BTreeSet::new(), is_over: false });

struct Live {
    groups: BTreeSet<i32>,
    is_over: bool,
}

fn live() -> MutexGuard<'static, Live> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills every program that a sink `exec` has running, with its group, and lets none start any
/// more. For right before the process ends; returns without waiting for them to be gone.
pub fn kill_all() {
    let mut live = live();
    live.is_over = true;
    for id in std::mem::take(&mut live.groups) {
        kill(id);
    }
}

fn kill(id: i32) {
    if let Err(error) = killpg(Pid::from_raw(id), Signal::SIGKILL) {
        tracing::debug!(%error, id, "the process group is gone already");
    }
}

/// A running program. Dropped before its end it is killed with its group; the runtime reaps it.
pub(super) struct Group {
    pub(super) child: Child,
    entry: Option<Entry>,
}

impl Group {
    /// Starts the program.
    pub(super) fn spawn(command: &mut Command) -> io::Result<Self> {
        // Held meanwhile: `kill_all` misses none that is just being started.
        let mut live = live();
        if live.is_over {
            return Err(io::Error::other("the daemon is about to end"));
        }
        let child = command.process_group(0).kill_on_drop(true).spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let entry = id.map(|id| {
            live.groups.insert(id);
            Entry(id)
        });
        Ok(Self { child, entry })
    }

    /// Waits for the program's end. What it left running is its own affair from then on. May
    /// be dropped and called again.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.entry = None;
        Ok(status)
    }

    /// Kills the whole group. Once the program was waited for, another could have its id.
    pub(super) fn kill(&self) {
        if let Some(Entry(id)) = &self.entry {
            kill(*id);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A place among the living.
struct Entry(i32);

impl Drop for Entry {
    fn drop(&mut self) {
        live().groups.remove(&self.0);
    }
}
