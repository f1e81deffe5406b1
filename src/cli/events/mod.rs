//! `sprited events`: what the journal holds, looked at and changed beside the daemon.

mod bulk;
mod discard;
mod list;
mod redeliver;
mod selection;
mod show;
pub mod tail;
mod target;

use std::io;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::Exit;
use super::open_journal::{self, CliError, open};
use super::text::plain;
use crate::event::Key;
use crate::journal::{EventRow, EventState, SinkState};

/// Look at the events in the journal; deliver them again, or discard them.
#[derive(Debug, clap::Args)]
pub struct EventsArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Redeliver(redeliver::RedeliverArgs),
    Discard(discard::DiscardArgs),
}

/// Does it.
#[must_use]
pub fn run(args: &EventsArgs) -> Exit {
    open_journal::end(match &args.command {
        Command::List(args) => list::run(args),
        Command::Show(args) => show::run(args),
        Command::Redeliver(args) => redeliver::run(args),
        Command::Discard(args) => discard::run(args),
    })
}

/// An event as programs get it, its body left out.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    key: String,
    state: EventState,
    r#type: &'a str,
    app: u64,
    file_id: Option<&'a str>,
    task_id: Option<&'a str>,
    first_pulled: DateTime<Utc>,
    confirmed: Option<DateTime<Utc>>,
    sinks: &'a [SinkState],
}

impl<'a> Summary<'a> {
    fn of(found: &'a EventRow, sinks: &'a [SinkState]) -> Self {
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

impl SinkState {
    /// Its name, and whether the daemon has it at all.
    fn label(&self) -> String {
        let name = plain(&self.sink);
        if self.active { name } else { format!("{name} (not in the configuration)") }
    }
}

/// An answer for programs, on one line.
fn json_line(answer: &impl Serialize) -> io::Result<String> {
    Ok(serde_json::to_string(answer)? + "\n")
}

/// As much of a key as tells it from others in all likelihood.
fn short(key: Key) -> String {
    key.to_string().chars().take(12).collect()
}

/// A moment for people, to the second.
fn moment(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
