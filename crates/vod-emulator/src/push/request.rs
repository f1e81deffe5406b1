//! What is sent for an event.
//!
//! Owns the formats of the body, and the signature.

use std::fmt::Write as _;

use chrono::{DateTime, TimeDelta, Utc};
use md5::{Digest, Md5};
use secrecy::ExposeSecret;

use super::settings::{PushFormat, PushSettings, SignPlace};
use crate::content::{Content, HandleForm};

/// How long a signature is good, in minutes.
const SIGN_MINUTES: i64 = 10;

/// A request as it is sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PushRequest {
    pub(super) url: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl PushSettings {
    /// Returns the request that posts `content` to `url` at `now`. Each try has a signature of its
    /// own. `base` is the address that sprite URLs begin with.
    pub(super) fn request(
        &self,
        url: &str,
        content: &Content,
        base: &str,
        now: DateTime<Utc>,
    ) -> PushRequest {
        let mut body = Vec::new();
        match self.format {
            PushFormat::V3 => content.write(HandleForm::Nothing, base, &mut body),
            PushFormat::V2 => content.write_legacy(base, &mut body),
        }
        // Whether the service names a type is not documented.
        let headers = vec![("Content-Type", "application/json".to_owned())];
        let mut request = PushRequest { url: url.to_owned(), headers, body };
        if let Some(key) = &self.sign_key {
            let expires = (now + TimeDelta::minutes(SIGN_MINUTES)).timestamp();
            request.sign(self.sign_in, &sign(key.expose_secret(), expires), expires);
        }
        request
    }
}

impl PushRequest {
    fn sign(&mut self, place: SignPlace, sign: &str, expires: i64) {
        match place {
            SignPlace::Header => {
                self.headers.push(("Sign", sign.to_owned()));
                self.headers.push(("T", expires.to_string()));
            }
            SignPlace::Query => {
                let separator = if self.url.contains('?') { '&' } else { '?' };
                write!(self.url, "{separator}Sign={sign}&T={expires}")
                    .expect("writing to a String cannot fail");
            }
            SignPlace::Body => {
                // What is no object has no place for it.
                if let Some(members) = self.body.trim_ascii().strip_suffix(b"}")
                    && members.starts_with(b"{")
                {
                    let comma = if members.len() > 1 { "," } else { "" };
                    let sign = format!("{comma}\"Sign\":\"{sign}\",\"T\":{expires}}}");
                    self.body = [members, sign.as_bytes()].concat();
                }
            }
        }
    }
}

/// The signature by `key` until `expires`. It does not cover the body.
fn sign(key: &str, expires: i64) -> String {
    let digest = Md5::digest(format!("{key}{expires}"));
    digest.iter().fold(String::with_capacity(32), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a String cannot fail");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(settings: &PushSettings, url: &str, json: &str) -> PushRequest {
        let now = DateTime::from_timestamp(1_796_004_000, 0).unwrap();
        settings.request(url, &Content::raw(json), "http://x", now)
    }

    fn signed_in(sign_in: SignPlace) -> PushSettings {
        let sign_key = Some("Ab3dEf6hIj9k".into());
        PushSettings { sign_key, sign_in, ..PushSettings::default() }
    }

    const SIGN: &str = "b4763a4aa6a03605e93c2abd58be15a7";

    #[test]
    fn signatures_are_those_of_other_programs() {
        for (key, expires, expected) in [
            ("Ab3dEf6hIj9k", 1_796_004_605, "6395213c57db1ad48e283e01c34e368a"),
            ("Ab3dEf6hIj9k", i64::MAX, "950736b97d07b7aefff7427c5e1f5d75"),
            ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 1_796_004_600, "7a744f3d5d23342f870e9ccf1e3148dc"),
            // Published by a sister product.
            ("NjFGoDEy", 1_614_151_508, "b9454ab5a85f9b7ad36071f5688ed34d"),
        ] {
            assert_eq!(sign(key, expires), expected);
        }
    }

    #[test]
    fn a_signature_stands_where_it_is_to_and_nothing_else_changes() {
        let json = r#"{ "N" : 1.50, "N":2, "EventHandle":"h" } "#;
        let unsigned = request(&PushSettings::default(), "http://y/z", json);
        assert_eq!(unsigned.body, br#"{"N":1.50,"N":2}"#);
        assert_eq!(unsigned.url, "http://y/z");
        assert_eq!(unsigned.headers.len(), 1);

        let body = request(&signed_in(SignPlace::Body), "http://y/z", json);
        let expected = format!(r#"{{"N":1.50,"N":2,"Sign":"{SIGN}","T":1796004600}}"#);
        assert_eq!(String::from_utf8(body.body.clone()).unwrap(), expected);
        assert_eq!(PushRequest { body: unsigned.body.clone(), ..body }, unsigned);

        let header = request(&signed_in(SignPlace::Header), "http://y/z", json);
        assert_eq!(
            header.headers[1..],
            [("Sign", SIGN.to_owned()), ("T", "1796004600".to_owned())]
        );
        assert_eq!((header.url, header.body), (unsigned.url, unsigned.body));

        for (url, signed) in [
            ("http://y/z", format!("http://y/z?Sign={SIGN}&T=1796004600")),
            ("http://y/z?a=b", format!("http://y/z?a=b&Sign={SIGN}&T=1796004600")),
        ] {
            assert_eq!(request(&signed_in(SignPlace::Query), url, json).url, signed);
        }
        for (json, body) in [
            ("{}", format!(r#"{{"Sign":"{SIGN}","T":1796004600}}"#)),
            ("[{}]", "[{}]".to_owned()),
            ("17", "17".to_owned()),
        ] {
            let request = request(&signed_in(SignPlace::Body), "http://y", json);
            assert_eq!(String::from_utf8(request.body).unwrap(), body);
        }
    }
}
