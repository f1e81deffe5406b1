//! What a delivery loop writes to the journal, waiting while that cannot be written.

use chrono::Utc;

use crate::journal::{self, DeliveryRecord, Journal, Recorded, SinkId};
use crate::limits::JOURNAL_RETRIES;

/// Writes records, waiting while the journal cannot be written; `None` where it never will be.
pub(super) async fn write(
    journal: &Journal,
    sink: SinkId,
    name: &str,
    records: Vec<DeliveryRecord>,
    checkpoint: Option<String>,
) -> Option<Recorded> {
    let mut failures = 0;
    loop {
        match journal.record(sink, records.clone(), checkpoint.clone(), Utc::now()).await {
            Ok(recorded) => return Some(recorded),
            Err(journal::JournalError::Taken(_)) => return None,
            Err(error) => {
                failures += 1;
                tracing::debug!(sink = name, %error, "delivery record delayed: journal busy");
                tokio::time::sleep(JOURNAL_RETRIES.wait(failures)).await;
            }
        }
    }
}

/// Writes a checkpoint, waiting while the journal cannot be written.
pub(super) async fn set_checkpoint(
    journal: &Journal,
    sink: SinkId,
    name: &str,
    checkpoint: String,
) {
    let mut failures = 0;
    while let Err(error) = journal.set_checkpoint(sink, checkpoint.clone()).await {
        failures += 1;
        tracing::debug!(sink = name, %error, "checkpoint delayed: journal busy");
        tokio::time::sleep(JOURNAL_RETRIES.wait(failures)).await;
    }
}
