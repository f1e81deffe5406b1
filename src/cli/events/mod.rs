//! `sprited events`: what the journal holds, read beside the daemon.

mod list;
mod show;

use std::io;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::{ConfigArg, Exit, complain, ended};
use crate::config::{Config, Faults};
use crate::event::Key;
use crate::journal::{self, Found, OpenError, Reader, SinkState, State};

/// Look at the events in the journal.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(list::Args),
    Show(show::Args),
}

/// Does it.
#[must_use]
pub fn run(args: &Args) -> Exit {
    let done = match &args.command {
        Command::List(args) => list::run(args),
        Command::Show(args) => show::run(args),
    };
    match done {
        Ok(exit) => exit,
        Err(Stop::Configuration(faults)) => {
            complain(faults);
            Exit::Configuration
        }
        Err(Stop::Open(error)) => {
            complain(format_args!("{error}{}", what_to_do(&error)));
            Exit::Journal
        }
        Err(Stop::Read(error)) => {
            complain(format_args!("the journal cannot be read: {error}"));
            Exit::Journal
        }
        Err(Stop::Output(error)) => ended(&error, Exit::Success),
    }
}

/// Why a command cannot go on.
#[derive(Debug)]
enum Stop {
    Configuration(Faults),
    Open(OpenError),
    Read(journal::Error),
    Output(io::Error),
}

impl From<journal::Error> for Stop {
    fn from(error: journal::Error) -> Self {
        Self::Read(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

fn open(config: &ConfigArg) -> Result<Reader, Stop> {
    let loaded = Config::load(&config.path).map_err(Stop::Configuration)?;
    Reader::open(&loaded.config.journal.path).map_err(Stop::Open)
}

/// What the error does not say, since to a daemon it means something else.
fn what_to_do(error: &OpenError) -> &'static str {
    let OpenError::File { source, .. } = error else { return "" };
    match source.kind() {
        io::ErrorKind::NotFound => {
            "; `sprited run` makes it at its first start: start it, or name the configuration it \
             was started with by --config"
        }
        io::ErrorKind::PermissionDenied => "; ask as root or as the user the service runs as",
        _ => "",
    }
}

/// An event as programs get it, its body left out.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    key: String,
    state: State,
    r#type: &'a str,
    app: u64,
    file_id: Option<&'a str>,
    task_id: Option<&'a str>,
    first_pulled: DateTime<Utc>,
    confirmed: Option<DateTime<Utc>>,
    sinks: &'a [SinkState],
}

impl<'a> Summary<'a> {
    fn of(found: &'a Found, sinks: &'a [SinkState]) -> Self {
        let event = &found.event;
        Self {
            key: event.key.to_string(),
            state: found.state,
            r#type: &event.event_type,
            app: event.app.0,
            file_id: event.file_id.as_deref(),
            task_id: event.task_id.as_deref(),
            first_pulled: event.first_pulled,
            confirmed: found.confirmed,
            sinks,
        }
    }
}

/// As much of a key as tells it from others in all likelihood.
fn short(key: Key) -> String {
    key.to_string().chars().take(12).collect()
}

/// A moment for people, to the second.
fn moment(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
