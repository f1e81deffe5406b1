//! The connections: how many, how long, how large a request may be.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::connection_slots::{ConnectionSlot, ConnectionSlots};
use super::wire::Wire;
use crate::limits::Outage;

/// Connections that wait to be accepted at most, as far as the system allows.
const QUEUE: u32 = 1024;
/// The time for a request's head, and for the next request to begin.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// After this a connection ends with the answer that is under way.
const WHOLE_TIME: Duration = Duration::from_secs(60);
/// The largest head of a request.
const MAX_HEAD: usize = 16 * 1024;
/// How long answers under way may take after the stop.
const GRACE: Duration = Duration::from_millis(300);
/// The wait after a connection could not be accepted, for want of descriptors say.
const ACCEPT_RETRY: Duration = Duration::from_millis(500);

/// What is asked to see whether the daemon lives and works: answered in a few bytes, whatever else is
/// asked for.
const PROBES: [&str; 2] = ["/healthz", "/readyz"];

/// Listens on an address, with a queue in which those wait for whom places are made.
///
/// # Errors
/// When the address is not one of this machine, or taken.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(QUEUE)
}

/// Serves `router` until `stop`.
pub(super) async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let places = Arc::new(ConnectionSlots::default());
    let mut connections = JoinSet::new();
    let mut outage = Outage::default();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next() => report(ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    if let Some(report) = outage.recovered(Instant::now()) {
                        let lasted_seconds = report.lasted.as_secs();
                        tracing::info!(lasted_seconds, "connections are accepted again");
                    }
                    // Only now, so that nobody has to go for one who does not come.
                    let Some(place) = stop.run_until_cancelled(places.take()).await else { break };
                    connections.spawn(connection(stream, router.clone(), place, stop.clone()));
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

async fn connection(
    stream: TcpStream,
    router: Router,
    place: ConnectionSlot,
    stop: CancellationToken,
) {
    let place = Arc::new(place);
    let wire = TokioIo::new(Wire { stream, place: place.clone() });
    let service = service_fn(|request| answer(router.clone(), request, place.clone()));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD)
        .serve_connection(wire, service);
    let mut serving = pin!(serving);
    let mut end = pin!(stop.run_until_cancelled(sleep(WHOLE_TIME)));
    let mut is_ending = false;
    loop {
        tokio::select! {
            biased;
            served = serving.as_mut() => {
                if let Err(error) = served {
                    tracing::debug!(%error, "a connection to the pages failed");
                }
                return;
            }
            () = place.is_late() => {
                tracing::debug!("an answer was not taken in its time; its connection is closed");
                return;
            }
            () = place.is_sent_away() => return,
            _ = &mut end, if !is_ending => {
                is_ending = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}

async fn answer(
    router: Router,
    request: Request<Incoming>,
    place: Arc<ConnectionSlot>,
) -> Result<Response, Infallible> {
    let is_page = !PROBES.contains(&request.uri().path());
    let mut response = if place.begins(is_page) {
        // Who asks for much, one behind the other, does not get it all in one turn.
        tokio::task::yield_now().await;
        TowerToHyperService::new(router).call(request).await?
    } else {
        let why = "Too many pages are under way; try again.\n";
        let headers = [(header::RETRY_AFTER, "1"), (header::CONNECTION, "close")];
        (StatusCode::SERVICE_UNAVAILABLE, headers, why).into_response()
    };
    // What else is asked for over this connection can wait.
    if place.is_wanted() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    place.made();
    Ok(response)
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}
