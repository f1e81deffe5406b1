//! `sprited pause` and `sprited resume`: pulling stops and goes on.

use chrono::Utc;

use super::control::AskedDaemon;
use super::exit::{Exit, answer, json_line};
use super::open_journal::{self, CliError, ConfigArg};
use crate::journal::Pausable;

/// Pause pulling, of all applications.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "No pull starts until `sprited resume`, not even after a restart of the daemon. Pulls in flight end
and are stored; deliveries, confirmations and posted events go on. Reconciliation waits: what is in
the queue is not missing. The cloud keeps an event for 4 days: after 3, the daemon is not ready.

Where no daemon runs, the next one starts paused; `sprited run --once` then ends with 1.

Exit code: 0 if pulling is paused, also if it was before; 1 if a daemon does not answer; 74 if there
is no journal. With --json, the answer has paused, changed, since and daemon (whether one runs).

Examples:
  sprited pause
  sprited resume"
)]
pub(super) struct PauseArgs {
    #[command(flatten)]
    common: Common,
}

/// Resume pulling after a pause.
#[derive(Debug, clap::Args)]
#[command(after_help = "The daemon pulls at once. Where none runs, the next one does.

Exit code: 0 if pulling is not paused, also if it was not before; 1 if a daemon does not answer; 74
if there is no journal. With --json, the answer has paused, changed, since and daemon (whether one
runs).

Examples:
  sprited resume
  sprited resume --json")]
pub(super) struct ResumeArgs {
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Common {
    #[command(flatten)]
    config: ConfigArg,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn pause(args: &PauseArgs) -> Exit {
    open_journal::end(set_paused(&args.common, true))
}

pub(super) fn resume(args: &ResumeArgs) -> Exit {
    open_journal::end(set_paused(&args.common, false))
}

fn set_paused(common: &Common, pause: bool) -> Result<Exit, CliError> {
    let outcome = AskedDaemon::of(&common.config)?.set_paused(Pausable::Pulling, pause)?;
    let text = if common.json {
        json_line(&outcome)?
    } else {
        let mut words = outcome.words("pulling", Utc::now());
        if outcome.begins() {
            words += "; events wait in the cloud, for 4 days at most: `sprited resume` pulls them";
        }
        words + "\n"
    };
    Ok(answer(text.as_bytes(), Exit::Success))
}
