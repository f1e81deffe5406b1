//! The status as text, for a terminal of 80 columns.

use std::fmt::Write;

use bytesize::ByteSize;

use super::status::{ApplicationStatus, DeadLetterGroup, SpriteSummary, Status};
use crate::event::SpriteStatus;
use crate::format::{ago, counted, number, rate, seconds, time};
use crate::health::{HealthCheck, Mood};

const MAX_LATEST: usize = 5;

pub(super) fn render(status: &Status) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    write_all(status, &mut text).expect("a string takes all that is written");
    text
}

fn write_all(status: &Status, to: &mut String) -> std::fmt::Result {
    let mark = match status.state.mood {
        mood @ (Mood::Degraded | Mood::Bad) => mood.words().to_uppercase(),
        mood => mood.words().to_owned(),
    };
    writeln!(to, "sprited {}: {mark}", status.version)?;
    writeln!(to, "{}\n", status.state.sentence)?;
    problems(status, to)?;
    pipeline(status, to)?;
    if let Some(error) = &status.journal_error {
        writeln!(to, "\nthe journal cannot be read: {error}")?;
    }
    applications(status, to)?;
    sinks(status, to)?;
    dead_letters(status, to)?;
    latest(status, to)?;
    Ok(())
}

/// What is wrong and the sentence does not tell in full, and what to do about each.
fn problems(status: &Status, to: &mut String) -> std::fmt::Result {
    let remedy = |check: &HealthCheck, to: &mut String| match &check.remedy {
        Some(remedy) => writeln!(to, "  {:10} {remedy}", "to do"),
        None => Ok(()),
    };
    let problems = status.state.problems();
    let worst = status.state.worst.map(|worst| &status.state.checks[worst]);
    worst.map_or(Ok(()), |worst| remedy(worst, to))?;
    let is_worst = |check: &HealthCheck| worst.is_some_and(|worst| std::ptr::eq(worst, check));
    for check in problems.iter().filter(|check| !is_worst(check)) {
        writeln!(to, "  {:10} {}", check.severity_word(), check.told(status.at))?;
        remedy(check, to)?;
    }
    if problems.is_empty() { Ok(()) } else { writeln!(to) }
}

fn pipeline(status: &Status, to: &mut String) -> std::fmt::Result {
    let (cloud, handles) = (&status.cloud, &status.handles);
    let flow = status.last_hour.last().copied().flatten();
    if let Some(count) = cloud.backlog.map(number) {
        writeln!(to, "  cloud      {count} waiting, by its own count")?;
    }
    let pace = flow.map_or(String::new(), |p| rate(p.received_per_second));
    if let Some(last_pull) = cloud.last_pull() {
        let comma = if pace.is_empty() { "" } else { ", " };
        writeln!(to, "  pulled     {pace}{comma}{last_pull}")?;
    } else {
        writeln!(to, "  received   {pace}")?;
    }
    if let Some(circulation) = cloud.circulation() {
        writeln!(to, "             {circulation}")?;
    }
    if let Some(state) = &cloud.reconcile {
        writeln!(to, "  reconcile  {state}")?;
    }
    if let Some(journal) = &status.journal {
        writeln!(
            to,
            "  journal    {} pending, {} delivered, {} dead, {} unrouted; {} of {}",
            number(journal.pending),
            number(journal.delivered),
            number(journal.dead),
            number(journal.unrouted),
            ByteSize::b(journal.size_bytes),
            ByteSize::b(journal.max_size_bytes),
        )?;
        let left = handles
            .margin_seconds
            .map(|left| format!(", {} before the handle expires (average)", time(left)));
        let expired = counted(handles.expired, "lease");
        let (confirmed, left) = (counted(journal.confirmed, "event"), left.unwrap_or_default());
        writeln!(to, "  confirmed  {confirmed}{left}; {expired} expired")?;
    }
    Ok(())
}

