//! Accepts HTTP connections within limits: how many, how long, how large a request may be.
//!
//! Owns the connections and their slots; knows neither what is served nor by whom. Each listener
//! has limits of its own.

mod connection_handle;
mod limits;
mod slots;
mod wire;

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::limits::{Outage, log_outage};
use slots::{ConnectionSlot, ConnectionSlots};
use wire::Wire;

pub use connection_handle::ConnectionHandle;
pub use limits::ConnectionLimits;

/// Connections waiting to be accepted at most, as far as the system allows.
const ACCEPT_QUEUE: u32 = 1024;
/// The wait after a connection could not be accepted, for lack of descriptors say.
const ACCEPT_RETRY: Duration = Duration::from_millis(500);

/// Listens on an address, with a queue for connections that wait for a slot.
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
    socket.listen(ACCEPT_QUEUE)
}

/// Serves `router` within `limits`, which may change meanwhile, until `stop`. Each request has its
/// [`ConnectionHandle`] among its extensions.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: watch::Receiver<ConnectionLimits>,
    stop: CancellationToken,
) {
    let slots = Arc::new(ConnectionSlots::new(limits));
    let mut connections = JoinSet::new();
    let mut outage = Outage::default();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next() => report(ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    if let Some(report) = outage.recovered(Instant::now()) {
                        let lasted_seconds = report.lasted.as_secs();
                        tracing::info!(lasted_seconds, "connections accepted again");
                    }
                    // Only now, so that no connection is closed for one that does not come.
                    let Some(slot) = stop.run_until_cancelled(slots.take()).await else { break };
                    connections.spawn(connection(stream, peer, router.clone(), slot, stop.clone()));
                }
                Err(error) => {
                    if let Some(report) = outage.failed(Instant::now()) {
                        let failures = report.failures;
                        log_outage!(report, %error, failures, "cannot accept connections");
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
    let grace = slots.limits().stop_grace;
    let all_ended = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    if tokio::time::timeout(grace, all_ended).await.is_err() {
        connections.shutdown().await;
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    slot: ConnectionSlot,
    stop: CancellationToken,
) {
    let (limits, slot) = (slot.limits(), Arc::new(slot));
    let wire = TokioIo::new(Wire { stream, slot: slot.clone() });
    let handle = ConnectionHandle::new(peer, slot.clone());
    let is_old = AtomicBool::new(false);
    let is_last = || stop.is_cancelled() || is_old.load(Ordering::Relaxed);
    let service = service_fn(|request| answer(router.clone(), request, handle.clone(), is_last));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle_timeout)
        .max_buf_size(limits.max_head_bytes)
        .serve_connection(wire, service);
    let mut serving = pin!(serving);
    let aged = async {
        match limits.max_age {
            Some(age) => sleep(age).await,
            None => pending().await,
        }
    };
    let mut end = pin!(async {
        if stop.run_until_cancelled(aged).await.is_some() {
            // Its next answer is the last one: closed now, it may be lost for a request on its way.
            is_old.store(true, Ordering::Relaxed);
            stop.cancelled().await;
        }
        sleep(limits.idle_grace).await;
    });
    let mut is_ending = false;
    loop {
        tokio::select! {
            biased;
            served = serving.as_mut() => {
                if let Err(error) = served {
                    tracing::debug!(%error, "connection failed");
                }
                return;
            }
            () = slot.timed_out() => {
                let late = match slot.is_answering() {
                    true => "the client did not take its answer in time",
                    false => "the client did not send its request in time",
                };
                tracing::debug!("connection closed: {late}");
                return;
            }
            () = slot.evicted() => return,
            () = &mut end, if !is_ending => {
                is_ending = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}

async fn answer(
    router: Router,
    mut request: Request<Incoming>,
    handle: ConnectionHandle,
    is_last: impl Fn() -> bool,
) -> Result<Response, Infallible> {
    let slot = handle.slot().clone();
    let is_limited = !slot.limits().unlimited_paths.contains(&request.uri().path());
    let mut response = if slot.begin_answer(is_limited) {
        // One client with many requests in a row does not hold up the others.
        tokio::task::yield_now().await;
        request.extensions_mut().insert(handle);
        TowerToHyperService::new(router).call(request).await?
    } else {
        let why = "Too many answers are in progress; try again.\n";
        let headers = [(header::RETRY_AFTER, "1"), (header::CONNECTION, "close")];
        (StatusCode::SERVICE_UNAVAILABLE, headers, why).into_response()
    };
    // Another connection waits for the slot, or this was the last answer.
    if slot.is_wanted() || is_last() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    slot.answer_ready();
    Ok(response)
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "connection task failed");
    }
}
