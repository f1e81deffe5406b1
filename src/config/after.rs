//! The sink that another one comes after: that it is there, that no sinks wait for each other, and
//! which events the later one gets.

use std::iter::successors;

use toml::de::DeValue;

use super::document::{Document, Table, nearest};
use crate::event::EventFormat;
use crate::journal::On;
use crate::settings::SettingIssue;

/// The sink that another one comes after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AfterSink {
    /// Its name.
    pub sink: String,
    /// What it must have done with an event.
    pub on: On,
}

impl AfterSink {
    /// What the keys `after` and `on` say.
    pub(super) fn of(after: Option<&str>, on: Option<On>) -> Option<Self> {
        after.map(|sink| Self { sink: sink.to_owned(), on: on.unwrap_or_default() })
    }
}

/// What an entry says of itself and of the sink before, whether or not its other keys can be read.
pub(super) struct Link {
    title: String,
    name: Option<String>,
    is_mirror: bool,
    after: Option<(String, usize)>,
    has_events: bool,
}

impl Link {
    pub(super) fn of(table: &Table<'_>) -> Self {
        let text = |key| table.text(key).map(ToOwned::to_owned);
        let events = table.entries.get("events").map(|value| value.get_ref());
        Self {
            title: table.title.clone(),
            name: text("name"),
            is_mirror: table.text("type") == Some("mirror"),
            after: text("after").map(|after| (after, table.offset("after"))),
            has_events: matches!(events, Some(DeValue::Array(_))),
        }
    }

    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }
}

/// What is wrong or doubtful with these keys of one entry.
pub(super) fn check(
    after: Option<&str>,
    on: Option<On>,
    format: EventFormat,
) -> Option<SettingIssue> {
    match after {
        None => on.map(|_| SettingIssue::mistake("on has no effect without after")),
        Some(after) => (format == EventFormat::Callback).then(|| {
            SettingIssue::warning(format!(
                "format: \"callback\" leaves the event as received: what became of it at {after:?} \
                 is not in it"
            ))
        }),
    }
}

/// Refuses sinks that come after none or after themselves. Returns for each sink the one whose events
/// it gets because it names none, if that is another: the nearest before it that names some, or the
/// first of the chain.
pub(super) fn follow(document: &mut Document<'_>, sinks: &[&Link]) -> Vec<Option<usize>> {
    refuse_unknown(document, sinks);
    refuse_cycles(document, sinks);
    refuse_mirrors_in_a_row(document, sinks);
    let named = |at: &usize| {
        sinks.get(*at).is_some_and(|link| link.has_events) || before(sinks, *at).is_none()
    };
    let from = |index| chain(sinks, index).find(named).filter(|from| *from != index);
    (0..sinks.len()).map(from).collect()
}

/// Where the sink before stands, if there is one.
fn before(sinks: &[&Link], index: usize) -> Option<usize> {
    let (after, _) = sinks.get(index)?.after.as_ref()?;
    sinks.iter().position(|link| link.name.as_ref() == Some(after))
}

/// The sink, the one before it, and so on; in a cycle, no further than all sinks go.
fn chain(sinks: &[&Link], index: usize) -> impl Iterator<Item = usize> {
    successors(Some(index), |at| before(sinks, *at)).take(sinks.len())
}

fn refuse_unknown(document: &mut Document<'_>, sinks: &[&Link]) {
    for (index, link) in sinks.iter().enumerate() {
        let Some((after, at)) = link.after.as_ref().filter(|_| before(sinks, index).is_none())
        else {
            continue;
        };
        let names = sinks.iter().filter_map(|link| link.name.as_deref());
        let others: Vec<_> = names.filter(|name| *name != link.name()).collect();
        let advice = match nearest(after, others.iter().copied()) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None if others.is_empty() => "there is no other sink".to_owned(),
            None => format!("known are {}", others.join(", ")),
        };
        document.mistake(*at, format!("{} after: unknown sink {after:?}; {advice}", link.title));
    }
}

/// Each cycle is told of once, at its first sink in the file.
fn refuse_cycles(document: &mut Document<'_>, sinks: &[&Link]) {
    for (index, link) in sinks.iter().enumerate() {
        let Some((after, at)) = &link.after else { continue };
        let later = chain(sinks, index).skip(1).take_while(|at| *at > index);
        let cycle: Vec<_> = [index].into_iter().chain(later).collect();
        if cycle.last().and_then(|last| before(sinks, *last)) != Some(index) {
            continue;
        }
        let why = match cycle.as_slice() {
            [_] => format!("{after:?} is this sink itself"),
            _ => {
                let names = cycle.iter().chain([&index]).filter_map(|at| sinks.get(*at));
                let names: Vec<_> = names.map(|link| format!("{:?}", link.name())).collect();
                format!("these sinks would wait for each other: {}", names.join(" after "))
            }
        };
        document.mistake(*at, format!("{} after: {why}", link.title));
    }
}

/// An event has one result of a mirror for each of its sprites.
fn refuse_mirrors_in_a_row(document: &mut Document<'_>, sinks: &[&Link]) {
    for (index, link) in sinks.iter().enumerate().filter(|(_, link)| link.is_mirror) {
        let before = chain(sinks, index).skip(1).take_while(|at| *at != index);
        let mirror = before.filter_map(|at| sinks.get(at)).find(|before| before.is_mirror);
        if let (Some(mirror), Some((_, at))) = (mirror, &link.after) {
            let why = format!("the mirror {:?} comes before this one", mirror.name());
            let title = &link.title;
            document.mistake(*at, format!("{title} after: {why}; mirrors stand side by side"));
        }
    }
}
