//! Events in a file, one line each, as safe as the disk.
//!
//! Owns the file: it is locked, synced after each batch, rotated, opened again when another
//! program moved it away, and read back after a crash, so that no event stands there twice.
//! The file is first touched when it is first used, so that `open` disturbs no other writer.
//!
//! A file is the sink's own when a checkpoint was made in it, which is recorded before its first
//! line, or when it bears the tag that it got when it was rotated. A name alone says nothing: where
//! neither is known, a line is written again and a file left alone.

mod append;
mod checkpoint;
mod error;
mod log;
mod maintenance;
mod probe;
mod recovery;
mod rotation;
mod settings;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::Utc;
use tokio::task::spawn_blocking;

use self::append::Filled;
use self::checkpoint::{Checkpoint, FileId};
use self::error::{LogError, failed, failed_in_folder};
use self::log::Log;
use self::maintenance::RotatedFiles;
use self::recovery::{Extent, Reading};
use self::rotation::Names;
pub use self::settings::{Compress, JsonlSettings};
use super::ownership::Ownership;
use super::{Batch, BatchLimits, HeldEvents, OutputPath, Sink, SinkContext, Verdict, Verdicts};
use crate::event::Key;
use crate::folder;
use crate::sync::lock;

const MAX_BATCH: usize = 512;

/// Where a batch is cut into several writes, in bytes, to bound the memory for its lines.
const MAX_WRITE: usize = 256 * 1024;

/// How long a failed rotation is left alone; the file grows on meanwhile.
const ROTATION_RETRY: Duration = Duration::from_secs(60);

/// The most events that are kept in mind while recovering; beyond it the files are read again
/// for each part of what is pending.
const MAX_HELD: usize = 1 << 20;

/// Opens the sink. Touches no file.
///
/// # Errors
/// When the system knows no such group.
pub async fn open(settings: &JsonlSettings, context: &SinkContext) -> anyhow::Result<Jsonl> {
    let settings = settings.clone();
    let reading = Reading { format: context.format, app: context.app };
    let (sink, others) = (context.name.clone(), context.others.clone());
    spawn_blocking(move || {
        let file = File {
            rotated: Arc::new(RotatedFiles::new(&sink, &settings)),
            sink,
            others,
            ownership: Ownership::find(settings.mode, settings.group.as_deref())?,
            settings,
            reading,
            state: Mutex::default(),
        };
        Ok(Jsonl { file: Arc::new(file) })
    })
    .await?
}

/// The sink `jsonl`.
#[derive(Debug)]
pub struct Jsonl {
    file: Arc<File>,
}

/// All that is done on the runtime's threads for blocking work.
#[derive(Debug)]
struct File {
    sink: String,
    settings: JsonlSettings,
    /// What other sinks write to.
    others: Vec<PathBuf>,
    ownership: Ownership,
    reading: Reading,
    /// Locked by blocking work only.
    state: Mutex<State>,
    rotated: Arc<RotatedFiles>,
}

#[derive(Debug, Default)]
struct State {
    log: OpenFile,
    held: HeldWrites,
    checkpointed: Option<FileId>,
    /// Whether the file was made ready for the batch that comes next.
    is_ready: bool,
    rotation_failed: Option<Instant>,
    /// Where the lines of a batch are made. Kept, since batches come on whichever thread is free,
    /// and each would keep the memory for one.
    lines: Vec<u8>,
}

#[derive(Debug, Default)]
struct OpenFile {
    log: Option<Log>,
    /// Whether one was open before: the place is the sink's own.
    was_open: bool,
}

#[derive(Debug, Default)]
enum HeldWrites {
    #[default]
    Unread,
    All(HashSet<Key>, Extent),
    TooMany,
}

impl File {
    /// Asked anew each time: where a link leads to can change.
    fn names(&self) -> Names {
        Names::new(&self.sink, &self.settings.path)
    }

    fn names_at(&self, place: &Path) -> Names {
        Names::new(&self.sink, place)
    }

