//! Posts events.
//!
//! Owns the connections on which they are sent. Each try has one of its own: whether the service
//! keeps any is not known, and what a kept one adds in failures would be the emulator's.

use std::sync::Arc;

use reqwest::{Client, redirect};
use tokio::task::JoinSet;

use super::outbox::OutgoingPush;
use super::outcome::{PushEnd, PushOutcome};
use super::request::PushRequest;
use crate::shared::Shared;

/// What is read of an answer, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// Returns the client that posts.
pub(crate) fn client() -> reqwest::Result<Client> {
    // Fails only where a provider is installed already, which is as good.
    rustls::crypto::ring::default_provider().install_default().ok();
    Client::builder()
        .no_proxy()
        .no_gzip()
        .redirect(redirect::Policy::none())
        .pool_max_idle_per_host(0)
        .build()
}

/// Posts the events that are to be, until the emulator stops. A try that is under way then has no
/// end.
pub(crate) async fn push_events(shared: &Arc<Shared>, client: &Client) {
    let mut in_flight = JoinSet::new();
    loop {
        // Registered before the look, so that no event slips in between.
        let added = shared.added.notified();
        tokio::pin!(added);
        added.as_mut().enable();
        while in_flight.len() < shared.settings.push.concurrency
            && let Some(push) = shared.next_push()
        {
            in_flight.spawn(attempt(Arc::clone(shared), client.clone(), push));
        }
        let has_room = in_flight.len() < shared.settings.push.concurrency;
        let due = shared.next_push_due().filter(|_| has_room);
        tokio::select! {
            () = shared.stop.cancelled() => break,
            Some(ended) = in_flight.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "the task of a push failed");
                }
            }
            () = added, if has_room => {}
            () = tokio::time::sleep(due.unwrap_or_default()), if due.is_some() => {}
        }
    }
    in_flight.shutdown().await;
}

/// Sends an event once and records what came of it.
async fn attempt(shared: Arc<Shared>, client: Client, push: OutgoingPush) {
    let settings = &shared.settings.push;
    let request = settings.request(&push.url, &push.content, &shared.base, shared.clock.shown());
    let began = shared.clock.now();
    let outcome = tokio::time::timeout(settings.timeout, send(&client, request))
        .await
        .unwrap_or(PushOutcome::TimedOut);
    let event = push.event;
    match shared.push_ended(event, began, outcome) {
        Some(PushEnd::Lost) => tracing::warn!(event, ?outcome, "event lost; it has no try left"),
        Some(PushEnd::Again) => tracing::info!(event, ?outcome, "event not taken; will try again"),
        _ => tracing::debug!(event, ?outcome, "event posted"),
    }
}

async fn send(client: &Client, request: PushRequest) -> PushOutcome {
    let PushRequest { url, headers, body } = request;
    let mut post = client.post(url).body(body);
    for (name, value) in headers {
        post = post.header(name, value);
    }
    match read(post).await {
        Ok(200) => PushOutcome::Answered,
        Ok(status) => PushOutcome::Refused(status),
        Err(error) => {
            tracing::debug!(error = %error.without_url(), "a push failed");
            PushOutcome::Unreachable
        }
    }
}

/// Sends a request and reads its answer; returns the status.
async fn read(post: reqwest::RequestBuilder) -> reqwest::Result<u16> {
    let mut answer = post.send().await?;
    let mut length = 0;
    while length < MAX_ANSWER
        && let Some(chunk) = answer.chunk().await?
    {
        length += chunk.len();
    }
    Ok(answer.status().as_u16())
}
