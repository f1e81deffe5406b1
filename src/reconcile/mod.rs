//! Compares the tasks that the cloud says have finished with the journal, and adds the events that
//! never arrived.
//!
//! [`Window`] says which span of time a run looks at, [`KnownTasks`] what the journal has of it, and
//! [`Comparison`] lists the tasks and decides about each. The daemon's [`Reconciler`] runs it again
//! and again; a command runs it once.

mod application;
mod comparison;
mod known;
mod requests;
mod settings;
mod task;
mod window;

pub use application::{FoundEmpty, ReconcileProgress};
pub use comparison::{Comparison, MissingEvents, ReconcileError, TaskFinding, TaskOutcome};
pub use known::KnownTasks;
pub use requests::TaskRequests;
pub use settings::{MAX_REACH, ReconcileEvery, ReconcileSettings};
pub use task::{ApplicationReconcile, Reconciler, ReconcilerParts};
pub use window::{JournalSpan, Skipped, Window};
