//! Reloads that commands ask for: they wait for the main loop, which does one after the other.

use std::fs;
use std::path::{Path, PathBuf, absolute};

use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use super::reload::ActiveConfig;
use super::tasks::Tasks;
use crate::control::{ControlRefusal, RefusalKind, ReloadVerdict};
use crate::liveness::LivenessMonitor;

/// Requests that wait at most; others wait for their place.
const QUEUE: usize = 16;

/// A reload that a command waits for.
#[derive(Debug)]
pub(super) struct ReloadRequest {
    file: PathBuf,
    verdict: oneshot::Sender<Result<ReloadVerdict, ControlRefusal>>,
}

/// Where commands ask for reloads.
#[derive(Clone, Debug)]
pub(super) struct ReloadRequests(mpsc::Sender<ReloadRequest>);

impl ReloadRequests {
    /// Returns it with the end that the main loop has.
    pub(super) fn new() -> (Self, mpsc::Receiver<ReloadRequest>) {
        let (requests, queue) = mpsc::channel(QUEUE);
        (Self(requests), queue)
    }

    /// Has the file taken over, after those who asked before. Dropped half-way, it is taken over all
    /// the same.
    ///
    /// # Errors
    /// When the daemon stops, or runs with another file.
    pub(super) async fn reload(&self, file: PathBuf) -> Result<ReloadVerdict, ControlRefusal> {
        let (verdict, given) = oneshot::channel();
        let request = ReloadRequest { file, verdict };
        self.0.send(request).await.map_err(|_| ControlRefusal::stopping())?;
        given.await.map_err(|_| ControlRefusal::stopping())?
    }
}

impl ActiveConfig {
    /// Reloads and tells whoever asked what came of it. Not to be dropped but for a stop, as
    /// [`ActiveConfig::reload`].
    pub(super) async fn answer(
        &mut self,
        request: ReloadRequest,
        tasks: &mut Tasks,
        liveness: &LivenessMonitor,
    ) {
        let (own, asked) = (self.file.clone(), request.file);
        let named = spawn_blocking(move || refused(&own, &asked)).await;
        let verdict = match named.unwrap_or_else(|error| Some(error.to_string())) {
            Some(why) => Err(ControlRefusal::new(RefusalKind::Failed, why)),
            None => Ok(self.reload(tasks, liveness).await),
        };
        // Whoever asked may have gone.
        drop(request.verdict.send(verdict));
    }
}

/// Why a reload of `asked` is none of this daemon's file; `None` if it is, by whatever name. Blocks on
/// the file system.
fn refused(own: &Path, asked: &Path) -> Option<String> {
    let own = absolute(own).unwrap_or_else(|_| own.to_owned());
    let target = |path: &Path| fs::canonicalize(path).ok();
    let is_same = own == asked || target(&own).is_some_and(|own| target(asked) == Some(own));
    let (own, asked) = (own.display(), asked.display());
    (!is_same).then(|| format!("the daemon runs with {own}, not with {asked}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_each_of_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let [file, link, other] = ["file", "link", "other"].map(|name| folder.path().join(name));
        fs::write(&file, "").unwrap();
        fs::write(&other, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for (own, asked, is_same) in [
            (&file, &file, true),
            (&file, &link, true),
            (&link, &file, true),
            (&file, &other, false),
        ] {
            assert_eq!(refused(own, asked).is_none(), is_same, "{own:?} {asked:?}");
        }
        fs::remove_file(&file).unwrap();
        assert_eq!(refused(&file, &file), None);
        let why = format!("the daemon runs with {}, not with {}", file.display(), other.display());
        assert_eq!(refused(&file, &other), Some(why));
    }

    #[tokio::test]
    async fn whoever_waits_is_told_that_the_daemon_stops() {
        let (requests, queue) = ReloadRequests::new();
        let waiting = tokio::spawn({
            let requests = requests.clone();
            async move { requests.reload("/a".into()).await }
        });
        tokio::task::yield_now().await;
        drop(queue);
        assert_eq!(waiting.await.unwrap(), Err(ControlRefusal::stopping()));
        assert_eq!(requests.reload("/a".into()).await, Err(ControlRefusal::stopping()));
    }
}
