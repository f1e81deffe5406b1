//! Which sheets names lead to, and which names are refused.

use reqwest::Url;
use sprited::sprite::{Resolved, parse, resolve};

use super::{LISTED, codes, index, listed, naming, vtt, vtt_url};

/// The sheet that a cue's name leads to, whether it is listed, and what is found.
fn led(payload: &str, urls: &[&str]) -> (Option<String>, bool, Vec<&'static str>) {
    let index = index(naming(payload));
    let Resolved { sheets, of_cue, findings } = resolve(&index, &vtt_url(), &listed(urls)).unwrap();
    let sheet = of_cue[0].map(|at| &sheets[at]);
    let found = codes(&findings).into_iter().filter(|code| *code != "unused").collect();
    (sheet.map(|sheet| sheet.url.to_string()), sheet.is_some_and(|sheet| sheet.is_listed), found)
}

fn refused(payload: &str, urls: &[&str]) -> String {
    resolve(&index(naming(payload)), &vtt_url(), &listed(urls)).unwrap_err().to_string()
}

#[test]
fn names_are_matched_with_the_list_by_their_last_segment() {
    for (name, found) in [
        ("a.jpg", &[][..]),
        ("http://h/x/a.jpg", &["path"]),
        ("http://other/y/a.jpg", &["path"]),
        ("//h/x/a.jpg", &["path"]),
        ("/x/a.jpg", &["path"]),
        ("sub/a.jpg", &["path"]),
        ("./a.jpg", &["path"]),
        ("../y/a.jpg", &["path"]),
        ("a.jpg?imageMogr2/format/webp", &["query"]),
        ("a.jpg?t=7f&sign=ab/cd", &["query"]),
        ("a.jpg?t=7f&amp;sign=ab/cd", &["query", "encoded"]),
        ("%61.jpg", &["encoded"]),
    ] {
        let led = led(&format!("{name}#xywh=0,0,142,80"), &LISTED);
        assert_eq!(led, (Some(LISTED[0].to_owned()), true, found.to_vec()), "{name}");
    }
    for (name, url) in [
        ("a%20b.jpg", "http://h/x/a b.jpg"),
        ("a b.jpg", "http://h/x/a%20b.jpg"),
        ("a&amp;b.jpg", "http://h/x/a&b.jpg"),
        ("a#b.jpg", "http://h/x/a%23b.jpg"),
        ("a.jpg", "http://h/x/a.jpg?sign=7f"),
    ] {
        let (sheet, is_listed, _) = led(&format!("{name}#xywh=0,0,142,80"), &[url]);
        assert_eq!(sheet.unwrap(), Url::parse(url).unwrap().to_string(), "{name}");
        assert!(is_listed, "{name}");
    }
}

