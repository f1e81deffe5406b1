//! A call that failed: what is known of it, and hints for the operator.

use std::fmt;

use crate::vod::action::{Action, Service};
use crate::vod::advice::{Advice, family};
use crate::vod::answer::MAX_REQUEST_ID;
use crate::vod::http;

/// The longest part of a server's message that is kept, in characters.
const MAX_MESSAGE: usize = 500;

/// Codes, with all that begin so, of requests that were turned down unread: for their rate, their
/// signature, a lack of permission, or because nobody would have read them.
const UNREAD: &[&str] = &[
    "ActionOffline",
    "AuthFailure",
    "InvalidAction",
    "IpInBlacklist",
    "IpNotInWhitelist",
    "NoSuchProduct",
    "NoSuchVersion",
    "RequestLimitExceeded",
    "RequestSizeLimitExceeded",
    "UnauthorizedOperation",
    "UnsupportedProtocol",
    "UnsupportedRegion",
];

/// Families of codes that say that the caller may not do this.
const PERMISSIONS: &[&str] =
    &["AuthFailure", "IpInBlacklist", "IpNotInWhitelist", "UnauthorizedOperation"];

/// What an operator can do about a code.
const HINTS: &[(&str, &str)] = &[
    ("ActionOffline", WRONG_ENDPOINT),
    ("AuthFailure.InvalidSecretId", WRONG_ID),
    ("AuthFailure.MFAFailure", POLICY),
    ("AuthFailure.SecretIdNotFound", WRONG_ID),
    ("AuthFailure.SignatureExpire", "set this machine's clock, for instance by NTP"),
    ("AuthFailure.SignatureFailure", "check that secret_key belongs to secret_id"),
    ("AuthFailure.TokenFailure", "the session token is wrong or has expired: renew it"),
    ("AuthFailure.UnauthorizedOperation", POLICY),
    (
        "FailedOperation.InvalidVodUser",
        "check that VOD is active for this account and that sub_app_id is one of its applications",
    ),
    ("InvalidAction", WRONG_ENDPOINT),
    ("InvalidParameterValue.SubAppId", "check sub_app_id"),
    ("IpInBlacklist", "this machine's address is not let in: see the account's access rules"),
    ("IpNotInWhitelist", "this machine's address is not let in: see the account's access rules"),
    ("NoSuchProduct", WRONG_ENDPOINT),
    ("NoSuchVersion", WRONG_ENDPOINT),
    ("UnauthorizedOperation", POLICY),
];

/// What an operator can do about a code of STS.
const STS_HINTS: &[(&str, &str)] = &[
    ("ActionOffline", WRONG_STS_ENDPOINT),
    ("AuthFailure.UnauthorizedOperation", TRUST),
    (
        "InvalidParameter.OverTimeError",
        "set role_duration to no more than the role's longest session",
    ),
    ("InvalidAction", WRONG_STS_ENDPOINT),
    ("NoSuchProduct", WRONG_STS_ENDPOINT),
    ("NoSuchVersion", WRONG_STS_ENDPOINT),
    ("ResourceNotFound.RoleNotFound", "check that the role exists (role_arn, or TKE_ROLE_ARN)"),
    ("UnauthorizedOperation", TRUST),
];

const TRUST: &str = "name who asks in the role's trust policy: the account of the key, whose own \
                     policy has to allow sts:AssumeRole, or the cluster's identity provider";
const WRONG_STS_ENDPOINT: &str = "check that sts_endpoint is an STS endpoint of API 3.0";
const POLICY: &str = "allow vod:PullEvents, vod:ConfirmEvents, vod:DescribeEventsState and \
                      vod:DescribeEventConfig in the CAM policy of this key or its role, which \
                      `sprited check --policy` prints";
const TASK_POLICY: &str = "allow vod:DescribeTasks and vod:DescribeTaskDetail in the CAM policy of this \
                           key or its role, which `sprited check --policy` prints; or set \
                           [reconcile] every = \"off\"";
const WRONG_ENDPOINT: &str = "check that endpoint is a VOD endpoint of API 3.0";
const WRONG_ID: &str = "check that secret_id exists and is enabled";

