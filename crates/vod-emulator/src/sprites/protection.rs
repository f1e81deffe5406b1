//! Who may open the files of sprites: KEY hot-link protection and the list of Referers.
//!
//! Shares no code with any client: they check each other.

use std::fmt::Write as _;

use md5::{Digest, Md5};
use secrecy::{ExposeSecret, SecretString};

/// The parameters of a signed URL, in the order that they must have. The later four come in any.
const FIXED_ORDER: [&str; 4] = ["t", "exper", "rlimit", "us"];
const LIMITS: [&str; 4] = ["whref", "bkref", "whreg", "bkreg"];
const SIGN: &str = "sign";

/// The most addresses a signed URL may be opened from, as `rlimit` says.
const MAX_ADDRESSES: u32 = 9;

/// Who may open the files of sprites; by default everybody.
#[derive(Clone, Debug, Default)]
pub struct SpriteProtection {
    /// The KEY with which URLs must be signed: 8 to 20 letters and digits.
    pub key: Option<SecretString>,
    /// What a Referer must begin with, without its scheme; a `*` in front stands for any
    /// subdomains. Without any, all are taken.
    pub referers: Vec<String>,
    /// Whether a request without a Referer is taken, where there is a list.
    pub allow_empty_referer: bool,
}

/// What a request for a file has that may be checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileRequest<'a> {
    /// As it was sent. How the service signs a percent-encoded one is not known.
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) referer: Option<&'a str>,
    /// The time in Unix seconds.
    pub(crate) now: i64,
}

/// Why a file may not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Forbidden {
    #[error("the Referer is not on the list")]
    Referer,
    #[error("the URL has no sign")]
    Unsigned,
    #[error("the parameters of the signed URL are not in their order")]
    Order,
    #[error("t must be the time of expiry in hexadecimal digits, in lower case")]
    Time,
    #[error("rlimit must be from 1 to 9")]
    Limit,
    #[error("the sign is wrong")]
    Sign,
    #[error("the signed URL has expired")]
    Expired,
}

impl SpriteProtection {
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let key = self.key.as_ref().map(ExposeSecret::expose_secret);
        if key.is_some_and(|key| {
            !(8..=20).contains(&key.len()) || !key.bytes().all(|byte| byte.is_ascii_alphanumeric())
        }) {
            return Err("a KEY of hot-link protection has 8 to 20 letters and digits");
        }
        if self.referers.iter().any(String::is_empty) {
            return Err("an entry of the list of Referers must not be empty");
        }
        Ok(())
    }

    pub(crate) fn admit(&self, request: FileRequest<'_>) -> Result<(), Forbidden> {
        self.admit_referer(request.referer)?;
        match &self.key {
            Some(key) => admit_sign(key.expose_secret(), request),
            None => Ok(()),
        }
    }

    fn admit_referer(&self, referer: Option<&str>) -> Result<(), Forbidden> {
        let admitted = match referer.filter(|referer| !referer.is_empty()) {
            _ if self.referers.is_empty() => true,
            None => self.allow_empty_referer,
            Some(referer) => self.referers.iter().any(|entry| begins(referer, entry)),
        };
        if admitted { Ok(()) } else { Err(Forbidden::Referer) }
    }
}

/// Whether a Referer begins as an entry of the list says.
fn begins(referer: &str, entry: &str) -> bool {
    let bare = |url: &str| url.split_once("://").map_or(url, |(_, rest)| rest).to_owned();
    let (referer, entry) = (bare(referer), bare(entry));
    let Some(pattern) = entry.strip_prefix('*') else { return referer.starts_with(&entry) };
    let split = |url: &str| -> (String, String) {
        let at = url.find('/').unwrap_or(url.len());
        (url[..at].to_owned(), url[at..].to_owned())
    };
    let ((host, path), (domain, prefix)) = (split(&referer), split(pattern));
    host.ends_with(&domain) && path.starts_with(&prefix)
}

