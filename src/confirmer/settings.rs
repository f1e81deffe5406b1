//! The `[confirm]` table.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};

/// The `[confirm]` table of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConfirmSettings {
    /// What has to be true before a handle is confirmed.
    pub after: ConfirmAfter,
    /// Events that may be pending past their lease before the oldest are confirmed early; or
    /// `"never"`.
    pub max_unconfirmed: MaxUnconfirmed,
    /// How long a handle stays good, counted from the sending of its pull.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "crate::units::Duration")]
    pub lease: Duration,
}

/// What the confirmer is paced by; can change while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfirmPacing {
    /// The `[confirm]` table.
    pub settings: ConfirmSettings,
    /// Calls of ConfirmEvents a second at most.
    pub max_requests_per_second: u32,
    /// Calls in flight at most, of each application.
    pub max_concurrency: u32,
}

/// What has to be true before a handle is confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConfirmAfter {
    /// No sink has an event of it pending.
    Delivery,
    /// Its events are on disk.
    Journal,
}

impl Default for ConfirmSettings {
    fn default() -> Self {
        Self {
            after: ConfirmAfter::Delivery,
            max_unconfirmed: MaxUnconfirmed::At(2000),
            lease: Duration::from_secs(30),
        }
    }
}

impl ConfirmSettings {
    /// Returns the mistakes in the values, each naming its key; empty if there is none.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if self.lease <= Duration::from_secs(2) || self.lease > Duration::from_secs(3600) {
            mistakes.push(format!(
                "lease: {} leaves no time to confirm in, or is no lease of the cloud's; \
                 expected more than 2s and at most 1h",
                humantime::format_duration(self.lease)
            ));
        }
        mistakes
    }

    /// Returns what a machine that is lost with its disk loses, in a sentence.
    pub fn lost_with_the_machine(&self) -> String {
        match (self.after, self.max_unconfirmed) {
            (ConfirmAfter::Journal, _) => {
                "after = \"journal\": a machine lost with its disk loses what its \
                                    sinks have not taken"
                    .to_owned()
            }
            (ConfirmAfter::Delivery, MaxUnconfirmed::At(most)) => format!(
                "a machine lost with its disk loses what is pending above max_unconfirmed = {most}; \
                 \"never\" leaves it in the cloud"
            ),
            (ConfirmAfter::Delivery, MaxUnconfirmed::Never) => {
                "a machine lost with its disk loses its dead letters and unrouted events, and \
                 nothing that a sink has to take"
                    .to_owned()
            }
        }
    }

    /// Returns how long a handle is used: the lease less a margin for the way to the cloud.
    pub fn good_for(&self) -> Duration {
        self.lease - (self.lease / 10).min(Duration::from_secs(2))
    }
}

const EXPECTED: &str = "expected a number from 0 on, or \"never\"";

/// The key `confirm.max_unconfirmed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub enum MaxUnconfirmed {
    /// Of more pending events than this the oldest are confirmed early.
    At(usize),
    /// None is confirmed early, however many there are: the cloud keeps a copy of each until every
    /// sink that wants it has it, or until it forgets the event.
    Never,
}

impl MaxUnconfirmed {
    /// Returns the number, if it is one.
    pub fn limit(self) -> Option<usize> {
        match self {
            Self::At(limit) => Some(limit),
            Self::Never => None,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a number from 0 on, or \"never\"")]
enum Written {
    Number(i64),
    Text(String),
}

impl TryFrom<Written> for MaxUnconfirmed {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Text(text) if text == "never" => Ok(Self::Never),
            Written::Text(text) => Err(format!("{EXPECTED}; found {text:?}")),
            Written::Number(number) => usize::try_from(number)
                .map(Self::At)
                .map_err(|_| format!("{EXPECTED}; found {number}")),
        }
    }
}

impl Serialize for MaxUnconfirmed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::At(limit) => limit.serialize(serializer),
            Self::Never => "never".serialize(serializer),
        }
    }
}

impl JsonSchema for MaxUnconfirmed {
    fn schema_name() -> Cow<'static, str> {
        "MaxUnconfirmed".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [{ "type": "integer", "minimum": 0 }, { "const": "never" }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_used_for_less_than_its_lease() {
        for (lease, good_for) in [(30_000, 28_000), (3_000, 2_700), (3_600_000, 3_598_000)] {
            let lease = Duration::from_millis(lease);
            let settings = ConfirmSettings { lease, ..ConfirmSettings::default() };
            assert_eq!(settings.good_for(), Duration::from_millis(good_for));
        }
    }
}
