//! One request: signed, sent, and its answer opened.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{DATE, HOST, HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

use super::action::{Action, Service};
use super::advice::Advice;
use super::answer::{AnswerEnvelope, CallAnswer, Text};
use super::error::VodError;
use super::http::{self, BodyError, Endpoint, excerpt};
use super::key::Credentials;
use super::sign::{self, SignatureHeaders};
use crate::net;
use crate::secret::Secret;

const CONTENT_TYPE: &str = "application/json";

/// How PullEvents says that nothing is waiting: exactly this code, no sub-code of it.
const EMPTY_QUEUE: &str = "ResourceNotFound";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The server holds a pull for up to 5 s; connecting may take as long again.
const PULL_TIMEOUT: Duration = Duration::from_secs(15);
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Some other call waits for the keys.
const STS_TIMEOUT: Duration = Duration::from_secs(5);
/// Shorter than servers keep idle connections, so that they are not closed under a request.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const TCP_KEEPALIVE: Duration = Duration::from_secs(15);

/// How much of an answer that is not understood goes into the error, in characters.
const EXCERPT: usize = 200;
/// How much of it is looked at for that, in bytes: room for so many secrets to be hidden.
const BEGINNING: usize = 256 * 1024;

/// Where requests go, and the connections kept to it.
pub(super) struct Exchange {
    http: reqwest::Client,
    endpoint: Endpoint,
}

pub(super) struct OutgoingCall<'a> {
    pub(super) action: Action,
    /// Where the service wants one.
    pub(super) region: Option<&'a str>,
    pub(super) body: Vec<u8>,
    pub(super) proof: Proof<'a>,
    /// Now, as the service sees it.
    pub(super) time: DateTime<Utc>,
    /// Bytes of the answer at most, after decompression.
    pub(super) max_answer: usize,
}

/// Why the service should do it.
#[derive(Clone, Copy)]
pub(super) enum Proof<'a> {
    /// The request is signed with these.
    Key(&'a Credentials),
    /// This stands in the body, and nothing is signed.
    Token(&'a Secret),
}

impl Proof<'_> {
    fn secrets(&self) -> impl Iterator<Item = &str> {
        let (key, token) = match self {
            Self::Key(credentials) => (Some(credentials.secret_key()), credentials.token()),
            Self::Token(token) => (None, Some(*token)),
        };
        key.into_iter().chain(token).map(Secret::expose)
    }
}

pub(super) struct FailedCall {
    pub(super) error: VodError,
    pub(super) date: Option<String>,
}

impl From<VodError> for FailedCall {
    fn from(error: VodError) -> Self {
        Self { error, date: None }
    }
}

impl Exchange {
    /// Fails when TLS cannot be set up.
    pub(super) fn new(endpoint: Endpoint) -> Result<Self, String> {
        let mut builder = net::client_builder(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .tcp_keepalive(TCP_KEEPALIVE);
        if let Some(way) = endpoint.this_machine() {
            builder = way.direct(builder);
        }
        if endpoint.url.scheme() == "http" {
            // It needs no certificates, of which a machine may have none.
            builder = builder.tls_certs_only([]);
        }
        let http = builder
            .build()
            .map_err(|error| format!("cannot set up HTTPS: {}", http::describe(error)))?;
        Ok(Self { http, endpoint })
    }

    /// The host as the Host header names it.
    pub(super) fn host(&self) -> &str {
        &self.endpoint.host
    }

    pub(super) async fn send(&self, call: OutgoingCall<'_>) -> Result<CallAnswer, FailedCall> {
        let OutgoingCall { action, region, body, proof, time, max_answer } = call;
        let signed = match &proof {
            Proof::Key(credentials) => {
                let request = sign::RequestToSign {
                    service: action.service().name(),
                    headers: &[("Content-Type", CONTENT_TYPE), ("Host", self.host())],
                    body: &body,
                };
                sign::sign(&request, credentials, time)
            }
            Proof::Token(_) => SignatureHeaders::skipped(time),
        };
        let headers = headers(action, self.host(), region, &signed)?;

        let sent = Instant::now();
        let response = self
            .http
            .post(self.endpoint.url.clone())
            .headers(headers)
            .body(body)
            .timeout(timeout(action))
            .send()
            .await
            .map_err(|error| self.unreachable(action, error))?;
        let status = response.status().as_u16();
        let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
        let date = date.map(str::to_owned);
        let bytes = http::read_body(response, max_answer).await.map_err(|error| {
            match error {
                BodyError::TooLarge => VodError::too_large(action, max_answer),
                BodyError::Broken(error) => self.unreachable(action, error),
            }
            .with_status(status)
        })?;
        let hide = |text: &str| hide(text, &signed, &proof);
        match open(action, sent, status, Text::new(bytes), &hide) {
            Ok(answer) => Ok(CallAnswer { date, ..answer }),
            Err(error) => Err(FailedCall { error: error.with_status(status), date }),
        }
    }

    fn unreachable(&self, action: Action, error: reqwest::Error) -> VodError {
        let (host, was_connected) = (self.host(), !error.is_connect());
        let message = if error.is_timeout() && error.is_connect() {
            format!("no connection to {host} within {} s", CONNECT_TIMEOUT.as_secs())
        } else if error.is_timeout() {
            format!("no full answer from {host} within {} s", timeout(action).as_secs())
        } else {
            format!("talking to {host}: {}", http::describe(error))
        };
        let failed = VodError::new(action, Advice::Transport, excerpt(&message, 2 * EXCERPT));
        if was_connected { failed } else { failed.unsent() }
    }
}

fn timeout(action: Action) -> Duration {
    match action {
        Action::PullEvents => PULL_TIMEOUT,
        Action::AssumeRole | Action::AssumeRoleWithWebIdentity => STS_TIMEOUT,
        _ => CALL_TIMEOUT,
    }
}

fn headers(
    action: Action,
    host: &str,
    region: Option<&str>,
    signed: &SignatureHeaders,
) -> Result<HeaderMap, VodError> {
    let unfit = |name: &str| {
        let problem = format!("no HTTP header can hold the value of {name}");
        VodError::new(action, Advice::Credentials, problem).unsent()
    };
    let fixed = [
        ("Content-Type", CONTENT_TYPE),
        ("X-TC-Action", action.name()),
        ("X-TC-Version", action.service().version()),
        ("X-TC-Language", "en-US"),
    ];
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_str(host).map_err(|_| unfit("Host"))?);
    let region = region.map(|region| ("X-TC-Region", region));
    for (name, value) in fixed.into_iter().chain(region).chain(signed.headers()) {
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unfit(name))?;
        let mut value = HeaderValue::from_str(value).map_err(|_| unfit(name))?;
        value.set_sensitive(matches!(name, "Authorization" | "X-TC-Token"));
        headers.insert(header, value);
    }
    Ok(headers)
}

