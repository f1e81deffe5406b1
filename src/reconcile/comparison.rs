//! Compares the finished tasks of an application in a window with the journal.

use std::fmt;

use chrono::{DateTime, Utc};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::known::{KnownTasks, PROCEDURE, TaskEnds};
use super::requests::TaskRequests;
use super::window::Window;
use crate::event::{AppId, Entry, EntryReader, ImageSprite, Wanted};
use crate::ingest::{Ingest, IngestSource};
use crate::journal::{JournalError, PullReceipt};
use crate::limits::JOURNAL_RETRIES;
use crate::vod::{
    Action, Advice, Client, ListedTask, MAX_LISTED_TASKS, TaskDetail, TaskQuery, VodError,
};

/// Pages without a task, one after the other, before the list is given up.
const MAX_EMPTY_PAGES: u32 = 10;
/// Tasks that may stay undecided before a comparison is given up.
const MAX_UNDECIDED: u32 = 10;
/// Tasks that may be gone, one after the other: from there on it is the cloud that describes none.
const MAX_GONE: u32 = 10;

/// What became of a finished task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaskOutcome {
    /// The journal has its event.
    Known,
    /// The journal lacks its event.
    Missing,
    /// The journal lacked its event, which was added.
    Added,
    /// No sink wants what its event would report.
    Unwanted,
    /// It was started without events: its notify mode is `None`.
    Silent,
    /// It was aborted; whether such a task has an event is not documented.
    Aborted,
    /// The cloud lists it and does not describe it.
    Gone,
}

impl TaskOutcome {
    /// Every outcome.
    pub const ALL: [Self; 7] = [
        Self::Known,
        Self::Missing,
        Self::Added,
        Self::Unwanted,
        Self::Silent,
        Self::Aborted,
        Self::Gone,
    ];

    /// Returns its name, in one word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::Missing => "missing",
            Self::Added => "added",
            Self::Unwanted => "unwanted",
            Self::Silent => "silent",
            Self::Aborted => "aborted",
            Self::Gone => "gone",
        }
    }
}

/// A finished task that may have made image sprites.
#[derive(Clone, Debug)]
pub struct TaskFinding {
    /// The task as it was listed.
    pub task: ListedTask,
    /// What became of it.
    pub outcome: TaskOutcome,
    /// The file of an event that is missing or was added.
    pub file_id: Option<String>,
    /// The image sprites of such an event.
    pub sprites: Vec<ImageSprite>,
}

/// Why a comparison was not completed.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The cloud did not answer as it should.
    #[error(transparent)]
    Cloud(#[from] VodError),
    /// The journal could not be read or written.
    #[error("the journal cannot be used: {0}")]
    Journal(#[from] JournalError),
    /// Some tasks could not be asked about; the others were compared.
    #[error("{}", undecided(*tasks, error))]
    Undecided {
        /// How many.
        tasks: u32,
        /// The first error.
        error: VodError,
    },
    /// It was to stop.
    #[error("stopped")]
    Stopped,
}

impl ReconcileError {
    /// The cloud's error that is the cause, where it is one.
    pub fn of_the_cloud(&self) -> Option<&VodError> {
        match self {
            Self::Cloud(error) | Self::Undecided { error, .. } => Some(error),
            Self::Journal(_) | Self::Stopped => None,
        }
    }

    /// What happened, for a log line that has the cloud's code, request id and hint as fields.
    pub fn summary(&self) -> String {
        match self {
            Self::Cloud(error) => error.summary().to_string(),
            Self::Undecided { tasks, error } => undecided(*tasks, &error.summary()),
            Self::Journal(_) | Self::Stopped => self.to_string(),
        }
    }
}

fn undecided(tasks: u32, error: &dyn fmt::Display) -> String {
    format!("{tasks} of the tasks could not be compared, the first since {error}")
}

/// What is done about an event that is missing.
#[derive(Debug)]
pub enum MissingEvents<'a> {
    /// It is reported.
    Report,
    /// It is added.
    Add {
        /// Stores it.
        ingest: &'a Ingest,
        /// What log lines call the application; `None` where it is the only one.
        app_name: Option<AppId>,
        /// Ends the tries to store it.
        stop: &'a CancellationToken,
    },
}

/// The parts of a comparison.
#[derive(Debug)]
pub struct Comparison<'a> {
    /// Of the application.
    pub client: &'a Client,
    /// The pace of the requests.
    pub requests: &'a TaskRequests,
    /// The events that each sink wants.
    pub wanted: &'a [Wanted],
    /// What is done about an event that is missing.
    pub missing: MissingEvents<'a>,
}

/// The tasks that could not be asked about.
#[derive(Default)]
struct Undecided {
    tasks: u32,
    first: Option<VodError>,
    /// Since the last task that was described.
    gone: u32,
}

