//! Running programs, each in a process group of its own, and all of them known to the process.
//!
//! A program goes with the value that holds it; [`kill_all`] is for an end of the process that
//! drops no values.

use std::collections::BTreeSet;
use std::io;
use std::process::ExitStatus;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::task::spawn_blocking;

/// Programs that are being started at most: each has a thread, for ever if its disk hangs.
const MAX_STARTING: usize = 256;
/// How long [`kill_all`] waits for those.
const START_TIME: Duration = Duration::from_secs(1);

static LIVE: Mutex<Live> =
    Mutex::new(Live { groups: BTreeSet::new(), starting: 0, is_over: false });
static STARTED: Condvar = Condvar::new();

struct Live {
    groups: BTreeSet<i32>,
    /// Programs that are being started and whose groups are not known yet.
    starting: usize,
    is_over: bool,
}

fn live() -> MutexGuard<'static, Live> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills every program that a sink `exec` has running, with its group, and lets none start any
/// more. For right before the process ends; returns without waiting for them to be gone, but
/// blocks for up to a second for those that are just being started.
pub fn kill_all() {
    let mut live = live();
    live.is_over = true;
    let waited = STARTED.wait_timeout_while(live, START_TIME, |live| live.starting > 0);
    (live, _) = waited.unwrap_or_else(PoisonError::into_inner);
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
    /// Starts the program. Dropped before it has started, the program is killed as it does.
    pub(super) async fn spawn(command: Command) -> io::Result<Self> {
        spawn_blocking(move || Self::start(command)).await?
    }

    /// Blocks until the system has read the program's file: a tenth of a millisecond, if its disk
    /// does not hang.
    fn start(mut command: Command) -> io::Result<Self> {
        let starting = Starting::new()?;
        let child = command.process_group(0).kill_on_drop(true).spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let entry = id.map(|id| {
            live().groups.insert(id);
            Entry(id)
        });
        // Only now: `kill_all` misses none.
        drop(starting);
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

/// A program that is being started.
struct Starting;

impl Starting {
    fn new() -> io::Result<Self> {
        let mut live = live();
        if live.is_over {
            return Err(io::Error::other("the daemon is about to end"));
        }
        if live.starting >= MAX_STARTING {
            let why = "too many are still being started; does the disk hang that holds them?";
            return Err(io::Error::other(why));
        }
        live.starting += 1;
        Ok(Self)
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        live().starting -= 1;
        STARTED.notify_all();
    }
}

/// A place among the living.
struct Entry(i32);

impl Drop for Entry {
    fn drop(&mut self) {
        live().groups.remove(&self.0);
    }
}
