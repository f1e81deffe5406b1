//! The EventTypes that are documented.

/// All of them; the list grows with releases of the service.
const KNOWN: [&str; 36] = [
    "AigcHunyuan3DTaskComplete",
    "AigcImageTaskComplete",
    "AigcVideoTaskComplete",
    "ClipComplete",
    "ComplexAdaptiveDynamicStreamingComplete",
    "ComposeMediaComplete",
    "ConcatComplete",
    "CreateAigcAdvancedCustomElementCompleteEvent",
    "CreateAigcCustomVoiceCompleteEvent",
    "CreateImageSpriteComplete",
    "CreateSnapshotByTimeOffsetComplete",
    "DescribeAigcFaceInfoAsyncComplete",
    "DescribeFileAttributesComplete",
    "EditMediaComplete",
    "ExtractBlindWatermarkComplete",
    "ExtractCopyRightWatermarkComplete",
    "ExtractTraceWatermarkComplete",
    "FileDeleted",
    "MediaCastStatusChanged",
    "NewFileUpload",
    "PersistenceComplete",
    "ProcedureStateChanged",
    "ProcessImageAsyncCompleteEvent",
    "ProcessMediaByMPSComplete",
    "PullComplete",
    "QualityEnhanceComplete",
    "QualityInspectComplete",
    "RebuildMediaComplete",
    "RemoveWatermark",
    "RestoreMediaComplete",
    "ReviewAudioVideoComplete",
    "SceneAigcImageCompleteEvent",
    "SplitMediaComplete",
    "TranscodeComplete",
    "WechatMiniProgramPublishComplete",
    "WechatPublishComplete",
];

/// The documented EventTypes.
#[must_use]
pub fn known_types() -> &'static [&'static str] {
    &KNOWN
}

/// The documented EventType of this name, or `other`: a name that no event can make up.
#[must_use]
pub fn known_type(name: &str) -> &'static str {
    KNOWN.binary_search(&name).map_or("other", |place| KNOWN[place])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_type_is_found_and_no_other() {
        assert!(KNOWN.is_sorted());
        for name in KNOWN {
            assert_eq!(known_type(name), name);
        }
        for name in ["", "Unknown", "createimagespritecomplete", "A\"}\nB 1"] {
            assert_eq!(known_type(name), "other", "{name}");
        }
    }
}
