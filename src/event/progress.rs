//! How far a stored event says that its task has come.

use super::legacy::LegacyEvent;
use super::report::is_needed;
use super::scan;
use super::sprite::{object, sprites_of, text};

/// How far a task has come, by the body of a ProcedureStateChanged. With the notify mode `Change`
/// it comes several times, the last time with the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskProgress {
    /// Whether the task is over.
    pub is_over: bool,
    /// The templates of its image sprites that are finished.
    pub finished: Vec<Option<i64>>,
}

impl TaskProgress {
    /// Reads a body.
    #[must_use]
    pub fn of_body(body: &str) -> Self {
        let mut places = Vec::new();
        let parsed = scan::parse(body, &mut places, is_needed);
        let root = parsed.root();
        let procedure = object(root, "ProcedureStateChangeEvent");
        let legacy = LegacyEvent::of(root).filter(|_| procedure.is_none());
        let status = match &legacy {
            Some(legacy) => legacy.status(),
            None => procedure.and_then(|procedure| text(procedure, "Status")),
        };
        let sprites = legacy.map_or_else(|| sprites_of(root), |legacy| legacy.sprites());
        Self {
            is_over: status.as_deref() == Some("FINISH"),
            finished: sprites.iter().filter(|s| s.is_finished()).map(|s| s.definition).collect(),
        }
    }
}
