//! How long sprited takes until it is ready.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sprited::journal::LOG_LENGTH;

use crate::client::{self, Setup};
use crate::cloud::Cloud;
use crate::process::Process;

/// How often a start is measured.
pub(crate) const STARTS: usize = 5;
/// Events that a daemon finds before it is killed: more than its log takes.
const PER_KILL: usize = 20_000;
/// The log is full when it has this share of the length at which it is emptied: one commit more may
/// be what does it.
const FULL: f64 = 0.9;
/// No log takes longer to fill.
const LIMIT: Duration = Duration::from_secs(60);

/// The longest of several starts, each after a clean stop.
pub(crate) async fn ready_after_stop(folder: &Path) -> anyhow::Result<Duration> {
    let cloud = Cloud::start(&[])?;
    let mut worst = Duration::ZERO;
    for _ in 0..STARTS {
        let (process, ready) = client::start_sprited(&cloud.url, folder, &no_sink())?;
        process.stop()?;
        worst = worst.max(ready);
    }
    Ok(worst)
}

/// The longest of several starts, each after a kill that left a full write-ahead log; and how many
/// bytes the shortest of the logs had.
pub(crate) async fn ready_after_kill(folder: &Path) -> anyhow::Result<(Duration, u64)> {
    let cloud = Cloud::start(&[])?;
    let log = Log(folder.join("journal.db-wal"));
    let start = || client::start_sprited(&cloud.url, folder, &no_sink());
    let full = (LOG_LENGTH as f64 * FULL) as u64;
    let (mut worst, mut shortest) = (Duration::ZERO, u64::MAX);
    for _ in 0..STARTS {
        anyhow::ensure!(log.length() == 0, "a stop has left a write-ahead log");
        cloud.add(PER_KILL).await?;
        let (mut process, _) = start()?;
        log.reaches(full, &mut process).await?;
        process.kill()?;
        shortest = shortest.min(log.length());
        let (process, ready) = start()?;
        process.stop()?;
        worst = worst.max(ready);
    }
    Ok((worst, shortest))
}

/// Nobody listens there: what is pending stays so over all starts.
fn no_sink() -> Setup {
    Setup { workers: 1, rate: 100, webhook: Some("http://127.0.0.1:9/".to_owned()) }
}

/// The write-ahead log of a journal.
struct Log(PathBuf);

impl Log {
    fn length(&self) -> u64 {
        std::fs::metadata(&self.0).map_or(0, |file| file.len())
    }

    async fn reaches(&self, length: u64, writer: &mut Process) -> anyhow::Result<()> {
        let start = Instant::now();
        while self.length() < length {
            writer.check()?;
            anyhow::ensure!(start.elapsed() < LIMIT, "the write-ahead log does not fill");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }
}
