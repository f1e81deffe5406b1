//! The index of a sprite: whatever it is, what is written of it is in the one spelling that every
//! player reads, lies on its sheets, and is the same when it is read again.

use std::io::Cursor;

use reqwest::Url;
use sprited::sanitize::is_invisible;
use sprited::sprite::{
    Announced, Finding, SheetFormat, SheetImage, Verified, look_at, parse, players, resolve,
    verify, write_vtt,
};

/// Takes `bytes` for an index, and for a sheet.
pub fn check(bytes: &[u8]) {
    let length = bytes.len().try_into().expect("it is in memory");
    if let Ok(SheetImage { width, height, .. }) = look_at(Cursor::new(bytes), length) {
        assert!(width > 0 && height > 0);
    }
    let url = url();
    for verdict in players(bytes, Some(&url)) {
        check_text(verdict.problem.as_deref().unwrap_or_default());
    }
    let listed = ["a.jpg", "b.jpg"].map(|name| format!("http://h/x/{name}"));
    let Some((verified, names)) = read(bytes, &listed) else { return };
    check_tiles(&verified, names.len());
    if verified.tiles.is_empty() {
        assert!(verified.findings.iter().any(|finding| !finding.code.is_repair()));
        return;
    }
    let names: Vec<String> = (0..names.len()).map(|at| format!("{at}.jpg")).collect();
    let written = write_vtt(&verified.tiles, &names);
    check_spelling(&written, verified.tiles.len());
    let has_long_hours = verified.duration >= 100 * 3_600_000;
    for verdict in players(written.as_bytes(), Some(&url)) {
        assert!(verdict.problem.is_none() || has_long_hours, "{verdict:?}");
    }
    let listed: Vec<String> = names.iter().map(|name| format!("http://h/x/{name}")).collect();
    let (again, names) = read(written.as_bytes(), &listed).expect("what is written can be read");
    assert_eq!(write_vtt(&again.tiles, &names), written);
}

fn url() -> Url {
    Url::parse("http://h/x/index.vtt").expect("it is one")
}

/// What is read of an index, and the names of its sheets' files.
fn read(bytes: &[u8], listed: &[String]) -> Option<(Verified, Vec<String>)> {
    let index = match parse(bytes) {
        Ok(index) => index,
        Err(error) => {
            check_text(&error.to_string());
            return None;
        }
    };
    let resolved = match resolve(&index, &url(), listed) {
        Ok(resolved) => resolved,
        Err(error) => {
            check_text(&error.to_string());
            return None;
        }
    };
    for source in &resolved.sheets {
        let is_beside = source.url.as_str().starts_with("http://h/x/");
        assert!(source.is_listed || is_beside, "{}", source.url);
    }
    let file = |url: &Url| url.path().rsplit('/').next().unwrap_or_default().to_owned();
    let names = resolved.sheets.iter().map(|sheet| file(&sheet.url)).collect();
    let images = vec![SHEET; resolved.sheets.len()];
    let verified = verify(index, resolved, &images, &Announced::default());
    assert!(verified.findings.len() <= 50);
    verified.findings.iter().for_each(|Finding { text, .. }| check_text(text));
    Some((verified, names))
}

const SHEET: SheetImage = SheetImage { format: SheetFormat::Jpeg, width: 1420, height: 800 };

/// It is short, and no terminal obeys it.
fn check_text(text: &str) {
    assert!(text.chars().count() <= 300, "{text}");
    assert!(!text.contains(is_invisible), "{text:?}");
}

fn check_tiles(verified: &Verified, sheets: usize) {
    let mut end = 0;
    for tile in &verified.tiles {
        assert!(tile.start >= end && tile.end > tile.start, "{tile:?}");
        assert!(tile.width > 0 && tile.x + tile.width <= SHEET.width, "{tile:?}");
        assert!(tile.height > 0 && tile.y + tile.height <= SHEET.height, "{tile:?}");
        assert!(tile.sheet < sheets, "{tile:?}");
        end = tile.end;
    }
    assert_eq!(verified.duration, end);
    if let Some(grid) = verified.grid {
        assert!(grid.columns > 0 && grid.rows > 0 && grid.interval > 0.0, "{grid:?}");
        assert!(verified.tile.is_some());
    }
}

/// The text has no line but those that every player reads.
fn check_spelling(text: &str, cues: usize) {
    let mut lines = text.split('\n');
    assert_eq!((lines.next(), lines.next()), (Some("WEBVTT"), Some("")));
    let digits = |text: &str, least: usize| {
        text.len() >= least && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_time = |time: &str| {
        let parts: Vec<&str> = time.split([':', '.']).collect();
        let [hours, minutes, seconds, millis] = parts[..] else { return false };
        let mold = format!("{hours}:{minutes}:{seconds}.{millis}");
        digits(hours, 2)
            && [minutes, seconds].iter().all(|part| digits(part, 2) && part.len() == 2)
            && digits(millis, 3)
            && millis.len() == 3
            && time == mold
    };
    for _ in 0..cues {
        let [times, tile, blank] = [(); 3].map(|()| lines.next().expect("a cue has three lines"));
        let (start, end) = times.split_once(" --> ").expect("it has an arrow");
        assert!(is_time(start) && is_time(end), "{times}");
        let (name, area) = tile.split_once(".jpg#xywh=").expect("it names a part of a sheet");
        assert!(digits(name, 1), "{tile}");
        let sides: Vec<&str> = area.split(',').collect();
        assert!(sides.len() == 4 && sides.iter().all(|side| digits(side, 1)), "{tile}");
        assert_eq!(blank, "");
    }
    assert_eq!((lines.next(), lines.next()), (Some(""), None));
}
