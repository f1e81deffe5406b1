//! `sprited emulator`: the cloud's event API on the local machine.

use vod_emulator::EmulatorArgs;

use super::exit::{Exit, complain, print};
use super::process::{self, Signals};
use crate::daemon::DaemonSignals;
use crate::logging;

/// Runs it until it is told to stop.
pub(super) fn run(args: EmulatorArgs) -> Exit {
    let log = logging::LogSettings {
        level: "info,vod_emulator=info".to_owned(),
        ..logging::LogSettings::default()
    };
    if let Err(error) = logging::start(&log) {
        complain(error);
        return Exit::Failure;
    }
    let run = async {
        let (signals, control) = (Signals::new()?, DaemonSignals::default());
        tokio::select! {
            ended = vod_emulator::run(args, control.stop.clone(), print) => ended,
            never = signals.obey(control) => match never {},
        }
    };
    match process::block_on(run).flatten() {
        Ok(()) => Exit::Success,
        Err(error) => {
            complain(format_args!("{error:#}"));
            Exit::Failure
        }
    }
}
