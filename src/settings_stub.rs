//! The settings of modules that live elsewhere, under the names those modules give them.

/// `src/poller.rs`
pub mod poller {
    use std::time::Duration;

    use serde::Deserialize;

    /// The `[poll]` table of the configuration.
    #[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    pub struct Settings {
        /// Least time between the starts of two pulls that found nothing; zero is allowed, since
        /// the server holds such a pull itself.
        #[serde(with = "humantime_serde")]
        pub interval: Duration,
        /// Pulls in flight at most, 1 to 256.
        pub max_concurrency: u32,
        /// Requests a second at most, for each of PullEvents and ConfirmEvents; 1 to 1000.
        pub max_requests_per_second: u32,
    }

    impl Default for Settings {
        fn default() -> Self {
            Self {
                interval: Duration::from_secs(1),
                max_concurrency: 32,
                max_requests_per_second: 100,
            }
        }
    }

    impl Settings {
        /// Every fault of the values, each naming its key; empty if there is none.
        #[must_use]
        pub fn check(&self) -> Vec<String> {
            let mut faults = Vec::new();
            if self.interval > Duration::from_secs(3600) {
                faults
                    .push("interval: more than 1h would leave finished events waiting".to_owned());
            }
            if !(1..=256).contains(&self.max_concurrency) {
                faults.push(format!(
                    "max_concurrency: {} is not between 1 and 256",
                    self.max_concurrency
                ));
            }
            if !(1..=1000).contains(&self.max_requests_per_second) {
                faults.push(format!(
                    "max_requests_per_second: {} is not between 1 and 1000",
                    self.max_requests_per_second
                ));
            }
            faults
        }
    }
}

/// `src/confirmer.rs`
pub mod confirmer {
    use std::time::Duration;

    use serde::Deserialize;

    /// The `[confirm]` table of the configuration.
    #[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    pub struct Settings {
        /// What has to be true before a handle is confirmed.
        pub after: After,
        /// Events that may be pending past their lease before the oldest are confirmed on the
        /// journal's word.
        pub max_unconfirmed: usize,
        /// How long a handle stays good, counted from the sending of its pull.
        #[serde(with = "humantime_serde")]
        pub lease: Duration,
    }

    /// What has to be true before a handle is confirmed.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum After {
        /// No sink has an event of it pending.
        Delivery,
        /// Its events are on disk.
        Journal,
    }

    impl Default for Settings {
        fn default() -> Self {
            Self { after: After::Delivery, max_unconfirmed: 2000, lease: Duration::from_secs(30) }
        }
    }

    impl Settings {
        /// Every fault of the values, each naming its key; empty if there is none.
        #[must_use]
        pub fn check(&self) -> Vec<String> {
            let mut faults = Vec::new();
            if self.lease <= Duration::from_secs(2) || self.lease > Duration::from_secs(3600) {
                faults.push(format!(
                    "lease: {} leaves no time to confirm in, or is no lease of the cloud's; \
                     expected more than 2s and at most 1h",
                    humantime::format_duration(self.lease)
                ));
            }
            faults
        }
    }
}

/// `src/journal/mod.rs`
pub mod journal {
    use std::path::PathBuf;
    use std::time::Duration;

    use bytesize::ByteSize;
    use serde::Deserialize;

    const DAY: u64 = 24 * 60 * 60;

    /// The `[journal]` table of the configuration.
    #[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    pub struct Settings {
        /// The database; its write-ahead log and lock stand beside it.
        pub path: PathBuf,
        /// How long delivered and unrouted events are kept: at least 4 days, the time in which a
        /// repeat may still come.
        #[serde(with = "humantime_serde")]
        pub retention: Duration,
        /// The most that database and write-ahead log may take together; at least 16 MiB.
        pub max_size: ByteSize,
    }

    impl Default for Settings {
        fn default() -> Self {
            Self {
                path: PathBuf::from("/var/lib/sprited/journal.db"),
                retention: Duration::from_secs(14 * DAY),
                max_size: ByteSize::gib(16),
            }
        }
    }

    impl Settings {
        /// Every fault of the values, each naming its key; empty if there is none.
        #[must_use]
        pub fn check(&self) -> Vec<String> {
            let mut faults = Vec::new();
            if !self.path.is_absolute() {
                faults.push(format!(
                    "path: {:?} depends on the folder the daemon is started in; \
                     expected a path that begins with \"/\"",
                    self.path
                ));
            }
            if self.retention < Duration::from_secs(4 * DAY) {
                faults.push(format!(
                    "retention: {} is too short; at least 4d, the time in which the cloud may \
                     still repeat an event",
                    humantime::format_duration(self.retention)
                ));
            }
            if self.retention > Duration::from_secs(3660 * DAY) {
                faults.push("retention: more than ten years is not kept".to_owned());
            }
            if self.max_size < ByteSize::mib(16) {
                faults.push(format!(
                    "max_size: {} is too small for a journal; at least 16MiB",
                    self.max_size
                ));
            }
            faults
        }
    }
}

/// `src/http/mod.rs`
pub mod http {
    use std::net::SocketAddr;

    use serde::Deserialize;

