//! `sprited sprite check`: the eyes of a mirror, on the command line.

use std::path::{Path, PathBuf};

use clap::ValueHint;
use reqwest::Url;
use tempfile::TempDir;

use super::found::FoundSprite;
use super::remote::FetchOptions;
use super::report::SpriteReport;
use super::{beside, keep, remote};
use crate::cli::exit::{Exit, answer, complain, json_line};
use crate::cli::open_journal::CliError;

/// Check a sprite: what its index says, what is wrong with it, which players fail on it.
///
/// Fetches the WebVTT index and the sheets that it names as a mirror would, or reads them from a
/// folder. Needs neither configuration nor daemon.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Of a URL, the index and its sheets are fetched, and then the index once more, to see whether it
stays the same. No redirect is followed. Without --host only public addresses are asked, at ports
80 and 443.

Of a FILE, the sheets are sought beside it, by the last part of their names. Where none of them is
there, and of standard input, the text alone is checked.

Findings are what may look wrong to a viewer: a tile outside its sheet, a gap between two tiles, a
sheet that some phones do not draw. Repairs are spellings that some players do not read; --rewrite
spells the index so that all do.

--keep saves original.vtt as it came, the sheets as 0.jpg, 1.jpg and so on, and thumbnails.vtt, the
index rewritten for these. It overwrites nothing.

With --json, the answer has source, ok, error, index (bytes, cues), count, duration (in seconds),
tile (width, height), grid (columns, rows, interval in seconds), sheets (name, url, format, width,
height, bytes, sha256, tiles), findings and repairs (code, text), players and, of the rewritten
index at the same place, rewritten_players (player, problem).

Where a sheet is missing or is no image, the text alone is judged: repairs, and players of the index
as it is.

Exit code: 0 if nothing is wrong, or nothing that --rewrite does not repair; 1 if something is, or
if the sprite could not be checked; 64 if the command line cannot be understood.

Examples:
  sprited sprite check https://1500000000.vod2.myqcloud.com/a/imageSprite_10.vtt
  sprited sprite check --host media.internal:8080 http://media.internal:8080/a/10.vtt
  sprited sprite check --hotlink-key-file vod_key --keep kept https://vod.example.com/a/10.vtt
  sprited sprite check --rewrite imageSprite_10.vtt >thumbnails.vtt"
)]
pub(super) struct SpriteCheckArgs {
    /// URL of the index, which begins with http:// or https://; or a file; or - for standard input.
    #[arg(value_name = "URL|FILE", value_hint = ValueHint::FilePath)]
    source: String,
    #[command(flatten)]
    fetching: FetchOptions,
    /// Save what was found, and the rewritten index, to this folder.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    keep: Option<PathBuf>,
    /// Print the rewritten index and nothing else; what is wrong goes to standard error.
    #[arg(long, conflicts_with = "json")]
    rewrite: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &SpriteCheckArgs) -> Result<Exit, CliError> {
    let failed = |error: String| CliError::because(Exit::Failure, error);
    if let Some(folder) = &args.keep {
        keep::is_free(folder).map_err(failed)?;
    }
    let spool = TempDir::new()?;
    let found = find(args, spool.path())?;
    let report = SpriteReport::of(&found);
    if let Some(folder) = &args.keep {
        keep::save(folder, &found).map_err(failed)?;
    }
    let exit = report.exit();
    if args.rewrite {
        report.complaints().iter().for_each(complain);
        let Ok(content) = &found.content else { return Ok(exit) };
        let text =
            if args.keep.is_some() { content.rewritten_as_kept() } else { content.rewritten() };
        return Ok(answer(text.as_bytes(), exit));
    }
    let text = if args.json { json_line(&report)? } else { report.text() };
    Ok(answer(text.as_bytes(), exit))
}

fn find(args: &SpriteCheckArgs, spool: &Path) -> Result<FoundSprite, CliError> {
    let source = args.source.as_str();
    if source == "-" {
        return Ok(beside::of_stdin());
    }
    let Some((scheme, _)) = source.split_once("://") else {
        return Ok(beside::of_file(Path::new(source)));
    };
    // The text itself stays out of the messages: a URL may hold a password.
    let usage = |message: String| CliError::because(Exit::Usage, message);
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err(usage("the URL must begin with https:// or http://".to_owned()));
    }
    let url =
        Url::parse(source).map_err(|error| usage(format!("the URL cannot be read: {error}")))?;
    remote::find(&url, &args.fetching, spool)
}
