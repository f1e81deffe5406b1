//! The events to be changed at one sink: found anew whenever they are gone through, a page at a
//! time, so that memory does not grow with their number.

use crate::cli::open_journal::CliError;
use crate::event::Wanted;
use crate::journal::{EventId, EventRow, Filter, JournalReader, KnownSink};

/// Events read at once with their bodies, of which any number may be large.
const PAGE_WITH_BODIES: usize = 100;
/// Events read at once without.
const PAGE_OF_IDS: usize = 5000;

#[derive(Debug)]
pub(super) struct TargetEvents {
    pub(super) sink: KnownSink,
    which: Which,
}

#[derive(Debug)]
enum Which {
    /// These, and whether their bodies were pruned.
    These(Vec<(EventId, bool)>),
    /// What was stored by now and one of the filters holds for; of that, what is wanted.
    Any { filters: Vec<Filter>, wanted: Option<Wanted> },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Chosen {
    /// With their bodies.
    pub(super) events: u64,
    /// Without, so that nothing can be delivered.
    pub(super) without_body: u64,
}

impl TargetEvents {
    pub(super) fn these(sink: KnownSink) -> Self {
        Self { sink, which: Which::These(Vec::new()) }
    }

    pub(super) fn push(&mut self, found: &EventRow) {
        if let Which::These(events) = &mut self.which {
            events.push((found.id, found.is_pruned));
        }
    }

    /// What was stored up to now and one of `filters` holds for, no event for two of them; of
    /// that, what is `wanted`, if that is asked.
    pub(super) fn any(
        reader: &JournalReader,
        sink: KnownSink,
        mut filters: Vec<Filter>,
        wanted: Option<Wanted>,
    ) -> Result<Self, CliError> {
        let next = EventId(reader.last()?.0 + 1);
        for filter in &mut filters {
            filter.before = Some(next);
        }
        Ok(Self { sink, which: Which::Any { filters, wanted } })
    }

    /// Hands the events to `work`, oldest first, at most `at_once` of them. Fails when the journal
    /// cannot be read, or `work` fails.
    pub(super) fn each(
        &self,
        reader: &JournalReader,
        at_once: usize,
        mut work: impl FnMut(&[EventId]) -> Result<(), CliError>,
    ) -> Result<Chosen, CliError> {
        let mut chosen = Chosen::default();
        let mut page = |events: &[(EventId, bool)]| {
            let whole: Vec<_> =
                events.iter().filter(|(_, is_pruned)| !is_pruned).map(|(id, _)| *id).collect();
            chosen.events += whole.len() as u64;
            chosen.without_body += (events.len() - whole.len()) as u64;
            whole.chunks(at_once).try_for_each(&mut work)
        };
        match &self.which {
            Which::These(events) => page(events)?,
            Which::Any { filters, wanted } => {
                for filter in filters {
                    pages(reader, filter.clone(), wanted.as_ref(), &mut page)?;
                }
            }
        }
        Ok(chosen)
    }

    /// Counts the events.
    pub(super) fn count(&self, reader: &JournalReader) -> Result<Chosen, CliError> {
        self.each(reader, usize::MAX, |_| Ok(()))
    }
}

fn pages(
    reader: &JournalReader,
    mut filter: Filter,
    wanted: Option<&Wanted>,
    page: &mut impl FnMut(&[(EventId, bool)]) -> Result<(), CliError>,
) -> Result<(), CliError> {
    loop {
        let (events, last) = match wanted {
            None => {
                let events = reader.ids(&filter, PAGE_OF_IDS)?;
                let last = events.last().map(|event| event.0);
                (events, last)
            }
            Some(wanted) => {
                let found = reader.list_oldest(&filter, PAGE_WITH_BODIES)?;
                let last = found.last().map(|found| found.id);
                // The sprites of a pruned event are unknown.
                let is_wanted = |found: &&EventRow| found.is_pruned || wanted.matches(&found.event);
                let events = found.iter().filter(is_wanted);
                (events.map(|found| (found.id, found.is_pruned)).collect(), last)
            }
        };
        if last.is_none() {
            return Ok(());
        }
        page(&events)?;
        filter.after = last;
    }
}
