//! Events of a size or shape that nobody would send by intent.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde_json::json;
use sprited::event::{Entry, EventFormat, UNKNOWN_TYPE, read};

use super::{APP, entry, key, pulled};

const MIB: usize = 1024 * 1024;

/// What takes milliseconds may take so much of the processor without optimization; were it
/// quadratic, it would take minutes.
const FAR_TOO_LONG: Duration = Duration::from_secs(5);

/// What this thread has had of the processor: a busy machine adds nothing to it.
fn processor_time() -> Duration {
    Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap())
}

/// Reads and renders an entry and holds it to the time.
#[track_caller]
fn in_time(text: &str) -> Entry {
    let raw = text;
    let start = processor_time();
    let entry = read(APP, raw, false, pulled());
    let mut out = Vec::new();
    entry.event.render(EventFormat::CloudEvents, &mut out);
    let taken = processor_time() - start;
    assert!(taken < FAR_TOO_LONG, "{} bytes took {taken:?}", text.len());
    assert!(out.len() < 64 * text.len() + 4096, "{} bytes became {}", text.len(), out.len());
    entry
}

#[test]
fn long_strings_are_kept_whole() {
    let plain = "样".repeat(2 * MIB / 3);
    let escaped = r"\u6837\\\ud83d\ude00".repeat(2 * MIB / 20);
    let broken = r"\ud800 ".repeat(2 * MIB / 7);
    for long in [&plain, &escaped, &broken] {
        let text = format!(r#"{{"EventType":"X","XEvent":{{"FileId":"f","Name":"{long}"}}}}"#);
        let entry = in_time(&text);
        assert!(entry.event.body == text);
        assert_eq!(entry.event.file_id.as_deref(), Some("f"));
        let other = format!(r#"{{"EventType":"X","XEvent":{{"FileId":"f","Name":"{long}."}}}}"#);
        assert_ne!(entry.event.key, key(&other));
    }
}

#[test]
fn long_names_types_ids_and_handles_are_kept_whole() {
    let long = "x".repeat(2 * MIB);
    let text = format!(r#"{{"EventType":"{long}","{long}":{{"FileId":"{long}"}}}}"#);
    let entry = in_time(&text);
    assert!(entry.event.body == text);
    assert_eq!((&*entry.event.event_type, &entry.event.file_id), (UNKNOWN_TYPE, &None));

    let entry = in_time(&format!(r#"{{"EventHandle":"{long}"}}"#));
    assert!(entry.handle.as_deref() == Some(&*long));
}

#[test]
fn long_urls_stay_in_the_sprite() {
    let long = "u".repeat(2 * MIB);
    let entry = in_time(
        &json!({"CreateImageSpriteCompleteEvent":
            {"ErrCode": 0, "ImageSpriteUrlSet": [long], "WebVttUrl": long}})
        .to_string(),
    );
    let sprite = &entry.event.sprites[0];
    assert!(sprite.sheets[0] == long && sprite.vtt_url.as_ref() == Some(&long));
}

#[test]
fn deep_nesting_is_kept_whole() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}"), (r#"[{"]":"#, "}]")] {
        for depth in [127, 128, 129, 100_000] {
            let nested = |leaf: &str| {
                let (open, close) = (open.repeat(depth), close.repeat(depth));
                format!(r#"{{"EventHandle":"h","EventType":"X","Deep":{open}{leaf}{close}}}"#)
            };
            let text = nested("1");
            let entry = in_time(&text);
            assert_eq!(entry.handle.as_deref(), Some("h"));
            assert_eq!(entry.event.event_type, "X");
            assert!(entry.event.body == text.replace(r#""EventHandle":"h","#, ""), "{depth}");
            let spaced =
                text.replace('[', "[ ").replace(':', " :\n").replace(r#""h""#, r#""other""#);
            assert_eq!(entry.event.key, key(&spaced), "{depth}");
            assert_ne!(entry.event.key, key(&nested("2")), "{depth}");
        }
    }
}

#[test]
fn deep_nesting_hides_no_sprite_beside_it() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let entry = in_time(&format!(
        r#"{{"EventType":"ProcedureStateChanged","ProcedureStateChangeEvent":{{"A":{deep},
            "MediaProcessResultSet":[{deep},{{"ImageSpriteTask":{{"Status":"FAIL","A":{deep}}}}}],
            "TaskId":"t"}}}}"#
    ));
    assert_eq!(entry.event.sprites[0].task_id.as_deref(), Some("t"));
}

#[test]
fn lone_surrogates_are_kept_as_they_are_written() {
    let text = concat!(
        r#"{"EventType":"X","XEvent":{"\ud800":"\uD83D","FileId":"a\udc00b","#,
        r#""Cut":"\ud83d\u0041\udE00\ud83d"}}"#
    );
    let event = entry(text).event;
    assert_eq!(event.body, text);
    assert_eq!(event.event_type, "X");
    assert_eq!(event.file_id.as_deref(), Some(r"a\udc00b"));
}

#[test]
fn many_members_and_elements_take_linear_time() {
    let many = |part: &str| part.repeat(MIB / part.len());
    let texts = [
        format!(r#"{{{}"b":1}}"#, many(r#""a":1,"#)),
        format!(r#"{{{}"b":1}}"#, many(r#""a":null,"#)),
        format!(r#"{{{}"b":1}}"#, many(r#""":{},"#)),
        format!(r#"{{{}"b":1}}"#, many(r#""EventHandle":"h","#)),
        format!(r#"{{{}"b":1}}"#, many(r#""XEvent":{"FileId":"","TaskId":null},"#)),
        format!(r#"{{{}"b":1}}"#, many(r#""\u0041":"\u0041","#)),
        format!("[{}1]", many("[],")),
        format!("[{}1]", many(" 1 ,\n")),
        format!("[{}1]", many(&format!("{}{},", "[".repeat(200), "]".repeat(200)))),
        many("["),
    ];
    for (number, mut text) in texts.into_iter().enumerate() {
        if text.ends_with('[') {
            text.push_str(&"]".repeat(text.len()));
        }
        let entry = in_time(&text);
        assert!(entry.event.body.len() <= text.len(), "{number}");
    }
    let distinct: String = (0..100_000).map(|number| format!(r#""m{number}":{{}},"#)).collect();
    in_time(&format!(r#"{{{distinct}"b":1}}"#));
}

/// Half of the payload are sprites, half is what each sprite could be made to repeat or search.
#[test]
fn many_sprites_of_a_large_payload_take_linear_time_and_space() {
    let sprites = r#"{"ImageSpriteTask":{}},"#.repeat(MIB / 2 / 23);
    let members = r#""a":0,"#.repeat(MIB / 2 / 6);
    let id = "t".repeat(MIB / 2);
    for rest in [members.clone(), format!(r#""TaskId":"{id}","FileId":"{id}","#)] {
        let entry = in_time(&format!(
            r#"{{"ProcedureStateChangeEvent":{{{rest}"MediaProcessResultSet":[{sprites}null]}}}}"#
        ));
        assert_eq!(entry.event.sprites.len(), MIB / 2 / 23);
    }
}

#[test]
fn an_event_of_too_many_values_has_one_key_whatever_its_handle() {
    let many = "0,".repeat(600_000);
    let nested = |handle: &str, more: &str| {
        format!(
            r#"{{"A":{{"TaskId":"t","L":[{many}0]}},"EventHandle":"{handle}","EventType":"X"{more}}}"#
        )
    };
    let members: String = (0..600_000).map(|n| format!("\"{n:x}\":0,")).collect();
    let flat = |handle: &str, more: &str| {
        format!(r#"{{{members}"EventHandle":"{handle}","EventType":"X"{more}}}"#)
    };
    type Written<'a> = dyn Fn(&str, &str) -> String + 'a;
    let kinds: [(&Written<'_>, Option<&str>); 2] = [(&nested, Some("t")), (&flat, None)];
    for (entry, task_id) in kinds {
        let read = |handle, more| read(APP, &entry(handle, more), false, pulled());
        let (first, again, other) = (read("h1", ""), read("h2", ""), read("h1", r#","Z":1"#));
        assert_eq!((first.handle.as_deref(), again.handle.as_deref()), (Some("h1"), Some("h2")));
        assert_eq!(first.event.key, again.event.key);
        assert_ne!(first.event.key, other.event.key, "what is passed over counts");
        assert_eq!(first.event.event_type, "X");
        assert_eq!(first.event.task_id.as_deref(), task_id);
        let kept = entry("h1", "").replace(r#""EventHandle":"h1","#, "");
        assert!(first.event.body == kept, "it is kept, token for token");
    }
}
