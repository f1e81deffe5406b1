//! Secrets in every form in which they could show.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{PASSWORD, USER};
use crate::local_server::Request;

/// What must not be found, each with what it is.
pub(super) struct Canaries {
    all: Vec<(String, Vec<u8>)>,
    signatures: usize,
}

impl Canaries {
    pub(super) fn new(secrets: &[&str]) -> Self {
        let mut canaries = Self { all: Vec::new(), signatures: 0 };
        for secret in secrets {
            canaries.add_bytes(secret, secret.as_bytes());
        }
        let basic = STANDARD.encode(format!("{USER}:{PASSWORD}"));
        canaries.all.push(("the Basic authorization".to_owned(), basic.into_bytes()));
        canaries
    }

    /// The bytes as they are, in hexadecimal and in Base64.
    fn add_bytes(&mut self, name: &str, bytes: &[u8]) {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let forms = [bytes.to_vec(), hex.into_bytes(), STANDARD.encode(bytes).into_bytes()];
        self.all.extend(forms.map(|form| (name.to_owned(), form)));
    }

    /// The keys on the way from `key` to a signature of these days.
    pub(super) fn add_derived_keys(&mut self, key: &str) {
        for day in [-1, 0, 1] {
            let date = (Utc::now() + TimeDelta::days(day)).format("%Y-%m-%d").to_string();
            let mut derived = format!("TC3{key}").into_bytes();
            for part in [date.as_str(), "vod", "tc3_request"] {
                let mut mac = Hmac::<Sha256>::new_from_slice(&derived).unwrap();
                mac.update(part.as_bytes());
                derived = mac.finalize().into_bytes().to_vec();
                self.add_bytes(&format!("the key derived by {part}"), &derived);
            }
        }
    }

    /// The signatures of requests that were sent.
    pub(super) fn add_sent(&mut self, requests: &[Request]) {
        for request in requests {
            let tc3 =
                request.header("authorization").and_then(|text| text.split_once("Signature="));
            let hook = request.header("webhook-signature").unwrap_or_default();
            let hook = hook.split(' ').filter_map(|one| one.split_once(',')).map(|(_, of)| of);
            for signature in tc3.map(|(_, of)| of).into_iter().chain(hook) {
                self.all.push(("a signature".to_owned(), signature.as_bytes().to_vec()));
                self.signatures += 1;
            }
        }
    }

    /// How many signatures are looked for.
    pub(super) fn signatures(&self) -> usize {
        self.signatures
    }

    /// Asserts that nothing of it stands in `hay`.
    pub(super) fn absent_from(&self, place: &str, hay: &[u8]) {
        for (name, canary) in &self.all {
            assert!(canary.len() >= 8, "{name} is too short to be looked for");
            if let Some(at) = hay.windows(canary.len()).position(|window| window == canary) {
                let around = &hay[at.saturating_sub(300)..(at + canary.len()).min(hay.len())];
                panic!("{place} tells {name}: …{}", String::from_utf8_lossy(around));
            }
        }
    }
}
