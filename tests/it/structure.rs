//! The rules that hold between the files of `src`, read off the files themselves.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules a module may name, besides itself; `None` if all but the `forbidden`.
fn allowed(module: &str) -> Option<&'static [&'static str]> {
    match module {
        "event" | "outage" | "pace" | "pulse" | "retry" | "secret" | "shape" | "shown" => Some(&[]),
        "sinks" => Some(&["event", "secret", "shape", "shown"]),
        _ => None,
    }
}

/// The modules a module must not name.
fn forbidden(module: &str) -> &'static [&'static str] {
    match module {
        "vod" => {
            &["journal", "sinks", "poller", "delivery", "confirmer", "daemon", "config", "cli"]
        }
        "poller" => &["delivery", "confirmer", "daemon", "config", "cli"],
        "delivery" => &["poller", "confirmer", "daemon", "config", "cli"],
        "confirmer" => &["poller", "delivery", "daemon", "config", "cli"],
        "daemon" => &["cli"],
        "config" => &["daemon", "cli"],
        // The library's root names its modules, the program calls the command line.
        "cli" | "lib" | "main" => &[],
        _ => &["daemon", "config", "cli"],
    }
}

struct File {
    /// Below `src`, without its ending: `vod/sign`, `vod/mod`.
    name: String,
    text: String,
}

impl File {
    /// The crate's module it belongs to.
    fn module(&self) -> &str {
        self.name.split('/').next().unwrap_or(&self.name)
    }

    /// How far below the crate's root its own module is.
    fn depth(&self) -> usize {
        let parts = self.name.split('/').count();
        if self.name.ends_with("/mod") { parts - 1 } else { parts }
    }

    fn is_tests(&self) -> bool {
        self.name.ends_with("/tests")
    }

    /// Its lines up to the tests at its end.
    fn production(&self) -> &str {
        let end = self.text.rfind("\n#[cfg(test)]\n").filter(|end| {
            self.text[*end..].trim_start_matches("\n#[cfg(test)]\n").starts_with("mod ")
        });
        &self.text[..end.map_or(self.text.len(), |end| end + 1)]
    }

    /// The crate's modules that its production code names.
    fn names(&self) -> BTreeSet<String> {
        let code: String = self
            .production()
            .lines()
            .map(|line| line.split("//").next().unwrap_or_default())
            .flat_map(|line| [line.trim(), " "])
            .collect();
        let mut names = BTreeSet::new();
        let up = "super::".repeat(self.depth());
        for root in ["crate::", up.as_str()] {
            for (at, _) in code.match_indices(root) {
                // `super::super::` holds `super::`, but leads elsewhere.
                let whole =
                    !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
                if whole {
                    names.extend(first_names(&code[at + root.len()..]));
                }
            }
        }
        names
    }
}

/// The first name of each path in `a::b` or `{a::{b, c}, d}`.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let mut depth = 0;
    let mut names = vec![name(group)];
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(name(&group[at + 1..])),
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn trespasses(file: &File) -> Vec<String> {
    let module = file.module();
    file.names()
        .into_iter()
        .filter(|name| name != module)
        .filter(|name| {
            forbidden(module).contains(&name.as_str())
                || allowed(module).is_some_and(|allowed| !allowed.contains(&name.as_str()))
        })
        .map(|name| format!("src/{}.rs names crate::{name}", file.name))
        .collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn source() -> Vec<File> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    let src = root().join("src");
    let mut paths = Vec::new();
    walk(&src, &mut paths);
    paths.sort();
    assert!(paths.len() > 10, "{paths:?}");
    paths
        .into_iter()
        .map(|path| File {
            name: path.strip_prefix(&src).unwrap().with_extension("").display().to_string(),
            text: fs::read_to_string(&path).unwrap(),
        })
        .collect()
}

