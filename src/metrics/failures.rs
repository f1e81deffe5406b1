//! What failed last, in words: no number can say it.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, Utc};

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
    /// Another one.
    pub fn note(&self, sink: &str, error: &str) {
        let failure = SinkFailure { error: error.to_owned(), at: Utc::now() };
        let mut failures = self.0.write().unwrap_or_else(PoisonError::into_inner);
        failures.insert(sink.to_owned(), failure);
    }

    /// The last one of a sink.
    #[must_use]
    pub fn of(&self, sink: &str) -> Option<SinkFailure> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(sink).cloned()
    }
    /// The sinks that have failed, by name.
    #[must_use]
    pub fn sinks(&self) -> Vec<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }
}
