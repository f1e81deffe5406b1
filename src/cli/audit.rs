//! `sprited audit`: verifies the journal's counters against its rows.

use std::fmt::Write;

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::exit::{Exit, answer, json_line};
use super::open_journal::{self, CliError, ConfigArg};
use crate::journal::{AuditReport, audit};
use crate::sanitize::one_line;

/// Verify the journal's counters against its rows.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It compares the counters with the rows, and the rows with each other. A running daemon is not
affected. Duplicates are counted without rows, so they cannot be recounted.
Exit code: 0 if all counters match, 1 if not (with the first 20 rows at fault), 74 if the journal
cannot be read.

With --json, the answer has ok; sums, of each what, sink, counted, recounted, ok; and violations, of
each what, count, first.

Example:
  sprited audit --json"
)]
pub(super) struct AuditArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &AuditArgs) -> Exit {
    open_journal::end(verify(args))
}

#[derive(Serialize)]
struct Answer<'a> {
    ok: bool,
    #[serde(flatten)]
    findings: &'a AuditReport,
}

fn verify(args: &AuditArgs) -> Result<Exit, CliError> {
    let path = args.config.to_read_as_owner()?.journal;
    let findings = audit(&path)??;
    let ok = findings.ok();
    let text =
        if args.json { json_line(&Answer { ok, findings: &findings })? } else { text(&findings) };
    Ok(answer(text.as_bytes(), if ok { Exit::Success } else { Exit::Failure }))
}

fn text(findings: &AuditReport) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["SUM", "SINK", "COUNTED", "RECOUNTED", "OK"]);
    for sum in &findings.sums {
        table.add_row([
            sum.what.to_owned(),
            sum.sink.as_deref().map_or_else(|| "-".to_owned(), one_line),
            sum.counted.to_string(),
            sum.recounted.to_string(),
            if sum.ok { "yes" } else { "NO" }.to_owned(),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = format!("{}\n", table.trim_fmt());
    for violation in &findings.violations {
        write!(text, "\n{}: {}", violation.what, violation.count).expect("a string takes all");
        for which in &violation.first {
            write!(text, "\n  {which}").expect("a string takes all");
        }
        text.push('\n');
    }
    text.push_str(if findings.ok() {
        "\nAll counters match their rows.\n"
    } else {
        "\nCOUNTERS DO NOT MATCH: keep a copy (`sprited journal backup`) and report it.\n"
    });
    text
}
