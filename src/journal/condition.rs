//! How a journal does, for whoever watches it from outside: keeps no journal open.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics::Times;

use super::presence::Files;
use super::{Error, Result};

/// Bounds of the time of a commit, in seconds.
const SECONDS: [f64; 9] = [0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 5.0];

/// Whether a journal takes events, and how fast. Clones tell the same.
#[derive(Clone, Debug)]
pub struct Condition {
    trouble: Arc<Mutex<Option<Error>>>,
    writing_since: Arc<Mutex<Option<Instant>>>,
    commits: Times,
    files: Option<Arc<Files>>,
    gone: CancellationToken,
}

impl Default for Condition {
    fn default() -> Self {
        Self {
            trouble: Arc::default(),
            writing_since: Arc::default(),
            commits: Times::new(SECONDS),
            files: None,
            gone: CancellationToken::new(),
        }
    }
}

impl Condition {
    /// Of a journal with these files.
    pub(super) fn of(files: Files) -> Self {
        Self { files: Some(Arc::new(files)), ..Self::default() }
    }

    /// Looks whether its files are in place; once they were not, they never are again. Two system
    /// calls; blocks for as long as these take.
    ///
    /// # Errors
    /// [`Error::Gone`] when they are not, [`Error::Unseen`] when the system does not tell.
    pub fn look(&self) -> Result<()> {
        if let Some(gone @ Error::Gone(_)) = self.trouble() {
            return Err(gone);
        }
        let seen = self.files.as_ref().map_or(Ok(()), |files| files.look());
        match &seen {
            Ok(()) => self.mend(|trouble| matches!(trouble, Error::Unseen(_))),
            Err(error) => self.failed(error),
        }
        seen
    }

    /// Whether its files were found to be gone.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.gone.is_cancelled()
    }

    /// Cancelled when its files are found to be gone.
    #[must_use]
    pub fn gone(&self) -> CancellationToken {
        self.gone.clone()
    }

    pub(super) fn files(&self) -> Option<&Files> {
        self.files.as_deref()
    }

    /// Why the journal takes no events; `None` while it does.
    #[must_use]
    pub fn trouble(&self) -> Option<Error> {
        locked(&self.trouble).clone()
    }

    /// How long the commit under way has taken up to now; `None` if there is none.
    #[must_use]
    pub fn committing(&self) -> Option<Duration> {
        locked(&self.writing_since).map(|since| since.elapsed())
    }

    /// The time of each commit, failed ones included.
    #[must_use]
    pub fn commits(&self) -> &Times {
        &self.commits
    }

    pub(super) fn failed(&self, error: &Error) {
        let mut trouble = locked(&self.trouble);
        if matches!(*trouble, Some(Error::Gone(_))) {
            return;
        }
        *trouble = Some(error.clone());
        drop(trouble);
        if let Error::Gone(why) = error {
            tracing::error!(%why, "the journal is gone; nothing more is pulled or confirmed");
            self.gone.cancel();
        }
    }

    /// Something was committed: a journal that is full is full all the same.
    pub(super) fn committed(&self) {
        self.mend(|trouble| !matches!(trouble, Error::Full { .. } | Error::Gone(_)));
    }

    /// Events were taken.
    pub(super) fn appended(&self) {
        self.mend(|trouble| !matches!(trouble, Error::Gone(_)));
    }

    fn mend(&self, is_over: impl Fn(&Error) -> bool) {
        locked(&self.trouble).take_if(|trouble| is_over(trouble));
    }

    /// A commit is under way, from its first write on.
    pub(crate) fn begins(&self) {
        *locked(&self.writing_since) = Some(Instant::now());
    }

    /// It has ended, whatever came of it.
    pub(crate) fn ends(&self) {
        *locked(&self.writing_since) = None;
    }

    pub(super) fn note_commit(&self, time: Duration) {
        self.commits.observe(time);
    }
}

/// For a few instructions only.
fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
