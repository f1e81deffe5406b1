//! Events as they have been seen outside the documents: a time of zeros for none, Progress 0 though
//! all is done, a member of another name; pulled with a handle, and posted without.

use serde_json::{Value, json};
use sprited::event::{EventFormat, SpriteStatus};

use super::{entry, event, stored_again, value};
use crate::support::data;

const PULLED: &str = "procedure_state_changed.zero_times.json";
const POSTED: &str = "procedure_state_changed.zero_times.push_body.json";
const OTHER_MEMBER: &str = "wechat_mini_program_publish_complete.short_member_name.json";

/// The envelope that a sink gets.
fn envelope(text: &str) -> Value {
    let mut out = Vec::new();
    event(text).render(EventFormat::CloudEvents, &mut out);
    serde_json::from_slice(&out).unwrap()
}

/// The sample with another value in the place of what its task tells of itself.
fn with(member: &str, written: &str) -> String {
    let mut sample = value(&data(PULLED));
    let task =
        &mut sample["ProcedureStateChangeEvent"]["MediaProcessResultSet"][0]["ImageSpriteTask"];
    match written {
        "" => drop(task.as_object_mut().unwrap().remove(member).unwrap()),
        written => task[member] = serde_json::from_str(written).unwrap(),
    }
    sample.to_string()
}

#[test]
fn a_sprite_is_a_success_whatever_its_progress_and_its_times_say() {
    let whole = event(&data(PULLED));
    assert!(whole.is_image_sprite());
    let [sprite] = whole.sprites.as_slice() else { panic!("{:?}", whole.sprites) };
    assert_eq!((sprite.status, sprite.tile_count), (SpriteStatus::Success, Some(10)));
    assert_eq!((sprite.sheets.len(), sprite.error.as_ref()), (1, None));
    let zeros = ["0000-00-00T00:00:00Z", "0001-01-01T00:00:00Z", "", "2026-02-30T25:61:61Z"];
    let zeros = zeros.map(|time| format!("{time:?}"));
    let others = ["null", "0", "1.5", "[]", "{}", "true", ""].map(str::to_owned);
    for written in zeros.iter().chain(&others) {
        for member in ["BeginProcessTime", "FinishTime", "Progress"] {
            let text = with(member, written);
            let other = event(&text);
            assert_eq!(other.sprites, whole.sprites, "{member}: {written}");
            assert!(other.is_image_sprite());
            assert_eq!(stored_again(&other), other, "{member}: {written}");
            assert_eq!(
                envelope(&text)["data"]["sprites"],
                envelope(&data(PULLED))["data"]["sprites"]
            );
            // What no sprite is made of is a part of the event all the same.
            let is_same = value(&text) == value(&data(PULLED));
            assert_eq!(other.key == whole.key, is_same, "{member}: {written}");
        }
    }
    for (written, status) in [
        (r#""FAIL""#, SpriteStatus::Fail),
        (r#""PROCESSING""#, SpriteStatus::Processing),
        (r#""SUCCESS""#, SpriteStatus::Success),
        // Its sheets are there.
        ("null", SpriteStatus::Success),
        ("", SpriteStatus::Success),
    ] {
        assert_eq!(event(&with("Status", written)).sprites[0].status, status, "{written}");
    }
    for written in [r#""0""#, "null", ""] {
        assert_eq!(event(&with("ErrCode", written)).sprites, whole.sprites, "{written}");
    }
}

#[test]
fn a_posted_event_is_the_pulled_one_without_its_handle() {
    let (pulled, posted) = (entry(&data(PULLED)), entry(&data(POSTED)));
    assert_eq!(pulled.handle.as_deref(), Some("4903117725508816241"));
    assert_eq!(posted.handle, None);
    assert_eq!(pulled.event, posted.event);
    assert_eq!(envelope(&data(PULLED)), envelope(&data(POSTED)));
    // Null members are left out, or others are spelled out, in newer releases.
    let mut fewer = value(&data(POSTED));
    fewer.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    let mut more = value(&data(POSTED));
    more["WechatMiniProgramPublishCompleteEvent"] = Value::Null;
    more["AigcImageCompleteEvent"] = Value::Null;
    for other in [fewer, more] {
        let other = event(&other.to_string());
        assert_eq!((other.key, &other.sprites), (pulled.event.key, &pulled.event.sprites));
    }
}

#[test]
fn a_payload_counts_whatever_its_member_is_called() {
    let text = data(OTHER_MEMBER);
    let sample = event(&text);
    assert_eq!(sample.event_type, "WechatMiniProgramPublishComplete");
    let task = "1500012345-WechatMiniProgramPublish-2f6b1c9d0e7a4853a1c4b7d2e90f3685t0";
    assert_eq!(sample.task_id.as_deref(), Some(task));
    assert_eq!(sample.file_id.as_deref(), Some("3701925900000000072"));
    let sent = envelope(&text);
    assert_eq!(sent["subject"], "3701925900000000072");
    assert_eq!(sent["data"]["event"]["WechatMiniProgramPublishEvent"]["PublishResult"], "Pass");
    let member = "\"WechatMiniProgramPublishEvent\"";
    for name in
        ["WechatMiniProgramPublishCompleteEvent", "WechatMiniProgramPublishComplete", "字", ""]
    {
        let other = event(&text.replace(member, &format!("{name:?}")));
        assert_eq!((&other.task_id, &other.file_id), (&sample.task_id, &sample.file_id), "{name}");
        assert_ne!(other.key, sample.key, "{name}: members are a part of what is hashed");
    }
    // Numbers as text and text as numbers: the ids are text.
    let number = text.replace("\"3701925900000000072\"", "3701925900000000072");
    assert_eq!(event(&number).file_id, sample.file_id);
    // Without any payload nothing is lost but the ids.
    let mut bare = value(&text);
    for payload in [None, Some(Value::Null), Some(json!({})), Some(json!([])), Some(json!("x"))] {
        match payload {
            None => drop(bare.as_object_mut().unwrap().remove("WechatMiniProgramPublishEvent")),
            Some(payload) => bare["WechatMiniProgramPublishEvent"] = payload,
        }
        let other = event(&bare.to_string());
        assert_eq!(other.event_type, "WechatMiniProgramPublishComplete");
        assert_eq!((other.task_id.as_ref(), other.file_id.as_ref()), (None, None));
        assert_eq!(stored_again(&other), other);
        assert_eq!(envelope(&bare.to_string())["data"]["sprites"], json!([]));
    }
}
