//! What mirrors need of the rest of the file: a list of hosts where anybody may post events, and a
//! folder in which nothing stands that players must not see.

use std::path::Path;

use super::document::Document;
use super::sinks::ReadSink;
use crate::journal::JournalSettings;
use crate::sinks::{OutputPath, Plan};

/// Refuses mirrors that would fetch whatever a posted event names, and folders that would show more
/// than copies. Blocks on the file system: a folder can have many names.
pub(super) fn check(
    document: &mut Document<'_>,
    sinks: &[ReadSink],
    is_receiving: bool,
    journal: Option<&JournalSettings>,
) {
    let journal = journal.map(|settings| ("the journal", settings.path.as_path()));
    for (index, read) in sinks.iter().enumerate() {
        let Some(sink) = &read.sink else { continue };
        let Plan::Mirror(settings) = &sink.plan else { continue };
        let Some((_, at)) = &read.output else { continue };
        let title = format!("[[sinks]] {:?}", sink.name);
        if is_receiving && settings.hosts.is_none() {
            let why = "hosts: required where [receive] stands, since whoever can post an event could \
                       otherwise choose what this machine fetches";
            document.mistake(*at, format!("{title} {why}"));
        }
        let folder = OutputPath::of(&settings.path);
        let others = sinks.iter().enumerate().filter(|(other, _)| *other != index);
        let files = others.filter_map(|(_, other)| {
            let sink = other.sink.as_ref().filter(|sink| !matches!(sink.plan, Plan::Mirror(_)))?;
            Some((sink.name.as_str(), other.output.as_ref()?.0.target.path()?))
        });
        for (name, path) in files.chain(journal) {
            if is_within(path, &folder) {
                let path_of_mirror = &settings.path;
                let why = format!(
                    "path: everybody may read what is in {path_of_mirror:?}, and {path:?} of {name} \
                     would be in it; use a folder of its own"
                );
                document.mistake(*at, format!("{title} {why}"));
            }
        }
    }
}

fn is_within(path: &Path, folder: &OutputPath) -> bool {
    OutputPath::of(path).path().starts_with(folder.path())
}
