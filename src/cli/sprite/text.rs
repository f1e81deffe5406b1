//! The report on a sprite, for people.

use super::report::{ContentSummary, PlayerSummary, SheetSummary, SpriteReport};
use crate::format::{foreign, number};
use crate::sprite::Finding;
use crate::units::counted;

/// Sheets that are listed at most.
const MAX_SHEETS: usize = 20;

/// The column in which the text behind the labels begins.
const LABEL: usize = 10;

impl SpriteReport {
    /// For people: what the index says, what is wrong, who reads it.
    pub(super) fn text(&self) -> String {
        let mut lines = vec![labelled("index", &foreign(&self.source))];
        if let Some(index) = &self.index {
            let cues = index.cues.map_or_else(String::new, |cues| {
                format!("{}, ", crate::format::counted(cues as u64, "cue"))
            });
            lines.push(labelled("", &format!("{cues}{}", size(index.bytes as u64))));
        }
        if let Some(content) = &self.content {
            lines.extend(content.lines());
        }
        if let Some(error) = &self.error {
            lines.extend([String::new(), labelled("failed", &foreign(error))]);
        }
        let rewritten = self.content.iter().flat_map(|content| &content.rewritten_players);
        let failing: Vec<_> = rewritten.filter(|player| player.problem.is_some()).collect();
        lines.extend(section("findings", described(&self.findings)));
        lines.extend(section("repairs", described(&self.repairs)));
        lines.extend(section("players of the index as it is", verdicts(&self.players)));
        lines.extend(section("players that fail on the rewritten index", verdicts(failing)));
        lines.extend([String::new(), self.sum()]);
        lines.join("\n") + "\n"
    }

    /// The last line, which says how it ends.
    fn sum(&self) -> String {
        let Some(content) = &self.content else {
            return "This sprite could not be checked.".to_owned();
        };
        let all = self.players.len();
        let findings = match self.findings.len() as u64 {
            0 => "No findings".to_owned(),
            count => counted(count, "finding"),
        };
        let players = match (failing(&self.players), failing(&content.rewritten_players)) {
            (0, _) => format!("All {all} players read the index as it is"),
            (now, then) => {
                let fail = if now == 1 { "fails" } else { "fail" };
                let then = match then {
                    0 => "all read it".to_owned(),
                    then => format!("{then} still would"),
                };
                format!("{now} of {all} players {fail} on the index; rewritten, {then}")
            }
        };
        format!("{findings}. {players}.")
    }
}

fn failing(players: &[PlayerSummary]) -> usize {
    players.iter().filter(|player| player.problem.is_some()).count()
}

impl ContentSummary {
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let shown = self.sheets.len().min(MAX_SHEETS);
        for (number, sheet) in self.sheets[..shown].iter().enumerate() {
            lines.push(labelled(if number == 0 { "sheets" } else { "" }, &sheet.line()));
        }
        if self.sheets.is_empty() {
            lines.push(labelled("sheets", "none is here: the text alone was checked"));
        }
        if let more @ 1.. = self.sheets.len() - shown {
            lines.push(labelled("", &format!("and {more} more")));
        }
        lines.push(labelled("tiles", &self.tiles()));
        lines
    }

    fn tiles(&self) -> String {
        let count = number(self.count as u64);
        let size = match self.tile {
            Some(tile) => format!("of {}x{}", tile.width, tile.height),
            None => "of unlike sizes".to_owned(),
        };
        let grid = self.grid.map_or_else(String::new, |grid| {
            let columns = counted(grid.columns.into(), "column");
            let rows = counted(grid.rows.into(), "row");
            format!("; {columns} and {rows}, one every {} s", grid.interval)
        });
        format!("{count} {size} to {}{grid}", clock(self.duration))
    }
}

impl SheetSummary {
    fn line(&self) -> String {
        let Self { name, format, width, height, bytes, tiles, .. } = self;
        let tiles = crate::format::counted(*tiles as u64, "tile");
        format!("{}  {width}x{height} {format}, {}, {tiles}", foreign(name), size(*bytes))
    }
}

fn labelled(label: &str, text: &str) -> String {
    format!("{label:LABEL$}{text}")
}

/// A part with a heading; nothing where there are no rows.
fn section(heading: &str, rows: Vec<String>) -> Vec<String> {
    if rows.is_empty() {
        return rows;
    }
    [String::new(), heading.to_owned()].into_iter().chain(rows).collect()
}

fn described(findings: &[Finding]) -> Vec<String> {
    let rows = findings.iter().map(|finding| (finding.code.as_str(), finding.text.as_str()));
    columns(&rows.collect::<Vec<_>>())
}

fn verdicts<'a>(players: impl IntoIterator<Item = &'a PlayerSummary>) -> Vec<String> {
    let players = players.into_iter();
    let rows = players.map(|it| (it.player, it.problem.as_deref().unwrap_or("reads it")));
    columns(&rows.collect::<Vec<_>>())
}

fn columns(rows: &[(&str, &str)]) -> Vec<String> {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    rows.iter().map(|(name, text)| format!("  {name:width$}  {text}")).collect()
}

fn size(bytes: u64) -> String {
    bytesize::ByteSize(bytes).to_string()
}

/// Seconds as `1:02:03`.
fn clock(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
