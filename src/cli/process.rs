//! The runtime and the signals of commands that keep running.

use std::io;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::daemon::DaemonSignals;

/// Signals to stop within this time after the first count as the same one.
const SAME_SIGNAL_TIME: Duration = Duration::from_secs(1);

/// Runs `work` to its end. Blocking calls that hang, on a dead disk for instance, are left behind.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    // One thread: work is handed from task to task without waking another, and what takes long
    // has threads of its own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_background();
    Ok(outcome)
}

pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Takes the signals over: from here on none ends the process half-way.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Passes the signals on to `control`. A second signal to stop exits at once, unless it comes
    /// so soon that it is the first: a terminal and a supervisor may both send it.
    pub(super) async fn obey(mut self, control: DaemonSignals) -> std::convert::Infallible {
        let mut first: Option<Instant> = None;
        loop {
            let kind = tokio::select! {
                _ = self.terminate.recv() => SignalKind::terminate(),
                _ = self.interrupt.recv() => SignalKind::interrupt(),
                _ = self.hangup.recv() => {
                    control.reload.notify_one();
                    continue;
                }
            };
            match first {
                Some(first) if first.elapsed() >= SAME_SIGNAL_TIME => end_at_once(kind, &control),
                Some(_) => {}
                None => first = Some(Instant::now()),
            }
            control.stop.cancel();
        }
    }
}

#[allow(clippy::exit, reason = "a second signal is there to end the process whatever hangs")]
fn end_at_once(signal: SignalKind, control: &DaemonSignals) -> ! {
    tracing::warn!("second signal: exiting now; unfinished deliveries will be retried");
    control.sinks.abort();
    std::process::exit(128 + signal.as_raw_value());
}
