//! Which texts are read, as what, and what is said about them.

use std::time::{Duration, Instant};

use sprited::sprite::{Area, Cue, Index, parse};

use super::{codes, index, naming, refusal, vtt};

/// Two cues in the spelling that is written.
const PLAIN: &str = "WEBVTT\n\n\
    00:00:00.000 --> 00:00:10.000\na.jpg#xywh=0,0,142,80\n\n\
    00:00:10.000 --> 00:00:20.000\na.jpg#xywh=142,0,142,80\n";

fn cue(start: u64, end: u64, x: u32) -> Cue {
    let area = Area::Pixels { x, y: 0, width: 142, height: 80 };
    Cue { start, end, name: "a.jpg".to_owned(), area }
}

fn plain() -> Vec<Cue> {
    vec![cue(0, 10_000, 0), cue(10_000, 20_000, 142)]
}

/// The text is read as these cues, with findings of these codes.
#[track_caller]
fn is_read(text: impl AsRef<[u8]>, cues: &[Cue], found: &[&str]) {
    let Index { cues: read, findings } = index(text.as_ref());
    let text = text.as_ref().escape_ascii().to_string();
    assert_eq!(read, cues, "{text}");
    assert_eq!(codes(&findings), found, "{text}: {findings:?}");
}

#[test]
fn the_plain_spelling_is_read_without_a_word() {
    is_read(PLAIN, &plain(), &[]);
    is_read(PLAIN.trim_end(), &plain(), &[]);
    is_read(format!("{PLAIN}\n\n\n"), &plain(), &[]);
}

#[test]
fn line_ends_and_marks_of_byte_order_do_no_harm() {
    is_read(PLAIN.replace('\n', "\r\n"), &plain(), &["line_ends"]);
    is_read(PLAIN.replace('\n', "\r"), &plain(), &["line_ends"]);
    is_read(PLAIN.replacen('\n', "\r\n", 3), &plain(), &["line_ends"]);
    is_read(format!("\u{feff}{PLAIN}"), &plain(), &["byte_order_mark"]);
    is_read(format!("{PLAIN}\0\0"), &plain(), &["nul"]);
    let text = |text: &str| index(text).findings[0].text.clone();
    assert_eq!(text(&PLAIN.replace('\n', "\r\n")), "lines end with CR LF");
    assert_eq!(text(&PLAIN.replace('\n', "\r")), "lines end with CR");
    assert_eq!(text(&PLAIN.replacen('\n', "\r\n", 3)), "lines end in several ways");
}

#[test]
fn identifiers_are_passed_over() {
    for identifier in ["1", "img one", "img\ntwo"] {
        let text = PLAIN.replace("00:00:00.000 -->", &format!("{identifier}\n00:00:00.000 -->"));
        is_read(text, &plain(), &["identifiers"]);
    }
}

#[test]
fn times_are_read_however_they_are_written() {
    for (times, start, end, found) in [
        ("00:00.000 --> 00:10.000", 0, 10_000, "hours"),
        ("0:00:00.000 --> 0:00:10.000", 0, 10_000, "hours"),
        ("100:00:00.000 --> 100:00:10.000", 360_000_000, 360_010_000, "hours"),
        ("00:00:00 --> 00:00:10", 0, 10_000, "milliseconds"),
        ("00:00:00.5 --> 00:00:10.50", 500, 10_500, "milliseconds"),
        ("00:00:00,000 --> 00:00:10,000", 0, 10_000, "comma"),
        ("00:00:00.000-->00:00:10.000", 0, 10_000, "arrow"),
        ("00:00:00.000\t-->\t00:00:10.000", 0, 10_000, "arrow"),
        ("00:00:00.000  -->  00:00:10.000", 0, 10_000, "arrow"),
        ("00:00:00.000 --> 00:00:10.000 align:start position:0%", 0, 10_000, "settings"),
        ("00:00:00.000 --> 00:00:10.000\talign:start", 0, 10_000, "settings"),
    ] {
        let text = vtt(&format!("{times}\na.jpg#xywh=0,0,142,80\n"));
        is_read(text, &[cue(start, end, 0)], &[found]);
    }
}

