//! The side of a command.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout_at};

use super::protocol::{ControlAnswer, ControlRefusal, MAX_ANSWER, Outcome, Request, VERSION};
use super::socket::connect;

/// The wait for room among those that wait for the daemon.
const FULL_PAUSE: Duration = Duration::from_millis(50);

/// Why a daemon did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum AskError {
    /// Nobody listens on the socket.
    #[error("no daemon answers at {}", .0.display())]
    NoDaemon(PathBuf),
    #[error("cannot ask the daemon at {}: {source}", socket.display())]
    Failed { socket: PathBuf, source: io::Error },
    #[error("the daemon is busy with other commands: nothing was asked of it within {} s", .0.as_secs())]
    Busy(Duration),
    #[error(
        "the daemon has not answered within {} s, and may still do what it was asked once it goes \
         on; its log tells what it does",
        .0.as_secs()
    )]
    Silent(Duration),
    #[error(
        "the running daemon is sprited {program}, which this program, sprited {}, does not \
         understand: restart the daemon",
        env!("CARGO_PKG_VERSION")
    )]
    OtherVersion { program: String },
    #[error("the daemon's answer cannot be understood: {0}")]
    Answer(serde_json::Error),
    #[error(transparent)]
    Refused(ControlRefusal),
}

/// Asks the daemon that listens on `socket`, and waits for its answer for this long.
///
/// # Errors
/// When there is no daemon, or it does not do what it was asked. Where it was [silent](AskError::Silent)
/// or the connection failed, it may do so yet.
pub async fn ask<T: DeserializeOwned>(
    socket: &Path,
    request: &Request,
    wait: Duration,
) -> Result<T, AskError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            AskError::NoDaemon(socket.to_owned())
        }
        _ => AskError::Failed { socket: socket.to_owned(), source },
    };
    let until = Instant::now() + wait;
    let connected = timeout_at(until, connect_in_turn(socket)).await;
    let stream = connected.map_err(|_| AskError::Busy(wait))?.map_err(failed)?;
    let exchanged = timeout_at(until, exchange(stream, request)).await;
    let line = exchanged.map_err(|_| AskError::Silent(wait))?.map_err(failed)?;
    let answer: ControlAnswer = serde_json::from_slice(&line).map_err(AskError::Answer)?;
    if answer.version != VERSION {
        return Err(AskError::OtherVersion { program: answer.sprited });
    }
    match answer.outcome {
        Outcome::Ok(done) => serde_json::from_value(done).map_err(AskError::Answer),
        Outcome::Error(refusal) => Err(AskError::Refused(refusal)),
    }
}

/// Connects, as soon as there is room among those that wait for the daemon.
async fn connect_in_turn(socket: &Path) -> io::Result<UnixStream> {
    loop {
        match connect(socket).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(FULL_PAUSE).await,
            connected => return connected,
        }
    }
}

async fn exchange(mut stream: UnixStream, request: &Request) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut answer = Vec::new();
    let mut limited = BufReader::new(stream).take(MAX_ANSWER as u64);
    limited.read_until(b'\n', &mut answer).await?;
    if !answer.ends_with(b"\n") {
        return Err(io::Error::other("it ended the connection without an answer"));
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::{UnixSocket, UnixStream};

    use super::*;
    use crate::control::SinkReports;

    /// A listener with as many connections as it lets wait.
    async fn full(path: &Path) -> (tokio::net::UnixListener, Vec<UnixStream>) {
        let socket = UnixSocket::new_stream().unwrap();
        socket.bind(path).unwrap();
        let listener = socket.listen(1).unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = UnixStream::connect(path).await {
            waiting.push(stream);
        }
        (listener, waiting)
    }

    #[tokio::test]
    async fn where_too_many_wait_it_tries_again_until_its_wait_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j.sock");
        let (listener, waiting) = full(&path).await;
        let wait = Duration::from_millis(300);
        let asked = ask::<SinkReports>(&path, &Request::Sinks, wait).await;
        let error = asked.unwrap_err().to_string();
        assert!(error.contains("nothing was asked of it"), "{error}");
        let served = async {
            for _ in &waiting {
                listener.accept().await.unwrap();
            }
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = ControlAnswer::from(Ok(serde_json::json!({ "sinks": [] })));
            let line = serde_json::to_string(&answer).unwrap() + "\n";
            stream.write_all(line.as_bytes()).await.unwrap();
            stream
        };
        // It is polled first, and finds the queue full.
        let ask = ask::<SinkReports>(&path, &Request::Sinks, Duration::from_secs(20));
        let (asked, _) = tokio::join!(biased; ask, served);
        assert_eq!(asked.unwrap(), SinkReports { sinks: Vec::new() });
    }
}
