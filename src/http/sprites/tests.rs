//! What is read of a mirror, and what a page says of it.

use std::path::Path;

use super::mirrored::{Mirrored, MirroredSprite};
use super::served::MirrorFolder;
use super::{scrub::Scrub, sprite_page};
use crate::event::{AppId, Event, EventOrigin, ImageSprite, Key, SpriteStatus, StoredEvent};
use crate::sprite::{
    Finding, FindingCode, Grid, MANIFEST_VERSION, MadeFrom, Manifest, ManifestSheet, Place, Tile,
    TileSize, write_vtt,
};

const APP: AppId = AppId(1_500_012_345);
const FILE: &str = "387702299773851453";
const SET: &str = "10-3fa91c0b7d22";

/// Tiles of 142×80, a hundred a sheet, each ten seconds.
fn tiles(count: u64) -> Vec<Tile> {
    let tile = |n: u64| {
        let at = (n % 100) as u32;
        let (start, sheet) = (n * 10_000, (n / 100) as usize);
        let (x, y) = (at % 10 * 142, at / 10 * 80);
        Tile { start, end: start + 10_000, sheet, x, y, width: 142, height: 80 }
    };
    (0..count).map(tile).collect()
}

fn sprite() -> ImageSprite {
    ImageSprite {
        id: Key::from_bytes([0xa5; 16]).to_string(),
        task_id: Some("t".to_owned()),
        file_id: Some(FILE.to_owned()),
        definition: Some(10),
        status: SpriteStatus::Success,
        error: None,
        finished: None,
        media_duration: None,
        tile_count: Some(106),
        tile_width: None,
        tile_height: None,
        sheets: Vec::new(),
        vtt_url: None,
    }
}

fn event() -> Event {
    Event::from_stored(StoredEvent {
        key: Key::from_bytes([0x3c; 16]),
        app: APP,
        event_type: "ProcedureStateChanged".to_owned(),
        file_id: Some(FILE.to_owned()),
        task_id: None,
        body: "{}".to_owned(),
        first_pulled: "2026-01-02T03:04:05Z".parse().unwrap(),
        replaced: false,
        origin: EventOrigin::Queue,
    })
}

fn manifest(count: u64) -> Manifest {
    let public = format!("https://img.example.com/s/{APP}/{FILE}/{SET}");
    let sheets = count.div_ceil(100);
    let sheet = |n: u64| {
        let tiles = (count - n * 100).min(100);
        let height = tiles.div_ceil(10) as u32 * 80;
        let url = format!("{public}/{n}.jpg");
        let sha256 = "0".repeat(64);
        ManifestSheet { url, width: 1420, height, bytes: 412_331, sha256, tiles: tiles as usize }
    };
    Manifest {
        version: MANIFEST_VERSION,
        sprite: sprite().id,
        file_id: Some(FILE.to_owned()),
        definition: Some(10),
        vtt: format!("{public}/thumbnails.vtt"),
        sheets: (0..sheets).map(sheet).collect(),
        tile: Some(TileSize { width: 142, height: 80 }),
        count: count as usize,
        duration: count as f64 * 10.0,
        grid: Some(Grid { columns: 10, rows: 10, interval: 10.0 }),
        findings: vec![],
        made_from: MadeFrom {
            vtt_url: "http://example.com/a.vtt".to_owned(),
            finished: None,
            first_pulled: "2026-01-02T03:04:05Z".to_owned(),
            event: event().key.to_string(),
        },
    }
}

/// Writes a manifest and an index where the mirror has them.
fn store(root: &Path, manifest: &str, tiles: &[Tile]) -> MirrorFolder {
    let place = Place::of(APP, &sprite());
    let mirror = MirrorFolder {
        name: "cdn".to_owned(),
        path: root.to_owned(),
        prefix: "a/b".to_owned(),
        public_url: "https://img.example.com/s".to_owned(),
    };
    let at = root.join("a/b");
    std::fs::create_dir_all(at.join(place.folder()).join(SET)).unwrap();
    std::fs::write(at.join(place.manifest()), manifest).unwrap();
    let names: Vec<_> = (0..100).map(|n| format!("{n}.jpg")).collect();
    let vtt = write_vtt(tiles, &names);
    std::fs::write(at.join(place.folder()).join(SET).join("thumbnails.vtt"), vtt).unwrap();
    mirror
}

