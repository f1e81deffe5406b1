//! Sprite tasks, as orders and as results.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::files::SPRITES_PATH;
use super::layout::{MAX_TILES, TILES_PER_SHEET, sheet_name, vtt_name};
use super::quirks::{CountedTiles, SpriteQuirks};
use crate::handle::scramble;

/// What TaskIds begin with.
const CREATE_PREFIX: &str = "CreateImageSprite-";
const PROCEDURE_PREFIX: &str = "1500012345-Procedure-";

/// The API that started a sprite task, which decides the event that reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceApi {
    /// CreateImageSpriteComplete, from tasks of the API of 2017.
    Create,
    /// ProcedureStateChanged with an ImageSpriteTask, from all other tasks.
    Procedure,
}

/// When a task reports to its application: the TasksNotifyMode of a procedure. Tasks of the API of
/// 2017 have none, and report their end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotifyMode {
    /// At its end.
    #[default]
    Finish,
    /// At each change: here once while it is under way, and at its end.
    Change,
    /// Never.
    None,
}

/// What an event reports of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskReport {
    /// That it is under way.
    Progress,
    /// Its end.
    End,
}

/// An order for sprite tasks; in JSON every field is optional.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpriteOrder {
    /// In which application; by default in the first.
    pub app: Option<u64>,
    /// How many.
    pub count: u32,
    /// Of how many different videos; by default each task is of its own.
    pub files: Option<u32>,
    /// The API that starts them; by default both in turn.
    pub source_api: Option<SourceApi>,
    /// Tiles of each, from 1 to 10,000; by default different for each.
    pub tiles: Option<u32>,
    /// Every n-th task fails; 0: none.
    pub fail_every: u32,
    /// Every n-th task is aborted: it has no result and no event; 0: none.
    pub abort_every: u32,
    /// Every n-th task has no event though it should, as if the service had lost it; 0: none.
    pub lose_every: u32,
    /// When they report to the application.
    pub notify_mode: NotifyMode,
    /// How their files, and what their events say of them, differ from the usual; by default as the
    /// emulator is set.
    pub quirks: Option<SpriteQuirks>,
    /// How long until their events can be pulled, or are posted.
    #[serde(with = "humantime_serde")]
    pub delay: Duration,
    /// How long ago the first of them ended.
    #[serde(with = "humantime_serde")]
    pub age: Duration,
    /// How long after the one before each of the others ended.
    #[serde(with = "humantime_serde")]
    pub apart: Duration,
}

impl Default for SpriteOrder {
    fn default() -> Self {
        Self {
            app: None,
            count: 1,
            files: None,
            source_api: None,
            tiles: None,
            fail_every: 10,
            abort_every: 0,
            lose_every: 0,
            notify_mode: NotifyMode::Finish,
            quirks: None,
            delay: Duration::ZERO,
            age: Duration::ZERO,
            apart: Duration::ZERO,
        }
    }
}

impl SpriteOrder {
    /// The most events that its tasks may have.
    pub(crate) fn max_events(&self) -> usize {
        let each = if self.notify_mode == NotifyMode::Change { 2 } else { 1 };
        (self.count as usize).saturating_mul(each)
    }
}

/// A sprite task that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CreatedSprite {
    /// The number of the event that reports its end; 0 if none does.
    pub event: u64,
    /// The API that started it.
    pub source_api: SourceApi,
    /// Its TaskId.
    pub task_id: String,
    /// The FileId of its video.
    pub file_id: String,
    /// Whether it failed; then it has no sheets and no VTT file.
    pub failed: bool,
    /// Whether it was aborted; then it has none either.
    pub aborted: bool,
    /// The URLs of its sheets, in order.
    pub sheets: Vec<String>,
    /// The URL of its VTT file.
    pub vtt_url: Option<String>,
}

/// A sprite task as a few numbers. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    pub(super) source_api: SourceApi,
    /// Differs from that of every other task of every emulator.
    pub(super) number: u64,
    pub(super) file: u64,
    pub(super) tiles: u32,
    pub(super) failed: bool,
    pub(super) aborted: bool,
    /// Whether its event is lost.
    pub(super) lost: bool,
    pub(super) notify_mode: NotifyMode,
    /// Shared by the tasks of an order; `None`: there are none.
    pub(super) quirks: Option<Arc<SpriteQuirks>>,
    /// In whole seconds, as it is shown.
    pub(super) finished: DateTime<Utc>,
}

/// Makes tasks, each different.
#[derive(Debug)]
pub(crate) struct Sprites {
    seed: u64,
    made: u64,
    /// Of tasks whose order has none.
    quirks: SpriteQuirks,
}

