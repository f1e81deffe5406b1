//! What the daemon tells over HTTP: metrics, and whether it is alive and ready.

mod connections;
mod gauges;
mod guard;
mod health;
mod settings;
mod snapshot;

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use bytesize::ByteSize;
use chrono::Utc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use snapshot::Snapshots;

pub use health::{Check, Health, Readiness};
pub use settings::{Listen, Settings};

/// What a daemon has to tell, and where from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// What is counted.
    pub metrics: Metrics,
    /// Whether it does its work.
    pub health: Arc<Health>,
    /// Its journal's file, read beside the writer.
    pub journal: PathBuf,
    /// The most that may take.
    pub max_size: ByteSize,
}

/// What the pages are made of.
#[derive(Clone, Debug)]
struct Shared {
    sources: Sources,
    snapshots: Arc<Snapshots>,
}

/// Answers requests until `stop`; answers under way then get a moment.
pub async fn serve(listener: TcpListener, sources: Sources, stop: CancellationToken) {
    let snapshots = Arc::new(Snapshots::new(sources.journal.clone()));
    let shared = Shared { sources, snapshots: snapshots.clone() };
    let router = Router::new()
        .route("/metrics", get(metrics_page))
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .with_state(shared)
        .layer(middleware::map_response(guard::harden));
    let is_loopback = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    let router = if is_loopback {
        router.layer(middleware::from_fn(guard::refuse_other_hosts))
    } else {
        router
    };
    tokio::join!(snapshots.run(stop.clone()), connections::serve(listener, router, stop));
}

async fn metrics_page(State(shared): State<Shared>) -> Response {
    let Some(snapshot) = shared.snapshots.latest().await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let Sources { metrics, health, max_size, .. } = shared.sources;
    metrics.journal_writable.set(i64::from(health.journal().trouble().is_none()));
    metrics.journal_max_size.set(i64::try_from(max_size.as_u64()).unwrap_or(i64::MAX));
    gauges::set(&metrics, snapshot.journal.as_ref().ok(), Utc::now());
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
    let readiness = shared.sources.health.readiness();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::to_string(&readiness).unwrap_or_default();
    (status, [(header::CONTENT_TYPE, "application/json")], body)
}
