//! `sprited events show`: one event in full.

use std::io;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::format::{EventSummary, label, moment, then};
use super::selection::{by_prefix, parse_prefix};
use crate::cli::exit::{Exit, answer};
use crate::cli::open_journal::{CliError, ConfigArg};
use crate::event::{ImageSprite, SpriteStatus};
use crate::journal::{Attempt, EventRow, EventState, JournalReader, SinkState};
use crate::sanitize::{self, one_line};
use crate::units::counted;

/// Show one event as it was received, and what became of it.
///
/// Of an event that has failed at a sink, it shows the times of the last 20 attempts with their
/// errors, the next try, and the time of the delivery. Of one that is pending at a sink, it shows
/// which sinks get it after that.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "With --json, it prints what `events list --json` prints of an event, and also: replaced (whether
bytes that were not UTF-8 were replaced), sprites (as sinks receive them), and event (as received;
null if it was pruned for space).

Example:
  sprited events show 3f9a2c"
)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The event's key, or its first digits.
    #[arg(value_parser = parse_prefix)]
    key: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ShowArgs) -> Result<Exit, CliError> {
    let reader = JournalReader::open(&args.config.to_read_as_owner()?.journal)?;
    let found = by_prefix(&reader, &args.key)?;
    let sinks = reader.sinks_of(found.id)?;
    let text = if args.json { json(&found, &sinks)? } else { text(&found, &sinks) };
    Ok(answer(text.as_bytes(), Exit::Success))
}

#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    summary: EventSummary<'a>,
    /// Whether bytes that were not UTF-8 were replaced.
    replaced: bool,
    sprites: &'a [ImageSprite],
    /// As received; null where it was pruned for space.
    event: Option<&'a RawValue>,
}

fn json(found: &EventRow, sinks: &[SinkState]) -> io::Result<String> {
    let event = &found.event;
    let body = (!found.is_pruned)
        .then(|| RawValue::from_string(event.body.clone()).or_else(|_| to_raw_value(&event.body)))
        .transpose()?;
    let whole = Whole {
        summary: EventSummary::of(found, sinks),
        replaced: event.replaced,
        sprites: &event.sprites,
        event: body.as_deref(),
    };
    // The pretty form of serde_json would leave the body on one line.
    let text = pretty_json(&serde_json::to_string(&whole)?);
    Ok(format!("{}\n", sanitize::json(&text)))
}

fn text(found: &EventRow, sinks: &[SinkState]) -> String {
    let EventRow { event, state, confirmed, is_pruned, .. } = found;
    let or_dash = |id: &Option<String>| id.as_deref().map_or_else(|| "-".to_owned(), one_line);
    // What did not come under a handle never is, unless it is pulled as well.
    let unconfirmed = || event.origin.name().map_or("not yet", |_| "-").to_owned();
    let mut lines = vec![
        format!("key           {}", event.key),
        format!("type          {}", one_line(&event.event_type)),
        format!("state         {}", state.as_str()),
        format!("application   {}", event.app),
        format!("file          {}", or_dash(&event.file_id)),
        format!("task          {}", or_dash(&event.task_id)),
        format!("first pulled  {}", exact(event.first_pulled)),
        format!("confirmed     {}", confirmed.map_or_else(unconfirmed, exact)),
    ];
    lines.extend(event.origin.name().map(|origin| format!("origin        {origin}")));
    if event.replaced {
        lines.push("note          bytes that were not UTF-8 were replaced".to_owned());
    }
    if !sinks.is_empty() {
        lines.push("\nsinks".to_owned());
        lines.extend(sinks.iter().flat_map(of_sink));
    }
    if !event.sprites.is_empty() {
        lines.push("\nsprites".to_owned());
        lines.extend(event.sprites.iter().flat_map(of_sprite));
    }
    lines.push("\nevent".to_owned());
    lines.push(if *is_pruned {
        "  pruned for space; its key stays as long as a repeat may come".to_owned()
    } else {
        sanitize::json(&pretty_json(&event.body))
    });
    lines.push(String::new());
    lines.join("\n")
}

