//! Arguments that select events and sinks.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::format::moment;
use super::target::TargetEvents;
use crate::cli::completion;
use crate::cli::exit::Exit;
use crate::cli::moment::parse_moment;
use crate::cli::open_journal::CliError;
use crate::config::nearest;
use crate::event::{self, AppId, EventOrigin};
use crate::journal::{EventRow, EventState, Filter, JournalReader, KnownSink};
use crate::sanitize::one_line;

/// Types that a complaint names.
const MAX_TYPES: usize = 20;

/// Events read at once: each comes with its body, of which any number may be large.
const PAGE_EVENTS: usize = 100;

/// A state, as an argument names it.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum StateArg {
    /// At least one sink still has to take it.
    Pending,
    /// Every sink that wanted it has it.
    Delivered,
    /// At least one sink gave it up and none is pending.
    Dead,
    /// No sink wanted it.
    Unrouted,
}

impl From<StateArg> for EventState {
    fn from(state: StateArg) -> Self {
        match state {
            StateArg::Pending => Self::Pending,
            StateArg::Delivered => Self::Delivered,
            StateArg::Dead => Self::Dead,
            StateArg::Unrouted => Self::Unrouted,
        }
    }
}

/// How an event arrived first, as an argument names it.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum OriginArg {
    /// It was pulled from the queue.
    Queue,
    /// The cloud posted it.
    Callback,
    /// It was made from a finished task that no event had reported.
    Reconcile,
}

impl From<OriginArg> for EventOrigin {
    fn from(origin: OriginArg) -> Self {
        match origin {
            OriginArg::Queue => Self::Queue,
            OriginArg::Callback => Self::Callback,
            OriginArg::Reconcile => Self::Reconcile,
        }
    }
}

/// Conditions that must all hold.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct FilterArgs {
    /// Only events in this state; with --sink, in this state at that sink.
    #[arg(long, value_enum)]
    state: Option<StateArg>,
    /// Only events of the application with this SubAppId; 0 is the primary one where none is
    /// configured.
    #[arg(long, value_name = "SUBAPPID", add = completion::apps())]
    app: Option<u64>,
    /// Only events that arrived first in this way.
    #[arg(long, value_enum)]
    origin: Option<OriginArg>,
    /// Only events of this EventType.
    #[arg(long = "type", value_name = "EVENTTYPE", add = completion::event_types())]
    pub(super) event_type: Option<String>,
    /// Only events with this FileId.
    #[arg(long, value_name = "ID")]
    file: Option<String>,
    /// Only events with this TaskId.
    #[arg(long, value_name = "ID")]
    task: Option<String>,
    /// Only events first pulled at or after this moment.
    #[arg(long, value_name = "MOMENT", value_parser = parse_moment)]
    since: Option<DateTime<Utc>>,
    /// Only events first pulled before this moment.
    #[arg(long, value_name = "MOMENT", value_parser = parse_moment)]
    until: Option<DateTime<Utc>>,
}

impl FilterArgs {
    pub(super) fn state(&self) -> Option<EventState> {
        self.state.map(EventState::from)
    }

    pub(super) fn to_filter(&self) -> Filter {
        Filter {
            state: self.state(),
            app: self.app.map(AppId),
            origin: self.origin.map(EventOrigin::from),
            event_type: self.event_type.clone(),
            file_id: self.file.clone(),
            task_id: self.task.clone(),
            since: self.since,
            until: self.until,
            ..Filter::default()
        }
    }

    /// What is to be said of the type that is asked for, where it is not documented and the journal
    /// has no event of it: it may be misspelt. Such a type costs one or two reads of all events.
    pub(super) fn unknown_type(&self, reader: &JournalReader) -> Result<Option<String>, CliError> {
        let Some(named) = &self.event_type else { return Ok(None) };
        let of_type = Filter { event_type: Some(named.clone()), ..Filter::default() };
        if event::known_types().any(|known| known == named) || !reader.list(&of_type, 1)?.is_empty()
        {
            return Ok(None);
        }
        let stored = reader.types()?;
        let documented = event::known_types().map(|name| -> &str { name });
        let all = documented.chain(stored.iter().map(String::as_str));
        let advice = nearest(named, all).map_or_else(
            || match stored[..] {
                [] => "the journal has no events yet".to_owned(),
                _ => {
                    let some = stored.iter().take(MAX_TYPES).map(|name| one_line(name));
                    let more = if stored.len() > MAX_TYPES { ", …" } else { "" };
                    format!("the journal has {}{more}", some.collect::<Vec<_>>().join(", "))
                }
            },
            |meant| format!("did you mean {:?}?", one_line(meant)),
        );
        Ok(Some(format!(
            "unknown type {named:?}: no event has it, and it is not documented; {advice}"
        )))
    }

    fn is_empty(&self) -> bool {
        let Self { state, app, origin, event_type, file, task, since, until } = self;
        state.is_none()
            && app.is_none()
            && origin.is_none()
            && [event_type, file, task].iter().all(|text| text.is_none())
            && [since, until].iter().all(|time| time.is_none())
    }
}

/// The events to show.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct View {
    #[command(flatten)]
    pub(super) filter: FilterArgs,
    /// Only events for this sink.
    #[arg(long, value_name = "NAME", add = completion::sinks())]
    sink: Option<String>,
}

impl View {
    /// Returns the filter. Fails when the sink is unknown; not when the type is: see
    /// [`FilterArgs::unknown_type`].
    pub(super) fn filter(&self, reader: &JournalReader) -> Result<Filter, CliError> {
        if let Some(sink) = &self.sink {
            known(&reader.sinks()?, sink)?;
        }
        Ok(Filter { sink: self.sink.clone(), ..self.filter.to_filter() })
    }
}

