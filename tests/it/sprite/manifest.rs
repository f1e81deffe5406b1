//! What stands in a manifest, and where.

use serde_json::json;
use sprited::event::{AppId, ImageSprite, SpriteStatus};
use sprited::sprite::{
    Finding, FindingCode, Grid, MANIFEST_VERSION, MadeFrom, Manifest, ManifestSheet, Place,
    TileSize,
};

fn sprite() -> ImageSprite {
    ImageSprite {
        id: "4969a3".to_owned(),
        task_id: None,
        file_id: Some("14508071098244929440".to_owned()),
        definition: Some(10),
        status: SpriteStatus::Success,
        error: None,
        tile_count: None,
        tile_width: None,
        tile_height: None,
        sheets: Vec::new(),
        vtt_url: Some("http://h/x/imageSprite_10.vtt".to_owned()),
        finished: None,
        media_duration: None,
    }
}

#[test]
fn a_manifest_has_these_members_and_no_other() {
    let manifest = Manifest {
        version: MANIFEST_VERSION,
        sprite: "4969a3".to_owned(),
        file_id: Some("14508071098244929440".to_owned()),
        definition: Some(10),
        vtt: "https://img/10-3fa91c0b7d22/thumbnails.vtt".to_owned(),
        sheets: vec![ManifestSheet {
            url: "https://img/10-3fa91c0b7d22/0.jpg".to_owned(),
            width: 1420,
            height: 800,
            bytes: 412_331,
            sha256: "00".repeat(32),
            tiles: 100,
        }],
        tile: Some(TileSize { width: 142, height: 80 }),
        count: 106,
        duration: 1058.0,
        grid: Some(Grid { columns: 10, rows: 10, interval: 10.0 }),
        findings: vec![Finding::new(FindingCode::Count, "106 announced, 105 cues")],
        made_from: MadeFrom {
            vtt_url: "http://h/x/imageSprite_10.vtt".to_owned(),
            finished: Some("2026-12-01T14:59:00Z".to_owned()),
            first_pulled: "2026-12-01T15:00:00Z".to_owned(),
            event: "1f".repeat(16),
        },
    };
    let mut value = json!({
        "version": 1, "sprite": "4969a3", "file_id": "14508071098244929440", "definition": 10,
        "vtt": "https://img/10-3fa91c0b7d22/thumbnails.vtt",
        "sheets": [{
            "url": "https://img/10-3fa91c0b7d22/0.jpg", "width": 1420, "height": 800,
            "bytes": 412_331, "sha256": "00".repeat(32), "tiles": 100,
        }],
        "tile": {"width": 142, "height": 80}, "count": 106, "duration": 1058.0,
        "grid": {"columns": 10, "rows": 10, "interval": 10.0},
        "findings": [{"code": "count", "text": "106 announced, 105 cues"}],
        "made_from": {
            "vtt_url": "http://h/x/imageSprite_10.vtt", "finished": "2026-12-01T14:59:00Z",
            "first_pulled": "2026-12-01T15:00:00Z", "event": "1f".repeat(16),
        },
    });
    assert_eq!(serde_json::to_value(&manifest).unwrap(), value);
    assert_eq!(serde_json::from_value::<Manifest>(value.clone()).unwrap(), manifest);
    let sparse = Manifest { file_id: None, definition: None, tile: None, grid: None, ..manifest };
    for member in ["file_id", "definition", "tile", "grid"] {
        value[member] = json!(null);
    }
    assert_eq!(serde_json::to_value(&sparse).unwrap(), value);
    // Of a later writer.
    value["hls"] = json!("https://img/x.m3u8");
    value["findings"][0]["code"] = json!("a_code_of_later");
    let read: Manifest = serde_json::from_value(value).unwrap();
    assert_eq!(read.findings[0].code, FindingCode::Other);
    assert_eq!(Manifest { findings: sparse.findings.clone(), ..read }, sparse);
}

