//! The players' own parsers, over texts as they are found and as they are written anew.

mod texts;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use serde::Deserialize;
use serde_json::json;
use sprited::sprite::{
    Announced, SheetFormat, SheetImage, Tile, parse, players, resolve, verify, write_vtt,
};

/// Where a text is written to.
const WRITTEN: &str = "https://img.example/sprites/1500012345/145/10-3fa91c0b7d22/thumbnails.vtt";

/// The sheets that the event lists; the second has one row of tiles.
const LISTED: [&str; 2] = [
    "https://cdn.example/a/b/imageSprite_10_0.jpg",
    "https://cdn.example/a/b/imageSprite_10_1.jpg",
];

/// A cue as a player read it, or as it should.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct PlayerCue {
    start: Option<f64>,
    end: Option<f64>,
    url: String,
    x: Option<f64>,
    y: Option<f64>,
    w: Option<f64>,
    h: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Reading {
    Cues {
        cues: Vec<PlayerCue>,
    },
    Failure {
        #[allow(dead_code, reason = "shown where a test fails")]
        error: String,
    },
}

/// The players, as `tests/players/read.mjs` names them.
const PLAYERS: [&str; 7] = [
    "videojs-vtt-thumbnails",
    "Plyr",
    "ArtPlayer",
    "TCPlayer",
    "TCPlayer with tracks of the browser",
    "vidstack",
    VIDEOJS_VTT,
];

/// Leaves what stands in a cue to others.
const VIDEOJS_VTT: &str = "videojs-vtt.js";

/// What each player makes of each text: in the order of [`PLAYERS`].
fn read(texts: &[(&str, &[u8])]) -> Vec<Vec<Reading>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let packages = root.join("target/test-players");
    assert!(packages.join("node_modules").exists(), "tests/run --full makes {packages:?}");
    let texts: Vec<_> = texts
        .iter()
        .map(|(url, bytes)| json!({ "url": url, "bytes": STANDARD.encode(bytes) }))
        .collect();
    let mut node = Command::new("node")
        .arg(root.join("tests/players/read.mjs"))
        .arg(&packages)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the players need node");
    node.stdin.take().unwrap().write_all(json!(texts).to_string().as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", output.status);
    let answers: Vec<std::collections::BTreeMap<String, Reading>> =
        serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answers.len(), texts.len());
    answers
        .into_iter()
        .map(|mut answer| {
            let readings = PLAYERS.map(|player| answer.remove(player).expect(player));
            assert!(answer.is_empty(), "{answer:?}");
            readings.into()
        })
        .collect()
}

/// What a text says, as it is read here.
struct Meaning {
    /// The text as it is written anew.
    rewritten: String,
    /// Its cues, and those of the text where it is found.
    written: Vec<PlayerCue>,
    found: Vec<PlayerCue>,
}

/// `None` if the text is no index, or names what none may.
fn meaning(text: &texts::Text) -> Option<Meaning> {
    let index = parse(&text.bytes).ok()?;
    let listed = LISTED.map(str::to_owned);
    let found = Url::parse(text.url).unwrap();
    let resolved = resolve(&index, &found, &listed).ok()?;
    let named = |sheet| {
        let cue = resolved.of_cue.iter().position(|of_cue| *of_cue == Some(sheet)).unwrap();
        found.join(&index.cues[cue].name).unwrap().to_string()
    };
    // Where the text says, whatever the event lists.
    let sheets: Vec<String> = (0..resolved.sheets.len()).map(named).collect();
    let images: Vec<_> = resolved
        .sheets
        .iter()
        .map(|sheet| SheetImage {
            format: match sheet.url.path().rsplit_once('.') {
                Some((_, "png")) => SheetFormat::Png,
                Some((_, "webp")) => SheetFormat::Webp,
                _ => SheetFormat::Jpeg,
            },
            width: 1420,
            height: if sheet.url.path().contains("_1.") { 80 } else { 800 },
        })
        .collect();
    let names: Vec<String> = images
        .iter()
        .enumerate()
        .map(|(at, image)| format!("{at}.{}", image.format.extension()))
        .collect();
    let tiles = verify(index, resolved, &images, &Announced::default()).tiles;
    let folder = Url::parse(WRITTEN).unwrap();
    let cues = |url: &dyn Fn(usize) -> String| {
        let cue = |tile: &Tile| PlayerCue {
            start: Some(tile.start as f64 / 1e3),
            end: Some(tile.end as f64 / 1e3),
            url: url(tile.sheet),
            x: Some(tile.x.into()),
            y: Some(tile.y.into()),
            w: Some(tile.width.into()),
            h: Some(tile.height.into()),
        };
        tiles.iter().map(cue).collect()
    };
    Some(Meaning {
        rewritten: write_vtt(&tiles, &names),
        written: cues(&|sheet| folder.join(&names[sheet]).unwrap().into()),
        found: cues(&|sheet| sheets[sheet].clone()),
    })
}

