//! The side of a command.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use super::protocol::{ControlAnswer, ControlRefusal, MAX_ANSWER, Outcome, Request, VERSION};
use super::socket::connect;

/// Why a daemon did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum AskError {
    /// Nobody listens on the socket.
    #[error("no daemon answers at {}", .0.display())]
    NoDaemon(PathBuf),
    #[error("cannot ask the daemon at {}: {source}", socket.display())]
    Failed { socket: PathBuf, source: io::Error },
    #[error("the daemon has not answered within {} s; its log tells what it does", .0.as_secs())]
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
    let line =
        timeout(wait, exchange(socket, request)).await.map_err(|_| AskError::Silent(wait))?;
    let line = line.map_err(failed)?;
    let answer: ControlAnswer = serde_json::from_slice(&line).map_err(AskError::Answer)?;
    if answer.version != VERSION {
        return Err(AskError::OtherVersion { program: answer.sprited });
    }
    match answer.outcome {
        Outcome::Ok(done) => serde_json::from_value(done).map_err(AskError::Answer),
        Outcome::Error(refusal) => Err(AskError::Refused(refusal)),
    }
}

async fn exchange(socket: &Path, request: &Request) -> io::Result<Vec<u8>> {
    let mut stream = connect(socket).await?;
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
