//! The table.

use comfy_table::{CellAlignment, Table, presets};

use crate::run::{Run, quantile};

/// What is asked of a scenario, and what came of it.
pub(crate) struct Bar {
    pub(crate) asked: String,
    pub(crate) got: String,
    /// `None`: there was nothing to compare with.
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

    /// One that needs a run that was left out.
    pub(crate) fn unknown(what: &str) -> Self {
        Self { asked: what.to_owned(), got: "not run".to_owned(), met: None }
    }
}

fn number(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

pub(crate) fn print_runs(runs: &[Run]) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "client",
        "events",
        "events/s",
        "CPU s/1000",
        "peak MiB",
        "pulls/event",
        "confirms/event",
        "refused",
        "again",
        "to sink p50/p99 ms",
        "to confirm p50/p99 ms",
    ]);
    for run in runs {
        let per_event = |count: u64| format!("{:.4}", count as f64 / run.events as f64);
        table.add_row([
            run.who.to_owned(),
            run.events.to_string(),
            format!("{:.0}", run.rate()),
            format!("{:.4}", run.cpu_per_1000()),
            format!("{:.1}", run.peak_rss as f64 / (1 << 20) as f64),
            per_event(run.pulls),
            per_event(run.confirms),
            run.refused.to_string(),
            run.repeated.to_string(),
            quantiles(&run.to_sink),
            quantiles(&run.to_confirm),
        ]);
    }
    for column in 1..=10 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    if !runs.is_empty() {
        println!("{table}");
    }
}

fn quantiles(sorted: &[f64]) -> String {
    match (quantile(sorted, 0.5), quantile(sorted, 0.99)) {
        (Some(half), Some(most)) => format!("{half:.1} / {most:.1}"),
        _ => "-".to_owned(),
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
