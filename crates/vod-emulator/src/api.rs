//! One call of the API, from the request to what is sent.
//!
//! Owns the order: the fault that applies before, the checks that any request must pass, the
//! action, the fault that applies after.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, request};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};

use super::action::ApiAction;
use super::actions;
use super::answer::Answer;
use super::authorization::{self, SignedRequest};
use super::faults::{FaultKind, FaultPoint};
use super::outcome::{Refusal, Success};
use super::serve::{ConnectionEnd, ConnectionEnder};
use super::shared::Shared;

/// The largest body of a request, in bytes.
const MAX_BODY: usize = 10 * 1024 * 1024;

/// What is read of a larger one, so that its sender hears the refusal.
const MAX_READ: usize = 64 * 1024 * 1024;

/// A call on its way.
struct Call {
    shared: Arc<Shared>,
    wire: ConnectionEnder,
    /// The action it names, if there is such a one.
    action: Option<ApiAction>,
    came_in: DateTime<Utc>,
    /// The clock that this call sees.
    clock: DateTime<Utc>,
    request_id: String,
}

/// Answers any request that is for none of the emulator's own pages.
pub(super) async fn call(
    State(shared): State<Arc<Shared>>,
    Extension(wire): Extension<ConnectionEnder>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    // Read before anything else: a slow sender does not use up a lease.
    let body = axum::body::to_bytes(body, MAX_READ).await;
    shared.travel().await;
    let action = header(&parts, "x-tc-action").and_then(ApiAction::named);
    let drawn = {
        let mut state = shared.state();
        let app = body.as_ref().ok().filter(|_| state.faults.ask_for_app());
        let app = app.and_then(|body| named_app(body));
        state.draw(action, app, FaultPoint::Request)
    };
    let clock_fault = match drawn.as_ref().map(|drawn| &drawn.kind) {
        Some(FaultKind::WrongClock(seconds)) => TimeDelta::seconds((*seconds).into()),
        _ => TimeDelta::zero(),
    };
    let call = Call {
        action,
        came_in: shared.clock.now(),
        clock: shared.clock.shown() + clock_fault,
        request_id: request_id(),
        shared,
        wire,
    };
    let kind = drawn.as_ref().map(|drawn| &drawn.kind);
    let takes_effect = drawn.as_ref().is_some_and(|drawn| drawn.takes_effect);

    if let Some(kind) = kind
        && !takes_effect
        && let Some(answer) = call.apply_fault(kind).await
    {
        call.count("fault");
        call.shared.travel().await;
        return answer.send(call.clock, None, &call.wire);
    }
    let outcome = match &body {
        Ok(body) => call.perform(&parts, body, kind).await,
        Err(_) => Err(too_large()),
    };
    let mut answer = call.answer(outcome);
    if let Some(kind) = kind
        && takes_effect
        && let Some(replaced) = call.apply_fault(kind).await
    {
        answer = replaced;
    }
    // A pull may have been held: the date is that of the answer.
    let date = call.clock + (call.shared.clock.now() - call.came_in);
    call.shared.travel().await;
    answer.send(date, kind, &call.wire)
}

impl Call {
    /// Applies `kind` to the whole call. Returns another answer, or `None` if the normal one stays;
    /// does not return where there is no answer at all.
    async fn apply_fault(&self, kind: &FaultKind) -> Option<Answer> {
        let refusal = match kind {
            FaultKind::Status(status) => return Some(Answer::gateway(*status)),
            FaultKind::Reset => self.wire.end(ConnectionEnd::Reset).await,
            FaultKind::Hang => {
                self.shared.stop.cancelled().await;
                self.wire.end(ConnectionEnd::Close).await
            }
            FaultKind::Hold => {
                self.shared.hold().await;
                return None;
            }
            FaultKind::Delay(time) => {
                tokio::time::sleep(*time).await;
                return None;
            }
            FaultKind::Throttle => throttled(),
            FaultKind::InternalError => Refusal::new("InternalError", "internal error"),
            FaultKind::Error(code) => Refusal::new(code.as_str(), "an injected error"),
            _ => return None,
        };
        Some(Answer::refusal(&refusal, &self.request_id))
    }

    async fn perform(
        &self,
        parts: &request::Parts,
        body: &Bytes,
        fault: Option<&FaultKind>,
    ) -> Result<Success, Refusal> {
        let action = self.check(parts, body)?;
        if !self.shared.state().quota.admit(action, self.shared.clock.now()) {
            return Err(throttled());
        }
        actions::perform(&self.shared, action, body, self.came_in, self.clock, fault).await
    }

