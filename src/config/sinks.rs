//! The `[[sinks]]` entries: what every sink has here, the rest by its kind.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::de::{DeTable, DeValue};

use super::after::{self, AfterSink, Link};
use super::document::{Document, Table, nearest};
use crate::delivery::MaxRejects;
use crate::event::{AppId, EventFormat, Wanted, known_types};
use crate::journal::On;
use crate::settings::{SettingIssue, keys_of};
use crate::sinks::exec::launcher;
use crate::sinks::{KINDS, Plan, SinkContext, SinkKind, SinkOutput};

/// One `[[sinks]]` entry.
#[derive(Clone, Debug)]
pub struct SinkConfig {
    /// Its name: 1 to 64 of `a`–`z`, `0`–`9`, `_` and `-`, unlike every other sink's.
    pub name: String,
    /// The sink that it comes after, where it comes after one.
    pub after: Option<AfterSink>,
    /// The events it gets.
    pub events: Wanted,
    /// How they are written for it.
    pub format: EventFormat,
    /// How long an event is tried, counting only time in which the sink took other events,
    /// before it becomes a dead letter.
    pub give_up_after: Duration,
    /// After how many rejections in a row it counts as down.
    pub max_rejects: MaxRejects,
    /// The longest one delivery may take, for sinks that can hang.
    pub timeout: Duration,
    /// What its kind made of the other keys.
    pub plan: Plan,
    /// The files that other sinks write lines to.
    pub others: Vec<PathBuf>,
}

impl SinkConfig {
    /// What the sink is opened with.
    pub fn context(&self, app: AppId) -> SinkContext {
        SinkContext {
            name: self.name.clone(),
            app,
            format: self.format,
            timeout: self.timeout,
            others: self.others.clone(),
            launcher: launcher::SELF.into(),
        }
    }

    /// The file that it writes to, if it writes to one.
    pub fn file(&self) -> Option<PathBuf> {
        self.plan.output()?.target.path().map(Path::to_owned)
    }

    /// Whether the sink that is opened by these settings would be the same, secrets aside: which
    /// events it gets is not its own affair.
    pub fn opens_as(&self, other: &Self) -> bool {
        let Self { name, format, give_up_after, max_rejects, timeout, plan, .. } = self;
        (name, format, give_up_after, max_rejects)
            == (&other.name, &other.format, &other.give_up_after, &other.max_rejects)
            && (timeout, plan) == (&other.timeout, &other.plan)
    }
}

/// The keys that every sink has.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Common {
    /// Unlike every other sink's; the journal knows the sink by it.
    #[schemars(regex(pattern = r"^[a-z0-9_-]{1,64}$"))]
    name: String,
    #[serde(rename = "type")]
    _kind: String,
    /// Another sink, by its name: this one gets an event once that one has settled it, with the
    /// result in `data.after`.
    #[serde(default)]
    #[schemars(extend("x-unset" = "no other sink is waited for"))]
    after: Option<String>,
    /// What the sink that `after` names must have done with an event. Default `"settled"`.
    #[serde(default)]
    #[schemars(extend("x-unset" = "with after it is \"settled\""))]
    on: Option<On>,
    /// `"image-sprite"`, EventType names, or `"*"` for all. Default: those of the sink that `after`
    /// names, else `["image-sprite"]`.
    #[serde(default)]
    #[schemars(
        length(min = 1),
        extend("default" = ["image-sprite"], "x-unset" = "those of the sink that after names")
    )]
    events: Option<Wanted>,
    /// How they are written for it.
    #[serde(default)]
    format: EventFormat,
    /// How long an event is tried, counting only time in which the sink took other events,
    /// before it becomes a dead letter.
    #[serde(default = "three_days", with = "humantime_serde")]
    #[schemars(with = "crate::units::Duration")]
    give_up_after: Duration,
    /// How many different events it rejects in a row, and takes none between them, before it counts
    /// as down and rejections make dead letters no more; or `"off"`.
    #[serde(default)]
    max_rejects: MaxRejects,
    /// The longest one delivery may take, for sinks that can hang. The default depends on the type.
    #[serde(default, with = "humantime_serde")]
    #[schemars(with = "crate::units::Duration")]
    timeout: Option<Duration>,
}