fn admit_sign(key: &str, request: FileRequest<'_>) -> Result<(), Forbidden> {
    let mut signed = Vec::new();
    for part in request.query.split('&') {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        if FIXED_ORDER.contains(&name) || LIMITS.contains(&name) || name == SIGN {
            signed.push((name, value));
        }
    }
    let value = |name: &str| {
        let found = signed.iter().find(|(found, _)| *found == name);
        found.map_or("", |(_, value)| value)
    };
    let sign = value(SIGN);
    if sign.is_empty() {
        return Err(Forbidden::Unsigned);
    }
    let rank = |name: &str| match FIXED_ORDER.iter().position(|fixed| *fixed == name) {
        Some(rank) => rank,
        None if name == SIGN => FIXED_ORDER.len() + 1,
        None => FIXED_ORDER.len(),
    };
    if !signed.is_sorted_by_key(|(name, _)| rank(name)) {
        return Err(Forbidden::Order);
    }
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let expiry = Some(value("t")).filter(|t| t.bytes().all(is_hex));
    let expiry = expiry.and_then(|t| i64::from_str_radix(t, 16).ok()).ok_or(Forbidden::Time)?;
    let limit = value("rlimit");
    // From how many addresses it was opened is not counted: here there is one.
    if !limit.is_empty() && !limit.parse().is_ok_and(|limit| (1..=MAX_ADDRESSES).contains(&limit)) {
        return Err(Forbidden::Limit);
    }
    let folder = request.path.rfind('/').map_or("/", |at| &request.path[..=at]);
    let mut text = format!("{key}{folder}");
    for name in FIXED_ORDER.iter().chain(&LIMITS) {
        text.push_str(value(name));
    }
    if hex_md5(&text) != sign {
        return Err(Forbidden::Sign);
    }
    // The service's documents speak of a tolerance of some minutes; to rely on it would be a mistake.
    if expiry < request.now { Err(Forbidden::Expired) } else { Ok(()) }
}

fn hex_md5(text: &str) -> String {
    Md5::digest(text).iter().fold(String::with_capacity(32), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a String cannot fail");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPIRY: i64 = 1_517_400_000;

    fn signed(query: &str, now: i64) -> Result<(), Forbidden> {
        let key = Some("24FEQmTzro4V5u3D5epW".into());
        let protection = SpriteProtection { key, ..SpriteProtection::default() };
        protection.check().unwrap();
        let path = "/dir1/dir2/myVideo.mp4";
        protection.admit(FileRequest { path, query, referer: None, now })
    }

    #[test]
    fn the_documented_signatures_are_taken_and_no_others() {
        let plain = "t=5a71afc0&us=72d4cd1101&sign=3d8488faeb37d52d6bf63b63c1b171c3";
        let limited = "t=5a71afc0&rlimit=3&us=72d4cd1101&sign=c5214f0d5961b13acd558b4957c4dfc5";
        let preview = "t=5a71afc0&exper=300&us=72d4cd1101&sign=547d98c4b91e81b5ea55c95cef63223f";
        for query in [plain, limited, preview, &format!("v=1&{plain}")] {
            assert_eq!(signed(query, EXPIRY), Ok(()), "{query}");
            assert_eq!(signed(query, EXPIRY + 1), Err(Forbidden::Expired), "{query}");
        }
        for (query, refused) in [
            (String::new(), Forbidden::Unsigned),
            (plain.replace("sign=", "sigh="), Forbidden::Unsigned),
            (plain.replace("5a71afc0", "5a71afc1"), Forbidden::Sign),
            (plain.replace("5a71afc0", "5A71AFC0"), Forbidden::Time),
            (plain.replace("t=5a71afc0&", ""), Forbidden::Time),
            (plain.replace("c3", "c4"), Forbidden::Sign),
            (plain.replace("us=72d4cd1101&", ""), Forbidden::Sign),
            (limited.replace("rlimit=3", "rlimit=10"), Forbidden::Limit),
            (format!("us=72d4cd1101&{}", plain.replace("us=72d4cd1101&", "")), Forbidden::Order),
            (format!("{plain}&whref=h"), Forbidden::Order),
        ] {
            assert_eq!(signed(&query, EXPIRY), Err(refused), "{query}");
        }
    }

    #[test]
    fn a_referer_must_begin_as_the_list_says() {
        let protection = |referers: &[&str], allow_empty_referer| SpriteProtection {
            referers: referers.iter().map(|entry| (*entry).to_owned()).collect(),
            allow_empty_referer,
            ..SpriteProtection::default()
        };
        let admits = |protection: &SpriteProtection, referer| {
            let request = FileRequest { path: "/x", query: "", referer, now: 0 };
            protection.admit(request).is_ok()
        };
        let listed = protection(&["www.example.com/a", "*.example.org"], false);
        for (referer, admitted) in [
            ("https://www.example.com/a/b", true),
            ("http://www.example.com/a", true),
            ("https://www.example.com/", false),
            ("https://a.b.example.org/x", true),
            ("https://example.org/", false),
            ("https://other/?www.example.com/a", false),
            ("", false),
        ] {
            assert_eq!(admits(&listed, Some(referer)), admitted, "{referer}");
        }
        assert!(!admits(&listed, None));
        assert!(admits(&protection(&["www.example.com"], true), None));
        assert!(admits(&protection(&[], false), None));
    }

    #[test]
    fn a_key_has_eight_to_twenty_letters_and_digits() {
        for (key, good) in [("Abcdef12", true), ("short", false), ("with-a-dash", false)] {
            let protection =
                SpriteProtection { key: Some(key.into()), ..SpriteProtection::default() };
            assert_eq!(protection.check().is_ok(), good, "{key}");
        }
    }
}
