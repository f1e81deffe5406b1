//! Posted bodies: the event that is pulled as well, whatever signs it.

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use serde_json::value::RawValue;
use sprited::event::{
    AppId, EntryReader, EventFormat, EventOrigin, PostedEntry, SpriteError, SpriteStatus,
};

use super::arbitrary::any_json;
use super::{APP, SAMPLES, entry, event, pulled, stored_again};
use crate::support::data;

const SEED: &str = "7b6fcf25ccdc05e326af032112ac9b3b";
const SEED_SPRITE: &str = "ccb2ae76d4594c559ab244064979350d";

fn posted(text: &str) -> PostedEntry {
    let raw: &RawValue = serde_json::from_str(text).unwrap();
    let posted = EntryReader::default().read_posted(APP, raw.get(), false, pulled());
    assert_eq!(posted.entry.handle, None);
    assert_eq!(posted.entry.event.origin, EventOrigin::Callback);
    posted
}

fn vector(name: &str) -> String {
    data(&format!("callbacks/{name}.json"))
}

/// Name, key, type and the ids of the sprites of each body; all of application 1500012345.
const VECTORS: [(&str, &str, &str, &[&str]); 10] = [
    ("seed_push", SEED, "CreateImageSpriteComplete", &[SEED_SPRITE]),
    ("seed_pull_entry", SEED, "CreateImageSpriteComplete", &[SEED_SPRITE]),
    ("seed_from_task_detail", SEED, "CreateImageSpriteComplete", &[SEED_SPRITE]),
    ("seed_push_signed_1", SEED, "CreateImageSpriteComplete", &[SEED_SPRITE]),
    (
        "seed_legacy",
        "8135d46508f0e6095c20929e9916e8a6",
        "CreateImageSpriteComplete",
        &[SEED_SPRITE],
    ),
    (
        "legacy_sprite",
        "cd9a7ce4d0d97400f64322d5ce8a2928",
        "CreateImageSpriteComplete",
        &["d222ecc5ee4a1e06960c899e8af33cb7"],
    ),
    ("legacy_new_file_upload", "9ca4a17a5a1b9bde464f8a0720929e8d", "NewFileUpload", &[]),
    (
        "procedure_from_task_detail",
        "1eb482c593ff9974aae5669675991bcd",
        "ProcedureStateChanged",
        &["36d209b39cb872f885107ace7d0661cc"],
    ),
    // The same task as it is posted: of another key, its sprite of the same id.
    (
        "procedure_push",
        "c01a32fe7fccb7165904dfc674a2da7c",
        "ProcedureStateChanged",
        &["36d209b39cb872f885107ace7d0661cc"],
    ),
    (
        "legacy_procedure",
        "85122cb35e0fadb7ed908cf4cbf160a6",
        "ProcedureStateChanged",
        &["e396d8c3d178ea860c0628e3b883f186", "c004d8b3edfbe5c6c5e928c798f4dc3c"],
    ),
];

#[test]
fn keys_and_sprites_of_the_vectors() {
    let mut reader = EntryReader::default();
    for (name, key, event_type, sprites) in VECTORS {
        let posted = posted(&vector(name)).entry.event;
        assert_eq!(posted.key.to_string(), key, "{name}");
        assert_eq!(posted.event_type, event_type, "{name}");
        let ids: Vec<_> = posted.sprites.iter().map(|sprite| &*sprite.id).collect();
        assert_eq!(ids, sprites, "{name}");
        assert!(!posted.is_repeatable(), "{name}");
        assert_eq!(stored_again(&posted), *posted, "{name}");
        if name != "seed_push_signed_1" {
            assert_eq!(event(&vector(name)).key.to_string(), key, "{name}");
            let made = reader.read_reconciled(APP, vector(name).trim(), pulled());
            assert_eq!((made.handle, made.event.origin), (None, EventOrigin::Reconcile));
            assert_eq!(made.event.key.to_string(), key, "{name}");
        }
    }
    let seed = vector("seed_push");
    let of_primary = reader.read_posted(AppId(0), &seed, false, pulled());
    assert_eq!(of_primary.entry.event.key.to_string(), "6729969f15c43fad4bad2a3f03161893");
    let procedure = posted(&vector("legacy_procedure")).entry.event;
    let told = procedure.sprites.iter().map(|sprite| (sprite.status, sprite.error.as_ref()));
    let failure = SpriteError {
        code: "30020".to_owned(),
        message: "source file cannot be decoded".to_owned(),
    };
    let expected = [(SpriteStatus::Success, None), (SpriteStatus::Fail, Some(&failure))];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    let upload = posted(&vector("legacy_new_file_upload")).entry.event;
    assert_eq!(
        (upload.task_id.as_deref(), upload.file_id.as_deref()),
        (None, Some("9031868000000000916"))
    );
}

