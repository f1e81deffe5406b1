//! The daemon's side: accepts connections and has requests answered.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use nix::unistd::geteuid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::protocol::{ControlAnswer, ControlRefusal, MAX_REQUEST, RefusalKind, Request};
use super::socket::ListeningSocket;
use crate::limits::{Outage, log_outage};

/// Connections at once at most; others wait.
const MAX_CONNECTIONS: usize = 16;
/// How long a client may take to send a request, or to read an answer.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is looked whether the socket's file is there still, and the wait after it could not
/// be made.
const REVIEW_INTERVAL: Duration = Duration::from_secs(5);

/// Answers requests on a socket at `path`, until `stop`: whoever waits for an answer then is told so.
/// The caller makes sure that nobody else serves that path. Where no socket can be made it is tried
/// again every 5 s, and so it is when its file is gone. Cancels `tried` after the first time.
pub async fn serve<A, F>(
    path: PathBuf,
    answer: A,
    tried: CancellationToken,
    stop: CancellationToken,
) where
    A: Fn(Request) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Value, ControlRefusal>> + Send,
{
    let (mut outage, mut connections) = (Outage::default(), JoinSet::new());
    while !stop.is_cancelled() {
        let opening = path.clone();
        let opened = spawn_blocking(move || ListeningSocket::open(&opening)).await;
        tried.cancel();
        match opened.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(socket) => {
                if outage.recovered(Instant::now()).is_some() {
                    tracing::info!(socket = %path.display(), "control socket made");
                }
                let file = socket.file.clone();
                accept(socket, &mut connections, &answer, &stop).await;
                on_disk(move || file.remove()).await;
            }
            Err(error) => {
                if let Some(report) = outage.failed(Instant::now()) {
                    log_outage!(
                        report,
                        socket = %path.display(),
                        %error,
                        failures = report.failures,
                        "control socket cannot be made; commands cannot ask this daemon"
                    );
                }
                stop.run_until_cancelled(tokio::time::sleep(REVIEW_INTERVAL)).await;
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

/// Work on files, which may hang with their disk; nothing if it panics.
async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    spawn_blocking(work).await.ok()
}

/// Accepts connections until `stop`, or until the socket's file is gone.
async fn accept<A, F>(
    socket: ListeningSocket,
    connections: &mut JoinSet<()>,
    answer: &A,
    stop: &CancellationToken,
) where
    A: Fn(Request) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Value, ControlRefusal>> + Send,
{
    let mut review = tokio::time::interval(REVIEW_INTERVAL);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = review.tick() => {
                let file = socket.file.clone();
                let looked = stop.run_until_cancelled(on_disk(move || file.is_in_place())).await;
                if looked.flatten() == Some(false) {
                    return;
                }
            }
            Some(_) = connections.join_next() => {}
            accepted = socket.listener.accept(), if connections.len() < MAX_CONNECTIONS => {
                match accepted {
                    Ok((stream, _)) => {
                        let (answer, stop) = (answer.clone(), stop.clone());
                        connections.spawn(async move {
                            if let Err(error) = converse(stream, answer, stop).await {
                                tracing::debug!(%error, "control connection failed");
                            }
                        });
                    }
                    Err(error) => {
                        tracing::debug!(%error, "control connection not accepted");
                        stop.run_until_cancelled(tokio::time::sleep(REVIEW_INTERVAL)).await;
                    }
                }
            }
        }
    }
}

/// Answers one request after the other, until the client goes.
async fn converse<A, F>(stream: UnixStream, answer: A, stop: CancellationToken) -> io::Result<()>
where
    A: Fn(Request) -> F + Send,
    F: Future<Output = Result<Value, ControlRefusal>> + Send,
{
    // Not every file system keeps others off by the mode.
    let peer = stream.peer_cred()?.uid();
    if peer != 0 && peer != geteuid().as_raw() {
        return Ok(());
    }
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    while !stop.is_cancelled() {
        let mut line = Vec::new();
        let mut limited = (&mut read).take(MAX_REQUEST as u64);
        let reading = timeout(CLIENT_TIMEOUT, limited.read_until(b'\n', &mut line));
        let Some(length) = stop.run_until_cancelled(reading).await else { break };
        if length?? == 0 {
            break;
        }
        let is_whole = line.ends_with(b"\n");
        let outcome = match request(&line, is_whole) {
            Err(refusal) => Err(refusal),
            Ok(request) => stop
                .run_until_cancelled(answer(request))
                .await
                .unwrap_or_else(|| Err(ControlRefusal::stopping())),
        };
        let mut answer = serde_json::to_vec(&ControlAnswer::from(outcome))?;
        answer.push(b'\n');
        timeout(CLIENT_TIMEOUT, write.write_all(&answer)).await??;
        // What follows the part of a line is no request.
        if !is_whole {
            break;
        }
    }
    Ok(())
}

fn request(line: &[u8], is_whole: bool) -> Result<Request, ControlRefusal> {
    let invalid = |why: String| ControlRefusal::new(RefusalKind::InvalidRequest, why);
    if !is_whole {
        let why = format!("a request is one line of JSON of at most {MAX_REQUEST} bytes");
        return Err(invalid(why));
    }
    match serde_json::from_slice(line) {
        Ok(Request::Unknown) => Err(ControlRefusal::unknown_command()),
        Ok(request) => Ok(request),
        Err(error) => Err(invalid(format!("the request cannot be understood: {error}"))),
    }
}
