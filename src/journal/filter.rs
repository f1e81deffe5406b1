//! Which events to look at, and that in SQL.

use chrono::{DateTime, Utc};
use rusqlite::types::Value;

use super::{EventId, State};

/// Which events to list: all that every given condition holds for.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// In this state; with `sink`, in this state there.
    pub state: Option<State>,
    /// For the sink of this name, whatever became of it there.
    pub sink: Option<String>,
    /// Of this EventType.
    pub event_type: Option<String>,
    /// With this FileId.
    pub file_id: Option<String>,
    /// With this TaskId.
    pub task_id: Option<String>,
    /// First pulled at this moment or later.
    pub since: Option<DateTime<Utc>>,
    /// First pulled before this moment.
    pub until: Option<DateTime<Utc>>,
    /// Not delivered to the sink of this name.
    pub lacking: Option<String>,
    /// Stored before this one: where to read on, newest first.
    pub before: Option<EventId>,
    /// Stored after this one: where to read on, oldest first.
    pub after: Option<EventId>,
}

/// A filter as parts of a SELECT.
pub(super) struct Query {
    /// The tables, `events` among them.
    pub(super) from: &'static str,
    /// With numbered parameters; `?1` is the state over all sinks, if that is asked for, and
    /// left to the caller.
    pub(super) conditions: String,
    /// The column to order by, so that no rows but those asked for are read.
    pub(super) order: &'static str,
    pub(super) values: Vec<Value>,
}

/// Whether the event is for the sink named `?`.
const IS_FOR: &str = "EXISTS (SELECT 1 FROM sinks AS s WHERE s.name = ?
  AND (' ' || events.sinks || ' ') LIKE '% ' || s.id || ' %')";
/// Whether the sink named `?` has it, given that it is for it.
const HAS_IT: &str = "NOT EXISTS (SELECT 1 FROM sinks AS s CROSS JOIN pending AS p
    ON p.sink = s.id AND p.event = events.id WHERE s.name = ?)
  AND NOT EXISTS (SELECT 1 FROM sinks AS s CROSS JOIN dead AS d
    ON d.sink = s.id AND d.event = events.id WHERE s.name = ?)";

impl Filter {
    pub(super) fn query(&self) -> Query {
        let text = |value: &Option<String>| value.clone().map(Value::Text);
        let time = |value: Option<DateTime<Utc>>| {
            value.map(|time| Value::Integer(time.timestamp_millis()))
        };
        let at_sink = self.state.filter(|_| self.sink.is_some());
        let (from, order) = match at_sink {
            Some(State::Pending) => {
                ("pending AS x CROSS JOIN events ON events.id = x.event", "x.event")
            }
            Some(State::Dead) => ("dead AS x CROSS JOIN events ON events.id = x.event", "x.event"),
            _ => ("events", "events.id"),
        };
        let of_sink = match at_sink {
            None => IS_FOR.to_owned(),
            Some(State::Pending | State::Dead) => {
                "x.sink = (SELECT id FROM sinks WHERE name = ?)".to_owned()
            }
            Some(State::Delivered) => format!("{IS_FOR} AND {HAS_IT}"),
            Some(State::Unrouted) => "? IS NULL".to_owned(),
        };
        let lacks = format!("NOT ({IS_FOR} AND {HAS_IT})");
        let given = [
            ("type = ?", text(&self.event_type)),
            ("file_id = ?", text(&self.file_id)),
            ("task_id = ?", text(&self.task_id)),
            ("first_pulled >= ?", time(self.since)),
            ("first_pulled < ?", time(self.until)),
            (of_sink.as_str(), text(&self.sink)),
            (lacks.as_str(), text(&self.lacking)),
            (&format!("{order} < ?"), self.before.map(|event| Value::Integer(event.0))),
            (&format!("{order} > ?"), self.after.map(|event| Value::Integer(event.0))),
        ];
        let over_all = self.state.filter(|_| self.sink.is_none());
        // Few are pending or dead: no need to look at all the others.
        let mut conditions = vec![match over_all {
            Some(State::Pending) => "events.id IN (SELECT event FROM pending)".to_owned(),
            Some(State::Dead) => "events.id IN (SELECT event FROM dead)".to_owned(),
            _ => "true".to_owned(),
        }];
        let over_all = over_all.map(|state| Value::Text(state.as_str().to_owned()));
        let mut values = vec![over_all.unwrap_or(Value::Null)];
        for (condition, value) in given {
            if let Some(value) = value {
                values.push(value);
                conditions.push(condition.replace('?', &format!("?{}", values.len())));
            }
        }
        Query { from, conditions: conditions.join(" AND "), order, values }
    }
}