    /// The `[http]` table of the configuration.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    pub struct Settings {
        /// Where metrics, health and the status page are served.
        pub listen: Listen,
    }

    /// Where metrics, health and the status page are served.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
    #[serde(try_from = "String")]
    pub enum Listen {
        /// Nowhere.
        Off,
        /// At this address.
        At(SocketAddr),
    }

    impl Default for Listen {
        fn default() -> Self {
            Self::At(SocketAddr::from(([127, 0, 0, 1], 9770)))
        }
    }

    impl TryFrom<String> for Listen {
        type Error = String;

        fn try_from(text: String) -> Result<Self, String> {
            if text == "off" {
                return Ok(Self::Off);
            }
            text.parse().map(Self::At).map_err(|_| {
                format!(
                    "expected an IP address with a port, such as \"127.0.0.1:9770\", or \"off\"; \
                     found {text:?}"
                )
            })
        }
    }
}

/// `src/vod/mod.rs`
pub mod vod {
    use bytesize::ByteSize;
    use serde::Deserialize;

    /// `src/vod/credentials/mod.rs`
    pub mod credentials {
        use serde::Deserialize;

        use crate::secret::SecretRef;

        /// The `[credentials]` table of the configuration.
        #[derive(Clone, Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Settings {
            /// The id of the key.
            pub secret_id: SecretRef,
            /// The key.
            pub secret_key: SecretRef,
            /// The session token that belongs to a temporary key.
            pub token: Option<SecretRef>,
        }
    }

    /// Where and for which application to call.
    #[derive(Clone, Debug, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    pub struct Settings {
        /// The URL of the API, without a path. Plain `http` only to loopback.
        pub endpoint: String,
        /// The application; none for the primary one of an account opened before 2023-12-25.
        pub sub_app_id: Option<u64>,
        /// The largest answer that is read, after decompression; 64 KiB at least.
        pub max_answer_size: ByteSize,
    }

    impl Default for Settings {
        fn default() -> Self {
            Self {
                endpoint: "https://vod.tencentcloudapi.com".to_owned(),
                sub_app_id: None,
                max_answer_size: ByteSize::mib(16),
            }
        }
    }

    impl Settings {
        /// Every fault of the values, each naming its key; empty if there is none.
        #[must_use]
        pub fn check(&self) -> Vec<String> {
            let local = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
            let plain = self.endpoint.starts_with("http://");
            if plain && !local.iter().any(|host| self.endpoint.starts_with(host)) {
                return vec![
                    "endpoint: plain http is for loopback only; expected https".to_owned(),
                ];
            }
            Vec::new()
        }
    }
}

/// `src/sinks/mod.rs`
pub mod sinks {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use serde::Deserialize;

    use crate::secret::SecretRef;
    use crate::sinks::Context;

    /// One kind of sink.
    #[derive(Clone, Copy, Debug)]
    pub struct Kind {
        /// The name `type` has for it.
        pub name: &'static str,
        /// What it does, in one line for the operator.
        pub about: &'static str,
        /// The keys of its settings, beside those that every sink has.
        pub keys: fn() -> &'static [&'static str],
        /// Reads its settings from the `[[sinks]]` entry without the keys that every sink has.
        pub parse: fn(toml::de::Deserializer<'_>) -> Result<Plan, toml::de::Error>,
    }

    impl Kind {
        /// The kind of that name.
        #[must_use]
        pub fn named(name: &str) -> Option<&'static Self> {
            KINDS.iter().find(|kind| kind.name == name)
        }
    }

    /// Every kind of sink.
    pub const KINDS: &[Kind] = &[
        Kind {
            name: "stdout",
            about: "Writes to the standard output.",
            keys: || &[],
            parse: |table| Stdout::deserialize(table).map(Plan::Stdout),
        },
        Kind {
            name: "jsonl",
            about: "Appends to a file.",
            keys: || &["path"],
            parse: |table| Jsonl::deserialize(table).map(Plan::Jsonl),
        },
        Kind {
            name: "webhook",
            about: "Posts to an HTTP endpoint.",
            keys: || &["url", "secret", "headers"],
            parse: |table| Webhook::deserialize(table).map(Plan::Webhook),
        },
    ];

    /// The settings of one sink, read and ready to be opened.
    #[derive(Clone, Debug)]
    pub enum Plan {
        /// stdout
        Stdout(Stdout),
        /// jsonl
        Jsonl(Jsonl),
        /// webhook
        Webhook(Webhook),
    }

    impl Plan {
        /// Every fault of the values, each naming its key; empty if there is none.
        #[must_use]
        pub fn check(&self, _: &Context) -> Vec<String> {
            match self {
                Self::Stdout(_) => Vec::new(),
                Self::Jsonl(jsonl) if jsonl.path.is_absolute() => Vec::new(),
                Self::Jsonl(_) => vec!["path: must begin with \"/\"".to_owned()],
                Self::Webhook(webhook) if webhook.url.starts_with("http") => Vec::new(),
                Self::Webhook(_) => vec!["url: expected an http or https URL".to_owned()],
            }
        }
    }

    /// stdout
    #[derive(Clone, Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Stdout {}

    /// jsonl
    #[derive(Clone, Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Jsonl {
        /// The file.
        pub path: PathBuf,
    }

    /// webhook
    #[derive(Clone, Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Webhook {
        /// Where to.
        pub url: String,
        /// The signing key.
        pub secret: Option<SecretRef>,
        /// More headers.
        #[serde(default)]
        pub headers: BTreeMap<String, SecretRef>,
    }
}