#[test]
fn what_is_not_listed_is_sought_beside_the_index() {
    let beside = |name: &str| led(&format!("{name}#xywh=0,0,142,80"), &LISTED);
    let sheet = |url: &str, found: &[&'static str]| (Some(url.to_owned()), false, found.to_vec());
    assert_eq!(beside("c.jpg"), sheet("http://h/x/c.jpg", &["unlisted"]));
    assert_eq!(beside("http://h:80/x/c.jpg"), sheet("http://h/x/c.jpg", &["path", "unlisted"]));
    assert_eq!(beside("sub/c.jpg"), sheet("http://h/x/sub/c.jpg", &["path", "unlisted"]));
    // Without a list there is nothing that it could be missing in.
    assert_eq!(led("c.jpg#xywh=0,0,1,1", &[]), sheet("http://h/x/c.jpg", &[]));
}

#[test]
fn names_that_lead_elsewhere_are_refused_by_rule() {
    for (name, rule) in [
        ("../../etc/passwd", "outside the folder"),
        ("../secret.jpg", "outside the folder"),
        ("..%2f..%2fetc/../../passwd", "outside the folder"),
        ("\\etc\\passwd", "outside the folder"),
        ("/etc/passwd", "outside the folder"),
        ("http://h/xx/c.jpg", "outside the folder"),
        ("file:///etc/passwd", "whose scheme is file"),
        ("file:///x/a.jpg", "whose scheme is file"),
        ("ftp://h/x/c.jpg", "whose scheme is ftp"),
        ("javascript:0", "whose scheme is javascript"),
        ("data:image/png;base64,AAAA", "whose scheme is data"),
        ("http://169.254.0.23/x.jpg", "on another server"),
        ("http://127.1/x.jpg", "on another server"),
        ("http://[::ffff:10.0.0.1]/x.jpg", "on another server"),
        ("http://h:22/x.jpg", "on another server"),
        ("https://h/x/c.jpg", "on another server"),
        ("//other/x/c.jpg", "on another server"),
        ("\\\\other\\x\\c.jpg", "on another server"),
        ("http://user@h/x.jpg", "a user name"),
        ("http://user:word@h/x/c.jpg", "a user name"),
    ] {
        let error = refused(&format!("{name}#xywh=0,0,142,80"), &LISTED);
        assert!(error.contains(rule), "{name}: {error}");
        assert!(refused(&format!("{name}#xywh=0,0,1,1"), &[]).contains(rule), "{name}");
    }
    let long = format!("/{}", "\u{301}x".repeat(900));
    assert!(refused(&long, &LISTED).chars().count() < 250);
}

#[test]
fn names_that_are_none_are_dropped() {
    for name in ["http://", "http://h:99999/x.jpg", "sub/", "a#b.jpg"] {
        let led = led(&format!("{name}#xywh=0,0,142,80"), &LISTED);
        assert_eq!(led.0, None, "{name}");
        assert!(led.2.contains(&"name_invalid"), "{name}: {:?}", led.2);
    }
}

#[test]
fn of_several_listed_with_one_last_segment_the_whole_url_decides() {
    let pages = ["http://h/x/a.jpg?page=0", "http://h/x/a.jpg?page=1"];
    let led_to = |name: &str, urls: &[&str]| led(&format!("{name}#xywh=0,0,142,80"), urls);
    assert_eq!(led_to("a.jpg?page=1", &pages).0.as_deref(), Some(pages[1]));
    let folders = ["http://h/y/a.jpg", "http://h/x/a.jpg?sign=1"];
    assert_eq!(
        led_to("a.jpg", &folders),
        (Some(folders[1].to_owned()), true, Vec::new()),
        "that beside the index"
    );
    let elsewhere = ["http://h/y/a.jpg", "http://h/z/a.jpg"];
    assert_eq!(
        led_to("a.jpg", &elsewhere),
        (Some(elsewhere[0].to_owned()), true, vec!["ambiguous"])
    );
    // One listed twice is one.
    assert_eq!(led_to("a.jpg", &[LISTED[0]; 2]), (Some(LISTED[0].to_owned()), true, Vec::new()));
}

#[test]
fn sheets_stand_in_the_order_of_the_list() {
    let cues = |names: &[&str]| {
        let cues = names.iter().enumerate().map(|(at, name)| {
            format!("00:00:{at:02}.000 --> 00:00:{:02}.000\n{name}#xywh=0,0,1,1\n\n", at + 1)
        });
        index(vtt(&cues.collect::<String>()))
    };
    let urls = listed(&["http://h/x/a.jpg", "http://h/x/unused.jpg", "http://h/x/b.jpg"]);
    let resolved =
        resolve(&cues(&["d.jpg", "b.jpg", "c.jpg", "a.jpg", "d.jpg"]), &vtt_url(), &urls);
    let resolved = resolved.unwrap();
    let names: Vec<&str> =
        resolved.sheets.iter().map(|sheet| sheet.url.path().trim_start_matches("/x/")).collect();
    assert_eq!(names, ["a.jpg", "b.jpg", "d.jpg", "c.jpg"]);
    assert_eq!(resolved.of_cue, [Some(2), Some(1), Some(3), Some(0), Some(2)]);
    assert_eq!(codes(&resolved.findings), ["unlisted", "unlisted", "unused"]);
    assert_eq!(resolved.findings[2].text, "no cue names http://h/x/unused.jpg");
    let unlisted =
        resolve(&cues(&["a.jpg"]), &vtt_url(), &listed(&["http://", LISTED[0]])).unwrap();
    assert_eq!(codes(&unlisted.findings), ["name_invalid"]);
}

#[test]
fn there_are_a_thousand_sheets_at_most() {
    let cues = |count: usize| {
        let cues = (0..count).map(|at| {
            format!("{at:02}:00:00.000 --> {at:02}:10:00.000\n{at}.jpg#xywh=0,0,1,1\n\n")
        });
        index(vtt(&cues.collect::<String>()))
    };
    let urls: Vec<String> = (0..1_001).map(|at| format!("http://h/y/{at}.jpg")).collect();
    for listed in [&[][..], &urls] {
        let resolved = resolve(&cues(1_000), &vtt_url(), listed).unwrap();
        assert_eq!(resolved.sheets.len(), 1_000);
        let error = resolve(&cues(1_001), &vtt_url(), listed).unwrap_err();
        assert_eq!(error.to_string(), "the index names more than 1000 sheets");
    }
}

/// Findings stand in the manifest, which everybody can read.
#[test]
fn no_finding_shows_what_opens_a_protected_file() {
    let urls = listed(&["http://me:hunter2@h/x/1.jpg?t=1&sign=hunter2", "http://h/x/b.jpg"]);
    let cues = [
        "b.jpg?sign=hunter2#xywh=0,0,142,80",
        "c.jpg?sign=hunter2#xywh=0,0,142,80",
        "c.jpg?sign=hunter2#xywh=0,0,142",
        "//h/x/b.jpg?sign=hunter2#xywh=0,0,142,80",
        "sub/?sign=hunter2#xywh=0,0,142,80",
        "more?sign=hunter2#xywh=0,0,142,80\nb.jpg?sign=hunter2",
    ];
    let times = (10..).map(|at| format!("00:00:{at}.000 --> 00:00:{}.000", at + 1));
    let cues = cues.iter().zip(times).map(|(cue, times)| format!("{times}\n{cue}\n\n"));
    let index = parse(format!("WEBVTT\n\n{}", cues.collect::<String>()).as_bytes()).unwrap();
    let vtt_url: Url = "http://h/x/a.vtt".parse().unwrap();
    let resolved = resolve(&index, &vtt_url, &urls).unwrap();
    let found = format!("{:?} {:?}", index.findings, resolved.findings);
    assert!(!found.contains("hunter2"), "{found}");
    assert!(found.contains("no cue names http://h/x/1.jpg"), "{found}");
    assert!(found.contains("c.jpg?…#xywh=0,0,142"), "{found}");
    for cue in ["http://me:hunter2@other/x.jpg?sign=hunter2", "ftp://me:hunter2@h/x.jpg"] {
        let text = format!("WEBVTT\n\n00:00:00.000 --> 00:00:10.000\n{cue}#xywh=0,0,142,80\n");
        let index = parse(text.as_bytes()).unwrap();
        let said = resolve(&index, &vtt_url, &[]).unwrap_err().to_string();
        assert!(!said.contains("hunter2"), "{said}");
    }
}