fn json(manifest: &Manifest) -> String {
    serde_json::to_string(manifest).unwrap()
}

fn find(mirror: &MirrorFolder) -> Mirrored {
    Mirrored::find(std::slice::from_ref(mirror), APP, &sprite())
}

/// A sprite of so many tiles, as a mirror has it.
fn mirrored(root: &Path, count: u64) -> (MirroredSprite, Vec<Tile>) {
    let mirror = store(root, &json(&manifest(count)), &tiles(count));
    let sprite = find(&mirror).here().unwrap();
    let found = sprite.tiles().unwrap();
    assert_eq!(found, tiles(count));
    (sprite, found)
}

/// The page of a sprite of so many tiles.
fn page(count: u64) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (sprite, tiles) = mirrored(folder.path(), count);
    sprite_page::page(&event(), &sprite, &Ok(tiles), "vod-1").into_string()
}

/// Asserts that each element ends where it has to, and that no id is there twice.
#[track_caller]
fn assert_well_formed(page: &str) {
    const VOID: [&str; 4] = ["meta", "link", "img", "input"];
    let mut open = Vec::new();
    let mut ids = std::collections::HashSet::new();
    for part in page.split('<').skip(1) {
        let (tag, _) = part.split_once('>').expect("a mark that ends");
        let name = tag.split([' ', '\n']).next().unwrap();
        if let Some(name) = name.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{part}");
        } else if !name.starts_with('!') && !VOID.contains(&name) {
            open.push(name);
        }
        if let Some((_, id)) = tag.split_once(" id=\"") {
            let id = id.split('"').next().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} is there twice");
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("no {from}: {text}"));
    rest.split_once(to).unwrap_or_else(|| panic!("no {to}: {rest}")).0
}

#[test]
fn each_tile_is_a_link_with_its_part_of_its_sheet() {
    let page = page(106);
    assert_well_formed(&page);
    assert_eq!(page.matches("class=\"pick").count(), 106);
    let key = event().key;
    for (n, tile) in tiles(106).iter().enumerate() {
        let link = between(&page, &format!("<a id=\"t{}\" ", n * 10), "</a>");
        assert!(link.contains(&format!("href=\"#t{}\"", n * 10)), "{link}");
        let (x, width) = (720.0 / 106.0 * n as f64, 720.0 / 106.0);
        let number = |name: &str| -> f64 {
            let hit = between(link, "<rect class=\"hit\"", ">");
            between(hit, &format!(" {name}=\""), "\"").parse().unwrap()
        };
        assert!((number("x") - x).abs() < 0.01 && (number("width") - width).abs() < 0.01, "{link}");
        let part = format!("viewBox=\"{} {} 142 80\"", tile.x, tile.y);
        let height = if n < 100 { 800 } else { 80 };
        let sheet = format!(
            "<image href=\"/sprites/{key}/{SET}/{}\" width=\"1420\" height=\"{height}\"",
            tile.sheet
        );
        assert!(link.contains(&part) && link.contains(&sheet), "{n}: {link}");
    }
    let last = between(&page, "<a id=\"t1030\" ", "</g></a>");
    assert!(last.contains("aria-label=\"17:10\"") && last.contains(">17:10</text>"), "{last}");
    assert!(!page.contains("<script") && !page.contains("style=\""), "{page}");
}

#[test]
fn before_and_after_a_tile_are_links_to_its_neighbours() {
    let page = page(3);
    let steps = |id: &str| {
        let tile = between(&page, &format!("<a id=\"{id}\" "), "<g><a id=");
        tile.matches("class=\"step").count()
    };
    assert_eq!((steps("t0"), steps("t10")), (1, 2));
    assert!(
        page.contains("<a class=\"step\" href=\"#t10\" aria-label=\"the tile before\""),
        "{page}"
    );
    assert!(
        page.contains("<a class=\"step next\" href=\"#t20\" aria-label=\"the next tile\""),
        "{page}"
    );
    assert_eq!(page.matches("pick middle").count(), 1);
}

#[test]
fn of_many_tiles_each_nth_is_shown_and_the_page_says_so() {
    let page = page(2_500);
    assert_well_formed(&page);
    assert_eq!(page.matches("class=\"pick").count(), 834);
    assert!(page.contains("There are 2,500 tiles; each third is shown."), "{page}");
    // What is left out is shown by the tile before it: there is no gap.
    let link = between(&page, "<a id=\"t30\" ", "</a>");
    let hit = between(link, "<rect class=\"hit\"", ">");
    assert!(hit.contains("width=\"0.86\""), "{hit}");
    let few = self::page(1_200);
    assert!(!few.contains("is shown.") && few.matches("class=\"pick").count() == 1_200);
}

