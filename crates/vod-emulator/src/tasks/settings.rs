//! The settings of DescribeTasks and DescribeTaskDetail.

use std::time::Duration;

/// How tasks are told. The default is what the documents say; the rest is not known.
#[derive(Clone, Copy, Debug, Default)]
pub struct TaskSettings {
    /// How long after its end a task is in the list. Its detail is there at once.
    pub lag: Duration,
    /// How the detail of a sprite task spells what its event says.
    pub detail: DetailSpelling,
}

/// How the detail of a task spells what its event says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum DetailSpelling {
    /// As the event
    #[default]
    Same,
    /// With URLs of https, and another message
    Other,
}
