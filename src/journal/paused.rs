//! What the journal keeps of a daemon that is paused by hand.
//!
//! To pause what is paused changes nothing: since when it is, stays.

use chrono::{DateTime, Utc};

use super::error::Result;
use super::handle::Journal;
use super::types::SinkId;

impl Journal {
    /// Pauses pulling `since` then, or resumes it (`None`), until this is called again, in whatever
    /// run of the daemon. It is on disk when this returns. Returns since when it was paused before.
    pub async fn set_pulling_paused(
        &self,
        since: Option<DateTime<Utc>>,
    ) -> Result<Option<DateTime<Utc>>> {
        self.write(move |store| store.set_paused(None, since)).await
    }

    /// Pauses the deliveries to `sink`, or resumes them, as [`Self::set_pulling_paused`] does with
    /// pulling.
    pub async fn set_sink_paused(
        &self,
        sink: SinkId,
        since: Option<DateTime<Utc>>,
    ) -> Result<Option<DateTime<Utc>>> {
        self.write(move |store| store.set_paused(Some(sink), since)).await
    }

    /// Resumes the deliveries to a sink that is not in use. Returns since when it was paused; `None`
    /// if it was not, or was never heard of.
    pub async fn resume_sink_named(&self, name: String) -> Result<Option<DateTime<Utc>>> {
        self.write(move |store| store.resume_sink_named(&name)).await
    }

    /// Returns since when pulling is paused.
    pub async fn pulling_paused(&self) -> Result<Option<DateTime<Utc>>> {
        self.read(|store| store.paused(None)).await
    }

    /// Returns since when `sink` is paused.
    pub async fn sink_paused(&self, sink: SinkId) -> Result<Option<DateTime<Utc>>> {
        self.read(move |store| store.paused(Some(sink))).await
    }
}