fn exact(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn of_sink(sink: &SinkState) -> Vec<String> {
    let mut first = format!("  {}: {}", label(sink), sink.state.as_str());
    match (sink.state, sink.attempts, sink.due) {
        (EventState::Pending, 0, None) => first.push_str(", not tried"),
        (EventState::Pending, 0, Some(_)) => first.push_str(", not tried since it was redelivered"),
        (EventState::Pending | EventState::Dead, attempts, _) => {
            first.push_str(&format!(" after {}", counted(attempts.into(), "attempt")));
        }
        (EventState::Delivered | EventState::Unrouted, ..) => {}
    }
    first.extend(sink.due.map(|due| format!(", next try {}", moment(due))));
    first.extend(sink.delivered.map(|at| format!(" {}", moment(at))));
    first.push_str(&then(sink));
    let mut lines = vec![first];
    lines.extend(dropped_failure(sink));
    // What the first line says is not said again.
    let said = usize::from(sink.delivered.is_some());
    let attempts = &sink.last_attempts[..sink.last_attempts.len() - said];
    lines.extend(attempts.chunk_by(|a, b| a.error == b.error).map(alike));
    lines
}

/// The first failure, where there were too many since for it to be among the attempts.
fn dropped_failure(sink: &SinkState) -> Option<String> {
    let (at, error) = (sink.first_failed?, sink.first_error.as_deref()?);
    let is_dropped = sink.last_attempts.first().is_none_or(|oldest| oldest.at > at);
    is_dropped.then(|| format!("    first failure {}: {}", moment(at), one_line(error)))
}

/// Attempts that ended in the same way, in one line. A day is said once.
fn alike(attempts: &[Attempt]) -> String {
    let mut day = None;
    let times = attempts.iter().map(|attempt| {
        let is_same_day = day.replace(attempt.at.date_naive()) == Some(attempt.at.date_naive());
        if is_same_day { attempt.at.format("%H:%M:%SZ").to_string() } else { moment(attempt.at) }
    });
    let times = times.collect::<Vec<_>>().join(", ");
    match attempts.first().and_then(|attempt| attempt.error.as_deref()) {
        Some(error) => format!("    failed {times}: {}", one_line(error)),
        None => format!("    delivered {times}"),
    }
}

fn of_sprite(sprite: &ImageSprite) -> Vec<String> {
    let mut parts = vec![match sprite.status {
        SpriteStatus::Success => "done".to_owned(),
        SpriteStatus::Fail => "failed".to_owned(),
        SpriteStatus::Processing => "not finished".to_owned(),
    }];
    parts.extend(sprite.definition.map(|definition| format!("definition {definition}")));
    parts.extend(sprite.tile_count.map(|count| match (sprite.tile_width, sprite.tile_height) {
        (Some(width), Some(height)) => format!("{count} tiles of {width}×{height}"),
        _ => format!("{count} tiles"),
    }));
    if !sprite.sheets.is_empty() {
        parts.push(counted(sprite.sheets.len() as u64, "sheet"));
    }
    let mut lines = vec![format!("  {}", parts.join(", "))];
    if let Some(error) = &sprite.error {
        lines.push(format!("    {}: {}", one_line(&error.code), one_line(&error.message)));
    }
    lines.extend(sprite.sheets.iter().map(|url| format!("    sheet {}", one_line(url))));
    lines.extend(sprite.vtt_url.iter().map(|url| format!("    index {}", one_line(url))));
    lines
}

/// How deep a container may be and still stand on lines of its own: a body that is nothing but
/// brackets would otherwise grow with the square of its length.
const MAX_DEPTH: usize = 32;

/// Well-formed JSON on several lines, token for token: numbers and repeated members stay as
/// they are.
pub(super) fn pretty_json(json: &str) -> String {
    let mut pretty = String::with_capacity(json.len() * 2);
    let line = |pretty: &mut String, depth: usize| {
        pretty.push('\n');
        pretty.extend(std::iter::repeat_n("  ", depth));
    };
    let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
    let mut characters = json.chars().filter(|c| *c != '\n').peekable();
    while let Some(c) = characters.next() {
        if in_string {
            in_string = is_escaped || c != '"';
            is_escaped = !is_escaped && c == '\\';
            pretty.push(c);
            continue;
        }
        match c {
            '{' | '[' => {
                depth += 1;
                pretty.push(c);
                if let Some(end) = characters.next_if(|next| matches!(next, '}' | ']')) {
                    depth = depth.saturating_sub(1);
                    pretty.push(end);
                } else if depth <= MAX_DEPTH {
                    line(&mut pretty, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                if depth < MAX_DEPTH {
                    line(&mut pretty, depth);
                }
                pretty.push(c);
            }
            ',' => {
                pretty.push(c);
                if depth <= MAX_DEPTH {
                    line(&mut pretty, depth);
                }
            }
            ':' => pretty.push_str(": "),
            c => {
                in_string = c == '"';
                pretty.push(c);
            }
        }
    }
    pretty
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pretty_json_keeps_every_token() {
        let json = r#"{"a":[1.50,123456789012345678901234567890,{}],"a":"x\"{,:\\","b":[],"c":{"d":null}}"#;
        insta::assert_snapshot!(pretty_json(json), @r#"
        {
          "a": [
            1.50,
            123456789012345678901234567890,
            {}
          ],
          "a": "x\"{,:\\",
          "b": [],
          "c": {
            "d": null
          }
        }
        "#);
        assert_eq!(pretty_json("17"), "17");
    }

    #[test]
    fn depth_does_not_blow_it_up() {
        let depth = 100_000;
        let json = format!("{}1,2{}", "[".repeat(depth), "]".repeat(depth));
        let pretty = pretty_json(&json);
        assert!(pretty.len() < json.len() + 10_000, "{}", pretty.len());
        assert_eq!(pretty.split_whitespace().collect::<String>(), json);
    }
}