/// A call that failed. Holds no secret and no signature: `Display` can go to the log as it is.
#[derive(Clone)]
pub struct VodError(Box<Details>);

#[derive(Clone, Debug)]
struct Details {
    action: Action,
    advice: Advice,
    code: Option<String>,
    message: String,
    note: Option<String>,
    request_id: Option<String>,
    status: Option<u16>,
    was_sent: bool,
    is_too_large: bool,
}

impl VodError {
    pub(crate) fn new(action: Action, advice: Advice, message: impl Into<String>) -> Self {
        Self(Box::new(Details {
            action,
            advice,
            code: None,
            message: message.into(),
            note: None,
            request_id: None,
            status: None,
            was_sent: true,
            is_too_large: false,
        }))
    }

    /// The service answered with an error of its own.
    pub(crate) fn answered(action: Action, code: &str, message: &str) -> Self {
        let mut error =
            Self::new(action, Advice::for_code(code), http::excerpt(message, MAX_MESSAGE));
        error.0.code = Some(http::excerpt(code, MAX_MESSAGE));
        error
    }

    /// The answer has more than `limit` bytes.
    pub(super) fn too_large(action: Action, limit: usize) -> Self {
        let message = format!("the answer is larger than {limit} bytes");
        let mut error = Self::new(action, Advice::Answer, message);
        error.0.is_too_large = true;
        error
    }

    /// The answer came through and is not what was asked for.
    pub(super) fn unexpected(
        action: Action,
        problem: &str,
        status: u16,
        request_id: Option<&str>,
    ) -> Self {
        let problem = http::excerpt(problem, MAX_MESSAGE);
        Self::new(action, Advice::Answer, format!("the answer is not as expected: {problem}"))
            .with_status(status)
            .with_request_id(request_id)
    }

    /// The request did not leave this machine.
    pub(crate) fn unsent(mut self) -> Self {
        self.0.was_sent = false;
        self
    }

    pub(super) fn with_advice(mut self, advice: Advice) -> Self {
        self.0.advice = advice;
        self
    }

    pub(super) fn with_note(mut self, note: String) -> Self {
        self.0.note = Some(note);
        self
    }

    pub(super) fn with_request_id(mut self, id: Option<&str>) -> Self {
        self.0.request_id = id.map(|id| http::excerpt(id, MAX_REQUEST_ID));
        self
    }

    pub(super) fn with_status(mut self, status: u16) -> Self {
        self.0.status = Some(status);
        self
    }

    /// What was called.
    pub fn action(&self) -> Action {
        self.0.action
    }

    /// What to do.
    pub fn advice(&self) -> Advice {
        self.0.advice
    }

    /// Whether the request certainly had no effect: it was not sent, or the service said that it
    /// turned it down before it looked at what was asked. A code that says something of what was
    /// asked proves nothing: a part of it may have been done before.
    pub fn had_no_effect(&self) -> bool {
        let is_unread = |code: &str| UNREAD.contains(&code) || UNREAD.contains(&family(code));
        !self.0.was_sent || self.code().is_some_and(is_unread)
    }

    /// Whether the answer was larger than allowed.
    pub fn is_too_large(&self) -> bool {
        self.0.is_too_large
    }

    /// The service's error code, where it gave one.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// What happened, in the service's words or ours; one line.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The id to name when asking the provider's support; missing when the request did not
    /// reach the service.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// The HTTP status, where there was an answer.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// What an operator can do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        let code = self.code()?;
        let find = |hints: &[(&str, &'static str)]| {
            hints
                .iter()
                .filter(|(known, _)| {
                    code.strip_prefix(known)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                })
                .map(|(_, hint)| *hint)
                .next_back()
        };
        let of_sts = Some(STS_HINTS).filter(|_| self.0.action.service() == Service::Sts);
        let hint = of_sts.and_then(find).or_else(|| find(HINTS));
        let is_of_tasks =
            matches!(self.0.action, Action::DescribeTasks | Action::DescribeTaskDetail);
        hint.map(|hint| if is_of_tasks && hint == POLICY { TASK_POLICY } else { hint })
    }

