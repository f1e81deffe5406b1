//! Running programs, each in a process group of its own, and all of them known to their sink.
//!
//! A program is killed with the value that holds it; [`Programs::abort`] is for an end of the
//! process that drops no values.

use std::collections::BTreeSet;
use std::io;
use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::sync::lock;

/// Programs that wait for their start at most.
const MAX_STARTING: usize = 256;
/// How long [`Programs::abort`] waits for those.
const START_TIMEOUT: Duration = Duration::from_secs(1);

/// The programs of a sink, running or being started.
#[derive(Debug, Default)]
pub(super) struct Programs {
    state: Mutex<ProgramsState>,
    started: Condvar,
}

#[derive(Debug, Default)]
struct ProgramsState {
    groups: BTreeSet<i32>,
    /// Programs that are being started and whose groups are not known yet.
    starting: usize,
    /// What the thread that starts them receives from, once there is one.
    starter: Option<SyncSender<Request>>,
    is_aborted: bool,
}

impl Programs {
    /// Kills every program with its group, and lets none start any more. Returns without waiting
    /// for them to be gone, but blocks for up to a second for those that are just being started.
    pub(super) fn abort(&self) {
        let mut state = lock(&self.state);
        state.is_aborted = true;
        let waited =
            self.started.wait_timeout_while(state, START_TIMEOUT, |state| state.starting > 0);
        (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        for id in std::mem::take(&mut state.groups) {
            kill(id);
        }
    }

    /// Starts a program. Dropped before it has started, the program is killed as it does.
    pub(super) async fn spawn(self: &Arc<Self>, command: Command) -> io::Result<ProcessGroup> {
        let (reply, started) = oneshot::channel();
        let starting = Starting::new(self)?;
        let request = Request { command, runtime: Handle::current(), starting, reply };
        let is_gone = || io::Error::other("the thread that starts programs has ended");
        self.starter()?.send(request).map_err(|_| is_gone())?;
        started.await.map_err(|_| is_gone())?
    }

    /// Returns the way to the thread that starts programs. It lives as long as one of them, since
    /// the kernel kills a program when the *thread* that started it ends: those of the runtime come
    /// and go. It does not wait for the disk of a program: it starts the launcher, which is sprited
    /// itself.
    fn starter(&self) -> io::Result<SyncSender<Request>> {
        let mut state = lock(&self.state);
        if let Some(starter) = &state.starter {
            return Ok(starter.clone());
        }
        // Each that waits is counted as starting, so that there is always room.
        let (starter, requests) = sync_channel(MAX_STARTING);
        let thread = std::thread::Builder::new().name("programs".to_owned());
        thread.spawn(move || start_each(&requests))?;
        Ok(state.starter.insert(starter).clone())
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
    registration: Option<Registration>,
}

impl ProcessGroup {
    fn start(mut command: Command, programs: &Arc<Programs>) -> io::Result<Self> {
        let child = command.process_group(0).kill_on_drop(true).spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let registration = id.map(|id| {
            lock(&programs.state).groups.insert(id);
            Registration { id, programs: Arc::clone(programs) }
        });
        Ok(Self { child, registration })
    }

    /// Waits for the program's end. What it left running is its own affair from then on. May
    /// be dropped and called again.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.registration = None;
        Ok(status)
    }

    /// Kills the whole group. Once the program was waited for, another could have its id.
    pub(super) fn kill(&self) {
        if let Some(Registration { id, .. }) = &self.registration {
            kill(*id);
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
    }
}

struct Request {
    command: Command,
    /// Of whoever waits for the program.
    runtime: Handle,
    starting: Starting,
    reply: oneshot::Sender<io::Result<ProcessGroup>>,
}

fn start_each(requests: &Receiver<Request>) {
    while let Ok(Request { command, runtime, starting, reply }) = requests.recv() {
        let entered = runtime.enter();
        let started = ProcessGroup::start(command, &starting.0);
        // Only now: `abort` misses none.
        drop(starting);
        drop(reply.send(started));
        drop(entered);
    }
}

#[derive(Debug)]
struct Starting(Arc<Programs>);

impl Starting {
    fn new(programs: &Arc<Programs>) -> io::Result<Self> {
        let mut state = lock(&programs.state);
        if state.is_aborted {
            return Err(io::Error::other("the daemon is about to end"));
        }
        if state.starting >= MAX_STARTING {
            let why = "too many programs are still being started; does the disk of the sprited \
                       program hang?";
            return Err(io::Error::other(why));
        }
        state.starting += 1;
        Ok(Self(Arc::clone(programs)))
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        lock(&self.0.state).starting -= 1;
        self.0.started.notify_all();
    }
}

struct Registration {
    id: i32,
    programs: Arc<Programs>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        lock(&self.programs.state).groups.remove(&self.id);
    }
}