    /// The file under its name, opened again if it is not the one that was open.
    fn current<'a>(&self, opened: &'a mut OpenFile) -> Result<&'a mut Log, LogError> {
        let OpenFile { log, was_open } = opened;
        if let Some(moved) = log
            && !moved.is_at_its_path()?
        {
            tracing::info!(sink = self.sink, "file moved away; reopening");
            if let Err(error) = moved.finish() {
                tracing::warn!(sink = self.sink, %error, "the moved file ends with a partial line");
            }
            *log = None;
        }
        match log {
            Some(log) => Ok(log),
            None => {
                self.refuse_shared()?;
                let opened = Log::open(&self.settings.path, &self.ownership, *was_open)?;
                // The file itself works, so that the daemon runs.
                if !std::mem::replace(was_open, true)
                    && let Err(error) = self.refuse_long_names(&self.names_at(opened.place()))
                {
                    tracing::warn!(sink = self.sink, %error, "cannot rotate the file; it keeps \
                                                              growing");
                }
                Ok(log.insert(opened))
            }
        }
    }

    /// The configuration was looked through for that; links can be made since.
    fn refuse_shared(&self) -> Result<(), LogError> {
        let path = &self.settings.path;
        let place = OutputPath::of(path);
        match self.others.iter().find(|other| OutputPath::of(other).is(&place)) {
            Some(other) => Err(LogError::Shared(path.clone(), other.clone())),
            None => Ok(()),
        }
    }

    /// Opens the file anew or rotates it, if it is time to. Returns the place where the batch will
    /// begin if that is in another file than the last checkpoint.
    fn prepare(&self, batch: &Batch) -> Result<Option<Checkpoint>, LogError> {
        let state = &mut *lock(&self.state);
        self.make_ready(state, batch)?;
        state.is_ready = true;
        let log = self.current(&mut state.log)?;
        if state.checkpointed == Some(log.identity()) {
            return Ok(None);
        }
        let checkpoint = log.end()?;
        state.checkpointed = Some(checkpoint.file);
        Ok(Some(checkpoint))
    }

    fn make_ready(&self, state: &mut State, batch: &Batch) -> Result<(), LogError> {
        state.held = HeldWrites::Unread;
        let log = self.current(&mut state.log)?;
        log.repair()?;
        let is_waiting = state.rotation_failed.is_some_and(|at| at.elapsed() < ROTATION_RETRY);
        if !is_waiting && self.is_full(log, batch)? {
            match self.rotate(&mut state.log) {
                Ok(()) => state.rotation_failed = None,
                Err(error) => {
                    tracing::warn!(sink = self.sink, %error, "cannot rotate the file; it keeps \
                                                              growing");
                    state.rotation_failed = Some(Instant::now());
                }
            }
        }
        Ok(())
    }

    fn append(&self, batch: &Batch) -> Result<Checkpoint, LogError> {
        let state = &mut *lock(&self.state);
        if !std::mem::take(&mut state.is_ready) {
            self.make_ready(state, batch)?;
        }
        let State { log, lines, .. } = state;
        let mut events = batch.events().iter();
        let checkpoint = self.current(log)?.append(lines, |lines| {
            while lines.len() < MAX_WRITE
                && let Some(event) = events.next()
            {
                self.reading.write(event, lines);
            }
            if events.len() == 0 { Filled::All } else { Filled::Part }
        });
        lines.clear();
        lines.shrink_to(2 * MAX_WRITE);
        state.checkpointed = checkpoint.as_ref().ok().map(|checkpoint| checkpoint.file);
        checkpoint
    }

    /// Whether the file is to be rotated before it takes the batch.
    fn is_full(&self, log: &Log, batch: &Batch) -> Result<bool, LogError> {
        let length = log.len()?;
        // An empty file stays, however old: rotating it would free nothing.
        if length == 0 {
            return Ok(false);
        }
        let incoming: usize = batch.events().iter().map(|event| event.body.len()).sum();
        let too_large = self
            .settings
            .rotate_size
            .is_some_and(|limit| length.saturating_add(incoming as u64) > limit.as_u64());
        let too_old = match self.settings.rotate_age {
            Some(limit) => log.born()?.elapsed().is_ok_and(|age| age >= limit),
            None => false,
        };
        Ok(too_large || too_old)
    }

    fn rotate(&self, opened: &mut OpenFile) -> Result<(), LogError> {
        let Some(log) = &mut opened.log else { return Ok(()) };
        log.finish()?;
        // Not where a link leads to by now.
        let names = self.names_at(log.place());
        self.refuse_long_names(&names)?;
        let path = names.path();
        let next = names.next(Utc::now(), log.identity());
        let next = next.map_err(failed_in_folder("list the folder of", path))?;
        fs::rename(path, &next).map_err(failed("rename", path))?;
        // Opened anew at the next use; its lock goes with it.
        opened.log = None;
        folder::sync_or_tell(names.folder())
            .map_err(failed_in_folder("sync the folder of", path))?;
        self.rotated.request();
        Ok(())
    }

    fn recover(&self, since: Option<&str>, pending: &[Key]) -> Result<HeldEvents, LogError> {
        let state = &mut *lock(&self.state);
        let log = self.current(&mut state.log)?;
        if matches!(state.held, HeldWrites::Unread) {
            log.sync()?;
        }
        let end = log.end()?;
        state.checkpointed = Some(end.file);
        let checkpoint = Some(end.to_string());
        // Every start asks at least once; the file can be large.
        if pending.is_empty() {
            return Ok(HeldEvents { checkpoint, ..HeldEvents::default() });
        }
        if matches!(state.held, HeldWrites::Unread) {
            let mut held = HashSet::new();
            let extent = self.scan(since, |key| {
                if held.len() <= MAX_HELD {
                    held.insert(key);
                }
            })?;
            state.held = if held.len() <= MAX_HELD {
                HeldWrites::All(held, extent)
            } else {
                HeldWrites::TooMany
            };
        }
        let (keys, extent) = if let HeldWrites::All(held, extent) = &state.held {
            (pending.iter().filter(|key| held.contains(key)).copied().collect(), *extent)
        } else {
            let asked: HashSet<&Key> = pending.iter().collect();
            let mut held = HashSet::new();
            let extent = self.scan(since, |key| {
                if asked.contains(&key) {
                    held.insert(key);
                }
            })?;
            (held.into_iter().collect(), extent)
        };
        Ok(HeldEvents { keys, is_since: extent == Extent::Since, checkpoint })
    }

    fn scan(&self, since: Option<&str>, found: impl FnMut(Key)) -> Result<Extent, LogError> {
        let others: Vec<_> = self.others.iter().map(|path| Names::new("", path)).collect();
        recovery::scan(&self.names(), &others, since, self.reading, found)
    }
}

