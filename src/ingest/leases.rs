//! Builds the leases of an answer.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

use crate::event::{AppId, Entry};
use crate::journal::Appended;
use crate::lease::Lease;

/// One lease for each handle, with all events under it. They are handed on when all of an answer is
/// stored: what is under a handle may stand in several portions, and none of it may be confirmed
/// before the last is on disk.
pub(super) struct LeaseBuilder {
    app: AppId,
    deadline: Instant,
    leases: Vec<Lease>,
    places: HashMap<Arc<str>, usize>,
}

impl LeaseBuilder {
    /// Of an answer of `app` whose handles are good until `deadline`.
    pub(super) fn new(app: AppId, deadline: Instant) -> Self {
        Self { app, deadline, leases: Vec::new(), places: HashMap::new() }
    }

    /// Adds a portion that is stored.
    pub(super) fn add(&mut self, entries: Vec<Entry>, appended: &[Appended]) {
        self.leases.reserve(entries.len());
        for (entry, appended) in entries.into_iter().zip(appended) {
            let Some(handle) = entry.handle else { continue };
            let place = *self.places.entry(handle.clone()).or_insert_with(|| {
                let (app, deadline) = (self.app, self.deadline);
                let (events, pending) = (Vec::new(), Vec::new());
                let lease = Lease { app, handle, events, pending, is_repeatable: false, deadline };
                self.leases.push(lease);
                self.leases.len() - 1
            });
            let Some(lease) = self.leases.get_mut(place) else { continue };
            lease.events.push(appended.id);
            lease.is_repeatable |= appended.is_repeatable;
            if appended.pending {
                lease.pending.push(appended.id);
            }
        }
    }

    pub(super) fn into_leases(self) -> Vec<Lease> {
        self.leases
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;
    use crate::event::read;
    use crate::journal::EventId;

    #[test]
    fn what_is_under_a_handle_is_one_lease_in_whatever_portion_it_came() {
        let app = AppId(7);
        let mut leases = LeaseBuilder::new(app, Instant::now());
        let portions = [(1, "a", true), (2, "b", false), (3, "a", false), (4, "a", true)];
        for (id, handle, pending) in portions {
            let text = format!(r#"{{"EventHandle":"{handle}","N":{id}}}"#);
            let entry = read(app, &text, false, Utc::now());
            let (key, id, is_repeatable) = (entry.event.key, EventId(id), handle == "b");
            let appended = Appended {
                id,
                key,
                is_new: true,
                pending,
                is_repeatable,
                is_under_its_handle: false,
                may_be_duplicate: false,
            };
            leases.add(vec![entry], &[appended]);
        }
        let leases = leases.into_leases();
        let ids = |events: &[EventId]| events.iter().map(|event| event.0).collect::<Vec<_>>();
        let seen: Vec<_> = leases
            .iter()
            .map(|l| (&*l.handle, ids(&l.events), ids(&l.pending), l.is_repeatable))
            .collect();
        assert_eq!(seen, [("a", vec![1, 3, 4], vec![1, 4], false), ("b", vec![2], vec![], true)]);
    }
}
