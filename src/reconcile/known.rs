//! Of which tasks the journal has the end.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use chrono::{DateTime, TimeDelta, Utc};

use crate::event::{AppId, Event, ImageSprite, TaskProgress};
use crate::journal::{self, EventId, JournalReader, TaskEvent};

/// The type of the event that may come before its task is over.
pub(super) const PROCEDURE: &str = "ProcedureStateChanged";
/// The type of the event that comes once, at the end of a task of one image sprite.
const IMAGE_SPRITE: &str = "CreateImageSpriteComplete";

/// How much earlier than its task finished an event may seem to have come: clocks differ.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::hours(1);

/// The tasks of an application that the journal has events of, and the reader of that journal.
#[derive(Debug)]
pub struct KnownTasks {
    reader: JournalReader,
    app: AppId,
    /// The last event that was read.
    last: EventId,
    tasks: TaskEnds,
}

/// What is known of tasks. Three days may have hundreds of thousands: of each there is a hash of its
/// id and little more.
#[derive(Debug, Default)]
pub(super) struct TaskEnds {
    hasher: RandomState,
    tasks: HashMap<u64, KnownTask>,
}

#[derive(Debug)]
enum KnownTask {
    /// The journal has its end.
    Over,
    /// The journal has reports of it, and not the end as far as their bodies are there.
    Running {
        /// The templates of its image sprites that are finished.
        finished: Vec<Option<i64>>,
        /// Whether a body was pruned for space.
        is_pruned: bool,
    },
}

impl KnownTasks {
    /// Reads the events that may be of tasks that finished from `from` on, by this machine's clock.
    /// Blocks, for seconds if there are very many.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn read(reader: JournalReader, app: AppId, from: DateTime<Utc>) -> journal::Result<Self> {
        let last = reader.last()?;
        let mut tasks = TaskEnds::default();
        let mut before = last;
        loop {
            let since = from - CLOCK_TOLERANCE;
            let read = reader.tasks_before(app, before, since, |event| tasks.add(&event))?;
            if !read.has_more {
                return Ok(Self { reader, app, last, tasks });
            }
            before = read.at;
        }
    }

    /// Reads the events that were stored since. Blocks.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn refresh(&mut self) -> journal::Result<()> {
        loop {
            let Self { reader, app, last, tasks } = self;
            let read = reader.tasks_after(*app, *last, |event| tasks.add(&event))?;
            *last = read.at;
            if !read.has_more {
                return Ok(());
            }
        }
    }

    pub(super) fn ends(&self) -> &TaskEnds {
        &self.tasks
    }
}

impl TaskEnds {
    /// Whether the journal has the end of this task.
    pub(super) fn is_over(&self, task_id: &str) -> bool {
        matches!(self.tasks.get(&self.hasher.hash_one(task_id)), Some(KnownTask::Over))
    }

    /// Whether the journal has all that `event`, the end of a task, reports. Were the event
    /// itself wanted, its sprites are not enough. `reports_changes`: the task has more events than
    /// that of its end.
    pub(super) fn has_all_of(
        &self,
        event: &Event,
        is_itself_wanted: bool,
        reports_changes: bool,
    ) -> bool {
        let Some(task_id) = &event.task_id else { return false };
        match self.tasks.get(&self.hasher.hash_one(task_id.as_str())) {
            None => false,
            Some(KnownTask::Over) => true,
            // A task that reports once has reported its end.
            Some(KnownTask::Running { is_pruned: true, .. }) if !reports_changes => true,
            Some(KnownTask::Running { finished, .. }) => {
                let mut sprites = event.sprites.iter().filter(|sprite| sprite.is_finished());
                let is_known = |sprite: &ImageSprite| finished.contains(&sprite.definition);
                !is_itself_wanted && !finished.is_empty() && sprites.all(is_known)
            }
        }
    }

