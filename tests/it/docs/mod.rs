//! The documentation is true: its links lead somewhere, its commands and configurations are
//! understood, the messages it quotes are the program's, and so are its names, tables and numbers.

mod architecture;
mod code;
mod configuration;
mod figures;
mod names;
mod passages;
mod quantities;
pub(crate) mod tables;
mod trust;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use sprited::cli::Cli;

use crate::cli::{ended, sprited};
use crate::schema;

/// A document, taken apart.
struct Document {
    path: PathBuf,
    links: Vec<String>,
    /// Anchors of its headings, as the usual forges make them.
    anchors: BTreeSet<String>,
    /// Code blocks with their language.
    blocks: Vec<(String, String)>,
    spans: Vec<String>,
    /// Code in the first column of tables.
    first_cells: Vec<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a document in one line, of its blocks of code only the comments of the shell's; of a
/// configuration the comments.
fn prose(name: &str) -> String {
    let text = fs::read_to_string(root().join(name)).unwrap();
    let is_comment = name.ends_with(".toml");
    let (mut is_block, mut is_shell) = (false, false);
    let mut kept = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            (is_block, is_shell) = (!is_block, line.trim_start() == "```sh");
            continue;
        }
        if is_shell && let Some((_, comment)) = line.split_once(" # ") {
            kept.extend([comment.trim(), " "]);
        }
        match line.strip_prefix('#').filter(|_| is_comment) {
            Some(comment) => kept.extend([comment.trim(), " "]),
            None if is_block || is_comment => {}
            None => kept.extend([line.trim(), " "]),
        }
    }
    kept.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn documents() -> Vec<Document> {
    let folders = [root().to_owned(), root().join("docs")];
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.sort();
    assert!(paths.len() >= 5, "{paths:?}");
    paths.into_iter().map(taken_apart).collect()
}

fn taken_apart(path: PathBuf) -> Document {
    let text = fs::read_to_string(&path).unwrap();
    let mut document = Document {
        path,
        links: Vec::new(),
        anchors: BTreeSet::new(),
        blocks: Vec::new(),
        spans: Vec::new(),
        first_cells: Vec::new(),
    };
    let (mut heading, mut block, mut cell) = (None, None, None);
    for event in Parser::new_ext(&text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Link { dest_url, .. }) => document.links.push(dest_url.to_string()),
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                document.anchors.insert(anchor(&heading.take().unwrap_or_default()));
            }
            Event::Start(Tag::CodeBlock(kind)) => {
                let language = match kind {
                    CodeBlockKind::Fenced(language) => language.to_string(),
                    CodeBlockKind::Indented => String::new(),
                };
                block = Some((language, String::new()));
            }
            Event::End(TagEnd::CodeBlock) => document.blocks.extend(block.take()),
            Event::Start(Tag::TableHead | Tag::TableRow) => cell = Some(0),
            Event::End(TagEnd::TableCell) => cell = cell.map(|cell| cell + 1),
            Event::End(TagEnd::TableRow) => cell = None,
            Event::Text(text) => {
                if let Some((_, block)) = &mut block {
                    block.push_str(&text);
                }
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            Event::Code(code) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&code);
                }
                if cell == Some(0) {
                    document.first_cells.push(code.to_string());
                }
                document.spans.push(code.to_string());
            }
            _ => {}
        }
    }
    document
}

fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}

#[test]
fn every_link_within_the_tree_leads_somewhere() {
    let documents = documents();
    let mut seen = 0;
    for document in &documents {
        for link in &document.links {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let folder = document.path.parent().unwrap();
            let target = if file.is_empty() { document.path.clone() } else { folder.join(file) };
            let target = target.canonicalize().unwrap_or_else(|error| {
                panic!("{} links to {link}: {error}", document.path.display())
            });
            if !anchor.is_empty() {
                let other = documents.iter().find(|other| other.path == target);
                let other = other.unwrap_or_else(|| panic!("{link} is no document"));
                let anchors = &other.anchors;
                assert!(anchors.contains(anchor), "{link} is none of {anchors:?}");
            }
            seen += 1;
        }
    }
    assert!(seen >= 8, "{seen}");
}

