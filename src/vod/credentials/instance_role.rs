//! Temporary credentials of the CAM role that a cloud instance carries.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use reqwest::StatusCode;
use serde::Deserialize;
use tokio::time::Instant;

use super::{Credentials, Provider, ProviderError};
use crate::secret::Secret;
use crate::vod::http::{self, BodyError};

const METADATA: &str = "http://metadata.tencentyun.com";
const PATH: &str = "/latest/meta-data/cam/security-credentials/";

/// The server stands on the instance's own host: what takes longer is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(2);
const MAX_ANSWER: usize = 64 * 1024;

/// Credentials are renewed when they are good for no more than this.
const RENEW_BEFORE: TimeDelta = TimeDelta::seconds(300);
/// Between the end of one attempt and the start of the next, whatever came of it.
const PAUSE: Duration = Duration::from_secs(10);

/// The role's credentials, renewed 300 s before they expire. While that fails the old ones are
/// used for as long as they are valid. Concurrent callers share one attempt, and attempts are
/// 10 s apart.
#[derive(Clone, Debug)]
pub struct InstanceRole {
    role: Arc<Role>,
}

#[derive(Debug)]
struct Role {
    http: reqwest::Client,
    server: String,
    pause: Duration,
    state: Mutex<State>,
}

type Outcome = Result<Credentials, ProviderError>;
type Attempt = BoxFuture<'static, Outcome>;

#[derive(Debug, Default)]
struct State {
    current: Option<Credentials>,
    /// When the last attempt ended, and its error.
    last: Option<(Instant, Option<ProviderError>)>,
    /// Weak: an attempt that no caller waits for any more is dropped.
    attempt: Option<WeakShared<Attempt>>,
}

enum Step {
    Settled(Outcome),
    Wait(Shared<Attempt>),
}

impl InstanceRole {
    /// A provider that asks the instance's metadata server. Asks nothing yet.
    ///
    /// # Errors
    /// When no HTTP client can be set up.
    pub fn new() -> Result<Self, ProviderError> {
        Self::at(METADATA, PAUSE)
    }

    /// The same with another metadata server (scheme, host and port) and another pause between
    /// attempts.
    ///
    /// # Errors
    /// As [`InstanceRole::new`].
    pub fn at(server: &str, pause: Duration) -> Result<Self, ProviderError> {
        // The answers are keys: they must come from the host itself, through no proxy.
        let http = http::builder(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .no_proxy()
            .tls_certs_only([])
            .build()
            .map_err(|error| ProviderError::Broken(http::describe(error)))?;
        let server = server.trim_end_matches('/').to_owned();
        Ok(Self { role: Arc::new(Role { http, server, pause, state: Mutex::default() }) })
    }
}

impl Role {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to do for a caller that can use credentials of which `good` is true.
    fn step(self: &Arc<Self>, good: impl Fn(&Credentials) -> bool) -> Step {
        let mut state = self.state();
        if let Some(current) = state.current.clone().filter(good) {
            return Step::Settled(Ok(current));
        }
        if let Some(attempt) = state.attempt.as_ref().and_then(WeakShared::upgrade) {
            return Step::Wait(attempt);
        }
        if state.last.as_ref().is_some_and(|(ended, _)| ended.elapsed() < self.pause) {
            return Step::Settled(state.outcome());
        }
        let role = self.clone();
        let attempt = async move {
            let fetched = role.fetch().await;
            role.record(fetched)
        };
        let attempt = attempt.boxed().shared();
        state.attempt = attempt.downgrade();
        Step::Wait(attempt)
    }

    fn record(&self, fetched: Outcome) -> Outcome {
        let mut state = self.state();
        state.attempt = None;
        let failed_before = matches!(state.last, Some((_, Some(_))));
        // What was here once has not moved elsewhere.
        let fetched = fetched.map_err(|error| match error {
            ProviderError::NotHere(reason) if state.current.is_some() => {
                ProviderError::Broken(reason)
            }
            error => error,
        });
        match (&fetched, &state.current) {
            (Ok(_), _) if failed_before => tracing::info!("the role's credentials are renewed"),
            (Err(error), Some(old)) if !failed_before => tracing::warn!(
                error = %error,
                expires = old.expires.map(|time| time.to_rfc3339()),
                "cannot renew the role's credentials; the old ones are used until they expire"
            ),
            _ => {}
        }
        state.last = Some((Instant::now(), fetched.as_ref().err().cloned()));
        if let Ok(credentials) = &fetched {
            state.current = Some(credentials.clone());
        }
        fetched
    }