#[test]
fn the_seed_posted_signed_unsigned_and_pulled_is_one_event() {
    let signed = posted(&vector("seed_push_signed_1"));
    assert_eq!(signed.sign.as_deref(), Some("b4763a4aa6a03605e93c2abd58be15a7"));
    assert_eq!(signed.expires.as_deref(), Some("1796004600"));
    let later = vector("seed_push_signed_1")
        .replace("b4763a4aa6a03605e93c2abd58be15a7", "6395213c57db1ad48e283e01c34e368a")
        .replace("1796004600", "1796004605");
    let unsigned = posted(&vector("seed_push"));
    assert_eq!((unsigned.sign, unsigned.expires), (None, None));
    assert_eq!(signed.entry.event, unsigned.entry.event);
    assert_eq!(posted(&later).entry.event, unsigned.entry.event);
    assert_eq!(event(&vector("seed_pull_entry")).key, unsigned.entry.event.key);
    // Pulled, they are members as any other: the queue has none of them.
    assert_eq!(
        event(&vector("seed_push_signed_1")).key.to_string(),
        "0c95afd9b953358db1e931789d491fa5"
    );
}

/// MPS names the time otherwise, and the files by paths in a bucket: an event of which no sprite is
/// known, and whose signature is no signature here.
#[test]
fn what_a_sister_product_posts_is_an_event_as_any_other() {
    let body = vector("mps_url");
    let posted = posted(&body);
    assert_eq!(posted.sign.as_deref(), Some("19c27edbb9b2db2d62b2bf93835ca5ae"));
    assert_eq!(posted.expires, None);
    let told = posted.entry.event;
    assert_eq!((told.event_type.as_str(), told.sprites.len()), ("WorkflowTask", 0));
    let task = "1500012345-WorkflowTask-8d2c6b0e4f1a4973a5e8c1d7b3f09264t0";
    assert_eq!(told.task_id.as_deref(), Some(task));
    assert!(told.body.contains(r#""Timestamp":1796004600,"SessionId""#), "{}", told.body);
    assert!(told.body.contains("imageSprite_10_0.jpg"));
}

/// The members of the root that stand in `text`, each as `"name":value`.
fn posted_with(members: &str) -> PostedEntry {
    posted(&format!(r#"{{"EventType":"X",{members}"A":1}}"#))
}

#[test]
fn what_signs_it_is_given_back_as_text_or_as_written() {
    for (members, sign, expires) in [
        ("", None, None),
        (r#""Sign":"a","T":17,"#, Some("a"), Some("17")),
        (r#""sIGN":"\u0061","t":"17","#, Some("a"), Some("17")),
        (r#""\u0053ign":"a","\u0054":1.7e9,"#, Some("a"), Some("1.7e9")),
        (r#""Sign":"","T":"","#, Some(""), Some("")),
        (r#""Sign":null,"T":null,"#, Some("null"), Some("null")),
        (r#""Sign":[ 1 ],"T":{"a" : 2},"#, Some("[ 1 ]"), Some(r#"{"a" : 2}"#)),
        (r#""Sign":"a","sign":"b","T":1,"T":2,"#, Some("b"), Some("2")),
        (r#""Sign":"\ud800","T":" 17","#, Some(r"\ud800"), Some(" 17")),
        (r#""Signs":"a","TT":1,"EventHandle":"h","#, None, None),
    ] {
        let posted = posted_with(members);
        assert_eq!(
            (posted.sign.as_deref(), posted.expires.as_deref()),
            (sign, expires),
            "{members}"
        );
        if !members.contains("TT") {
            assert_eq!(posted.entry.event.body, r#"{"EventType":"X","A":1}"#, "{members}");
        }
    }
    // Only those of the root.
    let inner = posted(r#"{"a":{"Sign":"x","T":1}}"#);
    assert_eq!((inner.sign, inner.expires), (None, None));
    assert_eq!(inner.entry.event.body, r#"{"a":{"Sign":"x","T":1}}"#);
    assert_eq!(posted(r#"["Sign","T"]"#).entry.event.body, r#"["Sign","T"]"#);
}

/// So many values that not all are read, and such depth.
#[test]
fn what_signs_it_may_be_of_any_size() {
    let bare = posted_with("").entry.event;
    let many = format!("[{}0]", "0,".repeat(600_000));
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    for value in [&many, &deep] {
        assert_eq!(posted_with(&format!(r#""Sign":{value},"#)).entry.event, bare);
        let signed = posted(&format!(r#"{{"T":{value},"EventType":"X","A":1,"Sign":"a"}}"#));
        assert_eq!((signed.entry.event, signed.sign.as_deref()), (bare.clone(), Some("a")));
    }
    // Behind all that is read of a body.
    let huge = |signed: &str| format!(r#"{{"EventType":"X","A":{many},"B":{many}{signed}}}"#);
    let signed = posted(&huge(r#","t":3,"SIGN":"a""#));
    assert_eq!((signed.sign.as_deref(), signed.expires.as_deref()), (Some("a"), Some("3")));
    assert_eq!(signed.entry.event, posted(&huge("")).entry.event);
}

#[test]
fn each_sample_is_the_same_event_pulled_and_posted() {
    for name in SAMPLES {
        let sample = data(name);
        let (pulled, posted) = (entry(&sample).event, posted(&sample).entry.event);
        assert_eq!((posted.key, &posted.body), (pulled.key, &pulled.body), "{name}");
        let mut out = Vec::new();
        posted.render(EventFormat::Callback, &mut out);
        assert_eq!(out, posted.body.as_bytes(), "what one sprited sends another can read");
    }
}

/// A value with white space thrown in, and how its member is named.
fn any_member() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "Sign",
        "sign",
        "SIGN",
        "sIgN",
        "T",
        "t",
        "\\u0054",
        "S\\u0069gn",
    ]);
    let value = prop_oneof![
        3 => (any_json(), any::<bool>()).prop_map(|(json, pretty)| {
            if pretty { format!("{json:#}") } else { json.to_string() }
        }),
        1 => prop::sample::select(vec![
            "1796004600", "\"1796004600\"", "-1", "1e400", "\"\\ud800\"", "null", "\"\"", "{}", "[]",
        ])
        .prop_map(str::to_owned),
    ];
    let space = prop::sample::select(vec!["", " ", "\n\t", "\r\n"]);
    (name, value, space)
        .prop_map(|(name, value, space)| format!("{space}\"{name}\"{space}:{space}{value}{space}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_sign_and_no_time_changes_key_or_body(
        json in any_json().prop_filter("an object", serde_json::Value::is_object),
        signs in prop::collection::vec((any::<prop::sample::Index>(), any_member()), 1..5),
    ) {
        // The members, as written; those that sign it by themselves are not among them.
        let mut members: Vec<String> = json
            .as_object()
            .unwrap()
            .iter()
            .filter(|(name, _)| !name.eq_ignore_ascii_case("sign") && !name.eq_ignore_ascii_case("t"))
            .map(|(name, value)| format!("{}:{value}", serde_json::Value::from(name.as_str())))
            .collect();
        let bare = format!("{{{}}}", members.join(","));
        for (index, sign) in signs {
            members.insert(index.index(members.len() + 1), sign);
        }
        let signed = posted(&format!("{{{}}}", members.join(",")));
        prop_assert!(signed.sign.is_some() || signed.expires.is_some());
        prop_assert_eq!(&*signed.entry.event, &*posted(&bare).entry.event);
        prop_assert_eq!(signed.entry.event.key, event(&bare).key);
        prop_assert_eq!(&signed.entry.event.body, &event(&bare).body);
    }
}

/// What is read twice in the same memory is the same.
#[test]
fn one_reader_reads_every_kind() {
    let at: DateTime<Utc> = pulled();
    let mut reader = EntryReader::default();
    let text = vector("seed_push_signed_1");
    let first = reader.read_posted(APP, &text, true, at);
    assert!(first.entry.event.replaced);
    assert_eq!(
        reader.read(APP, &vector("seed_pull_entry"), false, at).event.origin,
        EventOrigin::Queue
    );
    assert_eq!(reader.read_posted(APP, &text, true, at).entry.event, first.entry.event);
}