#[test]
fn the_readme_is_short_and_leads_to_every_document() {
    let path = root().join("README.md");
    assert!(fs::metadata(&path).unwrap().len() <= 8192);
    let readme = taken_apart(path);
    for document in documents() {
        let name = document.path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        assert!(name == "README.md" || readme.links.contains(&name), "README.md has no {name}");
    }
}

/// The arguments of `sprited` in a line for the shell; none if it does not start it.
fn arguments(line: &str) -> Option<Vec<&str>> {
    let line = line.split(" #").next()?.split(" | ").next()?.trim_start_matches("$ ");
    let (_, rest) = [
        line.split_once("/usr/bin/sprited ").filter(|_| line.starts_with("sudo systemd-run ")),
        line.split_once("sudo -u sprited sprited ").filter(|(before, _)| before.is_empty()),
        line.split_once("sprited ").filter(|(before, _)| before.is_empty()),
    ]
    .into_iter()
    .flatten()
    .next()?;
    Some(rest.split_whitespace().collect())
}

#[test]
fn every_command_in_it_is_understood() {
    let mut seen = 0;
    for document in documents() {
        let blocks = document
            .blocks
            .iter()
            .filter(|(language, _)| matches!(language.as_str(), "sh" | "console"));
        let joined: Vec<_> = blocks.map(|(_, text)| text.replace("\\\n", " ")).collect();
        let lines = joined.iter().flat_map(|text| text.lines());
        for line in lines.chain(document.spans.iter().map(String::as_str)) {
            let Some(words) = arguments(line).filter(|_| !line.contains('…')) else {
                continue;
            };
            let whole = ["sprited"].into_iter().chain(words.iter().copied());
            let result = Cli::command().try_get_matches_from(whole);
            // Help is an answer; a command alone, as `sprited events`, asks for it.
            let help = clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
            let wrong = result.err().filter(|error| error.use_stderr() && error.kind() != help);
            assert!(wrong.is_none(), "{}: {line:?}: {}", document.path.display(), wrong.unwrap());
            seen += 1;
        }
    }
    assert!(seen >= 20, "{seen}");
}

#[test]
fn every_configuration_in_it_can_be_used() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("secret_key"), "for-tests").unwrap();
    for secret in ["callback_token", "sign_key"] {
        fs::write(folder.path().join(secret), "ForTests".repeat(4)).unwrap();
    }
    let validator = schema::validator();
    let path = folder.path().join("sprited.toml");
    let mut seen = 0;
    for document in documents() {
        for (_, text) in document.blocks.iter().filter(|(language, _)| language == "toml") {
            let whole = if text.contains("[[sinks]]") {
                text.clone()
            } else {
                format!("{text}\n[[sinks]]\nname = 'a'\ntype = 'stdout'\n")
            };
            let whole = whole.replace("/etc/sprited/", &format!("{}/", folder.path().display()));
            fs::write(&path, &whole).unwrap();
            let refused = schema::faults(&validator, &whole);
            let file = document.path.display();
            assert!(refused.is_empty(), "{file}:\n{text}\nby its schema: {refused:?}");
            let checked = ended(
                sprited()
                    .env("CREDENTIALS_DIRECTORY", folder.path())
                    .args(["check", "--offline", "--config"])
                    .arg(&path),
            );
            let out = checked.out;
            assert_eq!(checked.code, 0, "{file}:\n{text}\n{out}{}", checked.err);
            seen += 1;
        }
    }
    assert!(seen >= 2, "{seen}");
}

#[test]
fn the_messages_it_explains_are_the_programs() {
    let source = code::corpus();
    let path = root().join("docs/troubleshooting.md");
    let quoted = taken_apart(path).first_cells;
    assert!(quoted.len() >= 15, "{quoted:?}");
    for message in quoted {
        let literal = match message.strip_prefix("advice=") {
            Some(advice) => format!("=> \"{advice}\""),
            None => message,
        };
        let is_command = literal.starts_with("sprited ");
        let is_said = is_command || source.contains(&literal);
        assert!(is_said, "{literal:?} is said nowhere");
    }
}