    fn add(&mut self, event: &TaskEvent) {
        // Other events of a task say nothing of its image sprites.
        if ![PROCEDURE, IMAGE_SPRITE].contains(&event.event_type.as_str()) {
            return;
        }
        let task = self.hasher.hash_one(event.task_id.as_str());
        let progress = match &event.body {
            _ if event.event_type != PROCEDURE => None,
            Some(body) => Some(TaskProgress::of_body(body)).filter(|progress| !progress.is_over),
            None => Some(TaskProgress::default()),
        };
        let Some(progress) = progress else {
            self.tasks.insert(task, KnownTask::Over);
            return;
        };
        let new = KnownTask::Running { finished: Vec::new(), is_pruned: false };
        if let KnownTask::Running { finished, is_pruned } = self.tasks.entry(task).or_insert(new) {
            finished.extend(progress.finished);
            *is_pruned |= event.body.is_none();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::read;

    fn body(status: &str, sprites: &[(i64, &str)]) -> String {
        let sprites = sprites.iter().map(|(definition, status)| {
            format!(
                r#"{{"ImageSpriteTask":{{"Status":"{status}","Input":{{"Definition":{definition}}}}}}}"#
            )
        });
        let sprites = sprites.collect::<Vec<_>>().join(",");
        format!(
            r#"{{"EventType":"ProcedureStateChanged","ProcedureStateChangeEvent":{{"TaskId":"t",
                "Status":"{status}","MediaProcessResultSet":[{sprites}]}}}}"#
        )
    }

    /// What is said of the end of a task with these reports.
    fn has_all(bodies: &[Option<&str>], end: &str, is_itself_wanted: bool, changes: bool) -> bool {
        let mut ends = TaskEnds::default();
        for body in bodies {
            let (task_id, event_type) = ("t".to_owned(), PROCEDURE.to_owned());
            ends.add(&TaskEvent { task_id, event_type, body: body.map(str::to_owned) });
        }
        let event = read(AppId(1), end, false, Utc::now()).event;
        ends.has_all_of(&event, is_itself_wanted, changes)
    }

    #[test]
    fn an_end_is_known_by_its_event_or_by_each_of_its_sprites() {
        let end = body("FINISH", &[(10, "SUCCESS"), (20, "FAIL")]);
        let [first, both] = [
            body("PROCESSING", &[(10, "SUCCESS"), (20, "PROCESSING")]),
            body("PROCESSING", &[(10, "SUCCESS"), (20, "FAIL")]),
        ];
        let is_known = |bodies: &[&str], itself| {
            let bodies: Vec<_> = bodies.iter().map(|body| Some(*body)).collect();
            has_all(&bodies, &end, itself, true)
        };
        assert!(!is_known(&[], false));
        assert!(!is_known(&[&first], false));
        assert!(is_known(&[&first, &both], false));
        assert!(!is_known(&[&both], true), "a sink wants the event, not only its sprites");
        assert!(is_known(&[&first, &end], true) && is_known(&[&end, &first], true));
        let started = body("PROCESSING", &[]);
        let without = body("FINISH", &[]);
        assert!(!has_all(&[Some(&started)], &without, false, true));
    }

    #[test]
    fn a_body_that_is_gone_was_the_end_of_a_task_that_reports_once() {
        let end = body("FINISH", &[(10, "SUCCESS")]);
        assert!(has_all(&[None], &end, true, false));
        assert!(!has_all(&[None], &end, false, true));
    }

    #[test]
    fn only_the_events_that_report_image_sprites_tell_the_end() {
        let is_over = |event_type: &str| {
            let mut ends = TaskEnds::default();
            let (task_id, event_type) = ("t".to_owned(), event_type.to_owned());
            ends.add(&TaskEvent { task_id, event_type, body: None });
            ends.is_over("t")
        };
        assert!(is_over("CreateImageSpriteComplete"));
        for other in ["FileUploaded", "TranscodeComplete", "ProcedureStateChanged", "new"] {
            assert!(!is_over(other), "{other}");
        }
    }

    #[test]
    fn the_format_2_0_tells_the_end_as_well() {
        let end = body("FINISH", &[(10, "SUCCESS")]);
        let legacy = |status: &str| {
            format!(
                r#"{{"version":"4.0","eventType":"ProcedureStateChanged","data":{{"vodTaskId":"t",
                    "status":"{status}","processTaskList":[]}}}}"#
            )
        };
        assert!(has_all(&[Some(&legacy("FINISH"))], &end, true, true));
        assert!(!has_all(&[Some(&legacy("PROCESSING"))], &end, false, true));
    }
}
