//! One sink after another: what a configuration may say of it.

use std::path::Path;

use sprited::config::{AfterSink, Config, ConfigErrors, Loaded, SinkConfig};
use sprited::event::Wanted;
use sprited::journal::On;

use crate::cli::{ended, sprited};

fn parse(text: &str) -> Result<Loaded, ConfigErrors> {
    Config::parse(text, Path::new("sprited.toml"))
}

/// A sink of five lines, if `more` is one: that is the fifth.
fn sink(name: &str, more: &str) -> String {
    let url = "http://127.0.0.1/";
    format!("[[sinks]]\nname = '{name}'\ntype = 'webhook'\nurl = '{url}'\n{more}\n")
}

fn sinks(text: &str) -> Vec<SinkConfig> {
    let Loaded { config, warnings, .. } = parse(text).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(warnings.is_empty(), "{warnings:?}");
    config.sinks
}

fn mistakes(text: &str) -> Vec<String> {
    parse(text).expect_err(text).to_string().lines().map(str::to_owned).collect()
}

#[test]
fn every_kind_of_sink_may_come_after_another() {
    for own in [
        "type = 'stdout'",
        "type = 'jsonl'\npath = '/a'",
        "type = 'webhook'\nurl = 'http://127.0.0.1/'",
        "type = 'exec'\ncommand = ['/a']",
    ] {
        let after = format!("[[sinks]]\nname = 'a'\n{own}\nafter = 'cdn'\n");
        for (on, is) in [
            ("", On::Settled),
            ("on = 'settled'\n", On::Settled),
            ("on = 'delivered'\n", On::Delivered),
            ("on = 'dead'\n", On::Dead),
        ] {
            // In whatever order they stand.
            let (one, other) = (sink("cdn", ""), format!("{after}{on}"));
            for text in [format!("{one}{other}"), format!("{other}{one}")] {
                let found = sinks(&text);
                let after = AfterSink { sink: "cdn".to_owned(), on: is };
                let of = |name| found.iter().find(|sink| sink.name == name).unwrap();
                assert_eq!(of("a").after, Some(after), "{text}");
                assert_eq!(of("cdn").after, None, "{text}");
            }
        }
    }
}

#[test]
fn its_events_are_those_of_the_sink_before_unless_it_names_its_own() {
    let wanted = |names: &[&str]| -> Wanted {
        names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>().into()
    };
    let text = [
        sink("last", "after = 'third'"),
        sink("third", "after = 'second'\nevents = ['FileDeleted']"),
        sink("second", "after = 'first'\non = 'dead'"),
        sink("first", "events = ['NewFileUpload', 'FileDeleted']"),
        sink("plain", ""),
        sink("after-plain", "after = 'plain'"),
        sink("more", "after = 'plain'\nevents = ['*']"),
    ];
    let events: Vec<_> = sinks(&text.concat()).into_iter().map(|sink| sink.events).collect();
    let first = wanted(&["NewFileUpload", "FileDeleted"]);
    let third = wanted(&["FileDeleted"]);
    let plain = Wanted::default();
    let expected =
        [third.clone(), third, first.clone(), first, plain.clone(), plain, wanted(&["*"])];
    assert_eq!(events, expected);
}

#[test]
fn a_sink_before_that_is_not_there_is_refused_with_its_line() {
    let [site, api] = [sink("site", ""), sink("api", "")];
    for (others, after, advice) in [
        (site.as_str(), "siet", "did you mean \"site\"?"),
        (&format!("{site}{api}"), "cdn", "known are site, api"),
        (&api, "", "known are api"),
        ("", "site", "there is no other sink"),
    ] {
        let text = format!("{}{others}", sink("a", &format!("after = '{after}'")));
        let said =
            format!("sprited.toml:5: [[sinks]] \"a\" after: unknown sink {after:?}; {advice}");
        assert_eq!(mistakes(&text), [said], "{text}");
    }
    // One whose other keys are wrong is there.
    let broken = "[[sinks]]\nname = 'site'\ntype = 'webhook'\n";
    let text = format!("{}{broken}", sink("a", "after = 'site'"));
    let [found] = mistakes(&text).try_into().unwrap();
    assert!(found.contains("missing field `url`"), "{found}");
}

