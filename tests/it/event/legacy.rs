//! Bodies of the format 2.0.

use serde_json::{Value, json};
use sprited::event::{Event, SpriteStatus};

use super::{LEGACY_SAMPLE, entry, event, key, stored_again};
use crate::support::data;

const TASK: &str = "1500012345-Procedure-legacy";

/// A body of this type with these data.
fn legacy(event_type: &str, data: &Value) -> Event {
    let text = json!({"version": "4.0", "eventType": event_type, "data": data}).to_string();
    let event = event(&text);
    assert_eq!(stored_again(&event), event);
    assert_eq!(event.body, text);
    event
}

/// Type, file, task and number of sprites.
fn facts(event: &Event) -> Value {
    json!([event.event_type, event.file_id, event.task_id, event.sprites.len()])
}

fn procedure(tasks: &[Value]) -> Event {
    legacy(
        "ProcedureStateChanged",
        &json!({"vodTaskId": TASK, "status": "FINISH", "errCode": 0, "message": "",
                "fileId": "7", "metaData": {}, "processTaskList": tasks}),
    )
}

fn task(status: &Value, error: &Value, output: &Value) -> Value {
    json!({"taskType": "ImageSprites", "status": status, "errCode": error, "message": "why",
           "input": {"definition": 10}, "output": output})
}

#[test]
fn type_and_ids_of_every_documented_event() {
    let ids =
        json!({"status": 0, "message": "", "vodTaskId": "t", "fileId": "14508071098244929440"});
    for event_type in [
        "ClipComplete",
        "ConcatComplete",
        "CreateSnapshotByTimeOffsetComplete",
        "NewFileUpload",
        "ProcedureStateChanged",
        "PullComplete",
        "TranscodeComplete",
    ] {
        let event = legacy(event_type, &ids);
        assert_eq!(facts(&event), json!([event_type, "14508071098244929440", "t", 0]));
        assert!(!event.is_repeatable(), "{event_type}");
    }
    let sprite = legacy("CreateImageSpriteComplete", &ids);
    assert_eq!(
        facts(&sprite),
        json!(["CreateImageSpriteComplete", "14508071098244929440", "t", 1])
    );
    assert_eq!((sprite.is_image_sprite(), sprite.is_repeatable()), (true, false));
}

#[test]
fn what_names_no_task_can_happen_again_unless_its_file_tells() {
    let none = json!({"vodTaskId": "", "fileId": "9031868000000000916"});
    let is_repeatable = |event_type| {
        let event = legacy(event_type, &none);
        assert_eq!(event.task_id, None);
        event.is_repeatable()
    };
    assert!(!is_repeatable("NewFileUpload"));
    assert!(is_repeatable("TranscodeComplete"));
    assert!(is_repeatable("FileDeleted"));
}

#[test]
fn a_deletion_is_of_its_only_file() {
    let of = |files: Value| {
        let event = legacy("FileDeleted", &json!({"status": 0, "fileInfo": files}));
        assert!(event.is_repeatable());
        event.file_id
    };
    assert_eq!(of(json!([{"fileId": "14508071098244929440"}])).unwrap(), "14508071098244929440");
    assert_eq!(of(json!([{"fileId": 7}])).unwrap(), "7");
    for none in [json!([{"fileId": "1"}, {"fileId": "2"}]), json!([]), json!([{}]), json!({})] {
        assert_eq!(of(none.clone()), None, "{none}");
    }
}

#[test]
fn sprites_of_a_procedure() {
    let output =
        json!({"totalCount": 9, "urlList": ["http://a/1.jpg", ""], "webVttUrl": "http://a/v"});
    let event = procedure(&[
        json!({"taskType": "Transcode", "status": "SUCCESS", "errCode": 0}),
        task(&json!("SUCCESS"), &json!(0), &output),
        task(&json!("FAIL"), &json!(30020), &Value::Null),
        task(&json!("PROCESSING"), &json!(0), &Value::Null),
    ]);
    assert_eq!(facts(&event), json!(["ProcedureStateChanged", "7", TASK, 3]));
    let mut sprites = serde_json::to_value(&event.sprites).unwrap();
    sprites.as_array_mut().unwrap().iter_mut().for_each(|sprite| {
        sprite.as_object_mut().unwrap().remove("id");
    });
    let sprite = |status: &str| {
        json!({"task_id": TASK, "file_id": "7", "definition": 10, "status": status,
               "error": null, "tile_count": null, "tile_width": null, "tile_height": null,
               "sheets": [], "vtt_url": null})
    };
    let [mut success, mut failure] = [sprite("success"), sprite("fail")];
    success["tile_count"] = json!(9);
    success["sheets"] = json!(["http://a/1.jpg"]);
    success["vtt_url"] = json!("http://a/v");
    failure["error"] = json!({"code": "30020", "message": "why"});
    assert_eq!(sprites, json!([success, failure, sprite("processing")]));
}

