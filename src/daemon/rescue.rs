//! The end of a daemon whose journal is gone: what it still has open is copied.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::systemd;
use crate::journal::{Journal, JournalError, Rescue};

/// How long the disk may take to show whether the files are in place.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// Between tries to copy the journal: the disk may be full.
const COPY_RETRY: Duration = Duration::from_secs(5);
/// After this time no further try begins.
const COPY_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// Between two requests to the service manager for more time.
const EXTENSION_INTERVAL: Duration = Duration::from_secs(10);
/// What it is asked for each time.
const EXTENSION: Duration = Duration::from_secs(60);

/// Checks a last time whether the journal's files are in place. If they are not, copies what is
/// open, retrying until it can or is told to `stop`; the service manager waits meanwhile. A journal
/// that another daemon has is left alone. Returns whether the journal was gone in either way.
pub(super) async fn rescue_if_gone(journal: &Journal, stop: &CancellationToken) -> bool {
    let checked = timeout_at(Instant::now() + CHECK_TIMEOUT, journal.in_place()).await;
    if let Some(error @ JournalError::Taken(_)) = journal.health().error() {
        tracing::error!(
            %error,
            "ending: make sure that a single daemon is started on a journal, and that nothing removes \
             its lock file"
        );
        return true;
    }
    if !matches!(checked, Ok(Err(JournalError::Gone(_)))) && !journal.health().is_gone() {
        return false;
    }
    let mut extensions = interval(EXTENSION_INTERVAL);
    extensions.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let rescuing = rescue(journal, stop);
    tokio::pin!(rescuing);
    loop {
        tokio::select! {
            () = &mut rescuing => return true,
            _ = extensions.tick() => systemd::extend_timeout(EXTENSION).await,
        }
    }
}

async fn rescue(journal: &Journal, stop: &CancellationToken) {
    let last = Instant::now() + COPY_TIMEOUT;
    loop {
        let may_pass = match journal.rescue().await {
            Ok(rescue) => report(&rescue),
            Err(error) => {
                tracing::error!(%error, "journal gone and unreadable; nothing of it is kept");
                false
            }
        };
        let goes_on = may_pass && Instant::now() < last;
        if !goes_on || stop.run_until_cancelled(sleep(COPY_RETRY)).await.is_none() {
            return;
        }
    }
}

/// Logs the outcome, and returns whether to try again.
fn report(Rescue { copy, is_folder_gone, is_damaged, pending, unconfirmed }: &Rescue) -> bool {
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
                "journal gone; rescued to a copy; ending"
            );
            false
        }
        Err(error) if *is_folder_gone || *is_damaged => {
            let what = if *is_folder_gone {
                "journal and its folder gone; nothing is kept: of the pending events only the \
                 unconfirmed are left, in the cloud; ending"
            } else {
                "journal gone, damaged and not copied; ending"
            };
            tracing::error!(%error, pending, unconfirmed, lost, "{what}");
            false
        }
        Err(error) => {
            tracing::error!(
                %error,
                pending,
                unconfirmed,
                "journal gone and not copied; retrying: make room on its disk"
            );
            true
        }
    }
}
