//! The cloud's event API: signed calls and what their answers mean.
//!
//! Owns the [`Client`], its [`Settings`] and credentials. Knows neither journal nor sinks, and
//! decides nothing about pace: beyond the two repeats that [`Client`] documents, waiting and
//! calling again belong to the caller.

mod answer;
mod clock;
pub mod credentials;
mod error;
mod http;
mod settings;
pub mod sign;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use reqwest::Url;
use reqwest::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

pub use answer::Pulled;
pub use error::{Advice, Error};
pub use settings::Settings;

use crate::event::AppId;
use answer::{Answer, Envelope, Text};
use clock::Clock;
use credentials::{Credentials, Provider, ProviderError};
use http::BodyError;

const SERVICE: &str = "vod";
const VERSION: &str = "2018-07-17";
const CONTENT_TYPE: &str = "application/json";

/// How PullEvents says that nothing is waiting: exactly this code, no sub-code of it.
const EMPTY_QUEUE: &str = "ResourceNotFound";
const TOKEN_FAILURE: &str = "AuthFailure.TokenFailure";

/// The most handles that one ConfirmEvents takes.
pub const MAX_HANDLES: usize = 16;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The server holds a pull for up to 5 s; connecting may take as long again.
const PULL_TIMEOUT: Duration = Duration::from_secs(15);
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Shorter than servers keep idle connections, so that they are not closed under a request.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const TCP_KEEPALIVE: Duration = Duration::from_secs(15);

/// How much of an answer that is not understood goes into the error, in characters.
const EXCERPT: usize = 200;

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
        }
    }

    fn timeout(self) -> Duration {
        match self {
            Self::PullEvents => PULL_TIMEOUT,
            _ => CALL_TIMEOUT,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How the application's events are reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventConfig {
    /// Whether they can be pulled at all.
    pub mode: EventMode,
    /// Where they are posted in mode push.
    pub notification_url: Option<String>,
    /// Whether finished uploads are reported (`ON`, `OFF`).
    pub upload_media_complete: Option<String>,
    /// Whether deleted media are reported (`ON`, `OFF`).
    pub delete_media_complete: Option<String>,
    /// Whether finished persistence is reported (`ON`, `OFF`).
    pub persistence_complete: Option<String>,
}

/// How events leave the cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventMode {
    /// Posted to a URL: nothing waits in the queue.
    Push,
    /// Kept in the queue until confirmed: what this program needs.
    Pull,
    /// A mode this program does not know, or an empty string for none.
    Other(String),
}

/// The event API of one application. Cheap to clone; clones share connections, credentials and
/// what was learned about the clock.
///
/// Every request is signed anew. A call is repeated at most twice, at once, and only where
/// that is known to help: after a refusal for its time, if the answer's Date shows another
/// time than was signed; and after a refusal of its credentials, if the provider then has
/// others (a refused token is tried once more in any case). Each try takes 15 s at most for a
/// pull and 10 s for the rest. Dropping the future of a call drops its request, which may have
/// taken effect.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    http: reqwest::Client,
    endpoint: Url,
    /// The Host header, signed and sent; has the port where it is not the scheme's own.
    host: String,
    app: AppId,
    max_answer: usize,
    provider: RwLock<Arc<dyn Provider>>,
    clock: Clock,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Parameters<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    event_handles: Option<&'a [&'a str]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_app_id: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StateFields {
    count_of_events_to_pull: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ConfigFields {
    mode: Option<String>,
    notification_url: Option<String>,
    upload_media_complete_event_switch: Option<String>,
    delete_media_complete_event_switch: Option<String>,
    persistence_complete_event_switch: Option<String>,
}

/// A try that failed, and the Date of the answer to it.
struct Failed {
    error: Error,
    date: Option<String>,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, date: None }
    }
}

