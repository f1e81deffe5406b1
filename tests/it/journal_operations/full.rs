//! A journal as large as it may be: what it refuses, and whom it names.

use bytesize::ByteSize;
use chrono::Utc;
use sprited::event::{self, AppId};
use sprited::journal::{
    self, DeliveryOutcome, EventId, JournalAdmin, JournalError, JournalSettings, Then,
};

use super::Bench;
use crate::support::noise;

impl Bench {
    async fn set_max_size(&self, max_size: u64) {
        let max_size = ByteSize::b(max_size);
        self.journal
            .set_limits(JournalSettings { max_size, ..JournalSettings::default() })
            .await
            .unwrap();
    }

    /// Stores another event, or tells why not.
    async fn try_append(&self, number: u32) -> Result<(), JournalError> {
        let text = format!(r#"{{"EventType":"T","TEvent":{{"TaskId":"task-{number}"}}}}"#);
        let entry = event::read(AppId(1), &text, false, Utc::now());
        self.journal.append(vec![entry], Utc::now()).await.map(|_| ())
    }

    /// Bytes in use.
    fn size(&self) -> u64 {
        let overview = self.reader().overview(Utc::now(), EventId(0)).unwrap();
        overview.size.as_u64()
    }

    /// What is said to fill it.
    async fn unprunable(&self) -> String {
        self.set_max_size(1).await;
        match self.try_append(9999).await {
            Err(JournalError::Full { unprunable, .. }) => unprunable.to_string(),
            other => panic!("{other:?}"),
        }
    }
}

/// At the limit itself it would stop and go with each event that leaves it.
#[tokio::test]
async fn a_journal_that_was_full_takes_events_again_with_room_for_more_than_one() {
    let bench = Bench::new().await;
    let padding = noise(1 << 20);
    let text = format!(r#"{{"EventType":"T","TEvent":{{"TaskId":"large","P":"{padding}"}}}}"#);
    let entry = event::read(AppId(1), &text, false, Utc::now());
    bench.journal.append(vec![entry], Utc::now()).await.unwrap();
    // The size of a journal that refuses an event.
    let refused = async |number, why: &str| match bench.try_append(number).await {
        Err(JournalError::Full { size, .. }) => size.as_u64(),
        other => panic!("{why}: {other:?}"),
    };

    // As long as it was not full, all but the last byte may be used.
    bench.set_max_size(bench.size() * 100 / 97).await;
    bench.try_append(1).await.unwrap();
    bench.set_max_size(1).await;
    let size = refused(2, "full").await;
    bench.set_max_size(size * 100 / 97).await;
    refused(2, "it would take one event and be full again").await;
    let size = refused(2, "once more").await;
    bench.set_max_size(size * 100 / 93).await;
    bench.try_append(2).await.unwrap();
    bench.set_max_size(bench.size() * 100 / 97).await;
    bench.try_append(3).await.unwrap();
}

#[tokio::test]
async fn what_was_delivered_or_discarded_fills_no_journal() {
    let bench = Bench::new().await;
    for number in 1..=6 {
        bench.append(number).await;
    }
    let events = |ids: std::ops::RangeInclusive<i64>| ids.map(EventId).collect::<Vec<_>>();
    // At `b` 3 pending and 1 dead are left of 6, at `a` 6 pending.
    bench.record(1, EventId(1), DeliveryOutcome::Delivered).await;
    bench.record(1, EventId(2), DeliveryOutcome::Delivered).await;
    bench.kill(1, EventId(3), "refused").await;
    bench.commit().await;
    assert_eq!(bench.unprunable().await, "the sink \"a\" has 6 events pending and 0 dead");
    // What is discarded, pending or dead, is gone.
    bench.kill(0, EventId(1), "refused").await;
    bench.commit().await;
    let mut editor = JournalAdmin::open(&bench.path()).unwrap();
    assert_eq!(
        editor.discard(bench.sinks[0], &events(1..=3), Then::Followers, Utc::now()).unwrap(),
        3
    );
    assert_eq!(bench.unprunable().await, "the sink \"b\" has 3 events pending and 1 dead");
    bench.route(&["T"]).await;
    let gone = "the sink \"b\", which is no longer configured, has 3 events pending and 1 dead";
    assert_eq!(bench.unprunable().await, gone);
    assert_eq!(
        editor.discard(bench.sinks[1], &events(1..=6), Then::Followers, Utc::now()).unwrap(),
        4
    );
    assert_eq!(bench.unprunable().await, "the sink \"a\" has 3 events pending and 0 dead");
    assert_eq!(
        editor.discard(bench.sinks[0], &events(1..=6), Then::Followers, Utc::now()).unwrap(),
        3
    );
    let nothing = "nothing is pending or dead, but keys are kept for 4 days";
    assert_eq!(bench.unprunable().await, nothing);
}

#[tokio::test]
async fn attempts_at_what_is_settled_go_with_its_body_when_space_is_short() {
    let bench = Bench::new().await;
    for number in 1..=3 {
        let event = bench.append(number).await;
        bench.fail(0, event, Utc::now()).await;
        bench.record(1, event, DeliveryOutcome::Delivered).await;
    }
    bench.record(0, EventId(1), DeliveryOutcome::Delivered).await;
    bench.kill(0, EventId(2), "refused").await;
    bench.commit().await;
    let attempts = "SELECT count(*) FROM attempts";
    while bench.journal.prune(Utc::now()).await.unwrap() {}
    assert_eq!(bench.number(attempts), 5, "there is room");
    bench.set_max_size(1).await;
    while bench.journal.prune(Utc::now()).await.unwrap() {}
    assert_eq!(bench.number("SELECT min(event) FROM bodies"), 2);
    assert_eq!(bench.number("SELECT min(event) FROM attempts"), 2);
    assert_eq!(bench.number(attempts), 3);
    assert!(journal::audit(&bench.path()).unwrap().unwrap().ok());
    bench.close().await;
}
