//! The actions that are called, and the services that they belong to.

use std::fmt;

/// An action of the cloud's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Hands out events for 30 s.
    PullEvents,
    /// Takes events out of the queue for good.
    ConfirmEvents,
    /// Returns how many events wait.
    DescribeEventsState,
    /// Returns how events are reported.
    DescribeEventConfig,
    /// Lists tasks.
    DescribeTasks,
    /// Returns what is known of a task.
    DescribeTaskDetail,
    /// Hands out temporary keys of a role to whoever signs with a key that it trusts.
    AssumeRole,
    /// Hands out temporary keys of a role for a token of an identity provider that it trusts; not
    /// signed.
    AssumeRoleWithWebIdentity,
}

impl Action {
    /// Returns its name in the API.
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

    pub(super) fn service(self) -> Service {
        match self {
            Self::AssumeRole | Self::AssumeRoleWithWebIdentity => Service::Sts,
            _ => Service::Vod,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    Vod,
    Sts,
}

impl Service {
    /// Returns its short name, which is signed.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Vod => "vod",
            Self::Sts => "sts",
        }
    }

    pub(super) fn version(self) -> &'static str {
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
