//! What reconciliation has the journal keep.

use chrono::{DateTime, Utc};

use super::error::Result;
use super::handle::Journal;
use crate::event::AppId;

impl Journal {
    /// Records that a daemon has these applications from `now` on, of those that none had before.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn set_begun(&self, apps: Vec<AppId>, now: DateTime<Utc>) -> Result<()> {
        self.write(move |store| store.set_begun(&apps, now)).await
    }

    /// Records that the journal has every event of the tasks of `app` that finished before `until`.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn set_reconciled(&self, app: AppId, until: DateTime<Utc>) -> Result<()> {
        self.write(move |store| store.set_reconciled(app, until)).await
    }
}
