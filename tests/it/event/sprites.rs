//! The id of a sprite.

use super::event;
use crate::support::data;

fn ids(text: &str) -> Vec<String> {
    event(text).sprites.into_iter().map(|sprite| sprite.id).collect()
}

#[test]
fn a_finished_sprite_has_one_id_in_all_events_of_its_procedure() {
    // Notify mode Change: first one template is done, then both, then the procedure.
    let done = data("procedure_state_changed.two_sprites_mixed.json");
    let first = done
        .replace(r#""Status": "FINISH""#, r#""Status": "PROCESSING""#)
        .replace(r#""Status": "FAIL""#, r#""Status": "PROCESSING""#)
        .replace(r#""EventHandle": "4903117725508816213""#, r#""EventHandle": "1""#);
    let second = done.replace(r#""Status": "FINISH""#, r#""Status": "PROCESSING""#);
    let (first_ids, second_ids, done_ids) = (ids(&first), ids(&second), ids(&done));
    assert_ne!(event(&first).key, event(&second).key);
    assert_ne!(event(&second).key, event(&done).key);

    assert_eq!(first_ids[0], done_ids[0]);
    assert_eq!(second_ids, done_ids);
    assert_ne!(first_ids[1], done_ids[1], "what was processing is over");
    assert_ne!(done_ids[0], done_ids[1]);
}

#[test]
fn each_part_of_the_id_tells_sprites_apart() {
    let sample = data("procedure_state_changed.sprite_success.json");
    let id = ids(&sample);
    for (from, to) in [
        ("1500012345-Procedure-6a1f", "1500012345-Procedure-6a1e"),
        (
            r#""Input": {
            "Definition": 10"#,
            r#""Input": {
            "Definition": 11"#,
        ),
        ("imageSprite_10_0.jpg", "imageSprite_10_1.jpg"),
        ("imageSprite_10.vtt", "imageSprite_11.vtt"),
        (
            r#""Status": "SUCCESS",
          "ErrCodeExt": "",
          "ErrCode": 0,
          "Message": "","#,
            r#""Status": "PROCESSING","#,
        ),
    ] {
        let other = sample.replace(from, to);
        assert_ne!(other, sample, "{from} is in the sample");
        assert_ne!(ids(&other), id, "{from}");
    }
    for (from, to) in [(r#""Progress": 100"#, r#""Progress": 99"#), ("4903117725508816211", "9")] {
        let other = sample.replace(from, to);
        assert_ne!(other, sample, "{from} is in the sample");
        assert_eq!(ids(&other), id, "{from}");
    }
}

#[test]
fn urls_that_are_cut_elsewhere_are_other_urls() {
    let of = |urls: &str| {
        ids(&format!(r#"{{"CreateImageSpriteCompleteEvent":{{"ErrCode":0,{urls}}}}}"#))
    };
    let whole = of(r#""ImageSpriteUrlSet":["ab","c"],"WebVttUrl":"d""#);
    assert_ne!(whole, of(r#""ImageSpriteUrlSet":["a","bc"],"WebVttUrl":"d""#));
    assert_ne!(whole, of(r#""ImageSpriteUrlSet":["ab"],"WebVttUrl":"cd""#));
    assert_ne!(whole, of(r#""ImageSpriteUrlSet":["ab","c","d"]"#));
}

#[test]
fn when_its_task_ended_and_how_long_the_media_is_are_known_where_the_event_has_them() {
    let event_of = |finish: &str, duration: &str| {
        event(&format!(
            r#"{{"EventType":"ProcedureStateChanged","ProcedureStateChangeEvent":{{
                "TaskId":"t","FileId":"f","MetaData":{duration},
                "MediaProcessResultSet":[{{"ImageSpriteTask":{{"Status":"SUCCESS",
                  "FinishTime":{finish}}}}}]}}}}"#
        ))
    };
    let times = |finish, duration| {
        let sprite = event_of(finish, duration).sprites.remove(0);
        (sprite.finished.map(|at| at.timestamp()), sprite.media_duration.map(|of| of.as_millis()))
    };
    let known = (Some(1_735_689_672), Some(1_058_040));
    assert_eq!(times(r#""2025-01-01T00:01:12Z""#, r#"{"Duration":1058.04}"#), known);
    assert_eq!(times(r#""2025-01-01T08:01:12+08:00""#, r#"{"Duration":"1058.04"}"#), known);
    for none in [r#""0001-01-01T00:00:00Z""#, r#""0000-00-00T00:00:00Z""#, r#""""#, "null", "17"] {
        for no_duration in ["null", "{}", r#"{"Duration":0}"#, r#"{"Duration":-1}"#, "[]"] {
            assert_eq!(times(none, no_duration), (None, None), "{none} {no_duration}");
        }
    }
}
