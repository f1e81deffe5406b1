//! Events on standard output, for pipes and for looking on.
//!
//! Writes past the standard library's buffer, so that what is answered as delivered has left the
//! process, and off the runtime's threads, so that a reader who stops reading holds up nobody else.
//!
//! A file that it leads to may hold a part of a line, and other programs may append to it. So what
//! stands before each write is looked at, unless it is what was written last, and looked at again
//! where somebody else was quicker: no event shares its line.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::{Batch, BatchLimits, Sink, SinkContext, SinkOutput, Verdict, Verdicts};
use crate::event::{Event, EventFormat, Key};
use crate::settings::SettingIssue;

const MAX_BATCH: usize = 64;

/// More events than this are not kept in mind after a stall; beyond it they may be repeated.
const MAX_LANDED: usize = 64 * MAX_BATCH;

/// Settings of the sink `stdout`: it has none of its own.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StdoutSettings {}

impl StdoutSettings {
    pub(super) fn check(&self) -> Vec<SettingIssue> {
        Vec::new()
    }

    pub(super) fn output(&self) -> Option<SinkOutput> {
        Some(SinkOutput::standard())
    }
}

/// Opens the sink on the standard output of the process.
///
/// # Errors
/// When the process has none.
pub async fn open(_: &StdoutSettings, context: &SinkContext) -> anyhow::Result<Stdout> {
    let file = io::stdout().as_fd().try_clone_to_owned().context("cannot open standard output")?;
    let file = File::from(file);
    if is_null(&file) {
        // What a process is started without is replaced so by its runtime, before any of this
        // program is run: nothing tells that from one that was opened so by whoever started it, as
        // some libraries and daemonizers do. Events that go nowhere unasked are the worse fault.
        let mode = OFlag::from_bits_truncate(fcntl(&file, FcntlArg::F_GETFL)?) & OFlag::O_ACCMODE;
        anyhow::ensure!(
            mode != OFlag::O_RDWR,
            "standard output is closed (or is /dev/null opened for reading and writing, which \
             looks the same): start sprited with a pipe or a file, or discard the events with \
             >/dev/null, opened for writing only"
        );
        tracing::warn!(sink = context.name, "{THROWN_AWAY}");
    }
    let (output, gone) = STANDARD.clone();
    Ok(Stdout { output, gone, ..Stdout::on(file, context) })
}

const THROWN_AWAY: &str =
    "standard output is /dev/null: events count as delivered and are discarded";

fn is_null(file: &File) -> bool {
    let null = std::fs::metadata("/dev/null").map(|about| about.rdev());
    let about = file.metadata();
    about.is_ok_and(|about| {
        about.file_type().is_char_device() && null.is_ok_and(|null| null == about.rdev())
    })
}

/// Whether a write failed so since nobody is there to read: the other end of a pipe is closed, or
/// the terminal is gone, be it its window, its program or its line. That is a device whose writes
/// fail with EIO from then on, and which no longer says that it is a terminal; a file's EIO may
/// pass.
fn is_left(file: &File, error: &io::Error) -> bool {
    let is_device = || file.metadata().is_ok_and(|about| about.file_type().is_char_device());
    error.kind() == io::ErrorKind::BrokenPipe
        || (error.raw_os_error() == Some(Errno::EIO as i32) && is_device())
}

/// The standard output is the process's, whoever was its sink before: a write that stalls may
/// outlive the sink that a reload replaced, and its events must neither be torn nor repeated. A
/// reader that is gone is gone for every sink.
static STANDARD: LazyLock<(Arc<Mutex<Output>>, CancellationToken)> =
    LazyLock::new(Default::default);

/// The sink `stdout`.
#[derive(Debug)]
pub struct Stdout {
    file: Arc<File>,
    format: EventFormat,
    timeout: Duration,
    output: Arc<Mutex<Output>>,
    gone: CancellationToken,
}

#[derive(Debug, Default)]
struct Output {
    /// The write under way. It cannot be called back: when its reader stalls past the timeout it
    /// stays here, and the next call waits for it first.
    writing: Option<Writing>,
    /// Events whose write ended well only after their call was answered with Retry.
    landed: HashSet<Key>,
    /// Whether a failed write may have left the beginning of a line.
    torn: bool,
    /// Where the last write ended whole, in a file.
    end: Option<u64>,
}

