//! A write that is answered before its commit.
//!
//! Between a commit that failed and the next one another process may write: an event of a verdict may
//! then have been asked for once more by hand. The verdict is older, and is not written.

use chrono::{DateTime, Utc};

use super::job::SinkRecords;
use super::store::Store;
use super::{EventId, Result};

/// A write that was answered before its commit: it must come about whatever commits fail.
#[derive(Clone, Debug)]
pub(super) enum DeferredWrite {
    /// Verdicts, and the last request by hand that was known when they were written first.
    Records(SinkRecords, i64),
    Confirmed(Vec<EventId>, DateTime<Utc>),
}

impl DeferredWrite {
    /// Writes it once more, in a transaction after the one that failed.
    pub(super) fn keep(&self, store: &mut Store) -> Result<()> {
        match self {
            Self::Records(records, requests) => {
                let kept = store.drop_undone(records, *requests)?;
                store.record(&kept).map(drop)
            }
            Self::Confirmed(events, now) => store.confirmed(events, *now),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::event::{AppId, read};
    use crate::journal::{
        DeliveryOutcome, DeliveryRecord, JournalAdmin, JournalSettings, SinkId, schema,
    };

    /// A verdict is answered, its commit fails, and before the next one the event is asked for by
    /// hand: it is delivered once more, whatever the verdict was.
    #[test]
    fn a_verdict_that_is_written_once_more_undoes_no_later_request() {
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
            let mut store = Store::new(schema::open(&path).unwrap(), settings).unwrap();
            let sink = SinkId(1);
            store.begin().unwrap();
            store.register(&["sink".to_owned()]).unwrap();
            store.activate(&[sink]).unwrap();
            let entries = ["{\"N\":1}", "{\"N\":2}"].map(|text| read(AppId(1), text, false, now));
            let (feed, _fed) = crate::journal::feed();
            let wanted = crate::event::Wanted::from(vec!["*".to_owned()]);
            let routes = [crate::journal::Route { sink, wanted, feed }];
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
                    .map(|event| DeliveryRecord { event: *event, outcome: outcome.clone() })
                    .collect(),
                mark: None,
                now,
            };
            if let Some(first) = first {
                store.record(&records(&first)).unwrap();
            }
            store.commit().unwrap();

            store.begin().unwrap();
            store.record(&records(&verdict)).unwrap();
            let promise = DeferredWrite::Records(records(&verdict), store.requests);
            store.roll_back();
            let mut editor = JournalAdmin::open(&path).unwrap();
            assert_eq!(editor.requeue(sink, &ids[..1], now).unwrap().hastened, 1);
            store.begin().unwrap();
            promise.keep(&mut store).unwrap();
            store.commit().unwrap();

            let (due, _) = store.due(sink, now, 10).unwrap();
            let due: Vec<_> = due.events.iter().map(|pending| pending.id).collect();
            assert_eq!(due, ids[..1], "{verdict:?}");
            let owed = store.outstanding(sink, ids.clone()).unwrap();
            let is_retried = matches!(verdict, DeliveryOutcome::Retry { .. });
            assert_eq!(owed.len(), if is_retried { 2 } else { 1 }, "the other has its verdict");
            let findings = crate::journal::audit(&path).unwrap().unwrap();
            assert!(findings.ok(), "{findings:?}");
        }
    }
}
