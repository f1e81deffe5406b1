//! The end of a daemon whose journal is gone: what it still has open is kept.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::journal::{Journal, JournalError, Rescue};
use crate::systemd;

/// How long the disk may take to tell whether the files are in place.
const LOOK: Duration = Duration::from_secs(2);
/// Between tries to copy the journal: the disk may be full.
const RETRY: Duration = Duration::from_secs(5);
/// After this time no further try begins.
const LONGEST: Duration = Duration::from_secs(30 * 60);
/// Between two words to the service manager that it goes on, and what it is asked for each time.
const WORD: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60));

/// Looks a last time whether the journal's files are in place. If they are not, copies what is
/// open, trying until it can or is told to `stop`, and tells so. The service manager waits
/// meanwhile. What another daemon has is only told of. Tells whether it was one of both.
pub(super) async fn rescue_if_gone(journal: &Journal, stop: &CancellationToken) -> bool {
    let looked = timeout_at(Instant::now() + LOOK, journal.in_place()).await;
    if let Some(error @ JournalError::Taken(_)) = journal.health().error() {
        tracing::error!(
            %error,
            "the daemon ends; see to it that one alone is started on a journal, and that nothing \
             removes its lock file"
        );
        return true;
    }
    if !matches!(looked, Ok(Err(JournalError::Gone(_)))) && !journal.health().is_gone() {
        return false;
    }
    let mut words = interval(WORD.0);
    words.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let rescuing = rescue(journal, stop);
    tokio::pin!(rescuing);
    loop {
        tokio::select! {
            () = &mut rescuing => return true,
            _ = words.tick() => systemd::goes_on(WORD.1).await,
        }
    }
}

async fn rescue(journal: &Journal, stop: &CancellationToken) {
    let last = Instant::now() + LONGEST;
    loop {
        let may_pass = match journal.rescue().await {
            Ok(rescue) => tell(&rescue),
            Err(error) => {
                tracing::error!(%error, "cannot read the journal that is gone; nothing of it is kept");
                false
            }
        };
        let goes_on = may_pass && Instant::now() < last;
        if !goes_on || stop.run_until_cancelled(sleep(RETRY)).await.is_none() {
            return;
        }
    }
}

/// Tells what became of it, and whether another try makes sense.
fn tell(Rescue { copy, is_folder_gone, is_damaged, pending, unconfirmed }: &Rescue) -> bool {
    let lost = pending - unconfirmed;
    match copy {
        Ok((path, size)) => {
            tracing::error!(
                copy = %path.display(),
                %size,
                pending,
                hint = format!(
                    "`sprited journal restore {}` brings it back, `sprited run --new-journal` \
                     starts without it",
                    path.display()
                ),
                "rescued the journal that was gone; the daemon ends"
            );
            false
        }
        Err(error) if *is_folder_gone => {
            tracing::error!(
                %error,
                pending,
                unconfirmed,
                lost,
                "the journal's folder is gone as well, nothing is kept: of the events that are \
                 pending only the cloud still has those that are unconfirmed; the daemon ends"
            );
            false
        }
        Err(error) if *is_damaged => {
            tracing::error!(
                %error,
                pending,
                unconfirmed,
                lost,
                "the journal that is gone is damaged and cannot be copied; the daemon ends"
            );
            false
        }
        Err(error) => {
            tracing::error!(
                %error,
                pending,
                unconfirmed,
                "cannot copy the journal that is gone; tries until it can or is stopped: make room \
                 on its disk"
            );
            true
        }
    }
}
