//! The tasks of an application, as DescribeTasks and DescribeTaskDetail return them.
//!
//! Owns which tasks are known and for how long. `record` is one task, `index` finds them, `describe`
//! answers.

mod describe;
mod index;
mod record;
mod settings;

pub(super) use describe::{describe_task_detail, describe_tasks};
pub(super) use index::TaskIndex;
pub(super) use record::{AddedTask, TaskRecord};
pub use settings::{DetailSpelling, TaskSettings};