#[test]
fn sinks_that_wait_for_themselves_are_refused_once() {
    let itself = sink("a", "\nafter = 'a'");
    assert_eq!(
        mistakes(&itself),
        ["sprited.toml:6: [[sinks]] \"a\" after: \"a\" is this sink itself"]
    );
    let two = [sink("a", "after = 'b'"), sink("b", "after = 'a'")].concat();
    let said = "sprited.toml:5: [[sinks]] \"a\" after: these sinks would wait for each other: \
                \"a\" after \"b\" after \"a\"";
    assert_eq!(mistakes(&two), [said]);
    // One that leads into a cycle has no part in it; each cycle is one mistake.
    let more = [
        sink("first", "after = 'b'"),
        sink("a", "after = 'c'"),
        sink("b", "after = 'a'"),
        sink("c", "after = 'b'"),
        sink("x", "after = 'x'"),
    ];
    let said = [
        "sprited.toml:10: [[sinks]] \"a\" after: these sinks would wait for each other: \
         \"a\" after \"c\" after \"b\" after \"a\"",
        "sprited.toml:25: [[sinks]] \"x\" after: \"x\" is this sink itself",
    ];
    assert_eq!(mistakes(&more.concat()), said);
}

#[test]
fn wrong_values_are_named_where_they_stand() {
    let site = sink("site", "");
    for (keys, said) in [
        ("on = 'dead'", "5: [[sinks]] \"a\" on has no effect without after"),
        ("on = 'settled'", "5: [[sinks]] \"a\" on has no effect without after"),
        (
            "after = 'site'\non = 'failed'",
            "6: [[sinks]] \"a\" on: unknown variant `failed`, expected one of `settled`, \
             `delivered`, `dead`",
        ),
        ("after = ['site']", "5: [[sinks]] \"a\" after: invalid type"),
        ("after = 3", "5: [[sinks]] \"a\" after: invalid type"),
        ("aftr = 'site'", "5: unknown key \"aftr\" in [[sinks]] \"a\"; did you mean \"after\"?"),
    ] {
        let [found] = mistakes(&format!("{}{site}", sink("a", keys))).try_into().unwrap();
        assert!(found.starts_with(&format!("sprited.toml:{said}")), "{keys}: {found}");
    }
}

#[test]
fn dead_letters_do_not_go_to_the_file_of_the_sink_before() {
    let file = |name: &str, path: &str, more: &str| {
        format!("[[sinks]]\nname = '{name}'\ntype = 'jsonl'\npath = '{path}'\n{more}\n")
    };
    let after = "after = 'a'\non = 'dead'";
    let text = |path| file("a", "/x/a.jsonl", "") + &file("b", path, after);
    let [found] = mistakes(&text("/x/./a.jsonl")).try_into().unwrap();
    let said = "sprited.toml:9: [[sinks]] path: \"/x/a.jsonl\" is already written by another sink";
    assert_eq!(found, said);
    let sinks = sinks(&text("/x/b.jsonl"));
    assert_eq!(sinks[1].after.as_ref().unwrap().on, On::Dead);
}

#[test]
fn the_format_callback_is_warned_of_where_it_hides_the_result() {
    let warned = |more: &str| {
        let text = format!("{}{}", sink("cdn", "format = 'callback'"), sink("site", more));
        let warnings = parse(&text).unwrap().warnings;
        warnings.into_iter().map(|it| (it.place.unwrap().line, it.message)).collect::<Vec<_>>()
    };
    let said = "[[sinks]] \"site\" format: \"callback\" leaves the event as received: what became \
                of it at \"cdn\" is not in it";
    assert_eq!(warned("after = 'cdn'\nformat = 'callback'"), [(11, said.to_owned())]);
    for none in ["", "after = 'cdn'", "format = 'callback'"] {
        assert_eq!(warned(none), [], "{none}");
    }
}

#[test]
fn check_warns_and_refuses_and_so_does_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sprited.toml");
    let journal = folder.path().join("journal.db");
    let head = format!("[http]\nlisten = 'off'\n[journal]\npath = '{}'\n", journal.display());
    let with = |more: &str, arguments: &[&str]| {
        let text = format!("{head}{}{}", sink("cdn", ""), sink("site", more));
        std::fs::write(&file, text).unwrap();
        ended(sprited().args(arguments).env("SPRITED_CONFIG", &file))
    };
    let said = ":14: [[sinks]] \"site\" after: unknown sink \"cnd\"; did you mean \"cdn\"?\n";
    let checked = with("after = 'cnd'", &["check", "--offline"]);
    assert!(checked.code == 78 && checked.out.contains(said), "{}", checked.out);
    let started = with("after = 'cnd'", &["run"]);
    assert!(started.code == 78 && started.err.ends_with(said), "{}", started.err);
    assert!(!journal.exists());

    let warned = with("after = 'cdn'\nformat = 'callback'", &["check", "--offline"]);
    let said = ":15: warning: [[sinks]] \"site\" format: \"callback\" leaves the event as received";
    assert!(warned.code == 0 && warned.out.contains(said), "{}", warned.out);
}