impl Client {
    /// A client for the application that `settings` name, which signs with what `provider` has.
    /// Connects to nothing yet. The proxies named in the environment (`HTTPS_PROXY`,
    /// `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`) are used.
    ///
    /// # Errors
    /// When the settings have a fault or TLS cannot be set up, in words for the operator.
    pub fn new(settings: &Settings, provider: Arc<dyn Provider>) -> Result<Self, String> {
        let problems = settings.check();
        if !problems.is_empty() {
            return Err(problems.join("; "));
        }
        let (endpoint, host) = settings.endpoint()?;
        let mut builder = http::builder(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .tcp_keepalive(TCP_KEEPALIVE);
        if endpoint.scheme() == "http" {
            // Loopback needs no certificates, and a machine may have none.
            builder = builder.tls_certs_only([]);
        }
        let http = builder
            .build()
            .map_err(|error| format!("cannot set up HTTPS: {}", http::describe(error)))?;
        Ok(Self {
            shared: Arc::new(Shared {
                http,
                endpoint,
                host,
                app: AppId(settings.sub_app_id.unwrap_or(0)),
                max_answer: settings.max_answer(),
                provider: RwLock::new(provider),
                clock: Clock::default(),
            }),
        })
    }

    /// The application; 0 if none is configured, and then none is sent.
    #[must_use]
    pub fn app(&self) -> AppId {
        self.shared.app
    }

    /// What is to be added to this machine's clock to get the service's. Zero until the
    /// service has refused a request for its time.
    #[must_use]
    pub fn clock_offset(&self) -> TimeDelta {
        TimeDelta::try_seconds(self.shared.clock.offset()).unwrap_or_default()
    }

    /// Where the credentials come from, for people.
    #[must_use]
    pub fn credentials_source(&self) -> String {
        self.provider().describe()
    }

    /// Signs with what `provider` has from now on, if it has anything.
    ///
    /// # Errors
    /// When it has nothing; the client then stays with the provider it had.
    pub async fn reload_credentials(
        &self,
        provider: Arc<dyn Provider>,
    ) -> Result<(), ProviderError> {
        provider.credentials().await?;
        *self.shared.provider.write().unwrap_or_else(PoisonError::into_inner) = provider;
        Ok(())
    }

    /// Pulls up to 16 events, which are ours for 30 s from [`Pulled::sent`] at least. With
    /// nothing waiting the server holds the call for up to 5 s; then the list is empty.
    ///
    /// # Errors
    /// See [`Error::advice`]. Events may have been handed out to a call that failed; they come
    /// again after 30 s.
    pub async fn pull(&self) -> Result<Pulled, Error> {
        let action = Action::PullEvents;
        let answer = self.call(action, None).await?;
        let Answer { sent, request_id, status, content } = answer;
        let Some((text, response)) = content else { return Ok(Pulled::empty(sent, request_id)) };
        Pulled::read(sent, request_id.clone(), text, response)
            .map_err(|problem| unreadable(action, &problem, status, request_id.as_deref()))
    }

    /// Takes the events of these handles, 1 to [`MAX_HANDLES`], out of the queue for good.
    ///
    /// # Errors
    /// See [`Error::advice`]. The service tells nothing of the single handle: after a parameter
    /// error any of them may have been confirmed or not.
    pub async fn confirm(&self, handles: &[&str]) -> Result<(), Error> {
        if handles.is_empty() || handles.len() > MAX_HANDLES {
            return Err(Error::new(
                Action::ConfirmEvents,
                Advice::Refused,
                format!("{} handles given; a call takes 1 to {MAX_HANDLES}", handles.len()),
            ));
        }
        self.call(Action::ConfirmEvents, Some(handles)).await.map(drop)
    }

    /// Roughly how many events wait, up to three minutes old: for a gauge only.
    ///
    /// # Errors
    /// See [`Error::advice`]; not every site of the cloud knows this action.
    pub async fn events_state(&self) -> Result<u64, Error> {
        let StateFields { count_of_events_to_pull } =
            self.describe(Action::DescribeEventsState).await?;
        Ok(count_of_events_to_pull)
    }

    /// How the application's events are reported.
    ///
    /// # Errors
    /// See [`Error::advice`]; it needs a permission of its own.
    pub async fn event_config(&self) -> Result<EventConfig, Error> {
        let fields: ConfigFields = self.describe(Action::DescribeEventConfig).await?;
        Ok(EventConfig {
            mode: match fields.mode.as_deref() {
                Some("PUSH") => EventMode::Push,
                Some("PULL") => EventMode::Pull,
                other => EventMode::Other(other.unwrap_or_default().to_owned()),
            },
            notification_url: fields.notification_url.filter(|url| !url.is_empty()),
            upload_media_complete: fields.upload_media_complete_event_switch,
            delete_media_complete: fields.delete_media_complete_event_switch,
            persistence_complete: fields.persistence_complete_event_switch,
        })
    }

    async fn describe<T: serde::de::DeserializeOwned>(&self, action: Action) -> Result<T, Error> {
        let answer = self.call(action, None).await?;
        answer.decode().map_err(|problem| {
            unreadable(action, &problem, answer.status, answer.request_id.as_deref())
        })
    }

    fn provider(&self) -> Arc<dyn Provider> {
        self.shared.provider.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn call(&self, action: Action, handles: Option<&[&str]>) -> Result<Answer, Error> {
        let sub_app_id = Some(self.shared.app.0).filter(|id| *id != 0);
        let body = serde_json::to_vec(&Parameters { event_handles: handles, sub_app_id })
            .expect("strings and a number always make JSON");
        let provider = self.provider();
        let mut credentials =
            provider.credentials().await.map_err(|problem| Error::unsigned(action, &problem))?;
        let (mut corrected, mut refreshed) = (false, false);
        loop {
            let offset = self.shared.clock.offset();
            let Failed { error, date } =
                match self.send(action, body.clone(), &credentials, offset).await {
                    Ok(answer) => return Ok(answer),
                    Err(failed) => failed,
                };
            match error.advice() {
                Advice::Clock if !corrected => {
                    corrected = true;
                    if !self.shared.clock.learn(date.as_deref(), Utc::now(), offset) {
                        return Err(error);
                    }
                }
                Advice::Credentials if !refreshed => {
                    refreshed = true;
                    credentials = match provider.refresh(&credentials).await {
                        Ok(other) if other != credentials => other,
                        Ok(same) if error.code() == Some(TOKEN_FAILURE) => same,
                        Ok(_) => return Err(error),
                        Err(problem) => return Err(error.with_note(problem.to_string())),
                    };
                }
                _ => return Err(error),
            }
        }
    }

    /// Signs and sends once.
    async fn send(
        &self,
        action: Action,
        body: Vec<u8>,
        credentials: &Credentials,
        offset: i64,
    ) -> Result<Answer, Failed> {
        let shared = &*self.shared;
        let request = sign::Request {
            service: SERVICE,
            headers: &[("Content-Type", CONTENT_TYPE), ("Host", &shared.host)],
            body: &body,
        };
        let signed = sign::sign(&request, credentials, Clock::at(Utc::now(), offset));
        let headers = headers(action, &shared.host, &signed)?;
        let redact = |error: Error| {
            let token = credentials.token().map_or("", |token| token.expose());
            let key = credentials.secret_key().expose();
            error.without(signed.signature()).without(key).without(token)
        };

        let sent = Instant::now();
        let response = shared
            .http
            .post(shared.endpoint.clone())
            .headers(headers)
            .body(body)
            .timeout(action.timeout())
            .send()
            .await
            .map_err(|error| redact(unreachable(action, &shared.host, error)))?;
        let status = response.status().as_u16();
        let date = response
            .headers()
            .get(reqwest::header::DATE)
            .and_then(|date| date.to_str().ok())
            .map(str::to_owned);
        let bytes = http::read_body(response, shared.max_answer).await.map_err(|error| {
            let error = match error {
                BodyError::TooLarge => Error::new(
                    action,
                    Advice::Answer,
                    format!(
                        "the answer is larger than {} bytes (max_answer_size)",
                        shared.max_answer
                    ),
                ),
                BodyError::Broken(error) => unreachable(action, &shared.host, error),
            };
            redact(error.with_status(status))
        })?;
        open(action, sent, status, Text::new(bytes))
            .map_err(|error| Failed { error: redact(error.with_status(status)), date })
    }
}

/// What an answer comes to. The service's own error decides, whatever the HTTP status.
fn open(action: Action, sent: Instant, status: u16, text: Text) -> Result<Answer, Error> {
    match Envelope::read(text.as_str()) {
        Ok(Envelope::Refused { code, request_id, .. })
            if action == Action::PullEvents && code == EMPTY_QUEUE =>
        {
            Ok(Answer { sent, request_id, status, content: None })
        }
        Ok(Envelope::Refused { code, message, request_id }) => {
            Err(Error::answered(action, &code, &message).with_request_id(request_id.as_deref()))
        }
        Ok(Envelope::Done { response, request_id }) if status == 200 => {
            let range = text.range(response);
            Ok(Answer { sent, request_id, status, content: Some((text, range)) })
        }
        Ok(Envelope::Done { request_id, .. }) => Err(Error::new(
            action,
            Advice::Transport,
            "the HTTP status tells of a failure and the answer does not",
        )
        .with_request_id(request_id.as_deref())),
        Ok(Envelope::Old { code, message }) => {
            let message =
                format!("the answer has the form used before API 3.0 (check endpoint): {message}");
            Err(Error::answered(action, &code, &message).with_advice(Advice::Answer))
        }
        Err(problem) => {
            let advice = match status {
                429 => Advice::Throttled,
                200 => Advice::Answer,
                _ => Advice::Transport,
            };
            let begin = http::excerpt(text.as_str(), EXCERPT);
            let problem = http::excerpt(&problem, EXCERPT);
            Err(Error::new(
                action,
                advice,
                format!("the answer is not one of the API ({problem}); it begins: {begin}"),
            ))
        }
    }
}

fn headers(action: Action, host: &str, signed: &sign::Signed) -> Result<HeaderMap, Error> {
    let unfit = |name: &str| {
        Error::new(
            action,
            Advice::Credentials,
            format!("no HTTP header can hold the value of {name}"),
        )
    };
    let mut headers = HeaderMap::new();
    let fixed = [
        ("Content-Type", CONTENT_TYPE),
        ("X-TC-Action", action.name()),
        ("X-TC-Version", VERSION),
        ("X-TC-Language", "en-US"),
    ];
    headers.insert(HOST, HeaderValue::from_str(host).map_err(|_| unfit("Host"))?);
    for (name, value) in fixed.into_iter().chain(signed.headers()) {
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unfit(name))?;
        let mut value = HeaderValue::from_str(value).map_err(|_| unfit(name))?;
        value.set_sensitive(matches!(name, "Authorization" | "X-TC-Token"));
        headers.insert(header, value);
    }
    Ok(headers)
}

fn unreachable(action: Action, host: &str, error: reqwest::Error) -> Error {
    let message = if error.is_timeout() && error.is_connect() {
        format!("no connection to {host} within {} s", CONNECT_TIMEOUT.as_secs())
    } else if error.is_timeout() {
        format!("no full answer from {host} within {} s", action.timeout().as_secs())
    } else {
        format!("talking to {host}: {}", http::describe(error))
    };
    Error::new(action, Advice::Transport, http::excerpt(&message, 2 * EXCERPT))
}

fn unreadable(action: Action, problem: &str, status: u16, request_id: Option<&str>) -> Error {
    let problem = http::excerpt(problem, EXCERPT);
    Error::new(action, Advice::Answer, format!("the answer is not as expected: {problem}"))
        .with_status(status)
        .with_request_id(request_id)
}