    /// What happened, for a log line that has code, request id and hint as fields of their own.
    pub fn summary(&self) -> impl fmt::Display {
        Summary(self)
    }

    /// Whether the request may have taken effect and no answer of the service says so.
    pub fn was_lost(&self) -> bool {
        matches!(self.advice(), Advice::Transport | Advice::Answer) && self.0.was_sent
    }

    /// Whether a handle in the call may be at fault: the service answered, and not of the rate, the
    /// time, who asks, or what they are allowed to do. Which code a stale handle has is not
    /// documented.
    pub fn may_be_of_a_handle(&self) -> bool {
        let Some(code) = self.code() else { return false };
        match self.advice() {
            Advice::Throttled | Advice::Clock | Advice::Credentials => false,
            _ => !PERMISSIONS.contains(&family(code)),
        }
    }

    /// Whether the service knows the key and the application, and does not let this be done.
    pub fn is_missing_permission(&self) -> bool {
        self.code().is_some_and(|code| {
            code == "AuthFailure.UnauthorizedOperation" || family(code) == "UnauthorizedOperation"
        })
    }

    /// Whether the service says that there is no such application, or that one has to be named. Not
    /// for the error of a pull: there `ResourceNotFound` is an empty queue.
    pub fn is_of_the_application(&self) -> bool {
        matches!(
            self.code(),
            Some("InvalidParameterValue.SubAppId" | "MissingParameter" | "ResourceNotFound")
        )
    }

    /// Whether the parameters are at fault: a reason to narrow a ConfirmEvents down to the
    /// handle that is not taken.
    pub fn is_parameter_error(&self) -> bool {
        self.advice() == Advice::InvalidParameters
    }
}

struct Summary<'e>(&'e VodError);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details { action, message, note, status, .. } = &*self.0.0;
        write!(f, "{action} failed: {message}")?;
        if let Some(status) = status {
            write!(f, " (HTTP {status})")?;
        }
        note.iter().try_for_each(|note| write!(f, "; {note}"))
    }
}

