//! What goes where: routes, envelopes, and what no sink wants.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sprited::journal::EventState;
use vod_emulator::{CreatedSprite, SourceApi, SpriteOrder};

use super::receiver::{Answer, Receiver};
use super::{Site, file, ids};
use crate::support::{data, until};

/// Samples that are no finished image sprite.
const OTHERS: [&str; 5] = [
    "file_deleted.json",
    "new_file_upload.json",
    "unknown_future_event.json",
    "procedure_state_changed.no_sprite.json",
    "procedure_state_changed.sprite_processing.json",
];

fn assert_tells(envelope: &Value, made: &CreatedSprite) {
    assert_eq!(envelope["specversion"], "1.0");
    assert_eq!(envelope["source"], "/tencentcloud/vod/1500012345");
    assert_eq!(envelope["datacontenttype"], "application/json");
    assert_eq!(envelope["subject"], made.file_id);
    let (event_type, payload) = match made.source_api {
        SourceApi::Create => ("CreateImageSpriteComplete", "CreateImageSpriteCompleteEvent"),
        SourceApi::Procedure => ("ProcedureStateChanged", "ProcedureStateChangeEvent"),
    };
    assert_eq!(envelope["type"], format!("com.tencentcloud.vod.{event_type}"));
    let event = &envelope["data"]["event"];
    assert_eq!(event["EventType"], event_type);
    assert_eq!(event[payload]["TaskId"], made.task_id);
    assert_eq!(event.get("EventHandle"), None);
    let sprites = envelope["data"]["sprites"].as_array().unwrap();
    let [sprite] = sprites.as_slice() else { panic!("{sprites:?}") };
    assert_eq!(sprite["task_id"], made.task_id);
    assert_eq!(sprite["file_id"], made.file_id);
    assert_eq!(sprite["status"], if made.failed { "fail" } else { "success" });
    assert_eq!(sprite["error"].is_null(), !made.failed);
    assert_eq!(sprite["sheets"], json!(made.sheets));
    if let Some(url) = &made.vtt_url {
        assert_eq!(sprite["vtt_url"], *url);
    }
}

#[tokio::test]
async fn sprites_of_both_roads_reach_file_and_webhook_and_the_rest_is_unrouted() {
    let hook = Receiver::start(Answer::Take).await;
    let sinks = [file("sprites", "image-sprite"), hook.sink("hook", "")].concat();
    let site = Site::patient(&sinks).await;
    let daemon = site.start();
    let order = SpriteOrder { count: 20, fail_every: 10, ..SpriteOrder::default() };
    let made = site.cloud.control.add_sprites(&order).unwrap();
    let others: Vec<u64> =
        OTHERS.iter().flat_map(|name| site.cloud.control.add(&data(name)).unwrap()).collect();
    site.drained().await;
    until(|| site.journaled(None).iter().all(|found| found.confirmed.is_some())).await;

    site.assert_once("sprites.jsonl", made.len());
    hook.assert_once(made.len());
    let lines: BTreeMap<_, _> =
        site.lines("sprites.jsonl").into_iter().map(|line| (task_of(&line), line)).collect();
    for made in &made {
        assert_tells(&lines[&made.task_id], made);
    }
    // Both sinks get the same bytes, under the key as their name.
    let text = std::fs::read_to_string(site.path("sprites.jsonl")).unwrap();
    for request in hook.requests() {
        assert!(text.lines().any(|line| line == request.body), "{}", request.body);
        let envelope: Value = serde_json::from_str(&request.body).unwrap();
        assert_eq!(request.header("webhook-id"), envelope["id"].as_str());
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/hook"));
    }
    assert_eq!(site.journaled(Some(EventState::Delivered)).len(), made.len());
    assert_eq!(site.journaled(Some(EventState::Unrouted)).len(), others.len());
    let events = u64::try_from(made.len() + others.len()).unwrap();
    let totals = site.cloud.control.totals();
    assert_eq!((totals.confirmed, totals.handed_out_again), (events, 0));
    daemon.stop().await;
}

#[tokio::test]
async fn a_sink_that_wants_all_gets_all_token_for_token() {
    let site = Site::new(&[file("all", "*"), file("uploads", "NewFileUpload")].concat()).await;
    let daemon = site.start();
    for name in OTHERS {
        site.cloud.control.add(&data(name)).unwrap();
    }
    site.add_sprites(2);
    site.drained().await;
    site.assert_once("all.jsonl", OTHERS.len() + 2);
    site.assert_once("uploads.jsonl", 1);
    let lines = site.lines("all.jsonl");
    for name in OTHERS {
        let mut event: Value = serde_json::from_str(&data(name)).unwrap();
        event.as_object_mut().unwrap().remove("EventHandle");
        assert!(lines.iter().any(|line| line["data"]["event"] == event), "{name}");
    }
    assert!(ids(&site.lines("uploads.jsonl")).is_subset(&ids(&lines)));
    assert_eq!(site.journaled(Some(EventState::Unrouted)).len(), 0);
    daemon.stop().await;
}

fn task_of(envelope: &Value) -> String {
    envelope["data"]["sprites"][0]["task_id"].as_str().unwrap().to_owned()
}
