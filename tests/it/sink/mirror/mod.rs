//! The sink `mirror`: a real server that has the sprites, a real folder that gets the copies.

mod crashes;
mod folder;
mod outages;
mod outcomes;
mod players;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sprited::event::{self, Event, Key, MirrorResult, MirrorStatus};
use sprited::sinks::{Batch, Sink, Verdict};
use tempfile::TempDir;

use super::{APP, context, plan};
use crate::local_server::{LocalServer, Reply, Request};

/// A PNG of 1420x800 by its header and its end mark; each filling is another sheet.
pub(crate) fn png(filling: &str) -> Vec<u8> {
    let chunk = |name: &[u8], content: &[u8]| {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&length, name, content, &[0; 4]].concat()
    };
    let side = |pixels: u32| pixels.to_be_bytes();
    let header = [&side(1420)[..], &side(800), &[8, 2, 0, 0, 0]].concat();
    let start = b"\x89PNG\r\n\x1a\n".to_vec();
    let end = b"\0\0\0\0IEND\xae\x42\x60\x82".to_vec();
    [start, chunk(b"IHDR", &header), chunk(b"IDAT", filling.as_bytes()), end].concat()
}

/// Two tiles on each of two sheets.
pub(crate) const INDEX: &str = "WEBVTT\r\n\r\n\
    1\r\n00:00.000 --> 00:10.000\r\n10_0.png#xywh=0,0,142,80\r\n\r\n\
    2\r\n00:10.000 --> 00:20.000\r\n10_0.png#xywh=142,0,142,80\r\n\r\n\
    3\r\n00:20.000 --> 00:30.000\r\n10_1.png#xywh=0,0,142,80\r\n";

/// The answer for a file of a sprite: its index, or a sheet that is named after the rest of its path.
pub(crate) fn usual(request: &Request) -> Reply {
    let path = request.target.split('?').next().unwrap();
    match path.ends_with(".vtt") {
        true => Reply::new(200, &[], INDEX.as_bytes()),
        false => Reply::new(200, &[], &png(path)),
    }
}

/// An event of one sprite of that file, with two sheets beside its index at `base`.
pub(crate) fn sprite(base: &str, file: &str, finished: &str) -> Arc<Event> {
    sprites(base, &[file], finished)
}

/// An event of a sprite of the template 10 for each of these; each has a folder of its own at `base`.
pub(crate) fn sprites(base: &str, folders: &[&str], finished: &str) -> Arc<Event> {
    let result = |(number, folder): (usize, &&str)| {
        let url = |name: &str| format!("{base}/{folder}/{name}");
        json!({ "Type": "ImageSprites", "ImageSpriteTask": {
            "Status": "SUCCESS", "ErrCode": 0, "Message": "", "FinishTime": finished,
            "Input": { "Definition": 10 + number },
            "Output": {
                "Definition": 10 + number, "Height": 80, "Width": 142, "TotalCount": 3,
                "ImageUrlSet": [url("10_0.png"), url("10_1.png")], "WebVttUrl": url("10.vtt"),
            },
        }})
    };
    procedure(folders[0], folders.iter().enumerate().map(result).collect())
}

/// An event of a procedure with these results, on that file.
pub(crate) fn procedure(file: &str, results: Vec<Value>) -> Arc<Event> {
    let content = json!({
        "EventType": "ProcedureStateChanged",
        "ProcedureStateChangeEvent": {
            "TaskId": format!("task-{file}-{}", rand::random::<u32>()), "Status": "FINISH",
            "FileId": file, "MetaData": { "Duration": 30.0 }, "MediaProcessResultSet": results,
        },
    });
    event::read(APP, &content.to_string(), false, chrono::Utc::now()).event
}

type Behaviour = dyn Fn(&Request) -> Reply + Send + Sync;

/// A server that has sprites, a folder for the copies, and what mirrors them.
struct Site {
    server: LocalServer,
    behaviour: Arc<Mutex<Box<Behaviour>>>,
    folder: TempDir,
    sink: Arc<dyn Sink>,
}

impl Site {
    async fn new() -> Self {
        Self::with("").await
    }

    /// With these further settings.
    async fn with(more: &str) -> Self {
        let behaviour: Arc<Mutex<Box<Behaviour>>> = Arc::new(Mutex::new(Box::new(usual)));
        let current = Arc::clone(&behaviour);
        let server = LocalServer::start(move |request, _| current.lock().unwrap()(request)).await;
        let folder = tempfile::tempdir().unwrap();
        let sink = open(&settings(&folder, &server, more)).await;
        Self { server, behaviour, folder, sink }
    }