#[track_caller]
fn none(found: Vec<String>) {
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn modules_know_only_whom_they_may() {
    none(source().iter().flat_map(trespasses).collect());
}

#[test]
fn a_trespass_is_seen_however_it_is_written() {
    let seen = |name: &str, text: &str| {
        trespasses(&File { name: name.to_owned(), text: text.to_owned() }).len()
    };
    for (name, text) in [
        ("event/key", "use crate::secret::Secret;"),
        ("sinks/jsonl/mod", "fn f() { crate::journal::open() }"),
        ("vod/client", "use crate::{\n    event::Event,\n    journal::{self, Journal},\n};"),
        ("vod/client", "use crate::{event::{A, sinks}, sinks};"),
        ("poller", "use super::delivery::Queue;"),
        ("vod/client", "use super::super::poller;"),
        ("vod/mod", "use super::poller;"),
        ("metrics", "pub(crate) use crate::config::Config;"),
    ] {
        assert_eq!(seen(name, text), 1, "{name}: {text}");
    }
    for (name, text) in [
        ("event/key", "use super::secret;\nuse crate::event::Key;"),
        ("sinks/jsonl/mod", "use crate::{event::Event, secret};"),
        ("vod/client", "use crate::{event::{journal, sinks}, secret};"),
        ("vod/client", "use super::super::secret;"),
        ("poller", "// crate::delivery\n/// [`crate::delivery`]"),
        ("poller", "\n#[cfg(test)]\nmod tests {\n use crate::delivery;\n}"),
        ("daemon", "use crate::config::Config;"),
    ] {
        assert_eq!(seen(name, text), 0, "{name}: {text}");
    }
}

#[test]
fn files_stay_small() {
    let lines = |file: &File| file.production().lines().count();
    let files = source();
    none(
        files
            .iter()
            .filter(|file| !file.is_tests() && lines(file) > 400)
            .map(|file| format!("src/{}.rs has {} lines without its tests", file.name, lines(file)))
            .collect(),
    );
    let main = files.iter().find(|file| file.name == "main").map(|file| file.text.lines().count());
    assert!(main.is_some_and(|lines| lines <= 40), "src/main.rs has {main:?} lines");
}

#[test]
fn the_code_map_is_complete() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let map: String = lib.lines().filter(|line| line.starts_with("//!")).collect();
    none(
        lib.lines()
            .filter_map(|line| {
                line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';')
            })
            .filter(|module| !map.contains(&format!("`{module}`")))
            .map(|module| format!("the comment of src/lib.rs does not name `{module}`"))
            .collect(),
    );
}

#[test]
fn nothing_is_left_for_later() {
    none(
        source()
            .iter()
            .flat_map(|file| {
                ["TODO", "FIXME", "XXX", "todo!", "unimplemented!"]
                    .into_iter()
                    .filter(|mark| file.text.contains(mark))
                    .map(|mark| format!("src/{}.rs has {mark}", file.name))
            })
            .collect(),
    );
}

#[test]
fn there_are_two_traits_at_most() {
    let traits: Vec<String> = source()
        .iter()
        .flat_map(|file| file.production().lines().map(|line| (file.name.clone(), line)))
        .filter_map(|(name, line)| {
            let line = line.trim_start();
            let line = line.strip_prefix("pub").map_or(line, |rest| {
                rest.split_once(')')
                    .filter(|_| rest.starts_with('('))
                    .map_or(rest, |(_, rest)| rest)
            });
            let line = line.trim_start().trim_start_matches("unsafe ");
            line.strip_prefix("trait ").map(|rest| format!("src/{name}.rs: {rest}"))
        })
        .collect();
    assert!(traits.len() <= 2, "{traits:#?}");
    assert!(traits.iter().any(|line| line.starts_with("src/sinks/mod.rs: Sink")), "{traits:#?}");
}

#[test]
fn the_readme_has_every_sink() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    none(
        sprited::sinks::KINDS
            .iter()
            .filter(|kind| !readme.contains(&format!("\n| `{}` |", kind.name)))
            .map(|kind| format!("README.md has no row | `{}` | in its table of sinks", kind.name))
            .collect(),
    );
}
