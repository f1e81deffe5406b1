//! Sprite tasks, their events and their files.

use serde_json::json;
use vod_emulator::{EmulatorSettings, SourceApi, SpriteOrder};

use crate::server::{Server, settings};
use crate::support;

#[tokio::test]
async fn sprites_are_made_on_both_roads_and_their_urls_open() {
    let server = Server::start(settings()).await;
    for source_api in [SourceApi::Create, SourceApi::Procedure] {
        let order = SpriteOrder {
            source_api: Some(source_api),
            tiles: Some(130),
            fail_every: 0,
            ..SpriteOrder::default()
        };
        let made = server.control.add_sprites(&order).unwrap().remove(0);
        let event = server.caller().pull().await.events().remove(0);
        let (sheets, vtt) = match source_api {
            SourceApi::Create => {
                let task = &event["CreateImageSpriteCompleteEvent"];
                assert_eq!(task["TaskId"], made.task_id.as_str());
                (&task["ImageSpriteUrlSet"], &task["WebVttUrl"])
            }
            SourceApi::Procedure => {
                let task = &event["ProcedureStateChangeEvent"];
                assert_eq!(task["FileId"], made.file_id.as_str());
                let output = &task["MediaProcessResultSet"][0]["ImageSpriteTask"]["Output"];
                (&output["ImageUrlSet"], &output["WebVttUrl"])
            }
        };
        assert_eq!(sheets, &json!(made.sheets));
        assert_eq!(sheets.as_array().unwrap().len(), 2);
        for sheet in &made.sheets {
            let page = support::http().get(sheet).send().await.unwrap();
            assert_eq!(page.headers()["content-type"], "image/png");
            assert!(page.bytes().await.unwrap().starts_with(b"\x89PNG"));
        }
        let text = support::http().get(vtt.as_str().unwrap()).send().await.unwrap();
        let text = text.error_for_status().unwrap().text().await.unwrap();
        assert!(text.starts_with("WEBVTT\n"));
        // Each sheet is named by the cues, as its URL's last part.
        for sheet in &made.sheets {
            let name = sheet.rsplit('/').next().unwrap();
            assert!(text.contains(&format!("\n{name}#xywh=")), "{name}");
        }
    }
    let missing = format!("{}/sprites/none", server.url);
    assert_eq!(support::http().get(missing).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn sprites_can_come_by_themselves() {
    let server = Server::start(EmulatorSettings { sprites_per_second: 50.0, ..settings() }).await;
    support::until(|| server.control.totals().added >= 10).await;
    let events = server.caller().pull().await.events();
    assert!(events.iter().all(|event| {
        event["CreateImageSpriteCompleteEvent"].is_object()
            || event["ProcedureStateChangeEvent"].is_object()
    }));
}
