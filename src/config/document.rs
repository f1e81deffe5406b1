//! Reads one table after the other and collects the mistakes, so that one run reports them all.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, Error};

use super::mistake::{Location, Mistake};
use crate::sanitize;
use crate::settings::{SettingIssue, keys_of};

/// The text of a configuration and the issues found in it so far.
pub(super) struct Document<'t> {
    text: &'t str,
    /// Which table has which keys, for advice on a key under the wrong heading.
    homes: Vec<(&'static str, &'static [&'static str])>,
    pub(super) mistakes: Vec<Mistake>,
    pub(super) warnings: Vec<Mistake>,
}

/// A table of the file under the name that messages have for it.
#[derive(Clone)]
pub(super) struct Table<'t> {
    pub(super) title: String,
    span: Range<usize>,
    pub(super) entries: DeTable<'t>,
}

impl<'t> Table<'t> {
    pub(super) fn new(title: impl Into<String>, span: Range<usize>, entries: DeTable<'t>) -> Self {
        Self { title: title.into(), span, entries }
    }

    /// Where `key` stands, or the table itself if it is not written there.
    pub(super) fn offset(&self, key: &str) -> usize {
        self.entries.get_key_value(key).map_or(self.span.start, |(key, _)| key.span().start)
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.entries.get(key).and_then(|value| value.get_ref().as_str())
    }

    /// Parts the entries with these keys from the others.
    pub(super) fn split(self, known: &[&str]) -> (Self, Self) {
        let (mut with, mut without) = (DeTable::new(), DeTable::new());
        for (key, value) in self.entries {
            let side =
                if known.contains(&key.get_ref().as_ref()) { &mut with } else { &mut without };
            side.insert(key, value);
        }
        (
            Self::new(self.title.clone(), self.span.clone(), with),
            Self::new(self.title, self.span, without),
        )
    }
}

impl<'t> Document<'t> {
    pub(super) fn new(text: &'t str, homes: Vec<(&'static str, &'static [&'static str])>) -> Self {
        Self { text, homes, mistakes: Vec::new(), warnings: Vec::new() }
    }

    pub(super) fn mistake(&mut self, offset: usize, message: impl AsRef<str>) {
        self.mistakes.push(self.place(offset, message.as_ref()));
    }

    pub(super) fn warn(&mut self, offset: usize, message: impl AsRef<str>) {
        self.warnings.push(self.place(offset, message.as_ref()));
    }

    /// On one line: types quote a value that they do not know as it stands.
    fn place(&self, offset: usize, text: &str) -> Mistake {
        let message = sanitize::one_line(text);
        Mistake { place: Some(Location::of(self.text, offset)), message }
    }

    pub(super) fn report(&mut self, table: &Table<'_>, issues: Vec<SettingIssue>) {
        for issue in issues {
            let (at, message) =
                (table.offset(issue.key()), format!("{} {}", table.title, issue.message));
            if issue.is_mistake {
                self.mistake(at, message);
            } else {
                self.warn(at, message);
            }
        }
    }

    /// Reads `[name]` out of `root` and checks it. A table that is absent is read as an empty one.
    pub(super) fn table<T: DeserializeOwned>(
        &mut self,
        root: &mut DeTable<'t>,
        name: &'static str,
        check: impl Fn(&T) -> Vec<SettingIssue>,
    ) -> Option<T> {
        let (span, entries) = match root.remove(name) {
            None => (0..0, DeTable::new()),
            Some(value) => match (value.span(), value.into_inner()) {
                (span, DeValue::Table(entries)) => (span, entries),
                (span, other) => {
                    let (article, found) = (article(other.type_str()), other.type_str());
                    let message = format!("[{name}]: expected a table, found {article} {found}");
                    self.mistake(span.start, message);
                    return None;
                }
            },
        };
        let mut table = Table::new(format!("[{name}]"), span, entries);
        self.refuse_unknown(&mut table, keys_of::<T>());
        let settings = self.read(&table, |table| T::deserialize(table))?;
        self.report(&table, check(&settings));
        Some(settings)
    }

    /// Reads `[name]` as [`Document::table`] does, if it is there; `None` if it cannot be read.
    pub(super) fn optional<T: DeserializeOwned>(
        &mut self,
        root: &mut DeTable<'t>,
        name: &'static str,
        check: impl Fn(&T) -> Vec<SettingIssue>,
    ) -> Option<Option<T>> {
        if root.contains_key(name) { self.table(root, name, check).map(Some) } else { Some(None) }
    }

    /// Reports and removes the keys of `table` that are not `known`.
    pub(super) fn refuse_unknown(&mut self, table: &mut Table<'t>, known: &[&str]) {
        let (entries, unknown) = table.clone().split(known);
        for key in unknown.entries.keys() {
            let written = key.get_ref().as_ref();
            let home = self.homes.iter().find(|(_, keys)| keys.contains(&written));
            let advice = match (nearest(written, known.iter().copied()), home) {
                (_, Some(("sinks", _))) => "it belongs under [[sinks]]".to_owned(),
                (_, Some((home, _))) => format!("it belongs under [{home}]"),
                (Some(meant), None) => format!("did you mean {meant:?}?"),
                (None, None) if known.is_empty() => "it takes none".to_owned(),
                (None, None) => format!("known are {}", known.join(", ")),
            };
            let message = format!("unknown key {written:?} in {}; {advice}", table.title);
            self.mistake(key.span().start, message);
        }
        table.entries = entries.entries;
    }

    /// Reads the settings in `table` by `parse`. A value that cannot be read is reported and
    /// left out for another try, so that the next one is found, too.
    pub(super) fn read<T>(
        &mut self,
        table: &Table<'t>,
        parse: impl Fn(Deserializer<'t>) -> Result<T, Error>,
    ) -> Option<T> {
        let mut rest = table.entries.clone();
        let mut left_out: Vec<String> = Vec::new();
        loop {
            let whole = Spanned::new(table.span.clone(), rest.clone());
            let error = match parse(Deserializer::from(whole)) {
                Ok(settings) => return left_out.is_empty().then_some(settings),
                Err(error) => error,
            };
            let culprit = error.span().and_then(|span| {
                rest.iter()
                    .find(|(key, value)| key.span() == span || holds(value, &span))
                    .map(|(key, _)| key.get_ref().to_string())
            });
            let message = explain(&without_text(error.message()));
            let at = error.span().map_or(table.span.start, |span| span.start);
            let Some(key) = culprit else {
                let follows = left_out.iter().any(|key| message.contains(&format!("`{key}`")));
                if !follows {
                    self.mistake(at, format!("{}: {message}", table.title));
                }
                return None;
            };
            self.mistake(at, format!("{} {key}: {message}", table.title));
            rest.remove(key.as_str());
            left_out.push(key);
        }
    }
}

