//! What each moment of a delivery leaves behind when it is the last one, and that the next try makes
//! of that what it would have made of nothing.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{APP, Site, usual};
use crate::local_server::Reply;
use crate::support::until;

/// The files that players may get are the same, and nothing else was left.
async fn ends_as(site: &mut Site, expected: &BTreeMap<String, Vec<u8>>) {
    site.restart("").await;
    let event = site.sprite("1");
    site.take(&event).await;
    let mut there = site.files();
    // It names its event, and when that came.
    let manifest = format!("{APP}/1/10.json");
    assert!(there.remove(&manifest).is_some());
    let mut expected = expected.clone();
    expected.remove(&manifest);
    assert_eq!(there, expected);
    assert_eq!(site.is_whole(), 1);
    let spools = fs::read_dir(site.path(".sprited-tmp")).unwrap().count();
    assert_eq!(spools, 1, "a dead process's files stay");
}

/// All that a delivery writes.
async fn whole(site: &Site) -> BTreeMap<String, Vec<u8>> {
    site.take(&site.sprite("1")).await;
    site.files()
}

fn manifest_of(site: &Site) -> std::path::PathBuf {
    site.path(&format!("{APP}/1/10.json"))
}

fn set_of(site: &Site) -> std::path::PathBuf {
    let folder = site.path(&format!("{APP}/1"));
    let mut entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.find(|path| path.is_dir()).unwrap()
}

#[tokio::test]
async fn while_fetching() {
    let mut site = Site::new().await;
    let expected = whole(&site).await;
    fs::remove_dir_all(site.path(&APP.to_string())).unwrap();
    let held = CancellationToken::new();
    let release = held.clone();
    site.answer(move |request| match request.target.contains("10_1") {
        true => Reply::When(held.clone(), Box::new(usual(request))),
        false => usual(request),
    });
    let event = site.sprite("1");
    let asked = || site.server.seen().iter().filter(|it| it.target.contains("10_1")).count() > 1;
    let delivery = async {
        tokio::join!(site.offer(&event), until(asked));
    };
    // Dropped in the middle, as at the end of the time for stopping.
    assert!(timeout(Duration::from_millis(500), delivery).await.is_err());
    assert_eq!(site.files().len(), 0);
    // A process that is killed removes nothing.
    let left = site.path(".sprited-tmp/spool-0000000000000001");
    fs::create_dir(&left).unwrap();
    fs::write(left.join(".sprited-sheet-abc"), "half").unwrap();
    release.cancel();
    site.answer(usual);
    ends_as(&mut site, &expected).await;
}

#[tokio::test]
async fn between_the_files_of_a_set() {
    for gone in [&["thumbnails.vtt"][..], &["thumbnails.vtt", "1.png"], &["0.png"]] {
        let mut site = Site::new().await;
        let expected = whole(&site).await;
        fs::remove_file(manifest_of(&site)).unwrap();
        for name in gone {
            fs::remove_file(set_of(&site).join(name)).unwrap();
        }
        ends_as(&mut site, &expected).await;
    }
}

#[tokio::test]
async fn after_the_folders_and_before_the_first_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut site = Site::new().await;
    let expected = whole(&site).await;
    let set = set_of(&site);
    fs::remove_file(manifest_of(&site)).unwrap();
    fs::remove_dir_all(&set).unwrap();
    // As it is made, before its name is on disk.
    fs::create_dir(&set).unwrap();
    fs::set_permissions(&set, fs::Permissions::from_mode(0o1700)).unwrap();
    ends_as(&mut site, &expected).await;
    assert_eq!(fs::metadata(&set).unwrap().permissions().mode() & 0o7777, 0o755);
}

#[tokio::test]
async fn a_set_that_is_not_what_it_should_be_is_written_anew() {
    let mut site = Site::new().await;
    let expected = whole(&site).await;
    let set = set_of(&site);
    fs::write(set.join("0.png"), "").unwrap();
    let bytes = fs::read(set.join("1.png")).unwrap().len();
    fs::write(set.join("1.png"), "x".repeat(bytes)).unwrap();
    fs::write(set.join("thumbnails.vtt"), "WEBVTT\n").unwrap();
    fs::remove_file(manifest_of(&site)).unwrap();
    ends_as(&mut site, &expected).await;
}

#[tokio::test]
async fn after_the_set_and_before_the_manifest() {
    let mut site = Site::new().await;
    let expected = whole(&site).await;
    fs::remove_file(manifest_of(&site)).unwrap();
    let written = fs::metadata(set_of(&site).join("0.png")).unwrap().modified().unwrap();
    ends_as(&mut site, &expected).await;
    let now = fs::metadata(set_of(&site).join("0.png")).unwrap().modified().unwrap();
    assert_eq!(now, written, "what is there was written again");
}

#[tokio::test]
async fn after_the_manifest_and_before_the_record_of_it() {
    let mut site = Site::new().await;
    let event = site.sprite("1");
    let first = site.take(&event).await;
    let (requests, files) = (site.requests(), site.files());
    site.restart("").await;
    assert_eq!(site.take(&event).await, first);
    assert_eq!((site.requests(), site.files()), (requests, files));
}

#[tokio::test]
async fn an_index_that_somebody_has_changed_is_written_anew() {
    let mut site = Site::new().await;
    let expected = whole(&site).await;
    for text in ["", "WEBVTT", "\u{fffd}"] {
        fs::write(set_of(&site).join("thumbnails.vtt"), text).unwrap();
        ends_as(&mut site, &expected).await;
    }
}

#[tokio::test]
async fn a_manifest_of_a_later_version_is_left_as_it_is() {
    let site = Site::new().await;
    whole(&site).await;
    let later = r#"{"version":2,"copies":[]}"#;
    fs::write(manifest_of(&site), later).unwrap();
    let (verdict, _) = site.offer(&site.sprite("1")).await;
    let error = super::super::retry_error(&verdict);
    assert!(error.contains("is of version 2, which a later version of sprited wrote"), "{error}");
    assert_eq!(fs::read_to_string(manifest_of(&site)).unwrap(), later);
}

#[tokio::test]
async fn a_manifest_that_cannot_be_read_is_written_anew() {
    for text in ["", "{", "{}", "null", "[1]"] {
        let mut site = Site::new().await;
        let expected = whole(&site).await;
        fs::write(manifest_of(&site), text).unwrap();
        ends_as(&mut site, &expected).await;
    }
}
