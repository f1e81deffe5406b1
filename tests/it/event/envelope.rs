//! What a sink receives.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;
use sprited::event::{
    AfterResult, AfterState, AppId, Event, EventFormat, EventOrigin, MirrorFinding, MirrorResult,
    MirrorStatus, MirrorTile, read,
};

use super::{APP, LEGACY_SAMPLE, SAMPLES, UNKNOWN_SAMPLE, event, pulled, stored_again, value};
use crate::support::data;

/// The example of the documents, as the queue hands it out.
const EXAMPLE: &str = r#"{
    "EventHandle":"EventHandle.N",
    "EventType":"CreateImageSpriteComplete",
    "FileUploadEvent":null,
    "EditMediaComplete":null,
    "CreateImageSpriteCompleteEvent":{
        "ErrCode":0,
        "Message":"",
        "TaskId":"CreateImageSprite-1edb7eb88a599d05abe451cfc541cfbd",
        "FileId":"14508071098244929440",
        "Definition":10,
        "TotalCount":106,
        "ImageSpriteUrlSet":[
            "http://125676836723.vod2.myqcloud.com/xxx/xxx/1.png",
            "http://125676836723.vod2.myqcloud.com/xxx/xxx/2.png"
        ],
        "WebVttUrl":"http://125676836723.vod2.myqcloud.com/xxx/xxx/xxx.vtt"
    }
}"#;

const EXAMPLE_BODY: &str = concat!(
    r#"{"EventType":"CreateImageSpriteComplete","FileUploadEvent":null,"EditMediaComplete":null,"#,
    r#""CreateImageSpriteCompleteEvent":{"ErrCode":0,"Message":"","#,
    r#""TaskId":"CreateImageSprite-1edb7eb88a599d05abe451cfc541cfbd","#,
    r#""FileId":"14508071098244929440","Definition":10,"TotalCount":106,"#,
    r#""ImageSpriteUrlSet":["http://125676836723.vod2.myqcloud.com/xxx/xxx/1.png","#,
    r#""http://125676836723.vod2.myqcloud.com/xxx/xxx/2.png"],"#,
    r#""WebVttUrl":"http://125676836723.vod2.myqcloud.com/xxx/xxx/xxx.vtt"}}"#,
);

/// Key and sprite id are part of what is stored and sent: they may never change.
const EXAMPLE_ENVELOPE: &str = concat!(
    r#"{"specversion":"1.0","id":"7b6fcf25ccdc05e326af032112ac9b3b","#,
    r#""source":"/tencentcloud/vod/1500012345","#,
    r#""type":"com.tencentcloud.vod.CreateImageSpriteComplete","#,
    r#""subject":"14508071098244929440","time":"2025-01-01T00:02:03.456Z","#,
    r#""datacontenttype":"application/json","data":{"sprites":["#,
    r#"{"id":"ccb2ae76d4594c559ab244064979350d","#,
    r#""task_id":"CreateImageSprite-1edb7eb88a599d05abe451cfc541cfbd","#,
    r#""file_id":"14508071098244929440","definition":10,"status":"success","error":null,"#,
    r#""tile_count":106,"tile_width":null,"tile_height":null,"#,
    r#""sheets":["http://125676836723.vod2.myqcloud.com/xxx/xxx/1.png","#,
    r#""http://125676836723.vod2.myqcloud.com/xxx/xxx/2.png"],"#,
    r#""vtt_url":"http://125676836723.vod2.myqcloud.com/xxx/xxx/xxx.vtt"}],"event":"#,
);

fn rendered(event: &Event, format: EventFormat) -> String {
    let mut out = Vec::new();
    event.render(format, &mut out);
    String::from_utf8(out).unwrap()
}

fn envelope(event: &Event) -> String {
    rendered(event, EventFormat::CloudEvents)
}

#[test]
fn the_envelope_of_the_example_is_exactly_this() {
    assert_eq!(envelope(&event(EXAMPLE)), format!("{EXAMPLE_ENVELOPE}{EXAMPLE_BODY}}}}}"));
}

#[test]
fn the_callback_is_the_body() {
    assert_eq!(rendered(&event(EXAMPLE), EventFormat::Callback), EXAMPLE_BODY);
}

#[test]
fn formats_have_names_and_media_types() {
    let format = |name: &str| serde_json::from_value::<EventFormat>(Value::from(name));
    assert_eq!(format("cloudevents").unwrap(), EventFormat::default());
    assert_eq!(format("callback").unwrap(), EventFormat::Callback);
    assert!(format("CloudEvents").is_err());
    let media_types =
        [EventFormat::CloudEvents, EventFormat::Callback].map(EventFormat::content_type);
    assert_eq!(media_types, ["application/cloudevents+json; charset=utf-8", "application/json"]);
}