/// What became of the cues, in a word.
fn outcome(player: &str, reading: &Reading, expected: &[PlayerCue]) -> &'static str {
    let Reading::Cues { cues } = reading else { return "throws" };
    if cues.is_empty() {
        return "none";
    }
    if cues.len() != expected.len() {
        return if cues.len() < expected.len() { "lost" } else { "more" };
    }
    // A player looks for the one of a time.
    let mut cues = cues.clone();
    cues.sort_by(|one, other| one.start.partial_cmp(&other.start).unwrap());
    let all = |holds: &dyn Fn(&PlayerCue, &PlayerCue) -> bool| {
        cues.iter().zip(expected).all(|(cue, expected)| holds(cue, expected))
    };
    let area = |cue: &PlayerCue| [cue.x, cue.y, cue.w, cue.h];
    let near = |one: Option<f64>, other: Option<f64>, by: f64| {
        one.zip(other).is_some_and(|(one, other)| (one - other).abs() <= by)
    };
    let reads_payload = player != VIDEOJS_VTT;
    // A query, and what is encoded, lead to the same file.
    let path = |cue: &PlayerCue| cue.url.split('?').next().unwrap().replace("%69", "i");
    let times = |read: &PlayerCue, expected: [Option<f64>; 2]| {
        [read.start, read.end].into_iter().zip(expected).all(|(one, other)| near(one, other, 0.002))
    };
    let areas = |read: &PlayerCue, expected: &PlayerCue| {
        area(read).into_iter().zip(area(expected)).all(|(one, other)| near(one, other, 1.0))
    };
    if reads_payload && !all(&|cue, expected| path(cue) == path(expected)) {
        "sheet"
    } else if reads_payload && cues.iter().any(|cue| area(cue) == [None; 4]) {
        "no area"
    } else if reads_payload && !all(&areas) {
        "area"
    } else if all(&|cue, expected| times(cue, [expected.start, expected.end])) {
        "ok"
    } else if all(&|cue, expected| {
        times(cue, [expected.start, expected.end].map(|time| time.map(f64::floor)))
    }) {
        "floor"
    } else {
        "times"
    }
}

mod full {
    use super::texts::{Text, dialects, files};
    use super::*;

    #[test]
    #[ignore = "needs node and the players' packages"]
    fn every_player_reads_what_is_written() {
        let mut problems = String::new();
        let texts: Vec<Text> = dialects().into_iter().chain(files()).collect();
        let written: Vec<_> = texts
            .iter()
            // Hours of three digits are read by the parsers of video.js alone, however they are written.
            .filter(|text| text.name != "100 hours")
            .filter_map(|text| Some((&text.name, meaning(text)?)))
            .collect();
        assert!(written.len() >= 50, "{}", written.len());
        let rewritten: Vec<_> =
            written.iter().map(|(_, meaning)| (WRITTEN, meaning.rewritten.as_bytes())).collect();
        for ((name, meaning), readings) in written.iter().zip(&read(&rewritten)) {
            assert!(!meaning.written.is_empty(), "{name}");
            for (player, reading) in PLAYERS.iter().zip(readings) {
                let may_floor = matches!(*player, "videojs-vtt-thumbnails" | "ArtPlayer");
                let outcome = outcome(player, reading, &meaning.written);
                if outcome != "ok" && !(outcome == "floor" && may_floor) {
                    writeln!(problems, "{name}: {player}: {outcome}: {reading:?}").unwrap();
                }
            }
        }
        assert!(problems.is_empty(), "{problems}");
    }

