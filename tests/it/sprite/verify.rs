//! What is found when an index is held against its sheets and what was announced.

use std::fmt::Write;

use sprited::sprite::{Announced, Finding, Grid, Verified, resolve, verify};

use super::{annotations, codes, image, index, listed, tile, verified, verified_as, vtt, vtt_url};

/// Cues of ten seconds each, from 0 on, which name these.
fn shown(payloads: &[&str]) -> String {
    let cues = payloads.iter().enumerate().map(|(at, payload)| {
        format!("00:00:{:02}.000 --> 00:00:{:02}.000\n{payload}\n\n", at * 10, at * 10 + 10)
    });
    vtt(&cues.collect::<String>())
}

/// Cues with these times.
fn timed(times: &[(&str, &str)]) -> String {
    let cues = times.iter().enumerate().map(|(at, (start, end))| {
        format!("00:{start} --> 00:{end}\na.jpg#xywh={},0,142,80\n\n", at * 142)
    });
    vtt(&cues.collect::<String>())
}

/// Cues of ten seconds each on a full sheet of 100 tiles and its successor.
fn full(count: usize) -> String {
    full_below(count, 0)
}

/// The same, with the rows of the second sheet beginning at `top`.
fn full_below(count: usize, top: usize) -> String {
    let mut text = vtt("");
    for at in 0..count {
        let (name, there) = if at < 100 { ("a.jpg", at) } else { ("b.jpg", at - 100) };
        let time = |at: usize| format!("00:{:02}:{:02}.000", at * 10 / 60, at * 10 % 60);
        let (x, y) = (there % 10 * 142, there / 10 * 80 + if at < 100 { 0 } else { top });
        writeln!(text, "{} --> {}\n{name}#xywh={x},{y},142,80\n", time(at), time(at + 1)).unwrap();
    }
    text
}

fn text_of<'a>(verified: &'a Verified, code: &str) -> &'a str {
    let found = verified.findings.iter().find(|finding| finding.code.as_str() == code);
    found.map_or("", |Finding { text, .. }| text)
}

#[test]
fn tiles_stay_within_their_sheets() {
    for (area, tiles, found) in [
        ("a.jpg#xywh=1278,720,142,80", vec![tile(0, 10_000, [1278, 720, 142, 80])], &[][..]),
        ("a.jpg#xywh=1279,720,142,80", vec![tile(0, 10_000, [1279, 720, 141, 80])], &["area_cut"]),
        ("a.jpg#xywh=1278,721,142,80", vec![tile(0, 10_000, [1278, 721, 142, 79])], &["area_cut"]),
        ("a.jpg#xywh=1420,0,142,80", vec![], &["area_outside"]),
        ("a.jpg#xywh=0,800,142,80", vec![], &["area_outside"]),
        ("b.jpg#xywh=0,80,142,80", vec![], &["area_outside"]),
        ("b.jpg#xywh=0,4294967294,142,1", vec![], &["area_outside"]),
        ("a.jpg#xywh=percent:0,0,10,10", vec![tile(0, 10_000, [0, 0, 142, 80])], &[]),
        ("a.jpg#xywh=percent:90,90,10,10", vec![tile(0, 10_000, [1278, 720, 142, 80])], &[]),
        ("a.jpg#xywh=percent:95,0,10,10", vec![tile(0, 10_000, [1349, 0, 71, 80])], &["area_cut"]),
        ("a.jpg#xywh=percent:142,0,10,10", vec![], &["area_outside"]),
        ("a.jpg#xywh=percent:0,0,0.01,10", vec![], &["area_invalid"]),
        ("a.jpg", vec![tile(0, 10_000, [0, 0, 1420, 800])], &["area_missing"]),
    ] {
        let verified = verified(shown(&[area]));
        assert_eq!(verified.tiles, tiles, "{area}");
        assert_eq!(annotations(&verified), found, "{area}");
    }
    let huge = format!("a.jpg#xywh=percent:{0},0,{0},10", "9".repeat(400));
    assert_eq!(verified(shown(&[&huge])).tiles, []);
    assert_eq!(
        text_of(&verified(shown(&["b.jpg#xywh=0,80,142,80"])), "area_outside"),
        "tile 0,80,142,80 lies outside b.jpg, which is 1420x80"
    );
}