/// Events of all kinds, the odd ones too.
fn events() -> Vec<Event> {
    let samples = SAMPLES.into_iter().chain([UNKNOWN_SAMPLE, LEGACY_SAMPLE]).map(data);
    let odd = [
        EXAMPLE,
        "null",
        "7",
        "[1, 2]",
        r#""text""#,
        r#"{"EventType":"","XEvent":{"FileId":""}}"#,
        r#"{"EventType":"a\u0000b","XEvent":{"FileId":"\n"}}"#,
        r#"{"EventType":"\ud800","XEvent":{"FileId":"\udc00"}}"#,
        r#"{"EventType":"类型 \" \\","XEvent":{"FileId":18446744073709551617}}"#,
    ];
    let mut events: Vec<_> =
        samples.chain(odd.map(str::to_owned)).map(|text| event(&text)).collect();
    events.push(Event { replaced: true, ..event(EXAMPLE) });
    events.push(Event { replaced: true, origin: EventOrigin::Callback, ..event(EXAMPLE) });
    events.push(Event { origin: EventOrigin::Reconcile, ..event(EXAMPLE) });
    events
}

/// An envelope as JSON, its event taken out after a look at it: that may be JSON which no
/// [`Value`] can hold.
fn without_body(envelope: &str, body: &str) -> Value {
    let members: BTreeMap<&str, &RawValue> = serde_json::from_str(envelope).unwrap();
    let mut data: BTreeMap<&str, &RawValue> = serde_json::from_str(members["data"].get()).unwrap();
    assert_eq!(data.remove("event").unwrap().get(), body);
    let data = data.into_iter().map(|(name, raw)| (name.to_owned(), value(raw.get()))).collect();
    let attributes = members.into_iter().filter(|(name, _)| *name != "data");
    attributes
        .map(|(name, raw)| (name.to_owned(), value(raw.get())))
        .chain([("data".to_owned(), data)])
        .collect()
}

#[test]
fn every_envelope_is_a_cloud_event() {
    let schema = value(&data("cloudevents.schema.json"));
    let schema = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    let result =
        AfterResult { error: Some("no\nanswer\u{1b}".to_owned()), ..after(AfterState::Dead) };
    let last = Event { after: Some(Arc::new(result)), ..event(EXAMPLE) };
    for event in events().into_iter().chain([last]) {
        let text = envelope(&event);
        assert!(!text.contains(['\n', '\r']), "one line: {text}");
        let mut json = without_body(&text, &event.body);
        if let Err(error) = schema.validate(&json) {
            panic!("{error} in {text}");
        }
        // What the specification says beyond its schema.
        assert_eq!(json["specversion"], "1.0");
        assert_eq!(json["id"], event.key.to_string());
        let attributes = json.as_object_mut().unwrap();
        attributes.remove("data");
        for (name, attribute) in attributes {
            assert!(
                name.len() <= 20
                    && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()),
                "{name}"
            );
            let is_valid = match &*attribute {
                Value::String(text) => !text.is_empty() && !text.contains(char::is_control),
                other => other.is_boolean(),
            };
            assert!(is_valid, "{name}: {attribute:?}");
        }
    }
    let fault = serde_json::json!({"specversion": "1.0", "id": "", "source": "/", "type": "x"});
    assert!(!schema.is_valid(&fault), "the schema itself is at work");
}

#[test]
fn the_same_bytes_at_every_call_and_after_storage() {
    for event in events() {
        for format in [EventFormat::CloudEvents, EventFormat::Callback] {
            let once = rendered(&event, format);
            assert_eq!(rendered(&event, format), once);
            assert_eq!(rendered(&stored_again(&event), format), once);
            let mut appended = b"before\n".to_vec();
            event.render(format, &mut appended);
            assert_eq!(appended, [b"before\n", once.as_bytes()].concat());
        }
    }
}

#[test]
fn the_time_has_milliseconds_whatever_the_clock_gives() {
    for (time, text) in [
        ("2025-01-01T00:00:00Z", "2025-01-01T00:00:00.000Z"),
        ("2025-01-01T08:00:00.123456789+08:00", "2025-01-01T00:00:00.123Z"),
    ] {
        let mut event = event(EXAMPLE);
        event.first_pulled = time.parse().unwrap();
        assert_eq!(value(&envelope(&event))["time"], text);
    }
}

#[test]
fn the_primary_application_has_no_id_in_the_source() {
    let raw = EXAMPLE;
    let source = |app| {
        let json = value(&envelope(&read(app, raw, false, pulled()).event));
        json["source"].as_str().unwrap().to_owned()
    };
    assert_eq!(source(AppId::default()), "/tencentcloud/vod");
    assert_eq!(source(AppId(u64::MAX)), "/tencentcloud/vod/18446744073709551615");
}

#[test]
fn replaced_bytes_are_marked() {
    let raw = EXAMPLE;
    let event = Event::clone(&read(APP, raw, true, pulled()).event);
    assert!(event.replaced);
    for event in [stored_again(&event), event] {
        assert_eq!(value(&envelope(&event))["replacedutf8"], true);
    }
    assert_eq!(value(&envelope(&super::event(EXAMPLE))).get("replacedutf8"), None);
}

