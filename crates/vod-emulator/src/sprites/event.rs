//! The events that report a sprite task.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use super::layout::{DEFINITION, TILE_SIZE};
use super::quirks::CountedTiles;
use super::task::{NotifyMode, SourceApi, Task, TaskReport};

/// How long a task is under way.
pub(crate) const PROCESSING_TIME: TimeDelta = TimeDelta::seconds(9);

/// The members of an EventContent, one for each kind of event, in the cloud's order.
const EVENT_MEMBERS: [&str; 37] = [
    "FileUploadEvent",
    PROCEDURE,
    "FileDeleteEvent",
    "PullCompleteEvent",
    "EditMediaCompleteEvent",
    "SplitMediaCompleteEvent",
    "ComposeMediaCompleteEvent",
    "ClipCompleteEvent",
    "TranscodeCompleteEvent",
    CREATE,
    "ConcatCompleteEvent",
    "SnapshotByTimeOffsetCompleteEvent",
    "WechatPublishCompleteEvent",
    "WechatMiniProgramPublishCompleteEvent",
    "RemoveWatermarkCompleteEvent",
    "RestoreMediaCompleteEvent",
    "RebuildMediaCompleteEvent",
    "ExtractTraceWatermarkCompleteEvent",
    "ExtractCopyRightWatermarkCompleteEvent",
    "ReviewAudioVideoCompleteEvent",
    "ReduceMediaBitrateCompleteEvent",
    "DescribeFileAttributesCompleteEvent",
    "QualityInspectCompleteEvent",
    "QualityEnhanceCompleteEvent",
    "MediaCastStatusChangedEvent",
    "PersistenceCompleteEvent",
    "ComplexAdaptiveDynamicStreamingCompleteEvent",
    "ProcessMediaByMPSCompleteEvent",
    "AigcImageCompleteEvent",
    "AigcVideoCompleteEvent",
    "ExtractBlindWatermarkComplete",
    "SceneAigcImageCompleteEvent",
    "ProcessImageAsyncCompleteEvent",
    "CreateAigcAdvancedCustomElementCompleteEvent",
    "CreateAigcCustomVoiceCompleteEvent",
    "DescribeAigcFaceInfoAsyncCompleteEvent",
    "AigcHunyuan3DCompleteEvent",
];
const PROCEDURE: &str = "ProcedureStateChangeEvent";
const CREATE: &str = "CreateImageSpriteCompleteEvent";

impl Task {
    /// The EventContent with this report, without a handle, in one line. The same at every call.
    pub(crate) fn event(&self, report: TaskReport, base: &str) -> String {
        let (event_type, member) = match self.source_api {
            SourceApi::Create => ("CreateImageSpriteComplete", CREATE),
            SourceApi::Procedure => ("ProcedureStateChanged", PROCEDURE),
        };
        let payload = self.payload(report, base).to_string();
        let mut json = format!("{{\"EventType\":\"{event_type}\"");
        for name in EVENT_MEMBERS {
            json.push_str(",\"");
            json.push_str(name);
            json.push_str("\":");
            json.push_str(if name == member { &payload } else { "null" });
        }
        json.push('}');
        json
    }

    /// The object that describes the task, in its events and elsewhere.
    pub(crate) fn payload(&self, report: TaskReport, base: &str) -> Value {
        match self.source_api {
            SourceApi::Create => self.create_payload(base),
            SourceApi::Procedure => self.procedure_payload(report, base),
        }
    }

    fn create_payload(&self, base: &str) -> Value {
        let sheets = self.sheets(base);
        json!({
            "TaskId": self.task_id(),
            "ErrCode": if self.failed { 60000 } else { 0 },
            "Message": if self.failed { "source file error: no video stream" } else { "" },
            "FileId": self.file_id(),
            "Definition": DEFINITION,
            "TotalCount": if self.failed { Some(0) } else { self.total_count(CountedTiles::All) },
            "ImageSpriteUrlSet": (!self.failed).then_some(sheets),
            "WebVttUrl": self.vtt_url(base),
        })
    }

