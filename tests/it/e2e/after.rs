//! One sink after another, by the examples of the documents.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::json;
use sprited::journal::EventState;

use super::receiver::{Answer, Receiver};
use super::{Site, ids};
use crate::cli::sprited;
use crate::support::until;

/// The configuration under that heading of docs/sinks.md: its files are in the site's folder, its
/// program is a shell that reads `script`, and its site is `hook`.
fn example(heading: &str, script: &str, hook: &Receiver) -> String {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sinks.md");
    let text = fs::read_to_string(document).unwrap();
    let (_, rest) = text.split_once(&format!("\n### {heading}\n")).expect(heading);
    let (_, rest) = rest.split_once("\n```toml\n").unwrap();
    let mut example = rest.split("\n```\n").next().unwrap().to_owned();
    let shell = format!("'/bin/sh', '-c', '''{script}'''");
    for (written, here) in [
        ("\"https://www.example.com/hooks/sprites\"", format!("'{}'", hook.url())),
        ("\"/usr/local/bin/copy-sheets\"", shell),
        ("/var/lib/sprited/", "DIR/".to_owned()),
    ] {
        example = example.replace(written, &here);
    }
    for foreign in ["example.com", "/usr/", "/var/"] {
        assert!(!example.contains(foreign), "{example}");
    }
    example
}

#[tokio::test]
async fn dead_letters_go_into_a_file() {
    let hook = Receiver::start(Answer::Take).await;
    let site = Site::patient(&example("Dead letters in a file", "", &hook)).await;
    let daemon = site.start();
    site.add_sprites(3);
    site.drained().await;
    hook.assert_once(3);
    assert!(hook.taken().iter().all(|envelope| envelope["data"].get("after").is_none()));
    assert!(site.lines("dead-letters.jsonl").is_empty());
    // By one that has taken others: what it rejects is a dead letter.
    hook.set(Answer::Refuse(422));
    let rejected = site.make_sprites(2);
    site.drained().await;
    site.assert_once("dead-letters.jsonl", 2);
    let lines = site.lines("dead-letters.jsonl");
    let tasks: BTreeSet<_> =
        lines.iter().map(|line| line["data"]["sprites"][0]["task_id"].as_str().unwrap()).collect();
    assert_eq!(tasks, rejected.iter().map(|made| made.task_id.as_str()).collect());
    for line in &lines {
        let after = &line["data"]["after"];
        assert_eq!((&after["sink"], &after["state"]), (&json!("site"), &json!("dead")));
        assert_eq!(after["attempts"], 1);
        assert!(after["first_failed"].is_string(), "{after}");
        assert!(after["error"].as_str().unwrap().contains("422"), "{after}");
    }
    until(|| site.journaled(Some(EventState::Dead)).len() == 2).await;
    until(|| site.journaled(Some(EventState::Delivered)).len() == 3).await;
    daemon.stop().await;
}

#[tokio::test]
async fn a_webhook_waits_for_a_program() {
    let hook = Receiver::start(Answer::Take).await;
    let script = "until [ -e DIR/go ]; do sleep 0.05; done; echo $SPRITED_EVENT_KEY >> DIR/copied";
    let site = Site::patient(&example("A webhook after a program", script, &hook)).await;
    site.add_sprites(2);
    let daemon = site.start();
    until(|| site.journaled(Some(EventState::Pending)).len() == 2).await;
    for found in site.journaled(None) {
        let (config, key) = (site.path("sprited.toml"), found.event.key.to_string());
        let shown = sprited().args(["events", "show", &key]).env("SPRITED_CONFIG", config).output();
        let shown = String::from_utf8(shown.unwrap().stdout).unwrap();
        assert!(shown.contains("\n  copy: pending, not tried, then site\n"), "{shown}");
    }
    assert_eq!((hook.asked(), site.confirmed()), (0, 0));
    fs::write(site.path("go"), "").unwrap();
    site.drained().await;
    hook.assert_once(2);
    let taken = hook.taken();
    for envelope in &taken {
        let expected = json!({
            "sink": "copy", "state": "delivered", "error": null, "attempts": 1, "first_failed": null
        });
        assert_eq!(envelope["data"]["after"], expected);
    }
    let copied = fs::read_to_string(site.path("copied")).unwrap();
    assert_eq!(copied.lines().map(str::to_owned).collect::<BTreeSet<_>>(), ids(&taken));
    until(|| site.journaled(Some(EventState::Delivered)).len() == 2).await;
    daemon.stop().await;
}

#[tokio::test]
async fn a_chain_of_three_tells_each_what_became_of_it_before() {
    let hook = Receiver::start(Answer::Take).await;
    let script = "if grep -q -f DIR/broken; then exit 3; fi";
    let site = Site::patient(&example("A chain of three", script, &hook)).await;
    let made = site.make_sprites(4);
    let broken = &made[1].task_id;
    fs::write(site.path("broken"), format!("{broken}\n")).unwrap();
    let daemon = site.start();
    site.drained().await;
    hook.assert_once(4);
    for envelope in hook.taken() {
        let after = &envelope["data"]["after"];
        assert_eq!(after["sink"], "copy");
        let is_broken = envelope["data"]["sprites"][0]["task_id"] == broken.as_str();
        let expected = if is_broken {
            (json!("dead"), json!("/bin/sh ended with exit code 3"))
        } else {
            (json!("delivered"), json!(null))
        };
        assert_eq!((after["state"].clone(), after["error"].clone()), expected, "{after}");
    }
    site.assert_once("archive.jsonl", 4);
    let lines = site.lines("archive.jsonl");
    assert_eq!(ids(&lines), ids(&hook.taken()));
    for line in lines {
        let after = &line["data"]["after"];
        assert_eq!((&after["sink"], &after["state"]), (&json!("site"), &json!("delivered")));
    }
    daemon.stop().await;
}
