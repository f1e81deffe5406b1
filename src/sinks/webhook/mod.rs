//! Events as signed HTTP requests, one each, after Standard Webhooks.
//!
//! Owns the client, the signatures and the table of what a receiver's status means. Only 2xx is
//! delivered; a redirect is not followed. No URL, header or secret ever stands in an error.

mod advice;
mod settings;
mod signature;
mod status;

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use self::settings::WebhookCredentials;
pub use self::settings::{WebhookSettings, WebhookUrl};
use self::status::Meaning;
use super::{Batch, BatchLimits, Fault, MAX_REPLY_CHARS, Sink, SinkContext, Verdict, Verdicts};
use crate::event::Event;
use crate::net;
use crate::sanitize::{self, KeptEnd};
use crate::secret::{Secret, mask};
use crate::sync::lock;

/// How the event arrived, unless it was pulled.
const ORIGIN_HEADER: &str = "sprited-origin";

/// The longest that making a connection may take; the sink's timeout if that is shorter.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Idle connections are given up before the usual receiver would close them under a request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How much of an answer's body is read, in bytes, and for how long. Its content changes
/// nothing; reading it to its end lets the connection be used again.
const MAX_BODY: usize = 64 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(2);

/// How long an answer is waited for beyond its timeout, since it may have arrived already.
const LATE_ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// Opens the sink: reads its secrets and makes the client. Connects to nothing.
///
/// # Errors
/// When a secret cannot be read or the system's certificates cannot be loaded.
pub async fn open(settings: &WebhookSettings, context: &SinkContext) -> anyhow::Result<Webhook> {
    let (settings, context) = (Arc::new(settings.clone()), context.clone());
    // Both the secrets and the system's certificates are files.
    spawn_blocking(move || {
        let credentials = WebhookCredentials::read(&settings)?;
        let client = client(&settings, &context)?;
        Ok(Webhook { settings, context, client, credentials: Mutex::new(Arc::new(credentials)) })
    })
    .await?
}

fn client(settings: &WebhookSettings, context: &SinkContext) -> anyhow::Result<Client> {
    let mut client = net::client_builder(CONNECT_TIMEOUT.min(context.timeout));
    if let Some(way) = settings.url.this_machine() {
        client = way.direct(client);
    }
    client
        .referer(false)
        .gzip(false)
        .pool_max_idle_per_host(settings.max_in_flight.get())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .build()
        .map_err(|error| anyhow::anyhow!(describe(error)))
        .context("cannot make the HTTP client")
}

/// The sink `webhook`.
pub struct Webhook {
    settings: Arc<WebhookSettings>,
    context: SinkContext,
    client: Client,
    credentials: Mutex<Arc<WebhookCredentials>>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The client would show the proxies of the environment, with their passwords.
        let mut shown = f.debug_struct("Webhook");
        shown.field("settings", &self.settings).field("context", &self.context);
        shown.field("credentials", &self.credentials()).finish_non_exhaustive()
    }
}

impl Webhook {
    fn credentials(&self) -> Arc<WebhookCredentials> {
        Arc::clone(&lock(&self.credentials))
    }

    /// Reads the secrets again; those in use stay when that fails.
    async fn renew(&self) -> anyhow::Result<()> {
        if self.settings.has_external_secrets() {
            let settings = Arc::clone(&self.settings);
            let fresh = spawn_blocking(move || WebhookCredentials::read(&settings)).await??;
            *lock(&self.credentials) = Arc::new(fresh);
        }
        Ok(())
    }

    async fn post(&self, event: Arc<Event>) -> Verdict {
        let credentials = self.credentials();
        let mut body = Vec::new();
        event.render(self.context.format, &mut body);
        let id = event.key.to_string();
        let timestamp = chrono::Utc::now().timestamp();
        let mut request = self
            .client
            .post(self.settings.url.url().clone())
            .headers(credentials.headers.clone())
            .header(CONTENT_TYPE, self.context.format.content_type())
            .header("webhook-id", &id)
            .header("webhook-timestamp", timestamp);
        if let Some(origin) = event.origin.name() {
            request = request.header(ORIGIN_HEADER, origin);
        }
        let mut hidden = credentials.hidden.clone();
        if let Some(signature) = signature::header(&credentials.keys, &id, timestamp, &body) {
            hidden.extend(signature::each(&signature).map(Secret::from));
            request = request.header("webhook-signature", signature);
        }
        match self.ask(request.body(body)).await {
            Ok(response) => self.judge(response, &hidden).await,
            Err(error) => {
                let origin = self.settings.url.origin();
                Verdict::retry(format!("no answer from {origin}: {error}"))
            }
        }
    }