#[test]
fn a_gap_in_the_times_is_one_on_the_bar() {
    let folder = tempfile::tempdir().unwrap();
    let mut with_gap = tiles(4);
    with_gap.remove(1);
    with_gap[2].start += 333;
    let mirror = store(folder.path(), &json(&manifest(4)), &with_gap);
    let sprite = find(&mirror).here().unwrap();
    let svg = Scrub::new(&sprite, "k", &sprite.tiles().unwrap()).svg().into_string();
    let hit = |id: &str| {
        between(
            between(&svg, &format!("<a id=\"{id}\" "), "</a>"),
            "<rect class=\"hit\" ",
            " height",
        )
        .to_owned()
    };
    assert_eq!(hit("t0"), "x=\"0\" width=\"180\"");
    assert_eq!(hit("t20"), "x=\"360\" width=\"180\"");
    assert!(svg.contains(">0:30.333</text>"), "{svg}");
}

#[test]
fn the_page_tells_what_is_known_of_the_sprite() {
    let folder = tempfile::tempdir().unwrap();
    let mut manifest = manifest(106);
    manifest.findings =
        vec![Finding::new(FindingCode::ALL[FindingCode::ALL.len() - 1], "105 <b>cues</b>")];
    let mirror = store(folder.path(), &json(&manifest), &tiles(106));
    let sprite = find(&mirror).here().unwrap();
    let tiles = sprite.tiles();
    let page = sprite_page::page(&event(), &sprite, &tiles, "vod-1").into_string();
    assert_well_formed(&page);
    let key = event().key.to_string();
    for words in [
        "Sprite of file 387702299773851453",
        "106 tiles of 142×80",
        "17:40",
        "10×10, a tile every 0:10",
        "1420×800, 402.7 KiB, 100 tiles",
        "1420×80, 402.7 KiB, 6 tiles",
        "105 &lt;b&gt;cues&lt;/b&gt;",
        "https://img.example.com/s/1500012345/387702299773851453/10.json",
        "https://img.example.com/s/1500012345/387702299773851453/10-3fa91c0b7d22/thumbnails.vtt",
        &key,
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let failed = Err("the index cannot be read: no cues".to_owned());
    let page = sprite_page::page(&event(), &sprite, &failed, "vod-1").into_string();
    assert_well_formed(&page);
    assert!(page.contains("No tile can be shown: the index cannot be read: no cues"), "{page}");
}

#[test]
fn players_are_told_addresses_of_the_configuration_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = json(&manifest(3)).replace("https://img.example.com/", "javascript:alert(1)//");
    let mirror = store(folder.path(), &text, &tiles(3));
    let sprite = find(&mirror).here().unwrap();
    let page = sprite_page::page(&event(), &sprite, &sprite.tiles(), "vod-1").into_string();
    assert!(!page.contains("javascript:"), "{page}");
    let at = format!("https://img.example.com/s/{APP}/{FILE}");
    assert_eq!(sprite.manifest_url(), format!("{at}/10.json"));
    assert_eq!(sprite.vtt_url(), format!("{at}/{SET}/thumbnails.vtt"));
    assert_eq!(sprite.sheet_urls(), [format!("{at}/{SET}/0.jpg")]);
    assert!(page.contains(&sprite.manifest_url()) && page.contains(&sprite.vtt_url()), "{page}");
}

