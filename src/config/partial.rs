//! Single settings of a file that may have mistakes elsewhere, for commands that work beside the
//! daemon and need no more.

use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::{Document, Table, nearest};
use super::sections::{Config, Sections, outline};
use super::text::read_text;
use super::{ConfigErrors, Mistake};
use crate::event::AppId;
use crate::http::HttpSettings;

/// A file of which single settings are asked for.
#[derive(Debug)]
pub struct PartialConfig {
    file: PathBuf,
    text: String,
    mistakes: Vec<Mistake>,
}

impl PartialConfig {
    /// Reads the file, and finds its mistakes. Blocks on the file system.
    ///
    /// # Errors
    /// When it cannot be read, or is no TOML: what belongs to which table is not known then.
    pub fn load(file: &Path) -> Result<Self, ConfigErrors> {
        let text = read_text(file)?;
        let errors = Config::parse(&text, file).err();
        match errors {
            Some(errors) if DeTable::parse(&text).is_err() => Err(errors),
            errors => {
                let mistakes = errors.map(|errors| errors.mistakes).unwrap_or_default();
                Ok(Self { file: file.to_owned(), text, mistakes })
            }
        }
    }

    /// Every mistake in the file.
    #[must_use]
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }

    /// Returns `[journal] path`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn journal_path(&self) -> Result<PathBuf, ConfigErrors> {
        self.setting("journal", "path", |sections| Some(sections.journal?.path))
    }

    /// Returns the `[http]` table with its `listen`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn http(&self) -> Result<HttpSettings, ConfigErrors> {
        self.setting("http", "listen", |sections| sections.http)
    }

    /// Returns the applications of `[vod] sub_app_id`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn apps(&self) -> Result<Vec<AppId>, ConfigErrors> {
        self.setting("vod", "sub_app_id", |sections| Some(sections.vod?.apps()))
    }

    /// Returns the names of the sinks, as they are written.
    #[must_use]
    pub fn sink_names(&self) -> Vec<String> {
        let root = DeTable::parse(&self.text).map(Spanned::into_inner).unwrap_or_default();
        let sinks = root.get("sinks").and_then(|sinks| sinks.get_ref().as_array());
        let name = |sink: &Spanned<DeValue<'_>>| {
            let name = sink.get_ref().as_table()?.get("name")?.get_ref().as_str()?;
            Some(name.to_owned())
        };
        sinks.into_iter().flatten().filter_map(name).collect()
    }

    /// Reads the file as if it had no other key.
    fn setting<T>(
        &self,
        table: &'static str,
        key: &'static str,
        of: impl FnOnce(Sections) -> Option<T>,
    ) -> Result<T, ConfigErrors> {
        let mut document = Document::new(&self.text, outline());
        let mut root = DeTable::parse(&self.text).map(Spanned::into_inner).unwrap_or_default();
        let is_written = entries(&root, table).is_some_and(|entries| entries.contains_key(key));
        if !is_written {
            refuse_what_may_be_meant(&mut document, &root, table, key);
        }
        root = only(root, |name| name == table);
        if let Some(DeValue::Table(entries)) = root.get_mut(table).map(Spanned::get_mut) {
            *entries = only(std::mem::take(entries), |name| name == key);
        }
        let value = of(Sections::read(&mut document, &mut root));
        let Document { mistakes, warnings, .. } = document;
        let errors = ConfigErrors { file: self.file.clone(), mistakes, warnings };
        value.filter(|_| errors.mistakes.is_empty()).ok_or(errors)
    }
}

fn only<'t>(entries: DeTable<'t>, is_wanted: impl Fn(&str) -> bool) -> DeTable<'t> {
    entries.into_iter().filter(|(name, _)| is_wanted(name.get_ref())).collect()
}

fn entries<'a, 't>(root: &'a DeTable<'t>, table: &str) -> Option<&'a DeTable<'t>> {
    root.get(table)?.get_ref().as_table()
}

/// Reports unknown keys that may be this one, misspelt or under another heading: its default would
/// be another journal, or another daemon.
fn refuse_what_may_be_meant<'t>(
    document: &mut Document<'t>,
    root: &DeTable<'t>,
    table: &str,
    key: &str,
) {
    let outline = outline();
    let tables: Vec<&str> = outline.iter().map(|(name, _)| *name).collect();
    let mut refuse = |title: String, entries: &DeTable<'t>, known: &[&str], is_home: bool| {
        let may_be_meant = |name: &str| is_home || nearest(name, [table, key]).is_some();
        let entries = only(entries.clone(), may_be_meant);
        document.refuse_unknown(&mut Table::new(title, 0..0, entries), known);
    };
    refuse("the file".to_owned(), root, &tables, false);
    for (name, keys) in outline {
        if let Some(entries) = entries(root, name) {
            refuse(format!("[{name}]"), entries, keys, name == table);
        }
    }
}
