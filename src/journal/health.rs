//! The health of a journal, for whoever watches it from outside: keeps no journal open.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::error::{JournalError, Result};
use super::files::Files;
use crate::metrics::Times;
use crate::sync::lock;

/// Bounds of the time of a commit, in seconds.
const COMMIT_SECONDS: [f64; 9] = [0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 5.0];

/// Whether a journal takes events, and how fast. Clones share it.
#[derive(Clone, Debug)]
pub struct JournalHealth {
    errors: Arc<Mutex<Errors>>,
    writing_since: Arc<Mutex<Option<Instant>>>,
    commits: Times,
    files: Option<Arc<Files>>,
    gone: CancellationToken,
}

/// What is wrong, each as long as it lasts.
#[derive(Debug, Default)]
struct Errors {
    /// Nothing ends this.
    end: Option<JournalError>,
    /// Commits fail, or did until a moment ago.
    unwritable: Option<JournalError>,
    full: Option<JournalError>,
    unseen: Option<JournalError>,
    /// When its files were last seen in place.
    seen_at: Option<Instant>,
}

impl Errors {
    fn of(&mut self, error: &JournalError) -> &mut Option<JournalError> {
        match error {
            JournalError::Gone(_) | JournalError::Taken(_) => &mut self.end,
            JournalError::Full { .. } => &mut self.full,
            JournalError::Unseen(_) => &mut self.unseen,
            JournalError::Sqlite(_) | JournalError::Disk { .. } | JournalError::Closed => {
                &mut self.unwritable
            }
        }
    }

    fn first(&self) -> Option<&JournalError> {
        let Self { end, unwritable, full, unseen, .. } = self;
        [end, unwritable, full, unseen].into_iter().find_map(Option::as_ref)
    }
}

impl Default for JournalHealth {
    fn default() -> Self {
        Self {
            errors: Arc::default(),
            writing_since: Arc::default(),
            commits: Times::new(COMMIT_SECONDS),
            files: None,
            gone: CancellationToken::new(),
        }
    }
}

impl JournalHealth {
    pub(super) fn of(files: Files) -> Self {
        Self { files: Some(Arc::new(files)), ..Self::default() }
    }

    /// Checks whether its files are in place, and whether no other daemon has it; once that was not
    /// so it never is again. Four system calls; blocks for as long as these take.
    ///
    /// # Errors
    /// [`JournalError::Gone`] or [`JournalError::Taken`] when it is not so,
    /// [`JournalError::Unseen`] when that cannot be seen.
    pub fn check_in_place(&self) -> Result<()> {
        if let Some(end) = lock(&self.errors).end.clone() {
            return Err(end);
        }
        let begun = Instant::now();
        let seen = self.files.as_ref().map_or(Ok(()), |files| files.check());
        match &seen {
            Ok(()) => {
                let mut errors = lock(&self.errors);
                (errors.unseen, errors.seen_at) = (None, Some(begun));
            }
            Err(error) => self.failed(error),
        }
        seen
    }

    /// Whether its files were in place at the last check, and that was less than `ago` ago.
    pub(super) fn was_in_place(&self, ago: Duration) -> bool {
        let errors = lock(&self.errors);
        let is_well = errors.end.is_none() && errors.unseen.is_none();
        is_well && errors.seen_at.is_some_and(|at| at.elapsed() < ago)
    }

    /// Whether its files were found to be gone, or another daemon has it.
    pub fn is_gone(&self) -> bool {
        self.gone.is_cancelled()
    }

    /// Whether commits fail, or did until so short a time ago that they may again.
    pub fn is_unwritable(&self) -> bool {
        lock(&self.errors).unwritable.is_some()
    }

    /// Cancelled when its files are found to be gone, or another daemon has it.
    pub fn gone(&self) -> CancellationToken {
        self.gone.clone()
    }

    pub(super) fn files(&self) -> Option<&Files> {
        self.files.as_deref()
    }

    /// Returns why the journal takes no events; `None` while it does.
    pub fn error(&self) -> Option<JournalError> {
        lock(&self.errors).first().cloned()
    }

    /// Returns how long the commit under way has taken up to now; `None` if there is none.
    pub fn committing(&self) -> Option<Duration> {
        lock(&self.writing_since).map(|since| since.elapsed())
    }

    /// Returns the time of each commit, failed ones included.
    pub fn commits(&self) -> &Times {
        &self.commits
    }

    pub(crate) fn failed(&self, error: &JournalError) {
        let mut errors = lock(&self.errors);
        if errors.end.is_some() {
            return;
        }
        *errors.of(error) = Some(error.clone());
        drop(errors);
        match error {
            JournalError::Gone(why) => {
                tracing::error!(%why, "journal gone; pulling and confirming stopped");
            }
            JournalError::Taken(why) => {
                tracing::error!(%why, "journal taken by another sprited; pulling and confirming stopped");
            }
            _ => return,
        }
        self.gone.cancel();
    }

    pub(crate) fn writable(&self) {
        lock(&self.errors).unwritable = None;
    }

    /// Events were taken: it is not full.
    pub(super) fn appended(&self) {
        lock(&self.errors).full = None;
    }

    /// A commit is under way, from its first write on.
    pub(crate) fn begins(&self) {
        *lock(&self.writing_since) = Some(Instant::now());
    }

    /// It has ended, whatever came of it.
    pub(crate) fn ends(&self) {
        *lock(&self.writing_since) = None;
    }

    pub(super) fn record_commit(&self, time: Duration) {
        self.commits.observe(time);
    }
}
