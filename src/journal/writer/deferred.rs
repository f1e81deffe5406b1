//! A write that is answered before its commit.
//!
//! It must come about whatever commits fail: it is kept until one succeeds, and replayed in each
//! transaction until then. Between a commit that failed and the next one another process may write:
//! an event of a verdict may then have been requeued by hand. The verdict is older, and is not
//! replayed.

use chrono::{DateTime, Utc};

use crate::journal::error::Result;
use crate::journal::sqlite::Store;
use crate::journal::types::{EventId, Recorded, SinkRecords};

#[derive(Clone, Debug)]
pub(in crate::journal) enum DeferredWrite {
    Records(SinkRecords),
    Confirmed(Vec<EventId>, DateTime<Utc>),
    /// An event that was posted, and answered in time.
    Acknowledged(EventId),
}

impl DeferredWrite {
    pub(super) fn write(&self, store: &mut Store) -> Result<Recorded> {
        match self {
            Self::Records(records) => store.record(records),
            Self::Confirmed(events, now) => {
                store.confirmed(events, *now).map(|()| Recorded::default())
            }
            Self::Acknowledged(event) => store.acknowledge(*event).map(|()| Recorded::default()),
        }
    }

    /// Writes it in a transaction after the one that failed; `last_request` is the last one by hand
    /// that was known when it was written first.
    pub(super) fn replay(&self, store: &mut Store, last_request: i64) -> Result<()> {
        match self {
            Self::Records(records) => {
                let kept = store.without_requeued(records, last_request)?;
                store.record(&kept).map(drop)
            }
            Self::Confirmed(..) | Self::Acknowledged(_) => self.write(store).map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::event::{AppId, read};
    use crate::journal::{
        DeliveryOutcome, DeliveryRecord, JournalAdmin, JournalSettings, SinkId, sqlite,
    };

    /// A verdict is answered, its commit fails, and before the next one the event is asked for by
    /// hand: it is delivered once more, whatever the verdict was.
    #[test]
    fn a_verdict_that_is_replayed_undoes_no_later_request() {
        let now = Utc::now();
        let retry = || DeliveryOutcome::Retry {
            due: now + TimeDelta::hours(1),
            charged: Default::default(),
            error: "no".to_owned(),
        };
        let dead = || DeliveryOutcome::Dead { error: "no".to_owned() };
        for (first, verdict) in [
            (None, DeliveryOutcome::Delivered),
            (None, dead()),
            (None, retry()),
            (Some(retry()), DeliveryOutcome::Delivered),
            (Some(retry()), dead()),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("journal.db");
            let settings = JournalSettings { path: path.clone(), ..JournalSettings::default() };
            let mut store = Store::new(sqlite::open::open(&path).unwrap(), settings).unwrap();
            let sink = SinkId(1);
            store.begin().unwrap();
            store.register(&["sink".to_owned()]).unwrap();
            store.activate(&[sink], now).unwrap();
            let entries = ["{\"N\":1}", "{\"N\":2}"].map(|text| read(AppId(1), text, false, now));
            let (feed, _receiver) = crate::journal::feed();
            let wanted = crate::event::Wanted::from(vec!["*".to_owned()]);
            let routes = [crate::journal::Route { sink, wanted, feed, after: None }];
            let ids: Vec<_> = store
                .append(&entries, &Utc::now().into(), &routes)
                .unwrap()
                .iter()
                .map(|s| s.appended.id)
                .collect();
            let records = |outcome: &DeliveryOutcome| SinkRecords {
                sink,
                records: ids
                    .iter()
                    .map(|event| DeliveryRecord {
                        event: *event,
                        outcome: outcome.clone(),
                        mirrored: Vec::new(),
                    })
                    .collect(),
                checkpoint: None,
                now,
            };
            if let Some(first) = first {
                store.record(&records(&first)).unwrap();
            }
            store.commit().unwrap();

            store.begin().unwrap();
            store.record(&records(&verdict)).unwrap();
            let deferred = DeferredWrite::Records(records(&verdict));
            let last_request = store.last_request;
            store.roll_back();
            let mut admin = JournalAdmin::open(&path).unwrap();
            assert_eq!(admin.requeue(sink, None, &ids[..1], now).unwrap().expedited, 1);
            store.begin().unwrap();
            deferred.replay(&mut store, last_request).unwrap();
            store.commit().unwrap();

            let (due, _) = store.due(sink, now, 10).unwrap();
            let due: Vec<_> = due.events.iter().map(|pending| pending.id).collect();
            assert_eq!(due, ids[..1], "{verdict:?}");
            let outstanding = store.outstanding(sink, ids.clone()).unwrap();
            let is_retried = matches!(verdict, DeliveryOutcome::Retry { .. });
            assert_eq!(
                outstanding.len(),
                if is_retried { 2 } else { 1 },
                "the other has its verdict"
            );
            let findings = crate::journal::audit(&path).unwrap().unwrap();
            assert!(findings.ok(), "{findings:?}");
        }
    }
}