    async fn fetch(&self) -> Outcome {
        let names = self.get("").await?;
        let name = names.lines().next().unwrap_or_default().trim();
        let fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@+=,".contains(&byte);
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(fit) {
            let problem = format!("{} names no role: {}", self.server, http::excerpt(name, 64));
            return Err(ProviderError::Broken(problem));
        }
        let text = self.get(name).await?;
        read(&text).map_err(|problem| {
            ProviderError::Broken(format!("{}, role {name}: {problem}", self.server))
        })
    }

    async fn get(&self, name: &str) -> Result<String, ProviderError> {
        let server = &self.server;
        let response =
            self.http.get(format!("{server}{PATH}{name}")).send().await.map_err(|error| {
                let problem = http::describe(error);
                ProviderError::NotHere(format!("no answer from {server}: {problem}"))
            })?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => {
                return Err(ProviderError::NotHere(format!("{server} knows of no role")));
            }
            status => {
                return Err(ProviderError::Broken(format!("{server} answered HTTP {status}")));
            }
        }
        let body = http::read_body(response, MAX_ANSWER).await.map_err(|error| {
            ProviderError::Broken(match error {
                BodyError::TooLarge => format!("{server}: the answer is larger than 64 KiB"),
                BodyError::Broken(error) => format!("{server}: {}", http::describe(error)),
            })
        })?;
        String::from_utf8(body)
            .map_err(|_| ProviderError::Broken(format!("{server}: the answer is not UTF-8")))
    }
}

impl State {
    /// What a caller gets while no attempt is due. Credentials that came with the last attempt
    /// count as valid whatever this machine's clock says.
    fn outcome(&self) -> Outcome {
        let failure = self.last.as_ref().and_then(|(_, failure)| failure.as_ref());
        match (&self.current, failure) {
            (Some(current), None) => Ok(current.clone()),
            (Some(current), Some(_)) if good_for(current, TimeDelta::zero()) => Ok(current.clone()),
            (_, Some(failure)) => Err(failure.clone()),
            (None, None) => Err(ProviderError::Broken("not asked yet".to_owned())),
        }
    }
}

fn good_for(credentials: &Credentials, margin: TimeDelta) -> bool {
    credentials.expires.is_none_or(|expires| expires - Utc::now() > margin)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    code: Option<String>,
    tmp_secret_id: Option<String>,
    tmp_secret_key: Option<String>,
    token: Option<String>,
    expired_time: Option<i64>,
    expiration: Option<String>,
}

/// Problems name members, never their values.
fn read(text: &str) -> Result<Credentials, String> {
    let answer: Answer = serde_json::from_str(text)
        .map_err(|error| format!("not the expected JSON (line {})", error.line()))?;
    if let Some(code) = answer.code.filter(|code| code != "Success") {
        return Err(format!("Code is {}", http::excerpt(&code, 64)));
    }
    let id = answer.tmp_secret_id.ok_or("no TmpSecretId")?;
    let key = answer.tmp_secret_key.ok_or("no TmpSecretKey")?;
    let token = answer.token.ok_or("no Token")?;
    let expires = answer
        .expired_time
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
        .or_else(|| answer.expiration?.parse().ok());
    Credentials::new(&id, key.into(), Some(Secret::from(token)), expires)
}

#[async_trait]
impl Provider for InstanceRole {
    async fn credentials(&self) -> Result<Credentials, ProviderError> {
        match self.role.step(|current| good_for(current, RENEW_BEFORE)) {
            Step::Settled(outcome) => outcome,
            Step::Wait(attempt) => match attempt.await {
                Ok(credentials) => Ok(credentials),
                Err(_) => self.role.state().outcome(),
            },
        }
    }

    async fn refresh(&self, refused: &Credentials) -> Result<Credentials, ProviderError> {
        match self.role.step(|current| current != refused) {
            Step::Settled(outcome) => outcome,
            Step::Wait(attempt) => attempt.await,
        }
    }

    fn describe(&self) -> String {
        format!("the instance role ({})", self.role.server)
    }
}
