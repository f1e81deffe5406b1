//! The way to the disk: few look at once, and none is waited for for long.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use super::served::{MirrorFolder, ServedSprites};
use crate::journal::{JournalHealth, JournalReader};

/// Threads that read at once at most, of a disk that hangs as well.
const MAX_READS: usize = 4;
/// How long an answer of the disk is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads the journal and the mirrors for the pages of sprites.
#[derive(Clone, Debug)]
pub(in crate::http) struct SpriteDisk {
    journal: PathBuf,
    health: JournalHealth,
    served: watch::Receiver<ServedSprites>,
    is_loopback: bool,
    reads: Arc<Semaphore>,
}

impl SpriteDisk {
    /// For a server on a loopback address, or on another one.
    pub(in crate::http) fn new(
        journal: PathBuf,
        health: JournalHealth,
        served: watch::Receiver<ServedSprites>,
        is_loopback: bool,
    ) -> Self {
        let reads = Arc::new(Semaphore::new(MAX_READS));
        Self { journal, health, served, is_loopback, reads }
    }

    /// The mirrors now; `None` where the pages of sprites are not served.
    pub(in crate::http) fn mirrors(&self) -> Option<Vec<MirrorFolder>> {
        let served = self.served.borrow();
        served.pages.are_served(self.is_loopback).then(|| served.mirrors.clone())
    }

    /// Does what blocks on the disk; `None` where that takes too long. Cancel safe: the work goes on
    /// to its end, and counts until then.
    pub(in crate::http) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let reading = async {
            let permit = self.reads.clone().acquire_owned().await.ok()?;
            let done = tokio::task::spawn_blocking(move || {
                let result = work();
                drop(permit);
                result
            });
            done.await.ok()
        };
        tokio::time::timeout(PATIENCE, reading).await.ok().flatten()
    }

    /// Does what reads the journal; else says why that cannot be read.
    pub(super) async fn read_journal<T: Send + 'static>(
        &self,
        work: impl FnOnce(&JournalReader) -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let Self { journal, health, .. } = self.clone();
        let read = self.read(move || {
            // Another file at that path is another journal.
            health.check_in_place().map_err(|error| error.to_string())?;
            let reader = JournalReader::open(&journal).map_err(|error| error.to_string())?;
            work(&reader)
        });
        read.await.unwrap_or_else(|| Err("no answer from the disk".to_owned()))
    }
}