impl Sprites {
    pub(crate) fn new(seed: u64, quirks: SpriteQuirks) -> Self {
        Self { seed, made: 0, quirks }
    }

    /// The tasks of an order that comes in at `now`.
    pub(crate) fn make(&mut self, order: &SpriteOrder, now: DateTime<Utc>) -> Vec<Task> {
        let delta = |time: Duration| TimeDelta::from_std(time).unwrap_or_default();
        let mut finished = now - delta(order.age);
        let quirks = order.quirks.as_ref().unwrap_or(&self.quirks);
        let quirks = (*quirks != SpriteQuirks::default()).then(|| Arc::new(quirks.clone()));
        (0..order.count)
            .map(|_| {
                let task = Task { quirks: quirks.clone(), ..self.make_one(order, finished) };
                finished += delta(order.apart);
                task
            })
            .collect()
    }

    fn make_one(&mut self, order: &SpriteOrder, finished: DateTime<Utc>) -> Task {
        self.made += 1;
        let is_turn = |every: u32| every > 0 && self.made.is_multiple_of(every.into());
        let number = scramble(self.seed.wrapping_add(self.made));
        let file = order.files.map_or(self.made, |files| self.made % u64::from(files.max(1)));
        let source_api = order.source_api.unwrap_or(if self.made.is_multiple_of(2) {
            SourceApi::Procedure
        } else {
            SourceApi::Create
        });
        let aborted = is_turn(order.abort_every);
        Task {
            source_api,
            number,
            file: scramble(self.seed.wrapping_sub(file)) % 100_000_000_000,
            tiles: order.tiles.unwrap_or((number >> 32) as u32 % 250 + 1).clamp(1, MAX_TILES),
            failed: !aborted && is_turn(order.fail_every),
            aborted,
            lost: is_turn(order.lose_every),
            notify_mode: match source_api {
                SourceApi::Create => NotifyMode::Finish,
                SourceApi::Procedure => order.notify_mode,
            },
            quirks: None,
            finished: DateTime::from_timestamp(finished.timestamp(), 0).unwrap_or(finished),
        }
    }
}

