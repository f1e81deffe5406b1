//! Which events a sink wants.

use sprited::event::{Event, Wanted};

use super::{LEGACY_SAMPLE, SAMPLES, UNKNOWN_SAMPLE, event};
use crate::support::data;

fn wanted(names: &[&str]) -> Wanted {
    serde_json::from_value(serde_json::json!(names)).unwrap()
}

/// The samples that `names` match, by file name.
fn matched(names: &[&str]) -> Vec<&'static str> {
    let wanted = wanted(names);
    let all = SAMPLES.into_iter().chain([UNKNOWN_SAMPLE, LEGACY_SAMPLE]);
    all.filter(|name| wanted.matches(&event(&data(name)))).collect()
}

#[test]
fn image_sprite_is_each_finished_sprite_of_both_roads() {
    let expected = [
        "create_image_sprite_complete.doc_member_names.json",
        "create_image_sprite_complete.failure.json",
        "create_image_sprite_complete.success.json",
        "procedure_state_changed.sprite_success.json",
        "procedure_state_changed.two_sprites_mixed.json",
        "procedure_state_changed.zero_times.json",
        LEGACY_SAMPLE,
    ];
    assert_eq!(matched(&["image-sprite"]), expected);
    let default = Wanted::default();
    assert_eq!(default, wanted(&["image-sprite"]));
}

#[test]
fn a_failed_sprite_alone_is_wanted_and_any_create_complete() {
    let of = |text: &str| -> Event { event(text) };
    let failed = of(r#"{"EventType":"ProcedureStateChanged","ProcedureStateChangeEvent":
        {"MediaProcessResultSet":[{"ImageSpriteTask":{"Status":"FAIL"}}]}}"#);
    let empty = of(r#"{"EventType":"CreateImageSpriteComplete"}"#);
    assert!(Wanted::default().matches(&failed));
    assert!(Wanted::default().matches(&empty));
}

#[test]
fn names_match_the_type_exactly() {
    assert_eq!(matched(&["FileDeleted"]), ["file_deleted.json"]);
    assert_eq!(
        matched(&["NewFileUpload", "FileDeleted"]),
        ["file_deleted.json", "new_file_upload.json"]
    );
    assert_eq!(matched(&["HologramRenderComplete"]), [UNKNOWN_SAMPLE]);
    assert_eq!(matched(&["Unknown"]), [""; 0]);
    assert_eq!(matched(&["filedeleted", "File*", ""]), [""; 0]);
    assert_eq!(matched(&["ProcedureStateChanged", "image-sprite"]).len(), 9);
}

#[test]
fn a_star_is_all() {
    assert_eq!(matched(&["*"]).len(), SAMPLES.len() + 2);
    assert!(!wanted(&["*"]).is_empty());
}

#[test]
fn nothing_named_is_nothing_wanted() {
    assert_eq!(matched(&[]), [""; 0]);
    assert!(wanted(&[]).is_empty());
    assert!(!wanted(&["image-sprite"]).is_empty());
    assert!(!wanted(&["FileDeleted"]).is_empty());
}

#[test]
fn what_no_name_and_no_sprite_matches_is_unrouted() {
    let processing = event(&data("procedure_state_changed.sprite_processing.json"));
    let names = ["image-sprite", "FileDeleted"];
    assert!(!wanted(&names).matches(&processing), "a sprite that is not over");
    assert!(!wanted(&names).matches(&event(&data(UNKNOWN_SAMPLE))));
    assert!(!wanted(&names).matches(&event("null")));
}
