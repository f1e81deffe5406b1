//! What the demo tells of each event, read from the cloud's ledger, the journal and the sink, and
//! the sums at its end: they add up, or something was lost or came twice.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use vod_emulator::{CreatedSprite, EmulatorControl, LedgerEntry, SourceApi, SpriteOrder};

use crate::cli::exit::print;
use crate::journal::{self, JournalReader};
use crate::sanitize::one_line;
use crate::units::counted;

pub(super) const JOURNAL: &str = "journal.db";
pub(super) const SPRITES: &str = "sprites.jsonl";

pub(super) struct Story {
    cloud: EmulatorControl,
    folder: PathBuf,
    waiting: VecDeque<CreatedSprite>,
    made: u32,
    told: u32,
    /// Lines of the sink that were not told yet, by the task of their first sprite.
    arrived: HashMap<String, Line>,
    /// How much of the sink's file was read.
    read: u64,
    lines: u64,
    keys: HashSet<String>,
}

/// A line of the sink's file, as far as it is told.
#[derive(Deserialize)]
struct Line {
    id: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    sprites: Vec<Sprite>,
}

#[derive(Deserialize)]
struct Sprite {
    task_id: String,
    tile_count: Option<i64>,
    sheets: Vec<String>,
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    code: String,
    message: String,
}

impl Story {
    pub(super) fn new(cloud: EmulatorControl, folder: &Path) -> Self {
        Self {
            cloud,
            folder: folder.to_owned(),
            waiting: VecDeque::new(),
            made: 0,
            told: 0,
            arrived: HashMap::new(),
            read: 0,
            lines: 0,
            keys: HashSet::new(),
        }
    }

    pub(super) fn made(&self) -> u32 {
        self.made
    }

    /// Events whose way was told to its end.
    pub(super) fn told(&self) -> u32 {
        self.told
    }

    pub(super) fn begin(&self, url: &str) -> std::io::Result<()> {
        let text = format!(
            "An emulator of Tencent Cloud VOD finishes an image-sprite task each second. sprited pulls\n\
             the event, stores it, brings it to the sink, and only then confirms it.\n\n  \
             cloud    {url}\n  \
             journal  {}\n  \
             sink     {}\n\n",
            self.folder.join(JOURNAL).display(),
            self.folder.join(SPRITES).display(),
        );
        print(text.as_bytes())
    }

    pub(super) fn make(&mut self, order: &SpriteOrder) -> anyhow::Result<()> {
        // One task at a time would never be the fifth: whose turn it is to fail is counted here.
        let fails = order.fail_every > 0 && (self.made + 1).is_multiple_of(order.fail_every);
        let order = SpriteOrder { fail_every: u32::from(fails), ..order.clone() };
        let made = self.cloud.add_sprites(&order).context("the demo's cloud made no event")?;
        self.made += order.count;
        self.waiting.extend(made);
        Ok(())
    }

    pub(super) fn go_on(&mut self) -> anyhow::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        // The ledger first: what is confirmed by it is in the file that is read after it.
        let ledger = self.cloud.ledger();
        self.read_lines()?;
        while let Some(made) = self.waiting.front() {
            let Some(record) = ledger.event(made.event) else { return Ok(()) };
            let Some(confirmed) = &record.confirmed else { return Ok(()) };
            let line = self.arrived.remove(&made.task_id);
            self.told += 1;
            print(tell(self.told, made, record, confirmed.at, line.as_ref()).as_bytes())?;
            self.waiting.pop_front();
        }
        Ok(())
    }

    /// The sums of what happened: by the cloud's ledger, by the journal and by the sink's file.
    pub(super) fn sums(&mut self) -> anyhow::Result<Sums> {
        let totals = self.cloud.totals();
        let journal = JournalReader::open(&self.folder.join(JOURNAL))?.sums()?;
        self.read_lines()?;
        Ok(Sums {
            made: totals.added,
            handed_out_again: totals.handed_out_again,
            confirmed: totals.confirmed,
            journal,
            lines: self.lines,
            different_lines: self.keys.len() as u64,
        })
    }

    pub(super) fn end(&self, sums: &Sums) -> std::io::Result<()> {
        print(sums.to_string().as_bytes())
    }

    fn read_lines(&mut self) -> anyhow::Result<()> {
        let path = self.folder.join(SPRITES);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).context(path.display().to_string()),
        };
        let mut text = String::new();
        file.seek(SeekFrom::Start(self.read))?;
        file.read_to_string(&mut text)?;
        // The last line may be in the making.
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        self.read += whole.len() as u64;
        for line in whole.lines() {
            let line: Line = serde_json::from_str(line)?;
            self.lines += 1;
            self.keys.insert(line.id.clone());
            if let Some(sprite) = line.data.sprites.first() {
                self.arrived.insert(sprite.task_id.clone(), line);
            }
        }
        Ok(())
    }
}

fn tell(
    number: u32,
    made: &CreatedSprite,
    record: &LedgerEntry,
    confirmed: DateTime<Utc>,
    line: Option<&Line>,
) -> String {
    let event = match made.source_api {
        SourceApi::Create => "CreateImageSpriteComplete",
        SourceApi::Procedure => "ProcedureStateChanged",
    };
    let pulled = record.hand_outs.last().map_or(record.added, |hand_out| hand_out.at);
    let after = |at: DateTime<Utc>| (at - record.added).num_milliseconds();
    format!(
        "{number:>3}  {event} of file {}\n     \
         {:>4} ms  pulled\n              \
         {}\n     \
         {:>4} ms  confirmed: the cloud has forgotten it\n",
        made.file_id,
        after(pulled),
        line.map_or("NOT IN THE SINK".to_owned(), in_the_sink),
        after(confirmed),
    )
}

fn in_the_sink(line: &Line) -> String {
    let key = line.id.get(..12).unwrap_or(&line.id);
    let sprites = line.data.sprites.iter().map(|sprite| match &sprite.error {
        Some(Failure { code, message }) => format!("failed with {code} ({message})"),
        None => format!(
            "{} tiles on {}, {}",
            sprite.tile_count.unwrap_or_default(),
            counted(sprite.sheets.len() as u64, "sheet"),
            sprite.sheets.first().map_or("-", String::as_str)
        ),
    });
    // The emulator takes events from whoever reaches it.
    one_line(&format!("in the sink, key {key}: {}", sprites.collect::<Vec<_>>().join("; ")))
}

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
