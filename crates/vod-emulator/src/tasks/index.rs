//! Finds tasks.
//!
//! Owns the order in which they are listed. A pure structure: it knows no clock.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};

use super::record::TaskRecord;
use crate::sprites::{PROCESSING_TIME, Task};

/// How long a task is told of after it was created.
pub(super) const TASK_RETENTION: TimeDelta = TimeDelta::hours(72);

/// From a task's creation to its end: it waits for a second before it is under way.
pub(super) const TASK_DURATION: TimeDelta = TimeDelta::seconds(PROCESSING_TIME.num_seconds() + 1);

/// The place of a task: the second of its end, and its number. It is that by time of creation as
/// well, since all take as long.
pub(super) type TaskPlace = (i64, u64);

/// A span of time; what is left out does not limit it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TaskSpan {
    /// At this time or after it.
    pub(super) after: Option<DateTime<Utc>>,
    /// Before this time.
    pub(super) before: Option<DateTime<Utc>>,
}

impl TaskSpan {
    fn has(&self, time: DateTime<Utc>) -> bool {
        self.after.is_none_or(|after| time >= after) && self.before.is_none_or(|end| time < end)
    }
}

/// Which tasks are listed, and how.
#[derive(Clone, Debug, Default)]
pub(super) struct TaskFilter {
    pub(super) status: Option<String>,
    pub(super) file_id: Option<String>,
    pub(super) created: TaskSpan,
    pub(super) finished: TaskSpan,
    /// The latest first.
    pub(super) is_descending: bool,
    /// Behind this place.
    pub(super) behind: Option<TaskPlace>,
    pub(super) limit: usize,
}

/// A part of a list.
#[derive(Debug)]
pub(super) struct TaskPage {
    pub(super) tasks: Vec<TaskRecord>,
    /// The place of the last of them, if there are more.
    pub(super) last: Option<TaskPlace>,
}

/// The tasks of one application.
#[derive(Debug)]
pub(crate) struct TaskIndex {
    /// The most that are kept.
    capacity: usize,
    added: u64,
    tasks: BTreeMap<TaskPlace, TaskRecord>,
    /// By their numbers, which take less room than their TaskIds.
    sprites: HashMap<u64, TaskPlace>,
    others: HashMap<String, TaskPlace>,
}

impl TaskIndex {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            added: 0,
            tasks: BTreeMap::new(),
            sprites: HashMap::new(),
            others: HashMap::new(),
        }
    }

    /// Adds a task, in place of an earlier one with its TaskId.
    pub(crate) fn add(&mut self, task: TaskRecord) {
        self.added += 1;
        let place = (task.ended().timestamp(), self.added);
        let earlier = match &task {
            TaskRecord::Sprite(sprite) => self.sprites.insert(sprite.number(), place),
            TaskRecord::Added(added, _) => self.others.insert(added.task_id().to_owned(), place),
        };
        if let Some(earlier) = earlier {
            self.tasks.remove(&earlier);
        }
        self.tasks.insert(place, task);
        if self.tasks.len() > self.capacity {
            match self.tasks.pop_first() {
                Some((_, TaskRecord::Sprite(oldest))) => self.sprites.remove(&oldest.number()),
                Some((_, TaskRecord::Added(oldest, _))) => self.others.remove(oldest.task_id()),
                None => None,
            };
        }
    }

    /// Returns the task of this TaskId, if it is not too old at `now`.
    pub(super) fn find(&self, task_id: &str, now: DateTime<Utc>) -> Option<&TaskRecord> {
        let sprite = || self.sprites.get(&Task::number_in(task_id)?);
        let task = self.tasks.get(self.others.get(task_id).or_else(sprite)?)?;
        (is_kept(task, now) && task.task_id() == task_id).then_some(task)
    }

    /// Returns the tasks that `filter` lets through and that are in the list at `now`, where they are
    /// `lag` after their end.
    pub(super) fn page(&self, filter: &TaskFilter, lag: TimeDelta, now: DateTime<Utc>) -> TaskPage {
        // Only the bounds by which most are passed over; each task is looked at.
        let mut first: TaskPlace = ((now - TASK_RETENTION).timestamp(), 0);
        let mut last: TaskPlace = ((now - lag).timestamp(), u64::MAX);
        if let Some(after) = filter.finished.after {
            first = first.max((after.timestamp(), 0));
        }
        if let Some(before) = filter.finished.before {
            last = last.min((before.timestamp(), u64::MAX));
        }
        match filter.behind {
            Some((second, number)) if filter.is_descending => {
                last = last.min((second, number.saturating_sub(1)));
            }
            Some((second, number)) => first = first.max((second, number.saturating_add(1))),
            None => {}
        }
        let mut page = TaskPage { tasks: Vec::new(), last: None };
        if first > last {
            return page;
        }
        let range = self.tasks.range(first..=last);
        let listed = |(_, task): &(&TaskPlace, &TaskRecord)| {
            is_kept(task, now) && task.ended() + lag <= now && filter.lets_through(task)
        };
        let found: Vec<_> = if filter.is_descending {
            range.rev().filter(listed).take(filter.limit + 1).collect()
        } else {
            range.filter(listed).take(filter.limit + 1).collect()
        };
        for (place, task) in found.iter().take(filter.limit) {
            page.tasks.push((*task).clone());
            page.last = Some(**place).filter(|_| found.len() > filter.limit);
        }
        page
    }
}

