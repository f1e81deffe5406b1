//! What the demo tells of each event, read from the cloud's ledger, the journal and the sink.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use vod_emulator::{CreatedSprite, EmulatorControl, LedgerEntry, SourceApi, SpriteOrder};

use super::sums::{CloudSums, Sums};
use crate::cli::exit::print;
use crate::journal::JournalReader;
use crate::sanitize::one_line;
use crate::units::counted;

pub(super) const JOURNAL: &str = "journal.db";
pub(super) const SPRITES: &str = "sprites.jsonl";
pub(super) const MIRROR: &str = "mirror";

/// Said at the end of a demo whose pages are gone.
const HOW_TO_SCRUB: &str = "\nTo scrub through a sprite in a browser: sprited demo --keep\n";

pub(super) struct Story {
    cloud: EmulatorControl,
    folder: PathBuf,
    /// Whether the cloud posts its events.
    is_push: bool,
    waiting: VecDeque<CreatedSprite>,
    made: u32,
    told: u32,
    /// Lines of the sink that were not told yet, by the task of their first sprite.
    arrived: HashMap<String, Line>,
    /// How much of the sink's file was read.
    read: u64,
    lines: u64,
    keys: HashSet<String>,
    /// The last sprite that has tiles.
    last_sprite: Option<String>,
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
    id: String,
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
    pub(super) fn new(cloud: EmulatorControl, folder: &Path, is_push: bool) -> Self {
        Self {
            cloud,
            folder: folder.to_owned(),
            is_push,
            waiting: VecDeque::new(),
            made: 0,
            told: 0,
            arrived: HashMap::new(),
            read: 0,
            lines: 0,
            keys: HashSet::new(),
            last_sprite: None,
        }
    }

    pub(super) fn made(&self) -> u32 {
        self.made
    }

    /// Events whose way was told to its end.
    pub(super) fn told(&self) -> u32 {
        self.told
    }

    pub(super) fn begin(&self, url: &str, pages: &str) -> std::io::Result<()> {
        let what = if self.is_push {
            "and posts\n\
             the event, signed. sprited stores it, only then answers 200, copies the sprite's sheets\n\
             to the mirror, and brings the event to the sink."
        } else {
            "sprited pulls\n\
             the event, stores it, copies the sprite's sheets to the mirror, brings the event to the\n\
             sink, and only then confirms it."
        };
        let end = if self.is_push { "" } else { "." };
        let text = format!(
            "An emulator of Tencent Cloud VOD finishes an image-sprite task each second{end} {what}\n\n  \
             cloud    {url}\n  \
             journal  {}\n  \
             mirror   {}\n  \
             sink     {}\n  \
             page     {pages}\n\n",
            self.folder.join(JOURNAL).display(),
            self.folder.join(MIRROR).display(),
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
            let Some(journey) = Journey::of(record) else { return Ok(()) };
            // A 200 says nothing of the sink, a confirmation does.
            if self.is_push && !self.arrived.contains_key(&made.task_id) {
                return Ok(());
            }
            let line = self.arrived.remove(&made.task_id);
            self.told += 1;
            print(journey.tell(self.told, made, line.as_ref()).as_bytes())?;
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
            cloud: if self.is_push {
                CloudSums {
                    made: totals.added,
                    repeated: totals.pushed.tries.saturating_sub(totals.pushed.events),
                    settled: totals.pushed.answered,
                }
            } else {
                CloudSums {
                    made: totals.added,
                    repeated: totals.handed_out_again,
                    settled: totals.confirmed,
                }
            },
            is_push: self.is_push,
            journal,
            lines: self.lines,
            different_lines: self.keys.len() as u64,
        })
    }

    /// Says where a sprite can be looked at; each event has come to its sink by then.
    pub(super) fn invite(&self, pages: &str) -> std::io::Result<()> {
        let sprite = self.last_sprite.as_deref().unwrap_or_default();
        print(
            format!(
                "\nScrub through the last sprite, until Ctrl-C:\n\n  {pages}/sprites/{sprite}\n"
            )
            .as_bytes(),
        )
    }

    /// Tells the sums; where the pages were not left open, also how to see them.
    pub(super) fn end(&self, sums: &Sums, was_kept: bool) -> std::io::Result<()> {
        print(sums.to_string().as_bytes())?;
        if was_kept { Ok(()) } else { print(HOW_TO_SCRUB.as_bytes()) }
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
                if sprite.error.is_none() {
                    self.last_sprite = Some(sprite.id.clone());
                }
                self.arrived.insert(sprite.task_id.clone(), line);
            }
        }
        Ok(())
    }
}

/// What the cloud knows of the way of an event, as lines.
struct Journey {
    arrival: String,
    settled: String,
    /// Whether it is settled before it has to be in the sink.
    is_settled_early: bool,
}

impl Journey {
    /// `None` where it is not settled.
    fn of(record: &LedgerEntry) -> Option<Self> {
        let line = |at: DateTime<Utc>, what: &str| {
            format!("{:>4} ms  {what}", (at - record.added).num_milliseconds())
        };
        if let Some(push) = &record.pushed {
            let posted = push.tries.last().map_or(record.added, |last| last.at);
            return Some(Self {
                arrival: line(posted, "posted"),
                settled: line(push.answered?, "answered with 200: the cloud has forgotten it"),
                is_settled_early: true,
            });
        }
        let confirmed = record.confirmed.as_ref()?.at;
        let pulled = record.hand_outs.last().map_or(record.added, |hand_out| hand_out.at);
        Some(Self {
            arrival: line(pulled, "pulled"),
            settled: line(confirmed, "confirmed: the cloud has forgotten it"),
            is_settled_early: false,
        })
    }

    fn tell(self, number: u32, made: &CreatedSprite, line: Option<&Line>) -> String {
        let event = match made.source_api {
            SourceApi::Create => "CreateImageSpriteComplete",
            SourceApi::Procedure => "ProcedureStateChanged",
        };
        let sink = line.map_or("NOT IN THE SINK".to_owned(), in_the_sink);
        let mut ends = [format!("         {sink}"), self.settled];
        if self.is_settled_early {
            ends.reverse();
        }
        let [second, third] = ends;
        format!(
            "{number:>3}  {event} of file {}\n     {}\n     {second}\n     {third}\n",
            made.file_id, self.arrival,
        )
    }
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