    fn settings(&self, more: &str) -> String {
        settings(&self.folder, &self.server, more)
    }

    /// Opens the sink anew, as a restart does.
    async fn restart(&mut self, more: &str) {
        self.sink = open(&self.settings(more)).await;
    }

    /// From now on the server answers so.
    fn answer(&self, behaviour: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
        *self.behaviour.lock().unwrap() = Box::new(behaviour);
    }

    fn sprite(&self, file: &str) -> Arc<Event> {
        sprite(&self.server.url(), file, "")
    }

    async fn offer(&self, event: &Arc<Event>) -> (Verdict, Vec<MirrorResult>) {
        offer(&*self.sink, event).await
    }

    /// Delivers it and returns what became of its only sprite.
    async fn take(&self, event: &Arc<Event>) -> MirrorResult {
        let (verdict, results) = self.offer(event).await;
        assert_eq!(verdict, Verdict::Delivered, "{results:?}");
        results.into_iter().next().unwrap()
    }

    fn requests(&self) -> usize {
        self.server.seen().len()
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// All files that players may get, by their path, with what is in them.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        walk(self.folder.path(), self.folder.path(), &mut found);
        found
    }

    fn manifest(&self, file: &str) -> Value {
        let path = self.path(&format!("{APP}/{file}/10.json"));
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }

    /// Asserts that every manifest names files that are there, of the lengths that it says.
    fn is_whole(&self) -> usize {
        whole_manifests(self.folder.path())
    }
}

/// The manifests below a folder, of which each names what is there.
pub(crate) fn whole_manifests(folder: &Path) -> usize {
    let mut files = BTreeMap::new();
    walk(folder, folder, &mut files);
    let manifests = files.iter().filter(|(path, _)| path.ends_with(".json"));
    let mut count = 0;
    for (path, text) in manifests {
        count += 1;
        let manifest: Value = serde_json::from_slice(text).expect(path);
        let named = |url: &str| {
            let (_, path) = url.split_once("/copies/").expect(url);
            files.get(path).unwrap_or_else(|| panic!("{path} is not there"))
        };
        let index = String::from_utf8(named(manifest["vtt"].as_str().unwrap()).clone()).unwrap();
        assert_eq!(index.matches("-->").count() as u64, manifest["count"].as_u64().unwrap());
        for sheet in manifest["sheets"].as_array().unwrap() {
            let bytes = named(sheet["url"].as_str().unwrap());
            assert_eq!(bytes.len() as u64, sheet["bytes"].as_u64().unwrap(), "{sheet}");
            assert_eq!(sha256(bytes), sheet["sha256"].as_str().unwrap());
        }
    }
    count
}

/// The events of whose sprites there are copies, each with all that its manifest names.
pub(super) fn events_in(folder: &Path) -> Vec<Key> {
    whole_manifests(folder);
    let mut files = BTreeMap::new();
    walk(folder, folder, &mut files);
    let manifests = files.iter().filter(|(path, _)| path.ends_with(".json"));
    let event = |text: &[u8]| {
        let manifest: Value = serde_json::from_slice(text).unwrap();
        manifest["made_from"]["event"].as_str().unwrap().parse().unwrap()
    };
    manifests.map(|(_, text)| event(text)).collect()
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && !name.starts_with('.') {
            walk(root, &path, found);
        } else if path.is_file() {
            found.insert(name, fs::read(&path).unwrap());
        }
    }
}

fn settings(folder: &TempDir, server: &LocalServer, more: &str) -> String {
    let url = "https://img.example.com/copies";
    format!(
        "store = 'folder'\npath = {:?}\npublic_url = '{url}'\nhosts = ['{}']\n{more}\n",
        folder.path(),
        server.address()
    )
}

async fn open(settings: &str) -> Arc<dyn Sink> {
    plan("mirror", settings).open(&context("cdn")).await.unwrap()
}

async fn offer(sink: &dyn Sink, event: &Arc<Event>) -> (Verdict, Vec<MirrorResult>) {
    let mut verdicts = sink.deliver(&Batch::new(vec![Arc::clone(event)])).await;
    let mut mirrored = verdicts.take_mirrored();
    assert_eq!(mirrored.len(), 1);
    let results = mirrored.remove(0);
    assert_eq!(results.len(), event.sprites.len());
    assert!(results.iter().all(|result| result.sink == "cdn"));
    (verdicts.into_parts().0.remove(0), results)
}

