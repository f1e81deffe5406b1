//! Which applications are called for: one, or several.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use crate::event::AppId;

/// The SubAppIds of applications, in the order in which they are named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applications(Vec<AppId>);

impl Applications {
    /// Returns all of them.
    #[must_use]
    pub fn ids(&self) -> &[AppId] {
        &self.0
    }

    /// Returns the mistakes, in words for the operator.
    pub(super) fn check(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let (mut seen, mut repeated) = (BTreeSet::new(), BTreeSet::new());
        for app in &self.0 {
            if !seen.insert(*app) && repeated.insert(*app) {
                mistakes.push(format!("{app} is listed twice"));
            }
        }
        if seen.is_empty() {
            mistakes.push(
                "an empty list names no application; leave the key out for the primary one"
                    .to_owned(),
            );
        }
        if seen.contains(&AppId(0)) {
            mistakes.push("0 is no application; leave the key out for the primary one".to_owned());
        }
        mistakes
    }
}

impl From<u64> for Applications {
    fn from(id: u64) -> Self {
        Self(vec![AppId(id)])
    }
}

impl<'de> Deserialize<'de> for Applications {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

/// A number, or a list of them.
struct Written;

impl<'de> Visitor<'de> for Written {
    type Value = Applications;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the number of an application, or a list of such numbers")
    }

    fn visit_u64<E: Error>(self, id: u64) -> Result<Applications, E> {
        Ok(Applications::from(id))
    }

    fn visit_i64<E: Error>(self, id: i64) -> Result<Applications, E> {
        u64::try_from(id)
            .map(Applications::from)
            .map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(id), &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Applications, A::Error> {
        let mut ids = Vec::new();
        while let Some(id) = list.next_element()? {
            ids.push(AppId(id));
        }
        Ok(Applications(ids))
    }
}

impl JsonSchema for Applications {
    fn schema_name() -> Cow<'static, str> {
        "Applications".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["integer", "array"],
            "minimum": 1,
            "items": { "type": "integer", "minimum": 1 },
            "minItems": 1,
            "uniqueItems": true,
            "examples": [1_500_012_345_u64, [1_500_012_345_u64, 1_500_012_346_u64]],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Table {
        apps: Applications,
    }

    fn read(written: &str) -> Result<Vec<u64>, String> {
        let table: Table =
            toml::from_str(&format!("apps = {written}")).map_err(|e| e.message().to_owned())?;
        let mistakes = table.apps.check();
        if mistakes.is_empty() {
            Ok(table.apps.ids().iter().map(|app| app.0).collect())
        } else {
            Err(mistakes.join("; "))
        }
    }

    #[test]
    fn a_number_and_a_list_are_understood() {
        assert_eq!(read("1500012345"), Ok(vec![1_500_012_345]));
        assert_eq!(read("[1500012346, 1500012345]"), Ok(vec![1_500_012_346, 1_500_012_345]));
    }

    #[test]
    fn what_names_no_application_is_refused() {
        for (written, expected) in [
            ("0", "0 is no application; leave the key out for the primary one"),
            ("[]", "an empty list names no application; leave the key out for the primary one"),
            ("[7, 8, 7, 7]", "7 is listed twice"),
            (
                "[0, 0]",
                "0 is listed twice; 0 is no application; leave the key out for the \
                 primary one",
            ),
            (
                "'15'",
                "invalid type: string \"15\", expected the number of an application, or a list \
                 of such numbers",
            ),
            (
                "-1",
                "invalid value: integer `-1`, expected the number of an application, or a list \
                 of such numbers",
            ),
        ] {
            assert_eq!(read(written).unwrap_err(), expected, "{written}");
        }
        assert!(read("[-1]").is_err() && read("['1']").is_err());
    }
}
