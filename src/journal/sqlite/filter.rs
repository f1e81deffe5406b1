//! Which events are asked for, and that in SQL.

use chrono::{DateTime, Utc};
use rusqlite::types::Value;

use super::rows::origin_number;
use crate::event::{AppId, EventOrigin};
use crate::journal::types::{EventId, EventState};

/// Which events to list: all that every given condition holds for.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// In this state; with `sink`, in this state there.
    pub state: Option<EventState>,
    /// For the sink of this name, whatever became of it there.
    pub sink: Option<String>,
    /// Pulled from this application.
    pub app: Option<AppId>,
    /// That arrived first in this way.
    pub origin: Option<EventOrigin>,
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
    /// Not for the sink of this name, whatever its state elsewhere.
    pub not_for: Option<String>,
    /// Not delivered to the sink of this name.
    pub lacking: Option<String>,
    /// Not pending at another sink that the sink of this name follows.
    pub not_awaited_by: Option<String>,
    /// Stored before this one: where to read on, newest first.
    pub before: Option<EventId>,
    /// Stored after this one: where to read on, oldest first.
    pub after: Option<EventId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    NewestFirst,
    OldestFirst,
}

/// A filter as parts of a SELECT.
pub(super) struct Query {
    /// The tables, `events` among them.
    pub(super) from: String,
    /// With numbered parameters; `?1` is the state over all sinks, if that is asked for, and
    /// left to the caller; `?2` is where the numbers begin.
    pub(super) conditions: String,
    /// So that no rows but those asked for are read; nothing where they come in order.
    pub(super) order_by: String,
    pub(super) values: Vec<Value>,
}

/// Whether no sink still has to take the event before the sink named `?`: see followers.rs.
const NOT_AWAITED: &str = "NOT EXISTS (
  SELECT 1 FROM sinks AS before CROSS JOIN pending AS there
    ON there.sink = before.id AND there.event = events.id
  WHERE there.followers IS NOT NULL AND ' ' || replace(there.followers, '(', ' ')
    GLOB '* ' || (SELECT id FROM sinks WHERE name = ?) || '[sdx]*')";

/// Whether the event is for the sink named `?`.
const IS_FOR: &str = "EXISTS (SELECT 1 FROM sinks AS s WHERE s.name = ?
  AND (' ' || events.sinks || ' ') LIKE '% ' || s.id || ' %')";
/// Whether the sink named `?` has it, given that it is for it.
const HAS_IT: &str = "NOT EXISTS (SELECT 1 FROM sinks AS s CROSS JOIN pending AS p
    ON p.sink = s.id AND p.event = events.id WHERE s.name = ?)
  AND NOT EXISTS (SELECT 1 FROM sinks AS s CROSS JOIN dead AS d
    ON d.sink = s.id AND d.event = events.id WHERE s.name = ?)";

impl Filter {
    pub(super) fn query(&self, order: Order) -> Query {
        let text = |value: &Option<String>| value.clone().map(Value::Text);
        let time = |value: Option<DateTime<Utc>>| {
            value.map(|time| Value::Integer(time.timestamp_millis()))
        };
        let at_sink = self.state.filter(|_| self.sink.is_some());
        let over_all = self.state.filter(|_| self.sink.is_none());
        let of = |table: &str| format!("{table} AS x CROSS JOIN events ON events.id = x.event");
        let (from, number) = match (at_sink, over_all) {
            (Some(EventState::Pending), _) => (of("pending"), "x.event"),
            (Some(EventState::Dead), _) => (of("dead"), "x.event"),
            (_, Some(EventState::Pending)) => (of(&order.walk("pending")), "x.event"),
            (_, Some(EventState::Dead)) => (of(&order.walk("dead")), "x.event"),
            _ => ("events".to_owned(), "events.id"),
        };
        let order_by = match (over_all, order) {
            (Some(EventState::Pending | EventState::Dead), _) => String::new(),
            (_, Order::NewestFirst) => format!("ORDER BY {number} DESC"),
            (_, Order::OldestFirst) => format!("ORDER BY {number}"),
        };
        let of_sink = match at_sink {
            None => IS_FOR.to_owned(),
            Some(EventState::Pending | EventState::Dead) => {
                "x.sink = (SELECT id FROM sinks WHERE name = ?)".to_owned()
            }
            Some(EventState::Delivered) => format!("{IS_FOR} AND {HAS_IT}"),
            Some(EventState::Unrouted) => "? IS NULL".to_owned(),
        };
        let is_not_for = format!("NOT {IS_FOR}");
        let lacks = format!("NOT ({IS_FOR} AND {HAS_IT})");
        let given = [
            ("app = ?", self.app.map(|app| Value::Integer(app.0.cast_signed()))),
            ("origin = ?", self.origin.map(|origin| Value::Integer(origin_number(origin)))),
            ("type = ?", text(&self.event_type)),
            ("file_id = ?", text(&self.file_id)),
            ("task_id = ?", text(&self.task_id)),
            ("first_pulled >= ?", time(self.since)),
            ("first_pulled < ?", time(self.until)),
            (of_sink.as_str(), text(&self.sink)),
            (is_not_for.as_str(), text(&self.not_for)),
            (lacks.as_str(), text(&self.lacking)),
            (NOT_AWAITED, text(&self.not_awaited_by)),
            (&format!("{number} < ?"), self.before.map(|event| Value::Integer(event.0))),
            (&format!("{number} > ?"), self.after.map(|event| Value::Integer(event.0))),
        ];
        let mut conditions = vec![format!("{number} {} ?2", order.beyond())];
        let over_all = over_all.map(|state| Value::Text(state.as_str().to_owned()));
        let start = match order {
            Order::NewestFirst => self.before.map_or(i64::MAX, |event| event.0),
            Order::OldestFirst => self.after.map_or(i64::MIN, |event| event.0),
        };
        let mut values = vec![over_all.unwrap_or(Value::Null), Value::Integer(start)];
        for (condition, value) in given {
            if let Some(value) = value {
                values.push(value);
                conditions.push(condition.replace('?', &format!("?{}", values.len())));
            }
        }
        Query { from, conditions: conditions.join(" AND "), order_by, values }
    }
}

impl Order {
    /// How a number compares to the one it comes after.
    fn beyond(self) -> &'static str {
        match self {
            Self::NewestFirst => "<",
            Self::OldestFirst => ">",
        }
    }

    /// The numbers of the events in `table`, which has a row for each sink, without those of
    /// several sinks twice: a step from each to the next, by the primary key at each sink. It
    /// takes as many steps as rows are asked for; a list of all would be made before the first.
    fn walk(self, table: &str) -> String {
        let next = if self == Self::NewestFirst { "max" } else { "min" };
        let beyond = self.beyond();
        let step = |from: &str| {
            format!(
                "(SELECT {next}((SELECT {next}(event) FROM {table}
                                 WHERE sink = sinks.id AND event {beyond} {from})) FROM sinks)"
            )
        };
        format!(
            "(WITH RECURSIVE walk(event) AS (
                SELECT {} UNION ALL SELECT {} FROM walk WHERE walk.event IS NOT NULL)
              SELECT event FROM walk WHERE event IS NOT NULL)",
            step("?2"),
            step("walk.event")
        )
    }
}