#[derive(Debug)]
struct Writing {
    keys: Vec<Key>,
    task: JoinHandle<Written>,
}

/// What became of the lines of a write.
#[derive(Debug, Default)]
struct Written {
    /// How many are whole, from the first on.
    lines: usize,
    /// Whether the beginning of another one has left the process.
    torn: bool,
    /// Where it ended whole, in a file.
    end: Option<u64>,
    error: Option<io::Error>,
}

/// The place of the next write to a file, and what stands before it. `None` for what is no file.
struct Place {
    offset: u64,
    is_line_start: bool,
}

impl Place {
    /// `end` is where a line is known to end.
    fn next(file: &File, end: Option<u64>) -> io::Result<Option<Self>> {
        let about = file.metadata()?;
        if !about.is_file() {
            return Ok(None);
        }
        let mode = OFlag::from_bits_truncate(fcntl(file, FcntlArg::F_GETFL)?);
        let offset = if mode.contains(OFlag::O_APPEND) {
            about.len()
        } else {
            (&*file).stream_position()?
        };
        let is_line_start = end == Some(offset) || is_line_start(file, offset);
        Ok(Some(Self { offset, is_line_start }))
    }
}

/// Whether a line ends before `offset`. `false` where that cannot be read: a line that is empty is
/// better than an event that is lost.
fn is_line_start(file: &File, offset: u64) -> bool {
    let Some(before) = offset.checked_sub(1) else { return true };
    let mut byte = [0];
    let read = |file: &File, byte: &mut [u8]| file.read_exact_at(byte, before);
    // The descriptor is for writing alone, mostly.
    let again = || File::open(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let is_read =
        read(file, &mut byte).or_else(|_| again().and_then(|file| read(&file, &mut byte))).is_ok();
    is_read && byte == [b'\n']
}

/// Writes lines to what may be a file, and there each on its own; `ends` are where each ends.
fn write_whole_lines(file: &File, mut lines: Vec<u8>, mut ends: Vec<usize>, last: Last) -> Written {
    let failed = |error| Written { torn: last.torn, error: Some(error), ..Written::default() };
    let place = match Place::next(file, last.end) {
        Ok(place) => place,
        Err(error) => return failed(error),
    };
    if place.as_ref().map_or(last.torn, |place| !place.is_line_start) {
        lines.insert(0, b'\n');
        ends.iter_mut().for_each(|end| *end += 1);
    }
    let written = write_lines(file, &lines, &ends);
    let (Some(place), None) = (place, &written.error) else { return written };
    let end = match (&*file).stream_position() {
        Ok(end) => end,
        Err(error) => return failed(error),
    };
    let begin = end.saturating_sub(lines.len() as u64);
    if begin == place.offset || lines.starts_with(b"\n") || is_line_start(file, begin) {
        return Written { end: Some(end), ..written };
    }
    failed(io::Error::other("another program wrote a part of a line there meanwhile"))
}

/// What is known of the write before.
#[derive(Clone, Copy)]
struct Last {
    torn: bool,
    end: Option<u64>,
}

/// Writes lines as far as that goes; `ends` are where each ends.
fn write_lines(mut file: &File, lines: &[u8], ends: &[usize]) -> Written {
    let mut written = 0;
    let error = loop {
        if written == lines.len() {
            break None;
        }
        match file.write(&lines[written..]) {
            Ok(0) => break Some(io::ErrorKind::WriteZero.into()),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Some(error),
        }
    };
    let whole = ends.partition_point(|end| *end <= written);
    let end = whole.checked_sub(1).map_or(0, |last| ends[last]);
    Written { lines: whole, torn: written > end, end: None, error }
}

impl Stdout {
    /// The sink on an open file, pipe or terminal.
    #[must_use]
    pub fn on(file: File, context: &SinkContext) -> Self {
        Self {
            file: Arc::new(file),
            format: context.format,
            timeout: context.timeout,
            output: Arc::default(),
            gone: CancellationToken::new(),
        }
    }

    fn write(&self, events: Vec<Arc<Event>>, last: Last) -> Writing {
        let keys = events.iter().map(|event| event.key).collect();
        let (file, format) = (Arc::clone(&self.file), self.format);
        let task = spawn_blocking(move || {
            let (mut lines, mut ends) = (Vec::new(), Vec::with_capacity(events.len()));
            for event in &events {
                event.render(format, &mut lines);
                lines.push(b'\n');
                ends.push(lines.len());
            }
            write_whole_lines(&file, lines, ends, last)
        });
        Writing { keys, task }
    }

    /// Waits for the write under way, if there is one, at most for the timeout. Dropped half-way
    /// it leaves the write where it was.
    async fn settle(&self, output: &mut Output) -> Result<(), Verdict> {
        let Some(writing) = &mut output.writing else { return Ok(()) };
        let Ok(ended) = tokio::time::timeout(self.timeout, &mut writing.task).await else {
            let waited = humantime::format_duration(self.timeout);
            return Err(Verdict::retry(format!(
                "the reader of standard output read nothing for {waited}"
            )));
        };
        let keys = output.writing.take().map(|writing| writing.keys).unwrap_or_default();
        let Written { mut lines, torn, end, error } = ended.unwrap_or_else(|error| Written {
            torn: true,
            error: Some(io::Error::other(error)),
            ..Written::default()
        });
        let is_gone = error.as_ref().is_some_and(|error| is_left(&self.file, error));
        if is_gone {
            self.gone.cancel();
            // What a pipe had taken of it nobody reads.
            lines = 0;
        }
        // A write that brought nothing leaves what was torn before.
        output.torn = torn || (lines == 0 && error.is_some() && output.torn);
        output.end = end;
        if output.landed.len() > MAX_LANDED {
            output.landed.clear();
        }
        output.landed.extend(keys.into_iter().take(lines));
        let Some(error) = error else { return Ok(()) };
        Err(Verdict::retry(if is_gone {
            "the reader of standard output closed it: restart sprited with another reader"
                .to_owned()
        } else {
            format!("cannot write to standard output: {error}")
        }))
    }
}

#[async_trait]
impl Sink for Stdout {
    async fn deliver(&self, batch: &Batch) -> Verdicts {
        let mut output = self.output.lock().await;
        if let Err(verdict) = self.settle(&mut output).await {
            return batch.all(&verdict);
        }
        let fresh: Vec<_> = batch
            .events()
            .iter()
            .filter(|event| !output.landed.contains(&event.key))
            .cloned()
            .collect();
        let mut failure = None;
        if !fresh.is_empty() {
            let last = Last { torn: output.torn, end: output.end };
            output.writing = Some(self.write(fresh, last));
            failure = self.settle(&mut output).await.err();
        }
        // Without a failure every event of the batch has landed, now or after a stall.
        batch.each(|event| match (output.landed.remove(&event.key), &failure) {
            (false, Some(failure)) => failure.clone(),
            _ => Verdict::Delivered,
        })
    }

    fn limits(&self) -> BatchLimits {
        BatchLimits { max_batch: MAX_BATCH, max_in_flight: 1 }
    }

    fn gone(&self) -> Option<CancellationToken> {
        Some(self.gone.clone())
    }

    fn is_local(&self) -> bool {
        true
    }

    async fn probe(&self) -> anyhow::Result<()> {
        self.file.metadata().context("cannot look at standard output")?;
        Ok(())
    }

    async fn warnings(&self) -> Vec<String> {
        if is_null(&self.file) { vec![THROWN_AWAY.to_owned()] } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_a_disk_is_no_reader_that_has_left() {
        let says = |file: &File, errno: Errno| is_left(file, &errno.into());
        let (file, device) = (tempfile::tempfile().unwrap(), File::open("/dev/null").unwrap());
        for errno in [Errno::EIO, Errno::ENOSPC] {
            assert!(!says(&file, errno), "{errno}");
        }
        assert!(says(&file, Errno::EPIPE) && says(&device, Errno::EIO));
        assert!(!says(&device, Errno::ENOSPC));
    }
}
