//! The events of sprite tasks in the format of API 2.0.

use serde_json::{Value, json};

use super::layout::{DEFINITION, TILE_SIZE};
use super::quirks::CountedTiles;
use super::task::{SourceApi, Task, TaskReport};

impl Task {
    /// The event with this report as API 2.0 posts it, in one line. The same at every call.
    pub(crate) fn legacy_event(&self, report: TaskReport, base: &str) -> String {
        let (event_type, data) = match self.source_api {
            SourceApi::Create => ("CreateImageSpriteComplete", self.legacy_create(base)),
            SourceApi::Procedure => ("ProcedureStateChanged", self.legacy_procedure(report, base)),
        };
        // The format is called 2.0; this member says 4.0, as a string.
        json!({ "version": "4.0", "eventType": event_type, "data": data }).to_string()
    }

    fn legacy_create(&self, base: &str) -> Value {
        json!({
            "status": if self.failed { 60000 } else { 0 },
            "message": if self.failed { "source file error: no video stream" } else { "" },
            "vodTaskId": self.task_id(),
            "fileId": self.file_id(),
            "definition": DEFINITION,
            "totalCount": if self.failed { Some(0) } else { self.total_count(CountedTiles::All) },
            "imageSpriteUrl": self.sheets(base),
            "webVttUrl": self.vtt_url(base).unwrap_or_default(),
        })
    }

    fn legacy_procedure(&self, report: TaskReport, base: &str) -> Value {
        let (status, result_status, message) = match (report, self.failed) {
            (TaskReport::Progress, _) => ("PROCESSING", "PROCESSING", ""),
            (TaskReport::End, false) => ("FINISH", "SUCCESS", "SUCCESS"),
            (TaskReport::End, true) => ("FINISH", "FAIL", "the source has no video stream"),
        };
        let mut result = json!({
            "taskType": "ImageSprites",
            "status": result_status,
            "errCode": if result_status == "FAIL" { 60000 } else { 0 },
            "message": message,
            "input": { "definition": DEFINITION },
        });
        // Only a success has it.
        if result_status == "SUCCESS" {
            result["output"] = json!({
                "definition": DEFINITION,
                "height": TILE_SIZE.1,
                "width": TILE_SIZE.0,
                "totalCount": self.total_count(CountedTiles::All),
                "urlList": self.sheets(base),
                "webVttUrl": self.vtt_url(base),
            });
        }
        json!({
            "vodTaskId": self.task_id(),
            "status": status,
            "errCode": 0,
            "message": "",
            "fileId": self.file_id(),
            "metaData": null,
            "processTaskList": [result],
        })
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::super::quirks::SpriteQuirks;
    use super::super::task::{SpriteOrder, Sprites};
    use super::*;

    fn event(source_api: SourceApi, fail_every: u32, report: TaskReport) -> Value {
        let order =
            SpriteOrder { source_api: Some(source_api), fail_every, ..SpriteOrder::default() };
        let now = DateTime::from_timestamp(1_735_689_672, 0).unwrap();
        let task = Sprites::new(1, SpriteQuirks::default()).make(&order, now).remove(0);
        serde_json::from_str(&task.legacy_event(report, "http://x")).unwrap()
    }

    #[test]
    fn an_event_of_2017_has_the_shape_of_the_clouds() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/data/legacy_v2.create_image_sprite_complete.push_body.json"
        );
        let sample: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let names =
            |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
        let ours = event(SourceApi::Create, 0, TaskReport::End);
        assert_eq!(names(&ours), names(&sample));
        assert_eq!(names(&ours["data"]), names(&sample["data"]));
        for (name, value) in ours["data"].as_object().unwrap() {
            let same =
                std::mem::discriminant(value) == std::mem::discriminant(&sample["data"][name]);
            assert!(same, "{name}: {value}");
        }
    }

    #[test]
    fn only_a_success_of_a_procedure_has_an_output() {
        let result = |fail_every, report| {
            event(SourceApi::Procedure, fail_every, report)["data"]["processTaskList"][0].clone()
        };
        let success = result(0, TaskReport::End);
        assert_eq!(success["status"], "SUCCESS");
        assert!(success["output"]["urlList"][0].as_str().unwrap().starts_with("http://x/"));
        for (fail_every, report, status) in
            [(1, TaskReport::End, "FAIL"), (0, TaskReport::Progress, "PROCESSING")]
        {
            let result = result(fail_every, report);
            assert_eq!((&result["status"], result.get("output")), (&status.into(), None));
        }
    }
}