/// Whether `value` or anything in it stands at `span`. A table under its own heading does not
/// enclose its entries.
fn holds(value: &Spanned<DeValue<'_>>, span: &Range<usize>) -> bool {
    let own = value.span();
    (own.start <= span.start && span.end <= own.end && !own.is_empty())
        || match value.get_ref() {
            DeValue::Table(table) => {
                table.iter().any(|(key, value)| key.span() == *span || holds(value, span))
            }
            DeValue::Array(values) => values.iter().any(|value| holds(value, span)),
            _ => false,
        }
}

/// The message without the text that stands where none belongs: it may be a secret that slipped
/// there; the place is enough.
fn without_text(message: &str) -> String {
    let found = message.strip_prefix("invalid type: string \"");
    match found.and_then(|rest| rest.rsplit_once("\", expected ")) {
        Some((_, expected)) => format!("invalid type: a string, expected {expected}"),
        None => message.to_owned(),
    }
}

/// Replaces the types' own words by what the operator is expected to write.
fn explain(message: &str) -> String {
    const DURATION: &str =
        "expected a duration with a unit, such as \"500ms\", \"30s\", \"10m\" or \"14d\"";
    const SIZE: &str = "expected a size with a unit, such as \"64MiB\" or \"16GiB\"";
    let expectations = [
        ("expected a duration", DURATION),
        ("expected parsable string", SIZE),
        ("expected an integer or string", SIZE),
        ("expected integer overflow", SIZE),
        ("expected a sequence", "expected a list, such as [\"…\"]"),
        ("expected a map", "expected a table"),
    ];
    expectations
        .iter()
        .find_map(|(plain, better)| Some(message.strip_suffix(plain)?.to_owned() + better))
        .unwrap_or_else(|| message.to_owned())
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

/// The one of `names` that `written` was most likely meant to be.
pub(crate) fn nearest<'n>(
    written: &str,
    names: impl IntoIterator<Item = &'n str>,
) -> Option<&'n str> {
    let written = letters(written);
    // One slip for every three letters: more would suggest what was not meant.
    let most = (written.chars().count() / 3).max(1);
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&written, &letters(name)), name))
        .filter(|(slips, _)| *slips <= most)
        .min()
        .map(|(_, name)| name)
}

/// `SubAppId`, `sub-app-id` and `sub_app_id` are the same word.
fn letters(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognized_and_another_word_is_not() {
        let names = ["interval", "max_concurrency", "sub_app_id"];
        for (written, meant) in [
            ("intervall", Some("interval")),
            ("inetrval", Some("interval")),
            ("SubAppId", Some("sub_app_id")),
            ("max-concurency", Some("max_concurrency")),
            ("endpoint", None),
            ("x", None),
        ] {
            assert_eq!(nearest(written, names), meant, "{written}");
        }
    }
}
