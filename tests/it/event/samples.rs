//! Each sample is read whole.

use serde_json::json;

use super::{LEGACY_SAMPLE, SAMPLES, UNKNOWN_SAMPLE, entry, event, stored_again};
use crate::support::data;

const MEDIA: &str = "http://1500012345.vod2.myqcloud.com/7a3b0c11vodgzp1500012345";

/// The samples are indented with one member a line, so that these replacements are all it takes
/// to get from one to its body, without a parser.
fn expected_body(sample: &str) -> String {
    let lines = sample.lines().filter(|line| !line.starts_with("  \"EventHandle\": "));
    lines.map(|line| line.trim_start().replacen("\": ", "\":", 1)).collect()
}

#[test]
fn each_body_is_the_sample_token_for_token() {
    for name in SAMPLES.into_iter().chain([UNKNOWN_SAMPLE, LEGACY_SAMPLE]) {
        let sample = data(name);
        assert_eq!(entry(&sample).event.body, expected_body(&sample), "{name}");
    }
}

#[test]
fn each_event_is_the_same_after_it_was_stored() {
    for name in SAMPLES.into_iter().chain([UNKNOWN_SAMPLE, LEGACY_SAMPLE]) {
        let event = event(&data(name));
        assert_eq!(stored_again(&event), event, "{name}");
    }
}

#[test]
fn handle_type_and_ids_of_each_sample() {
    let facts = |name: &str| {
        let entry = entry(&data(name));
        let event = entry.event;
        json!([
            entry.handle.as_deref(),
            event.event_type,
            event.file_id,
            event.task_id,
            event.sprites.len()
        ])
    };
    let expected = [
        json!([
            "4903117725508816204",
            "CreateImageSpriteComplete",
            "14508072200000000018",
            "CreateImageSprite-3b9d7e60f5a24c18b0e6d4c2917fa35e",
            1
        ]),
        json!([
            "4903117725508816202",
            "CreateImageSpriteComplete",
            "5285890800000000042",
            "CreateImageSprite-0e77c1b8d2f94a65a1c3307be4d9518f",
            1
        ]),
        json!([
            "4903117725508816201",
            "CreateImageSpriteComplete",
            "14508072200000000017",
            "CreateImageSprite-5d0b6f2c9a1e4c7f8b3d2a6e9f104c7b",
            1
        ]),
        json!(["4903117725508816222", "FileDeleted", null, null, 0]),
        json!(["4903117725508816221", "NewFileUpload", "5285890800000000061", null, 0]),
        json!([
            "4903117725508816216",
            "ProcedureStateChanged",
            "5285890800000000051",
            "1500012345-Procedure-98e3b4d7a0c14f5f8d2b6c7e1a90f563t0",
            0
        ]),
        json!([
            "4903117725508816214",
            "ProcedureStateChanged",
            "5285890800000000051",
            "1500012345-Procedure-f35a9c0e7d1b4286b4e7a10c92d86f5bt0",
            1
        ]),
        json!([
            "4903117725508816211",
            "ProcedureStateChanged",
            "5285890800000000051",
            "1500012345-Procedure-6a1f0c9b2d7e4835b0c4f1a7e92d3806t0",
            1
        ]),
        json!([
            "4903117725508816213",
            "ProcedureStateChanged",
            "5285890800000000051",
            "1500012345-Procedure-0b7d5e93c1f64a28a9d6e4730fb2c851t0",
            2
        ]),
        json!([
            "4903117725508816241",
            "ProcedureStateChanged",
            "3701925900000000071",
            "1500012345-procedurev2-4c1e80d7b2f94a3e9d5a6f07c81b23e5t0",
            1
        ]),
        json!([
            "4903117725508816242",
            "WechatMiniProgramPublishComplete",
            "3701925900000000072",
            "1500012345-WechatMiniProgramPublish-2f6b1c9d0e7a4853a1c4b7d2e90f3685t0",
            0
        ]),
    ];
    for (name, expected) in SAMPLES.into_iter().zip(expected) {
        assert_eq!(facts(name), expected, "{name}");
    }
    assert_eq!(
        facts(UNKNOWN_SAMPLE),
        json!([
            "4903117725508816231",
            "HologramRenderComplete",
            "5285890800000000091",
            "1500012345-Hologram-77aa01",
            0
        ])
    );
    assert_eq!(
        facts(LEGACY_SAMPLE),
        json!([
            null,
            "CreateImageSpriteComplete",
            "14508072200000000101",
            "CreateImageSprite-e7c0a94b15d84f63a2f9d03b6178ce5a",
            1
        ])
    );
}

