//! `sprited man`: the manual pages, made from the same text as `--help` and as the example
//! configuration.

mod surroundings;

use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::exit::{Exit, answer};

const SOURCE: &str = concat!("sprited ", env!("CARGO_PKG_VERSION"));
const CONFIGURATION: &str = include_str!("../../../config.example.toml");

/// Write the manual pages to a folder, or print the first of them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sprited man | man -l -
  sprited man /usr/local/share/man")]
pub(super) struct ManArgs {
    /// The folder: man1 in it gets a page for each command, man5 one for the configuration.
    folder: Option<PathBuf>,
}

pub(super) fn run(args: &ManArgs, command: Command) -> Exit {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let done = match &args.folder {
        None => page(&command, None).map(|page| answer(&page, Exit::Success)),
        Some(folder) => write_all(&command, folder).map(|()| Exit::Success).map_err(|error| {
            let text = format!("cannot write the manual pages to {}: {error}", folder.display());
            io::Error::new(error.kind(), text)
        }),
    };
    done.unwrap_or_else(|error| Exit::Failure.because(error))
}

/// Writes `man1/sprited.1`, `man1/sprited-events-list.1` and their kin, and `man5/sprited.toml.5`.
fn write_all(command: &Command, folder: &Path) -> io::Result<()> {
    let [commands, files] = ["man1", "man5"].map(|section| folder.join(section));
    fs::create_dir_all(&commands)?;
    fs::create_dir_all(&files)?;
    write_each(command, None, &commands)?;
    fs::write(files.join("sprited.toml.5"), configuration()?)
}

fn write_each(command: &Command, parent: Option<&Command>, folder: &Path) -> io::Result<()> {
    fs::write(folder.join(Man::new(command.clone()).get_filename()), page(command, parent)?)?;
    command.get_subcommands().try_for_each(|child| write_each(child, Some(command), folder))
}

/// `parent` is the command that it belongs to.
fn page(command: &Command, parent: Option<&Command>) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    // Which would fill the examples as if they were prose.
    let none = None::<&'static str>;
    let bare = command.clone().after_help(none).after_long_help(none);
    let bare = bare.version(none).long_version(none);
    Man::new(bare).source(SOURCE).render(&mut page)?;
    let more = command.get_after_long_help().or(command.get_after_help());
    let more = more.map(ToString::to_string).unwrap_or_default();
    let mut roff = Roff::new();
    let (notes, examples) = parted(&more);
    for (heading, text) in [("NOTES", notes), ("EXAMPLES", examples)] {
        if !text.is_empty() {
            roff.control("SH", [heading]);
            write_text(&text, &mut roff);
        }
    }
    surroundings::write(command, parent, &mut roff);
    roff.to_writer(&mut page)?;
    Ok(page)
}

/// Splits the text below the options into notes and examples.
fn parted(text: &str) -> (String, String) {
    let (mut notes, mut examples) = (Vec::new(), Vec::new());
    let mut is_example = false;
    for line in text.lines() {
        if ["Example:", "Examples:"].contains(&line) {
            is_example = true;
            continue;
        }
        is_example = is_example && (line.is_empty() || line.starts_with(' '));
        if is_example { examples.push(line) } else { notes.push(line) }
    }
    let [notes, examples] = [notes, examples].map(|lines| lines.join("\n").trim_end().to_owned());
    (notes, examples)
}

fn configuration() -> io::Result<Vec<u8>> {
    let mut roff = Roff::new();
    roff.control("TH", ["sprited.toml", "5", "", SOURCE, ""]);
    roff.control("SH", ["NAME"]);
    roff.text([roman("sprited.toml - the configuration of sprited")]);
    roff.control("SH", ["DESCRIPTION"]);
    let lines: Vec<_> = CONFIGURATION.lines().map(prose_or_setting).collect();
    write_text(&lines.join("\n"), &mut roff);
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman("sprited(1), sprited-check(1), sprited-config-schema(1)")]);
    let mut page = Vec::new();
    roff.to_writer(&mut page)?;
    Ok(page)
}

/// A comment as prose, a setting set off, also one that is commented out.
fn prose_or_setting(line: &str) -> String {
    let Some(comment) = line.strip_prefix('#') else {
        return if line.is_empty() { String::new() } else { format!("    {line}") };
    };
    let comment = comment.strip_prefix(' ').unwrap_or(comment);
    let (first, _) = comment.split_once(" = ").unwrap_or((comment, ""));
    let is_key = first.trim_end().chars().all(|c| c.is_ascii_lowercase() || c == '_');
    if comment.starts_with('[') || (is_key && comment.contains(" = ")) {
        format!("    # {comment}")
    } else {
        comment.to_owned()
    }
}

/// Lines that begin with a blank stand as they are, others flow.
fn write_text(text: &str, roff: &mut Roff) {
    let mut is_set_off = false;
    for line in text.lines() {
        if is_set_off != line.starts_with(' ') {
            is_set_off = !is_set_off;
            roff.control(if is_set_off { "nf" } else { "fi" }, []);
        }
        if line.is_empty() {
            roff.control("PP", []);
        } else {
            roff.text([roman(line)]);
        }
    }
    if is_set_off {
        roff.control("fi", []);
    }
}
