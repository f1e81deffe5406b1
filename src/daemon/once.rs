//! When a run that is to happen once is done.

use futures_util::future::select_all;
use tokio::sync::watch;

use super::End;
use crate::journal::Journal;
use crate::poller::Progress;
use crate::vod::Advice;

/// Failed pulls in a row after which a run that is to happen once gives up.
const MAX_FAILURES: u32 = 3;

/// Failed appends in a row after which it gives up: some seconds, in which room may be made.
const MAX_FAILED_APPENDS: u64 = 10;

/// Waits until the queue was found empty and nothing is left to do, or cannot be done now.
/// `idles` tell of each loop behind the poller whether it has nothing under way.
pub(super) async fn until_done(
    journal: &Journal,
    mut progress: watch::Receiver<Progress>,
    mut idles: Vec<watch::Receiver<bool>>,
) -> End {
    let mut found_empty = 0;
    loop {
        let Progress { empty, failures, trouble, failed_appends, .. } =
            *progress.borrow_and_update();
        if failures >= MAX_FAILURES {
            return match trouble {
                Some(Advice::Credentials) => End::Credentials,
                _ => End::Unreachable,
            };
        }
        if failed_appends >= MAX_FAILED_APPENDS {
            return End::Unwritable;
        }
        let all_idle = idles.iter_mut().all(|idle| *idle.borrow_and_update());
        if empty > found_empty && all_idle {
            match journal.pending().await {
                Ok(0) => return End::Clean,
                // All of it was tried: what is left waits for its next try.
                Ok(_) => return End::SomethingStays,
                // The pull that follows finds out whether the journal works again.
                Err(_) => found_empty = empty,
            }
        }
        let idle_changed = select_all(idles.iter_mut().map(|idle| Box::pin(idle.changed())));
        tokio::select! {
            changed = progress.changed() => if changed.is_err() { return End::Unreachable },
            (changed, _, _) = idle_changed => if changed.is_err() { return End::SomethingStays },
        }
    }
}
