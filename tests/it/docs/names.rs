//! Names in the documents: of files, variables, units, keys, options, members, ports.

use std::collections::BTreeSet;
use std::path::Path;

use sprited::config::{self, Config};

use super::code::{corpus, tests};
use super::trust;
use super::{documents, root};

/// What other programs and systems call things.
const OF_OTHERS: &[&str] = &[
    // Commands, and words of their command lines.
    "apt",
    "cargo",
    "cat",
    "curl",
    "deny",
    "git",
    "journalctl",
    "man",
    "musl-gcc:",
    "mv",
    "prlimit",
    "purge",
    "rustup",
    "sh",
    "sudo",
    "sudoedit",
    "systemctl",
    "systemd-analyze",
    "systemd-sysusers",
    "systemd-run",
    "tail",
    "target",
    "-u",
    "-m",
    "-d",
    "-f",
    "-n",
    "-o",
    "-g",
    "-p",
    "-c",
    "--now",
    "--collect",
    "--pipe",
    "--wait",
    "--release",
    "--target",
    "--bench",
    "--test",
    "--ignored",
    "--nocapture",
    "--",
    "bench",
    "build",
    "test",
    "run",
    "add",
    "it",
    "enable",
    "start",
    "stop",
    "restart",
    "reload",
    "daemon-reload",
    "install",
    "mkdir",
    "security",
    "musl-tools",
    "drain",
    // Files and folders of the system, of the reader, and what a build makes.
    "/dev/stdin",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/usr/lib/sysusers.d/sprited.conf",
    "/usr/lib/systemd/system/sprited.service",
    "/usr/share/man",
    "/backup/j.db",
    "/path",
    "target/release/sprited",
    "target/x86_64-unknown-linux-musl/release",
    "./target/debian/sprited_*.deb",
    "x86_64-unknown-linux-musl",
    // Of the cloud and of the world.
    "plugins.VttThumbnail.vttUrl",
    "1500012345",
    "1500012346",
    "AKID…",
    "PULL",
    "Mode",
    "http://proxy.example.com:3128",
    "HTTP_PROXY",
    "socks4",
    "https://vod.intl.tencentcloudapi.com",
    // Placeholders.
    "/var/lib/sprited/damaged",
    "/etc/sprited/NAME.toml",
    "src/sinks/<kind>.rs",
    "mod.rs",
    "unsafe",
    "SPRITED_SOAK_SEED",
    "NAME",
    "TARGET",
    "SECONDS",
    "NAME.toml",
    "v<version>",
    "site",
    "new",
    "removed",
    "dead",
    "sprites",
];

const EXAMPLE: &str = "config.example.toml";

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-')
}

struct Known {
    corpus: String,
    /// The tests' own text.
    tests: String,
}

impl Known {
    /// What is known to a reader of this document; the example of a configuration does not vouch
    /// for itself.
    fn to(document: &str) -> Self {
        let mut corpus = corpus();
        if document != EXAMPLE {
            corpus.push_str(&crate::config::example());
        }
        Self { corpus, tests: tests() }
    }

    /// Whether `text` stands in what is built and installed, not as a part of a longer word.
    fn has(&self, text: &str) -> bool {
        let bytes = |at: usize| self.corpus[..at].chars().next_back();
        self.corpus.match_indices(text).any(|(at, _)| {
            let before = bytes(at).filter(|_| text.starts_with(is_word));
            let behind = self.corpus[at + text.len()..].chars().next();
            let behind = behind.filter(|_| text.ends_with(is_word));
            !before.is_some_and(is_word) && !behind.is_some_and(is_word)
        })
    }

    fn is_file(text: &str) -> bool {
        !text.starts_with('/') && root().join(text).exists()
    }

    /// A key of the configuration, with its table.
    fn is_key(text: &str) -> bool {
        text.split_once('.').is_some_and(|(table, key)| {
            config::outline().iter().any(|(name, keys)| *name == table && keys.contains(&key))
        })
    }

