//! Whether two writers share one file, whatever they call it.

use std::path::{Path, PathBuf};

use super::document::Document;
use super::sinks::ReadSink;
use crate::journal;
use crate::sinks::{OutputPath, OutputTarget, SinkOutput};

struct Writer {
    /// In words for the operator.
    name: &'static str,
    output: SinkOutput,
    path: PathBuf,
    place: OutputPath,
}

impl Writer {
    fn new(name: &'static str, output: SinkOutput) -> Self {
        // Where lines can be kept, as in a file that the standard output was redirected to.
        let path = output.target.path().unwrap_or(Path::new("/dev/stdout")).to_owned();
        Self { name, output, place: OutputPath::of(&path), path }
    }

    fn refuses(&self, other: &Self) -> Option<String> {
        let Self { name, path, .. } = self;
        if self.output.target == other.output.target || self.place.is(&other.place) {
            let what = match &other.output.target {
                OutputTarget::Standard => "standard output".to_owned(),
                OutputTarget::File(path) => format!("{path:?}"),
            };
            let key = other.output.key;
            let same = match self.path == other.path {
                true => String::new(),
                false => format!("is the same file as {path:?}, which "),
            };
            return Some(format!("{key}: {what} {same}is already written by {name}"));
        }
        if self.rotates_to(other) {
            return Some(format!(
                "path: {:?} is named like the files rotated from {path:?}; choose another name",
                other.path
            ));
        }
        other.rotates_to(self).then(|| {
            format!(
                "path: {:?} is rotated to files named like {path:?}, which is already written by \
                 {name}",
                other.path
            )
        })
    }

    fn rotates_to(&self, other: &Self) -> bool {
        self.output.claims.is_some_and(|claims| claims(&self.path, &other.place))
    }
}

/// Whether what is at `place` would be taken for a copy of `journal` that a daemon made.
fn is_copy(journal: &Path, place: &OutputPath) -> bool {
    let (Some(name), Some(own)) = (journal.file_name(), place.name()) else { return false };
    journal::is_copy_name(name, own) && OutputPath::of(journal).is_beside(place)
}

/// Two writers of one file, or of standard output, would write into each other's lines. Blocks on
/// the file system: a file can have many names.
pub(super) fn refuse_shared(
    document: &mut Document<'_>,
    journal: Option<&journal::JournalSettings>,
    sinks: &[ReadSink],
) {
    // Where its path is a link, its files stand where that leads.
    let files = journal.iter().flat_map(|it| {
        journal::all_files(&it.path)
            .into_iter()
            .chain([journal::control_socket(&it.path)])
            .chain(journal::link_mark(&it.path))
    });
    let database = journal.map(|it| OutputPath::of(&it.path));
    let writer = |path: PathBuf| Writer::new("the journal", SinkOutput::file(&path));
    let mut writers: Vec<_> = files.map(writer).collect();
    for read in sinks {
        let Some((output, at)) = &read.output else { continue };
        let writer = Writer::new("another sink", output.clone());
        let journal = database.as_ref().map(OutputPath::path);
        if let Some(journal) = journal.filter(|it| is_copy(it, &writer.place)) {
            let (path, copy) = (&writer.path, journal.display());
            let why = format!("path: {path:?} is named like a copy of the journal {copy}");
            document.mistake(*at, format!("[[sinks]] {why}; choose another name"));
        }
        if let Some(why) = writers.iter().find_map(|earlier| earlier.refuses(&writer)) {
            document.mistake(*at, format!("[[sinks]] {why}"));
        }
        writers.push(writer);
    }
}