impl Undecided {
    /// Counts one: it holds up none beside it.
    fn add(&mut self, error: VodError) -> Result<(), ReconcileError> {
        self.tasks += 1;
        self.first.get_or_insert(error);
        match self.first.take_if(|_| self.tasks >= MAX_UNDECIDED) {
            Some(error) => Err(ReconcileError::Undecided { tasks: self.tasks, error }),
            None => Ok(()),
        }
    }

    fn add_gone(&mut self, error: VodError) -> Result<(), ReconcileError> {
        self.gone += 1;
        if self.gone < MAX_GONE {
            return Ok(());
        }
        Err(ReconcileError::Undecided { tasks: self.gone, error })
    }
}

impl Comparison<'_> {
    /// Compares the tasks in `window` with what is `known`, and passes each to `record` once it is
    /// decided. Ends well when each event that was missing is on disk. May be dropped at any time;
    /// the next comparison then finds what this one has added.
    ///
    /// # Errors
    /// When not all tasks were compared.
    pub async fn run(
        &self,
        window: &Window,
        mut known: KnownTasks,
        mut record: impl FnMut(TaskFinding),
    ) -> Result<(), ReconcileError> {
        let mut query = TaskQuery {
            after: window.from,
            before: window.until,
            limit: MAX_LISTED_TASKS,
            scroll_token: None,
        };
        let mut reached = window.from;
        let mut undecided = Undecided::default();
        let mut empty_pages = 0;
        loop {
            let page = match self.requests.make(|| self.client.tasks(&query)).await {
                Ok(page) => page,
                // A place in a list may be kept for a while only: the list begins anew, where it
                // had come to.
                Err(error) if may_be_of_a_place(&error) && reached > query.after => {
                    tracing::debug!(%error, "list of tasks begins anew");
                    query = TaskQuery { after: reached, scroll_token: None, ..query };
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            empty_pages = if page.tasks.is_empty() { empty_pages + 1 } else { 0 };
            known = refreshed(known).await?;
            for task in page.tasks {
                let finished = task.finished.filter(|finished| *finished < window.until);
                reached = finished.map_or(reached, |finished| reached.max(finished));
                if let Some(finding) = self.decide(task, known.ends(), &mut undecided).await? {
                    record(finding);
                }
            }
            // Only the absence of a place to go on says that the list ends.
            let Some(token) = page.scroll_token else { break };
            let leads_nowhere = query.scroll_token.as_ref() == Some(&token);
            if empty_pages >= MAX_EMPTY_PAGES || (empty_pages > 0 && leads_nowhere) {
                let why = "the list goes on and lists no task";
                return Err(VodError::new(Action::DescribeTasks, Advice::Answer, why).into());
            }
            query.scroll_token = Some(token);
        }
        match undecided.first {
            Some(error) => Err(ReconcileError::Undecided { tasks: undecided.tasks, error }),
            None => Ok(()),
        }
    }

    /// What became of the task; `None` if it makes no sprites, has not finished, or nobody knows.
    async fn decide(
        &self,
        task: ListedTask,
        known: &TaskEnds,
        undecided: &mut Undecided,
    ) -> Result<Option<TaskFinding>, ReconcileError> {
        let found = |task, outcome| {
            Ok(Some(TaskFinding { task, outcome, file_id: None, sprites: Vec::new() }))
        };
        match task.status.as_str() {
            _ if !may_make_sprites(&task.task_type) => return Ok(None),
            "ABORTED" => return found(task, TaskOutcome::Aborted),
            "WAITING" | "PROCESSING" => return Ok(None),
            _ => {}
        }
        if known.is_over(&task.task_id) {
            return found(task, TaskOutcome::Known);
        }
        let detail = match self.requests.make(|| self.client.task_detail(&task.task_id)).await {
            Ok(detail) => detail,
            Err(error) if is_gone(&error) => return self.gone(task, error, undecided).map(Some),
            Err(error) if may_be_of_the_task(&error) => return undecided.add(error).map(|()| None),
            Err(error) => return Err(error.into()),
        };
        let unexpected = |why: &str| VodError::new(Action::DescribeTaskDetail, Advice::Answer, why);
        // As an event it would report what the task has done so far.
        if matches!(detail.status.as_str(), "WAITING" | "PROCESSING") {
            let error = unexpected("a task that is listed as finished is described as running");
            return undecided.add(error).map(|()| None);
        }
        let finding = self.compare(task, &detail, known).await?;
        if finding.outcome == TaskOutcome::Gone {
            let error = unexpected("the answer has no task that makes image sprites");
            return self.gone(finding.task, error, undecided).map(Some);
        }
        undecided.gone = 0;
        Ok(Some(finding))
    }

    fn gone(
        &self,
        task: ListedTask,
        error: VodError,
        undecided: &mut Undecided,
    ) -> Result<TaskFinding, ReconcileError> {
        tracing::warn!(
            app = %self.client.app(), task_id = task.task_id, %error,
            "finished task cannot be described; its event is not added"
        );
        undecided.add_gone(error)?;
        Ok(TaskFinding { task, outcome: TaskOutcome::Gone, file_id: None, sprites: Vec::new() })
    }

    async fn compare(
        &self,
        task: ListedTask,
        detail: &TaskDetail,
        known: &TaskEnds,
    ) -> Result<TaskFinding, ReconcileError> {
        let found =
            |task, outcome| TaskFinding { task, outcome, file_id: None, sprites: Vec::new() };
        let Some(body) = &detail.event else { return Ok(found(task, TaskOutcome::Gone)) };
        if detail.status == "ABORTED" {
            return Ok(found(task, TaskOutcome::Aborted));
        }
        if detail.notify_mode == "None" {
            return Ok(found(task, TaskOutcome::Silent));
        }
        let now = Utc::now();
        let entry = EntryReader::default().read_reconciled(self.client.app(), body, now);
        let event = &entry.event;
        // Without one nothing tells it from others of its kind.
        if event.task_id.is_none() {
            return Ok(found(task, TaskOutcome::Gone));
        }
        let is_itself_wanted = self.wanted.iter().any(|of_sink| of_sink.has_type(PROCEDURE));
        if known.has_all_of(event, is_itself_wanted, detail.notify_mode == "Change") {
            return Ok(found(task, TaskOutcome::Known));
        }
        if !self.wanted.iter().any(|of_sink| of_sink.matches(event)) {
            return Ok(found(task, TaskOutcome::Unwanted));
        }
        let (file_id, sprites) = (event.file_id.clone(), event.sprites.clone());
        let outcome = self.missing(entry, &detail.request_id, now).await?;
        Ok(TaskFinding { task, outcome, file_id, sprites })
    }

    async fn missing(
        &self,
        entry: Entry,
        request_id: &str,
        now: DateTime<Utc>,
    ) -> Result<TaskOutcome, ReconcileError> {
        let MissingEvents::Add { ingest, app_name, stop } = self.missing else {
            return Ok(TaskOutcome::Missing);
        };
        let request_id = Some(request_id).filter(|id| !id.is_empty());
        let retries = JOURNAL_RETRIES;
        let source = IngestSource { app_name, request_id, retries, on_append: &|_| {} };
        let stored = ingest.store(&[entry], &PullReceipt::from(now), source, stop).await;
        let stored = stored.ok_or(ReconcileError::Stopped)?;
        // It may have come meanwhile.
        let is_new = stored.first().is_some_and(|appended| appended.is_new);
        Ok(if is_new { TaskOutcome::Added } else { TaskOutcome::Known })
    }
}

async fn refreshed(mut known: KnownTasks) -> Result<KnownTasks, ReconcileError> {
    let refreshed = spawn_blocking(move || known.refresh().map(|()| known)).await;
    refreshed.map_err(|_| ReconcileError::Stopped)?.map_err(ReconcileError::from)
}

/// Whether tasks of this type may make image sprites. The documents spell the second in three ways.
fn may_make_sprites(task_type: &str) -> bool {
    let task_type = task_type.to_ascii_lowercase();
    task_type.contains("procedure") || task_type.contains("imagesprite")
}

/// Whether the place in a list may be at fault.
fn may_be_of_a_place(error: &VodError) -> bool {
    error.is_parameter_error() || error.advice() == Advice::Service
}

/// Whether the task cannot be described, now or later.
fn is_gone(error: &VodError) -> bool {
    let is_unknown = |code: &str| {
        matches!(code, "InvalidParameterValue" | "InvalidParameterValue.TaskId")
            || code.starts_with("ResourceNotFound")
    };
    error.code().is_some_and(is_unknown) || error.is_too_large()
}

/// Whether others may be described although this one was not.
fn may_be_of_the_task(error: &VodError) -> bool {
    match error.advice() {
        Advice::Service | Advice::InvalidParameters | Advice::Answer => true,
        Advice::Refused => !error.is_missing_permission(),
        Advice::Throttled | Advice::Clock | Advice::Credentials | Advice::Transport => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_are_known_in_each_spelling() {
        for task_type in ["Procedure", "ImageSprite", "ImageSprites", "CreateImageSprite"] {
            assert!(may_make_sprites(task_type), "{task_type}");
        }
        for task_type in ["", "Transcode", "EditMedia", "PullUpload"] {
            assert!(!may_make_sprites(task_type), "{task_type}");
        }
    }
}