    /// Whether the configuration takes this line, of whichever table and sink.
    fn is_setting(text: &str) -> bool {
        let Some((key, value)) = text.split_once(" = ") else { return false };
        let sinks = [
            "type = 'stdout'",
            "type = 'exec'\ncommand = ['/bin/true']",
            "type = 'webhook'\nurl = 'https://example.net'",
            "type = 'mirror'\nstore = 'folder'\npath = '/a'\npublic_url = 'https://example.net'",
        ];
        let sink = |sink: &str| format!("[[sinks]]\nname = 'a'\n{sink}\n");
        let mut texts: Vec<String> =
            sinks.iter().map(|kind| format!("{}{text}\n", sink(kind))).collect();
        texts.extend(
            config::outline()
                .iter()
                .map(|(table, _)| format!("[{table}]\n{text}\n{}", sink(sinks[0]))),
        );
        let after = format!("{}\nafter = 'b'", sinks[1]);
        texts.push(format!("{}{}{text}\n", sink(sinks[0]).replace("'a'", "'b'"), sink(&after)));
        if let Some((table, key)) = key.split_once('.') {
            texts = vec![format!("[{table}]\n{key} = {value}\n{}", sink(sinks[0]))];
        }
        texts.iter().any(|text| Config::parse(text, Path::new("sprited.toml")).is_ok())
    }

    /// A file whose name is that of the journal, an ending that the program gives, and perhaps a time.
    fn is_beside_the_journal(&self, text: &str) -> bool {
        let journals = ["/var/lib/sprited/journal.db", "journal.db", "<path>"];
        let is_of_time = |c: char| c.is_ascii_digit() || matches!(c, 'T' | 'Z');
        journals.iter().filter_map(|journal| text.strip_prefix(journal)).any(|ending| {
            let ending = ending.trim_end_matches(is_of_time);
            ending.starts_with('.') && ending.ends_with('-') && self.has(ending)
        })
    }

    /// A test, or a module of tests, by its last name.
    fn is_test(&self, text: &str) -> bool {
        let name = text.rsplit("::").next().unwrap_or(text);
        name.len() > 3
            && ["fn", "mod"].iter().any(|kind| self.tests.contains(&format!("{kind} {name}")))
    }

    fn is_known(&self, text: &str) -> bool {
        let text = text.trim().trim_end_matches([',', ';', '/', '*']);
        let plain = text.trim_matches(['"', '\'']).trim_end_matches(['/', '*']);
        // Hosts and ports have a test of their own.
        let plain = plain.trim_start_matches("http://").trim_start_matches("localhost:9770");
        plain.is_empty()
            || plain == "…"
            || OF_OTHERS.contains(&text)
            || OF_OTHERS.contains(&plain)
            || Self::is_file(plain)
            || Self::is_key(text)
            || self.is_beside_the_journal(plain)
            || self.has(plain)
            || plain.parse::<f64>().is_ok()
            || plain.parse::<bytesize::ByteSize>().is_ok()
    }

    /// A span of code, or a line of the shell: known as a whole, or by each of its words.
    fn unknown(&self, code: &str) -> Vec<String> {
        if self.is_known(code) || Self::is_setting(code) {
            return Vec::new();
        }
        if code.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) {
            return vec![code.to_owned()];
        }
        let words = code.split_whitespace().flat_map(|word| {
            // `NAME=value`, `user:group`, `name{label="value"}`.
            match word.split_once('=') {
                Some((name, value)) if !word.starts_with("http") => vec![name, value],
                _ => vec![word],
            }
        });
        let parts = words.flat_map(|word| word.split(['{', '}', '(', ')', '[', ']']));
        let is_test = |word: &&str| code.contains("cargo test") && self.is_test(word);
        parts.filter(|word| !self.is_known(word) && !is_test(word)).map(str::to_owned).collect()
    }
}