    /// Checks what every request must have. In which order the service checks is not known.
    fn check(&self, parts: &request::Parts, body: &Bytes) -> Result<ApiAction, Refusal> {
        if parts.method != "POST" {
            // GET is an older way to call the service, with other signing; not spoken here.
            return Err(Refusal::new("UnsupportedProtocol", "the method must be POST"));
        }
        let query = parts.uri.query().unwrap_or_default();
        if parts.uri.path() != "/" || !query.is_empty() {
            return Err(Refusal::new("InvalidRequest", "the path must be / without a query"));
        }
        if body.len() > MAX_BODY {
            return Err(too_large());
        }
        let content_type = header(parts, "content-type").unwrap_or_default().to_ascii_lowercase();
        if !matches!(
            content_type
                .split_once(';')
                .map_or((content_type.as_str(), ""), |(kind, rest)| (kind.trim(), rest.trim())),
            ("application/json", "" | "charset=utf-8")
        ) {
            return Err(Refusal::new(
                "InvalidRequest",
                "the Content-Type must be application/json, in UTF-8",
            ));
        }
        let name = required(parts, "X-TC-Action")?;
        let version = required(parts, "X-TC-Version")?;
        let (service, known_version) = self.action.unwrap_or(ApiAction::PullEvents).service();
        if service == "sts" {
            required(parts, "X-TC-Region")?;
        }
        let signed = SignedRequest {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query,
            headers: &parts.headers,
            body,
        };
        // Its proof is a token in the body; a key is neither needed nor looked at.
        let unsigned = self.action == Some(ApiAction::AssumeRoleWithWebIdentity)
            && header(parts, "authorization") == Some("SKIP");
        if !unsigned {
            let find = |id: &str| self.shared.state().key(id);
            let any_signature = self.shared.settings.lenient.any_signature;
            authorization::verify(&signed, find, service, self.clock, any_signature)?;
        }
        if version != known_version {
            let message = format!("X-TC-Version must be {known_version}");
            return Err(Refusal::new("NoSuchVersion", message));
        }
        ApiAction::named(name)
            .ok_or_else(|| Refusal::new("InvalidAction", "there is no such action in the emulator"))
    }

    /// Counts and logs the outcome, and writes it.
    fn answer(&self, outcome: Result<Success, Refusal>) -> Answer {
        let request_id = self.request_id.as_str();
        let action = self.name();
        match outcome {
            Ok(outcome) => {
                self.count(outcome.name);
                tracing::debug!(action, outcome = outcome.name, request_id, "answered");
                Answer::success(&outcome.fields, request_id)
            }
            Err(refusal) if refusal == actions::no_event() => {
                self.count("empty");
                tracing::debug!(action, outcome = "empty", request_id, "answered");
                Answer::refusal(&refusal, request_id)
            }
            Err(refusal) => {
                self.count(&refusal.code);
                tracing::info!(
                    action,
                    code = refusal.code,
                    reason = refusal.message,
                    request_id,
                    "refused"
                );
                Answer::refusal(&refusal, request_id)
            }
        }
    }

    fn count(&self, outcome: &str) {
        self.shared.state().ledger.answered(self.name(), outcome);
    }

    fn name(&self) -> &'static str {
        self.action.map_or("other", ApiAction::name)
    }
}

fn header<'a>(parts: &'a request::Parts, name: &str) -> Option<&'a str> {
    parts.headers.get(name)?.to_str().ok()
}

/// The SubAppId that the body names, if it is one that can be read.
fn named_app(body: &[u8]) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Named {
        #[serde(rename = "SubAppId")]
        sub_app_id: Option<u64>,
    }
    serde_json::from_slice::<Named>(body).ok()?.sub_app_id
}

fn required<'a>(parts: &'a request::Parts, name: &str) -> Result<&'a str, Refusal> {
    header(parts, name)
        .filter(|value| !value.is_empty())
        .ok_or_else(|| Refusal::new("MissingParameter", format!("the header {name} is missing")))
}

fn too_large() -> Refusal {
    Refusal::new("RequestSizeLimitExceeded", "the body is larger than 10 MB")
}

fn throttled() -> Refusal {
    Refusal::new("RequestLimitExceeded", "too many requests in the last second")
}

/// A random UUID.
fn request_id() -> String {
    let hex = format!("{:032x}", rand::random::<u128>());
    // The version's digit is 4, the variant's one of 8, 9, a and b; 8 will do.
    format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}