/// The longest that a delivery may be given.
const MAX_TIMEOUT: Duration = Duration::from_secs(60 * 60);

fn three_days() -> Duration {
    Duration::from_secs(72 * 60 * 60)
}

/// A sink and what it writes lines to, with the place that names it.
pub(super) struct ReadSink {
    pub(super) sink: Option<SinkConfig>,
    pub(super) output: Option<(SinkOutput, usize)>,
    pub(super) link: Link,
}

pub(super) fn read<'t>(document: &mut Document<'t>, root: &mut DeTable<'t>) -> Vec<ReadSink> {
    const HOW: &str = "add a [[sinks]] entry with name = \"…\" and type = \"…\"";
    let Some(value) = root.remove("sinks") else {
        document.mistake(0, format!("no sink is configured, so every event would be lost; {HOW}"));
        return Vec::new();
    };
    let span = value.span();
    let DeValue::Array(entries) = value.into_inner() else {
        document.mistake(span.start, format!("expected a list of sinks; {HOW}"));
        return Vec::new();
    };
    if entries.is_empty() {
        document.mistake(
            span.start,
            format!("no sink is configured, so every event would be lost; {HOW}"),
        );
    }
    let mut names = HashMap::new();
    let mut read = Vec::new();
    for entry in entries {
        let span = entry.span();
        match entry.into_inner() {
            DeValue::Table(table) => {
                read.push(read_entry(document, &mut names, Table::new("[[sinks]]", span, table)));
            }
            _ => document.mistake(span.start, format!("expected a table; {HOW}")),
        }
    }
    inherit_events(document, &mut read);
    read
}

/// Gives a sink that comes after another, and names no events, those of that one.
fn inherit_events(document: &mut Document<'_>, sinks: &mut [ReadSink]) {
    let links: Vec<_> = sinks.iter().map(|read| &read.link).collect();
    let from = after::follow(document, &links).into_iter();
    let events = |from: Option<usize>| Some(sinks.get(from?)?.sink.as_ref()?.events.clone());
    let inherited: Vec<_> = from.map(events).collect();
    for (read, events) in sinks.iter_mut().zip(inherited) {
        if let (Some(sink), Some(events)) = (&mut read.sink, events) {
            sink.events = events;
        }
    }
}

fn read_entry<'t>(
    document: &mut Document<'t>,
    names: &mut HashMap<String, usize>,
    mut table: Table<'t>,
) -> ReadSink {
    if let Some(name) = table.text("name").map(ToOwned::to_owned) {
        check_name(document, names, &table, &name);
        table.title = format!("[[sinks]] {name:?}");
    }
    let kind = find_kind(document, &table);
    let common_keys = keys_of::<Common>();
    if let Some(kind) = kind {
        let known: Vec<&str> = common_keys.iter().chain((kind.keys)()).copied().collect();
        document.refuse_unknown(&mut table, &known);
    }
    warn_of_unlikely_events(document, &table);
    let link = Link::of(&table);
    let (common_table, own_table) = table.split(common_keys);
    let common = document.read(&common_table, Common::deserialize);
    let plan = kind.and_then(|kind| document.read(&own_table, kind.parse));
    // Also of settings that cannot be read, as far as it is known.
    let unread = || own_table.text("path").map(|path| SinkOutput::file(Path::new(path)));
    let output = plan.as_ref().map_or_else(unread, Plan::output);
    let output = output.map(|output| {
        let table = if own_table.text(output.key).is_some() { &own_table } else { &common_table };
        let at = table.offset(output.key);
        (output, at)
    });
    if let Some(common) = &common {
        check_common(document, &common_table, common);
    }
    let sink = common.zip(plan).zip(kind).map(|((common, plan), kind)| {
        let after = AfterSink::of(common.after.as_deref(), common.on);
        let Common { name, events, format, give_up_after, max_rejects, timeout, .. } = common;
        let (events, others) = (events.unwrap_or_default(), Vec::new());
        let timeout = timeout.unwrap_or(kind.timeout);
        SinkConfig {
            name,
            after,
            events,
            format,
            give_up_after,
            max_rejects,
            timeout,
            plan,
            others,
        }
    });
    if let Some(sink) = &sink {
        document.report(&own_table, sink.plan.check());
    }
    ReadSink { sink, output, link }
}

