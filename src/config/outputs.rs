//! Whether two writers share one file, whatever they call it.

use std::path::{Path, PathBuf};

use super::reader::Reader;
use super::sinks::{Output, Read, plain};
use crate::journal;
use crate::sinks::Place;

/// What the journal has beside its path.
const JOURNAL_FILES: [&str; 4] = ["", "-wal", "-shm", ".lock"];

/// Who writes to a file.
struct Writer {
    /// In words for the operator.
    name: &'static str,
    output: Output,
    path: PathBuf,
    place: Place,
    /// Whether it makes further files beside it.
    rotates: bool,
}

impl Writer {
    fn new(name: &'static str, output: Output, rotates: bool) -> Self {
        let path = match &output {
            Output::File(path) => path.clone(),
            // Where lines can be kept, as in a file that the standard output was redirected to.
            Output::Standard => PathBuf::from("/dev/stdout"),
        };
        Self { name, output, place: Place::of(&path), path, rotates }
    }

    /// What is wrong with `other`, which is written to as well.
    fn refuses(&self, other: &Self) -> Option<String> {
        let Self { name, path, .. } = self;
        if self.output == other.output || self.place.is(&other.place) {
            let what = match &other.output {
                Output::Standard => "type: standard output".to_owned(),
                Output::File(path) => format!("path: {path:?}"),
            };
            let same = match self.path == other.path {
                true => String::new(),
                false => format!("is the same file as {path:?}, which "),
            };
            return Some(format!("{what} {same}is written by {name} already"));
        }
        if self.rotates_to(other) {
            return Some(format!(
                "path: {:?} is called like the files that are rotated from {path:?}; give it \
                 another name",
                other.path
            ));
        }
        other.rotates_to(self).then(|| {
            format!(
                "path: {:?} is rotated to files that are called like {path:?}, which is written \
                 by {name} already",
                other.path
            )
        })
    }

    fn rotates_to(&self, other: &Self) -> bool {
        self.rotates && crate::sinks::jsonl::is_rotated(&self.path, &other.place)
    }
}

/// Two writers of one file, or of standard output, would write into each other's lines. Blocks on
/// the file system: a file can have many names.
pub(super) fn refuse_shared(
    reader: &mut Reader<'_>,
    journal: Option<&journal::Settings>,
    sinks: &[Read],
) {
    let beside = |journal: &journal::Settings, ending| {
        let mut path = journal.path.clone().into_os_string();
        path.push(ending);
        Writer::new("the journal", Output::File(plain(Path::new(&path))), false)
    };
    let files = journal.into_iter().flat_map(|it| JOURNAL_FILES.map(|ending| beside(it, ending)));
    let mut writers: Vec<_> = files.collect();
    for read in sinks {
        let Some((output, at)) = &read.output else { continue };
        let rotates = read.sink.as_ref().is_some_and(|sink| sink.plan.rotates());
        let writer = Writer::new("another sink", output.clone(), rotates);
        if let Some(why) = writers.iter().find_map(|earlier| earlier.refuses(&writer)) {
            reader.fault(*at, format!("[[sinks]] {why}"));
        }
        writers.push(writer);
    }
}