/// The applications, where there are several.
fn applications(status: &Status, to: &mut String) -> std::fmt::Result {
    if !status.has_several_apps() {
        return Ok(());
    }
    writeln!(to, "\n  {:20}  {:>10}  LAST SUCCESSFUL PULL", "APPLICATION", "WAITING")?;
    for ApplicationStatus {
        app, backlog, last_successful_pull_seconds, trouble, is_pulled, ..
    } in &status.cloud.applications
    {
        let waiting = backlog.map_or("-".to_owned(), number);
        let never = if *is_pulled { "never" } else { "-" };
        let pull = last_successful_pull_seconds.map_or(never.to_owned(), ago);
        let trouble = trouble.map_or(String::new(), |trouble| format!("; fails: {trouble}"));
        writeln!(to, "  {app:<20}  {waiting:>10}  {pull}{trouble}")?;
    }
    Ok(())
}

fn sinks(status: &Status, to: &mut String) -> std::fmt::Result {
    if status.sinks.is_empty() {
        return Ok(());
    }
    let width = status.sinks.iter().map(|sink| sink.name.chars().count()).max().unwrap_or(0).max(4);
    writeln!(
        to,
        "\n  {:width$}  {:11} {:>10} {:>12} {:>8} {:>8}",
        "SINK", "STATE", "PENDING", "DELIVERED", "DEAD", "LAG"
    )?;
    for sink in &status.sinks {
        writeln!(
            to,
            "  {:width$}  {:11} {:>10} {:>12} {:>8} {:>8}",
            sink.name,
            sink.state,
            number(sink.pending),
            number(sink.delivered),
            number(sink.dead),
            sink.lag_seconds.map_or("-".to_owned(), time),
        )?;
        if let (Some(error), Some(age)) = (&sink.last_error, sink.last_error_seconds) {
            writeln!(to, "  {:width$}  failed {}: {error}", "", ago(age))?;
        }
    }
    Ok(())
}

/// By sink and error.
fn dead_letters(status: &Status, to: &mut String) -> std::fmt::Result {
    let with_dead: Vec<_> = status.sinks.iter().filter(|sink| sink.dead > 0).collect();
    if !with_dead.is_empty() {
        writeln!(to, "\n  DEAD LETTERS")?;
    }
    for sink in with_dead {
        for DeadLetterGroup { error, count, newest } in &sink.dead_letters {
            let age = seconds(status.at - *newest);
            let (count, name) = (number(*count), &sink.name);
            writeln!(to, "  {name}: {count}, the newest {}: {error}", ago(age))?;
        }
        writeln!(to, "  {}", sink.redeliver())?;
    }
    Ok(())
}

fn latest(status: &Status, to: &mut String) -> std::fmt::Result {
    if !status.latest.is_empty() {
        writeln!(to, "\n  LATEST")?;
    }
    for line in status.latest.iter().take(MAX_LATEST) {
        let age = seconds(status.at - line.first_pulled);
        let sprites: Vec<_> = line.sprites.iter().map(sprite).collect();
        let app = status.has_several_apps().then(|| format!("{}  ", line.app));
        let origin = match line.origin {
            "queue" => String::new(),
            origin => format!("  ({origin})"),
        };
        let line = format!(
            "  {}  {:>12}  {:9}  {}{}{origin}  {}",
            line.key.get(..12).unwrap_or(&line.key),
            ago(age),
            line.state.as_str(),
            app.unwrap_or_default(),
            line.event_type,
            sprites.join(", "),
        );
        writeln!(to, "{}", line.trim_end())?;
    }
    Ok(())
}

fn sprite(sprite: &SpriteSummary) -> String {
    match (sprite.status, sprite.tile_count) {
        (SpriteStatus::Success, Some(count)) => format!("{count} tiles"),
        (SpriteStatus::Success, None) => "tiles".to_owned(),
        (SpriteStatus::Fail, _) => "failed".to_owned(),
        (SpriteStatus::Processing, _) => "processing".to_owned(),
    }
}
