//! The sums at the end of the demo: they add up, or something was lost or came twice.

use std::fmt;

use crate::journal;

/// The mirror, and the file that comes after it.
const SINKS: u64 = 2;

/// What the cloud counted.
#[derive(Clone, Debug)]
pub(super) struct CloudSums {
    /// Events that it made.
    pub(super) made: u64,
    /// How often one was handed out or posted once more.
    pub(super) repeated: u64,
    /// Events that were confirmed, or answered with 200.
    pub(super) settled: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Sums {
    /// Whether events were posted.
    pub(super) is_push: bool,
    pub(super) cloud: CloudSums,
    pub(super) journal: journal::JournalTotals,
    pub(super) lines: u64,
    pub(super) different_lines: u64,
}

impl Sums {
    /// Whether each event that was made is in the journal, delivered to both sinks, once in the file,
    /// and settled.
    pub(super) fn add_up(&self) -> bool {
        let journal = &self.journal;
        let all = [journal.received, self.lines, self.different_lines, self.cloud.settled];
        // What was posted is never confirmed.
        let confirmed = if self.is_push { 0 } else { self.cloud.made };
        all.iter().all(|sum| *sum == self.cloud.made)
            && journal.delivered == self.cloud.made * SINKS
            && journal.confirmed == confirmed
            && journal.pending == 0
            && journal.dead == 0
            && journal.unrouted == 0
    }
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let journal = &self.journal;
        writeln!(f, "\nThe sums, as the cloud, the journal and the sink have them:\n")?;
        let (repeated, settled) = if self.is_push {
            ("posted more than once", "answered with 200")
        } else {
            ("handed out more than once", "confirmed, by the cloud")
        };
        for (what, sum) in [
            ("finished by the cloud", self.cloud.made),
            (repeated, self.cloud.repeated),
            ("stored in the journal", journal.received),
            ("deliveries, to two sinks", journal.delivered),
            ("pending or dead", journal.pending + journal.dead),
            ("lines in the sink", self.lines),
            ("different events in it", self.different_lines),
            (settled, self.cloud.settled),
        ] {
            writeln!(f, "  {what:<27}{sum:>5}")?;
        }
        let verdict = if self.add_up() {
            "They add up: nothing was lost, nothing came twice."
        } else {
            "THEY DO NOT ADD UP: this is a fault of sprited, please report it."
        };
        writeln!(f, "\n{verdict}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_a_repeated_and_an_unconfirmed_event_each_show() {
        let journal = journal::JournalTotals {
            received: 3,
            routed: 6,
            delivered: 6,
            confirmed: 3,
            ..Default::default()
        };
        let sums = Sums {
            is_push: false,
            cloud: CloudSums { made: 3, repeated: 1, settled: 3 },
            journal,
            lines: 3,
            different_lines: 3,
        };
        assert!(sums.add_up());
        assert!(!Sums { lines: 2, different_lines: 2, ..sums.clone() }.add_up());
        assert!(!Sums { lines: 4, ..sums.clone() }.add_up());
        let unsettled = CloudSums { settled: 2, ..sums.cloud.clone() };
        assert!(!Sums { cloud: unsettled, ..sums.clone() }.add_up());
        let pending = journal::JournalTotals { delivered: 5, pending: 1, ..journal };
        assert!(!Sums { journal: pending, ..sums.clone() }.add_up());
        let more = CloudSums { made: 4, ..sums.cloud.clone() };
        assert!(Sums { cloud: more, ..sums.clone() }.to_string().contains("DO NOT ADD UP"));
        // Posted: the journal has no confirmations then.
        let posted = Sums { is_push: true, ..sums };
        assert!(!posted.add_up());
        let journal = journal::JournalTotals { confirmed: 0, ..journal };
        assert!(Sums { journal, ..posted }.add_up());
    }
}
