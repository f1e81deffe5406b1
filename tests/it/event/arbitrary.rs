//! Any entry at all is read and kept.

use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::RawValue;
use sprited::event::{Entry, Event, EventFormat, read};

use super::{APP, SAMPLES, UNKNOWN_SAMPLE, event, pulled, stored_again, value};
use crate::support::data;

/// Any JSON value whose members often have names that mean something here.
pub(super) fn any_json() -> impl Strategy<Value = Value> {
    let known = prop::sample::select(vec![
        "EventHandle",
        "EventType",
        "eventType",
        "data",
        "vodTaskId",
        "fileId",
        "fileInfo",
        "processTaskList",
        "CreateImageSpriteCompleteEvent",
        "ProcedureStateChangeEvent",
        "MediaProcessResultSet",
        "ImageSpriteTask",
        "Status",
        "Input",
        "Output",
        "Definition",
        "ImageUrlSet",
        "ImageSpriteUrlSet",
        "WebVttUrl",
        "FileId",
        "TaskId",
        "ErrCode",
        "ErrCodeExt",
        "Message",
        "TotalCount",
    ]);
    let name = prop_oneof![known.prop_map(str::to_owned), any::<String>()];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
        prop::sample::select(vec!["SUCCESS", "FAIL", "", "0", "-1"]).prop_map(Into::into),
    ];
    leaf.prop_recursive(8, 80, 8, move |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            3 => prop::collection::vec((name.clone(), inner), 0..8)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// What must hold for an entry of any content; gives it back.
fn read_and_check(raw: &RawValue) -> Result<Entry, TestCaseError> {
    let entry = read(APP, raw.get(), false, pulled());
    let event = &*entry.event;
    prop_assert!(!event.body.contains(|c: char| c < ' '), "one line: {:?}", event.body);
    prop_assert_eq!(&stored_again(event), event);
    let mut out = Vec::new();
    event.render(EventFormat::CloudEvents, &mut out);
    prop_assert!(serde_json::from_slice::<&RawValue>(&out).is_ok());
    prop_assert!(!out.contains(&b'\n'));
    prop_assert!(!event.event_type.is_empty());

    // Read once more, the body is the event that it was read from.
    let body: &RawValue = serde_json::from_str(&event.body)
        .map_err(|error| TestCaseError::fail(format!("{error}: {}", event.body)))?;
    let again = read(APP, body.get(), false, pulled());
    prop_assert_eq!(again.handle, None);
    prop_assert_eq!(&*again.event, event);
    Ok(entry)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_json_is_kept_whole(json in any_json(), pretty in any::<bool>()) {
        let text =
            if pretty { format!("{json:#}") } else { json.to_string() };
        let entry = read_and_check(serde_json::from_str(&text).unwrap())?;
        let mut expected = json;
        if let Value::Object(members) = &mut expected
            && members.get("EventHandle").is_some_and(Value::is_string)
        {
            let handle = members.remove("EventHandle");
            let handle = handle.as_ref().and_then(Value::as_str).filter(|text| !text.is_empty());
            prop_assert_eq!(entry.handle.as_deref(), handle);
        } else {
            prop_assert_eq!(entry.handle, None);
        }
        prop_assert_eq!(value(&entry.event.body), expected);
    }

    #[test]
    fn a_stored_body_of_any_text_is_an_event(body in any::<String>()) {
        let event = stored_again(&Event { body, ..event("{}") });
        prop_assert!(event.sprites.is_empty());
        let mut out = Vec::new();
        event.render(EventFormat::Callback, &mut out);
        prop_assert_eq!(out, event.body.as_bytes());
    }

    #[test]
    fn any_bytes_that_are_json_are_read(bytes in json_like_bytes()) {
        if let Ok(raw) = serde_json::from_slice::<&RawValue>(&bytes) {
            read_and_check(raw)?;
        }
    }

    #[test]
    fn a_damaged_sample_that_is_json_is_read(
        name in prop::sample::select([&SAMPLES[..], &[UNKNOWN_SAMPLE]].concat()),
        damages in prop::collection::vec((any::<prop::sample::Index>(), any_damage()), 1..5),
    ) {
        let mut bytes = data(name).into_bytes();
        for (index, damage) in damages {
            let at = index.index(bytes.len());
            bytes.splice(at..=at, damage);
        }
        if let Ok(raw) = serde_json::from_slice::<&RawValue>(&bytes) {
            read_and_check(raw)?;
        }
        // As the answer of a pull is read whose bytes were not UTF-8.
        if let Ok(raw) = serde_json::from_str(&String::from_utf8_lossy(&bytes)) {
            read_and_check(raw)?;
        }
    }
}

/// What a byte becomes: mostly something that leaves JSON what it is.
fn any_damage() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::sample::select(vec!["7", "a", " ", "\\u0041", "\\ud800", "é", "[]", "null", "\"\""])
            .prop_map(|text| text.as_bytes().to_vec()),
        any::<u8>().prop_map(|byte| vec![byte]),
        Just(Vec::new()),
    ]
}

/// Few of these are JSON, but some are.
fn json_like_bytes() -> impl Strategy<Value = Vec<u8>> {
    let tokens = vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"\"",
        "\"EventType\":",
        "\"EventHandle\":",
        "\"a\":",
        "\"",
        "null",
        "true",
        "1",
        "-0.5e7",
        " ",
        "\n",
        "\\",
        "\\ud800",
        "\"\\ud800\"",
        "{}",
        "[]",
    ];
    let tokens = prop::collection::vec(prop::sample::select(tokens), 0..12);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..64),
        tokens.clone().prop_map(|tokens| tokens.concat().into_bytes()),
        tokens.prop_map(|tokens| format!("{{{}}}", tokens.concat()).into_bytes()),
    ]
}
