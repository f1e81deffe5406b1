//! The sinks in use, for an end of the process that drops no values.

use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, Builder};

use crate::sinks::Sink;
use crate::sync::lock;

/// The sinks whose delivery loops run; clones share them.
#[derive(Clone, Debug, Default)]
pub struct RunningSinks(Arc<Mutex<Vec<Weak<dyn Sink>>>>);

impl RunningSinks {
    /// Adds a sink whose loop is about to start; it is forgotten when it is dropped.
    pub(super) fn add(&self, sink: &Arc<dyn Sink>) {
        let mut sinks = lock(&self.0);
        sinks.retain(|sink| sink.strong_count() > 0);
        sinks.push(Arc::downgrade(sink));
    }

    /// Aborts all of them, right before the process ends.
    pub fn abort(&self) {
        let sinks: Vec<_> = lock(&self.0).iter().filter_map(Weak::upgrade).collect();
        // Side by side: one whose disk hangs holds up no other.
        thread::scope(|scope| {
            for sink in &sinks {
                let spawned = Builder::new().spawn_scoped(scope, || sink.abort());
                if spawned.is_err() {
                    sink.abort();
                }
            }
        });
    }
}
