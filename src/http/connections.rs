//! The connections: how many, how long, how large a request may be.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::outage::Outage;

/// The most connections at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 32;
/// The time for a request's head, and for the next request to begin.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// The whole time of a connection.
const WHOLE_TIME: Duration = Duration::from_secs(60);
/// The largest head of a request.
const MAX_HEAD: usize = 16 * 1024;
/// How long answers under way may take after the stop.
const GRACE: Duration = Duration::from_millis(300);
/// The wait after a connection could not be accepted, for want of descriptors say.
const ACCEPT_RETRY: Duration = Duration::from_millis(500);

/// Serves `router` until `stop`.
pub(super) async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut outage = Outage::default();
    loop {
        let accept = async {
            let permit = room.clone().acquire_owned().await;
            (permit, listener.accept().await)
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next() => report(ended),
            (permit, accepted) = accept => match accepted {
                Ok((stream, _)) => {
                    if let Some(report) = outage.recovered(Instant::now()) {
                        let lasted_seconds = report.lasted.as_secs();
                        tracing::info!(lasted_seconds, "connections are accepted again");
                    }
                    let serving = connection(stream, router.clone(), stop.clone());
                    connections.spawn(async move {
                        serving.await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    if let Some(report) = outage.failed(Instant::now()) {
                        let failures = report.failures;
                        tracing::warn!(%error, failures, "cannot accept connections");
                    }
                    let pause = tokio::time::sleep(ACCEPT_RETRY);
                    if stop.run_until_cancelled(pause).await.is_none() {
                        break;
                    }
                }
            },
        }
    }
    drop(listener);
    let all_ended = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    if tokio::time::timeout(GRACE, all_ended).await.is_err() {
        connections.shutdown().await;
    }
}

async fn connection(stream: TcpStream, router: Router, stop: CancellationToken) {
    let mut serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let served = async {
        tokio::select! {
            served = &mut serving => return served,
            () = stop.cancelled() => {}
        }
        Pin::new(&mut serving).graceful_shutdown();
        serving.await
    };
    if let Ok(Err(error)) = tokio::time::timeout(WHOLE_TIME, served).await {
        tracing::debug!(%error, "a connection to the pages failed");
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}