    /// What is said of players is said on these grounds. In the order of [`PLAYERS`]; *floor* is good as
    /// well: times are cut to whole seconds.
    #[test]
    #[ignore = "needs node and the players' packages"]
    fn dialects_break_players() {
        let texts = dialects();
        let found: Vec<_> = texts.iter().map(|text| (text.url, &*text.bytes)).collect();
        let mut table = String::new();
        for (text, readings) in texts.iter().zip(&read(&found)) {
            let expected = meaning(text).map_or_else(Vec::new, |meaning| meaning.found);
            write!(table, "{:22}", text.name).unwrap();
            for (player, reading) in PLAYERS.iter().zip(readings) {
                write!(table, " {:7}", outcome(player, reading, &expected)).unwrap();
            }
            table.truncate(table.trim_end().len());
            table.push('\n');
        }
        insta::assert_snapshot!(table, @r"
        plain                  floor   ok      floor   ok      ok      ok      ok
        CRLF                   none    ok      floor   ok      ok      ok      ok
        lone CR                floor   ok      floor   none    ok      ok      none
        BOM                    floor   ok      floor   ok      ok      ok      ok
        no last line end       floor   ok      floor   ok      ok      ok      ok
        NUL at the end         floor   ok      throws  ok      ok      area    ok
        identifiers            throws  ok      throws  ok      ok      ok      ok
        hours of one digit     none    throws  throws  ok      ok      ok      ok
        no hours               floor   ok      floor   ok      ok      ok      ok
        100 hours              none    throws  times   ok      none    none    ok
        comma                  floor   ok      times   none    none    none    none
        no milliseconds        ok      times   ok      none    ok      ok      none
        short fractions        none    throws  throws  none    ok      ok      none
        settings               lost    ok      floor   ok      ok      ok      ok
        header and notes       floor   ok      throws  ok      ok      ok      ok
        tabs                   none    throws  throws  ok      ok      ok      ok
        no blanks              floor   ok      floor   ok      none    none    ok
        no blank lines         throws  lost    floor   none    none    none    none
        ?xywh                  no area no area throws  sheet   sheet   no area ok
        pixel:                 floor   area    area    area    area    area    ok
        percent:               area    area    area    area    area    area    ok
        decimals               area    ok      floor   ok      ok      ok      ok
        capitals               floor   sheet   no area area    area    no area ok
        other fragments        sheet   sheet   throws  area    area    no area ok
        no areas               no area no area throws  sheet   sheet   no area ok
        absolute               floor   ok      floor   ok      ok      ok      ok
        schemeless             floor   ok      floor   ok      ok      ok      ok
        root-relative          sheet   sheet   sheet   sheet   sheet   ok      ok
        dot                    floor   ok      floor   ok      ok      ok      ok
        query                  floor   ok      floor   ok      ok      ok      ok
        signed                 floor   ok      floor   ok      ok      ok      ok
        percent-encoded        floor   ok      floor   ok      ok      ok      ok
        &amp;                  floor   ok      floor   ok      ok      ok      ok
        two lines              floor   ok      throws  ok      ok      area    ok
        no order               floor   ok      floor   ok      ok      ok      ok
        overlap                floor   ok      floor   ok      ok      ok      ok
        gap of 1 ms            times   ok      times   ok      ok      ok      ok
        gap of 30 s            floor   ok      floor   ok      ok      ok      ok
        first start at 5 s     floor   ok      floor   ok      ok      ok      ok
        106 cues               ok      ok      ok      ok      ok      ok      ok
        PNG                    floor   ok      floor   ok      ok      ok      ok
        WebP                   floor   ok      floor   ok      ok      ok      ok
        steps of a third       floor   ok      floor   ok      ok      ok      ok
        a cue without a sheet  more    ok      throws  more    more    more    more
        a tile outside         more    more    more    more    more    more    more
        no UTF-8               floor   ok      throws  ok      ok      ok      ok
        a port                 floor   ok      floor   sheet   sheet   ok      ok
        / in the query         sheet   sheet   sheet   sheet   sheet   ok      ok
        ");
    }

    /// Texts and players, or all of them, of whose problem nothing is told, and why.
    const UNTOLD: [(&str, &str); 9] = [
        // What is wrong is what the text says, not how: findings tell that.
        ("a cue without a sheet", ""),
        ("a tile outside", ""),
        ("14-percent.vtt", ""),
        // A hole of a millisecond is one of a second to who cuts times to seconds.
        ("gap of 1 ms", "videojs-vtt-thumbnails"),
        ("gap of 1 ms", "ArtPlayer"),
        // They take the whole image, which may be meant.
        ("no areas", "Plyr"),
        ("no areas", "vidstack"),
        ("20-noxywh.vtt", "Plyr"),
        ("20-noxywh.vtt", "vidstack"),
    ];

    #[test]
    #[ignore = "needs node and the players' packages"]
    fn a_problem_is_told_where_a_player_has_one_and_nowhere_else() {
        let texts: Vec<Text> = dialects().into_iter().chain(files()).collect();
        let found: Vec<_> = texts.iter().map(|text| (text.url, &*text.bytes)).collect();
        let mut problems = String::new();
        let mut untold = UNTOLD.to_vec();
        for (text, readings) in texts.iter().zip(&read(&found)) {
            let expected = meaning(text).map_or_else(Vec::new, |meaning| meaning.found);
            for verdict in players(&text.bytes, Some(&Url::parse(text.url).unwrap())) {
                let place = PLAYERS.iter().position(|player| *player == verdict.player).unwrap();
                let outcome = outcome(verdict.player, &readings[place], &expected);
                if matches!(outcome, "ok" | "floor") == verdict.problem.is_none() {
                    continue;
                }
                let is_this = |(name, player): &(&str, &str)| {
                    *name == text.name && (player.is_empty() || *player == verdict.player)
                };
                untold.retain(|exception| !is_this(exception));
                if !UNTOLD.iter().any(is_this) {
                    writeln!(
                        problems,
                        "{}: {}: {outcome}, and it is said: {:?}",
                        text.name, verdict.player, verdict.problem
                    )
                    .unwrap();
                }
            }
        }
        assert!(problems.is_empty(), "{problems}");
        assert!(untold.is_empty(), "told by now: {untold:?}");
    }
}