#[tokio::test]
async fn a_sprite_is_copied_in_the_form_that_every_player_reads() {
    let site = Site::new().await;
    let event = sprite(&site.server.url(), "528589", "2026-11-24T03:43:47Z");
    let result = site.take(&event).await;
    assert_eq!((result.status, &result.error), (MirrorStatus::Ok, &None), "{result:?}");
    let vtt = result.vtt.unwrap();
    let folder = format!("https://img.example.com/copies/{APP}/528589");
    let set = vtt.strip_suffix("/thumbnails.vtt").unwrap().to_owned();
    assert!(set.starts_with(&format!("{folder}/10-")), "{set}");
    assert_eq!(result.manifest.unwrap(), format!("{folder}/10.json"));
    let sheets = result.sheets.unwrap();
    assert_eq!(sheets, [format!("{set}/0.png"), format!("{set}/1.png")]);
    assert_eq!(result.count, Some(3));

    let set = set.strip_prefix("https://img.example.com/copies/").unwrap();
    let files = site.files();
    let index = String::from_utf8(files[&format!("{set}/thumbnails.vtt")].clone()).unwrap();
    assert_eq!(
        index,
        "WEBVTT\n\n\
         00:00:00.000 --> 00:00:10.000\n0.png#xywh=0,0,142,80\n\n\
         00:00:10.000 --> 00:00:20.000\n0.png#xywh=142,0,142,80\n\n\
         00:00:20.000 --> 00:00:30.000\n1.png#xywh=0,0,142,80\n\n"
    );
    for number in [0, 1] {
        assert_eq!(files[&format!("{set}/{number}.png")], png(&format!("/528589/10_{number}.png")));
    }
    assert_eq!((files.len(), site.is_whole()), (4, 1));

    let manifest = site.manifest("528589");
    assert_eq!(manifest["sprite"], event.sprites[0].id.as_str());
    assert_eq!((&manifest["file_id"], &manifest["definition"]), (&json!("528589"), &json!(10)));
    assert_eq!((&manifest["vtt"], &manifest["count"]), (&json!(vtt), &json!(3)));
    assert_eq!(manifest["duration"], 30.0);
    assert_eq!(manifest["sheets"][0]["tiles"], 2);
    let made = &manifest["made_from"];
    assert_eq!(made["event"], event.key.to_string());
    assert_eq!(made["finished"], "2026-11-24T03:43:47.000Z");
    assert_eq!(made["vtt_url"], format!("{}/528589/10.vtt", site.server.url()));
    // What is repaired is no finding.
    assert_eq!((&manifest["findings"], result.findings.len()), (&json!([]), 0));
}

/// A URL says `.jpg`, and what is behind it is a PNG: players and servers go by the ending.
#[tokio::test]
async fn a_sheet_is_named_after_what_it_is() {
    let site = Site::new().await;
    let index = INDEX.replace(".png", ".jpg");
    site.answer(move |request| match request.target.ends_with(".vtt") {
        true => Reply::new(200, &[], index.as_bytes()),
        false => usual(request),
    });
    let plain = site.sprite("1");
    let body = plain.body.replace(".png", ".jpg");
    let result = site.take(&event::read(APP, &body, false, plain.first_pulled).event).await;
    let asked = site.server.seen().iter().filter(|it| it.target.ends_with(".jpg")).count();
    assert_eq!((result.status, asked), (MirrorStatus::Ok, 2));
    let sheets = result.sheets.unwrap();
    let set = result.vtt.unwrap().strip_suffix("/thumbnails.vtt").unwrap().to_owned();
    assert_eq!(sheets, [format!("{set}/0.png"), format!("{set}/1.png")]);
    let manifest = site.manifest("1");
    let named = manifest["sheets"].as_array().unwrap().iter().map(|sheet| sheet["url"].clone());
    assert_eq!(named.collect::<Vec<_>>(), sheets);
    let set = set.strip_prefix("https://img.example.com/copies/").unwrap();
    let files = site.files();
    let index = String::from_utf8(files[&format!("{set}/thumbnails.vtt")].clone()).unwrap();
    assert!(index.contains("\n0.png#") && index.contains("\n1.png#"), "{index}");
    assert!(!index.contains(".jpg"), "{index}");
    assert_eq!((files.contains_key(&format!("{set}/1.png")), site.is_whole()), (true, 1));
}