#[test]
fn tiles_follow_each_other() {
    let one = ("00:00.000", "00:10.000");
    let spans = |verified: &Verified| -> Vec<(u64, u64)> {
        verified.tiles.iter().map(|tile| (tile.start, tile.end)).collect()
    };
    for (times, spans_read, found) in [
        (vec![one, ("00:10.000", "00:10.000")], vec![(0, 10_000)], &["time_empty"][..]),
        (vec![one, ("00:10.000", "00:05.000")], vec![(0, 10_000)], &["time_empty"]),
        (vec![("00:10.000", "00:20.000"), one], vec![(0, 10_000), (10_000, 20_000)], &["order"]),
        (
            vec![("00:00.000", "00:10.001"), ("00:10.000", "00:20.000")],
            vec![(0, 10_000), (10_000, 20_000)],
            &["seams"],
        ),
        (
            vec![("00:00.000", "00:09.999"), ("00:10.000", "00:20.000")],
            vec![(0, 10_000), (10_000, 20_000)],
            &["seams"],
        ),
        (
            vec![("00:00.000", "00:09.001"), ("00:10.000", "00:20.000")],
            vec![(0, 10_000), (10_000, 20_000)],
            &["seams"],
        ),
        (
            vec![("00:00.000", "00:15.000"), ("00:10.000", "00:20.000")],
            vec![(0, 10_000), (10_000, 20_000)],
            &["overlap"],
        ),
        (vec![one, ("00:40.000", "00:50.000")], vec![(0, 10_000), (40_000, 50_000)], &["gap"]),
        (vec![("00:05.000", "00:10.000")], vec![(5_000, 10_000)], &["start"]),
        (vec![one, one], vec![(0, 10_000)], &["duplicate"]),
    ] {
        let verified = verified(timed(&times));
        assert_eq!(spans(&verified), spans_read, "{times:?}");
        let found_there = codes(&verified.findings);
        let found_there: Vec<&str> =
            found_there.into_iter().filter(|code| *code != "unused").collect();
        assert_eq!(found_there, found, "{times:?}");
    }
    let gap = verified(timed(&[one, ("00:40.000", "00:50.500")]));
    assert_eq!(text_of(&gap, "gap"), "no cue from 0:00:10 to 0:00:40");
    assert_eq!(gap.duration, 50_500);
}

#[test]
fn counts_are_those_of_all_sheets_or_of_one() {
    let text = full(106);
    for (count, found) in [
        (Some(106), &[][..]),
        (Some(100), &[]),
        (Some(105), &["count"]),
        (None, &[]),
        (Some(0), &["count"]),
        (Some(-1), &["count"]),
    ] {
        let announced = Announced { tile_count: count, ..Announced::default() };
        let verified = verified_as(&text, &announced);
        assert_eq!(annotations(&verified), found, "{count:?}");
        assert_eq!(verified.tiles.len(), 106);
    }
    let announced = Announced { tile_count: Some(106), ..Announced::default() };
    let short = verified_as(full(105), &announced);
    assert_eq!(text_of(&short, "count"), "106 announced, 105 cues");
}

#[test]
fn rows_that_go_on_counting_on_the_next_sheet_are_outside() {
    let verified = verified(full_below(106, 800));
    assert!(verified.tiles.iter().all(|tile| tile.sheet == 0), "{:?}", verified.tiles.last());
    assert_eq!(annotations(&verified), ["area_outside"; 3]);
    assert!(text_of(&verified, "area_outside").starts_with("tile 0,800,142,80 lies outside b.jpg"));
    let last = verified.findings.iter().rfind(|finding| finding.code.as_str() == "area_outside");
    assert!(last.unwrap().text.ends_with(" (and 3 more)"), "{last:?}");
}

#[test]
fn the_end_is_that_of_the_medium_within_a_step() {
    for (duration, found) in
        [(1_058_000, &[][..]), (1_070_000, &[]), (900_000, &["end"]), (5_000_000, &["end"])]
    {
        let announced = Announced { duration: Some(duration), ..Announced::default() };
        let verified = verified_as(full(106), &announced);
        assert_eq!(annotations(&verified), found, "{duration}");
    }
    let announced = Announced { duration: Some(5_000_500), ..Announced::default() };
    let text = text_of(&verified_as(full(106), &announced), "end").to_owned();
    assert_eq!(text, "the last cue ends at 1060 s, the medium at 5000.5 s");
}

