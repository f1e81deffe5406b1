//! Sprites of events that the journal had before the mirror.

use std::fs;

use vod_emulator::SpriteOrder;

use super::{Site, site};
use crate::support::until;

/// The configuration without its mirror.
fn without_mirror(text: &str) -> String {
    let from = text.find("[[sinks]]\nname = 'cdn'").unwrap();
    let to = text.find("[[sinks]]\nname = 'site'").unwrap();
    [&text[..from], &text[to..]].concat().replace("after = 'cdn'\n", "")
}

impl Site {
    /// What `mirror backfill` with these arguments says, and how it ends.
    fn backfill(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = crate::cli::sprited();
        command.args(["mirror", "backfill", "--config"]).arg(self.path("sprited.toml"));
        let output = command.args(arguments).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    }
}

#[tokio::test]
async fn it_is_copied_on_demand_and_told_to_nobody_again() {
    let site = site(&[]).await;
    let whole = fs::read_to_string(site.path("sprited.toml")).unwrap();
    fs::write(site.path("sprited.toml"), without_mirror(&whole)).unwrap();
    site.add_sprites(12);
    let failed = SpriteOrder { count: 3, fail_every: 1, ..SpriteOrder::default() };
    site.cloud.control.add_sprites(&failed).unwrap();
    let daemon = site.start();
    site.drained().await;
    let no_mirror = "no sink of the configuration is a mirror: add one with type = \"mirror\"";
    let (code, said) = site.backfill(&["--dry-run"]);
    assert!(code == Some(64) && said.contains(no_mirror), "{said}");
    daemon.stop().await;

    fs::write(site.path("sprited.toml"), &whole).unwrap();
    let (code, said) = site.backfill(&["--yes"]);
    assert!(code == Some(1) && said.contains("the daemon does not know the mirror \"cdn\" yet"));
    let daemon = site.start();
    until(|| site.backfill(&["--dry-run"]).0 == Some(0)).await;
    assert_eq!(site.backfill(&["--dry-run"]).1, "cdn: 12 events would be mirrored\n");
    let (code, said) = site.backfill(&[]);
    assert!(code == Some(64) && said.contains("12 events at cdn would be mirrored"), "{said}");
    assert_eq!(site.copies(), 0);
    let (code, said) = site.backfill(&["--since", "1h", "--rate", "100", "--yes", "--json"]);
    assert_eq!(code, Some(0), "{said}");
    let expected = r#"{"dry_run":false,"sinks":[{"sink":"cdn","chosen":12,"queued":12,"without_body":0,"gone":0}]}"#;
    assert_eq!(said.trim_end(), expected);
    until(|| site.copies() == 12).await;
    let again = site.backfill(&["--sink", "cdn", "--yes"]);
    assert_eq!(
        again,
        (Some(0), "nothing to mirror: it was asked for all of these events\n".to_owned())
    );
    daemon.stop().await;
    site.assert_once("site.jsonl", 15);
    assert!(site.results().iter().all(serde_json::Value::is_null), "they came before the mirror");
}

#[tokio::test]
async fn it_takes_the_only_mirror_or_the_one_that_is_named() {
    let site = site(&[]).await;
    let mirror = "[[sinks]]\nname = 'other'\ntype = 'mirror'\nstore = 'folder'\npath = 'DIR/other'\n\
                  public_url = 'https://img.example.com/other'\n";
    let text = fs::read_to_string(site.path("sprited.toml")).unwrap();
    let mirror = mirror.replace("DIR", site.folder.path().to_str().unwrap());
    fs::write(site.path("sprited.toml"), text + &mirror).unwrap();
    for (arguments, words) in [
        (&["--dry-run"][..], "which mirror? name it with --sink; there are: cdn, other"),
        (&["--sink", "site"], "\"site\" is no mirror; there are: cdn, other"),
    ] {
        let (code, said) = site.backfill(arguments);
        assert!(code == Some(64) && said.contains(words), "{said}");
    }
}
