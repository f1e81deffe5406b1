//! Image-sprite tasks whose results can be looked at.
//!
//! Owns the making of sprite events on both roads, and the files their URLs lead to: a sheet is
//! drawn and a WebVTT file written when somebody asks for it, from nothing but its URL. Knows
//! nothing of the rest of the emulator.

mod event;
mod png;

use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::handle::scramble;

/// The preset template 10: one tile each ten seconds, ten by ten tiles a sheet.
const DEFINITION: u32 = 10;
const TILE: (u32, u32) = (142, 80);
const COLUMNS: u32 = 10;
const TILES_PER_SHEET: u32 = 100;
const SECONDS_PER_TILE: u32 = 10;

/// The most tiles a task may have: more than a day of video.
const MAX_TILES: u32 = 10_000;

/// The path that the URLs of sprites begin with.
pub(super) const PATH: &str = "/sprites/";

/// Which event reports a finished sprite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Road {
    /// CreateImageSpriteComplete, from tasks of the API of 2017.
    Create,
    /// ProcedureStateChanged with an ImageSpriteTask, from all other tasks.
    Procedure,
}

/// An order for sprite tasks; all of it may be left out in JSON.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Order {
    /// In which application; by default in the first.
    pub app: Option<u64>,
    /// How many.
    pub count: u32,
    /// Of how many different videos; by default each task is of its own.
    pub files: Option<u32>,
    /// By which event they are reported; by default by both in turn.
    pub road: Option<Road>,
    /// Tiles of each, from 1 to 10,000; by default different for each.
    pub tiles: Option<u32>,
    /// Each task whose turn this is fails; 0: none does.
    pub fail_every: u32,
    /// How long until they can be pulled.
    #[serde(with = "humantime_serde")]
    pub delay: Duration,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            app: None,
            count: 1,
            files: None,
            road: None,
            tiles: None,
            fail_every: 10,
            delay: Duration::ZERO,
        }
    }
}

/// A sprite task that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Made {
    /// The number of its event.
    pub event: u64,
    /// Which event reports it.
    pub road: Road,
    /// Its TaskId.
    pub task_id: String,
    /// The FileId of its video.
    pub file_id: String,
    /// Whether it failed; then it has no sheets and no VTT file.
    pub failed: bool,
    /// The URLs of its sheets, in order.
    pub sheets: Vec<String>,
    /// The URL of its VTT file.
    pub vtt_url: Option<String>,
}

/// A sprite task, as few numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Task {
    road: Road,
    /// Tells it from every other task of every emulator.
    number: u64,
    file: u64,
    tiles: u32,
    failed: bool,
    finished: DateTime<Utc>,
}

/// Makes tasks, each different.
#[derive(Debug)]
pub(super) struct Sprites {
    seed: u64,
    made: u64,
}

impl Sprites {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, made: 0 }
    }

    /// The next task of an order.
    pub(super) fn make(&mut self, order: &Order, now: DateTime<Utc>) -> Task {
        self.made += 1;
        let number = scramble(self.seed.wrapping_add(self.made));
        let file = order.files.map_or(self.made, |files| self.made % u64::from(files.max(1)));
        let road = order.road.unwrap_or(if self.made.is_multiple_of(2) {
            Road::Procedure
        } else {
            Road::Create
        });
        let tiles = order.tiles.unwrap_or((number >> 32) as u32 % 250 + 1).clamp(1, MAX_TILES);
        let failed = order.fail_every > 0 && self.made.is_multiple_of(order.fail_every.into());
        let file = scramble(self.seed.wrapping_sub(file)) % 100_000_000_000;
        Task { road, number, file, tiles, failed, finished: now }
    }
}

impl Task {
    pub(super) fn made(&self, event: u64, base: &str) -> Made {
        Made {
            event,
            road: self.road,
            task_id: self.task_id(),
            file_id: self.file_id(),
            failed: self.failed,
            sheets: self.sheets(base),
            vtt_url: self.vtt_url(base),
        }
    }

    fn task_id(&self) -> String {
        let hash = format!("{:016x}{:016x}", self.number, scramble(!self.number));
        match self.road {
            Road::Create => format!("CreateImageSprite-{hash}"),
            Road::Procedure => format!("1500012345-Procedure-{hash}t0"),
        }
    }