#[test]
fn it_says_how_an_event_arrived_that_was_not_pulled() {
    let origins = [
        (EventOrigin::Queue, None),
        (EventOrigin::Callback, Some("callback")),
        (EventOrigin::Reconcile, Some("reconcile")),
    ];
    let pulled = envelope(&event(EXAMPLE));
    for (origin, name) in origins {
        let event = Event { origin, ..event(EXAMPLE) };
        for event in [stored_again(&event), event] {
            let text = envelope(&event);
            assert_eq!(value(&text).get("origin").and_then(Value::as_str), name);
            let without = name.map(|name| text.replace(&format!(r#","origin":"{name}""#), ""));
            assert_eq!(without.unwrap_or(text), pulled, "nothing else is different");
            assert_eq!(rendered(&event, EventFormat::Callback), EXAMPLE_BODY);
        }
    }
}

fn after(state: AfterState) -> AfterResult {
    AfterResult {
        sink: "cdn".to_owned(),
        state,
        error: None,
        attempts: 1,
        first_failed: None,
        mirrored: Vec::new(),
    }
}

#[test]
fn it_says_what_became_of_the_event_at_the_sink_before() {
    let dead = AfterResult {
        error: Some("404 \"Not\nFound\"".to_owned()),
        attempts: 3,
        first_failed: Some("2025-01-01T08:00:00.123456789+08:00".parse().unwrap()),
        ..after(AfterState::Dead)
    };
    let expected = concat!(
        r#"],"after":{"sink":"cdn","state":"dead","error":"404 \"Not\nFound\"","attempts":3,"#,
        r#""first_failed":"2025-01-01T00:00:00.123Z"},"event":"#,
    );
    let without = event(EXAMPLE);
    assert!(without.after.is_none());
    let with = Event { after: Some(Arc::new(dead)), ..event(EXAMPLE) };
    let text = envelope(&with);
    assert!(text.contains(expected), "{text}");
    assert_eq!(text, envelope(&with), "a retry is the same bytes");
    let rest = text.replacen(expected, r#"],"event":"#, 1);
    assert_eq!(rest, envelope(&without), "nothing else is different");
    assert_eq!(rendered(&with, EventFormat::Callback), EXAMPLE_BODY);
}

#[test]
fn a_result_is_kept_as_it_is_sent() {
    for (state, word) in [
        (AfterState::Delivered, "delivered"),
        (AfterState::Dead, "dead"),
        (AfterState::Discarded, "discarded"),
        (AfterState::Skipped, "skipped"),
    ] {
        let result = after(state);
        let text = serde_json::to_string(&result).unwrap();
        let expected = format!(
            r#"{{"sink":"cdn","state":"{word}","error":null,"attempts":1,"first_failed":null}}"#
        );
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<AfterResult>(&text).unwrap(), result);
        let time = Some("2025-01-01T00:00:00Z".parse().unwrap());
        let failed = AfterResult { first_failed: time, ..result };
        let text = serde_json::to_string(&failed).unwrap();
        assert!(text.contains("\"2025-01-01T00:00:00.000Z\""), "{text}");
        assert_eq!(serde_json::from_str::<AfterResult>(&text).unwrap(), failed);
    }
}

#[test]
fn what_a_mirror_made_of_a_sprite_stands_in_the_sprite() {
    let result = MirrorResult {
        sink: "cdn".to_owned(),
        status: MirrorStatus::Ok,
        error: None,
        manifest: Some("https://img.example.com/10.json".to_owned()),
        vtt: Some("https://img.example.com/10-0/thumbnails.vtt".to_owned()),
        sheets: Some(vec!["https://img.example.com/10-0/0.jpg".to_owned()]),
        tile: Some(MirrorTile { width: 142, height: 80 }),
        count: Some(106),
        findings: vec![MirrorFinding { code: "count".to_owned(), text: "one less".to_owned() }],
    };
    let after = after(AfterState::Delivered).with_mirrored(vec![result]);
    let stored = serde_json::to_string(&after).unwrap();
    assert_eq!(serde_json::from_str::<AfterResult>(&stored).unwrap(), after);
    let plain = event(EXAMPLE);
    let mirrored = Event { after: Some(Arc::new(after)), ..event(EXAMPLE) };
    let text = envelope(&mirrored);
    let expected = concat!(
        r#","mirror":{"sink":"cdn","status":"ok","error":null,"#,
        r#""manifest":"https://img.example.com/10.json","#,
        r#""vtt":"https://img.example.com/10-0/thumbnails.vtt","#,
        r#""sheets":["https://img.example.com/10-0/0.jpg"],"#,
        r#""tile":{"width":142,"height":80},"count":106,"#,
        r#""findings":[{"code":"count","text":"one less"}]}}],"after":{"#,
    );
    assert!(text.contains(expected), "{text}");
    let rest = text.replacen(&expected[..expected.len() - 11], "}", 1);
    let after = r#""after":{"sink":"cdn","state":"delivered","error":null,"attempts":1,"first_failed":null},"#;
    assert!(rest.contains(after), "the results stand in the sprites alone: {rest}");
    assert_eq!(rest.replacen(after, "", 1), envelope(&plain), "nothing else is different");
    assert_eq!(rendered(&mirrored, EventFormat::Callback), EXAMPLE_BODY);
}
