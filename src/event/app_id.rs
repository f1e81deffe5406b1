//! Which application an event is of.

use std::fmt;

/// A VOD application: the SubAppId events are pulled from. 0 stands for the account's primary
/// application, for which no SubAppId is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct AppId(pub u64);

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