#[test]
fn the_sprite_of_a_procedure_has_the_id_of_the_same_one_in_the_format_3() {
    let urls = json!(["http://a/1.jpg"]);
    let legacy = procedure(&[task(
        &json!("SUCCESS"),
        &json!(0),
        &json!({"totalCount": 9, "urlList": urls, "webVttUrl": "http://a/v"}),
    )]);
    let newer = json!({"EventType": "ProcedureStateChanged", "ProcedureStateChangeEvent": {
        "TaskId": TASK, "FileId": "7", "MediaProcessResultSet": [{"Type": "ImageSprites",
            "ImageSpriteTask": {"Status": "SUCCESS", "Input": {"Definition": 10}, "Output":
                {"TotalCount": 9, "ImageUrlSet": urls, "WebVttUrl": "http://a/v"}}}]}});
    assert_eq!(legacy.sprites, event(&newer.to_string()).sprites);
}

#[test]
fn a_status_that_is_no_word_leaves_it_to_the_error_code() {
    let of = |status: Value, error: Value, output: Value| {
        procedure(&[task(&status, &error, &output)]).sprites[0].status
    };
    let sheets = json!({"urlList": ["u"]});
    use SpriteStatus::{Fail, Processing, Success};
    assert_eq!(of(Value::Null, json!(0), sheets.clone()), Success);
    assert_eq!(of(Value::Null, json!(5), sheets.clone()), Fail);
    assert_eq!(of(Value::Null, Value::Null, Value::Null), Processing);
    assert_eq!(of(json!("WAITING"), json!(0), Value::Null), Processing);
    assert_eq!(of(json!("WAITING"), json!("5"), Value::Null), Fail);
    assert_eq!(of(json!("SUCCESS"), json!(5), sheets), Success);
}

#[test]
fn a_sprite_fails_by_its_status_or_its_error_code() {
    let of = |data: Value| {
        let event = legacy("CreateImageSpriteComplete", &data);
        let [sprite] = event.sprites.as_slice() else { panic!("{:?}", event.sprites) };
        let error = sprite.error.clone().map(|error| json!([error.code, error.message]));
        json!([sprite.status, error])
    };
    assert_eq!(of(json!({"status": 0})), json!(["success", null]));
    assert_eq!(of(json!({"status": 60000, "message": "m"})), json!(["fail", ["60000", "m"]]));
    assert_eq!(of(json!({"errCode": 7})), json!(["fail", ["7", ""]]));
    assert_eq!(of(json!({"status": 1, "errCode": 7})), json!(["fail", ["7", ""]]));
    assert_eq!(of(json!({"status": 1, "errCode": 0})), json!(["fail", ["1", ""]]));
    assert_eq!(of(json!({"imageSpriteUrl": ["u"]})), json!(["success", null]));
    assert_eq!(of(json!({})), json!(["fail", ["Unknown", ""]]));
}

#[test]
fn it_is_read_where_it_was_pulled_as_well() {
    let sample = data(LEGACY_SAMPLE);
    let with_number = sample.replace(r#""version": "4.0""#, r#""version": 4"#);
    assert_eq!(event(&with_number).sprites, event(&sample).sprites);
    let pulled = entry(&sample.replacen('{', r#"{"EventHandle":"h","#, 1));
    assert_eq!(pulled.handle.as_deref(), Some("h"));
    assert_eq!(*pulled.event, event(&sample));
}

/// An EventType makes it an event of the format 3.0; without its members it is of neither.
#[test]
fn what_is_not_quite_of_the_format_is_not() {
    let whole = r#""eventType":"ClipComplete","data":{"vodTaskId":"t"}"#;
    let of = |text: &str| {
        let event = event(text);
        assert_eq!(stored_again(&event), event);
        json!([event.event_type, event.task_id])
    };
    assert_eq!(of(&format!("{{{whole}}}")), json!(["ClipComplete", "t"]));
    assert_eq!(of(&format!(r#"{{"version":4,{whole}}}"#)), json!(["ClipComplete", "t"]));
    for newer in [r#""EventType":"X""#, r#""EventType":7"#, r#""EventType":"""#] {
        let event_type = if newer.contains('X') { "X" } else { "Unknown" };
        assert_eq!(of(&format!("{{{whole},{newer}}}")), json!([event_type, null]), "{newer}");
    }
    // A member that is null is none, for the key as well.
    let null = format!(r#"{{{whole},"EventType":null}}"#);
    assert_eq!(of(&null), json!(["ClipComplete", "t"]));
    assert_eq!(key(&null), key(&format!("{{{whole}}}")));
    for other in [
        r#"{"eventType":"ClipComplete","data":[{"vodTaskId":"t"}]}"#,
        r#"{"eventType":"ClipComplete"}"#,
        r#"{"eventType":7,"data":{"vodTaskId":"t"}}"#,
        r#"{"data":{"vodTaskId":"t"}}"#,
        r#"[{"eventType":"ClipComplete","data":{"vodTaskId":"t"}}]"#,
    ] {
        assert_eq!(of(other), json!(["Unknown", null]), "{other}");
    }
    assert_eq!(of(r#"{"eventType":"a\u0000","data":{"vodTaskId":"t"}}"#), json!(["Unknown", "t"]));
}
