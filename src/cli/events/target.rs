//! The events to be changed at one sink: found anew whenever they are gone through, a page at a
//! time, so that memory does not grow with their number.

use crate::cli::open_journal::CliError;
use crate::event::{Event, ImageSprite, SpriteStatus, Wanted};
use crate::journal::{EventId, EventRow, Filter, JournalReader, KnownSink};

/// Events read at once with their bodies, of which any number may be large.
const PAGE_WITH_BODIES: usize = 100;
/// Events read at once without.
const PAGE_OF_IDS: usize = 5000;

#[derive(Debug)]
pub(in crate::cli) struct TargetEvents {
    pub(super) sink: KnownSink,
    which: Which,
}

#[derive(Debug)]
enum Which {
    /// These, and whether their bodies were pruned.
    These(Vec<(EventId, bool)>),
    /// What was stored by now and one of the filters holds for; of that, what is chosen.
    Any { filters: Vec<Filter>, choice: Choice },
}

/// Which events of those that a filter holds for.
#[derive(Debug)]
pub(in crate::cli) enum Choice {
    All,
    /// What a sink wants.
    Wanted(Wanted),
    /// Of what a mirror wants, the events with a sprite that there is something of.
    WithSprites(Wanted),
}

impl Choice {
    /// `None` if that takes no look at the event.
    fn test(&self) -> Option<impl Fn(&Event) -> bool> {
        let (wanted, with_sprites) = match self {
            Self::All => return None,
            Self::Wanted(wanted) => (wanted, false),
            Self::WithSprites(wanted) => (wanted, true),
        };
        let is_there = |sprite: &ImageSprite| {
            sprite.status == SpriteStatus::Success && sprite.vtt_url.is_some()
        };
        Some(move |event: &Event| {
            wanted.matches(event) && (!with_sprites || event.sprites.iter().any(is_there))
        })
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Chosen {
    /// With their bodies.
    pub(in crate::cli) events: u64,
    /// Without, so that nothing can be delivered.
    pub(in crate::cli) without_body: u64,
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
    /// that, what is chosen.
    pub(in crate::cli) fn any(
        reader: &JournalReader,
        sink: KnownSink,
        mut filters: Vec<Filter>,
        choice: Choice,
    ) -> Result<Self, CliError> {
        let next = EventId(reader.last()?.0 + 1);
        for filter in &mut filters {
            filter.before = Some(next);
        }
        Ok(Self { sink, which: Which::Any { filters, choice } })
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
            Which::Any { filters, choice } => {
                for filter in filters {
                    pages(reader, filter.clone(), choice, &mut page)?;
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
    choice: &Choice,
    page: &mut impl FnMut(&[(EventId, bool)]) -> Result<(), CliError>,
) -> Result<(), CliError> {
    loop {
        let (events, last) = match choice.test() {
            None => {
                let events = reader.ids(&filter, PAGE_OF_IDS)?;
                let last = events.last().map(|event| event.0);
                (events, last)
            }
            Some(is_chosen) => {
                let found = reader.list_oldest(&filter, PAGE_WITH_BODIES)?;
                let last = found.last().map(|found| found.id);
                // The sprites of a pruned event are unknown.
                let is_chosen = |found: &&EventRow| found.is_pruned || is_chosen(&found.event);
                let events = found.iter().filter(is_chosen);
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
