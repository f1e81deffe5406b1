//! The `[vod]` table of the configuration.

use std::net::IpAddr;

use bytesize::ByteSize;
use reqwest::Url;
use schemars::JsonSchema;
use serde::Deserialize;

/// Where and for which application to call.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The URL of the API, without a path. Plain `http` only to loopback.
    pub endpoint: String,
    /// The application; none for the primary one of an account opened before 2023-12-25.
    pub sub_app_id: Option<u64>,
    /// The largest answer that is read, after decompression; 64 KiB at least.
    #[schemars(with = "crate::shape::Size")]
    pub max_answer_size: ByteSize,
}

const LEAST_ANSWER_SIZE: ByteSize = ByteSize::kib(64);

impl Default for Settings {
    fn default() -> Self {
        Self {
            endpoint: "https://vod.tencentcloudapi.com".to_owned(),
            sub_app_id: None,
            max_answer_size: ByteSize::mib(16),
        }
    }
}

impl Settings {
    /// Every fault of the values, each naming its key; empty if there is none.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut problems = Vec::new();
        problems.extend(self.endpoint().err());
        if self.sub_app_id == Some(0) {
            problems.push(
                "sub_app_id: 0 is no application; leave the key out for the primary one".to_owned(),
            );
        }
        if self.max_answer_size < LEAST_ANSWER_SIZE {
            problems.push(format!(
                "max_answer_size: {} is too small for one answer; at least {LEAST_ANSWER_SIZE}",
                self.max_answer_size
            ));
        }
        problems
    }

    pub(super) fn max_answer(&self) -> usize {
        usize::try_from(self.max_answer_size.as_u64()).unwrap_or(usize::MAX)
    }

    /// The endpoint and the Host header that belongs to it.
    pub(super) fn endpoint(&self) -> Result<(Url, String), String> {
        // The value is not repeated: a URL may hold a password.
        let wrong = |problem: &str| {
            format!("endpoint: {problem}, such as \"https://vod.tencentcloudapi.com\"")
        };
        let url = Url::parse(&self.endpoint).map_err(|_| wrong("expected a URL"))?;
        let host = url.host_str().filter(|host| !host.is_empty());
        let Some(host) = host else { return Err(wrong("expected a URL with a host")) };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("expected a URL without user and password"));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("expected a URL that ends after the host"));
        }
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(host) => {}
            "http" => return Err(wrong("plain http is for loopback only; expected https")),
            _ => return Err(wrong("expected an https URL")),
        }
        let host = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        Ok((url, host))
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(endpoint: &str) -> Result<String, String> {
        Settings { endpoint: endpoint.to_owned(), ..Settings::default() }.endpoint().map(|e| e.1)
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
            let problem = endpoint(wrong).unwrap_err();
            assert!(problem.starts_with("endpoint: "), "{problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }

    #[test]
    fn all_faults_are_found_at_once() {
        let settings: Settings = toml::from_str(
            "endpoint = \"http://example.com\"\nsub_app_id = 0\nmax_answer_size = \"1KiB\"",
        )
        .unwrap();
        assert_eq!(settings.check().len(), 3, "{:?}", settings.check());
        assert!(Settings::default().check().is_empty());
        assert!(toml::from_str::<Settings>("sub_app = 1").is_err());
    }
}
