//! The signature of KEY hot-link protection, by which the cloud's domains hand out files.
//!
//! Of a path only the folder is signed, so that one signature fits the index and every sheet beside
//! it. The cloud documents no mark of the file types that it asks for one; all that is fetched is
//! signed.

use std::time::Duration;

use chrono::{DateTime, Utc};
use md5::{Digest, Md5};
use reqwest::Url;

use crate::secret::Secret;

/// How long a signature is good: beyond any delivery, and the clocks' differences.
const VALIDITY: Duration = Duration::from_secs(24 * 60 * 60);

/// What stands in the query, each empty where it is left out.
#[derive(Clone, Copy, Debug, Default)]
struct Parameters<'a> {
    /// When it expires: seconds since 1970, in hex.
    t: &'a str,
    /// Seconds of the preview.
    exper: &'a str,
    /// From how many addresses it may be used.
    rlimit: &'a str,
    /// Any text that makes the URL another one.
    us: &'a str,
}

/// The signature of what is in a folder; that begins and ends with a slash.
fn sign(key: &Secret, folder: &str, parameters: Parameters<'_>) -> String {
    let Parameters { t, exper, rlimit, us } = parameters;
    let mut hash = Md5::new();
    for part in [key.expose(), folder, t, exper, rlimit, us] {
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the URL with its signature, good for a day from `now` on. `us` makes it a URL that no
/// cache has seen. One that is signed already is left as it is.
pub(super) fn signed(url: &Url, key: &Secret, now: DateTime<Utc>, us: &str) -> Url {
    if url.query_pairs().any(|(name, _)| name == "sign") {
        return url.clone();
    }
    let folder = url.path().rfind('/').map_or("/", |end| &url.path()[..=end]);
    let t = format!("{:x}", (now + VALIDITY).timestamp());
    let sign = sign(key, folder, Parameters { t: &t, us, ..Parameters::default() });
    // The order is documented: t, exper, rlimit, us, sign.
    let added = format!("t={t}&us={us}&sign={sign}");
    let query = match url.query() {
        Some(query) if !query.is_empty() => format!("{query}&{added}"),
        _ => added,
    };
    let mut signed = url.clone();
    signed.set_query(Some(&query));
    signed
}

/// What is wrong with the text of a key, as far as that is known: 8 to 20 letters and digits. Does
/// not show it.
pub(super) fn advice(key: &Secret) -> Option<&'static str> {
    let text = key.expose();
    let is_key = (8..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
    (!is_key).then_some(
        "it does not look like a KEY of the cloud, which has 8 to 20 letters and digits; with \
         another one every file is refused with 403",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "24FEQmTzro4V5u3D5epW";

    #[test]
    fn the_documented_vectors_are_met() {
        let plain = Parameters { t: "5a71afc0", us: "72d4cd1101", ..Parameters::default() };
        for (parameters, signature) in [
            (plain, "3d8488faeb37d52d6bf63b63c1b171c3"),
            (Parameters { rlimit: "3", ..plain }, "c5214f0d5961b13acd558b4957c4dfc5"),
            (Parameters { exper: "300", ..plain }, "547d98c4b91e81b5ea55c95cef63223f"),
        ] {
            assert_eq!(sign(&KEY.into(), "/dir1/dir2/", parameters), signature);
        }
    }

    #[test]
    fn a_url_is_signed_once_and_keeps_its_own_query() {
        let now = DateTime::from_timestamp(1_517_400_000 - 24 * 60 * 60, 0).unwrap();
        let sign = |url: &str| {
            let url = Url::parse(url).unwrap();
            signed(&url, &KEY.into(), now, "72d4cd1101").to_string()
        };
        let query = "t=5a71afc0&us=72d4cd1101&sign=3d8488faeb37d52d6bf63b63c1b171c3";
        for file in ["10.vtt", "a%20b.jpg", ""] {
            let url = format!("http://example.com/dir1/dir2/{file}");
            assert_eq!(sign(&url), format!("{url}?{query}"));
        }
        let with_query = "http://example.com/dir1/dir2/a.jpg?x=1";
        assert_eq!(sign(with_query), format!("{with_query}&{query}"));
        assert_eq!(
            sign("http://example.com/dir1/dir2/a.jpg?"),
            format!("http://example.com/dir1/dir2/a.jpg?{query}")
        );
        assert!(sign("http://example.com").contains("/?t=5a71afc0&us="));
        let done = "http://example.com/dir1/dir2/a.jpg?t=7fffffff&sign=0123";
        assert_eq!(sign(done), done);
    }

    #[test]
    fn a_text_that_is_no_key_is_told_and_not_shown() {
        assert_eq!(advice(&KEY.into()), None);
        for text in ["short", "hunter2 hunter2", "hunter2hunter2\n", "hunter2hunter2hunter2"] {
            assert!(advice(&text.into()).is_some_and(|advice| !advice.contains("hunter2")));
        }
    }
}