impl Jsonl {
    async fn on_file<T: Send + 'static>(
        &self,
        work: impl FnOnce(&File) -> T + Send + 'static,
    ) -> anyhow::Result<T> {
        let file = Arc::clone(&self.file);
        Ok(spawn_blocking(move || work(&file)).await?)
    }
}

impl Drop for Jsonl {
    fn drop(&mut self) {
        self.file.rotated.stop();
    }
}

#[async_trait]
impl Sink for Jsonl {
    async fn prepare(&self, batch: &Batch) -> Option<String> {
        let events = batch.clone();
        let prepared = self.on_file(move |file| file.prepare(&events)).await;
        Some(prepared.ok()?.ok()??.to_string())
    }

    async fn deliver(&self, batch: &Batch) -> Verdicts {
        let events = batch.clone();
        let written = self.on_file(move |file| file.append(&events)).await;
        match written.map(|written| written.map_err(|error| error.to_string())) {
            Ok(Ok(checkpoint)) => {
                self.file.rotated.start();
                batch.all(&Verdict::Delivered).with_checkpoint(checkpoint.to_string())
            }
            Ok(Err(error)) => batch.all(&Verdict::retry(error)),
            Err(error) => batch.all(&Verdict::retry(format!("the write failed: {error:#}"))),
        }
    }

    fn limits(&self) -> BatchLimits {
        BatchLimits { max_batch: MAX_BATCH, max_in_flight: 1 }
    }

    async fn recover(&self, since: Option<&str>, pending: &[Key]) -> anyhow::Result<HeldEvents> {
        let (since, pending) = (since.map(str::to_owned), pending.to_vec());
        Ok(self.on_file(move |file| file.recover(since.as_deref(), &pending)).await??)
    }

    async fn reopen(&self) -> anyhow::Result<()> {
        self.on_file(|file| file.current(&mut lock(&file.state).log).map(drop)).await??;
        Ok(())
    }

    fn is_local(&self) -> bool {
        true
    }

    async fn probe(&self) -> anyhow::Result<()> {
        self.on_file(File::probe).await?
    }

    async fn warnings(&self) -> Vec<String> {
        self.on_file(File::warnings).await.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{self, AppId, EventFormat};

    #[tokio::test]
    async fn a_large_event_leaves_no_large_buffer() {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("path = {:?}", folder.path().join("a.jsonl"));
        let context = SinkContext {
            name: "a".to_owned(),
            app: AppId(1),
            format: EventFormat::CloudEvents,
            timeout: Duration::from_secs(1),
            others: Vec::new(),
            launcher: PathBuf::new(),
        };
        let sink = open(&toml::from_str(&text).unwrap(), &context).await.unwrap();
        for size in [10, 5_000_000] {
            let event = event::read(AppId(1), &"x".repeat(size), false, Utc::now()).event;
            let verdicts = sink.deliver(&Batch::new(vec![event])).await;
            assert_eq!(verdicts.each, [Verdict::Delivered]);
            let kept = lock(&sink.file.state).lines.capacity();
            assert!((1..=2 * MAX_WRITE).contains(&kept), "{kept} bytes for an event of {size}");
        }
    }
}
