//! Running programs, each in a process group of its own, and all of them known to the process.
//!
//! A program goes with the value that holds it; [`kill_all`] is for an end of the process that
//! drops no values.

use std::collections::BTreeSet;
use std::io;
use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Programs that wait for their start at most.
const MAX_STARTING: usize = 256;
/// How long [`kill_all`] waits for those.
const START_TIME: Duration = Duration::from_secs(1);

static LIVE: Mutex<Live> =
    Mutex::new(Live { groups: BTreeSet::new(), starting: 0, starter: None, is_over: false });
static STARTED: Condvar = Condvar::new();

struct Live {
    groups: BTreeSet<i32>,
    /// Programs that are being started and whose groups are not known yet.
    starting: usize,
    /// What the thread that starts them takes, once there is one.
    starter: Option<SyncSender<Request>>,
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
pub(super) struct ProcessGroup {
    pub(super) child: Child,
    entry: Option<Entry>,
}

impl ProcessGroup {
    /// Starts the program. Dropped before it has started, the program is killed as it does.
    pub(super) async fn spawn(command: Command) -> io::Result<Self> {
        let (reply, started) = oneshot::channel();
        let starting = Starting::new()?;
        let request = Request { command, runtime: Handle::current(), starting, reply };
        let is_gone = || io::Error::other("the thread that starts programs has ended");
        starter()?.send(request).map_err(|_| is_gone())?;
        started.await.map_err(|_| is_gone())?
    }

    fn start(mut command: Command) -> io::Result<Self> {
        let child = command.process_group(0).kill_on_drop(true).spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let entry = id.map(|id| {
            live().groups.insert(id);
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

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A program that is to be started.
struct Request {
    command: Command,
    /// Of whoever waits for the program.
    runtime: Handle,
    starting: Starting,
    reply: oneshot::Sender<io::Result<ProcessGroup>>,
}

/// What the thread takes that starts programs. It lives as long as the process, since the kernel
/// kills a program when the *thread* that started it ends: those of the runtime come and go. What a
/// program's disk holds up it does not wait for: it starts the launcher, which is this program.
fn starter() -> io::Result<SyncSender<Request>> {
    let mut live = live();
    if let Some(starter) = &live.starter {
        return Ok(starter.clone());
    }
    // Each that waits is counted as starting, so that there is always room.
    let (starter, requests) = sync_channel(MAX_STARTING);
    let thread = std::thread::Builder::new().name("programs".to_owned());
    thread.spawn(move || start_each(&requests))?;
    Ok(live.starter.insert(starter).clone())
}

fn start_each(requests: &Receiver<Request>) {
    while let Ok(Request { command, runtime, starting, reply }) = requests.recv() {
        let entered = runtime.enter();
        let started = ProcessGroup::start(command);
        // Only now: `kill_all` misses none.
        drop(starting);
        drop(reply.send(started));
        drop(entered);
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
            let why = "too many are still being started; does the disk of sprited itself hang?";
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