#[tokio::test]
async fn what_is_there_already_is_not_fetched_again() {
    let mut site = Site::new().await;
    let event = site.sprite("1");
    let first = site.take(&event).await;
    let (requests, files) = (site.requests(), site.files());
    // In a procedure that tells of each change, one sprite stands in several events.
    let mut later = Event::clone(&event);
    later.key = Key::from_bytes([7; 16]);
    let later = Arc::new(later);
    assert_eq!((site.take(&event).await, site.take(&later).await), (first.clone(), first.clone()));
    site.restart("").await;
    assert_eq!(site.take(&later).await, first);
    assert_eq!((site.requests(), site.files()), (requests, files));
    // Somebody tidied up, or a rule removed what is old.
    let vtt = first.vtt.clone().unwrap();
    let set = vtt.strip_prefix("https://img.example.com/copies/").unwrap();
    let set = set.strip_suffix("/thumbnails.vtt").unwrap();
    for gone in ["thumbnails.vtt", "1.png"] {
        fs::remove_file(site.path(set).join(gone)).unwrap();
        assert_eq!(site.take(&event).await, first);
        assert!(site.path(set).join(gone).exists());
    }
    fs::remove_dir_all(site.path(set)).unwrap();
    assert_eq!(site.take(&event).await, first);
    assert_eq!(site.is_whole(), 1);
}

#[tokio::test]
async fn another_public_url_comes_into_effect_without_a_fetch() {
    let site = Site::new().await;
    let event = site.sprite("1");
    site.take(&event).await;
    let requests = site.requests();
    let text = site.settings("").replace("img.example.com/copies", "cdn.example.com/x/copies");
    let (verdict, results) = offer(&*open(&text).await, &event).await;
    assert_eq!((verdict, site.requests()), (Verdict::Delivered, requests));
    let base = format!("https://cdn.example.com/x/copies/{APP}/1/");
    assert!(results[0].vtt.as_ref().unwrap().starts_with(&base), "{results:?}");
    assert!(results[0].sheets.as_ref().unwrap()[1].starts_with(&base), "{results:?}");
    let manifest = site.manifest("1");
    assert!(manifest["vtt"].as_str().unwrap().starts_with(&base), "{manifest}");
    assert_eq!(site.is_whole(), 1);
}

#[tokio::test]
async fn an_older_sprite_never_takes_the_place_of_a_newer_one() {
    let site = Site::new().await;
    let base = site.server.url();
    let made = |folder: &str, finished: &str| {
        let of_folder = sprite(&base, folder, finished);
        // All of one file.
        let body = of_folder.body.replace(&format!("\"FileId\":\"{folder}\""), "\"FileId\":\"1\"");
        event::read(APP, &body, false, chrono::Utc::now()).event
    };
    let times = ["2026-11-24T03:43:47Z", "2026-11-24T03:43:48Z", "0000-00-00T00:00:00Z"];
    let older = made("a", times[0]);
    let newer = made("b", times[1]);
    let there = || site.manifest("1")["made_from"]["event"].as_str().unwrap().to_owned();
    // The one that came last is the older one by its task.
    for event in [&newer, &older] {
        site.take(event).await;
    }
    assert_eq!(there(), newer.key.to_string());
    let skipped = site.take(&older).await;
    assert_eq!(skipped.status, MirrorStatus::Skipped);
    assert_eq!(skipped.error.unwrap(), "a newer sprite of this file is there");
    assert_eq!((skipped.manifest, skipped.vtt, skipped.sheets), (None, None, None));
    assert!(site.server.seen().iter().all(|request| !request.target.starts_with("/a/")));
    // Where no time is known, by when they came.
    let early = made("c", times[2]);
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    let late = made("d", times[2]);
    for event in [&early, &late, &early] {
        site.take(event).await;
    }
    assert_eq!(there(), late.key.to_string());
    assert_eq!(site.take(&early).await.status, MirrorStatus::Skipped);
    // What was there before stays where it is: players may have it still.
    let sets = fs::read_dir(site.path(&format!("{APP}/1"))).unwrap().count() - 1;
    assert_eq!((sets, site.is_whole()), (3, 1));
}
