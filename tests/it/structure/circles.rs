//! Which files of a crate need each other, read off their tokens.

use std::collections::{BTreeMap, BTreeSet};

use super::File;
use super::paths::{tokens, without_tests};

/// The circles among the files of one crate: of each group of files that reach one another, the names.
///
/// What a module only gives on (`pub use`) is taken from the file that has it, and giving on what is
/// below is no need of it.
pub(super) fn circles(files: &[File]) -> Vec<String> {
    let parsed: Vec<Parsed<'_>> = files.iter().map(Parsed::of).collect();
    let modules: Modules<'_> = parsed.iter().map(|file| (file.module.clone(), file)).collect();
    let needs: BTreeMap<&str, BTreeSet<&str>> =
        parsed.iter().map(|file| (file.name, file.needs(&modules))).collect();
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

type Modules<'a> = BTreeMap<Vec<String>, &'a Parsed<'a>>;

/// A path from the root of the crate on.
type Full = Vec<String>;

/// A file's own module, and the paths in it.
struct Parsed<'a> {
    name: &'a str,
    /// The root's is empty.
    module: Full,
    tokens: Vec<String>,
    /// What it has by `use`, under the name that it has here, and whether it gives it on.
    uses: Vec<(String, Full, bool)>,
}

impl<'a> Parsed<'a> {
    fn of(file: &'a File) -> Self {
        let mut module: Full = file.name.split('/').map(str::to_owned).collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            module.pop();
        }
        let tokens = without_tests(tokens(&file.text));
        let mut this = Self { name: &file.name, module, tokens, uses: Vec::new() };
        for at in 0..this.tokens.len() {
            if this.tokens[at] == "use" {
                let is_given_on = at > 0 && matches!(this.tokens[at - 1].as_str(), "pub" | ")");
                let mut found = Vec::new();
                this.path(at + 1, Vec::new(), &mut |path, alias| {
                    found.push((alias.to_owned(), path.to_vec(), is_given_on));
                });
                this.uses.extend(found);
            }
        }
        this
    }

    /// The files that this one names something of, itself left out.
    fn needs(&self, modules: &Modules<'a>) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::new();
        let mut at = 0;
        while at < self.tokens.len() {
            let mut add = |path: &[String], _: &str| {
                let path = self.in_full(path, modules);
                found.extend(path.and_then(|path| owner(path, modules, 0)));
            };
            if self.tokens[at] == "use" {
                at += 1;
                while at < self.tokens.len() && self.tokens[at] != ";" {
                    at += 1;
                }
                continue;
            }
            let before = |steps: usize| at.checked_sub(steps).map(|at| self.tokens[at].as_str());
            let is_visibility =
                [before(1), before(2), before(3)] == [Some("in"), Some("("), Some("pub")];
            let is_path = self.tokens.get(at + 1).is_some_and(|token| token == "::")
                && before(1) != Some("::")
                && !is_visibility;
            at = if is_path { self.path(at, Vec::new(), &mut add) } else { at + 1 };
        }
        for (_, path, is_given_on) in &self.uses {
            let Some(path) = self.in_full(path, modules) else { continue };
            if !(*is_given_on && path.starts_with(&self.module)) {
                found.extend(owner(path, modules, 0));
            }
        }
        found.remove(self.name);
        found
    }

    /// A path that begins here, from the root on; `None` for one that leads out of the crate.
    fn in_full(&self, path: &[String], modules: &Modules<'_>) -> Option<Full> {
        let (first, rest) = path.split_first()?;
        let mut full = self.module.clone();
        match first.as_str() {
            "crate" => full.clear(),
            "self" => {}
            "super" => drop(full.pop()),
            name if modules.contains_key(&[full.as_slice(), &path[..1]].concat()) => {
                full.push(name.to_owned());
            }
            name => {
                let (_, used, _) = self.uses.iter().find(|(alias, path, _)| {
                    alias == name && path.first().is_none_or(|first| first != name)
                })?;
                full = self.in_full(used, modules)?;
            }
        }
        let ups = rest.iter().take_while(|part| *part == "super").count();
        full.truncate(full.len().saturating_sub(ups));
        full.extend(rest[ups..].iter().cloned());
        Some(full)
    }

    /// Reads the path from `at` on, with all in its braces; each with the name that it gives. Returns
    /// where it ends.
    fn path(&self, mut at: usize, mut base: Full, add: &mut impl FnMut(&[String], &str)) -> usize {
        let token = |at: usize| self.tokens.get(at).map(String::as_str);
        loop {
            match token(at) {
                Some("{") => {
                    at += 1;
                    while token(at).is_some_and(|token| token != "}") {
                        at = self.path(at, base.clone(), add);
                        // To the next path of the list.
                        while token(at).is_some_and(|token| token != "," && token != "}") {
                            at += 1;
                        }
                        at += usize::from(token(at) == Some(","));
                    }
                    return at + 1;
                }
                // Of a list: what is before the braces.
                Some("self") if !base.is_empty() => {}
                Some(name) => base.push(name.to_owned()),
                None => return at,
            }
            if token(at + 1) != Some("::") {
                let alias = if token(at + 1) == Some("as") { token(at + 2) } else { None };
                let last = base.last().cloned().unwrap_or_default();
                add(&base, alias.unwrap_or(&last));
                return at + 1;
            }
            at += 2;
        }
    }
}

/// The file that has what the path leads to.
fn owner<'a>(path: Full, modules: &Modules<'a>, depth: usize) -> Option<&'a str> {
    let end = (0..=path.len()).rev().find(|end| modules.contains_key(&path[..*end]))?;
    let file = modules[&path[..end]];
    let given_on = path.get(end).and_then(|name| {
        file.uses.iter().find(|(alias, used, _)| alias == name && used.last() != used.first())
    });
    match given_on {
        // Ends where two modules give on each other's names.
        Some((_, used, _)) if depth < 8 => {
            let mut full = file.in_full(used, modules)?;
            full.extend(path[end + 1..].iter().cloned());
            owner(full, modules, depth + 1)
        }
        _ => Some(file.name),
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
    let parent = [("lib", "mod a; use a::A; pub struct B;"), ("a", "use super::B;")];
    assert_eq!(seen(&parent), ["a, lib"]);
    // Through what the parent gives on, and through a name of a module.
    let through = [
        ("lib", "mod a; mod b; pub use a::A; pub use b::{B as C};"),
        ("a", "use super::C;"),
        ("b", "use crate::a; fn f() { a::A::new() }"),
    ];
    assert_eq!(seen(&through), ["a, b"]);
    let folder = [
        ("lib", "mod a;"),
        ("a/mod", "mod b; use b::B; struct A;"),
        ("a/b", "mod inner { use super::c::C; } use super::A;"),
    ];
    assert_eq!(seen(&folder), ["a/b, a/mod"]);
    let three = [("a", "use crate::b::B;"), ("b", "use crate::c::C;"), ("c", "use crate::a::A;")];
    assert_eq!(seen(&three), ["a, b, c"]);
    let given_on = [("lib", "mod a; pub use a::A; pub struct B;"), ("a", "use super::B;")];
    assert_eq!(seen(&given_on), [""; 0]);
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
        [("lib", "mod a; mod b; use b::B;"), ("a", ""), ("b", "pub(in crate::b) struct B;")],
        [("lib", "mod a; mod b; use b::B;"), ("a", ""), ("b", "pub(in crate::A) struct B;")],
    ] {
        assert_eq!(seen(&files), [""; 0], "{files:?}");
    }
}
