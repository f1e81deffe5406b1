//! `sprited man`: the manual pages, made from the same text as `--help`.

use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::CommandFactory;
use clap_mangen::Man;

use super::{Cli, Exit, answer, complain};

/// Write the manual pages to a folder, or the first of them to stdout.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sprited man | man -l -
  sprited man /usr/local/share/man/man1")]
pub struct Args {
    /// The folder; a page for each command is written to it.
    folder: Option<PathBuf>,
}

/// Does it.
#[must_use]
pub fn run(args: &Args) -> Exit {
    let done = match &args.folder {
        None => page(Cli::command()).map(|page| answer(&page, Exit::Success)),
        Some(folder) => write_all(folder).map(|()| Exit::Success).map_err(|error| {
            let text = format!("cannot write the manual pages to {}: {error}", folder.display());
            io::Error::new(error.kind(), text)
        }),
    };
    done.unwrap_or_else(|error| {
        complain(error);
        Exit::Failure
    })
}

/// Writes `sprited.1`, `sprited-events-list.1` and their kin.
fn write_all(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), folder)
}

fn page(command: clap::Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    Ok(page)
}
