//! The actions of the API.

use serde::Deserialize;
use serde::de::value::{self, StrDeserializer};

/// An action of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
pub enum ApiAction {
    /// Hands out events.
    PullEvents,
    /// Takes events off the queue.
    ConfirmEvents,
    /// Returns how many events wait.
    DescribeEventsState,
    /// Returns how events are reported.
    DescribeEventConfig,
    /// Lists tasks.
    DescribeTasks,
    /// Returns what became of a task.
    DescribeTaskDetail,
    /// Hands out keys of a role, for a key of the account.
    AssumeRole,
    /// Hands out keys of a role, for a token of an identity provider.
    AssumeRoleWithWebIdentity,
}

impl ApiAction {
    /// Returns the name in `X-TC-Action`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PullEvents => "PullEvents",
            Self::ConfirmEvents => "ConfirmEvents",
            Self::DescribeEventsState => "DescribeEventsState",
            Self::DescribeEventConfig => "DescribeEventConfig",
            Self::DescribeTasks => "DescribeTasks",
            Self::DescribeTaskDetail => "DescribeTaskDetail",
            Self::AssumeRole => "AssumeRole",
            Self::AssumeRoleWithWebIdentity => "AssumeRoleWithWebIdentity",
        }
    }

    /// Returns the service's short name and version.
    pub(super) fn service(self) -> (&'static str, &'static str) {
        match self {
            Self::AssumeRole | Self::AssumeRoleWithWebIdentity => ("sts", "2018-08-13"),
            _ => ("vod", "2018-07-17"),
        }
    }

    /// Returns the action of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::deserialize(StrDeserializer::<value::Error>::new(name)).ok()
    }
}
