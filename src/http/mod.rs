//! What the daemon tells over HTTP: metrics, and whether it is alive and ready.

mod health;
mod settings;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

pub use health::{Check, Health, Readiness};
pub use settings::{Listen, Settings};

/// What the pages are made of.
#[derive(Clone, Debug)]
struct Shared {
    metrics: Metrics,
    health: Arc<Health>,
}

/// Answers requests until `stop`. Connections are not waited for.
pub async fn serve(
    listener: TcpListener,
    metrics: Metrics,
    health: Arc<Health>,
    stop: CancellationToken,
) {
    let router = Router::new()
        .route("/metrics", get(metrics_page))
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .with_state(Shared { metrics, health });
    let serving = axum::serve(listener, router).into_future();
    if let Some(Err(error)) = stop.run_until_cancelled(serving).await {
        tracing::error!(%error, "the HTTP listener failed; metrics and health are gone");
        // A daemon without its pages still does its work: it waits for the stop as they did.
        stop.cancelled().await;
    }
}

async fn metrics_page(State(shared): State<Shared>) -> impl IntoResponse {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], shared.metrics.encode())
}

async fn alive(State(shared): State<Shared>) -> impl IntoResponse {
    let stuck = shared.health.stuck();
    if stuck.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("stuck: {}\n", stuck.join(", ")))
    }
}

async fn ready(State(shared): State<Shared>) -> impl IntoResponse {
    let readiness = shared.health.readiness();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::to_string(&readiness).unwrap_or_default();
    (status, [(header::CONTENT_TYPE, "application/json")], body)
}
