//! What is said of players, held against what their own parsers did with each text.

use reqwest::Url;
use sprited::sprite::{PlayerVerdict, players};

/// In the order of [`players`].
const NAMES: [&str; 6] =
    ["videojs-vtt-thumbnails", "Plyr", "ArtPlayer", "TCPlayer", "vidstack", "videojs-vtt.js"];

const PLAIN: &str = "WEBVTT\n\n\
    00:00:00.000 --> 00:00:10.000\na.jpg#xywh=0,0,142,80\n\n\
    00:00:10.000 --> 00:00:20.000\na.jpg#xywh=142,0,142,80\n\n\
    00:00:20.000 --> 00:00:27.500\nb.jpg#xywh=0,0,142,80\n";

fn verdicts(text: &str, vtt_url: &str) -> Vec<PlayerVerdict> {
    players(text.as_bytes(), Some(&Url::parse(vtt_url).unwrap()))
}

/// One letter for each player: `.` if it shows all, `0` if it finds no cue, `!` if it stops, `l` if it
/// loses cues, `t` for wrong times, `x` for wrong tiles, `-` for none that is seen, `u` for a wrong URL,
/// `p` for the page's host.
fn letters(verdicts: &[PlayerVerdict]) -> String {
    assert!(verdicts.iter().map(|verdict| verdict.player).eq(NAMES));
    let letter = |verdict: &PlayerVerdict| {
        let Some(problem) = &verdict.problem else { return '.' };
        let kinds = [
            ("finds no cue", '0'),
            ("stops", '!'),
            ("loses", 'l'),
            ("may lose", 'l'),
            ("shows tiles at wrong times", 't'),
            ("shows wrong parts", 'x'),
            ("shows no tile", '-'),
            ("seeks sheets at a wrong URL", 'u'),
            ("seeks sheets at the host of the page", 'p'),
        ];
        kinds.iter().find(|(words, _)| problem.starts_with(words)).expect(problem).1
    };
    verdicts.iter().map(letter).collect()
}

#[track_caller]
fn are(text: &str, expected: &str) {
    let verdicts = verdicts(text, "https://cdn.example/a/b/imageSprite_10.vtt");
    assert_eq!(letters(&verdicts), expected, "{}\n{verdicts:#?}", text.escape_debug());
}

/// Each start of `from` at a time becomes `to`.
fn retimed(from: &str, to: &str) -> String {
    PLAIN.replace(from, to)
}

#[test]
fn line_ends_and_lines_between_cues() {
    are(PLAIN, "......");
    are(PLAIN.trim_end(), "......");
    are(&format!("{PLAIN}\n\n"), "......");
    are(&format!("\u{feff}{PLAIN}"), "......");
    are(&PLAIN.replace('\n', "\r\n"), "0.....");
    are(&PLAIN.replace('\n', "\r"), "...0.0");
    are(&PLAIN.replace("80\n\n", "80\n\r\n"), "ll....");
    are(&PLAIN.replace("WEBVTT\n\n", "WEBVTT\n"), "!..lll");
    are(&PLAIN.replace("80\n\n", "80\n"), "ll..l.");
    are(&PLAIN.replace("\n\n", "\n"), "!l.lll");
    are(&PLAIN.replace("80\n\n", "80\n  \n"), "ll..l.");
    are(&format!("{PLAIN}\0"), "..!.x.");
    are(&PLAIN.replace(".000\n", ".000 \n"), "l...l.");
}

#[test]
fn headers_notes_identifiers_and_more_lines() {
    are(&PLAIN.replace("WEBVTT", "WEBVTT - by x"), "......");
    are(&PLAIN.replace("WEBVTT", "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000"), "..!...");
    for block in ["NOTE x", "STYLE\n::cue{}", "REGION\nid:x"] {
        are(&PLAIN.replace("WEBVTT\n\n", &format!("WEBVTT\n\n{block}\n\n")), "..!...");
    }
    are(&PLAIN.replace("\n\n00", "\n\n1\n00"), "!.!...");
    are(&PLAIN.replace("80\n\n", "80\nmore\n\n"), "..!.x.");
}

#[test]
fn times() {
    are(&retimed("00:00:", "00:"), "......");
    are(&retimed("00:00:", "0:00:"), "0!!...");
    are(&retimed("00:00:", "100:00:"), "0!t.0.");
    are(&PLAIN.replace(".000", ",000").replace(".500", ",500"), "..t000");
    are(&PLAIN.replace(".000", "").replace(".500", ""), ".t.0.0");
    are(&PLAIN.replace(".000", ".0").replace(".500", ".5"), "0!!0.0");
    are(&PLAIN.replace(".000", ".00").replace(".500", ".50"), "0.t0.0");
    are(&PLAIN.replace(".000", ".000000").replace(".500", ".500000"), "0!t.0.");
    are(&PLAIN.replace(" --> ", "\t-->\t"), "0!!...");
    are(&PLAIN.replace(" --> ", "-->"), "....0.");
    are(&PLAIN.replace(" --> ", "  -->  "), "0!!...");
    are(&PLAIN.replace("0\na", "0 align:start position:0%\na"), "l.....");
}

