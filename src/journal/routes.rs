//! Which sinks there are, and where fresh events go: can change from one append to the next.

use super::job::Job;
use super::{FeedSender, Journal, Result, SinkId};
use crate::event::Wanted;

/// A sink as the journal sees it: what it wants and how fresh events reach it.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its number.
    pub sink: SinkId,
    /// The events it wants.
    pub wanted: Wanted,
    /// Its feed.
    pub feed: FeedSender,
}

impl Journal {
    /// The numbers of these sinks, in the same order. Changes nothing for the sinks that have
    /// routes: a name is known here before events go there.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn register(&self, names: Vec<String>) -> Result<Vec<SinkId>> {
        self.ask(|reply| Job::Register { names, reply }).await
    }

    /// Sets where fresh events go, from the next append on: each goes by the old routes or by the
    /// new ones. All sinks without a route become orphans, whose rows stay but hold nothing up.
    ///
    /// # Errors
    /// When the journal cannot be written; the routes then stay as they were.
    pub async fn set_routes(&self, routes: Vec<Route>) -> Result<()> {
        self.ask(|reply| Job::SetRoutes { routes, reply }).await
    }
}
