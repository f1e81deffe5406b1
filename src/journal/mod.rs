//! The journal: every event on disk before anything is confirmed, and what is still to be done
//! with it.
//!
//! Three layers, each knowing only what is below it:
//!
//! 1. `handle`: [`Journal`], whose methods send a job to the writer and wait for its answer.
//! 2. `writer`: one thread that owns the one connection that writes. It runs what waits in its
//!    queue in one transaction and commits once. Deferred writes share the next commit that
//!    somebody waits for, or come a moment later. It knows no SQL.
//! 3. `sqlite`: all SQL, one file a subject. What reads or changes the journal beside the daemon
//!    ([`JournalReader`], [`JournalAdmin`], `audit`, copies) begins there.
//!
//! Beside them stand `types` and `error`, which all of them share, the files as files
//! (`side_files`, `lock`, `in_use`, `files`, `missing`, `path_rules`, `place`), the way of new events to the sinks
//! (`feed`), and what tells equal events apart by the time (`receipts`).

mod after;
mod error;
mod feed;
mod files;
mod handle;
mod health;
mod in_use;
mod lock;
mod missing;
mod path_rules;
mod paused;
mod place;
mod receipts;
mod reconciled;
mod settings;
mod side_files;
mod sqlite;
mod types;
mod writer;

pub use after::{On, RouteAfter};
pub use error::{DiskFault, JournalError, MaintenanceError, OpenError, Result};
pub use feed::{FeedReceiver, FeedSender, Route, feed};
pub use handle::{Closing, Journal};
pub use health::JournalHealth;
pub use in_use::is_in_use;
pub use missing::{give_up, missing};
pub use path_rules::too_long;
pub use place::{JournalPlace, free_space};
pub use receipts::{PullReceipt, Receipt, Taken};
pub use settings::JournalSettings;
pub use side_files::{
    all_files, control_socket, is_copy_name, link_mark, lock_file, log_file, rescued,
};
pub use sqlite::{
    Attempt, AuditReport, CopyContents, CounterCheck, DeadGroup, DeadLetters, EventCount, EventRow,
    FailingEvent, Filter, JournalAdmin, JournalReader, JournalTotals, KnownSink, LOG_LENGTH,
    Overview, PRUNE_PAUSE, Pausable, PausedPart, ReadOn, Replacement, Requeued, Rescue, Restored,
    SinkOverview, SinkState, SourceJournal, StateCounts, TaskEvent, Then, Violation, audit, check,
    compact, is_older, set_paused,
};
pub use types::{
    Appended, Backlog, ConfirmPermission, DeliveryOutcome, DeliveryRecord, EventId, EventState,
    HandleConfirmation, Leftover, NewEvent, PendingEvent, PendingPage, QueueEnd, Recorded,
    SinkHistory, SinkId, UnacknowledgedEvent, Unprunable,
};