    /// Beyond 63 bits on one road, as the cloud's may be.
    fn file_id(&self) -> String {
        match self.road {
            Road::Create => (14_508_072_200_000_000_000 + self.file).to_string(),
            Road::Procedure => (5_285_890_800_000_000_000 + self.file).to_string(),
        }
    }

    fn sheets(&self, base: &str) -> Vec<String> {
        if self.failed {
            return Vec::new();
        }
        let folder = self.folder(base);
        (0..self.tiles.div_ceil(TILES_PER_SHEET))
            .map(|sheet| format!("{folder}/{}", sheet_name(sheet)))
            .collect()
    }

    fn vtt_url(&self, base: &str) -> Option<String> {
        (!self.failed).then(|| format!("{}/{}", self.folder(base), vtt_name()))
    }

    /// Says all that the files in it are drawn from, so that they need not be kept.
    fn folder(&self, base: &str) -> String {
        format!("{base}{PATH}{:016x}/{}", self.number, self.tiles)
    }
}

fn sheet_name(sheet: u32) -> String {
    format!("imageSprite_{DEFINITION}_{sheet}.png")
}

fn vtt_name() -> String {
    format!("imageSprite_{DEFINITION}.vtt")
}

/// A file that a sprite's URL leads to.
#[derive(Debug)]
pub(super) struct File {
    pub(super) content_type: &'static str,
    pub(super) bytes: Vec<u8>,
}