    fn procedure_payload(&self, report: TaskReport, base: &str) -> Value {
        json!({
            "TaskId": self.task_id(),
            "Status": match report {
                TaskReport::Progress => "PROCESSING",
                TaskReport::End => "FINISH",
            },
            "ErrCode": 0,
            "Message": "",
            "FileId": self.file_id(),
            "FileName": format!("video-{}.mp4", self.file),
            "FileUrl": "",
            "MetaData": null,
            "MediaProcessResultSet": [{
                "Type": "ImageSprites",
                "TranscodeTask": null,
                "AnimatedGraphicTask": null,
                "SnapshotByTimeOffsetTask": null,
                "SampleSnapshotTask": null,
                "ImageSpriteTask": match report {
                    TaskReport::Progress => self.procedure_progress(),
                    TaskReport::End => self.procedure_result(base),
                },
                "CoverBySnapshotTask": null,
                "AdaptiveDynamicStreamingTask": null,
            }],
            "AiContentReviewResultSet": [],
            "AiAnalysisResultSet": [],
            "AiRecognitionResultSet": [],
            "TasksPriority": 0,
            "TasksNotifyMode": match self.notify_mode {
                NotifyMode::Finish => "Finish",
                NotifyMode::Change => "Change",
                NotifyMode::None => "None",
            },
            "SessionContext": "",
            "SessionId": "",
            "Operator": "",
            "OperationType": "",
        })
    }

    fn procedure_progress(&self) -> Value {
        json!({
            "Status": "PROCESSING",
            "ErrCodeExt": "",
            "ErrCode": 0,
            "Message": "",
            "Input": { "Definition": DEFINITION },
            "Output": null,
            "Progress": 40,
            "BeginProcessTime": time(self.began()),
            "FinishTime": "",
        })
    }

    fn procedure_result(&self, base: &str) -> Value {
        let (status, code, extended, message) = if self.failed {
            ("FAIL", 60000, "SourceFileError.NoVideoMedia", "the source has no video stream")
        } else {
            ("SUCCESS", 0, "", "")
        };
        // Here, unlike with the other API, the count is documented as that of one sheet.
        let output = (!self.failed).then(|| {
            json!({
                "Definition": DEFINITION,
                "Height": TILE_SIZE.1,
                "Width": TILE_SIZE.0,
                "TotalCount": self.total_count(CountedTiles::Sheet),
                "ImageUrlSet": self.sheets(base),
                "WebVttUrl": self.vtt_url(base),
            })
        });
        json!({
            "Status": status,
            "ErrCodeExt": extended,
            "ErrCode": code,
            "Message": message,
            "Input": { "Definition": DEFINITION },
            "Output": output,
            "Progress": 100,
            "BeginProcessTime": time(self.began()),
            "FinishTime": time(self.finished),
        })
    }

    fn began(&self) -> DateTime<Utc> {
        self.finished - PROCESSING_TIME
    }
}

/// A time as the service writes it.
pub(crate) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::super::quirks::SpriteQuirks;
    use super::super::task::{SpriteOrder, Sprites};
    use super::*;

    fn sample(name: &str) -> Value {
        let path = format!("{}/../../tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    fn event(source_api: SourceApi, fail_every: u32, report: TaskReport) -> Value {
        let order =
            SpriteOrder { source_api: Some(source_api), fail_every, ..SpriteOrder::default() };
        let now = DateTime::from_timestamp(1_735_689_672, 0).unwrap();
        let task = Sprites::new(1, SpriteQuirks::default()).make(&order, now).remove(0);
        serde_json::from_str(&task.event(report, "http://x")).unwrap()
    }

    /// The kind of each value, by its path; what follows a null on either side is not compared.
    fn same_shape(ours: &Value, sample: &Value, path: &str) {
        match (ours, sample) {
            (Value::Object(ours), Value::Object(sample)) => {
                let names = |object: &serde_json::Map<String, Value>| -> Vec<String> {
                    object.keys().filter(|name| *name != "EventHandle").cloned().collect()
                };
                assert_eq!(names(ours), names(sample), "{path}");
                for (name, value) in ours {
                    same_shape(value, &sample[name], &format!("{path}.{name}"));
                }
            }
            (Value::Array(ours), Value::Array(sample)) => {
                if let (Some(ours), Some(sample)) = (ours.last(), sample.last()) {
                    same_shape(ours, sample, &format!("{path}[]"));
                }
            }
            (Value::Null, _) if path.ends_with(".MetaData") => {}
            _ => assert_eq!(
                std::mem::discriminant(ours),
                std::mem::discriminant(sample),
                "{path}: {ours} {sample}"
            ),
        }
    }

    #[test]
    fn events_have_the_shape_of_the_clouds() {
        let (create, procedure) = (SourceApi::Create, SourceApi::Procedure);
        for (source_api, fail_every, report, name) in [
            (create, 0, TaskReport::End, "create_image_sprite_complete.success.json"),
            (create, 1, TaskReport::End, "create_image_sprite_complete.failure.json"),
            (procedure, 0, TaskReport::End, "procedure_state_changed.sprite_success.json"),
            (procedure, 1, TaskReport::End, "procedure_state_changed.two_sprites_mixed.json"),
            (procedure, 0, TaskReport::Progress, "procedure_state_changed.sprite_processing.json"),
        ] {
            same_shape(&event(source_api, fail_every, report), &sample(name), name);
        }
    }
}