#[test]
fn cues_without_a_time_are_dropped() {
    assert_eq!(refusal(vtt("00:00:00.000 -> 00:00:10.000\na.jpg#xywh=0,0,142,80\n")), "no cues");
    for times in [
        "00:61:00.000 --> 00:62:00.000",
        "00:00:75.000 --> 00:01:20.000",
        "00:00:00.000 --> 00:00:75.000",
        "x --> y",
        "-->",
        "00:00:00.000 -->",
    ] {
        let text = format!("{PLAIN}\n{times}\na.jpg#xywh=0,0,142,80\n");
        is_read(text, &plain(), &["time_invalid"]);
        let error = refusal(vtt(&format!("{times}\na.jpg#xywh=0,0,142,80\n")));
        assert!(error.starts_with("no cue can be used: line 3: \""), "{error}");
    }
    let mistyped = PLAIN.replacen("--> 00:00:20", "-> 00:00:20", 1);
    is_read(mistyped, &plain()[..1], &["stray"]);
}

#[test]
fn headers_and_blocks_that_are_no_cues_are_passed_over() {
    let text = "WEBVTT - made by x\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000\n\n\
        NOTE\na --> b\n\nSTYLE\n::cue{}\n\nREGION id:1\nlines:3\n\nNOTE one line\n\n\
        00:00:00.000 --> 00:00:10.000\na.jpg#xywh=0,0,142,80\n";
    is_read(text, &plain()[..1], &["header_text", "notes"]);
    is_read(PLAIN.replacen("WEBVTT", "WEBVTT\tby x", 1), &plain(), &["header_text"]);
}

