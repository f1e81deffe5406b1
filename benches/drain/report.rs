//! The table.

use comfy_table::{CellAlignment, Table, presets};

use crate::run::{Run, quantile};

/// What is asked of a scenario, and what came of it.
pub(crate) struct Bar {
    pub(crate) asked: String,
    pub(crate) got: String,
    /// `None`: it needs a client that was not run.
    pub(crate) met: Option<bool>,
}

impl Bar {
    /// What must be no more than `most`.
    pub(crate) fn at_most(what: &str, got: f64, most: f64, unit: &str) -> Self {
        Self::new(what, "≤", got, most, unit, got <= most)
    }

    /// What must be no less than `least`.
    pub(crate) fn at_least(what: &str, got: f64, least: f64, unit: &str) -> Self {
        Self::new(what, "≥", got, least, unit, got >= least)
    }

    fn new(what: &str, sign: &str, got: f64, bound: f64, unit: &str, met: bool) -> Self {
        let (asked, got) = (number(bound), number(got));
        Self { asked: format!("{what} {sign} {asked}{unit}"), got: got + unit, met: Some(met) }
    }

    /// One that needs a client that was left out.
    pub(crate) fn unknown(what: &str) -> Self {
        Self { asked: what.to_owned(), got: "not run".to_owned(), met: None }
    }
}

fn number(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

/// What stands where a run has no value.
const NOTHING: &str = "-";

/// Writes a value of a run.
type Write = fn(&Run) -> String;

/// Prints a row for each run, with those columns for which any has a value.
pub(crate) fn print_runs(runs: &[Run]) {
    let mut columns: Vec<(&str, Write)> = vec![
        ("client", |run| run.who.to_owned()),
        ("events", |run| run.events.to_string()),
        ("events/s", |run| format!("{:.0}", run.rate())),
        ("CPU s/1000", |run| format!("{:.4}", run.cpu_per_1000())),
        ("peak MiB", |run| format!("{:.1}", run.peak_rss as f64 / (1 << 20) as f64)),
        ("pulls/event", |run| per_event(run, run.pulls)),
        ("confirms/event", |run| per_event(run, run.confirms)),
        ("refused", |run| run.refused.to_string()),
        ("again", |run| run.repeated.to_string()),
        ("to sink p50/p99 ms", |run| quantiles(&run.to_sink)),
        ("to confirm p50/p99 ms", |run| quantiles(&run.to_confirm)),
        ("in hand p50/p99 ms", |run| quantiles(&run.in_hand)),
    ];
    columns.retain(|(_, write)| runs.iter().any(|run| write(run) != NOTHING));
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(columns.iter().map(|(name, _)| *name));
    for run in runs {
        table.add_row(columns.iter().map(|(_, write)| write(run)));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    if !runs.is_empty() {
        println!("{table}");
    }
}

fn per_event(run: &Run, count: u64) -> String {
    format!("{:.4}", count as f64 / run.events as f64)
}

fn quantiles(sorted: &[f64]) -> String {
    match (quantile(sorted, 0.5), quantile(sorted, 0.99)) {
        (Some(half), Some(most)) => format!("{half:.1} / {most:.1}"),
        _ => NOTHING.to_owned(),
    }
}

/// Tells whether all were met. One that was not measured is not, unless clients were left out.
pub(crate) fn print_bars(bars: &[Bar], clients_left_out: bool) -> bool {
    for bar in bars {
        let verdict = match bar.met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "-",
        };
        println!("  {verdict:6}  {}: {}", bar.asked, bar.got);
    }
    bars.iter().all(|bar| bar.met.unwrap_or(clients_left_out))
}