/// A preview needs no index: the manifest tells where the middle is.
#[test]
fn a_tile_of_the_middle_stands_for_the_sprite() {
    let folder = tempfile::tempdir().unwrap();
    let (sprite, tiles) = mirrored(folder.path(), 250);
    let preview = sprite.preview("k").unwrap();
    let middle = tiles[125];
    assert_eq!(preview.sheet, format!("/sprites/k/{SET}/1"));
    assert_eq!((preview.x, preview.y), (middle.x, middle.y));
    assert_eq!(Some(preview), sprite.drawn("k", &middle));
    let other = |change: fn(&mut Manifest)| {
        let mut manifest = manifest(250);
        change(&mut manifest);
        let mirror = store(folder.path(), &json(&manifest), &tiles);
        find(&mirror).here().unwrap().preview("k").map(|tile| (tile.sheet, tile.x, tile.y))
    };
    assert_eq!(other(|it| it.grid = None), Some((format!("/sprites/k/{SET}/0"), 0, 0)));
    assert_eq!(other(|it| it.tile = None), None);
    assert_eq!(other(|it| it.grid = Some(Grid { columns: 0, rows: 1, interval: 1.0 })), None);
    assert_eq!(other(|it| it.sheets.iter_mut().for_each(|sheet| sheet.tiles = 0)), None);
    assert_eq!(other(|it| it.tile = Some(TileSize { width: u32::MAX, height: u32::MAX })), None);
    assert_eq!(other(|it| it.tile = Some(TileSize { width: 0, height: 0 })), None);
}

#[test]
fn a_manifest_that_sprited_does_not_write_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let verdict = |text: &str| {
        let mirror = store(folder.path(), text, &tiles(3));
        match find(&mirror) {
            Mirrored::Here(_) => "here".to_owned(),
            Mirrored::Nowhere => "nowhere".to_owned(),
            Mirrored::Replaced(by) => format!("replaced by {by}"),
            Mirrored::Unusable(why) => why,
        }
    };
    let good = json(&manifest(3));
    assert_eq!(verdict(&good), "here");
    let other = "0".repeat(32);
    let of_another = good.replace(&sprite().id, &other);
    assert_eq!(verdict(&of_another), format!("replaced by {other}"));
    assert_eq!(verdict(&good.replace(&sprite().id, "../evil")), "nowhere");
    assert_eq!(verdict("{}"), "cdn: the manifest is not as sprited writes it");
    let long = format!("{good}{}", " ".repeat(1 << 20));
    assert!(verdict(&long).starts_with("cdn: the manifest cannot be read: "));
    assert_eq!(
        verdict(&good.replace("\"version\":1", "\"version\":2")),
        "cdn: the manifest is of another version"
    );
    for (from, to) in [
        (SET, ".."),
        (SET, "10-3fa91c0b7d2"),
        (SET, "10-3FA91C0B7D22"),
        (SET, "11-3fa91c0b7d22"),
        (SET, "10-3fa91c0b7d22%2f.."),
        ("/thumbnails.vtt", "/../../../thumbnails.vtt"),
        ("thumbnails.vtt", "passwd"),
        ("0.jpg", "0.svg"),
        ("0.jpg", "passwd"),
        ("\"width\":1420", "\"width\":0"),
        ("\"height\":80,\"bytes\"", "\"height\":99999,\"bytes\""),
        ("\"sheets\":[{", "\"sheets\":[],\"x\":[{"),
    ] {
        let changed = good.replace(from, to);
        assert_ne!(changed, good, "{from}");
        let why = verdict(&changed);
        assert_eq!(why, "cdn: the manifest names what sprited does not write", "{from} {to}");
    }
}

#[test]
fn a_cue_that_lies_outside_of_its_sheet_is_not_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = store(folder.path(), &json(&manifest(106)), &tiles(106));
    let sprite = find(&mirror).here().unwrap();
    let place = Place::of(APP, &self::sprite());
    let index = folder.path().join("a/b").join(place.folder()).join(SET).join("thumbnails.vtt");
    let cues = [
        "0.jpg#xywh=0,0,142,80",
        "0.jpg#xywh=1279,0,142,80",
        "1.jpg#xywh=0,80,142,80",
        "2.jpg#xywh=0,0,142,80",
        "../../etc/passwd#xywh=0,0,142,80",
        "0.jpg#xywh=4294967295,0,142,80",
    ];
    let cue = |(at, name)| format!("00:00:0{at}.000 --> 00:00:0{}.000\n{name}\n\n", at + 1);
    let text: String = cues.iter().enumerate().map(cue).collect();
    std::fs::write(&index, format!("WEBVTT\n\n{text}")).unwrap();
    let tiles = sprite.tiles().unwrap();
    assert_eq!(tiles.len(), 1, "{tiles:?}");
    std::fs::write(&index, "<html>").unwrap();
    assert!(sprite.tiles().unwrap_err().starts_with("the index cannot be read: "));
    std::fs::remove_file(&index).unwrap();
    assert!(sprite.tiles().is_err());
}
