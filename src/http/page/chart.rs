//! Charts of the last hour as inline SVG.

use std::fmt::Write;

use maud::{Markup, html};

use super::axis::{Axis, Unit};

const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 120.0;

pub(super) struct Series {
    /// Its name in the legend and its class.
    pub(super) name: &'static str,
    pub(super) class: &'static str,
    /// From an hour ago until now.
    pub(super) values: Vec<Option<f64>>,
}

/// A chart with its title; `words` formats a value.
pub(super) fn chart(
    title: &str,
    series: &[Series],
    units: &[Unit],
    words: fn(f64) -> String,
) -> Markup {
    let values = series.iter().flat_map(|series| series.values.iter().flatten());
    let most = values.copied().fold(0.0, f64::max);
    let axis = Axis::up_to(most, units);
    let last = |series: &Series| series.values.iter().rev().flatten().next().copied();
    html! {
        figure class="chart" {
            figcaption {
                b { (title) }
                @for series in series {
                    span class={ "key " (series.class) } {
                        (series.name) " " b { (last(series).map_or("–".to_owned(), words)) }
                    }
                }
            }
            div class="plot" {
                div class="ticks" { @for tick in axis.ticks() { span { (tick) } } }
                svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none"
                    role="img" aria-label={ (title) " over the last hour, max " (words(most)) } {
                    @for part in 1..4 {
                        @let x = WIDTH * f64::from(part) / 4.0;
                        line class="grid" x1=(x) y1="0" x2=(x) y2=(HEIGHT) {}
                    }
                    @for y in [0.0, HEIGHT / 2.0] {
                        line class="grid" x1="0" y1=(y) x2=(WIDTH) y2=(y) {}
                    }
                    line class="base" x1="0" y1=(HEIGHT) x2=(WIDTH) y2=(HEIGHT) {}
                    // No area lies above a line, and each line is thinner than those below it.
                    @for series in series {
                        path class={ "area " (series.class) } d=(path(&series.values, axis.top(), true)) {}
                    }
                    @for series in series {
                        path class={ "line " (series.class) } d=(path(&series.values, axis.top(), false)) {}
                    }
                }
                div class="axis" { span { "1 h ago" } span { "30 min" } span { "now" } }
            }
        }
    }
}

/// A line, or the area below it; interrupted where there is no value.
fn path(values: &[Option<f64>], top: f64, is_area: bool) -> String {
    let step = WIDTH / (values.len().max(2) - 1) as f64;
    let mut path = String::new();
    let mut at = 0;
    for run in values.split(Option::is_none) {
        let last = at + run.len();
        for (place, value) in (at..last).zip(run.iter().flatten()) {
            let (x, y) = (step * place as f64, HEIGHT * (1.0 - value / top));
            let verb = if place > at { "L" } else { "M" };
            if is_area && place == at {
                write!(path, "M{x:.1} {HEIGHT}L{x:.1} {y:.1}").expect("a string takes all");
            } else {
                write!(path, "{verb}{x:.1} {y:.1}").expect("a string takes all");
            }
            if run.len() == 1 {
                // A point alone would not be seen.
                write!(path, "h{:.1}", step / 2.0).expect("a string takes all");
            }
        }
        if is_area && !run.is_empty() {
            write!(path, "V{HEIGHT}Z").expect("a string takes all");
        }
        at = last + 1;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_broken_where_there_is_no_value() {
        let values = [None, Some(0.0), Some(1.0), None, Some(2.0)];
        assert_eq!(path(&values, 2.0, false), "M150.0 120.0L300.0 60.0M600.0 0.0h75.0");
        assert_eq!(
            path(&values, 2.0, true),
            "M150.0 120L150.0 120.0L300.0 60.0V120ZM600.0 120L600.0 0.0h75.0V120Z"
        );
        assert_eq!(path(&[], 1.0, false), "");
    }
}