impl fmt::Display for VodError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details { action, code, message, note, request_id, status, .. } = &*self.0;
        write!(f, "{action} failed: ")?;
        if let Some(code) = code {
            write!(f, "{code}: ")?;
        }
        f.write_str(message)?;
        match (status, request_id) {
            (Some(status), Some(id)) => write!(f, " (HTTP {status}, RequestId {id})")?,
            (Some(status), None) => write!(f, " (HTTP {status})")?,
            (None, Some(id)) => write!(f, " (RequestId {id})")?,
            (None, None) => {}
        }
        for more in [note.as_deref(), self.hint()].into_iter().flatten() {
            write!(f, "; {more}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for VodError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for VodError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vod::advice::CODES;

    #[test]
    fn its_summary_leaves_out_what_a_log_line_has_as_fields() {
        let error = VodError::answered(Action::PullEvents, "AuthFailure.SignatureFailure", "wrong")
            .with_status(200)
            .with_request_id(Some("1-2-3"))
            .with_note("asked twice".to_owned());
        assert_eq!(error.summary().to_string(), "PullEvents failed: wrong (HTTP 200); asked twice");
        let whole = error.to_string();
        assert!(whole.contains("AuthFailure.SignatureFailure") && whole.contains("1-2-3"));
        assert!(whole.contains(error.hint().unwrap()), "{whole}");
    }

    #[test]
    fn every_hint_is_found() {
        for (code, _) in HINTS {
            let error = VodError::answered(Action::PullEvents, code, "");
            assert!(error.hint().is_some(), "{code}");
        }
    }

    #[test]
    fn only_what_was_turned_down_unread_had_no_effect() {
        let answered = |code: &str| VodError::answered(Action::ConfirmEvents, code, "");
        let unread = "AuthFailure AuthFailure.SignatureExpire AuthFailure.SignatureFailure \
                      AuthFailure.InvalidSecretId AuthFailure.SecretIdNotFound \
                      AuthFailure.TokenFailure AuthFailure.MFAFailure \
                      AuthFailure.UnauthorizedOperation AuthFailure.NeverHeardOf \
                      UnauthorizedOperation UnauthorizedOperation.CamNoAuth IpInBlacklist \
                      IpNotInWhitelist RequestLimitExceeded RequestLimitExceeded.UinLimitExceeded \
                      ActionOffline InvalidAction NoSuchProduct NoSuchVersion \
                      RequestSizeLimitExceeded UnsupportedProtocol UnsupportedRegion";
        for code in unread.split_whitespace() {
            assert!(answered(code).had_no_effect(), "{code}");
        }
        let read = "InvalidParameter InvalidParameterValue InvalidParameterValue.EventHandles \
                    InvalidParameterValue.SubAppId MissingParameter UnknownParameter \
                    FailedOperation FailedOperation.Other FailedOperation.InvalidVodUser \
                    InternalError InternalError.DBError ServiceUnavailable ResourceUnavailable \
                    ResourceInsufficient ResourceInUse ResourceNotFound LimitExceeded \
                    ResponseSizeLimitExceeded UnsupportedOperation InvalidRequest DryRunOperation \
                    NeverHeardOf RequestLimitExceededness Never.AuthFailure";
        for code in read.split_whitespace() {
            assert!(!answered(code).had_no_effect(), "{code}");
        }
        // Every code that has its advice has its place above.
        for (code, _) in CODES {
            let listed = |codes: &str| codes.split_whitespace().any(|listed| listed == *code);
            assert!(listed(unread) != listed(read), "{code}");
        }
    }

    #[test]
    fn what_was_sent_and_not_answered_by_a_code_may_have_had_its_effect() {
        use Advice::{Answer, Clock, Credentials, Refused, Service, Throttled, Transport};
        let action = Action::ConfirmEvents;
        for advice in [Throttled, Clock, Credentials, Refused, Service, Transport, Answer] {
            let lost = VodError::new(action, advice, "");
            assert!(!lost.had_no_effect(), "{advice:?}");
            assert!(lost.unsent().had_no_effect(), "{advice:?}");
        }
        assert!(!VodError::unexpected(action, "", 200, None).had_no_effect());
        assert!(!VodError::too_large(action, 7).had_no_effect());
        assert!(VodError::too_large(action, 7).is_too_large());
        assert!(!VodError::unexpected(action, "", 200, None).is_too_large());
    }

    #[test]
    fn a_parameter_error_is_one_that_a_handle_can_cause() {
        let parameter =
            |code| VodError::answered(Action::ConfirmEvents, code, "").is_parameter_error();
        assert!(parameter("InvalidParameterValue"));
        assert!(!parameter("InvalidParameterValue.SubAppId"));
        assert!(!parameter("InternalError"));
        let of_a_handle =
            |code| VodError::answered(Action::ConfirmEvents, code, "").may_be_of_a_handle();
        for code in [
            "InvalidParameterValue",
            "FailedOperation",
            "InternalError",
            "InternalError.DBError",
            "ResourceNotFound",
            "LimitExceeded",
            "NeverHeardOf",
        ] {
            assert!(of_a_handle(code), "{code}");
        }
        for code in [
            "RequestLimitExceeded.UinLimitExceeded",
            "AuthFailure.SignatureExpire",
            "AuthFailure.TokenFailure",
            "AuthFailure.UnauthorizedOperation",
            "UnauthorizedOperation.CamNoAuth",
            "IpNotInWhitelist",
        ] {
            assert!(!of_a_handle(code), "{code}");
        }
        let lost = VodError::new(Action::ConfirmEvents, Advice::Transport, "");
        assert!(!lost.may_be_of_a_handle() && lost.was_lost() && !lost.clone().unsent().was_lost());
    }

    #[test]
    fn the_text_says_all_of_it_on_one_line() {
        let error =
            VodError::answered(Action::PullEvents, "UnauthorizedOperation.CamNoAuth", "no\nway")
                .with_status(200)
                .with_request_id(Some("id-1"))
                .with_note("second try".into());
        let text = error.to_string();
        let expected = "PullEvents failed: UnauthorizedOperation.CamNoAuth: no way \
                        (HTTP 200, RequestId id-1); second try; allow vod:PullEvents";
        assert!(text.starts_with(expected), "{text}");
    }
}