impl Task {
    /// What the events of the task report, in their order.
    pub(crate) fn reports(&self) -> &'static [TaskReport] {
        match self.notify_mode {
            _ if self.lost || self.aborted => &[],
            NotifyMode::Finish => &[TaskReport::End],
            NotifyMode::Change => &[TaskReport::Progress, TaskReport::End],
            NotifyMode::None => &[],
        }
    }

    pub(crate) fn made(&self, event: u64, base: &str) -> CreatedSprite {
        CreatedSprite {
            event,
            source_api: self.source_api,
            task_id: self.task_id(),
            file_id: self.file_id(),
            failed: self.failed,
            aborted: self.aborted,
            sheets: self.sheets(base),
            vtt_url: self.vtt_url(base),
        }
    }

    pub(crate) fn task_id(&self) -> String {
        let hash = format!("{:016x}{:016x}", self.number, scramble(!self.number));
        match self.source_api {
            SourceApi::Create => format!("{CREATE_PREFIX}{hash}"),
            SourceApi::Procedure => format!("{PROCEDURE_PREFIX}{hash}t0"),
        }
    }

    /// Returns the number of the task that has this TaskId, if one of this emulator has it.
    pub(crate) fn number_in(task_id: &str) -> Option<u64> {
        let hash = task_id
            .strip_prefix(CREATE_PREFIX)
            .or_else(|| task_id.strip_prefix(PROCEDURE_PREFIX))?;
        u64::from_str_radix(hash.get(..16)?, 16).ok()
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Beyond 63 bits for one API, as the cloud's may be.
    pub(crate) fn file_id(&self) -> String {
        match self.source_api {
            SourceApi::Create => (14_508_072_200_000_000_000 + self.file).to_string(),
            SourceApi::Procedure => (5_285_890_800_000_000_000 + self.file).to_string(),
        }
    }

    pub(super) fn sheets(&self, base: &str) -> Vec<String> {
        if !self.has_result() {
            return Vec::new();
        }
        let folder = self.folder(base);
        (0..self.tiles.div_ceil(TILES_PER_SHEET))
            .map(|sheet| format!("{folder}/{}", sheet_name(sheet)))
            .collect()
    }

    pub(super) fn vtt_url(&self, base: &str) -> Option<String> {
        self.has_result().then(|| format!("{}/{}", self.folder(base), vtt_name()))
    }

    pub(crate) fn source_api(&self) -> SourceApi {
        self.source_api
    }

    pub(crate) fn notify_mode(&self) -> NotifyMode {
        self.notify_mode
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.aborted
    }

    pub(crate) fn finished(&self) -> DateTime<Utc> {
        self.finished
    }

    fn has_result(&self) -> bool {
        !self.failed && !self.aborted
    }

    /// What the event of a task that succeeded says of its tiles: of all, or of those of one sheet.
    pub(super) fn total_count(&self, usual: CountedTiles) -> Option<i64> {
        let ordered = self.quirks.as_ref().and_then(|quirks| quirks.count);
        match ordered.unwrap_or(usual) {
            CountedTiles::All => Some(self.tiles.into()),
            CountedTiles::Sheet => Some(self.tiles.min(TILES_PER_SHEET).into()),
            CountedTiles::Null => None,
            CountedTiles::Number(number) => Some(number),
        }
    }

    /// Returns a path with all that the files in it are drawn from, so that they need not be kept.
    fn folder(&self, base: &str) -> String {
        let quirks = self.quirks.as_ref().map_or("", |quirks| &quirks.words);
        let slash = if quirks.is_empty() { "" } else { "/" };
        format!("{base}{SPRITES_PATH}{:016x}/{}{slash}{quirks}", self.number, self.tiles)
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::SpriteFile;
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_735_689_672, 0).unwrap()
    }

    #[test]
    fn every_url_of_a_task_leads_to_a_file() {
        let order = SpriteOrder { tiles: Some(106), fail_every: 0, ..SpriteOrder::default() };
        let made =
            Sprites::new(1, SpriteQuirks::default()).make(&order, now())[0].made(1, "http://x");
        assert_eq!(made.sheets.len(), 2);
        let open = |url: &str| SpriteFile::at(url.strip_prefix("http://x").unwrap()).unwrap();
        for (url, height) in made.sheets.iter().zip([800_u32, 80]) {
            let sheet = open(url);
            assert_eq!(sheet.content_type(), "image/png");
            let bytes = sheet.bytes(false, "");
            assert_eq!(bytes[..8], *b"\x89PNG\r\n\x1a\n");
            assert_eq!(bytes[16..24], [[0, 0, 5, 140], height.to_be_bytes()].concat());
        }
        let vtt = open(made.vtt_url.as_ref().unwrap()).bytes(false, "");
        let vtt = String::from_utf8(vtt).unwrap();
        assert!(vtt.starts_with(
            "WEBVTT\n\n00:00:00.000 --> 00:00:10.000\nimageSprite_10_0.png#xywh=0,0,142,80\n"
        ));
        assert!(vtt.ends_with(
            "\n\n00:17:30.000 --> 00:17:40.000\nimageSprite_10_1.png#xywh=710,0,142,80\n"
        ));
        assert_eq!(vtt.matches(" --> ").count(), 106);
    }

    #[test]
    fn tasks_differ_and_fail_in_their_turn_and_use_both_source_apis() {
        let mut sprites = Sprites::new(1, SpriteQuirks::default());
        let order =
            SpriteOrder { count: 8, fail_every: 4, files: Some(2), ..SpriteOrder::default() };
        let made: Vec<_> =
            sprites.make(&order, now()).iter().map(|task| task.made(1, "")).collect();
        let mut tasks: Vec<_> = made.iter().map(|made| &made.task_id).collect();
        tasks.sort();
        tasks.dedup();
        assert_eq!(tasks.len(), 8);
        assert_eq!(made.iter().filter(|made| made.failed).count(), 2);
        assert_eq!(made.iter().filter(|made| made.source_api == SourceApi::Create).count(), 4);
        let mut files: Vec<_> = made.iter().map(|made| &made.file_id).collect();
        files.sort();
        files.dedup();
        assert_eq!(files.len(), 2);
    }

    #[test]
    fn tasks_end_one_after_another_and_some_are_aborted_or_lost() {
        let order = SpriteOrder {
            count: 6,
            source_api: Some(SourceApi::Procedure),
            notify_mode: NotifyMode::Change,
            fail_every: 2,
            abort_every: 4,
            lose_every: 3,
            age: Duration::from_secs(100),
            apart: Duration::from_millis(1_500),
            ..SpriteOrder::default()
        };
        let tasks = Sprites::new(1, SpriteQuirks::default()).make(&order, now());
        let ends: Vec<_> = tasks.iter().map(|task| (now() - task.finished).num_seconds()).collect();
        assert_eq!(ends, [100, 99, 97, 96, 94, 93]);
        let reports: Vec<_> = tasks.iter().map(|task| task.reports().len()).collect();
        assert_eq!(reports, [2, 2, 0, 0, 2, 0]);
        let states: Vec<_> = tasks.iter().map(|task| (task.failed, task.aborted)).collect();
        let (good, failed) = ((false, false), (true, false));
        assert_eq!(states, [good, failed, good, (false, true), good, failed]);
        assert!(tasks[3].sheets("").is_empty());
    }
}