/// The sprites of a sample as JSON, without their ids, which [`super::sprites`] tests.
fn sprites(name: &str) -> serde_json::Value {
    let mut sprites = serde_json::to_value(event(&data(name)).sprites).unwrap();
    for sprite in sprites.as_array_mut().unwrap() {
        let id = sprite.as_object_mut().unwrap().remove("id").unwrap();
        let id = id.as_str().unwrap();
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    }
    sprites
}

#[test]
fn sprites_of_the_api_of_2017() {
    let folder =
        format!("{MEDIA}/9f21c0de14508072200000000017/imageSprite/1735689612_2750116843.100");
    let mut success = json!([{
        "task_id": "CreateImageSprite-5d0b6f2c9a1e4c7f8b3d2a6e9f104c7b",
        "file_id": "14508072200000000017",
        "definition": 10,
        "status": "success",
        "error": null,
        "tile_count": 187,
        "tile_width": null,
        "tile_height": null,
        "sheets": [format!("{folder}_0.jpg"), format!("{folder}_1.jpg")],
        "vtt_url": format!("{folder}.vtt"),
    }]);
    assert_eq!(sprites("create_image_sprite_complete.success.json"), success);

    success[0]["task_id"] = json!("CreateImageSprite-3b9d7e60f5a24c18b0e6d4c2917fa35e");
    success[0]["file_id"] = json!("14508072200000000018");
    assert_eq!(sprites("create_image_sprite_complete.doc_member_names.json"), success);

    assert_eq!(
        sprites("create_image_sprite_complete.failure.json"),
        json!([{
            "task_id": "CreateImageSprite-0e77c1b8d2f94a65a1c3307be4d9518f",
            "file_id": "5285890800000000042",
            "definition": 10,
            "status": "fail",
            "error": {"code": "60000", "message": "source file error: no video stream"},
            "tile_count": 0,
            "tile_width": null,
            "tile_height": null,
            "sheets": [],
            "vtt_url": null,
        }])
    );
}

#[test]
fn sprites_of_procedures() {
    let folder = format!("{MEDIA}/c0ffee015285890800000000051/imageSprite/imageSprite_10");
    let success = json!({
        "task_id": "1500012345-Procedure-6a1f0c9b2d7e4835b0c4f1a7e92d3806t0",
        "file_id": "5285890800000000051",
        "definition": 10,
        "status": "success",
        "error": null,
        "tile_count": 30,
        "tile_width": 142,
        "tile_height": 80,
        "sheets": [format!("{folder}_0.jpg")],
        "vtt_url": format!("{folder}.vtt"),
    });
    assert_eq!(sprites("procedure_state_changed.sprite_success.json"), json!([success]));

    let empty = json!({
        "task_id": "1500012345-Procedure-f35a9c0e7d1b4286b4e7a10c92d86f5bt0",
        "file_id": "5285890800000000051",
        "definition": 10,
        "status": "processing",
        "error": null,
        "tile_count": null,
        "tile_width": null,
        "tile_height": null,
        "sheets": [],
        "vtt_url": null,
    });
    assert_eq!(sprites("procedure_state_changed.sprite_processing.json"), json!([empty]));

    let (mut success, mut failure) = (success, empty);
    for sprite in [&mut success, &mut failure] {
        sprite["task_id"] = json!("1500012345-Procedure-0b7d5e93c1f64a28a9d6e4730fb2c851t0");
    }
    failure["definition"] = json!(20017);
    failure["status"] = json!("fail");
    failure["error"] =
        json!({"code": "InvalidInput.DefinitionNotExist", "message": "template does not exist"});
    assert_eq!(
        sprites("procedure_state_changed.two_sprites_mixed.json"),
        json!([success, failure])
    );

    assert_eq!(sprites("procedure_state_changed.no_sprite.json"), json!([]));
}