/// The sinks, each with the files of the others; `None` if one could not be read.
pub(super) fn acquainted(read: Vec<ReadSink>) -> Option<Vec<SinkConfig>> {
    let mut sinks: Vec<_> = read.into_iter().map(|read| read.sink).collect::<Option<_>>()?;
    let file = |sink: &SinkConfig| Some((sink.name.clone(), sink.file()?));
    let files: Vec<_> = sinks.iter().filter_map(file).collect();
    for sink in &mut sinks {
        let others = files.iter().filter(|(name, _)| *name != sink.name);
        sink.others = others.map(|(_, path)| path.clone()).collect();
    }
    Some(sinks)
}

fn check_name(
    document: &mut Document<'_>,
    names: &mut HashMap<String, usize>,
    table: &Table<'_>,
    name: &str,
) {
    let at = table.offset("name");
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    if !(1..=64).contains(&name.len()) || !name.chars().all(plain) {
        let message = format!(
            "[[sinks]] name: invalid sink name {name:?}; expected 1 to 64 of a-z, 0-9, _ and -"
        );
        document.mistake(at, message);
    } else if names.insert(name.to_owned(), at).is_some() {
        document
            .mistake(at, format!("[[sinks]] name: {name:?} is already the name of another sink"));
    }
}

fn find_kind(document: &mut Document<'_>, table: &Table<'_>) -> Option<&'static SinkKind> {
    // A type that is missing or no text is reported with the keys that every sink has.
    let written = table.text("type")?;
    let kind = SinkKind::named(written);
    if kind.is_none() {
        let names = KINDS.iter().map(|kind| kind.name);
        let advice = match nearest(written, names.clone()) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => format!("known are {}", names.collect::<Vec<_>>().join(", ")),
        };
        let message = format!("{} type: unknown type {written:?}; {advice}", table.title);
        document.mistake(table.offset("type"), message);
    }
    kind
}

fn check_common(document: &mut Document<'_>, table: &Table<'_>, common: &Common) {
    let mut found: Vec<String> = Vec::new();
    if common.events.as_ref().is_some_and(Wanted::is_empty) {
        found.push(
            "events: the list is empty; expected [\"image-sprite\"], EventType names or [\"*\"]"
                .to_owned(),
        );
    }
    if common.give_up_after.is_zero() {
        found
            .push("give_up_after: zero would turn the first failure into a dead letter".to_owned());
    }
    let is_usable = |timeout: Duration| !timeout.is_zero() && timeout <= MAX_TIMEOUT;
    if !common.timeout.is_none_or(is_usable) {
        found.push("timeout: expected more than 0s and at most 1h".to_owned());
    }
    let mut issues: Vec<_> = found.into_iter().map(SettingIssue::mistake).collect();
    issues.extend(after::check(common.after.as_deref(), common.on, common.format));
    document.report(table, issues);
}

/// A name that is misspelt would quietly match nothing. One that is like no other may be newer than
/// this program; only EventTypes begin with a capital letter.
fn warn_of_unlikely_events(document: &mut Document<'_>, table: &Table<'_>) {
    let Some(DeValue::Array(names)) = table.entries.get("events").map(|value| value.get_ref())
    else {
        return;
    };
    let known = || known_types().chain(["image-sprite", "*"]);
    for name in names {
        let Some(text) = name.get_ref().as_str() else { continue };
        if known().any(|known| known == text) {
            continue;
        }
        let looks_like_one = text.starts_with(|first: char| first.is_ascii_uppercase());
        let advice = match nearest(text, known()) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None if looks_like_one => continue,
            None => "EventTypes begin with a capital letter; image sprites are \"image-sprite\""
                .to_owned(),
        };
        let message = format!("{} events: unknown EventType {text:?}; {advice}", table.title);
        document.warn(name.span().start, message);
    }
}
