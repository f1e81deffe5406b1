//! The tables of a journal, and the marks of its file.

/// Marks an SQLite file as a journal of sprited: "sprd" in ASCII.
pub(super) const APPLICATION_ID: i32 = 0x7370_7264;
/// The version of the tables below.
pub(in crate::journal) const VERSION: i32 = 8;
/// `events` is written once per event; what changes stands in small tables beside it, and only
/// pruning and the operator's hand write to it again. A delivered event costs one inserted and
/// one deleted row of `pending` per sink. A pending row without `due` was never tried. Times are
/// milliseconds since 1970 in UTC.
pub(super) const EVENTS: &str = "
CREATE TABLE events (
  id           INTEGER PRIMARY KEY,
  key          BLOB    NOT NULL, -- unlike that of any other
  app          INTEGER NOT NULL,
  type         TEXT    NOT NULL,
  file_id      TEXT,
  task_id      TEXT,
  first_pulled INTEGER NOT NULL,
  replaced     INTEGER NOT NULL,
  sinks        TEXT    NOT NULL, -- ids of the sinks it is for; '' is unrouted
  origin       INTEGER NOT NULL DEFAULT 0 -- how it arrived first: see rows.rs
);
CREATE TABLE keys (
  key   BLOB    PRIMARY KEY,
  event INTEGER NOT NULL
) WITHOUT ROWID;
";

/// Made once the keys of the events that are there are in `keys`.
pub(super) const KEYS_COMPLETE: &str = "
CREATE TABLE keys_complete (     -- one row
  before INTEGER NOT NULL        -- events before this one are in `keys`, of the others some
);
INSERT INTO keys_complete SELECT ifnull(max(id), 0) + 1 FROM events;
";

/// See occurrences.rs.
pub(super) const OCCURRENCES: &str = "
CREATE TABLE occurrences (       -- of events that can happen again, word for word
  event   INTEGER PRIMARY KEY,
  content BLOB    NOT NULL,      -- the key of what equal events have in common
  handle  BLOB    UNIQUE,        -- a hash of that and of the handle that counts
  is_open INTEGER NOT NULL       -- whether no confirmation was sent that may have been taken
);
CREATE INDEX occurrences_content ON occurrences (content, event);
CREATE INDEX occurrences_open ON occurrences (content, event) WHERE is_open;
";

pub(super) const OTHERS: &str = "
CREATE TABLE bodies (            -- apart, since deleted rows give back pages and emptied ones do not
  event INTEGER PRIMARY KEY,
  body          NOT NULL         -- text, or a blob: the text compressed, see body.rs
);
CREATE TABLE confirmations (
  event INTEGER PRIMARY KEY,
  at    INTEGER NOT NULL
);
CREATE TABLE sinks (
  id     INTEGER PRIMARY KEY,
  name   TEXT    NOT NULL UNIQUE,
  active INTEGER NOT NULL,       -- whether it stands in the configuration
  mark   TEXT                    -- the sink's own note of how far it has come
);
CREATE TABLE pending (
  sink         INTEGER NOT NULL,
  event        INTEGER NOT NULL,
  due          INTEGER,
  attempts     INTEGER NOT NULL DEFAULT 0,
  charged      INTEGER NOT NULL DEFAULT 0, -- ms that count towards give_up_after
  first_failed INTEGER,
  last_failed  INTEGER,
  first_error  TEXT,
  last_error   TEXT,
  request      INTEGER NOT NULL DEFAULT 0, -- the number of the last one by hand to deliver it; 0: none
  PRIMARY KEY (sink, event)
) WITHOUT ROWID;
CREATE INDEX pending_due ON pending (sink, due) WHERE due IS NOT NULL;
CREATE TABLE dead (
  sink         INTEGER NOT NULL,
  event        INTEGER NOT NULL,
  at           INTEGER NOT NULL,
  attempts     INTEGER NOT NULL,
  first_failed INTEGER NOT NULL,
  first_error  TEXT    NOT NULL,
  last_error   TEXT    NOT NULL,
  PRIMARY KEY (sink, event)
) WITHOUT ROWID;
CREATE TABLE counters (
  name  TEXT    NOT NULL,
  sink  INTEGER NOT NULL,        -- 0 for those of no sink
  value INTEGER NOT NULL,
  PRIMARY KEY (name, sink)
) WITHOUT ROWID;
";

/// Since version 5.
pub(super) const REJECTED: &str = "
CREATE TABLE rejected (          -- since the sink last took an event
  sink  INTEGER NOT NULL,
  event INTEGER NOT NULL,        -- a dead letter, at least then
  PRIMARY KEY (sink, event)
) WITHOUT ROWID;
";

/// Since version 6. See occurrences.rs.
pub(super) const POSTED: &str = "
CREATE TABLE posted (            -- occurrences that were posted, unless acknowledged
  event INTEGER PRIMARY KEY,
  at    INTEGER NOT NULL         -- when it was last posted
);
";

/// Since version 6.
pub(super) const RECONCILED: &str = "
CREATE TABLE begun (             -- of each application that a daemon had
  app INTEGER PRIMARY KEY,
  at  INTEGER NOT NULL           -- when it first started; in an older journal, the first event
);
CREATE TABLE reconciled (        -- of each application whose finished tasks were compared
  app   INTEGER PRIMARY KEY,
  until INTEGER NOT NULL         -- of the tasks that finished before, every event is here
);
INSERT INTO begun SELECT app, min(first_pulled) FROM events GROUP BY app;
";

/// Since version 7. An event that is delivered at the first attempt has no row in any of these.
pub(super) const FAILURES: &str = "
CREATE TABLE attempts (          -- the newest of each event that has failed at a sink
  event        INTEGER NOT NULL,
  sink         INTEGER NOT NULL,
  number       INTEGER NOT NULL, -- grows with each
  at           INTEGER NOT NULL,
  is_delivered INTEGER NOT NULL,
  error        TEXT,             -- of one that failed; NULL: as of the one before
  PRIMARY KEY (event, sink, number)
) WITHOUT ROWID;
CREATE INDEX pending_attempts ON pending (sink, attempts DESC) WHERE attempts >= 3;
CREATE INDEX dead_at ON dead (sink, at);
";

/// Since version 8.
pub(super) const PAUSED: &str = "
CREATE TABLE paused (            -- by hand, until it is resumed
  sink  INTEGER PRIMARY KEY,     -- 0: pulling
  since INTEGER NOT NULL
);
";

/// Since version 8. See following.rs.
pub(super) const FOLLOWING: &str = "
ALTER TABLE pending ADD COLUMN followers TEXT;    -- sinks that get the event once this one has settled it
ALTER TABLE pending ADD COLUMN released INTEGER;  -- when the sink before had settled it
ALTER TABLE pending ADD COLUMN result TEXT;       -- JSON: what had become of it there
CREATE INDEX pending_followed ON pending (sink, event) WHERE followers IS NOT NULL;
CREATE TABLE results (           -- of events at sinks that others follow, the newest
  event    INTEGER NOT NULL,
  sink     INTEGER NOT NULL,
  result   TEXT    NOT NULL,     -- JSON
  released TEXT    NOT NULL,     -- ids of the sinks that got the event by it, or by one before it
  waiting  TEXT,                 -- sinks that follow and did not get it by that
  PRIMARY KEY (event, sink)
) WITHOUT ROWID;
";
