//! The rules that hold between the source files, read off the files themselves.

mod circles;
mod paths;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules that each module may name, besides itself, in an order in which each stands behind
/// those that it may name: no two can depend on each other.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("sync", &[]),
    ("identity", &[]),
    ("folder", &[]),
    ("net", &[]),
    ("limits", &[]),
    ("liveness", &["sync"]),
    ("secret", &[]),
    ("settings", &[]),
    ("units", &[]),
    ("sanitize", &[]),
    ("format", &["sanitize", "units"]),
    ("event", &[]),
    ("sprite", &["event", "sanitize"]),
    ("fetch", &["sync", "net", "secret", "settings", "sprite", "units", "sanitize"]),
    ("logging", &["sanitize"]),
    ("control", &["limits"]),
    (
        "sinks",
        &[
            "sync", "limits", "event", "fetch", "sprite", "folder", "net", "secret", "settings",
            "units", "sanitize",
        ],
    ),
    ("vod", &["sync", "limits", "event", "net", "secret", "settings", "units", "sanitize"]),
    ("metrics", &["sync", "event"]),
    ("journal", &["sync", "event", "folder", "limits", "metrics", "units"]),
    ("lease", &["event", "journal"]),
    ("ingest", &["sync", "event", "journal", "lease", "limits", "metrics"]),
    (
        "puller",
        &["sync", "event", "ingest", "journal", "metrics", "limits", "liveness", "units", "vod"],
    ),
    (
        "reconcile",
        &["sync", "event", "ingest", "journal", "metrics", "limits", "liveness", "units", "vod"],
    ),
    ("delivery", &["sync", "event", "journal", "metrics", "limits", "liveness", "units", "sinks"]),
    ("confirmer", &["event", "journal", "lease", "metrics", "limits", "liveness", "units", "vod"]),
    ("listener", &["sync", "limits"]),
    (
        "receiver",
        &[
            "sync", "limits", "event", "ingest", "journal", "listener", "metrics", "net", "secret",
            "settings", "units",
        ],
    ),
    (
        "health",
        &[
            "sync",
            "confirmer",
            "delivery",
            "event",
            "format",
            "journal",
            "metrics",
            "puller",
            "receiver",
            "reconcile",
            "sinks",
            "vod",
            "sanitize",
        ],
    ),
    (
        "http",
        &[
            "sync", "event", "sprite", "format", "health", "journal", "listener", "metrics", "net",
            "sanitize", "settings",
        ],
    ),
    (
        "config",
        &[
            "confirmer",
            "delivery",
            "event",
            "http",
            "journal",
            "net",
            "puller",
            "receiver",
            "reconcile",
            "secret",
            "settings",
            "units",
            "sanitize",
            "sinks",
            "logging",
            "vod",
        ],
    ),
    (
        "daemon",
        &[
            "sync",
            "config",
            "confirmer",
            "control",
            "delivery",
            "event",
            "health",
            "http",
            "identity",
            "ingest",
            "journal",
            "lease",
            "listener",
            "metrics",
            "limits",
            "puller",
            "receiver",
            "reconcile",
            "liveness",
            "secret",
            "units",
            "sanitize",
            "sinks",
            "logging",
            "vod",
        ],
    ),
    (
        "cli",
        &[
            "config",
            "control",
            "daemon",
            "event",
            "fetch",
            "folder",
            "format",
            "http",
            "identity",
            "ingest",
            "journal",
            "metrics",
            "net",
            "receiver",
            "reconcile",
            "secret",
            "units",
            "sprite",
            "sanitize",
            "sinks",
            "logging",
            "vod",
        ],
    ),
    ("main", &["cli"]),
];

/// The modules that `module` may name; none for one that the table does not have.
fn may_name(module: &str) -> &'static [&'static str] {
    MAY_NAME.iter().find(|(name, _)| *name == module).map_or(&[], |(_, others)| others)
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
}

