//! One run of a program: its input, its output, its timeout and its end.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{io, pin::pin};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::time::timeout;

use super::group::Programs;
use super::launcher::{SELF, Token};
use crate::sync::lock;

/// How much of a program's output is kept, in bytes: its end, which tells most.
pub(super) const MAX_OUTPUT: usize = 64 * 1024;

/// How long output is waited for once the program has ended. Only a process it left behind can
/// still hold the pipes, and that is not waited for.
const OUTPUT_TIMEOUT: Duration = Duration::from_millis(100);

/// How long a killed program may take to be gone.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// The end of a run and the last [`MAX_OUTPUT`] bytes of its output.
#[derive(Debug)]
pub(super) struct Run {
    /// `None`: it ran into the timeout and was killed with its process group.
    pub(super) status: Option<ExitStatus>,
    pub(super) output: Vec<u8>,
}

/// Runs the program that `command` launches, with `input` on its standard input: up to `limit` for
/// the launcher's start, as much for the program's run, and [`OUTPUT_TIMEOUT`] for the rest of its
/// output. Dropping the future kills the program and its group. Fails when the program cannot be
/// started or waited for.
pub(super) async fn run(
    programs: &Arc<Programs>,
    (mut command, token): (Command, Token),
    input: &[u8],
    limit: Duration,
) -> io::Result<Run> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "it has not started within timeout");
    let mut group =
        timeout(limit, programs.spawn(command)).await.map_err(late)?.map_err(launcher_error)?;
    let (stdin, stdout, stderr) =
        (group.child.stdin.take(), group.child.stdout.take(), group.child.stderr.take());
    let output = Mutex::new(Vec::new());
    let ended = {
        // All three at once: a program may write before it reads, or never read at all.
        let talk = async {
            tokio::join!(feed(stdin, input), drain(stdout, &output), drain(stderr, &output));
        };
        let (mut talk, mut talks) = (pin!(talk), true);
        let mut wait = pin!(timeout(limit, group.wait()));
        let ended = loop {
            tokio::select! {
                ended = &mut wait => break ended,
                () = &mut talk, if talks => talks = false,
            }
        };
        if ended.is_ok() && talks {
            // Whether the pipes close in that time or not, the program is over and its status
            // stands.
            drop(timeout(OUTPUT_TIMEOUT, talk).await);
        }
        ended
    };
    let status = match ended {
        Ok(status) => Some(status?),
        Err(_) => {
            group.kill();
            // Only a program stuck in the kernel outlives this; the runtime reaps it later.
            drop(timeout(KILL_TIMEOUT, group.wait()).await);
            None
        }
    };
    let mut output = std::mem::take(&mut *lock(&output));
    keep_end(&mut output);
    match status.and_then(|status| token.failure(status, &output)) {
        Some(error) => Err(error),
        None => Ok(Run { status, output }),
    }
}

/// The error of a launcher that cannot start, where it could be taken for the program's own.
fn launcher_error(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => io::Error::other(format!(
            "sprited cannot start itself, by {SELF}: {error}; is /proc mounted?"
        )),
        _ => error,
    }
}

/// Writes all the input and closes it. A program may leave it unread: its exit code says what
/// became of the event.
async fn feed(stdin: Option<impl tokio::io::AsyncWrite + Unpin>, input: &[u8]) {
    if let Some(mut stdin) = stdin
        && let Err(error) = stdin.write_all(input).await
    {
        tracing::trace!(%error, "the program did not read all of its input");
    }
}

/// Reads until the end, so that the program never waits for its output to be taken.
async fn drain(stream: Option<impl AsyncRead + Unpin>, output: &Mutex<Vec<u8>>) {
    let Some(mut stream) = stream else { return };
    let mut chunk = vec![0; 8 * 1024];
    while let Ok(read @ 1..) = stream.read(&mut chunk).await {
        let mut output = lock(output);
        output.extend_from_slice(&chunk[..read]);
        if output.len() > 2 * MAX_OUTPUT {
            keep_end(&mut output);
        }
    }
}

fn keep_end(output: &mut Vec<u8>) {
    let surplus = output.len().saturating_sub(MAX_OUTPUT);
    output.drain(..surplus);
}
