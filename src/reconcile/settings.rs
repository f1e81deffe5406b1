//! The `[reconcile]` table.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// How far back a window may begin. The cloud lists the tasks of the last 72 hours; a long window
/// takes some time.
pub const MAX_REACH: Duration = Duration::from_secs(70 * 3600);

const MIN_INTERVAL: Duration = Duration::from_secs(1);
const MAX_INTERVAL: Duration = Duration::from_secs(24 * 3600);
const MAX_SETTLE: Duration = Duration::from_secs(3600);
/// Of the cloud, for each of the two actions.
const MAX_RATE: u32 = 100;

/// The `[reconcile]` table of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReconcileSettings {
    /// Time between the starts of two runs, or `"off"`.
    #[schemars(extend("default" = "off"))]
    pub every: ReconcileEvery,
    /// How far back the first run of a journal looks; at most 70h.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "crate::units::Duration")]
    pub lookback: Duration,
    /// How long ago a task must have finished to be looked at.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "crate::units::Duration")]
    pub settle: Duration,
    /// Requests a second at most, of all applications together; 1 to 100.
    #[schemars(range(min = 1, max = MAX_RATE))]
    pub max_requests_per_second: u32,
}

/// The key `reconcile.every`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum ReconcileEvery {
    /// Nothing is reconciled.
    Off,
    /// The time between the starts of two runs.
    Interval(Duration),
}

impl ReconcileEvery {
    /// Returns the interval, unless it is off.
    #[must_use]
    pub fn interval(self) -> Option<Duration> {
        match self {
            Self::Off => None,
            Self::Interval(interval) => Some(interval),
        }
    }
}

impl TryFrom<String> for ReconcileEvery {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        if written == "off" {
            return Ok(Self::Off);
        }
        humantime::parse_duration(&written).map(Self::Interval).map_err(|_| {
            format!(
                "expected \"off\" or a duration with a unit, such as \"15m\"; found {written:?}"
            )
        })
    }
}

impl JsonSchema for ReconcileEvery {
    fn schema_name() -> Cow<'static, str> {
        "ReconcileEvery".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let duration = generator.subschema_for::<crate::units::Duration>();
        json_schema!({ "anyOf": [{ "const": "off" }, duration] })
    }
}

impl Default for ReconcileSettings {
    fn default() -> Self {
        Self {
            every: ReconcileEvery::Off,
            lookback: Duration::from_secs(6 * 3600),
            settle: Duration::from_secs(600),
            max_requests_per_second: 10,
        }
    }
}

impl ReconcileSettings {
    /// Returns the mistakes in the values, each naming its key; empty if there is none.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let mut within = |key: &str, value: Duration, least: Duration, most: Duration| {
            if !(least..=most).contains(&value) {
                let [value, least, most] = [value, least, most].map(humantime::format_duration);
                mistakes.push(format!("{key}: {value} is not between {least} and {most}"));
            }
        };
        if let Some(interval) = self.every.interval() {
            within("every", interval, MIN_INTERVAL, MAX_INTERVAL);
        }
        within("lookback", self.lookback, Duration::ZERO, MAX_REACH);
        within("settle", self.settle, Duration::ZERO, MAX_SETTLE);
        if !(1..=MAX_RATE).contains(&self.max_requests_per_second) {
            mistakes.push(format!(
                "max_requests_per_second: {} is not between 1 and {MAX_RATE}",
                self.max_requests_per_second
            ));
        }
        mistakes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_bounds_is_named() {
        assert_eq!(ReconcileSettings::default().check(), Vec::<String>::new());
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let settings = ReconcileSettings {
            every: ReconcileEvery::Interval(hours(25)),
            lookback: hours(71),
            settle: hours(2),
            max_requests_per_second: 0,
        };
        assert_eq!(
            settings.check(),
            [
                "every: 1day 1h is not between 1s and 1day",
                "lookback: 2days 23h is not between 0s and 2days 22h",
                "settle: 2h is not between 0s and 1h",
                "max_requests_per_second: 0 is not between 1 and 100",
            ]
        );
    }

    #[test]
    fn it_is_off_or_an_interval() {
        let read = |text: &str| ReconcileEvery::try_from(text.to_owned());
        assert_eq!(read("off"), Ok(ReconcileEvery::Off));
        assert_eq!(read("15m"), Ok(ReconcileEvery::Interval(Duration::from_secs(900))));
        assert!(read("never").unwrap_err().contains("\"never\""));
    }
}