/// The file at `path`, without [`PATH`]; `None` if there is none. Draws a megapixel: not for a
/// thread that others wait for.
pub(super) fn file(path: &str) -> Option<File> {
    let mut parts = path.split('/');
    let (Some(number), Some(tiles), Some(name), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let number = u64::from_str_radix(number, 16).ok()?;
    let tiles = tiles.parse().ok().filter(|tiles| (1..=MAX_TILES).contains(tiles))?;
    if name == vtt_name() {
        return Some(File { content_type: "text/vtt; charset=utf-8", bytes: vtt(tiles).into() });
    }
    let sheet = (0..tiles.div_ceil(TILES_PER_SHEET)).find(|sheet| name == sheet_name(*sheet))?;
    Some(File { content_type: "image/png", bytes: draw(number, tiles, sheet) })
}

/// The cues of all tiles, each naming its sheet by bare file name.
fn vtt(tiles: u32) -> String {
    let mut text = String::from("WEBVTT\n");
    for tile in 0..tiles {
        let (from, to) = (cue_time(tile), cue_time(tile + 1));
        let (x, y) = place(tile % TILES_PER_SHEET);
        let sheet = sheet_name(tile / TILES_PER_SHEET);
        let (width, height) = TILE;
        write!(text, "\n{from} --> {to}\n{sheet}#xywh={x},{y},{width},{height}\n")
            .expect("writing to a String cannot fail");
    }
    text
}

fn cue_time(tile: u32) -> String {
    let seconds = tile * SECONDS_PER_TILE;
    format!("{:02}:{:02}:{:02}.000", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Where a tile of a sheet begins, in pixels.
fn place(tile: u32) -> (u32, u32) {
    (tile % COLUMNS * TILE.0, tile / COLUMNS * TILE.1)
}

/// Tiles of changing colour, each with a bar that shows how far into the video it is.
fn draw(number: u64, tiles: u32, sheet: u32) -> Vec<u8> {
    const DARK: u8 = 0;
    const BAR: u8 = 1;
    let first = sheet * TILES_PER_SHEET;
    let here = (tiles - first).min(TILES_PER_SHEET);
    let mut palette = vec![[24, 24, 24], [250, 250, 250]];
    palette.extend((0..here).map(|tile| colour(number, first + tile)));
    let (width, height) = (COLUMNS * TILE.0, here.div_ceil(COLUMNS) * TILE.1);
    png::encode(width, height, &palette, |x, y| {
        let tile = y / TILE.1 * COLUMNS + x / TILE.0;
        let (x, y) = (x % TILE.0, y % TILE.1);
        if tile >= here || x == 0 || y == 0 {
            DARK
        } else if y >= TILE.1 - 8 && x * tiles <= (first + tile + 1) * TILE.0 {
            BAR
        } else {
            // At most 100 tiles after the two fixed colours.
            2 + tile as u8
        }
    })
}

fn colour(number: u64, tile: u32) -> [u8; 3] {
    let [red, green, blue, ..] = scramble(number).to_be_bytes();
    let step = |channel: u8, speed: u32| {
        // A triangle wave, so that neighbours are close and no colour jumps.
        let phase = (u32::from(channel) + tile * speed) % 320;
        (if phase < 160 { phase } else { 319 - phase } + 48) as u8
    };
    [step(red, 3), step(green, 5), step(blue, 7)]
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_735_689_672, 0).unwrap()
    }

    #[test]
    fn every_url_of_a_task_leads_to_a_file() {
        let order = Order { tiles: Some(106), fail_every: 0, ..Order::default() };
        let made = Sprites::new(1).make(&order, now()).made(1, "http://x");
        assert_eq!(made.sheets.len(), 2);
        let open = |url: &str| file(url.strip_prefix("http://x/sprites/").unwrap()).unwrap();
        for (url, height) in made.sheets.iter().zip([800_u32, 80]) {
            let sheet = open(url);
            assert_eq!(sheet.content_type, "image/png");
            assert_eq!(sheet.bytes[..8], *b"\x89PNG\r\n\x1a\n");
            assert_eq!(sheet.bytes[16..24], [[0, 0, 5, 140], height.to_be_bytes()].concat());
        }
        let vtt = String::from_utf8(open(made.vtt_url.as_ref().unwrap()).bytes).unwrap();
        assert!(vtt.starts_with(
            "WEBVTT\n\n00:00:00.000 --> 00:00:10.000\nimageSprite_10_0.png#xywh=0,0,142,80\n"
        ));
        assert!(vtt.ends_with(
            "\n\n00:17:30.000 --> 00:17:40.000\nimageSprite_10_1.png#xywh=710,0,142,80\n"
        ));
        assert_eq!(vtt.matches(" --> ").count(), 106);
    }

    #[test]
    fn other_paths_lead_nowhere() {
        for path in [
            "",
            "1/100/imageSprite_10_1.png",
            "1/0/imageSprite_10.vtt",
            "1/99999/imageSprite_10.vtt",
            "1/100/imageSprite_10.jpg",
            "x/100/imageSprite_10.vtt",
            "1/100/imageSprite_10.vtt/x",
        ] {
            assert!(file(path).is_none(), "{path}");
        }
    }

    #[test]
    fn a_sheets_pixels_are_what_its_size_says() {
        let sheet = file("1/25/imageSprite_10_0.png").unwrap().bytes;
        let start = sheet.windows(4).position(|w| w == b"IDAT").unwrap();
        let size = u32::from_be_bytes(sheet[start - 4..start].try_into().unwrap()) as usize;
        let mut pixels = Vec::new();
        flate2::read::ZlibDecoder::new(&sheet[start + 4..start + 4 + size])
            .read_to_end(&mut pixels)
            .unwrap();
        assert_eq!(pixels.len(), 240 * (1420 + 1));
        assert!(pixels.contains(&26) && !pixels.contains(&27));
    }

    #[test]
    fn tasks_differ_and_fail_in_their_turn_and_take_both_roads() {
        let mut sprites = Sprites::new(1);
        let order = Order { fail_every: 4, files: Some(2), ..Order::default() };
        let made: Vec<_> = (0..8).map(|_| sprites.make(&order, now()).made(1, "")).collect();
        let mut tasks: Vec<_> = made.iter().map(|made| &made.task_id).collect();
        tasks.sort();
        tasks.dedup();
        assert_eq!(tasks.len(), 8);
        assert_eq!(made.iter().filter(|made| made.failed).count(), 2);
        assert_eq!(made.iter().filter(|made| made.road == Road::Create).count(), 4);
        let mut files: Vec<_> = made.iter().map(|made| &made.file_id).collect();
        files.sort();
        files.dedup();
        assert_eq!(files.len(), 2);
    }
}
