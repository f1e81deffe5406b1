//! `sprited run`: the daemon.

use std::path::Path;

use super::exit::Exit;
use super::open_journal::{self, ConfigArg};
use super::process::{self, Signals};
use crate::config::{Config, Loaded};
use crate::daemon::{DaemonError, DaemonSignals, ExitReason, Prepared, warn_of_foreign_folders};
use crate::identity;
use crate::journal::{self, OpenError};
use crate::logging;
use crate::vod::credentials::{self, ProviderError};

/// Pull events, deliver them and confirm them until told to stop.
#[derive(Debug, clap::Args)]
#[command(after_help = "Signals:
  TERM, INT   stop: finish deliveries under way, in at most 25 s; a second signal, at least a second
              later, exits immediately
  HUP         reload the configuration, or log why it is rejected; reopen the sinks' files; sprited
              reload does the same and prints the result

Started as root, it reads the configuration and its secrets, then continues as the owner of the
journal's folder.

Examples:
  sprited run --config ./sprited.toml
  sprited run --once                      from cron: drain the queue and exit
  sprited run --new-journal               once, if a start reports that the journal is missing")]
pub(super) struct RunArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Exit once the queue is empty and nothing is pending; with 1 if something stays pending.
    #[arg(long)]
    once: bool,
    /// Start with a new journal if the previous one is missing: what was pending in it is lost. An
    /// existing journal stays in use.
    #[arg(long)]
    new_journal: bool,
}

pub(super) fn run(args: &RunArgs) -> Exit {
    let loaded = match Config::load(&args.config.path) {
        Ok(loaded) => loaded,
        Err(errors) => return Exit::Configuration.because(&errors),
    };
    if args.once && !loaded.config.vod.pull {
        return Exit::Usage
            .because("--once drains the queue, but [vod] pull is false: run without --once");
    }
    let log = match logging::start(&loaded.config.log) {
        Ok(log) => log,
        Err(error) => return Exit::Configuration.because(error),
    };
    loaded.warn();
    let ended = match process::block_on(daemon(loaded, log, args)) {
        Ok(ended) => ended,
        Err(error) => return Exit::Failure.because(error),
    };
    match ended {
        Ok(ExitReason::Clean) => Exit::Success,
        Ok(
            ExitReason::Forced
            | ExitReason::SomethingStays
            | ExitReason::Unreachable
            | ExitReason::Paused
            | ExitReason::SinkGone,
        ) => Exit::Failure,
        Ok(ExitReason::Credentials) => Exit::Credentials,
        Ok(ExitReason::Unwritable | ExitReason::JournalGone) => Exit::Journal,
        Err(error) => {
            let as_whom = match &error {
                DaemonError::Journal(error) => open_journal::as_whom(error),
                _ => None,
            };
            exit(&error).because(format_args!("{error}{}", as_whom.unwrap_or_default()))
        }
    }
}

/// What may pass by itself ends with a code after which a service manager starts anew.
fn exit(error: &DaemonError) -> Exit {
    match error {
        DaemonError::Journal(error) if !error.may_pass() => Exit::Journal,
        DaemonError::Refused(_) => Exit::Journal,
        DaemonError::Credentials(_) | DaemonError::Setup(_) => Exit::Configuration,
        DaemonError::Journal(_)
        | DaemonError::JournalFailed(_)
        | DaemonError::Address { .. }
        | DaemonError::TaskEnded(_) => Exit::Failure,
    }
}

async fn daemon(
    loaded: Loaded,
    log: logging::LogHandle,
    args: &RunArgs,
) -> Result<ExitReason, DaemonError> {
    let config = &loaded.config;
    let control = DaemonSignals { log: Some(log), ..DaemonSignals::default() };
    // Before anything is opened: from here on no signal ends the process half-way.
    let signals =
        Signals::new().map_err(|error| DaemonError::Setup(format!("signals: {error}")))?;
    let provider =
        credentials::provider(config.credentials.as_ref()).map_err(DaemonError::Credentials)?;
    if config.credentials.is_some() {
        // Those of the file are there or are a mistake; others may still come, and so may those of
        // a role: the loops ask for them again and tell why they have none.
        match provider.credentials().await {
            Ok(_) | Err(ProviderError::Unavailable { .. }) => {}
            Err(error) => return Err(DaemonError::Credentials(error)),
        }
    }
    let journal = config.journal.path.clone();
    let sinks = config.sinks.clone();
    let prepared = Prepared::new(loaded, provider).await?;
    // What only root can read has been read, and nothing touched that belongs to somebody else.
    if let Some(user) = identity::become_owner(&journal)? {
        let place = user.place().display();
        tracing::info!(%user, %place, "started as root; continuing as the owner of the journal's \
                                       folder");
    }
    warn_of_foreign_folders(&sinks)?;
    if args.new_journal {
        begin_anew(&journal)?;
    }
    let daemon = prepared.open().await?;
    daemon.announce();
    let run = daemon.run(control.clone(), args.once);
    tokio::select! {
        ended = run => ended,
        never = signals.obey(control) => match never {},
    }
}

fn begin_anew(path: &Path) -> Result<(), OpenError> {
    let Some(OpenError::Missing { .. }) = journal::missing(path) else { return Ok(()) };
    let kept = journal::give_up(path)?.into_iter().chain(journal::rescued(path));
    let kept: Vec<_> = kept.map(|path| path.display().to_string()).collect();
    tracing::warn!(
        journal = %path.display(),
        kept = kept.join(", "),
        "starting with a new journal; deliveries pending in the previous one are lost"
    );
    Ok(())
}
