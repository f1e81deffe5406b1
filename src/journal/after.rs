//! What a sink waits for that gets an event after another sink.

use schemars::JsonSchema;
use serde::Deserialize;

use super::types::SinkId;
use crate::event::AfterState;

/// What the sink before must have done with an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum On {
    /// It has taken it, given it up, or it was taken from it.
    #[default]
    Settled,
    /// It has taken it.
    Delivered,
    /// It has given it up.
    Dead,
}

impl On {
    /// Whether an event goes on that was settled so.
    #[must_use]
    pub fn covers(self, state: AfterState) -> bool {
        match self {
            Self::Settled => true,
            Self::Delivered => state == AfterState::Delivered,
            Self::Dead => state == AfterState::Dead,
        }
    }
}

/// The sink that another one comes after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteAfter {
    /// Its number.
    pub sink: SinkId,
    /// What it must have done with an event.
    pub on: On,
}

impl RouteAfter {
    /// Finds the sink by its name among those in use.
    pub fn find<'s>(
        name: &str,
        on: On,
        in_use: impl IntoIterator<Item = (&'s str, SinkId)>,
    ) -> Option<Self> {
        let mut in_use = in_use.into_iter();
        in_use.find(|(other, _)| *other == name).map(|(_, sink)| Self { sink, on })
    }
}
