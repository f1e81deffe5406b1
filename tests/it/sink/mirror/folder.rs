//! The folder: what it looks like for others, and what happens if it cannot be written to.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use sprited::event::MirrorStatus;
use sprited::sinks::{Fault, Verdict};

use super::{APP, Site};
use crate::sink::{CAME_TO_THE_END, as_stranger, is_stranger};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn error_at_the_target((verdict, results): (Verdict, Vec<sprited::event::MirrorResult>)) -> String {
    let Verdict::Retry { error, fault, .. } = verdict else { panic!("{verdict:?}") };
    assert_eq!((fault, results[0].status), (Fault::Target, MirrorStatus::Failed), "{error}");
    error
}

#[tokio::test]
async fn a_server_may_read_what_is_public_and_nothing_else() {
    for (setting, of_files, of_folders) in
        [("", 0o644, 0o755), ("mode = '0640'", 0o640, 0o750), ("mode = '0600'", 0o600, 0o700)]
    {
        let site = Site::with(setting).await;
        site.take(&site.sprite("1")).await;
        for path in site.files().keys() {
            assert_eq!(mode(&site.path(path)), of_files, "{path}");
            let folder = site.path(path);
            assert_eq!(mode(folder.parent().unwrap()), of_folders, "{path}");
        }
        assert_eq!(mode(&site.path(".sprited-tmp")), 0o700);
    }
}

#[tokio::test]
async fn with_a_prefix_all_of_it_is_below_that() {
    let site = Site::with("prefix = 'vod/sprites'").await;
    let result = site.take(&site.sprite("1")).await;
    // The URL leads there, so that it does not say the prefix again.
    let manifest = format!("https://img.example.com/copies/{APP}/1/10.json");
    assert_eq!(result.manifest.unwrap(), manifest);
    let top: Vec<_> = fs::read_dir(site.folder.path()).unwrap().flatten().collect();
    assert_eq!(top.len(), 1);
    assert_eq!(super::whole_manifests(&site.path("vod/sprites")), 1);
    site.sink.probe().await.unwrap();
}

#[tokio::test]
async fn names_of_the_remote_side_stand_in_no_path() {
    let site = Site::new().await;
    for file in ["../../etc/passwd", "a/b", "ä", ".", "a b", "x".repeat(200).as_str()] {
        let event = super::procedure(
            file,
            vec![serde_json::json!({ "ImageSpriteTask": {
                "Status": "SUCCESS", "Input": { "Definition": -1 },
                "Output": { "WebVttUrl": format!("{}/1/10.vtt", site.server.url()) },
            }})],
        );
        assert_eq!(site.take(&event).await.status, MirrorStatus::Ok, "{file}");
    }
    let folders = fs::read_dir(site.path(&APP.to_string())).unwrap();
    let names: Vec<_> = folders.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names.len(), 6);
    assert!(names.iter().all(|name| name.starts_with("x-") && name.len() == 34), "{names:?}");
    assert!(site.files().keys().filter(|name| name.ends_with("/none.json")).count() == 6);
}

#[tokio::test]
async fn no_link_is_followed_out_of_it() {
    let outside = tempfile::tempdir().unwrap();
    let site = Site::new().await;
    symlink(outside.path(), site.path(&APP.to_string())).unwrap();
    let error = error_at_the_target(site.offer(&site.sprite("1")).await);
    assert!(error.contains("follows no links"), "{error}");
    fs::remove_file(site.path(&APP.to_string())).unwrap();
    site.take(&site.sprite("1")).await;
    // A manifest that is a link is not read, and not written through.
    fs::write(outside.path().join("theirs"), "{}").unwrap();
    let manifest = site.path(&format!("{APP}/1/10.json"));
    fs::remove_file(&manifest).unwrap();
    symlink(outside.path().join("theirs"), &manifest).unwrap();
    let error = error_at_the_target(site.offer(&site.sprite("1")).await);
    assert!(error.contains("follows no links"), "{error}");
    assert_eq!(fs::read_to_string(outside.path().join("theirs")).unwrap(), "{}");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_a_fault_of_the_sink() {
    let site = Site::new().await;
    let settings = site.settings("").replace(
        &format!("path = {:?}", site.folder.path()),
        &format!("path = {:?}", site.path("none")),
    );
    let sink = super::open(&settings).await;
    let error = error_at_the_target(super::offer(&*sink, &site.sprite("1")).await);
    assert!(error.contains("none does not exist: create it"), "{error}");
    assert!(sink.probe().await.unwrap_err().to_string().contains("does not exist"));
    assert_eq!(site.requests(), 0);
    fs::create_dir(site.path("none")).unwrap();
    assert_eq!(super::offer(&*sink, &site.sprite("1")).await.0, Verdict::Delivered);
}

#[test]
fn a_folder_that_may_not_be_written_to_is_a_fault_of_the_sink() {
    as_stranger("sink::mirror::folder::closed_to_who_is_not_root");
}

#[tokio::test]
#[ignore = "run by a_folder_that_may_not_be_written_to_is_a_fault_of_the_sink, not as root"]
async fn closed_to_who_is_not_root() {
    if !is_stranger() {
        return;
    }
    let site = Site::new().await;
    let set_mode = |mode| {
        fs::set_permissions(site.folder.path(), fs::Permissions::from_mode(mode)).unwrap();
    };
    set_mode(0o500);
    let error = error_at_the_target(site.offer(&site.sprite("1")).await);
    assert!(error.contains("Permission denied"), "{error}");
    let probed = site.sink.probe().await.unwrap_err().to_string();
    assert!(probed.contains("Permission denied"), "{probed}");
    assert_eq!(site.requests(), 0);
    set_mode(0o700);
    assert_eq!(site.take(&site.sprite("1")).await.status, MirrorStatus::Ok);
    println!("{CAME_TO_THE_END}");
}

#[tokio::test]
async fn a_spool_that_was_tidied_away_is_made_again() {
    let site = Site::new().await;
    site.take(&site.sprite("1")).await;
    fs::remove_dir_all(site.path(".sprited-tmp")).unwrap();
    site.take(&site.sprite("2")).await;
    assert_eq!(site.is_whole(), 2);
}
