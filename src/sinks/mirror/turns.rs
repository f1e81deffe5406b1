//! One delivery at a time for each place in the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::sync::lock;

/// Who has a turn, by the name of what is worked on; no more names than deliveries are under way.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<String, Weak<AsyncMutex<()>>>>);

impl Turns {
    /// Waits for the turn at `name`; it ends with what is returned. May be cancelled.
    pub(super) async fn take(&self, name: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = lock(&self.0);
            turns.retain(|_, turn| turn.strong_count() > 0);
            let current = turns.get(name).and_then(Weak::upgrade);
            current.unwrap_or_else(|| {
                let turn = Arc::default();
                turns.insert(name.to_owned(), Arc::downgrade(&turn));
                turn
            })
        };
        turn.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_has_the_turn_until_it_is_over_and_nothing_is_kept() {
        let turns = Turns::default();
        let short = Duration::from_secs(1);
        let first = turns.take("a").await;
        drop(timeout(short, turns.take("b")).await.unwrap());
        // One that gives up leaves the turn to the others.
        assert!(timeout(short, turns.take("a")).await.is_err());
        drop(first);
        let second = timeout(short, turns.take("a")).await.unwrap();
        assert!(timeout(short, turns.take("a")).await.is_err());
        drop(second);
        drop(turns.take("c").await);
        assert_eq!(lock(&turns.0).len(), 1);
    }
}
