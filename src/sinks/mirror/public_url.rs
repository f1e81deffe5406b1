//! The URL by which players get what the sink writes.

use reqwest::Url;
use serde::{Deserialize, Deserializer, de};

/// The URL of the folder that the sink writes to, without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    url: Url,
    base: String,
}

impl PublicUrl {
    /// The URL of a file by its path in the folder, which is of plain names.
    #[must_use]
    pub fn of(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    /// What players make of such a URL.
    pub(super) fn warnings(&self) -> impl Iterator<Item = String> {
        let unencrypted = (self.url.scheme() == "http").then(|| {
            "public_url: plain http: a page that came by https shows no thumbnails from it"
                .to_owned()
        });
        let port = self.url.port().map(|port| {
            format!("public_url: TCPlayer leaves the port {port} out and asks the usual one")
        });
        unencrypted.into_iter().chain(port)
    }

    fn read(text: &str) -> Result<Self, String> {
        let mut url = Url::parse(text).map_err(|error| format!("invalid url: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("the url must begin with https:// or http://".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("the url is told to players, so that no user may stand in it".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(
                "the url must have no ? and no #: players find the sheets beside the index by its path"
                    .to_owned(),
            );
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        let base = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { url, base })
    }
}

impl<'de> Deserialize<'de> for PublicUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_stand_below_it_however_it_ends() {
        for (text, file) in [
            ("https://img.example.com", "https://img.example.com/a/b"),
            ("https://img.example.com/", "https://img.example.com/a/b"),
            ("https://img.example.com/s/t//", "https://img.example.com/s/t/a/b"),
            ("http://img.example.com:8080/s", "http://img.example.com:8080/s/a/b"),
        ] {
            assert_eq!(PublicUrl::read(text).unwrap().of("a/b"), file);
        }
    }

    #[test]
    fn what_players_would_stumble_over_is_refused_or_told() {
        for text in [
            "img.example.com",
            "ftp://img.example.com/",
            "https://me:hunter2@img.example.com/",
            "https://img.example.com/?v=1",
            "https://img.example.com/#a",
        ] {
            let said = PublicUrl::read(text).unwrap_err();
            assert!(!said.contains("hunter2"), "{said}");
        }
        let warnings = |text| PublicUrl::read(text).unwrap().warnings().collect::<Vec<_>>();
        assert!(warnings("https://img.example.com/s").is_empty());
        assert!(warnings("https://img.example.com:443/s").is_empty());
        let both = warnings("http://img.example.com:8080/s");
        assert!(both[0].contains("plain http") && both[1].contains("8080"), "{both:?}");
    }
}