fn trespasses(file: &File) -> Vec<String> {
    let module = file.module();
    let has = |tokens| paths::has(&file.text, tokens);
    // What cannot be followed: other files' text.
    if has(&["include", "!"]) || has(&["#", "[", "path", "="]) {
        return vec![format!("src/{}.rs takes in text of another place", file.name)];
    }
    // The root declares its modules: what it took from them would be another name for it.
    if module == "lib" {
        return has(&["use"]).then(|| "src/lib.rs uses something".to_owned()).into_iter().collect();
    }
    paths::named(&file.text, file.depth())
        .into_iter()
        .filter(|name| name != module && !may_name(module).contains(&name.as_str()))
        .map(|name| format!("src/{}.rs names crate::{name}", file.name))
        .collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn source() -> Vec<File> {
    files_below("src")
}

/// The files of the emulator, which is a crate of its own.
fn emulator() -> Vec<File> {
    files_below("crates/vod-emulator/src")
}

fn files_below(folder: &str) -> Vec<File> {
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
    let src = root().join(folder);
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
fn every_module_stands_in_the_table_behind_those_that_it_may_name() {
    let modules: BTreeSet<_> = source().iter().map(|file| file.module().to_owned()).collect();
    let mut before = BTreeSet::from(["lib".to_owned()]);
    for (module, others) in MAY_NAME {
        for other in *others {
            assert!(before.contains(*other), "{other} has to stand before {module}");
        }
        before.insert((*module).to_owned());
    }
    assert_eq!(before, modules);
}

#[test]
fn a_trespass_is_seen_however_it_is_written() {
    let seen = |name: &str, text: &str| {
        trespasses(&File { name: name.to_owned(), text: text.to_owned() }).len()
    };
    for (name, text) in [
        ("event/key", "use crate::secret::Secret;"),
        ("sinks/jsonl/mod", "fn f() { crate::journal::open() }"),
        ("sinks/jsonl/mod", "fn f() -> crate :: journal :: Journal {}"),
        ("journal/append", "use crate::delivery;"),
        ("journal/append", "use crate::delivery as d;"),
        ("journal/append", "use crate::r#delivery;"),
        ("journal/append", "use crate as root; fn f() { root::delivery::go() }"),
        ("journal/append", "use crate::{self as root}; use root::delivery;"),
        ("journal/append", "use {crate as root, std::fs};"),
        ("journal/append", "use std::{fs, io}; use ::{std::fmt, crate::delivery};"),
        ("journal/append", "use super::super as root;"),
        ("journal/append", "use super::super::{self as root};"),
        ("journal/append", "use super::super::*;"),
        ("journal/append", "use self::super::super::delivery::Queue;"),
        ("journal/append", "mod a { use super::super::super::delivery; }"),
        ("journal/append", "fn f() { mod a { use super::super::super::delivery; } }"),
        ("journal/append", "extern crate self as root;"),
        ("journal/append", "use sprited::delivery;"),
        ("journal/append", "use ::sprited::delivery;"),
        ("journal/append", "#[path = \"../delivery/mod.rs\"] mod other;"),
        ("journal/append", "include!(\"../delivery/mod.rs\");"),
        ("journal/append", "macro_rules! m { () => { $crate::delivery::go() } }"),
        ("journal/append", "fn f() { go!(crate::delivery::Queue, 1) }"),
        ("journal/append", "fn f(x: &crate::delivery::A, y: impl Fn(crate::event::B)) {}"),
        ("journal/append", "pub use crate::delivery::Queue;"),
        ("journal/append", "pub(crate) mod m { pub(in crate::journal) use crate::delivery; }"),
        ("journal/append", "#[cfg(test)]\nmod tests {}\nuse crate::delivery;"),
        ("journal/append", "#[cfg(test)]\nuse crate::sinks;\nuse crate::delivery;"),
        ("journal/mod", "use super::delivery;"),
        ("journal/mod", "use super as root;"),
        ("journal/mod", "use {super::{event::Event, delivery}};"),
        ("journal/append", "use crate::{event::{self, Event}, delivery::{self, Queue}};"),
        ("event/key", "use crate::Unknown;"),
        ("unheard_of", "use crate::event::Event;"),
        ("vod/client", "use crate::{\n    event::Event,\n    journal::{self, Journal},\n};"),
        ("vod/client", "use crate::{event::{A, sinks}, sinks};"),
        ("puller", "use super::delivery::Queue;"),
        ("vod/client", "use super::super::puller;"),
        ("vod/mod", "use super::puller;"),
        ("metrics", "pub(crate) use crate::config::Config;"),
        ("lib", "pub use crate::delivery::Queue;"),
        ("lib", "pub mod delivery; pub use delivery::Queue;"),
        ("lib", "pub mod delivery; use delivery::*;"),
        ("sinks/kind", "#[serde(with = \"crate::delivery::as_text\")]"),
        ("main", "use sprited::daemon;"),
    ] {
        assert_eq!(seen(name, text), 1, "{name}: {text}");
    }
    for (name, text) in [
        ("event/key", "use super::read;\nuse crate::event::Key;"),
        ("sinks/jsonl/mod", "use crate::{event::Event, secret};"),
        ("vod/client", "use crate::{event::{journal, sinks}, secret};"),
        ("vod/client", "use super::super::secret;"),
        ("vod/client", "use super::{self as vod, sinks}; use super::*;"),
        ("vod/client", "pub(crate) fn f(&self) { self.sinks::<u8>() } pub(super) struct A;"),
        ("vod/client", "pub(in crate::vod) fn f(self) {}"),
        ("vod/client", "mod a { use super::super::sinks; use super::sinks; }"),
        ("vod/client", "mod a {} use super::super::secret;"),
        (
            "puller",
            "// crate::delivery\n/// [`crate::delivery`]\nconst A: &str = \"of crate::delivery\";",
        ),
        ("puller", "\n#[cfg(test)]\nmod tests {\n use crate::delivery;\n}"),
        ("daemon", "use crate::config::Config;"),
        ("main", "fn main() { sprited::cli::main() }"),
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
            .chain(&emulator())
            .filter(|file| !file.is_tests() && lines(file) > 400)
            .map(|file| format!("{}.rs has {} lines without its tests", file.name, lines(file)))
            .collect(),
    );
    let main = files.iter().find(|file| file.name == "main").map(|file| file.text.lines().count());
    assert!(main.is_some_and(|lines| lines <= 40), "src/main.rs has {main:?} lines");
}

#[test]
fn sql_stands_in_one_folder() {
    let may =
        |file: &File| file.name.starts_with("journal/sqlite/") || file.name == "journal/error";
    none(
        source()
            .iter()
            .filter(|file| !may(file) && paths::has(file.production(), &["rusqlite"]))
            .map(|file| format!("src/{}.rs names rusqlite", file.name))
            .collect(),
    );
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
fn the_emulator_and_the_daemon_are_strangers() {
    let names = |file: &File, crate_name: &str| paths::has(&file.text, &[crate_name, "::"]);
    let manifest = fs::read_to_string(root().join("crates/vod-emulator/Cargo.toml")).unwrap();
    assert!(!manifest.contains("sprited"), "the manifest of the emulator names sprited");
    none(
        emulator()
            .into_iter()
            .filter(|file| file.text.contains("sprited"))
            .map(|f| f.name)
            .collect(),
    );
    let others = source().into_iter().filter(|file| file.module() != "cli");
    none(others.filter(|file| names(file, "vod_emulator")).map(|file| file.name).collect());
}

#[test]
fn no_files_need_each_other() {
    none([source(), emulator()].iter().flat_map(|files| circles::circles(files)).collect());
}

/// A name tells what it is of, wherever it is read: no two types that others than their file see have
/// one name.
#[test]
fn no_two_types_have_one_name() {
    let mut files: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in source().into_iter().chain(emulator()) {
        for name in paths::types(&file.text) {
            files.entry(name).or_default().insert(file.name.clone());
        }
    }
    assert!(files.len() > 200, "{}", files.len());
    let twice = files.into_iter().filter(|(_, files)| files.len() > 1);
    none(twice.map(|(name, files)| format!("{name} is in {files:?}")).collect());
}

#[test]
fn nothing_is_left_for_later() {
    none(
        source()
            .iter()
            .chain(&emulator())
            .flat_map(|file| {
                ["TODO", "FIXME", "XXX", "todo!", "unimplemented!"]
                    .into_iter()
                    .filter(|mark| file.text.contains(mark))
                    .map(|mark| format!("{}.rs has {mark}", file.name))
            })
            .collect(),
    );
}

#[test]
fn there_are_two_traits_at_most() {
    let traits: Vec<String> = source()
        .iter()
        .chain(&emulator())
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
fn the_documents_have_every_sink() {
    for document in ["README.md", "docs/sinks.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        none(
            sprited::sinks::KINDS
                .iter()
                .filter(|kind| !text.contains(&format!("\n| `{}` |", kind.name)))
                .map(|kind| format!("{document} has no row | `{}` | of that sink", kind.name))
                .collect(),
        );
    }
}
