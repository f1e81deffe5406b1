//! What came of the kills, in numbers that can be quoted.

use std::collections::BTreeMap;
use std::fmt;

/// What came of a round that lost nothing, which its end has seen to.
#[derive(Default)]
pub(super) struct Figures {
    pub(super) kills: BTreeMap<&'static str, usize>,
    pub(super) events: usize,
    /// Events that the cloud was asked to confirm, each time counted; all were safe.
    pub(super) confirms: usize,
    /// Events that the hook took once more.
    pub(super) repeats: u32,
    /// How often a kill fell between the hook's taking an event and the record of it.
    pub(super) exposed: u32,
    /// Occurrences that are new because no answer said that the one before was taken.
    pub(super) further: u32,
    /// Half lines left at the end of the file.
    pub(super) torn: u32,
}

impl Figures {
    pub(super) fn add(&mut self, other: Self) {
        for (point, kills) in other.kills {
            *self.kills.entry(point).or_default() += kills;
        }
        self.events += other.events;
        self.confirms += other.confirms;
        self.repeats += other.repeats;
        self.exposed += other.exposed;
        self.further += other.further;
        self.torn += other.torn;
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let points: Vec<String> =
            self.kills.iter().map(|(point, kills)| format!("{kills} {point}")).collect();
        let Self { events, confirms, repeats, exposed, further, torn, .. } = self;
        write!(
            f,
            "{kills} kills ({points})\n\
             {events} events: 0 lost; 0 twice in the file, which had {torn} half lines at its end; \
             {repeats} twice at the hook, of {exposed} that a kill caught taken and not recorded\n\
             {further} without a task delivered once more, each after a confirmation without an answer\n\
             {confirms} confirms looked into: 0 before the event was safe",
            kills = self.kills.values().sum::<usize>(),
            points = points.join(", "),
        )
    }
}
