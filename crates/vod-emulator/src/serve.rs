//! The connections.
//!
//! Owns accepting, ending and joining them, and the two ways to end one from within a call, which
//! faults need.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The most connections at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 1_024;

/// How long answers under way may take once the emulator stops.
const STOP_GRACE: Duration = Duration::from_millis(300);

/// The wait after a connection could not be accepted, for want of descriptors say.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// How a connection is ended from within a call.
#[derive(Clone, Copy, Debug)]
pub(super) enum ConnectionEnd {
    /// It is closed after what has been sent.
    Close,
    /// It is reset, and what has not been sent yet is thrown away.
    Reset,
}

/// The connection that a call came over.
#[derive(Clone, Debug)]
pub(super) struct ConnectionEnder(mpsc::Sender<ConnectionEnd>);

impl ConnectionEnder {
    /// The wire of a call that comes over none; no fault may end it.
    pub(super) fn none() -> Self {
        Self(mpsc::channel(1).0)
    }

    /// Ends the connection, and with it the call: never returns.
    pub(super) async fn end<T>(&self, how: ConnectionEnd) -> T {
        // Full or closed means that the connection is being ended already.
        if self.0.try_send(how).is_err() {
            tracing::debug!("a connection is ended twice");
        }
        std::future::pending().await
    }
}

/// Serves `router` until `stop`, then gives answers under way a moment and closes all.
pub(super) async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next() => report(ended),
            (stream, permit) = accept(&listener, &room) => {
                let router = router.clone();
                let stop = stop.clone();
                connections.spawn(async move {
                    connection(stream, router, stop).await;
                    drop(permit);
                });
            }
        }
    }
    drop(listener);
    let all_ended = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    if tokio::time::timeout(STOP_GRACE, all_ended).await.is_err() {
        tracing::debug!(connections = connections.len(), "connections are aborted");
    }
    connections.shutdown().await;
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    let permit = Arc::clone(room).acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, permit),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, router: Router, stop: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot switch off the delay of small packets");
    }
    let (ender, mut ended) = mpsc::channel(1);
    let wire = ConnectionEnder(ender);
    let router = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(wire.clone());
        router.call(request)
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut stopping = false;
    let end = loop {
        tokio::select! {
            biased;
            result = &mut connection => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a connection failed");
                }
                return;
            }
            Some(end) = ended.recv() => break end,
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                std::pin::Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    let stream = connection.into_parts().io.into_inner();
    if matches!(end, ConnectionEnd::Reset)
        && let Err(error) = stream.set_zero_linger()
    {
        tracing::debug!(%error, "a connection is closed, it cannot be reset");
    }
}
