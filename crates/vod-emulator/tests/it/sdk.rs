//! The official SDK as the client.

use serde_json::{Value, json};
use vod_emulator::SpriteOrder;

use crate::server::{Server, settings};
use crate::support;

#[tokio::test]
async fn the_official_sdk_takes_it_for_the_service() {
    let server = Server::start(settings()).await;
    let order = SpriteOrder { count: 2, fail_every: 0, ..SpriteOrder::default() };
    let made = server.control.add_sprites(&order).unwrap();
    server.control.add(include_str!("../../../../tests/data/file_deleted.json")).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk.py");
    let output = tokio::process::Command::new(support::python())
        .arg(script)
        .arg(server.url.strip_prefix("http://").unwrap())
        .env_remove("HTTP_PROXY")
        .env_remove("http_proxy")
        .output()
        .await
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    let steps: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let step = |name: &str| {
        steps.iter().find(|step| step["step"] == name).unwrap_or_else(|| panic!("{name}: {told}"))
    };
    assert_eq!(step("state")["count"], 3);
    assert_eq!(step("config")["mode"], "PULL");
    assert_eq!(step("config")["upload"], "OFF");
    assert_eq!(
        step("pull")["types"],
        json!(["CreateImageSpriteComplete", "ProcedureStateChanged", "FileDeleted"])
    );
    assert_eq!(step("pull")["sprites"], json!([made[0].vtt_url, made[1].vtt_url]));
    let tasks = step("tasks");
    assert_eq!(tasks["ids"], json!([made[0].task_id, made[1].task_id]));
    assert_eq!(
        tasks["types"],
        json!([["ImageSprites", "ImageSprite"], ["Procedure", "Procedure"]])
    );
    assert_eq!(tasks["sprites"], json!([made[0].vtt_url, made[1].vtt_url]));
    assert_eq!(step("confirm")["request_id"].as_str().unwrap().len(), 36);
    for (name, code) in [
        ("stale", "InvalidParameterValue"),
        ("empty", "ResourceNotFound"),
        ("wrong-key", "AuthFailure.SignatureFailure"),
        ("wrong-id", "AuthFailure.SecretIdNotFound"),
        ("wrong-token", "AuthFailure.TokenFailure"),
        ("no-app", "InvalidParameterValue.SubAppId"),
        ("no-task", "InvalidParameterValue.TaskId"),
        ("unknown-action", "InvalidAction"),
    ] {
        assert_eq!(step(name)["code"], code, "{name}");
    }
    assert_eq!(server.control.totals().confirmed, 3);
}
