//! A URL that may be fetched, and how it stands in an error: without query, user and password.

use std::fmt;

use reqwest::Url;

use super::error::FetchError;
use super::rule::shown;

/// A URL that may be fetched.
#[derive(Clone)]
pub(super) struct Source {
    url: Url,
    /// What it is, in words: `index`, `sheet`.
    what: &'static str,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Source {
    pub(super) fn new(url: Url, what: &'static str) -> Self {
        Self { url, what }
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// The host, with its port where that is not the scheme's own.
    pub(super) fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port().map_or(host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// The host does not answer, or not to the end; that may pass.
    pub(super) fn unreachable(&self, problem: impl fmt::Display) -> FetchError {
        let error = format!("{self}: {problem}");
        FetchError::Again { error, host: Some(self.host()), has_answered: false, after: None }
    }

    /// The host has answered with something that is of no use; that may pass.
    pub(super) fn unusable(&self, problem: impl fmt::Display) -> FetchError {
        let error = format!("{self}: {problem}");
        FetchError::Again { error, host: Some(self.host()), has_answered: true, after: None }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, what } = self;
        write!(
            f,
            "the {what} {}",
            shown(&format!("{}://{}{}", url.scheme(), self.host(), url.path()))
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_shows_a_query() {
        for (url, text) in [
            ("http://h/a/b.vtt?t=1&sign=hunter2#hunter2", "the index http://h/a/b.vtt"),
            ("https://me:hunter2@h:8443/a.vtt?hunter2", "the index https://h:8443/a.vtt"),
            ("http://h:80/", "the index http://h/"),
        ] {
            let source = Source::new(Url::parse(url).unwrap(), "index");
            assert_eq!(source.to_string(), text);
            let said = format!("{source:?} {:?}", source.unusable("gone"));
            assert!(!said.contains("hunter2"), "{said}");
        }
        let long = format!("http://h/{}", "a".repeat(5000));
        assert!(Source::new(Url::parse(&long).unwrap(), "sheet").to_string().len() < 200);
    }
}
