//! The `[vod]` table of the configuration.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use bytesize::ByteSize;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use super::http::{Endpoint, VOD_ENDPOINT};
use crate::event::AppId;

/// Where and for which applications to call.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VodSettings {
    /// The URL of the API, without a path. Plain `http` only to loopback.
    pub endpoint: String,
    /// The application, or a list of them; none for the primary one of an account opened before
    /// 2023-12-25.
    #[schemars(extend("x-unset" = "the primary application"))]
    pub sub_app_id: Option<Applications>,
    /// Whether events are pulled from the queue. With `false` they only arrive posted, by
    /// `[receive]`.
    pub pull: bool,
    /// The largest answer that is read, after decompression; 64 KiB at least. A larger one, up to
    /// four times this, is read alone when its events come again.
    #[schemars(with = "crate::units::Size", range(min = MIN_ANSWER_SIZE.as_u64()))]
    pub max_answer_size: ByteSize,
}

const MIN_ANSWER_SIZE: ByteSize = ByteSize::kib(64);

/// How many times `max_answer_size` an answer may have that is read alone.
const ALONE_FACTOR: usize = 4;

impl Default for VodSettings {
    fn default() -> Self {
        Self {
            endpoint: VOD_ENDPOINT.to_owned(),
            sub_app_id: None,
            pull: true,
            max_answer_size: ByteSize::mib(16),
        }
    }
}

impl VodSettings {
    /// Returns the mistakes in the values, each naming its key; empty if there is none.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        mistakes.extend(self.endpoint().err());
        let apps = self.sub_app_id.iter().flat_map(Applications::check);
        mistakes.extend(apps.map(|mistake| format!("sub_app_id: {mistake}")));
        if self.max_answer_size < MIN_ANSWER_SIZE {
            mistakes.push(format!(
                "max_answer_size: {} is too small for one answer; at least {MIN_ANSWER_SIZE}",
                self.max_answer_size
            ));
        }
        mistakes
    }

    /// Returns the applications to call for, one at least.
    pub fn apps(&self) -> Vec<AppId> {
        self.sub_app_id.as_ref().map_or_else(|| vec![AppId(0)], |apps| apps.ids().to_vec())
    }

    pub(super) fn max_answer(&self) -> usize {
        usize::try_from(self.max_answer_size.as_u64()).unwrap_or(usize::MAX)
    }

    pub(super) fn max_answer_alone(&self) -> usize {
        self.max_answer().saturating_mul(ALONE_FACTOR)
    }

    pub(super) fn endpoint(&self) -> Result<Endpoint, String> {
        Endpoint::parse(&self.endpoint, VOD_ENDPOINT)
            .map_err(|mistake| format!("endpoint: {mistake}"))
    }
}

/// The SubAppIds of applications, in the order in which they are named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applications(Vec<AppId>);

impl Applications {
    /// Returns all of them.
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

    fn endpoint(endpoint: &str) -> Result<String, String> {
        VodSettings { endpoint: endpoint.to_owned(), ..VodSettings::default() }
            .endpoint()
            .map(|e| e.host)
    }

    #[test]
    fn the_host_is_what_http_sends() {
        assert_eq!(
            endpoint("https://VOD.tencentcloudapi.com/").unwrap(),
            "vod.tencentcloudapi.com"
        );
        assert_eq!(endpoint("https://vod.example:443").unwrap(), "vod.example");
        assert_eq!(endpoint("https://vod.example:8443").unwrap(), "vod.example:8443");
        assert_eq!(endpoint("http://127.0.0.1:9771").unwrap(), "127.0.0.1:9771");
        assert_eq!(endpoint("http://localhost").unwrap(), "localhost");
        assert_eq!(endpoint("http://[::1]:80").unwrap(), "[::1]");
    }

    #[test]
    fn what_cannot_be_signed_or_trusted_is_refused() {
        for wrong in [
            "",
            "vod.tencentcloudapi.com",
            "http://vod.tencentcloudapi.com",
            "http://127.0.0.1.example.com",
            "http://localhost.example.com",
            "http://10.0.0.1",
            "ftp://localhost",
            "https://user:hunter2@vod.example",
            "https://vod.example/path",
            "https://vod.example/?query",
            "https://vod.example/#fragment",
        ] {
            let mistake = endpoint(wrong).unwrap_err();
            assert!(mistake.starts_with("endpoint: "), "{mistake}");
            assert!(!mistake.contains("hunter2"), "{mistake}");
        }
    }

    #[test]
    fn all_mistakes_are_found_at_once() {
        let settings: VodSettings = toml::from_str(
            "endpoint = \"http://example.com\"\nsub_app_id = 0\nmax_answer_size = \"1KiB\"",
        )
        .unwrap();
        assert_eq!(settings.check().len(), 3, "{:?}", settings.check());
        assert!(VodSettings::default().check().is_empty());
        assert!(toml::from_str::<VodSettings>("sub_app = 1").is_err());
    }

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
