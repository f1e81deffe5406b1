//! The configuration: composes the settings that each module owns and finds every mistake in a
//! file, not the first.
//!
//! Owns the file's outline, the `[[sinks]]` entries' common keys and what has to hold between
//! tables. Only `daemon` and `cli` know it; no module takes the whole of it.

mod after;
mod document;
mod mirrors;
mod mistake;
mod outputs;
mod partial;
mod permissions;
mod schema;
mod secrets;
mod sections;
mod show;
mod sinks;
mod text;
mod toml_text;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::DeTable;

pub use after::AfterSink;
pub(crate) use document::nearest;
pub use mistake::{ConfigErrors, Located, Location, Mistake};
pub use partial::PartialConfig;
pub use schema::schema;
pub use sections::{Config, outline};
pub use show::{ConfigInForce, MASK, ShownConfig, ShownKey, ShownTable};
pub use sinks::SinkConfig;

use crate::reconcile::ReconcileSettings;
use crate::secret::{SecretError, SecretRef};
use crate::vod::EventSources;
use document::{Document, Table};
use permissions::Sensitivity;
use secrets::Secrets;
use sections::Sections;
use text::read_text;

/// The configuration file if no other is named.
pub const DEFAULT_PATH: &str = "/etc/sprited/sprited.toml";

/// A configuration that can be used.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The file it was read from.
    pub file: PathBuf,
    /// The settings.
    pub config: Config,
    /// The same for people and programs to read.
    pub shown: ShownConfig,
    /// Warnings: they stop nothing.
    pub warnings: Vec<Mistake>,
    /// The names of systemd's credentials that it refers to.
    pub credentials: BTreeSet<String>,
}

impl Loaded {
    /// Logs the warnings.
    pub fn warn(&self) {
        for warning in &self.warnings {
            let warning = Located(&self.file, warning);
            tracing::warn!(%warning, "configuration warning");
        }
    }

    /// Returns warnings about the permissions of the file, of the secrets it names and of the
    /// journal.
    fn check_permissions(&self, text: &str) -> Vec<Mistake> {
        let secrets = Secrets::of(text);
        let own = if secrets.has_literals { Sensitivity::Secret } else { Sensitivity::Settings };
        let all = |path: &Path, sensitivity, place| {
            let found = permissions::warnings(path, sensitivity).into_iter();
            found.map(move |message| Mistake { place, message }).collect::<Vec<_>>()
        };
        let mut found = all(&self.file, own, None);
        for (at, path) in &secrets.files {
            found.extend(all(path, Sensitivity::Secret, Some(Location::of(text, *at))));
        }
        found.extend(all(&self.config.journal.path, Sensitivity::Events, None));
        found
    }
}

impl Config {
    /// Reads and checks the file, the permissions of the files that it names, and the
    /// secrets that can be read. Blocks on the file system. Whether all secrets can be read is for
    /// [`Config::check_secrets`].
    ///
    /// # Errors
    /// Everything that is wrong with the file, at once.
    pub fn load(path: &Path) -> Result<Loaded, ConfigErrors> {
        let text = read_text(path)?;
        let mut loaded = Self::parse(&text, path)?;
        let warnings = loaded.check_permissions(&text);
        loaded.warnings.splice(0..0, warnings);
        Ok(loaded)
    }

    /// Checks the text of a configuration; `file` is only its name in messages. Blocks on the file
    /// system, to see whether sinks share a file, and the secrets that can be read.
    ///
    /// # Errors
    /// Everything that is wrong with the text, at once; of a text that is no TOML, the first
    /// place where it is none.
    pub fn parse(text: &str, file: &Path) -> Result<Loaded, ConfigErrors> {
        let mut document = Document::new(text, outline());
        let config = match DeTable::parse(text) {
            Ok(root) => compose(&mut document, root),
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                // The error's own rendering would show the line, which may hold a secret.
                document.mistake(at, format!("not TOML: {}", error.message()));
                None
            }
        };
        let Document { mut mistakes, mut warnings, .. } = document;
        mistakes.sort_by_key(|mistake| mistake.place);
        warnings.sort_by_key(|mistake| mistake.place);
        let (file, shown) = (file.to_owned(), || ShownConfig::of(text, file));
        match config {
            Some(config) if mistakes.is_empty() => {
                let credentials = Secrets::of(text).credentials;
                Ok(Loaded { file, config, shown: shown(), warnings, credentials })
            }
            _ => Err(ConfigErrors { file, mistakes, warnings }),
        }
    }

    /// Reads the secrets of `[credentials]` and `[receive]` once and returns which of them cannot be
    /// read. Blocks on the file system. A sink reads its own secrets when it is opened.
    pub fn check_secrets(&self) -> Vec<(&'static str, SecretError)> {
        let mut secrets: Vec<(_, Option<&SecretRef>)> = Vec::new();
        if let Some(of) = &self.credentials {
            secrets.push(("[credentials] secret_id", Some(&of.secret_id)));
            secrets.push(("[credentials] secret_key", Some(&of.secret_key)));
            secrets.push(("[credentials] token", of.token.as_ref()));
        }
        if let Some(of) = &self.receive {
            secrets.push(("[receive] token", Some(&of.token)));
            secrets.push(("[receive] previous_token", of.previous_token.as_ref()));
            secrets.push(("[receive] sign_key", of.sign_key.as_ref()));
            secrets.push(("[receive] previous_sign_key", of.previous_sign_key.as_ref()));
        }
        let unreadable =
            |(key, secret): (_, Option<&SecretRef>)| Some((key, secret?.resolve().err()?));
        secrets.into_iter().filter_map(unreadable).collect()
    }
}

impl Config {
    /// Whether the daemon has a reason to call the cloud's API: a receiver alone needs no key.
    #[must_use]
    pub fn calls_the_cloud(&self) -> bool {
        self.vod.pull || self.credentials.is_some() || self.reconcile.every.interval().is_some()
    }

    /// Returns by which ways the daemon takes events.
    #[must_use]
    pub fn sources(&self) -> EventSources {
        EventSources { pull: self.vod.pull, receive: self.receive.is_some() }
    }
}

fn compose<'t>(document: &mut Document<'t>, root: Spanned<DeTable<'t>>) -> Option<Config> {
    let span = root.span();
    let mut top = Table::new("the file", span, root.into_inner());
    let known: Vec<&str> = outline().into_iter().map(|(name, _)| name).collect();
    document.refuse_unknown(&mut top, &known);
    let vod = top.entries.get("vod").map_or(0, |table| table.span().start);
    let sections = Sections::read(document, &mut top.entries);
    let is_off = |of: &ReconcileSettings| of.every.interval().is_none();
    if sections.vod.as_ref().is_some_and(|vod| !vod.pull)
        && matches!(sections.receive, Some(None))
        && sections.reconcile.as_ref().is_some_and(is_off)
    {
        let message = "[vod] pull: false without [receive] or [reconcile]: no event could arrive";
        document.mistake(vod, message);
    }
    let sinks = sinks::read(document, &mut top.entries);
    outputs::refuse_shared(document, sections.journal.as_ref(), &sinks);
    let is_receiving = matches!(sections.receive, Some(Some(_)));
    mirrors::check(document, &sinks, is_receiving, sections.journal.as_ref());
    sections.with(sinks::acquainted(sinks))
}
