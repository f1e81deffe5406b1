//! One call of the API, from the request to what is sent.
//!
//! Owns the order of things: the fault that strikes before, the checks that any request must
//! pass, the action, the fault that strikes after.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, request};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};

use super::answer::Answer;
use super::authorization::{self, Signed};
use super::faults::Point;
use super::refusal::Refusal;
use super::serve::{End, Wire};
use super::shared::Shared;
use super::{Action, Kind, actions};

/// The largest body of a request, in bytes.
const MAX_BODY: usize = 10 * 1024 * 1024;

/// What is read of a larger one, so that its sender hears the refusal.
const MAX_READ: usize = 64 * 1024 * 1024;

/// A call on its way.
struct Call {
    shared: Arc<Shared>,
    wire: Wire,
    /// The action it names, if there is such a one.
    action: Option<Action>,
    came_in: DateTime<Utc>,
    /// The clock that this call sees.
    clock: DateTime<Utc>,
    request_id: String,
}

/// Answers any request that is for none of the emulator's own pages.
pub(super) async fn call(
    State(shared): State<Arc<Shared>>,
    Extension(wire): Extension<Wire>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    // Read before anything else: who sends slowly is not held up by a lease.
    let body = axum::body::to_bytes(body, MAX_READ).await;
    travel(shared.settings.one_way()).await;
    let action = header(&parts, "x-tc-action").and_then(Action::named);
    let struck = {
        let mut state = shared.state();
        let app = body.as_ref().ok().filter(|_| state.faults.ask_for_app());
        let app = app.and_then(|body| named_app(body));
        state.draw(action, app, Point::Request)
    };
    let clock_fault = match struck.as_ref().map(|struck| &struck.kind) {
        Some(Kind::WrongClock(seconds)) => TimeDelta::seconds((*seconds).into()),
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
    let kind = struck.as_ref().map(|struck| &struck.kind);
    let takes_effect = struck.as_ref().is_some_and(|struck| struck.takes_effect);

    if let Some(kind) = kind
        && !takes_effect
        && let Some(answer) = call.spoil(kind).await
    {
        call.count("fault");
        travel(call.shared.settings.one_way()).await;
        return answer.send(call.clock, None, &call.wire);
    }
    let outcome = match &body {
        Ok(body) => call.perform(&parts, body, kind).await,
        Err(_) => Err(too_large()),
    };
    let mut answer = call.answer(outcome);
    if let Some(kind) = kind
        && takes_effect
        && let Some(spoiled) = call.spoil(kind).await
    {
        answer = spoiled;
    }
    // A pull may have been held: the date is that of the answer.
    let date = call.clock + (call.shared.clock.now() - call.came_in);
    travel(call.shared.settings.one_way()).await;
    answer.send(date, kind, &call.wire)
}

/// Lets a request or an answer be on its way.
async fn travel(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

impl Call {
    /// What `kind` makes of the whole call: another answer, none at all (then this does not
    /// return), or nothing.
    async fn spoil(&self, kind: &Kind) -> Option<Answer> {
        let refusal = match kind {
            Kind::Status(status) => return Some(Answer::gateway(*status)),
            Kind::Reset => self.wire.end(End::Reset).await,
            Kind::Hang => {
                self.shared.stop.cancelled().await;
                self.wire.end(End::Close).await
            }
            Kind::Hold => {
                self.shared.hold().await;
                return None;
            }
            Kind::Delay(time) => {
                tokio::time::sleep(*time).await;
                return None;
            }
            Kind::Throttle => throttled(),
            Kind::InternalError => Refusal::new("InternalError", "internal error"),
            Kind::Error(code) => Refusal::new(code.as_str(), "an error that was asked for"),
            _ => return None,
        };
        Some(Answer::refusal(&refusal, &self.request_id))
    }

    async fn perform(
        &self,
        parts: &request::Parts,
        body: &Bytes,
        fault: Option<&Kind>,
    ) -> Result<actions::Outcome, Refusal> {
        let action = self.check(parts, body)?;
        if !self.shared.state().quota.admit(action, self.shared.clock.now()) {
            return Err(throttled());
        }
        actions::perform(&self.shared, action, body, self.came_in, self.clock, fault).await
    }

    /// Checks what every request must have. In which order the service checks is not known.
    fn check(&self, parts: &request::Parts, body: &Bytes) -> Result<Action, Refusal> {
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
        let (service, known_version) = self.action.unwrap_or(Action::PullEvents).service();
        if service == "sts" {
            required(parts, "X-TC-Region")?;
        }
        let signed = Signed {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query,
            headers: &parts.headers,
            body,
        };
        // Its proof is a token in the body; a key is neither needed nor looked at.
        let unsigned = self.action == Some(Action::AssumeRoleWithWebIdentity)
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
        Action::named(name)
            .ok_or_else(|| Refusal::new("InvalidAction", "there is no such action in the emulator"))
    }

    /// Counts and logs the outcome, and writes it.
    fn answer(&self, outcome: Result<actions::Outcome, Refusal>) -> Answer {
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
        self.action.map_or("other", Action::name)
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
