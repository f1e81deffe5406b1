//! Events on standard output, for pipes and for looking on.
//!
//! Writes past the standard library's buffer, so that what is answered as delivered has left
//! the process, and off the runtime's threads, so that a reader who stops reading holds up
//! nobody else.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{Batch, Context, Limits, Sink, Verdict, Verdicts};
use crate::event::{Event, Format, Key};

const MAX_BATCH: usize = 64;

/// More events than this are not kept in mind after a stall; beyond it they may be repeated.
const MAX_LANDED: usize = 64 * MAX_BATCH;

/// Settings of the sink `stdout`: it has none of its own.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {}

impl Settings {
    pub(super) fn check(&self, _: &Context) -> Vec<String> {
        Vec::new()
    }
}

/// Opens the sink on the standard output of the process.
///
/// # Errors
/// When the process has none.
pub async fn open(_: &Settings, context: &Context) -> anyhow::Result<Stdout> {
    let file = io::stdout()
        .as_fd()
        .try_clone_to_owned()
        .context("cannot open standard output; is it closed?")?;
    Ok(Stdout { output: STANDARD.clone(), ..Stdout::on(File::from(file), context) })
}

/// The standard output is the process's, whoever was its sink before: a write that stalls may
/// outlive the sink that a reload replaced, and its events must neither be torn nor repeated.
static STANDARD: LazyLock<Arc<Mutex<Output>>> = LazyLock::new(Arc::default);

/// The sink `stdout`.
#[derive(Debug)]
pub struct Stdout {
    file: Arc<File>,
    format: Format,
    timeout: Duration,
    output: Arc<Mutex<Output>>,
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
}

#[derive(Debug)]
struct Writing {
    keys: Vec<Key>,
    task: JoinHandle<io::Result<()>>,
}

impl Stdout {
    /// The sink on an open file, pipe or terminal.
    #[must_use]
    pub fn on(file: File, context: &Context) -> Self {
        Self {
            file: Arc::new(file),
            format: context.format,
            timeout: context.timeout,
            output: Arc::default(),
        }
    }

    fn write(&self, events: Vec<Arc<Event>>, torn: bool) -> Writing {
        let keys = events.iter().map(|event| event.key).collect();
        let (file, format) = (Arc::clone(&self.file), self.format);
        let task = spawn_blocking(move || {
            let mut lines = Vec::new();
            if torn {
                lines.push(b'\n');
            }
            for event in &events {
                event.render(format, &mut lines);
                lines.push(b'\n');
            }
            (&*file).write_all(&lines)
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
                "the reader of standard output took nothing for {waited}"
            )));
        };
        let keys = output.writing.take().map(|writing| writing.keys).unwrap_or_default();
        match ended.map_err(io::Error::other).flatten() {
            Ok(()) => {
                output.torn = false;
                if output.landed.len() > MAX_LANDED {
                    output.landed.clear();
                }
                output.landed.extend(keys);
                Ok(())
            }
            Err(error) => {
                output.torn = true;
                Err(Verdict::retry(match error.kind() {
                    io::ErrorKind::BrokenPipe => {
                        "standard output was closed by its reader".to_owned()
                    }
                    _ => format!("cannot write to standard output: {error}"),
                }))
            }
        }
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
            output.writing = Some(self.write(fresh, output.torn));
            failure = self.settle(&mut output).await.err();
        }
        // Without a failure every event of the batch has landed, now or after a stall.
        batch.each(|event| match (output.landed.remove(&event.key), &failure) {
            (false, Some(failure)) => failure.clone(),
            _ => Verdict::Delivered,
        })
    }

    fn limits(&self) -> Limits {
        Limits { max_batch: MAX_BATCH, max_in_flight: 1 }
    }

    fn is_local(&self) -> bool {
        true
    }

    async fn probe(&self) -> anyhow::Result<()> {
        self.file.metadata().context("cannot look at standard output; is it closed?")?;
        Ok(())
    }
}