/// A server may echo what it was sent: nothing secret of it goes into an error. What is shorter
/// than any real secret would only tear words apart.
fn hide(text: &str, signed: &SignatureHeaders, proof: &Proof<'_>) -> String {
    let secrets = proof.secrets().chain([signed.signature()]);
    secrets.filter(|secret| secret.len() >= 8).fold(text.to_owned(), |text, secret| {
        if text.contains(secret) { text.replace(secret, "[hidden]") } else { text }
    })
}

/// As much of a text as an excerpt of it can need, whatever is hidden in it.
fn beginning(text: &str) -> &str {
    let text = text.trim_start();
    text.get(..text.floor_char_boundary(BEGINNING)).unwrap_or_default()
}

/// What an answer comes to. The service's own error decides, whatever the HTTP status.
pub(super) fn open(
    action: Action,
    sent: Instant,
    status: u16,
    text: Text,
    hide: &dyn Fn(&str) -> String,
) -> Result<CallAnswer, VodError> {
    match AnswerEnvelope::read(text.as_str()) {
        Ok(AnswerEnvelope::Refused { code, request_id, .. })
            if action == Action::PullEvents && code == EMPTY_QUEUE =>
        {
            Ok(CallAnswer { sent, request_id, status, date: None, content: None })
        }
        Ok(AnswerEnvelope::Refused { code, message, request_id }) => {
            Err(VodError::answered(action, &hide(&code), &hide(&message))
                .with_request_id(request_id.map(|id| hide(&id)).as_deref()))
        }
        Ok(AnswerEnvelope::Done { event_set, request_id }) if status == 200 => {
            let places = event_set.places(&text);
            let content = Some((text, places));
            Ok(CallAnswer { sent, request_id, status, date: None, content })
        }
        Ok(AnswerEnvelope::Done { request_id, .. }) => {
            let problem = "the HTTP status tells of a failure and the answer does not";
            Err(VodError::new(action, Advice::Transport, problem)
                .with_request_id(request_id.map(|id| hide(&id)).as_deref()))
        }
        Ok(AnswerEnvelope::Old { code, message }) => {
            let message = format!(
                "the answer has the form used before API 3.0 (check endpoint): {}",
                hide(&message)
            );
            Err(VodError::answered(action, &hide(&code), &message).with_advice(Advice::Answer))
        }
        Err(problem) => {
            let advice = match status {
                429 => Advice::Throttled,
                200 => Advice::Answer,
                _ => Advice::Transport,
            };
            if action.service() == Service::Sts {
                // Whatever stands there may be keys.
                return Err(VodError::new(action, advice, "the answer is not one of the API"));
            }
            let problem = excerpt(&hide(&problem), EXCERPT);
            let begin = excerpt(&hide(beginning(text.as_str())), EXCERPT);
            let message =
                format!("the answer is not one of the API ({problem}); it begins: {begin}");
            Err(VodError::new(action, advice, message))
        }
    }
}
