//! The last error of each sink, as text; not exported.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use chrono::{DateTime, Utc};

use crate::sync::{read, write};

/// The last failure of each sink. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct SinkFailures(Arc<RwLock<BTreeMap<String, SinkFailure>>>);

/// A failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkFailure {
    /// What the sink said.
    pub error: String,
    /// When.
    pub at: DateTime<Utc>,
}

impl SinkFailures {
    /// Records a failure.
    pub fn record(&self, sink: &str, error: &str) {
        let failure = SinkFailure { error: error.to_owned(), at: Utc::now() };
        let mut failures = write(&self.0);
        failures.insert(sink.to_owned(), failure);
    }

    /// Returns the last failure of a sink.
    pub fn of(&self, sink: &str) -> Option<SinkFailure> {
        read(&self.0).get(sink).cloned()
    }

    /// Returns the names of the sinks that have failed.
    pub fn sinks(&self) -> Vec<String> {
        read(&self.0).keys().cloned().collect()
    }
}