#[test]
fn areas() {
    are(&PLAIN.replace("#xywh", "?xywh"), "xx!xx.");
    are(&PLAIN.replace("#xywh", "#t=1&xywh"), "xx!xx.");
    are(&PLAIN.replace(",80\n", ",80&t=1\n"), ".xx.x.");
    are(&PLAIN.replace("#xywh", "#XYWH"), ".xxxx.");
    are(&PLAIN.replace("=0,0,142,80", "=0%2C0%2C142%2C80"), "xxxxx.");
    are(&PLAIN.replace("=0,0,142,80", "=0, 0, 142, 80"), "......");
    are(&PLAIN.replace("xywh=", "xywh=pixel:"), ".xxxx.");
    are(&PLAIN.replace("xywh=", "xywh=percent:"), "xxxxx.");
    are(&PLAIN.replace(",142,80", ",142.5,80.25"), "x.....");
    are(&PLAIN.replace(",142,80", ",142.0,80.0"), "x.....");
    let bare: String =
        PLAIN.lines().map(|line| format!("{}\n", line.split('#').next().unwrap())).collect();
    are(&bare, "-.!-..");
}

#[test]
fn names_and_urls() {
    let named = |prefix: &str| PLAIN.replace("\na.", &format!("\n{prefix}a."));
    are(&named("/a/b/"), "uppu..");
    are(&named("//cdn.example/a/b/"), "......");
    are(&named("https://cdn.example/a/b/"), "......");
    are(&named("sub/"), "......");
    are(&PLAIN.replace(".jpg", ".jpg?imageMogr2/format/webp"), "......");
    for (url, expected) in [
        ("https://cdn.example:8443/a/b/i.vtt", "...u.."),
        ("https://cdn.example/a/b/i.vtt?x=a/b", "uuuu.."),
        ("https://cdn.example/a/b/i.vtt?t=7f&sign=00", "......"),
        ("https://cdn.example:443/a/b/i.vtt", "......"),
    ] {
        assert_eq!(letters(&verdicts(PLAIN, url)), expected, "{url}");
        // What is named by a whole URL depends on no other.
        let whole = PLAIN.replace("a.jpg", "//h/a.jpg").replace("b.jpg", "https://h/b.jpg");
        assert_eq!(letters(&verdicts(&whole, url)), "......", "{url}");
    }
    assert_eq!(letters(&players(PLAIN.as_bytes(), None)), "......");
}

#[test]
fn what_is_no_index() {
    for text in ["", "WEBVTT\n", "<html>403</html>"] {
        are(text, "0!0000");
    }
}

#[test]
fn the_texts_of_other_tools() {
    for (name, expected) in [
        ("01-plain", "......"),
        ("02-crlf", "0....."),
        ("03-bom", "......"),
        ("05-nohours", "......"),
        ("06-ids", "!.!..."),
        ("08-comma", "..t000"),
        ("09-settings", "l....."),
        ("10-note", "..!..."),
        ("11-query", "......"),
        ("14-percent", "xxxxx."),
        ("17-schemeless", "......"),
        ("20-noxywh", "-.!-.."),
        ("22-html", "0!0000"),
        ("23-empty", "0!0000"),
        ("25-nospace", "....0."),
        ("27-float", "x....."),
    ] {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/vtt");
        are(&std::fs::read_to_string(format!("{folder}/{name}.vtt")).unwrap(), expected);
    }
}

#[test]
fn problems_are_said_in_plain_words() {
    let problem = |text: &str, url: &str, player: &str| {
        let verdicts = verdicts(text, url);
        let verdict = verdicts.into_iter().find(|verdict| verdict.player == player);
        verdict.unwrap().problem.unwrap()
    };
    let url = "https://cdn.example:8443/a/b/i.vtt";
    let crlf = PLAIN.replace('\n', "\r\n");
    assert_eq!(
        problem(&crlf, url, "videojs-vtt-thumbnails"),
        "finds no cue, since lines end with CR LF"
    );
    assert_eq!(
        problem(PLAIN, url, "TCPlayer"),
        "seeks sheets at a wrong URL, since it leaves out the port of the index"
    );
    assert_eq!(problem("<html>", url, "Plyr"), "stops with an error, since it is HTML, not WebVTT");
    assert_eq!(problem("WEBVTT\n", url, "TCPlayer"), "finds no cue, since the index has none");
}
