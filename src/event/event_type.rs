//! The EventTypes that are documented, and what identifies an event of each.

/// The EventType of entries that have none.
pub const UNKNOWN_TYPE: &str = "Unknown";

/// What tells an event from all others of its type, even from one that reads the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Identity {
    /// The task that it reports on: a TaskId is never given twice.
    Task,
    /// The file that it reports on, which can be so only once: an upload makes a file of its own.
    File,
    /// Nothing: the same can happen again, word for word. A cast starts, stops and starts; of a
    /// file, a part is deleted, made anew and deleted once more.
    Nothing,
}

use Identity::{File, Nothing, Task};

/// All types that are documented, with what identifies an event of each (vod-api: the table of
/// payloads). The list grows with releases of the service.
const KNOWN: [(&str, Identity); 36] = [
    ("AigcHunyuan3DTaskComplete", Task),
    ("AigcImageTaskComplete", Task),
    ("AigcVideoTaskComplete", Task),
    ("ClipComplete", Task),
    ("ComplexAdaptiveDynamicStreamingComplete", Task),
    ("ComposeMediaComplete", Task),
    ("ConcatComplete", Task),
    ("CreateAigcAdvancedCustomElementCompleteEvent", Task),
    ("CreateAigcCustomVoiceCompleteEvent", Task),
    ("CreateImageSpriteComplete", Task),
    ("CreateSnapshotByTimeOffsetComplete", Task),
    ("DescribeAigcFaceInfoAsyncComplete", Task),
    ("DescribeFileAttributesComplete", Task),
    ("EditMediaComplete", Task),
    ("ExtractBlindWatermarkComplete", Task),
    ("ExtractCopyRightWatermarkComplete", Task),
    ("ExtractTraceWatermarkComplete", Task),
    ("FileDeleted", Nothing),
    ("MediaCastStatusChanged", Nothing),
    ("NewFileUpload", File),
    ("PersistenceComplete", Nothing),
    ("ProcedureStateChanged", Task),
    ("ProcessImageAsyncCompleteEvent", Task),
    ("ProcessMediaByMPSComplete", Task),
    ("PullComplete", Task),
    ("QualityEnhanceComplete", Task),
    ("QualityInspectComplete", Task),
    ("RebuildMediaComplete", Task),
    ("RemoveWatermark", Task),
    ("RestoreMediaComplete", Nothing),
    ("ReviewAudioVideoComplete", Task),
    ("SceneAigcImageCompleteEvent", Task),
    ("SplitMediaComplete", Task),
    ("TranscodeComplete", Task),
    ("WechatMiniProgramPublishComplete", Task),
    ("WechatPublishComplete", Task),
];

/// Returns the documented EventTypes.
#[must_use]
pub fn known_types() -> impl ExactSizeIterator<Item = &'static str> {
    KNOWN.iter().map(|(name, _)| *name)
}

/// Returns the documented EventType of this name, or `other`: a name that no event can make up.
#[must_use]
pub fn known_type(name: &str) -> &'static str {
    find(name).map_or("other", |(known, _)| known)
}

/// Whether two events of this type that read the same may be different ones. A type that is not
/// known counts as one whose events have a TaskId: without it nothing tells them apart.
pub(super) fn is_repeatable(event_type: &str, has_task_id: bool, has_file_id: bool) -> bool {
    match find(event_type).map_or(Task, |(_, identity)| identity) {
        Task => !has_task_id,
        File => !has_file_id,
        Nothing => true,
    }
}

fn find(name: &str) -> Option<(&'static str, Identity)> {
    let place = KNOWN.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
    KNOWN.get(place).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_type_is_found_and_no_other() {
        assert!(KNOWN.is_sorted_by_key(|(name, _)| *name));
        for name in known_types() {
            assert_eq!(known_type(name), name);
        }
        for name in ["", "Unknown", "createimagespritecomplete", "A\"}\nB 1"] {
            assert_eq!(known_type(name), "other", "{name}");
        }
    }
}
