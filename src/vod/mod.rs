//! The cloud's event API: signed calls and what their answers mean.
//!
//! Owns the [`Client`], its [`Settings`] and credentials. Knows neither journal nor sinks, and
//! decides nothing about pace: beyond the two repeats that [`Client`] documents, waiting and
//! calling again belong to the caller.

mod answer;
mod applications;
mod client;
mod clock;
pub mod credentials;
mod endpoint;
mod error;
mod event_config;
mod exchange;
mod http;
mod pulled;
mod route;
mod settings;
pub mod sign;

use std::fmt;

pub use applications::Applications;
#[doc(hidden)]
pub use client::read_pull;
pub use client::{Client, MAX_HANDLES};
pub use error::{Advice, VodError};
pub use event_config::{EventConfig, EventMode, application_advice};
pub use pulled::{Entries, Pulled};
pub use route::{Proxy, ProxyKind, Route, Tls, TlsFault};
pub use settings::VodSettings;

/// What can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Hands out events for 30 s.
    PullEvents,
    /// Takes events out of the queue for good.
    ConfirmEvents,
    /// Tells how many events wait.
    DescribeEventsState,
    /// Tells how events are reported.
    DescribeEventConfig,
    /// Hands out temporary keys of a role to whoever signs with a key that it trusts.
    AssumeRole,
    /// The same for a token of an identity provider that the role trusts; not signed.
    AssumeRoleWithWebIdentity,
}

impl Action {
    /// Its name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PullEvents => "PullEvents",
            Self::ConfirmEvents => "ConfirmEvents",
            Self::DescribeEventsState => "DescribeEventsState",
            Self::DescribeEventConfig => "DescribeEventConfig",
            Self::AssumeRole => "AssumeRole",
            Self::AssumeRoleWithWebIdentity => "AssumeRoleWithWebIdentity",
        }
    }

    fn service(self) -> Service {
        match self {
            Self::AssumeRole | Self::AssumeRoleWithWebIdentity => Service::Sts,
            _ => Service::Vod,
        }
    }
}

/// Whose action it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Service {
    /// Events.
    Vod,
    /// Temporary keys.
    Sts,
}

impl Service {
    /// Its short name, which is signed.
    fn name(self) -> &'static str {
        match self {
            Self::Vod => "vod",
            Self::Sts => "sts",
        }
    }

    fn version(self) -> &'static str {
        match self {
            Self::Vod => "2018-07-17",
            Self::Sts => "2018-08-13",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