#[test]
fn tiles_are_of_the_size_announced() {
    for (width, height, found) in [
        (Some(142), Some(80), &[][..]),
        (Some(142), None, &[]),
        (Some(0), Some(80), &[]),
        (Some(160), Some(90), &["tile_size"]),
        (None, Some(90), &["tile_size"]),
    ] {
        let announced =
            Announced { tile_width: width, tile_height: height, ..Announced::default() };
        assert_eq!(annotations(&verified_as(full(3), &announced)), found, "{width:?} {height:?}");
    }
    let unlike = verified(shown(&["a.jpg#xywh=0,0,142,80", "a.jpg#xywh=142,0,100,80"]));
    assert_eq!(annotations(&unlike), ["tile_sizes"]);
    assert_eq!((unlike.tile, unlike.grid), (None, None));
    assert_eq!(text_of(&unlike, "tile_sizes"), "the first tile is 142x80, 1 other is not: 100x80");
    // What the end of a sheet cuts is told of as that alone, and is smaller than the others.
    let cut = verified(shown(&["a.jpg#xywh=0,0,142,80", "a.jpg#xywh=1400,0,142,80"]));
    assert_eq!(annotations(&cut), ["area_cut"]);
    assert_eq!((cut.tile, cut.grid), (None, None));
}

#[test]
fn sheets_that_not_every_browser_draws_are_named() {
    let large = |width: u32, height: u32| {
        let index = index(shown(&["a.jpg#xywh=0,0,142,80"]));
        let resolved = resolve(&index, &vtt_url(), &listed(&["http://h/x/a.jpg"])).unwrap();
        verify(index, resolved, &[image(width, height)], &Announced::default())
    };
    assert_eq!(codes(&large(4096, 4096).findings), [""; 0]);
    for (width, height) in [(4097, 80), (142, 4097), (15_000, 15_000), (65_535, 65_535)] {
        let verified = large(width, height);
        assert_eq!(codes(&verified.findings), ["sheet_large"]);
        let text = &verified.findings[0].text;
        assert_eq!(
            *text,
            format!("a.jpg is {width}x{height}: some phones and browsers do not draw it")
        );
    }
}

#[test]
fn a_grid_is_there_where_tiles_can_be_calculated() {
    let grid = |columns, rows, interval| Some(Grid { columns, rows, interval });
    assert_eq!(verified(full(106)).grid, grid(10, 10, 10.0));
    assert_eq!(verified(full(100)).grid, grid(10, 10, 10.0));
    // A sheet that is not full: what is there, and what is empty.
    assert_eq!(verified(full(13)).grid, grid(10, 10, 10.0));
    assert_eq!(verified(full(1)).grid, grid(10, 10, 10.0));
    for text in [
        full(106).replace("a.jpg#xywh=284,0,", "a.jpg#xywh=285,0,"),
        full(106)
            .replace("00:00:10.000\n", "00:00:10.002\n")
            .replace("00:00:10.000 -", "00:00:10.002 -"),
        full(106).replace("a.jpg#xywh=0,0,142,80", "a.jpg#xywh=142,0,142,80"),
        full(99) + "00:16:40.000 --> 00:16:50.000\nb.jpg#xywh=0,0,142,80\n",
    ] {
        assert_eq!(verified(text).grid, None);
    }
    let steps = [0, 7_333, 14_666, 22_000, 29_333, 36_666, 44_000];
    let mut text = vtt("");
    for (at, pair) in steps.windows(2).enumerate() {
        let time = |millis: u64| format!("00:00:{:02}.{:03}", millis / 1000, millis % 1000);
        let (start, end) = (time(pair[0]), time(pair[1]));
        writeln!(text, "{start} --> {end}\na.jpg#xywh={},0,142,80\n", at * 142).unwrap();
    }
    let percent = verified(text);
    assert_eq!(annotations(&percent), [""; 0]);
    assert!((percent.grid.unwrap().interval - 7.333).abs() < 0.001, "{:?}", percent.grid);
}

#[test]
fn findings_are_few_whatever_is_wrong() {
    let cues = (0..20_000_u64).map(|at| {
        let name = if at % 2 == 0 { "a.jpg" } else { "b.jpg" };
        format!("{:02}:00.000 --> {:02}:00.000\n{name}#xywh={at},{at},99,99\n\n", at % 60, at % 59)
    });
    let announced = Announced {
        tile_count: Some(1),
        tile_width: Some(1),
        tile_height: Some(1),
        duration: Some(1),
    };
    let verified = verified_as(vtt(&cues.collect::<String>()), &announced);
    assert!(verified.findings.len() <= 50, "{}", verified.findings.len());
    for Finding { text, .. } in &verified.findings {
        assert!(text.chars().count() <= 200, "{text}");
    }
    let repairs = verified.findings.iter().map(|finding| finding.code.is_repair());
    assert!(repairs.is_sorted(), "{:?}", verified.findings);
}
