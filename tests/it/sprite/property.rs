//! What holds for every text.

use proptest::prelude::*;
use sprited::sprite::{
    Announced, Finding, SheetImage, Tile, Verified, parse, players, resolve, verify, write_vtt,
};

use super::{LISTED, image, listed, vtt_url};

/// What is read of a text whose sheets all have this size; the files' names beside it.
fn read(text: &[u8], sheet: SheetImage, urls: &[String]) -> Option<(Verified, Vec<String>)> {
    let index = parse(text).ok()?;
    let resolved = resolve(&index, &vtt_url(), urls).ok()?;
    let names = resolved.sheets.iter().map(|sheet| sheet.url.path().replace("/x/", "")).collect();
    let images = vec![sheet; resolved.sheets.len()];
    Some((verify(index, resolved, &images, &Announced::default()), names))
}

/// What is written of a text, read again, is the same.
fn is_fixed_point(text: &[u8]) -> Result<(), TestCaseError> {
    let sheet = image(1420, 800);
    let Some((verified, names)) = read(text, sheet, &listed(&LISTED)) else { return Ok(()) };
    let mut end = 0;
    for tile in &verified.tiles {
        prop_assert!(tile.start >= end && tile.end > tile.start, "{tile:?}");
        prop_assert!(tile.width > 0 && tile.x + tile.width <= sheet.width, "{tile:?}");
        prop_assert!(tile.height > 0 && tile.y + tile.height <= sheet.height, "{tile:?}");
        prop_assert!(tile.sheet < names.len());
        end = tile.end;
    }
    if verified.tiles.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = (0..names.len()).map(|at| format!("{at}.jpg")).collect();
    let written = write_vtt(&verified.tiles, &names);
    // Hours of three digits have no spelling that all players read.
    let has_long_hours = verified.duration >= 100 * 3_600_000;
    for verdict in players(written.as_bytes(), Some(&vtt_url())) {
        prop_assert!(verdict.problem.is_none() || has_long_hours, "{verdict:?}");
    }
    let urls: Vec<String> = names.iter().map(|name| format!("http://h/x/{name}")).collect();
    let Some((again, names)) = read(written.as_bytes(), sheet, &urls) else {
        return Err(TestCaseError::fail(format!("it cannot be read again:\n{written}")));
    };
    prop_assert_eq!(&write_vtt(&again.tiles, &names), &written);
    let spans = |tiles: &[Tile]| -> Vec<[u64; 2]> {
        tiles.iter().map(|tile| [tile.start, tile.end]).collect()
    };
    prop_assert_eq!(spans(&again.tiles), spans(&verified.tiles));
    let repairs: Vec<&Finding> = again.findings.iter().filter(|f| f.code.is_repair()).collect();
    prop_assert!(repairs.iter().all(|finding| finding.code.as_str() == "hours"), "{repairs:?}");
    Ok(())
}

/// A line of an index, or what is nearly one.
fn line() -> impl Strategy<Value = String> {
    let time = (0..4_u64, 0..70_u64, 0..70_u64, 0..1100_u64, 0..6).prop_map(
        |(hours, minutes, seconds, millis, spelling)| match spelling {
            0 => format!("{minutes:02}:{seconds:02}.{millis:03}"),
            1 => format!("{hours}:{minutes:02}:{seconds:02},{millis}"),
            2 => format!("{minutes}:{seconds}"),
            _ => format!("{hours:02}:{minutes:02}:{seconds:02}.{millis:03}"),
        },
    );
    let times = (time.clone(), prop::sample::select(vec![" --> ", "-->", "\t-->\t", " -> "]), time)
        .prop_map(|(start, arrow, end)| format!("{start}{arrow}{end}"));
    let name = prop::sample::select(vec![
        "a.jpg",
        "b.jpg",
        "c.jpg",
        "./a.jpg",
        "a.jpg?x=1",
        "%61.jpg",
        "a#b.jpg",
        "",
        "ü.jpg",
        "http://h/x/a.jpg",
        "../x/a.jpg",
    ]);
    let area = prop::sample::select(vec![
        "#xywh=",
        "?xywh=",
        "#xywh=pixel:",
        "#xywh=percent:",
        "#XYWH=",
        "#t=1&xywh=",
        "#",
    ]);
    let side = || prop_oneof![Just("0".to_owned()), "[0-9]{1,4}", "[0-9]{1,3}\\.[0-9]{1,2}"];
    let payload = (name, area, side(), side(), side(), side()).prop_map(
        |(name, area, x, y, width, height)| format!("{name}{area}{x},{y},{width},{height}"),
    );
    prop_oneof![
        4 => times,
        4 => payload,
        2 => Just(String::new()),
        1 => "[a-zA-Z0-9 :,.#?=>-]{0,12}",
        1 => prop::sample::select(vec!["NOTE", "STYLE", "NOTE x --> y", "1", "a --> b"])
            .prop_map(str::to_owned),
    ]
}

proptest! {
    #[test]
    fn whatever_is_written_is_a_fixed_point(
        lines in prop::collection::vec(line(), 0..30),
        end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
    ) {
        is_fixed_point(format!("WEBVTT{end}{end}{}", lines.join(end)).as_bytes())?;
    }

    #[test]
    fn no_text_is_too_strange(text in "\\PC{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        is_fixed_point(&bytes)?;
        is_fixed_point(text.as_bytes())?;
        is_fixed_point(&[b"WEBVTT\n\n", &bytes[..]].concat())?;
        is_fixed_point(format!("WEBVTT\n\n{text}\n00:00 --> 00:10 {text}\na{text}#xywh={text}").as_bytes())?;
    }

    #[test]
    fn tiles_are_read_as_they_were_written(
        steps in prop::collection::vec((1..3_000_u64, 1..20_000_u64, 0..2_usize, 0..1400_u32, 0..720_u32), 1..50),
    ) {
        let mut start = 0;
        let tiles: Vec<Tile> = steps
            .into_iter()
            .map(|(gap, length, sheet, x, y)| {
                let gap = if gap < 2_000 { 0 } else { gap };
                let tile = Tile { start: start + gap, end: start + gap + length, sheet, x, y, width: 20, height: 80 };
                start = tile.end;
                tile
            })
            .collect();
        let urls = listed(&["http://h/x/0.jpg", "http://h/x/1.jpg"]);
        let names = ["0.jpg".to_owned(), "1.jpg".to_owned()];
        let written = write_vtt(&tiles, &names);
        let (read, read_names) = read(written.as_bytes(), image(1420, 800), &urls).unwrap();
        prop_assert_eq!(write_vtt(&read.tiles, &read_names), written);
        prop_assert_eq!(read.tiles.len(), tiles.len());
    }
}

#[test]
fn the_texts_of_other_tools_are_fixed_points() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/vtt");
    for entry in std::fs::read_dir(folder).unwrap() {
        is_fixed_point(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap();
    }
}