    async fn ask(&self, request: RequestBuilder) -> Result<Response, String> {
        match within(self.context.timeout, request.send()).await {
            Some(answer) => answer.map_err(describe),
            None => Err("no answer in time".to_owned()),
        }
    }

    async fn judge(&self, response: Response, hidden: &[Secret]) -> Verdict {
        let status = response.status();
        let meaning = status::meaning(status.as_u16());
        let after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| net::retry_after(value, chrono::Utc::now()));
        let answer = read_some(response, BODY_TIMEOUT.min(self.context.timeout)).await;
        let hint = match meaning {
            Meaning::Delivered => return Verdict::Delivered,
            Meaning::Retry(hint) | Meaning::Reject(hint) => hint,
        };
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
            && let Err(error) = self.renew().await
        {
            let error = format!("{error:#}");
            tracing::warn!(sink = self.context.name, error, "cannot read the secrets again");
        }
        let mut error = format!("{} answered {status}", self.settings.url.origin());
        if !hint.is_empty() {
            error = format!("{error} ({hint})");
        }
        let reply = sanitize::one_line(&mask(&answer, hidden));
        let reply = sanitize::truncate(&reply, MAX_REPLY_CHARS, KeptEnd::First);
        if !reply.is_empty() {
            error = format!("{error}: {reply}");
        }
        match meaning {
            Meaning::Reject(_) => Verdict::Reject(error),
            _ => Verdict::Retry { error, after, fault: Fault::Target },
        }
    }
}

#[async_trait]
impl Sink for Webhook {
    async fn deliver(&self, batch: &Batch) -> Verdicts {
        batch.one_by_one(|event| self.post(event)).await
    }

    fn limits(&self) -> BatchLimits {
        BatchLimits { max_batch: 1, max_in_flight: self.settings.max_in_flight.get() }
    }

    async fn reopen(&self) -> anyhow::Result<()> {
        self.renew().await
    }

    /// Asks with HEAD, which carries no event. Receivers that take POST alone refuse it in many
    /// ways; all of them show that somebody is there.
    async fn probe(&self) -> anyhow::Result<()> {
        let credentials = self.credentials();
        let request = self.client.head(self.settings.url.url().clone());
        let answer = self.ask(request.headers(credentials.headers.clone())).await;
        let origin = self.settings.url.origin();
        let status =
            answer.map_err(|error| anyhow::anyhow!("no answer from {origin}: {error}"))?.status();
        if matches!(status.as_u16(), 407 | 502..=504) {
            anyhow::bail!("a proxy or gateway cannot reach {origin}: {status}");
        }
        if status.is_redirection() {
            anyhow::bail!("{origin} answered {status}: configure the final URL");
        }
        Ok(())
    }
}

/// Waits for an answer, `limit` long at most, and then for [`LATE_ANSWER_TIMEOUT`]: a process that
/// was stopped finds its time up when it goes on, before it has read what came meanwhile.
async fn within<T>(limit: Duration, answer: impl Future<Output = T>) -> Option<T> {
    let mut answer = pin!(answer);
    match timeout(limit, &mut answer).await {
        Ok(answer) => Some(answer),
        Err(_) => timeout(LATE_ANSWER_TIMEOUT, answer).await.ok(),
    }
}

/// The beginning of the body. What cannot be read within `limit` is left.
async fn read_some(mut response: Response, limit: Duration) -> Vec<u8> {
    let mut answer = Vec::new();
    let reading = async {
        while answer.len() < MAX_BODY
            && let Ok(Some(chunk)) = response.chunk().await
        {
            let room = MAX_BODY - answer.len();
            answer.extend_from_slice(&chunk[..chunk.len().min(room)]);
        }
    };
    // The status has said all that matters; a slow body is not a failure.
    drop(timeout(limit, reading).await);
    answer
}

/// What went wrong, with its causes and without the URL.
fn describe(error: reqwest::Error) -> String {
    let kind = match &error {
        e if e.is_timeout() && e.is_connect() => "no connection in time",
        e if e.is_timeout() => "no answer in time",
        e if e.is_connect() => "cannot connect",
        e if e.is_builder() => "cannot make the request",
        _ => "the connection failed",
    };
    net::with_causes(kind.to_owned(), &error.without_url())
}
