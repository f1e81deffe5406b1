//! What the documents and the service do to an event that they should not.

use serde_json::json;
use sprited::event::{ImageSprite, SpriteStatus, UNKNOWN_TYPE};

use super::{entry, event, key};
use crate::support::data;

/// The sprites of a procedure whose only result is `result`.
fn sprites_of_result(result: &str) -> Vec<ImageSprite> {
    event(&format!(
        r#"{{"EventType":"ProcedureStateChanged","ProcedureStateChangeEvent":{{
            "TaskId":"t","FileId":"f","MediaProcessResultSet":[{result}]}}}}"#
    ))
    .sprites
}

/// The sprite of an ImageSpriteTask.
fn sprite_of_task(task: &str) -> ImageSprite {
    let sprites = sprites_of_result(&format!(r#"{{"ImageSpriteTask":{task}}}"#));
    assert_eq!(sprites.len(), 1, "{task}");
    sprites.into_iter().next().unwrap()
}

/// The sprite of a CreateImageSpriteComplete.
fn sprite_of_2017(task: &str) -> ImageSprite {
    let text = format!(
        r#"{{"EventType":"CreateImageSpriteComplete","CreateImageSpriteCompleteEvent":{task}}}"#
    );
    event(&text).sprites.into_iter().next().unwrap()
}

#[test]
fn an_id_of_zeros_or_blanks_is_none_and_tells_no_event_from_another() {
    for id in ["0", r#""0""#, r#""000""#, r#"" ""#, r#""""#, "null"] {
        let event = event(&format!(
            r#"{{"EventType":"TranscodeComplete","TranscodeCompleteEvent":{{"TaskId":{id}}}}}"#
        ));
        assert!(event.task_id.is_none() && event.is_repeatable(), "{id}");
    }
    for id in ["10", r#""0-1""#, r#""0x0""#] {
        let event = event(&format!(
            r#"{{"EventType":"TranscodeComplete","TranscodeCompleteEvent":{{"TaskId":{id}}}}}"#
        ));
        assert!(event.task_id.is_some() && !event.is_repeatable(), "{id}");
    }
}

#[test]
fn unknown_members_and_missing_ones_do_not_matter() {
    // The documents' own spelling of two members, which the schema does not know, and only
    // eleven of the thirty-seven that it knows.
    let event = event(&data("create_image_sprite_complete.doc_member_names.json"));
    assert!(event.body.contains(r#""EditMediaComplete":null,"WechatPublishComplete":null"#));
    assert_eq!(event.sprites.len(), 1);
    assert!(event.is_image_sprite());

    let sprite = sprite_of_2017(
        r#"{"New":{"a":[1]},"ErrCode":0,"Newer":null,"ImageSpriteUrlSet":["u"],"WebVttUrl":"v"}"#,
    );
    assert_eq!(sprite.status, SpriteStatus::Success);
    assert_eq!((sprite.sheets, sprite.vtt_url), (vec!["u".to_owned()], Some("v".to_owned())));
}

#[test]
fn of_members_that_repeat_the_last_one_counts_and_all_stay() {
    let text = concat!(
        r#"{"EventHandle":"first","EventType":"A","EventType":"CreateImageSpriteComplete","#,
        r#""CreateImageSpriteCompleteEvent":{"FileId":"other"},"#,
        r#""CreateImageSpriteCompleteEvent":{"TaskId":"t","Definition":10,"Definition":20,"#,
        r#""FileId":"a","FileId":"b","ErrCode":5,"ErrCode":0},"EventHandle":"second"}"#
    );
    let entry = entry(text);
    assert_eq!(entry.handle.as_deref(), Some("second"));
    let event = entry.event;
    assert_eq!(event.event_type, "CreateImageSpriteComplete");
    assert_eq!(event.file_id.as_deref(), Some("b"));
    assert_eq!(event.sprites[0].file_id.as_deref(), Some("b"));
    assert_eq!(event.sprites[0].definition, Some(20));
    assert_eq!(event.sprites[0].status, SpriteStatus::Success);
    let body = text.replace(r#""EventHandle":"first","#, "");
    assert_eq!(event.body, body.replace(r#","EventHandle":"second""#, ""));
}

#[test]
fn numbers_may_be_strings_and_strings_numbers() {
    let sprite = sprite_of_2017(
        r#"{"TaskId":77,"ErrCode":"0","FileId":14508071098244929440,"Definition":"10",
            "TotalCount":"106","ImageSpriteUrlSet":["u"]}"#,
    );
    assert_eq!(sprite.status, SpriteStatus::Success);
    assert_eq!(sprite.task_id.as_deref(), Some("77"));
    assert_eq!(sprite.file_id.as_deref(), Some("14508071098244929440"));
    assert_eq!((sprite.definition, sprite.tile_count), (Some(10), Some(106)));

    let failed = sprite_of_2017(r#"{"ErrCode":"70000","Message":"x"}"#);
    assert_eq!(failed.status, SpriteStatus::Fail);
    assert_eq!(failed.error.unwrap().code, "70000");
}

#[test]
fn numbers_of_the_wrong_kind_are_none() {
    let sprite =
        sprite_of_2017(r#"{"ErrCode":0,"Definition":10.5,"TotalCount":true,"TaskId":false}"#);
    assert_eq!((sprite.definition, sprite.tile_count, sprite.task_id), (None, None, None));
    let sprite = sprite_of_2017(r#"{"ErrCode":0,"Definition":99999999999999999999}"#);
    assert_eq!(sprite.definition, None);
}

#[test]
fn task_ids_of_each_shape_are_opaque() {
    for id in [
        "1500012345-Procedure-98e3b4d7t0",
        "1500012345-procedurev2-98e3b4d7t0",
        "CreateImageSprite-98e3b4d7",
        "1500012345-Pull-98e3b4d7",
    ] {
        let event = event(&json!({"EventType": "X", "XEvent": {"TaskId": id}}).to_string());
        assert_eq!(event.task_id.as_deref(), Some(id));
    }
}

#[test]
fn file_ids_beyond_64_bits_keep_their_digits() {
    for literal in
        [r#""14508071098244929440""#, "14508071098244929440", r#""99999999999999999999""#]
    {
        let text = format!(r#"{{"EventType":"X","XEvent":{{"FileId":{literal}}}}}"#);
        let event = event(&text);
        assert_eq!(event.file_id.as_deref(), Some(literal.trim_matches('"')));
        assert_eq!(event.body, text);
    }
}

#[test]
fn urls_pass_unchanged() {
    let url = r"http://h/%E6%A0%B7 7/a.jpg?t=1&sign=a+b==#x\u4e2d";
    let sprite = sprite_of_2017(&format!(r#"{{"ErrCode":0,"ImageSpriteUrlSet":["{url}"]}}"#));
    assert_eq!(sprite.sheets, [url.replace(r"\u4e2d", "中")]);
}

#[test]
fn free_text_of_users_stays_as_it_is() {
    let context = r#""{\"tenant\":\"blue\\u0041\"}\u0000\t\n\/ 中 😀 \ud83d\ude00 \u202e, : ] }""#;
    let text = format!(
        r#"{{"EventType":"ProcedureStateChanged","ProcedureStateChangeEvent":{{"FileName":{context},"SessionContext":{context}}}}}"#
    );
    let event = event(&text);
    assert_eq!(event.body, text);
    assert!(!event.body.contains('\n'));
}

#[test]
fn the_word_for_the_type_of_result_does_not_matter() {
    let task = r#""ImageSpriteTask":{"Status":"SUCCESS"}"#;
    for result in [
        format!(r#"{{"Type":"ImageSprites",{task}}}"#),
        format!(r#"{{"Type":"ImageSprite",{task}}}"#),
        format!(r#"{{"Type":null,{task}}}"#),
        format!(r#"{{{task}}}"#),
    ] {
        assert_eq!(sprites_of_result(&result).len(), 1, "{result}");
    }
    for result in [
        r#"{"Type":"ImageSprites","ImageSpriteTask":null}"#,
        r#"{"Type":"ImageSprites","ImageSpriteTask":"x"}"#,
        r#"{"Type":"ImageSprites","ImageSpriteTask":[]}"#,
        r#"{"Type":"ImageSprites"}"#,
        "null",
        "7",
        "[]",
    ] {
        assert_eq!(sprites_of_result(result), [], "{result}");
    }
}

#[test]
fn a_failure_may_have_a_null_output_and_no_long_code() {
    let task = r#"{"Status":"FAIL","ErrCodeExt":"SourceFileError.NoVideoMedia","ErrCode":60000,
        "Message":"no video","Input":{"Definition":10},"Output":null}"#;
    let sprite = sprite_of_task(task);
    assert_eq!(sprite.status, SpriteStatus::Fail);
    assert_eq!(sprite.definition, Some(10));
    assert_eq!((sprite.sheets.len(), sprite.vtt_url, sprite.tile_count), (0, None, None));
    let error = sprite.error.unwrap();
    assert_eq!((&*error.code, &*error.message), ("SourceFileError.NoVideoMedia", "no video"));

    for (task, code) in [
        (r#"{"Status":"FAIL","ErrCode":60000,"Message":null}"#, "60000"),
        (r#"{"Status":"FAIL","ErrCodeExt":"","ErrCode":40000}"#, "40000"),
        (r#"{"Status":"FAIL","ErrCodeExt":null,"ErrCode":null}"#, "Unknown"),
        (r#"{"Status":"FAIL"}"#, "Unknown"),
    ] {
        let error = sprite_of_task(task).error.unwrap();
        assert_eq!((&*error.code, &*error.message), (code, ""), "{task}");
    }
}

#[test]
fn success_is_told_by_the_status_not_by_the_message() {
    for message in [r#""""#, r#""SUCCESS""#, "null", r#""any""#] {
        let task = format!(r#"{{"Status":"SUCCESS","Message":{message},"Output":{{}}}}"#);
        let sprite = sprite_of_task(&task);
        assert_eq!((sprite.status, sprite.error), (SpriteStatus::Success, None));
    }
}

#[test]
fn what_is_not_known_to_be_over_is_processing() {
    for status in [r#""PROCESSING""#, r#""WAITING""#, r#""success""#, r#""""#, "null", "3", "{}"] {
        let sprite = sprite_of_task(&format!(r#"{{"Status":{status},"Output":null}}"#));
        assert_eq!(sprite.status, SpriteStatus::Processing, "{status}");
        assert!(!sprite.is_finished());
        assert_eq!(sprite.error, None);
    }
}

#[test]
fn sheets_without_a_state_are_a_success() {
    let sprite = sprite_of_task(r#"{"Output":{"ImageUrlSet":["u"]}}"#);
    assert_eq!(sprite.status, SpriteStatus::Success);
    let sprite = sprite_of_2017(r#"{"ImageSpriteUrlSet":["u"]}"#);
    assert_eq!(sprite.status, SpriteStatus::Success);
    let sprite = sprite_of_2017(r#"{"TaskId":"t"}"#);
    assert_eq!(sprite.status, SpriteStatus::Fail);
}

#[test]
fn the_sprite_template_stands_in_the_input_or_the_output() {
    for (task, definition) in [
        (r#"{"Input":{"Definition":10},"Output":{"Definition":20}}"#, Some(10)),
        (r#"{"Input":{"Definition":null},"Output":{"Definition":20}}"#, Some(20)),
        (r#"{"Input":null,"Output":{"Definition":20}}"#, Some(20)),
        (r#"{"Input":{},"Output":{}}"#, None),
        (r"{}", None),
    ] {
        assert_eq!(sprite_of_task(task).definition, definition, "{task}");
    }
}

#[test]
fn several_sprites_of_one_set_keep_their_order() {
    let sprites = sprites_of_result(
        r#"{"ImageSpriteTask":{"Status":"SUCCESS","Input":{"Definition":10}}},
           {"Type":"Transcode","TranscodeTask":{"Status":"FAIL"},"ImageSpriteTask":null},
           {"ImageSpriteTask":{"Status":"PROCESSING","Input":{"Definition":11}}},
           {"ImageSpriteTask":{"Status":"FAIL","Input":{"Definition":12}}}"#,
    );
    let seen: Vec<_> = sprites.iter().map(|s| (s.definition, s.status)).collect();
    assert_eq!(
        seen,
        [
            (Some(10), SpriteStatus::Success),
            (Some(11), SpriteStatus::Processing),
            (Some(12), SpriteStatus::Fail)
        ]
    );
    assert!(sprites.iter().all(|s| s.task_id.as_deref() == Some("t")));
    assert!(sprites.iter().all(|s| s.file_id.as_deref() == Some("f")));
}

#[test]
fn times_and_progress_of_any_kind_hurt_nothing() {
    for rest in [
        r#","BeginProcessTime":"0001-01-01T00:00:00Z","FinishTime":"0001-01-01T00:00:00Z""#,
        r#","BeginProcessTime":"","FinishTime":"","Progress":"""#,
        r#","BeginProcessTime":null,"FinishTime":17,"Progress":250"#,
        "",
    ] {
        let task = format!(r#"{{"Status":"SUCCESS","Output":{{"ImageUrlSet":["u"]}}{rest}}}"#);
        assert_eq!(sprite_of_task(&task).sheets, ["u"], "{rest}");
    }
}

#[test]
fn urls_that_are_null_absent_empty_or_no_list_are_none() {
    for urls in [
        "",
        r#","ImageSpriteUrlSet":null,"WebVttUrl":null"#,
        r#","ImageSpriteUrlSet":[],"WebVttUrl":"""#,
        r#","ImageSpriteUrlSet":"u","WebVttUrl":["v"]"#,
        r#","ImageSpriteUrlSet":[null,"",7,{}],"WebVttUrl":7"#,
    ] {
        let sprite = sprite_of_2017(&format!(r#"{{"ErrCode":0{urls}}}"#));
        assert_eq!((sprite.sheets.len(), sprite.vtt_url), (0, None), "{urls}");
    }
}

#[test]
fn entries_that_are_no_objects_are_kept() {
    let texts =
        ["null", "true", "17", "-0.0e+5", "\"a b\"", "[]", r#"[{"EventHandle":"h","b":1}]"#, "{}"];
    let mut keys = std::collections::HashSet::new();
    for text in texts {
        let entry = entry(&format!(" \n{text}\t"));
        assert_eq!(entry.handle, None, "{text}");
        assert_eq!(entry.event.event_type, UNKNOWN_TYPE);
        assert_eq!(entry.event.body, text);
        assert!(keys.insert(entry.event.key), "{text}");
    }
}

#[test]
fn a_handle_that_is_no_text_is_none_and_stays() {
    for handle in ["null", "17", "true", "{}", r#"["h"]"#] {
        let text = format!(r#"{{"EventHandle":{handle},"EventType":"X"}}"#);
        let entry = entry(&text);
        assert_eq!(entry.handle, None, "{handle}");
        assert_eq!(entry.event.event_type, "X");
        assert_eq!(entry.event.body, text);
    }
    for text in [r#"{"EventHandle":"","EventType":"X"}"#, r#"{"EventType":"X"}"#] {
        let entry = entry(text);
        assert_eq!(entry.handle, None, "{text}");
        assert_eq!(entry.event.body, r#"{"EventType":"X"}"#);
    }
}

#[test]
fn the_body_is_the_entry_without_its_handles_wherever_they_stand() {
    for (text, body) in [
        (r#"{"EventHandle":"h"}"#, "{}"),
        (r#"{"EventHandle":"h","a":1}"#, r#"{"a":1}"#),
        (r#"{"a":1,"EventHandle":"h"}"#, r#"{"a":1}"#),
        (r#"{"a":1,"EventHandle":"h","b":2}"#, r#"{"a":1,"b":2}"#),
        (r#"{ "a" : 1 , "EventHandle":"x" , "EventHandle":"h" , "b":[ ] }"#, r#"{"a":1,"b":[]}"#),
        (r#" {"EventHandle":"x","a":", ","EventHandle":"h"} "#, r#"{"a":", "}"#),
        (r#"{"EventHandle":"h","a":",","EventHandle":7}"#, r#"{"a":",","EventHandle":7}"#),
    ] {
        let entry = entry(text);
        assert_eq!(entry.event.body, body, "{text}");
        assert_eq!(entry.handle.as_deref(), Some("h"), "{text}");
    }
}

#[test]
fn a_handle_is_never_lost_to_one_that_is_no_text() {
    let entry = entry(r#"{"EventHandle":"h","EventHandle":17}"#);
    assert_eq!(entry.handle.as_deref(), Some("h"));
    assert_eq!(entry.event.body, r#"{"EventHandle":17}"#);
}

#[test]
fn only_the_handle_of_the_entry_itself_is_taken() {
    let text = r#"{"EventType":"X","XEvent":{"EventHandle":"inner"}}"#;
    let entry = entry(text);
    assert_eq!(entry.handle, None);
    assert_eq!(entry.event.body, text);
    assert_ne!(entry.event.key, key(&text.replace("inner", "other")));
}

#[test]
fn a_type_that_is_no_name_is_unknown() {
    let long = format!("\"{}\"", "x".repeat(257));
    for literal in ["null", "7", r#""""#, "{}", r#"["A"]"#, r#""a\u0000b""#, r#""a\nb""#, &*long] {
        let text = format!(r#"{{"EventType":{literal}}}"#);
        let event = event(&text);
        assert_eq!(event.event_type, UNKNOWN_TYPE, "{literal}");
        assert_eq!(event.body, text);
    }
    assert_eq!(event("{}").event_type, UNKNOWN_TYPE);
    assert_eq!(event(r#"{"EventType":"类型 7"}"#).event_type, "类型 7");
}

#[test]
fn a_missing_type_costs_no_sprite() {
    let event = event(r#"{"CreateImageSpriteCompleteEvent":{"ErrCode":0}}"#);
    assert_eq!(event.sprites.len(), 1);
    assert!(event.is_image_sprite());
}

#[test]
fn the_payload_is_the_member_with_an_id() {
    let text = r#"{"EventType":"X","Extra":{"a":1},"XEvent":{"FileId":"f"},"More":{"TaskId":""}}"#;
    assert_eq!(event(text).file_id.as_deref(), Some("f"));
}

#[test]
fn ids_that_are_no_ids_are_none() {
    let long = format!("\"{}\"", "7".repeat(257));
    for literal in ["null", "true", "[]", r#""""#, r#""a\u007f""#, &*long] {
        let text = format!(r#"{{"EventType":"X","XEvent":{{"TaskId":"t","FileId":{literal}}}}}"#);
        let event = event(&text);
        assert_eq!((event.file_id, event.task_id.as_deref()), (None, Some("t")), "{literal}");
        assert_eq!(event.body, text);
    }
}
