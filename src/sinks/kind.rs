//! The list of sinks.
//!
//! Owns what the configuration has to know of a kind of sink: its name, its keys, how its
//! settings are read ([`SinkKind`]) and what then stands ready to be opened ([`Plan`]).

use std::sync::Arc;
use std::time::Duration;

use schemars::{Schema, SchemaGenerator};
use serde::Deserialize;

use super::{Sink, SinkContext, SinkOutput, exec, jsonl, mirror, stdout, webhook};
use crate::settings::{SettingIssue, keys_of};

/// A kind of sink: what the `type` of a `[[sinks]]` entry names.
#[derive(Clone, Copy, Debug)]
pub struct SinkKind {
    /// The name `type` has for it.
    pub name: &'static str,
    /// What it does, in one line for the operator.
    pub about: &'static str,
    /// The longest one delivery may take unless its settings say another time.
    pub timeout: Duration,
    /// The keys of its settings, beside those that every sink has.
    pub keys: fn() -> &'static [&'static str],
    /// What its settings look like, as JSON Schema: an object with these keys.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Reads its settings from the `[[sinks]]` entry without the keys that every sink has.
    /// Fails on unknown keys and wrong types; the error keeps its place in the file where the
    /// deserializer knows it.
    pub parse: fn(toml::de::Deserializer<'_>) -> Result<Plan, toml::de::Error>,
}

impl SinkKind {
    /// The kind of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.name == name)
    }
}

macro_rules! kinds {
    ($($name:literal $variant:ident($module:ident::$settings:ident) $timeout:literal s $about:literal;)+) => {
        /// Every kind of sink.
        pub const KINDS: &[SinkKind] = &[$(SinkKind {
            name: $name,
            about: $about,
            timeout: Duration::from_secs($timeout),
            keys: keys_of::<$module::$settings>,
            schema: SchemaGenerator::subschema_for::<$module::$settings>,
            parse: |table| $module::$settings::deserialize(table).map(Plan::$variant),
        }),+];

        /// The settings of one sink, read and ready to be opened. Two that are equal open the
        /// same sink, unless a secret they refer to has changed in its place.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Plan {
            $(#[doc = $about] $variant($module::$settings),)+
        }

        impl Plan {
            /// The name of its kind.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)+
                }
            }

            /// Returns the mistakes in the settings and the warnings, as far as they show without
            /// touching the target. Blocks on the files that hold their secrets.
            #[must_use]
            pub fn check(&self) -> Vec<SettingIssue> {
                match self {
                    $(Self::$variant(settings) => settings.check(),)+
                }
            }

            /// Returns what the sink writes to, if that takes one writer alone.
            pub fn output(&self) -> Option<SinkOutput> {
                match self {
                    $(Self::$variant(settings) => settings.output(),)+
                }
            }

            /// Makes the sink. Touches no target yet: that is for the first use of it.
            ///
            /// # Errors
            /// When a secret cannot be read or the system lacks something the settings name.
            pub async fn open(&self, context: &SinkContext) -> anyhow::Result<Arc<dyn Sink>> {
                Ok(match self {
                    $(Self::$variant(settings) => Arc::new($module::open(settings, context).await?),)+
                })
            }
        }
    };
}

kinds! {
    "stdout" Stdout(stdout::StdoutSettings) 10 s "One line per event on standard output.";
    "jsonl" Jsonl(jsonl::JsonlSettings) 10 s "One line per event in a file that is synced, rotated and never repeats an event.";
    "webhook" Webhook(webhook::WebhookSettings) 10 s "A signed HTTP POST per event (Standard Webhooks).";
    "mirror" Mirror(mirror::MirrorSettings) 30 s "A copy of each image sprite, in the form that every player reads, in a folder of this machine.";
    "exec" Exec(exec::ExecSettings) 10 s "A program run per event, with the event on its standard input.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_names_its_keys_and_refuses_others() {
        for kind in KINDS {
            assert!(!kind.about.contains('\n') && kind.about.ends_with('.'), "{}", kind.name);
            assert_eq!(SinkKind::named(kind.name).unwrap().name, kind.name);
            let text = "no_such_key = 1";
            let table = toml::de::Deserializer::parse(text).unwrap();
            let error = (kind.parse)(table).unwrap_err();
            assert!(error.message().contains("no_such_key"), "{}: {error}", kind.name);
            assert_eq!(error.span(), Some(0..11), "{}", kind.name);
        }
        assert!((SinkKind::named("jsonl").unwrap().keys)().contains(&"rotate_size"));
        assert!((SinkKind::named("webhook").unwrap().keys)().contains(&"previous_secret"));
        assert!(SinkKind::named("nowhere").is_none());
    }
}
