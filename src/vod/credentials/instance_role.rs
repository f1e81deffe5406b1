//! Temporary credentials of the CAM role that a cloud instance carries.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use reqwest::StatusCode;
use serde::Deserialize;

use super::provider::CredentialsResult;
use super::renewal::RenewedCredentials;
use super::{Credentials, ProviderError};
use crate::net;
use crate::secret::Secret;
use crate::vod::advice::Advice;
use crate::vod::http::{self, BodyError};

/// The metadata server of every instance.
pub(super) const METADATA: &str = "http://metadata.tencentyun.com";
const PATH: &str = "/latest/meta-data/cam/security-credentials/";

/// The server stands on the instance's own host: what takes longer is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(2);
const MAX_ANSWER: usize = 64 * 1024;

/// Credentials are renewed when they are good for no more than this.
const RENEW_BEFORE: TimeDelta = TimeDelta::seconds(300);

struct Metadata {
    http: reqwest::Client,
    server: String,
}

/// The role of the instance, as its metadata server (scheme, host and port) has it, renewed 300 s
/// before its credentials expire. Attempts are `pause` apart. Asks nothing yet.
///
/// # Errors
/// When no HTTP client can be set up.
pub fn instance_role(server: &str, pause: Duration) -> Result<RenewedCredentials, ProviderError> {
    // The answers are keys: they must come from the host itself, through no proxy.
    let http = net::client_builder(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .no_proxy()
        .tls_certs_only([])
        .build()
        .map_err(|error| ProviderError::Invalid(http::describe(error)))?;
    let server = server.trim_end_matches('/').to_owned();
    let source = format!("the instance role ({server})");
    let metadata = Arc::new(Metadata { http, server });
    let ask = move || {
        let metadata = metadata.clone();
        async move { metadata.fetch().await }
    };
    Ok(RenewedCredentials::new(source, ask, |_| RENEW_BEFORE, pause))
}

impl Metadata {
    async fn fetch(&self) -> CredentialsResult {
        let names = self.get("").await?;
        let name = names.lines().next().unwrap_or_default().trim();
        let fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@+=,".contains(&byte);
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(fit) {
            let problem = format!("{} names no role: {}", self.server, http::excerpt(name, 64));
            return Err(ProviderError::Invalid(problem));
        }
        let text = self.get(name).await?;
        read(&text).map_err(|problem| {
            ProviderError::Invalid(format!("{}, role {name}: {problem}", self.server))
        })
    }

    async fn get(&self, name: &str) -> Result<String, ProviderError> {
        let server = &self.server;
        let response =
            self.http.get(format!("{server}{PATH}{name}")).send().await.map_err(|error| {
                let problem = http::describe(error);
                ProviderError::NotFound(format!("no answer from {server}: {problem}"))
            })?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => {
                return Err(ProviderError::NotFound(format!("{server} knows of no role")));
            }
            status => {
                let reason = format!("{server} answered HTTP {status}");
                return Err(ProviderError::Unavailable { reason, advice: Advice::Service });
            }
        }
        let body = http::read_body(response, MAX_ANSWER).await.map_err(|error| {
            let (problem, advice) = match error {
                BodyError::TooLarge => ("the answer is larger than 64 KiB".into(), Advice::Answer),
                BodyError::Broken(error) => (http::describe(error), Advice::Transport),
            };
            ProviderError::Unavailable { reason: format!("{server}: {problem}"), advice }
        })?;
        String::from_utf8(body)
            .map_err(|_| ProviderError::Invalid(format!("{server}: the answer is not UTF-8")))
    }
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
