//! What to do about a call that failed, and in which words that is told.
//!
//! Owns the table that turns an error code into [`Advice`]. The caller decides by the advice, never
//! by a message: codes are stable, messages are not. A new kind of failure is a variant here, with
//! its name, reason and remedy.

/// What to do about an error. Nothing here is repeated by the client beyond what
/// [`Client`](crate::vod::Client) documents: the caller waits and calls again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Advice {
    /// Too many requests: fewer of them, with back-off and jitter.
    Throttled,
    /// The clocks disagree and the answer did not help to set ours right: tell, retry slowly.
    Clock,
    /// There are no credentials or the service does not take them: tell, retry slowly.
    Credentials,
    /// The service will not do it for this account, this policy or this client: tell, retry slowly.
    Refused,
    /// The parameters are at fault; for ConfirmEvents that means a handle: narrow it down.
    InvalidParameters,
    /// A failure of the service: retry with back-off.
    Service,
    /// The request or its answer did not get through: retry with back-off. The request may
    /// have taken effect.
    Transport,
    /// The answer cannot be understood or is too large: retry with back-off, tell. The request
    /// may have taken effect.
    Answer,
}

impl Advice {
    /// Returns a short name for metrics and logs; never changes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Clock => "clock",
            Self::Credentials => "credentials",
            Self::Refused => "refused",
            Self::InvalidParameters => "invalid_parameters",
            Self::Service => "service",
            Self::Transport => "transport",
            Self::Answer => "answer",
        }
    }

    /// Returns why nothing is pulled while calls fail so: the words of every page, log and status
    /// line.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Throttled => "the cloud throttles the requests",
            Self::Clock => "the cloud refuses this machine's clock",
            Self::Credentials => "the cloud refuses the credentials",
            Self::Refused | Self::InvalidParameters => "the cloud refuses the request",
            Self::Service => "the cloud reports an error of its own",
            Self::Transport => "the cloud cannot be reached",
            Self::Answer => "the cloud's answer cannot be read",
        }
    }

    /// Returns what an operator can do about it where the error's code suggests nothing better.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Throttled => "other clients use up the account's request quota; try again later",
            Self::Clock => "set this machine's clock, for instance by NTP",
            Self::Credentials => "check secret_id, secret_key and token",
            Self::Refused | Self::InvalidParameters => "check [vod] endpoint and sub_app_id",
            Self::Service => "service error: try again later",
            Self::Transport => {
                "check [vod] endpoint, the network, and HTTPS_PROXY if a proxy is needed"
            }
            Self::Answer => "check [vod] endpoint: something else answers there, perhaps a proxy",
        }
    }

    /// Whether calls fail so until somebody acts.
    pub fn is_lasting(self) -> bool {
        matches!(self, Self::Clock | Self::Credentials | Self::Refused)
    }

    /// Returns what to do about an error code. A code that is not in the table is treated as the
    /// part before its first dot; what is unknown even then counts as a failure of the service.
    #[must_use]
    pub fn for_code(code: &str) -> Self {
        let find = |code: &str| CODES.iter().find(|(known, _)| *known == code);
        find(code).or_else(|| find(family(code))).map_or(Self::Service, |(_, advice)| *advice)
    }
}

/// Returns the part of a code before its first dot.
pub(super) fn family(code: &str) -> &str {
    code.split('.').next().unwrap_or(code)
}

pub(super) const CODES: &[(&str, Advice)] = &[
    ("ActionOffline", Advice::Refused),
    ("AuthFailure", Advice::Credentials),
    ("AuthFailure.MFAFailure", Advice::Refused),
    ("AuthFailure.SignatureExpire", Advice::Clock),
    ("AuthFailure.UnauthorizedOperation", Advice::Refused),
    ("DryRunOperation", Advice::Refused),
    ("FailedOperation", Advice::Service),
    ("FailedOperation.InvalidVodUser", Advice::Refused),
    ("InternalError", Advice::Service),
    ("InvalidAction", Advice::Refused),
    ("InvalidParameter", Advice::InvalidParameters),
    ("InvalidParameterValue", Advice::InvalidParameters),
    // The application is part of the configuration: no handle is at fault.
    ("InvalidParameterValue.SubAppId", Advice::Refused),
    ("InvalidRequest", Advice::Refused),
    ("IpInBlacklist", Advice::Refused),
    ("IpNotInWhitelist", Advice::Refused),
    ("LimitExceeded", Advice::Refused),
    ("MissingParameter", Advice::InvalidParameters),
    ("NoSuchProduct", Advice::Refused),
    ("NoSuchVersion", Advice::Refused),
    ("RequestLimitExceeded", Advice::Throttled),
    ("RequestSizeLimitExceeded", Advice::Refused),
    ("ResourceInUse", Advice::Refused),
    ("ResourceInsufficient", Advice::Service),
    ("ResourceNotFound", Advice::Refused),
    ("ResourceUnavailable", Advice::Service),
    ("ResponseSizeLimitExceeded", Advice::Refused),
    ("ServiceUnavailable", Advice::Service),
    ("UnauthorizedOperation", Advice::Refused),
    ("UnknownParameter", Advice::InvalidParameters),
    ("UnsupportedOperation", Advice::Refused),
    ("UnsupportedProtocol", Advice::Refused),
    ("UnsupportedRegion", Advice::Refused),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_code_has_its_advice() {
        let classes = [
            (Advice::Clock, "AuthFailure.SignatureExpire"),
            (
                Advice::Credentials,
                "AuthFailure.SignatureFailure AuthFailure.InvalidAuthorization \
                 AuthFailure.InvalidSecretId AuthFailure.SecretIdNotFound AuthFailure.TokenFailure",
            ),
            (
                Advice::Refused,
                "AuthFailure.MFAFailure AuthFailure.UnauthorizedOperation UnauthorizedOperation \
                 UnauthorizedOperation.CamNoAuth FailedOperation.InvalidVodUser LimitExceeded \
                 InvalidRequest InvalidAction NoSuchVersion NoSuchProduct UnsupportedOperation \
                 UnsupportedProtocol UnsupportedRegion ActionOffline RequestSizeLimitExceeded \
                 ResponseSizeLimitExceeded IpInBlacklist IpNotInWhitelist DryRunOperation \
                 ResourceInUse ResourceNotFound ResourceNotFound.UserNotExist \
                 InvalidParameterValue.SubAppId",
            ),
            (
                Advice::Throttled,
                "RequestLimitExceeded RequestLimitExceeded.IPLimitExceeded \
                 RequestLimitExceeded.UinLimitExceeded \
                 RequestLimitExceeded.GlobalRegionUinLimitExceeded",
            ),
            (
                Advice::Service,
                "InternalError InternalError.DBError FailedOperation FailedOperation.Other \
                 ServiceUnavailable ResourceUnavailable ResourceInsufficient NeverHeardOf \
                 Never.HeardOf",
            ),
            (
                Advice::InvalidParameters,
                "MissingParameter InvalidParameter InvalidParameterValue UnknownParameter \
                 InvalidParameterValue.EventHandles",
            ),
        ];
        for (advice, codes) in classes {
            for code in codes.split_whitespace() {
                assert_eq!(Advice::for_code(code), advice, "{code}");
            }
        }
        // A family that is not known as a whole must not be taken for one with a longer name.
        assert_eq!(Advice::for_code("RequestLimitExceededness"), Advice::Service);
    }
}
