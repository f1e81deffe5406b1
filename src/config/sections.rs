//! The tables of the file. Each is one line of `sections!`, which generates parsing, checks, outline,
//! schema and the comparison at a reload.

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value};
use toml::de::DeTable;

use super::document::Document;
use super::sinks::{Common, SinkConfig};
use crate::confirmer::ConfirmSettings;
use crate::http::HttpSettings;
use crate::journal::JournalSettings;
use crate::logging::LogSettings;
use crate::puller::PollSettings;
use crate::receiver::ReceiveSettings;
use crate::reconcile::ReconcileSettings;
use crate::settings::{SettingIssue, keys_of};
use crate::vod::VodSettings;
use crate::vod::credentials::CredentialsSettings;

/// The type of a table's settings: `table` is there with defaults where the file leaves it out,
/// `optional` is not.
macro_rules! field {
    (table $settings:ident) => { $settings };
    (optional $settings:ident) => { Option<$settings> };
}

/// The settings of a table, if it is there.
macro_rules! present {
    (table $settings:expr) => {
        Some(&$settings)
    };
    (optional $settings:expr) => {
        $settings.as_ref()
    };
}

/// A line for each table: its name, its settings, which of their keys a reload takes over, and
/// which need a restart. Every key has to be in one of the two lists.
macro_rules! sections {
    ($(
        $(#[$doc:meta])*
        $name:ident: $presence:ident $settings:ident
            { reload: [$($live:ident),*], restart: [$($fixed:ident),*] };
    )+) => {
        /// Every setting, with defaults for what the file leaves out.
        #[derive(Clone, Debug)]
        pub struct Config {
            $($(#[$doc])* pub $name: field!($presence $settings),)+
            /// `[[sinks]]`, at least one.
            pub sinks: Vec<SinkConfig>,
        }

        /// The tables, as far as they can be read.
        pub(super) struct Sections {
            $(pub(super) $name: Option<field!($presence $settings)>,)+
        }

        impl Sections {
            /// Takes the tables out of `root`, and checks them.
            pub(super) fn read<'t>(document: &mut Document<'t>, root: &mut DeTable<'t>) -> Self {
                Self {
                    $($name: document.$presence(root, stringify!($name), |settings: &$settings| {
                        settings.check().into_iter().map(SettingIssue::from).collect()
                    }),)+
                }
            }

            /// Returns the whole; `None` if a part could not be read.
            pub(super) fn with(self, sinks: Option<Vec<SinkConfig>>) -> Option<Config> {
                Some(Config { $($name: self.$name?,)+ sinks: sinks? })
            }
        }

        impl Config {
            /// Returns the keys that differ in `other` and need a restart.
            #[must_use]
            pub fn restart_keys(&self, other: &Self) -> Vec<&'static str> {
                let mut keys = Vec::new();
                $({
                    let [before, after] = [self, other].map(|it| present!($presence it.$name));
                    match (before, after) {
                        (Some(before), Some(_after)) => {
                            // Taken apart, so that no key is forgotten.
                            let $settings { $($live: _,)* $($fixed,)* } = before;
                            $(if *$fixed != _after.$fixed {
                                keys.push(concat!("[", stringify!($name), "] ", stringify!($fixed)));
                            })*
                        }
                        (None, None) => {}
                        // A table that comes or goes changes all of its keys.
                        _ => {
                            $(keys.push(concat!("[", stringify!($name), "] ", stringify!($fixed)));)*
                        }
                    }
                })+
                keys
            }

            /// Returns the names of the tables that differ in `other`; not `sinks`.
            #[must_use]
            pub fn changed_tables(&self, other: &Self) -> Vec<&'static str> {
                let tables = [$((stringify!($name), self.$name != other.$name)),+];
                tables.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect()
            }
        }

        /// Every table of the file with its keys: the outline of `config.example.toml`.
        #[must_use]
        pub fn outline() -> Vec<(&'static str, &'static [&'static str])> {
            vec![$((stringify!($name), keys_of::<$settings>()),)+ ("sinks", keys_of::<Common>())]
        }

        /// The schema of each table, by its name.
        pub(super) fn schemas(generator: &mut SchemaGenerator) -> Map<String, Value> {
            let tables = [$((stringify!($name), schema_of::<$settings>(generator))),+];
            tables.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
        }
    };
}

sections! {
    /// `[credentials]`; without it they are looked for in the environment, the profile file, the
    /// web identity of a TKE pod and the instance role.
    credentials: optional CredentialsSettings { reload: [secret_id, secret_key, token, role_arn,
        role_session_name, role_duration, sts_endpoint], restart: [] };
    /// `[vod]`
    vod: table VodSettings { reload: [], restart: [endpoint, sub_app_id, pull, max_answer_size] };
    /// `[receive]`; without it nothing is received.
    receive: optional ReceiveSettings { reload: [token, previous_token, sign_key, previous_sign_key,
        verify, max_body, max_connections], restart: [listen] };
    /// `[reconcile]`
    reconcile: table ReconcileSettings { reload: [every, lookback, settle,
        max_requests_per_second], restart: [] };
    /// `[poll]`
    poll: table PollSettings { reload: [interval, max_concurrency, max_requests_per_second], restart: [] };
    /// `[confirm]`
    confirm: table ConfirmSettings { reload: [after, max_unconfirmed, lease], restart: [] };
    /// `[journal]`
    journal: table JournalSettings { reload: [retention, max_size], restart: [path] };
    /// `[http]`
    http: table HttpSettings { reload: [ready, sprites], restart: [listen] };
    /// `[log]`
    log: table LogSettings { reload: [level], restart: [format] };
}

pub(super) fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}
