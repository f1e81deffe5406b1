//! What was asked for before, where a quirk makes it matter.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::files::SpriteFile;
use super::quirks::SpriteFileFault;

/// The maximum number of files of which it is known; the oldest are forgotten.
const MAX_FILES: usize = 100_000;

/// How a request for a file is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SpriteAnswer {
    pub(crate) fault: Option<SpriteFileFault>,
    /// Whether the task was run again before.
    pub(crate) is_rerun: bool,
}

/// The requests for files whose answers depend on those before them.
#[derive(Debug, Default)]
pub(crate) struct SpriteHistory {
    files: HashMap<String, Requests>,
    /// In the order of their first requests.
    paths: VecDeque<String>,
}

#[derive(Clone, Copy, Debug)]
struct Requests {
    first: Instant,
    count: u32,
    /// Of these, those without a fault.
    good: u32,
}

impl SpriteHistory {
    /// Decides the answer to a request for `file` at `now`.
    pub(crate) fn answer(&mut self, file: &SpriteFile, now: Instant) -> SpriteAnswer {
        let (fault, quirks) = (file.fault(), file.quirks());
        if !quirks.need_history() {
            return SpriteAnswer { fault: fault.cloned(), is_rerun: false };
        }
        let first_run = quirks.rerun.unwrap_or(u32::MAX);
        let vtt = self.files.get(&file.vtt_path());
        let is_rerun = vtt.is_some_and(|vtt| vtt.good >= first_run);
        let requests = self.requests(file.path(), now);
        let fault = fault.filter(|fault| {
            quirks.times.is_none_or(|times| requests.count < times) && holds(fault, *requests, now)
        });
        requests.count = requests.count.saturating_add(1);
        requests.good = requests.good.saturating_add(fault.is_none().into());
        SpriteAnswer { fault: fault.cloned(), is_rerun }
    }

    fn requests(&mut self, path: String, now: Instant) -> &mut Requests {
        if !self.files.contains_key(&path) {
            self.paths.push_back(path.clone());
            if self.paths.len() > MAX_FILES
                && let Some(oldest) = self.paths.pop_front()
            {
                self.files.remove(&oldest);
            }
        }
        let none = Requests { first: now, count: 0, good: 0 };
        self.files.entry(path).or_insert(none)
    }
}

/// Whether a fault is still there, of a file with these requests before.
fn holds(fault: &SpriteFileFault, requests: Requests, now: Instant) -> bool {
    let age: Duration = now.saturating_duration_since(requests.first);
    !matches!(fault, SpriteFileFault::Late(time) if age >= *time)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files of one task.
    struct Site {
        history: SpriteHistory,
        start: Instant,
        words: &'static str,
    }

    impl Site {
        fn new(words: &'static str) -> Self {
            Self { history: SpriteHistory::default(), start: Instant::now(), words }
        }

        /// A request so many seconds after the start.
        fn ask(&mut self, name: &str, seconds: u64) -> SpriteAnswer {
            let file = SpriteFile::at(&format!("/sprites/1/106/{}/{name}", self.words)).unwrap();
            self.history.answer(&file, self.start + Duration::from_secs(seconds))
        }
    }

    const VTT: &str = "imageSprite_10.vtt";
    const SHEET: &str = "imageSprite_10_0.png";

    #[test]
    fn a_late_file_is_there_after_its_time() {
        let mut site = Site::new("sheets:late=5s");
        assert_eq!(site.ask(VTT, 0).fault, None);
        for (seconds, is_late) in [(10, true), (14, true), (15, false), (16, false)] {
            assert_eq!(site.ask(SHEET, seconds).fault.is_some(), is_late, "{seconds}");
        }
    }

    #[test]
    fn a_fault_of_the_first_requests_passes() {
        let mut site = Site::new("html,times=2");
        for name in [VTT, SHEET] {
            let faults: Vec<_> = (0..3).map(|_| site.ask(name, 0).fault.is_some()).collect();
            assert_eq!(faults, [true, true, false], "{name}");
        }
    }

    #[test]
    fn a_second_run_changes_all_files_after_so_many_good_answers() {
        let mut site = Site::new("rerun,vtt:status=404,times=1");
        assert!(site.ask(VTT, 0).fault.is_some());
        assert!(!site.ask(SHEET, 0).is_rerun);
        assert!(!site.ask(VTT, 0).is_rerun);
        for name in [SHEET, VTT, SHEET] {
            assert!(site.ask(name, 0).is_rerun, "{name}");
        }
    }

    #[test]
    fn nothing_is_remembered_where_nothing_depends_on_it() {
        let mut site = Site::new("html");
        assert!(site.ask(VTT, 0).fault.is_some());
        assert!(site.history.files.is_empty() && site.history.paths.is_empty());
    }
}
