//! The first process of a container: an init, and nothing else.
//!
//! Whoever has the id 1 inherits every process whose parent has ended, and has to reap it, else
//! each is kept for ever. A daemon that did so would take from its own children their exit status.
//! So it starts itself as a child with the same arguments, which does the work, and only passes
//! signals on, reaps and ends as that child does.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Context;
use futures_util::future::select_all;
use nix::errno::Errno;
use nix::sys::signal::{self, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::{Exit, complain};
use super::process::block_on;
use crate::sinks::exec::launcher;

/// The signals that are passed on. SIGQUIT asks a process to end, and ends the daemon as it would
/// if it had another id. SIGUSR1 and SIGUSR2 are not among them, which would end it as well: they
/// ask for other things, such as files opened anew, and the system keeps from a first process what
/// it does not handle. Who sends one by habit must not end the container.
const PASSED_ON: [signal::Signal; 4] = [
    signal::Signal::SIGHUP,
    signal::Signal::SIGINT,
    signal::Signal::SIGQUIT,
    signal::Signal::SIGTERM,
];

/// Does the work of an init, if this process has the id 1: runs the program with these arguments,
/// its name first, as a child until it ends, and returns its exit code, or 128 and the number of
/// the signal that ended it. `None`, having done nothing, if it has another id, or there can be no
/// child.
pub(super) fn run(arguments: &[OsString]) -> Option<u8> {
    if getpid() != Pid::from_raw(1) {
        return None;
    }
    match block_on(attend(arguments)).flatten() {
        Ok(code) => Some(code),
        Err(error) => {
            complain(format_args!(
                "this process has the id 1 and cannot start itself as a child to reap processes: \
                 {error:#}; it continues without, and programs of exec sinks may leave zombies; \
                 start it under an init (docker run --init)"
            ));
            None
        }
    }
}

async fn attend(arguments: &[OsString]) -> anyhow::Result<u8> {
    // Before there is a child: no signal and no end is missed.
    let mut ended = signal(SignalKind::child())?;
    let listen =
        |which: &signal::Signal| Ok((*which, signal(SignalKind::from_raw(*which as i32))?));
    let mut signals = PASSED_ON.iter().map(listen).collect::<io::Result<Vec<_>>>()?;
    let child = start(arguments).context("cannot start a child")?;
    loop {
        tokio::select! {
            _ = ended.recv() => {
                if let Some(code) = reap(child) {
                    return Ok(code);
                }
            }
            which = next(&mut signals) => {
                // Not reaped yet, so that the id is its own.
                if let Err(error) = kill(child, which) {
                    complain(format_args!("cannot pass on {which}: {error}"));
                }
            }
        }
    }
}

fn start(arguments: &[OsString]) -> io::Result<Pid> {
    // By its name where it has one: it is how the child is called in lists of processes.
    let program = std::env::current_exe().ok().filter(|path| path.exists());
    let mut command = Command::new(program.unwrap_or_else(|| launcher::SELF.into()));
    if let Some(name) = arguments.first() {
        command.arg0(name);
    }
    // The watchdog that is meant for this process is fed by the child: without this line it is
    // meant for whoever reads the others.
    if std::env::var("WATCHDOG_PID").is_ok_and(|id| id == getpid().to_string()) {
        command.env_remove("WATCHDOG_PID");
    }
    let child = command.args(arguments.iter().skip(1)).spawn()?;
    Ok(Pid::from_raw(child.id().cast_signed()))
}

async fn next(signals: &mut [(signal::Signal, Signal)]) -> signal::Signal {
    let each = signals.iter_mut().map(|(which, signal)| {
        Box::pin(async move {
            signal.recv().await;
            *which
        })
    });
    select_all(each).await.0
}

/// Reaps whatever has ended; the exit code of `child` if that is among it.
fn reap(child: Pid) -> Option<u8> {
    loop {
        let code = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(id, code)) if id == child => code,
            Ok(WaitStatus::Signaled(id, signal, _)) if id == child => 128 + signal as i32,
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => break,
            // Among errors is a signal without a name, of which it is not told whom it ended.
            Ok(_) | Err(_) => continue,
        };
        return Some(u8::try_from(code).unwrap_or(u8::MAX));
    }
    let is_gone = kill(child, None) == Err(Errno::ESRCH);
    is_gone.then(|| Exit::Failure.code())
}
