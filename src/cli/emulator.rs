//! `sprited emulator`: the cloud's event API on the local machine.

use vod_emulator::EmulatorArgs;

use super::exit::{Exit, print};
use super::process::{self, Signals};
use crate::daemon::DaemonSignals;
use crate::logging;

pub(super) fn run(args: EmulatorArgs) -> Exit {
    let log = logging::LogSettings {
        level: "info,vod_emulator=info".to_owned(),
        ..logging::LogSettings::default()
    };
    if let Err(error) = logging::start(&log) {
        return Exit::Failure.because(error);
    }
    let run = async {
        let (signals, control) = (Signals::new()?, DaemonSignals::default());
        tokio::select! {
            ended = vod_emulator::run(args, control.stop.clone(), print) => ended,
            never = signals.obey(control) => match never {},
        }
    };
    let ended = process::block_on(run).flatten();
    ended.map_or_else(|error| Exit::Failure.because(format_args!("{error:#}")), |()| Exit::Success)
}
