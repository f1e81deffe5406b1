//! Events that follow one another in the journal: what is done to each of them is one statement.

use crate::journal::types::EventId;

/// The first and the last of each range of `events`, in any order.
pub(super) fn id_ranges(events: impl IntoIterator<Item = EventId>) -> Vec<(EventId, EventId)> {
    let mut events: Vec<EventId> = events.into_iter().collect();
    events.sort_unstable();
    let mut ranges: Vec<(EventId, EventId)> = Vec::new();
    for event in events {
        match ranges.last_mut() {
            Some((_, last)) if event.0 <= last.0 + 1 => *last = event,
            _ => ranges.push((event, event)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(events: &[i64]) -> Vec<(i64, i64)> {
        id_ranges(events.iter().copied().map(EventId))
            .iter()
            .map(|range| (range.0.0, range.1.0))
            .collect()
    }

    #[test]
    fn ranges_are_whole_and_hold_nothing_else() {
        assert_eq!(of(&[]), []);
        assert_eq!(of(&[7]), [(7, 7)]);
        assert_eq!(of(&[3, 1, 2, 2, 9, 5, 8]), [(1, 3), (5, 5), (8, 9)]);
    }
}