#[test]
fn what_is_no_index_is_refused_in_words() {
    for (text, error) in [
        (
            &b"WEBVTTX\n\n00:00:00.000 --> 00:00:10.000\na.jpg\n"[..],
            "it does not begin with WEBVTT",
        ),
        (b"webvtt\n\n00:00:00.000 --> 00:00:10.000\na.jpg\n", "it does not begin with WEBVTT"),
        (b"1\n00:00:00,000 --> 00:00:10,000\na.jpg\n", "it does not begin with WEBVTT"),
        (b"", "the file is empty"),
        (b"\xef\xbb\xbf", "the file is empty"),
        (b" \r\n", "the file is empty"),
        (b"<html>403</html>", "it is HTML, not WebVTT"),
        (b"\n<!DOCTYPE HTML>", "it is HTML, not WebVTT"),
        (b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>", "it is XML, not WebVTT"),
        (b"{\"code\":-1}", "it is JSON, not WebVTT"),
        (b"#EXTM3U\n", "it is an HLS playlist, not WebVTT"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "it is an image, not WebVTT"),
        (b"\x89PNG\r\n\x1a\n", "it is an image, not WebVTT"),
        (b"RIFF\x10\0\0\0WEBP", "it is an image, not WebVTT"),
        (b"\x1f\x8b\x08\0", "it is compressed, not WebVTT"),
        (b"\xff\xfeW\0E\0B\0", "it is text in UTF-16, not WebVTT"),
        (b"WEBVTT\n", "no cues"),
        (b"WEBVTT", "no cues"),
        (b"WEBVTT\n\nNOTE\nfrom a --> to b\na.jpg\n", "no cues"),
    ] {
        assert_eq!(refusal(text), error, "{}", text.escape_ascii());
    }
}

#[test]
fn blank_lines_may_be_missing() {
    is_read(PLAIN.replacen("\n\n", "\n", 1), &plain(), &["blank_lines"]);
    is_read(PLAIN.replace("\n\n", "\n"), &plain(), &["blank_lines"]);
    let text = PLAIN.replace("\n\n", "\n").replace("00:00:10.000 -->", "2\n00:00:10.000 -->");
    is_read(text, &plain(), &["blank_lines", "identifiers"]);
    let text = PLAIN.replace("80\n\n", "80\n  \t\n");
    is_read(text, &plain(), &["blank_lines"]);
}

#[test]
fn areas_are_read_however_they_are_written() {
    let named = |name: &str, text: &str, found: &[&str]| {
        let cue = Cue { name: name.to_owned(), ..cue(0, 10_000, 0) };
        is_read(naming(text), &[cue], found);
    };
    for text in [
        "a.jpg?xywh=0,0,142,80",
        "a.jpg#xywh=pixel:0,0,142,80",
        "a.jpg#XYWH=0,0,142,80",
        "a.jpg#t=1&xywh=0,0,142,80",
        "a.jpg#t=1&amp;xywh=0,0,142,80",
        "a.jpg#xywh=0%2C0%2C142%2C80",
        "a.jpg#xywh=0, 0, 142, 80",
        "a.jpg#xywh=0.0,0,142.00,80",
        "a.jpg#xywh=0,0,142,80#t=1",
    ] {
        named("a.jpg", text, &["area_spelling"]);
    }
    named("a.jpg?x=1", "a.jpg?x=1&xywh=0,0,142,80", &["area_spelling"]);
    named("a.jpg?x=1&y=2", "a.jpg?x=1&xywh=0,0,142,80&y=2", &["area_spelling"]);
    named("a#b.jpg", "a#b.jpg#xywh=0,0,142,80", &[]);
    named("a.jpg", "  a.jpg#xywh=0,0,142,80\t", &["blanks"]);

    let area = |text: &str| index(naming(text)).cues[0].area;
    assert_eq!(
        area("a.jpg#xywh=percent:0,12.5,10,10"),
        Area::Percent { x: 0.0, y: 12.5, width: 10.0, height: 10.0 }
    );
    let rounded = index(naming("a.jpg#xywh=142.5,0.0,142.5,80.25"));
    assert_eq!(rounded.cues[0].area, Area::Pixels { x: 143, y: 0, width: 142, height: 80 });
    assert_eq!(codes(&rounded.findings), ["area_rounded"]);
    let whole = index(naming("a.jpg"));
    assert_eq!(whole.cues[0].area, Area::Whole);
    assert_eq!(codes(&whole.findings), ["area_missing"]);
}

#[test]
fn cues_whose_area_cannot_be_used_are_dropped() {
    for area in [
        "0,0,142",
        "0,0,142,80,9",
        "-1,0,142,80",
        "+1,0,142,80",
        "0,0,0,80",
        "0,0,142,0",
        "a,b,c,d",
        "99999999999,0,1,1",
        "4294967295,0,1,1",
        "1e3,0,1,1",
        "inf,0,1,1",
        "NaN,0,1,1",
        "",
        ",,,",
        "0.4,0,0.05,80",
        "percent:0,0,0,10",
        "percent:-1,0,10,10",
        "em:0,0,1,1",
        "0.0.0,0,1,1",
        ".5,0,1,1",
    ] {
        let payload = format!("a.jpg#xywh={area}");
        let error = refusal(naming(&payload));
        assert!(error.starts_with("no cue can be used: line 4: "), "{area}: {error}");
        assert!(error.ends_with("names no part of a sheet"), "{area}: {error}");
        let text = format!("{PLAIN}\n00:00:20.000 --> 00:00:30.000\n{payload}\n");
        is_read(text, &plain(), &["area_invalid"]);
    }
}

#[test]
fn a_cue_names_its_sheet_in_one_line() {
    let more = PLAIN.replace("142,80\n\n", "142,80\nmore\nand more\n\n");
    is_read(more, &plain(), &["extra_lines"]);
    let missing = format!("{PLAIN}\n00:00:20.000 --> 00:00:30.000\n");
    is_read(&missing, &plain(), &["name_missing"]);
    is_read(format!("{missing}   \n"), &plain(), &["name_missing", "blank_lines"]);
    is_read(format!("{missing}#xywh=0,0,1,1\n"), &plain(), &["name_missing"]);
    let next = format!("{missing}00:00:30.000 --> 00:00:40.000\na.jpg#xywh=284,0,142,80\n");
    let cues = [plain(), vec![cue(30_000, 40_000, 284)]].concat();
    is_read(next, &cues, &["blank_lines", "name_missing"]);
    let apart = format!("{missing}\na.jpg#xywh=0,0,142,80\n");
    is_read(apart, &plain(), &["name_missing", "stray"]);
}

#[test]
fn names_that_nobody_could_fetch_are_dropped_and_shown_harmless() {
    for name in [
        "x".repeat(5_000),
        "\u{1b}[31ma.jpg".to_owned(),
        "a\0b.jpg".to_owned(),
        "gpj.\u{202e}a".to_owned(),
        "a\u{200b}.jpg".to_owned(),
        "a\tb.jpg".to_owned(),
    ] {
        let text = format!("{PLAIN}\n00:00:20.000 --> 00:00:30.000\n{name}#xywh=0,0,142,80\n");
        let Index { cues, findings } = index(text);
        assert_eq!(cues, plain());
        let finding = findings.iter().find(|finding| finding.code.as_str() == "name_invalid");
        let finding = &finding.unwrap().text;
        assert!(finding.chars().count() <= 200, "{finding}");
        assert!(!finding.contains(|c: char| c.is_control() || c == '\u{202e}'), "{finding:?}");
    }
}

#[test]
fn bytes_that_are_not_utf_8_do_no_harm_outside_of_names() {
    let note = [b"WEBVTT\n\nNOTE caf\xe9\n\n", &PLAIN.as_bytes()[8..]].concat();
    is_read(note, &plain(), &["notes", "encoding"]);
    let cue = b"\n00:00:20.000 --> 00:00:30.000\ncaf\xe9.jpg#xywh=0,0,142,80\n";
    let name = [PLAIN.as_bytes(), &cue[..]].concat();
    is_read(name, &plain(), &["name_invalid", "encoding"]);
}

/// In a debug build, with all else that runs: far from what a walk over the text for each line takes.
const MAX_TIME: Duration = Duration::from_secs(10);

#[test]
fn what_is_too_large_is_refused_in_bounded_time() {
    use std::fmt::Write;

    let cues = |count: u64| {
        let mut text = vtt("");
        for at in 0..count {
            let (minute, second) = (at / 60 % 60, at % 60);
            let hour = at / 3600;
            writeln!(text, "{hour:02}:{minute:02}:{second:02}.000 --> 99:00:00.000\na.jpg\n")
                .unwrap();
        }
        text
    };
    let started = Instant::now();
    assert_eq!(index(cues(20_000)).cues.len(), 20_000);
    for (text, error) in [
        (cues(20_001), "it has more than 20000 cues"),
        (vtt(&"x".repeat(5 << 20)), "it is longer than 4 MiB"),
        (vtt(&"\n".repeat((4 << 20) - 7)), "it is longer than 4 MiB"),
        (vtt(&"x".repeat((4 << 20) - 8)), "no cues"),
        (vtt(&"\n".repeat(1_000_000)), "no cues"),
        (vtt(&"-->\n".repeat(1_000_000)), "it has more than 20000 cues"),
        (vtt(&"-->".repeat(1_000_000)), "no cue can be used"),
        (vtt(&"x\n".repeat(1_000_000)), "no cues"),
        (naming(&"#".repeat(4_000_000)), "no cue can be used"),
        (naming(&format!("a?{}", "&".repeat(4_000_000))), "no cue can be used"),
        (naming(&format!("a#{}", "xywh=&".repeat(600_000))), "no cue can be used"),
        (naming(&format!("a#xywh={}", "1,".repeat(2_000_000))), "no cue can be used"),
        (naming(&format!("a#xywh={}", "9".repeat(4_000_000))), "no cue can be used"),
    ] {
        let refused = refusal(text);
        assert!(refused.starts_with(error), "{refused}");
        assert!(refused.len() < 300, "{refused}");
    }
    assert!(started.elapsed() < MAX_TIME, "{:?}", started.elapsed());
}

#[test]
fn the_texts_of_other_tools_are_read() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/vtt");
    let mut names = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read(&path).unwrap();
        names += 1;
        let read = parse(&text);
        if name == "22-html.vtt" || name == "23-empty.vtt" {
            assert!(read.is_err(), "{name}");
            continue;
        }
        let times: Vec<(u64, u64)> =
            read.unwrap().cues.iter().map(|cue| (cue.start, cue.end)).collect();
        assert_eq!(times, [(0, 10_000), (10_000, 20_000), (20_000, 27_500)], "{name}");
    }
    assert_eq!(names, 16);
}

/// As browsers have it.
#[test]
fn times_in_a_note_make_a_cue_and_settings_need_no_blank() {
    let text = "WEBVTT\n\nNOTE x\n00:00:00.000 --> 00:00:10.000\na.jpg#xywh=0,0,142,80\n\n\
                NOTE\na --> b\n\n\
                00:00:10.000 --> 00:00:20.000align:start\na.jpg#xywh=142,0,142,80\n";
    let index = sprited::sprite::parse(text.as_bytes()).unwrap();
    let times: Vec<_> = index.cues.iter().map(|cue| (cue.start, cue.end)).collect();
    assert_eq!(times, [(0, 10_000), (10_000, 20_000)]);
    let codes: Vec<_> = index.findings.iter().map(|finding| finding.code.as_str()).collect();
    assert_eq!(codes, ["identifiers", "notes", "settings"]);
}
