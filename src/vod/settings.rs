//! The `[vod]` table of the configuration.

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::Deserialize;

use super::applications::Applications;
use super::endpoint::{Endpoint, VOD_ENDPOINT};
use crate::event::AppId;

/// Where and for which applications to call.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VodSettings {
    /// The URL of the API, without a path. Plain `http` only to loopback.
    pub endpoint: String,
    /// The application, or a list of them; none for the primary one of an account opened before
    /// 2023-12-25.
    pub sub_app_id: Option<Applications>,
    /// The largest answer that is read, after decompression; 64 KiB at least. A larger one, up to
    /// four times this, is read alone when its events come again.
    #[schemars(with = "crate::units::Size")]
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
    #[must_use]
    pub fn apps(&self) -> Vec<AppId> {
        self.sub_app_id.as_ref().map_or_else(|| vec![AppId(0)], |apps| apps.ids().to_vec())
    }

    pub(super) fn max_answer(&self) -> usize {
        usize::try_from(self.max_answer_size.as_u64()).unwrap_or(usize::MAX)
    }

    pub(super) fn max_answer_alone(&self) -> usize {
        self.max_answer().saturating_mul(ALONE_FACTOR)
    }

    /// Returns where to call.
    pub(super) fn endpoint(&self) -> Result<Endpoint, String> {
        Endpoint::parse(&self.endpoint, VOD_ENDPOINT)
            .map_err(|mistake| format!("endpoint: {mistake}"))
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
}
