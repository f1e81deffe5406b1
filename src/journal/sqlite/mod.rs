//! All SQL of the journal, one file a subject.
//!
//! [`Store`] is what the writer has: each of its methods is a statement or a few, within the
//! transaction that the writer opens and commits. [`JournalReader`], [`JournalAdmin`] and the rest
//! open connections of their own, beside the daemon. The tables are in `schema`, what is counted in
//! `counters`.

mod admin;
mod append;
mod attempts;
mod audit;
mod body;
mod capacity;
mod confirmations;
mod counters;
mod deliveries;
mod failures;
mod filter;
mod followers;
mod following;
mod id_ranges;
mod key_index;
mod maintenance;
mod migrations;
mod occurrences;
pub(super) mod open;
mod overview;
mod paused;
mod prune;
mod reader;
mod reconciled;
mod rescue;
mod restore;
mod rows;
pub(super) mod schema;
mod sinks;
mod store;

pub use admin::{JournalAdmin, Requeued, Then};
pub use attempts::Attempt;
pub use audit::{AuditReport, CounterCheck, Violation, audit};
pub use counters::JournalTotals;
pub use failures::{DeadGroup, DeadLetters, FailingEvent};
pub use filter::Filter;
pub use maintenance::{SourceJournal, check, compact};
pub use open::is_older;
pub use overview::{Overview, SinkOverview, StateCounts};
pub use paused::{Pausable, PausedPart, set_paused};
pub use prune::PRUNE_PAUSE;
pub use reader::{EventCount, EventRow, JournalReader, KnownSink, SinkState};
pub use reconciled::{ReadOn, TaskEvent};
pub use rescue::Rescue;
pub use restore::{CopyContents, Replacement, Restored};
pub use store::LOG_LENGTH;
pub(super) use store::Store;
