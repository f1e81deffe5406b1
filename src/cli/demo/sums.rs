//! The sums at the end of the demo: they add up, or something was lost or came twice.

use std::fmt;

use crate::journal;

#[derive(Clone, Debug)]
pub(super) struct Sums {
    pub(super) made: u64,
    pub(super) handed_out_again: u64,
    pub(super) confirmed: u64,
    pub(super) journal: journal::JournalTotals,
    pub(super) lines: u64,
    pub(super) different_lines: u64,
}

impl Sums {
    /// Whether each event that was made is in the journal, once in the sink, and confirmed.
    pub(super) fn add_up(&self) -> bool {
        let journal = &self.journal;
        let all = [
            journal.received,
            journal.delivered,
            journal.confirmed,
            self.lines,
            self.different_lines,
            self.confirmed,
        ];
        all.iter().all(|sum| *sum == self.made)
            && journal.pending == 0
            && journal.dead == 0
            && journal.unrouted == 0
    }
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let journal = &self.journal;
        writeln!(f, "\nThe sums, as the cloud, the journal and the sink have them:\n")?;
        for (what, sum) in [
            ("finished by the cloud", self.made),
            ("handed out more than once", self.handed_out_again),
            ("stored in the journal", journal.received),
            ("delivered, by the journal", journal.delivered),
            ("pending or dead", journal.pending + journal.dead),
            ("lines in the sink", self.lines),
            ("different events in it", self.different_lines),
            ("confirmed, by the cloud", self.confirmed),
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
            routed: 3,
            delivered: 3,
            confirmed: 3,
            ..Default::default()
        };
        let sums = Sums {
            made: 3,
            handed_out_again: 1,
            confirmed: 3,
            journal,
            lines: 3,
            different_lines: 3,
        };
        assert!(sums.add_up());
        assert!(!Sums { lines: 2, different_lines: 2, ..sums.clone() }.add_up());
        assert!(!Sums { lines: 4, ..sums.clone() }.add_up());
        assert!(!Sums { confirmed: 2, ..sums.clone() }.add_up());
        let pending = journal::JournalTotals { delivered: 2, pending: 1, ..journal };
        assert!(!Sums { journal: pending, ..sums.clone() }.add_up());
        assert!(Sums { made: 4, ..sums }.to_string().contains("DO NOT ADD UP"));
    }
}