#[test]
fn every_name_in_code_is_known() {
    let known = Known::to("README.md");
    let mut seen = 0;
    let mut wrong = Vec::new();
    let tests: Vec<_> = trust::held_by().into_iter().flat_map(|(_, names)| names).collect();
    for document in documents() {
        let spans = document.spans.iter().cloned();
        let blocks = document.blocks.iter().filter(|(language, _)| language == "sh");
        let lines = blocks.flat_map(|(_, text)| {
            let text = text.replace("\\\n", " ");
            let code = text.lines().map(|line| line.split(" #").next().unwrap().to_owned());
            code.filter(|line| !line.starts_with('#')).collect::<Vec<_>>()
        });
        for code in spans.chain(lines) {
            // Held by tests of their own: what clap understands, quoted messages, and names of tests.
            if code.starts_with("sprited ") || tests.contains(&code) {
                continue;
            }
            seen += 1;
            let unknown = known.unknown(&code);
            if !unknown.is_empty() {
                wrong.push(format!("{}: {code:?}: {unknown:?}", document.path.display()));
            }
        }
    }
    assert!(seen > 300, "{seen}");
    assert!(wrong.is_empty(), "nothing in the tree has these names:\n{}", wrong.join("\n"));
}

/// All of a document's text, with its code.
fn whole() -> Vec<(String, String)> {
    let mut all: Vec<_> = documents()
        .into_iter()
        .map(|document| {
            let text = std::fs::read_to_string(&document.path).unwrap();
            (document.path.display().to_string(), text)
        })
        .collect();
    all.push((EXAMPLE.to_owned(), crate::config::example()));
    all
}

fn variables(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
    let is_ours = |word: &&str| {
        let prefixes = ["SPRITED_", "TENCENTCLOUD_", "TKE_"];
        prefixes.iter().any(|prefix| word.starts_with(prefix) && word.len() > prefix.len())
    };
    words.filter(is_ours).map(str::to_owned).collect()
}

/// Variables that only tests read.
const OF_TESTS: [&str; 1] = ["SPRITED_SOAK_SEED"];

#[test]
fn every_variable_is_read_by_the_program() {
    let source = variables(&corpus());
    for (name, text) in whole() {
        for variable in variables(&text) {
            let is_known = source.contains(&variable) || OF_TESTS.contains(&&*variable);
            assert!(is_known, "{name}: nothing reads {variable}");
        }
    }
}

/// Ports of others.
const PORTS: [(&str, &str); 4] = [
    ("proxy.example.com", "3128"),
    ("127.0.0.1", "9772"),
    ("10.0.0.8", "8080"),
    ("media.example.com", "8080"),
];

#[test]
fn every_port_is_the_default() {
    let text = "[[sinks]]\nname = 'a'\ntype = 'stdout'\n";
    let config = Config::parse(text, Path::new("sprited.toml")).unwrap().config;
    let listen = format!("{:?}", config.http.listen);
    let (_, port) = listen.trim_end_matches(')').rsplit_once(':').unwrap();
    let mut seen = 0;
    for (name, text) in whole() {
        // Of the demo, a cloud whose port is chosen by the system.
        let blocks =
            text.split("```text").map(|part| part.split_once("```").map_or(part, |(_, rest)| rest));
        let text =
            if text.starts_with("```text") { text.clone() } else { blocks.collect::<String>() };
        for (at, _) in text.match_indices(':') {
            let host: String =
                text[..at].chars().rev().take_while(|c| is_word(*c) || *c == '.').collect();
            let host: String = host.chars().rev().collect();
            let digits: String = text[at + 1..].chars().take_while(char::is_ascii_digit).collect();
            let is_port = digits.len() >= 3
                && (host.contains('.') || host == "localhost")
                && !host.ends_with(".md")
                && !host.ends_with(".toml");
            if is_port {
                let is_other = PORTS.contains(&(host.as_str(), digits.as_str()));
                assert!(digits == port || is_other, "{name}: {host}:{digits}");
                seen += 1;
            }
        }
    }
    assert!(seen >= 6, "{seen}");
}