/// The events to change: by their keys, or by a filter.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Selection {
    /// Keys of events, or their first digits.
    #[arg(
        value_name = "KEY",
        value_parser = parse_prefix,
        conflicts_with_all = ["state", "app", "origin", "event_type", "file", "task", "since", "until"]
    )]
    pub(super) keys: Vec<String>,
    #[command(flatten)]
    pub(super) filter: FilterArgs,
    /// Only at this sink; may be repeated.
    #[arg(long = "sink", value_name = "NAME", add = completion::sinks())]
    sinks: Vec<String>,
}

impl Selection {
    /// The sinks that were named, if any. Fails when one of them or the type is unknown, or nothing
    /// at all was chosen.
    pub(super) fn sinks(&self, reader: &JournalReader) -> Result<Option<Vec<KnownSink>>, CliError> {
        if self.keys.is_empty() && self.filter.is_empty() && self.sinks.is_empty() {
            let why = "no events selected: give keys, a sink or another condition; see --help";
            return Err(CliError::because(Exit::Usage, why));
        }
        if let Some(why) = self.filter.unknown_type(reader)? {
            return Err(CliError::because(Exit::Failure, why));
        }
        let all = reader.sinks()?;
        let mut named = Vec::new();
        for name in &self.sinks {
            let sink = known(&all, name)?;
            if !named.contains(sink) {
                named.push(sink.clone());
            }
        }
        Ok((!named.is_empty()).then_some(named))
    }

    /// The events whose keys were given, oldest first, at those of `sinks` where the state that
    /// they have there, if any, `is_left`.
    pub(super) fn by_keys(
        &self,
        reader: &JournalReader,
        sinks: Vec<KnownSink>,
        is_left: impl Fn(Option<EventState>) -> bool,
    ) -> Result<Vec<TargetEvents>, CliError> {
        let mut found = BTreeMap::new();
        for prefix in &self.keys {
            let one = by_prefix(reader, prefix)?;
            found.insert(one.id, one);
        }
        let mut targets: Vec<TargetEvents> = sinks.into_iter().map(TargetEvents::these).collect();
        for found in found.values() {
            let states = reader.sinks_of(found.id)?;
            for target in &mut targets {
                let there = states.iter().find(|at| at.sink == target.sink.name);
                if is_left(there.map(|at| at.state)) {
                    target.push(found);
                }
            }
        }
        Ok(targets)
    }
}

pub(super) fn known<'s>(sinks: &'s [KnownSink], name: &str) -> Result<&'s KnownSink, CliError> {
    sinks.iter().find(|sink| sink.name == name).ok_or_else(|| {
        let names: Vec<&str> = sinks.iter().map(|sink| sink.name.as_str()).collect();
        let names = if names.is_empty() { "no sink yet".to_owned() } else { names.join(", ") };
        let why = format!(
            "unknown sink {name:?}; the journal knows {names}. A new sink is known once the \
             daemon has started with it"
        );
        CliError::because(Exit::Failure, why)
    })
}

/// Calls `work` with the events for which `filter` holds, up to `limit` of them, the newest
/// first. Reads page by page, so that memory does not grow with their number.
pub(super) fn each(
    reader: &JournalReader,
    mut filter: Filter,
    limit: usize,
    mut work: impl FnMut(&EventRow) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let mut left = limit;
    while left > 0 {
        let asked = left.min(PAGE_EVENTS);
        let page = reader.list(&filter, asked)?;
        page.iter().try_for_each(&mut work)?;
        if page.len() < asked {
            break;
        }
        left -= page.len();
        filter.before = page.last().map(|found| found.id);
    }
    Ok(())
}

pub(in crate::cli) fn parse_prefix(text: &str) -> Result<String, &'static str> {
    if (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(text.to_ascii_lowercase());
    }
    Err("expected an event's key, 32 hex digits, or its first digits")
}

/// The one event whose key begins with `prefix`. Fails when there is none, or more than one: then
/// it names them.
pub(super) fn by_prefix(reader: &JournalReader, prefix: &str) -> Result<EventRow, CliError> {
    let keys = reader.keys(prefix)?;
    if let [_, _, ..] = keys[..] {
        let mut lines = vec![format!("more than one key begins with {prefix}:")];
        for key in &keys {
            if let Some(EventRow { event, state, .. }) = reader.find(*key)? {
                let (time, kind) = (moment(event.first_pulled), one_line(&event.event_type));
                lines.push(format!("  {key}  {time}  {kind}  {}", state.as_str()));
            }
        }
        if keys.len() == JournalReader::MAX_KEYS {
            lines.push("  … and perhaps others".to_owned());
        }
        return Err(CliError::because(Exit::Failure, lines.join("\n")));
    }
    let found = keys.first().map(|key| reader.find(*key)).transpose()?;
    found.flatten().ok_or_else(|| {
        let why = format!("the journal has no event whose key begins with {prefix}");
        CliError::because(Exit::Failure, why)
    })
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::super::format::moment;
    use super::*;

    #[test]
    fn a_moment_is_a_date_or_a_time_back() {
        let date = parse_moment("2026-01-31T14:00:00+02:00").unwrap();
        assert_eq!(moment(date), "2026-01-31T12:00:00Z");
        assert_eq!(moment(parse_moment("2026-01-31").unwrap()), "2026-01-31T00:00:00Z");
        let back = Utc::now() - parse_moment("7d").unwrap();
        assert!((back - TimeDelta::days(7)).abs() < TimeDelta::minutes(1), "{back}");
        for wrong in ["", "yesterday", "7", "2026-02-30", "2026-1-5", "20260131", "999999999999y"] {
            assert!(parse_moment(wrong).is_err(), "{wrong}");
        }
    }
}
