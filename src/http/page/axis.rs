//! The scale of a chart: a unit in which its figures are read with ease, and a round number at the
//! top.

use crate::format::number;

/// A unit: how much of the value it is, and how it is written behind a figure.
pub(super) type Unit = (f64, &'static str);

/// Units of what is counted in a second, the largest first.
pub(super) const RATES: &[Unit] = &[(1.0, "/s"), (1.0 / 60.0, "/min"), (1.0 / 3_600.0, "/h")];
/// Units of seconds, the largest first.
pub(super) const TIMES: &[Unit] =
    &[(86_400.0, " d"), (3_600.0, " h"), (60.0, " min"), (1.0, " s"), (0.001, " ms")];

pub(super) struct Axis {
    unit: Unit,
    /// In the unit.
    top: f64,
}

impl Axis {
    /// An axis for values up to `most`.
    pub(super) fn up_to(most: f64, units: &[Unit]) -> Self {
        let most = if most > 0.0 { most } else { 1.0 };
        let fits = units.iter().find(|(size, _)| most >= *size);
        let unit = fits.or(units.last()).copied().unwrap_or((1.0, ""));
        Self { unit, top: round_up(most / unit.0) }
    }

    /// The value at the top.
    pub(super) fn top(&self) -> f64 {
        self.top * self.unit.0
    }

    /// What is written beside the axis, from the top to the bottom.
    pub(super) fn ticks(&self) -> [String; 3] {
        let tick = |figure: f64| format!("{}{}", shown(figure), self.unit.1);
        [tick(self.top), tick(self.top / 2.0), "0".to_owned()]
    }
}

/// The next of 1, 2 or 5 with any number of zeros.
fn round_up(figure: f64) -> f64 {
    let power = 10_f64.powf(figure.log10().floor());
    let digits = [1.0, 2.0, 5.0].into_iter().find(|digit| digit * power >= figure);
    digits.unwrap_or(10.0) * power
}

fn shown(figure: f64) -> String {
    if figure >= 1_000.0 {
        return number(figure.round() as u64);
    }
    let text = format!("{figure:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_round_number_of_a_unit_that_fits() {
        let ticks = |most, units| Axis::up_to(most, units).ticks().join(" ");
        assert_eq!(ticks(0.0, RATES), "1/s 0.5/s 0");
        assert_eq!(ticks(167.0, RATES), "200/s 100/s 0");
        assert_eq!(ticks(4_100.0, RATES), "5,000/s 2,500/s 0");
        assert_eq!(ticks(0.05, RATES), "5/min 2.5/min 0");
        assert_eq!(ticks(0.000_1, RATES), "0.5/h 0.25/h 0");
        assert_eq!(ticks(0.004, TIMES), "5 ms 2.5 ms 0");
        assert_eq!(ticks(130.0, TIMES), "5 min 2.5 min 0");
        assert_eq!(ticks(7_000.0, TIMES), "2 h 1 h 0");
        assert!((Axis::up_to(130.0, TIMES).top() - 300.0).abs() < 1e-9);
    }
}