#[test]
fn codes_are_written_by_name() {
    let mut names: Vec<&str> = FindingCode::ALL.iter().map(|code| code.as_str()).collect();
    for code in FindingCode::ALL {
        let name = code.as_str();
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        assert_eq!(serde_json::to_value(code).unwrap(), json!(name));
        assert_eq!(serde_json::from_value::<FindingCode>(json!(name)).unwrap(), *code);
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), FindingCode::ALL.len());
    // The repairs stand first.
    assert!(FindingCode::ALL.iter().map(|code| !code.is_repair()).is_sorted());
}

#[test]
fn findings_are_short_and_harmless() {
    let text = format!("\u{1b}[31m\n\u{202e}{}", "ü".repeat(1_000));
    let finding = Finding::new(FindingCode::Stray, &text);
    assert!(finding.text.starts_with("\\u{1b}[31m\\n\\u{202e}ü"), "{}", finding.text);
    assert_eq!(finding.text.chars().count(), 200);
}

#[test]
fn a_place_is_made_of_numbers_ids_and_hashes() {
    let place = Place::of(AppId(1_500_012_345), &sprite());
    assert_eq!(place.folder(), "1500012345/14508071098244929440");
    assert_eq!(place.manifest(), "1500012345/14508071098244929440/10.json");
    let set = place.set("WEBVTT\n\n", &[[0; 32], [1; 32]]);
    let digits = set.strip_prefix("1500012345/14508071098244929440/10-").unwrap();
    assert_eq!(digits.len(), 12);
    assert!(digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{set}");
    assert_eq!(place.set("WEBVTT\n\n", &[[0; 32], [1; 32]]), set);
    for (text, sheets) in [
        ("WEBVTT\n", &[[0; 32], [1; 32]][..]),
        ("WEBVTT\n\n", &[[1; 32], [0; 32]]),
        ("WEBVTT\n\n", &[[0; 32]]),
    ] {
        assert_ne!(place.set(text, sheets), set);
    }
}

#[test]
fn nothing_of_the_remote_side_is_in_a_place() {
    let folder = |file_id: Option<&str>| {
        let sprite = ImageSprite { file_id: file_id.map(str::to_owned), ..sprite() };
        Place::of(AppId(0), &sprite).folder().to_owned()
    };
    for id in ["a", "A-Z_09", &"x".repeat(64), "-", "con"] {
        assert_eq!(folder(Some(id)), format!("0/{id}"));
    }
    let mut names = Vec::new();
    for id in [
        "",
        ".",
        "..",
        "../../etc",
        "a/b",
        "a\\b",
        "a b",
        "a\0",
        "a\n",
        "ü",
        "http://h/x.mp4",
        "a.json",
        &"x".repeat(65),
        "\u{202e}",
    ] {
        let name = folder(Some(id)).strip_prefix("0/x-").unwrap().to_owned();
        assert!(name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
        assert_eq!(folder(Some(id)), format!("0/x-{name}"));
        names.push(name);
    }
    names.push(folder(None).strip_prefix("0/x-").unwrap().to_owned());
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 15);
    for (definition, name) in [
        (Some(0), "0"),
        (Some(10), "10"),
        (Some(-1), "none"),
        (Some(i64::MIN), "none"),
        (None, "none"),
    ] {
        let place = Place::of(AppId(0), &ImageSprite { definition, ..sprite() });
        assert_eq!(place.manifest(), format!("0/14508071098244929440/{name}.json"));
    }
}

#[test]
fn without_a_file_id_the_index_tells_media_apart() {
    let of = |vtt_url: Option<&str>, id: &str| {
        let vtt_url = vtt_url.map(str::to_owned);
        let sprite = ImageSprite { file_id: None, vtt_url, id: id.to_owned(), ..sprite() };
        Place::of(AppId(0), &sprite)
    };
    assert_eq!(of(Some("http://h/1.vtt"), "1"), of(Some("http://h/1.vtt"), "2"));
    assert_ne!(of(Some("http://h/1.vtt"), "1"), of(Some("http://h/2.vtt"), "1"));
    assert_ne!(of(None, "1"), of(None, "2"));
}
