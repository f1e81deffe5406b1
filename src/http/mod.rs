//! The pages of the daemon over HTTP: metrics, liveness, readiness and status.
//!
//! Owns no state but the samples of the last hour: all of it is read off metrics, health, journal
//! and mirrors.

mod collect;
mod gauges;
mod history;
mod host_check;
mod page;
mod settings;
mod sprites;
mod status;
mod text;
mod tile;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use chrono::Utc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::listener::{self, ConnectionLimits};
use crate::net::is_loopback;
use crate::sanitize;
use collect::StatusSource;
use sprites::SpriteDisk;

pub use collect::Sources;
pub use settings::{HttpSettings, Listen};
pub use sprites::{MirrorFolder, ServedSprites, SpritePages};

/// How long `/readyz` waits for the journal to be read.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_millis(500);

/// Connections at once at most.
const MAX_CONNECTIONS: usize = 128;
/// Answers in progress at once at most.
const MAX_ANSWERS: usize = 32;

/// The limits of the pages. Probes are answered whatever else is asked for.
const LIMITS: ConnectionLimits = ConnectionLimits {
    connections: MAX_CONNECTIONS,
    answers: MAX_ANSWERS,
    unlimited_paths: &["/healthz", "/readyz"],
    head_timeout: Duration::from_secs(5),
    idle_timeout: Duration::from_secs(5),
    answer_timeout: Duration::from_secs(10),
    max_age: Some(Duration::from_secs(60)),
    idle_grace: Duration::ZERO,
    stop_grace: Duration::from_millis(300),
    max_head_bytes: 16 * 1024,
};

/// Answers requests until `stop`; answers in progress then get a moment.
pub async fn serve(listener: TcpListener, sources: Sources, stop: CancellationToken) {
    let is_loopback = listener.local_addr().is_ok_and(|at| is_loopback(at.ip()));
    let (journal, health) = (sources.journal.clone(), sources.health.journal().clone());
    let sprites = SpriteDisk::new(journal, health, sources.sprites.clone(), is_loopback);
    let host = sources.host.clone();
    let source = StatusSource { sources, history: Arc::default() };
    let drawing = (source.clone(), sprites.clone());
    let router = Router::new()
        .route("/style.css", get(async || typed("text/css; charset=utf-8", page::STYLE)))
        .route("/page.js", get(async || typed("text/javascript; charset=utf-8", page::SCRIPT)))
        .route("/icon.svg", get(async || typed("image/svg+xml", page::ICON)))
        .route("/status.json", get(status_json))
        .route("/status.txt", get(status_text))
        .route("/metrics", get(metrics_page))
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .with_state(source.clone())
        .route("/", get(status_page).with_state(drawing))
        .merge(sprites::router(sprites, host))
        .layer(middleware::map_response(host_check::harden));
    let router = if is_loopback {
        router.layer(middleware::from_fn(host_check::refuse_other_hosts))
    } else {
        router
    };
    tokio::join!(
        stop.run_until_cancelled(sample(&source)),
        listener::serve(listener, router, watch::channel(LIMITS).1, stop.clone()),
    );
}

/// Takes the samples of the history, as long as it runs.
async fn sample(source: &StatusSource) {
    let mut ticks = tokio::time::interval(history::SAMPLE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let snapshot = source.sources.snapshots.latest().await;
        let view = snapshot.journal.as_ref().ok();
        source.history.push(view.map(|view| collect::totals(&source.sources.metrics, view)));
    }
}

fn typed(content_type: &'static str, body: impl IntoResponse) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, content_type)], body)
}

/// `/?hold` is the page that stays as it is.
async fn status_page(
    State((source, sprites)): State<(StatusSource, SpriteDisk)>,
    RawQuery(query): RawQuery,
) -> impl IntoResponse {
    let snapshot = source.sources.snapshots.latest().await;
    let mut status = collect::status(&source, &snapshot);
    sprites::draw(&sprites, &snapshot, &mut status.latest).await;
    let is_held = query.as_deref() == Some("hold");
    typed("text/html; charset=utf-8", page::render(&status, is_held).into_string())
}

async fn status_text(State(source): State<StatusSource>) -> impl IntoResponse {
    let snapshot = source.sources.snapshots.latest().await;
    typed("text/plain; charset=utf-8", text::render(&collect::status(&source, &snapshot)))
}

async fn status_json(State(source): State<StatusSource>) -> Response {
    let snapshot = source.sources.snapshots.latest().await;
    let status = collect::status(&source, &snapshot);
    let Ok(json) = serde_json::to_string(&status) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut body = String::with_capacity(json.len() + 1);
    sanitize::escape_json(&json, &mut body);
    body.push('\n');
    typed("application/json", body).into_response()
}

async fn metrics_page(State(source): State<StatusSource>) -> Response {
    let Sources { metrics, health, snapshots, .. } = source.sources;
    let snapshot = snapshots.latest().await;
    metrics.journal_writable.set(i64::from(health.journal().error().is_none()));
    let seen = snapshot.journal.as_ref().ok();
    let now = Utc::now();
    gauges::set(&metrics, seen.map(|seen| &seen.overview), now);
    gauges::set_state(&metrics, &health.state(snapshot.facts(), now));
    // It reads the figures of the process.
    match tokio::task::spawn_blocking(move || metrics.encode()).await {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
            .into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn alive(State(source): State<StatusSource>) -> impl IntoResponse {
    let stalled = source.sources.health.stalled_tasks();
    if stalled.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("stalled: {}\n", stalled.join(", ")))
    }
}

async fn ready(State(source): State<StatusSource>) -> impl IntoResponse {
    let Sources { health, snapshots, .. } = &source.sources;
    // A disk that hangs does not keep the answer back.
    let snapshot = snapshots.latest_within(SNAPSHOT_TIMEOUT).await;
    let state = health.state(snapshot.facts(), Utc::now());
    let status = if state.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::to_string(&state).unwrap_or_default();
    (status, typed("application/json", body))
}
