//! What a configuration may say of mirrors.

use std::path::Path;
use std::time::Duration;

use sprited::config::{Config, ConfigErrors, Loaded};

use crate::cli::{ended, sprited};

fn parse(text: &str) -> Result<Loaded, ConfigErrors> {
    Config::parse(text, Path::new("sprited.toml"))
}

fn mistakes(text: &str) -> Vec<String> {
    parse(text).expect_err(text).to_string().lines().map(str::to_owned).collect()
}

/// A mirror of six lines; `more` follows them.
fn mirror(name: &str, path: &str, more: &str) -> String {
    format!(
        "[[sinks]]\nname = '{name}'\ntype = 'mirror'\nstore = 'folder'\npath = '{path}'\n\
         public_url = 'https://img.example.com/s'\n{more}\n"
    )
}

fn exec(name: &str, more: &str) -> String {
    format!("[[sinks]]\nname = '{name}'\ntype = 'exec'\ncommand = ['/a']\n{more}\n")
}

const RECEIVE: &str = "[receive]\ntoken = 'a-token-of-some-length'\n";

#[test]
fn a_mirror_is_given_more_time_than_other_sinks() {
    let text = exec("a", "") + &mirror("b", "/s", "") + &mirror("c", "/t", "timeout = '5s'");
    let times: Vec<_> = parse(&text).unwrap().config.sinks.iter().map(|it| it.timeout).collect();
    assert_eq!(times, [10, 30, 5].map(Duration::from_secs));
}

#[test]
fn a_mirror_comes_after_no_other_however_far_before() {
    let side_by_side = mirror("a", "/a", "") + &mirror("b", "/b", "");
    parse(&side_by_side).unwrap();
    let after_another = exec("copy", "") + &mirror("a", "/a", "after = 'copy'");
    parse(&after_another).unwrap();
    let said = |line| {
        format!(
            "sprited.toml:{line}: [[sinks]] \"b\" after: the mirror \"a\" comes before this one; \
             mirrors stand side by side"
        )
    };
    let at_once = mirror("a", "/a", "") + &mirror("b", "/b", "after = 'a'");
    assert_eq!(mistakes(&at_once), [said(14)]);
    let later = mirror("a", "/a", "") + &exec("x", "after = 'a'") + &exec("y", "after = 'x'");
    assert_eq!(mistakes(&(later + &mirror("b", "/b", "after = 'y'"))), [said(24)]);
}

#[test]
fn where_anybody_may_post_events_a_mirror_has_a_list_of_hosts() {
    let [found] = mistakes(&(mirror("a", "/a", "") + RECEIVE)).try_into().unwrap();
    let said = "sprited.toml:5: [[sinks]] \"a\" hosts: required where [receive] stands";
    assert!(found.starts_with(said), "{found}");
    parse(&(mirror("a", "/a", "hosts = ['*.example.com']") + RECEIVE)).unwrap();
    parse(&mirror("a", "/a", "")).unwrap();
}

#[test]
fn a_folder_is_one_mirrors_alone_and_shows_nothing_but_copies() {
    let file = |path: &str| format!("[[sinks]]\nname = 'f'\ntype = 'jsonl'\npath = '{path}'\n");
    let journal = |path: &str| format!("[journal]\npath = '{path}'\n");
    for (text, says) in [
        (
            mirror("a", "/s", "") + &mirror("b", "/s/.", ""),
            "path: \"/s\" is already written by another sink",
        ),
        (
            mirror("a", "/s", "prefix = 'x'") + &mirror("b", "/s/x", ""),
            "path: \"/s/x\" is already written by another sink",
        ),
        (
            mirror("a", "/s", "") + &file("/s/x/events.jsonl"),
            "\"/s/x/events.jsonl\" of f would be in it; use a folder of its own",
        ),
        (
            mirror("a", "/s", "prefix = 'x'") + &file("/s/events.jsonl"),
            "everybody may read what is in \"/s\"",
        ),
        (
            mirror("a", "/var/lib", "") + &journal("/var/lib/x/j.db"),
            "\"/var/lib/x/j.db\" of the journal would be in it",
        ),
        (mirror("a", "/var/lib/sprited", ""), "journal.db\" of the journal would be in it"),
    ] {
        let found = mistakes(&text);
        assert!(found.len() == 1 && found[0].contains(says), "{text}: {found:#?}");
    }
    parse(&(mirror("a", "/s", "prefix = 'x'") + &mirror("b", "/s", "prefix = 'y'"))).unwrap();
    parse(&(mirror("a", "/s/x", "") + &file("/s/events.jsonl"))).unwrap();
}

#[test]
fn wrong_values_are_named_where_they_stand() {
    for (more, said) in [
        ("hosts = []", "7: [[sinks]] \"a\" hosts: the list is empty"),
        ("prefix = '../x'", "7: [[sinks]] \"a\" prefix: expected a relative path"),
        ("max_in_flight = 0", "7: [[sinks]] \"a\" max_in_flight: invalid value"),
        ("mode = '0444'", "7: [[sinks]] \"a\" mode: the mode must be"),
        ("max_sheet = '1'", "7: [[sinks]] \"a\" max_sheet: expected 64KiB or more"),
        ("bucket = 'x'", "7: unknown key \"bucket\" in [[sinks]] \"a\""),
    ] {
        let found = mistakes(&mirror("a", "/s", more));
        let said = format!("sprited.toml:{said}");
        assert!(found.len() == 1 && found[0].starts_with(&said), "{more}: {found:#?}");
    }
    let s3 = mirror("a", "/s", "").replace("'folder'", "'s3'");
    let [found] = mistakes(&s3).try_into().unwrap();
    assert!(found.contains("sprited.toml:4: ") && found.contains("the only one is \"folder\""));
    let http = mirror("a", "/s", "").replace("https://img", "http://me@img");
    assert!(mistakes(&http)[0].contains("no user may stand in it"));
}

#[test]
fn a_key_in_the_file_is_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sprited.toml");
    let key = "24FEQmTzro4V5u3D5epW";
    let path = folder.path().join("copies");
    std::fs::create_dir(&path).unwrap();
    let more = format!("hotlink_key = '{key}'");
    std::fs::write(&file, mirror("a", path.to_str().unwrap(), &more)).unwrap();
    let run = |arguments: &[&str]| ended(sprited().args(arguments).env("SPRITED_CONFIG", &file));
    let shown = run(&["config", "show"]);
    assert!(shown.out.contains("hotlink_key = \"********\""), "{}", shown.out);
    assert!(shown.out.contains("https://img.example.com/s\""), "{}", shown.out);
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let checked = run(&["check", "--offline"]);
    assert!(checked.out.contains("holds a secret and can be read by everybody"), "{}", checked.out);
    for ended in [shown, checked] {
        assert!(!ended.out.contains(key) && !ended.err.contains(key));
    }
}