impl TaskFilter {
    fn lets_through(&self, task: &TaskRecord) -> bool {
        let is_finish_asked = self.finished.after.is_some() || self.finished.before.is_some();
        self.status.as_ref().is_none_or(|status| status == task.status())
            && self.file_id.as_ref().is_none_or(|file| *file == task.file_id())
            && self.created.has(task.ended() - TASK_DURATION)
            && self.finished.has(task.ended())
            && !(is_finish_asked && task.is_under_way())
    }
}

fn is_kept(task: &TaskRecord, now: DateTime<Utc>) -> bool {
    task.ended() - TASK_DURATION > now - TASK_RETENTION
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::record::AddedTask;
    use super::*;
    use crate::sprites::{SpriteOrder, SpriteQuirks, Sprites};

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_796_004_000, 0).unwrap()
    }

    /// One task a second for the time that they are kept.
    fn full_index() -> TaskIndex {
        let mut index = TaskIndex::new(1_000_000);
        let order = SpriteOrder {
            count: 259_200,
            age: Duration::from_secs(72 * 3600 - 11),
            apart: Duration::from_secs(1),
            ..SpriteOrder::default()
        };
        for task in Sprites::new(1, SpriteQuirks::default()).make(&order, now()) {
            index.add(TaskRecord::Sprite(task));
        }
        index
    }

    #[test]
    fn pages_hold_each_task_once_in_its_order() {
        let index = full_index();
        for is_descending in [false, true] {
            let mut filter = TaskFilter { is_descending, limit: 100, ..TaskFilter::default() };
            let (mut pages, mut seconds) = (0, Vec::new());
            loop {
                let page = index.page(&filter, TimeDelta::zero(), now());
                pages += 1;
                seconds.extend(page.tasks.iter().map(|task| (now() - task.ended()).num_seconds()));
                filter.behind = page.last;
                if page.last.is_none() {
                    break;
                }
            }
            let mut expected: Vec<i64> = (0..72 * 3600 - 10).collect();
            if !is_descending {
                expected.reverse();
            }
            assert!(seconds == expected, "{} tasks", seconds.len());
            assert_eq!(pages, 2_592);
        }
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let mut index = TaskIndex::new(2);
        let order = SpriteOrder { count: 3, ..SpriteOrder::default() };
        let tasks = Sprites::new(1, SpriteQuirks::default()).make(&order, now());
        for task in &tasks {
            index.add(TaskRecord::Sprite(task.clone()));
        }
        let known: Vec<_> =
            tasks.iter().map(|task| index.find(&task.task_id(), now()).is_some()).collect();
        assert_eq!(known, [false, true, true]);
        assert_eq!((index.tasks.len(), index.sprites.len()), (2, 2));
        let json = |id: &str| {
            format!(
                r#"{{"EventType":"ProcedureStateChanged","ProcedureStateChangeEvent":{{"TaskId":"{id}"}}}}"#
            )
        };
        // One of the same TaskId takes the place of the earlier one; another looks alike.
        let made = tasks[2].task_id();
        for id in ["a", "a", "b", &format!("{made}0")] {
            let added = AddedTask::of(&json(id)).unwrap();
            index.add(TaskRecord::Added(Arc::new(added), now()));
        }
        let known: Vec<_> = ["a", "b", &format!("{made}0"), &made, &made[1..]]
            .iter()
            .map(|id| index.find(id, now()).is_some())
            .collect();
        assert_eq!(known, [false, true, true, false, false]);
        assert_eq!((index.tasks.len(), index.sprites.len(), index.others.len()), (2, 0, 2));
    }
}
