//! What the daemon tells over HTTP: metrics, whether it is alive and ready, and what it does now.

mod connection_slots;
mod connections;
mod format;
mod gauges;
mod headline;
mod health;
mod history;
mod host_check;
mod page;
mod settings;
mod snapshot;
mod status;
mod text;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use chrono::Utc;
use tokio::net::TcpListener;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::net::is_loopback;
use crate::sanitize;
use history::ActivityHistory;
use snapshot::Snapshots;
use status::Status;

pub use connections::listen;
pub use health::{DaemonHealth, HealthCheck, Readiness};
pub use settings::{HttpSettings, Listen};

/// How long `/readyz` waits for a look at the journal.
const LOOK: Duration = Duration::from_millis(500);

/// What a daemon has to tell, and where from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// What is counted.
    pub metrics: Metrics,
    /// Whether it does its work.
    pub health: Arc<DaemonHealth>,
    /// Its journal's file, read beside the writer.
    pub journal: PathBuf,
}

/// What the pages are made of.
#[derive(Clone, Debug)]
struct Shared {
    sources: Sources,
    snapshots: Arc<Snapshots>,
    history: Arc<ActivityHistory>,
}

/// Answers requests until `stop`; answers under way then get a moment.
pub async fn serve(listener: TcpListener, sources: Sources, stop: CancellationToken) {
    let snapshots =
        Arc::new(Snapshots::new(sources.journal.clone(), sources.health.journal().clone()));
    let shared = Shared { sources, snapshots: snapshots.clone(), history: Arc::default() };
    let router = Router::new()
        .route("/", get(status_page))
        .route("/style.css", get(async || typed("text/css; charset=utf-8", page::STYLE)))
        .route("/icon.svg", get(async || typed("image/svg+xml", page::ICON)))
        .route("/status.json", get(status_json))
        .route("/status.txt", get(status_text))
        .route("/metrics", get(metrics_page))
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .with_state(shared.clone())
        .layer(middleware::map_response(host_check::harden));
    let is_loopback = listener.local_addr().is_ok_and(|at| is_loopback(at.ip()));
    let router = if is_loopback {
        router.layer(middleware::from_fn(host_check::refuse_other_hosts))
    } else {
        router
    };
    tokio::join!(
        snapshots.run(stop.clone()),
        stop.run_until_cancelled(remember(&shared)),
        connections::serve(listener, router, stop.clone()),
    );
}

/// Samples for the charts, as long as it runs.
async fn remember(shared: &Shared) {
    let mut ticks = tokio::time::interval(history::STEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let snapshot = shared.snapshots.latest().await;
        let seen = snapshot.journal.as_ref().ok();
        shared.history.push(seen.map(|seen| Status::totals(&shared.sources.metrics, seen)));
    }
}

fn typed(content_type: &'static str, body: impl IntoResponse) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, content_type)], body)
}

/// `/?hold` is the page that does not load itself again.
async fn status_page(State(shared): State<Shared>, RawQuery(query): RawQuery) -> impl IntoResponse {
    let status = Status::now(&shared).await;
    let held = query.as_deref() == Some("hold");
    typed("text/html; charset=utf-8", page::render(&status, held).into_string())
}

async fn status_text(State(shared): State<Shared>) -> impl IntoResponse {
    typed("text/plain; charset=utf-8", text::render(&Status::now(&shared).await))
}

async fn status_json(State(shared): State<Shared>) -> Response {
    let status = Status::now(&shared).await;
    let Ok(json) = serde_json::to_string(&status) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut body = String::with_capacity(json.len() + 1);
    sanitize::escape_json(&json, &mut body);
    body.push('\n');
    typed("application/json", body).into_response()
}

async fn metrics_page(State(shared): State<Shared>) -> Response {
    let snapshot = shared.snapshots.latest().await;
    let Sources { metrics, health, .. } = shared.sources;
    metrics.journal_writable.set(i64::from(health.journal().error().is_none()));
    let seen = snapshot.journal.as_ref().ok();
    gauges::set(&metrics, seen.map(|seen| &seen.overview), Utc::now());
    // It looks at the process's figures.
    match tokio::task::spawn_blocking(move || metrics.encode()).await {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
            .into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn alive(State(shared): State<Shared>) -> impl IntoResponse {
    let stuck = shared.sources.health.stuck();
    if stuck.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("stuck: {}\n", stuck.join(", ")))
    }
}

async fn ready(State(shared): State<Shared>) -> impl IntoResponse {
    // A disk that hangs does not keep the answer back.
    let snapshot = tokio::time::timeout(LOOK, shared.snapshots.latest()).await.ok();
    let seen = snapshot.as_ref().and_then(|snapshot| snapshot.journal.as_ref().ok());
    let overview = seen.map(|seen| &seen.overview);
    let down = shared.sources.metrics.sinks_down();
    let readiness = shared.sources.health.readiness(overview, &down, Utc::now());
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::to_string(&readiness).unwrap_or_default();
    (status, typed("application/json", body))
}
