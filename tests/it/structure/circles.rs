//! Which files of a crate need each other, read off their tokens.

use std::collections::{BTreeMap, BTreeSet};

use super::File;
use super::paths::{tokens, without_tests};

/// The circles among the files of one crate: of each group of files that reach one another, the names.
pub(super) fn circles(files: &[File]) -> Vec<String> {
    let modules: BTreeMap<Vec<String>, &str> =
        files.iter().map(|file| (module(&file.name), file.name.as_str())).collect();
    let needs: BTreeMap<&str, BTreeSet<&str>> =
        files.iter().map(|file| (file.name.as_str(), needs(file, &modules))).collect();
    let reach = |from: &str| {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut open: Vec<&str> = needs[from].iter().copied().collect();
        while let Some(next) = open.pop() {
            if seen.insert(next) {
                open.extend(&needs[next]);
            }
        }
        seen
    };
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        needs.keys().map(|name| (*name, reach(name))).collect();
    let groups: BTreeSet<String> = reached
        .iter()
        .filter(|(name, seen)| seen.contains(*name))
        .map(|(name, seen)| {
            let group = seen.iter().filter(|other| reached[*other].contains(name));
            group.copied().collect::<Vec<_>>().join(", ")
        })
        .collect();
    groups.into_iter().collect()
}

/// The module that a file is; the root's is empty.
fn module(name: &str) -> Vec<String> {
    let mut parts: Vec<String> = name.split('/').map(str::to_owned).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

/// The files that `file` names something of, itself left out.
fn needs<'a>(file: &File, modules: &BTreeMap<Vec<String>, &'a str>) -> BTreeSet<&'a str> {
    let own = module(&file.name);
    let mut found = BTreeSet::new();
    let mut add = |path: &[String]| {
        // What follows the module is an item of its file.
        let of = (0..=path.len()).rev().find_map(|end| modules.get(&path[..end]));
        found.extend(of.filter(|of| **of != file.name));
    };
    let tokens = without_tests(tokens(&file.text));
    let mut at = 0;
    while at < tokens.len() {
        let before = at.checked_sub(1).map(|at| tokens[at].as_str());
        let follows = tokens.get(at + 1).map(String::as_str) == Some("::");
        let child = [own.as_slice(), &tokens[at..=at]].concat();
        let begins = before != Some("::")
            && follows
            && (matches!(tokens[at].as_str(), "crate" | "super" | "self")
                || modules.contains_key(&child));
        at = if begins { path(&tokens, at, own.clone(), &mut add) } else { at + 1 };
    }
    found
}

/// Reads the path from `at` on, below `base`, with all in its braces. Returns where it ends.
fn path(
    tokens: &[String],
    mut at: usize,
    mut base: Vec<String>,
    add: &mut impl FnMut(&[String]),
) -> usize {
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token != "}") {
                    at = path(tokens, at, base.clone(), add);
                    // To the next path of the list.
                    while tokens.get(at).is_some_and(|token| token != "," && token != "}") {
                        at += 1;
                    }
                    at += usize::from(tokens.get(at).is_some_and(|token| token == ","));
                }
                return at + 1;
            }
            Some("crate") => base.clear(),
            Some("super") => drop(base.pop()),
            Some("self") => {}
            Some(name) => base.push(name.to_owned()),
            None => return at,
        }
        if tokens.get(at + 1).map(String::as_str) != Some("::") {
            add(&base);
            return at + 1;
        }
        at += 2;
    }
}

#[test]
fn a_circle_is_seen_however_it_is_written() {
    let file = |name: &str, text: &str| File { name: name.to_owned(), text: text.to_owned() };
    let seen = |files: &[(&str, &str)]| {
        circles(&files.iter().map(|(name, text)| file(name, text)).collect::<Vec<_>>())
    };
    for there in [
        "use super::b::B;",
        "use crate::b;",
        "use crate::{c::C, b::{self, B}};",
        "fn f() -> super::b::B { todo() }",
        "#[serde(with = \"super::b\")] struct A;",
    ] {
        let files =
            [("lib", "mod a; mod b; mod c;"), ("a", there), ("b", "use super::a::A;"), ("c", "")];
        assert_eq!(seen(&files), ["a, b"], "{there}");
    }
    // What the parent gives on, and what is its own.
    let parent = [("lib", "mod a; pub use a::A; pub struct B;"), ("a", "use super::B;")];
    assert_eq!(seen(&parent), ["a, lib"]);
    let folder = [
        ("lib", "mod a;"),
        ("a/mod", "mod b; use b::B; struct A;"),
        ("a/b", "mod inner { use super::c::C; } use super::A;"),
    ];
    assert_eq!(seen(&folder), ["a/b, a/mod"]);
    let three = [("a", "use crate::b::B;"), ("b", "use crate::c::C;"), ("c", "use crate::a::A;")];
    assert_eq!(seen(&three), ["a, b, c"]);
    for files in [
        [
            ("lib", "mod a; mod b; pub use a::A;"),
            ("a", "use super::b::B;"),
            ("b", "use std::a::A;"),
        ],
        [("lib", "mod a; mod b;"), ("a", "use super::b::B;"), ("b", "// super::a\nfn a() {}")],
        [
            ("lib", "mod a; mod b;"),
            ("a", "use super::b::B;"),
            ("b", "#[cfg(test)]\nmod tests {\n use super::super::a::A;\n}"),
        ],
    ] {
        assert_eq!(seen(&files), [""; 0], "{files:?}");
    }
}