/// `install -m MODE … TO`: a secret is its owner's alone, what is installed by hand is where and as
/// the package puts it.
#[test]
fn files_are_installed_as_the_package_does_it() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let unit = std::fs::read_to_string(root().join("systemd/sprited.service")).unwrap();
    let mut seen = 0;
    for document in documents() {
        let blocks = document.blocks.iter().filter(|(language, _)| language == "sh");
        for line in blocks.flat_map(|(_, text)| text.lines()) {
            let line = line.split(" #").next().unwrap();
            let words: Vec<_> = line.split_whitespace().collect();
            let Some(["-m", mode]) = words.windows(2).find(|pair| pair[0] == "-m") else {
                continue;
            };
            if words.contains(&"-d") {
                continue;
            }
            let [.., from, to] = words.as_slice() else { panic!("{line}") };
            seen += 1;
            if *from == "/dev/stdin" && words.windows(2).any(|pair| pair == ["-o", "sprited"]) {
                // The service reads it by itself.
                assert_eq!(*mode, "600", "{line}");
            } else if *from == "/dev/stdin" {
                assert_eq!(*mode, "600", "{line}");
                assert!(unit.contains(&format!("LoadCredential=secret_key:{to}\n")), "{line}");
            } else if from.starts_with("/backup") {
                assert_eq!(*mode, "600", "{line}");
            } else if to.starts_with("/usr/lib/") {
                // By the tools that make packages.
                assert_eq!(*mode, "644", "{line}");
            } else {
                let to = to.trim_start_matches('/');
                let folder = format!("{}/", to.rsplit_once('/').unwrap().0);
                let asset = |to: &str| format!("[\"{from}\", \"{to}\", \"{mode}\"]");
                let is_asset = [to, &folder].iter().any(|to| manifest.contains(&asset(to)));
                assert!(is_asset, "{line}: not as in Cargo.toml");
            }
        }
    }
    assert!(seen >= 6, "{seen}");
}

/// What an operator may call as they like.
const PATHS_OF_OPERATORS: &[&str] = &[
    "/var/lib/sprited/damaged",
    "/var/lib/sprited/sprites.jsonl",
    "/var/lib/sprited/dead-letters.jsonl",
    "/var/lib/sprited/archive.jsonl",
    "/usr/local/bin/copy-sheets",
    "/etc/sprited/NAME.toml",
    "/etc/sprited/token",
    "/etc/sprited/webhook_secret",
    "/etc/sprited/webhook_secret.old",
    "/etc/sprited/webhook_token",
    "/etc/sprited/api_token",
    "/etc/sprited/callback_token",
    "/etc/sprited/callback_token.old",
    "/etc/sprited/sign_key",
    "/etc/sprited/sign_key.old",
    "/etc/sprited/hotlink_key",
    "/usr/local/bin/on-sprite",
];

/// Every path under these folders is one that the units, the package or the program has.
#[test]
fn every_path_is_installed_or_used() {
    let folders =
        ["/etc/sprited", "/var/lib/sprite", "/usr/bin/", "/usr/local/bin/", ".tencentcloud/"];
    let mut seen = 0;
    for (name, text) in whole() {
        let known = Known::to(&name);
        for folder in folders {
            for (at, _) in text.match_indices(folder) {
                let is_path = |c: &char| is_word(*c) || matches!(c, '/' | '.');
                let path: String = text[at..].chars().take_while(is_path).collect();
                let path = path.trim_end_matches(['.', '/']);
                let is_own = PATHS_OF_OPERATORS.contains(&path);
                let is_there = known.has(path) || known.is_beside_the_journal(path);
                assert!(is_own || is_there, "{name}: nothing has {path}");
                seen += 1;
            }
        }
    }
    assert!(seen > 30, "{seen}");
}

/// The commands that name a unit: `systemctl … sprited`, `journalctl -u sprited`.
#[test]
fn every_unit_is_in_the_tree() {
    let mut seen = 0;
    for (name, text) in whole() {
        for command in ["systemctl ", "journalctl -u "] {
            for (at, _) in text.match_indices(command) {
                let rest = text[at + command.len()..]
                    .split(['`', '\n', '#', ')', ';', ','])
                    .next()
                    .unwrap();
                let verbs = [
                    "enable",
                    "start",
                    "stop",
                    "restart",
                    "reload",
                    "daemon-reload",
                    "status",
                    "edit",
                ];
                let mut words = rest
                    .split_whitespace()
                    .filter(|word| !word.starts_with('-') && !verbs.contains(word))
                    .filter(|word| word.starts_with("sp") || command != "journalctl -u ");
                let Some(unit) = words.next() else { continue };
                let suffix = if unit.contains('.') { "" } else { ".service" };
                let file = root().join(format!("systemd/{unit}{suffix}"));
                assert!(file.exists(), "{name}: {command}{rest}: there is no unit {unit}");
                seen += 1;
            }
        }
    }
    assert!(seen >= 10, "{seen}");
}
