//! Signatures of Standard Webhooks: HMAC-SHA256 over id, time and body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::sanitize::{invisible_in, is_invisible};
use crate::secret::Secret;

/// What marks a secret that is written in Base64.
pub(super) const PREFIX: &str = "whsec_";

/// Bytes of a key that Standard Webhooks asks for at least.
pub(super) const MIN_KEY: usize = 24;

/// Why a secret makes no key. Does not show it.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadSecret {
    /// What follows [`PREFIX`] is not Base64.
    #[error(
        "a webhook secret after {PREFIX} must be Base64: A-Z, a-z, 0-9, + and /, padded with = to \
         a multiple of 4{0}"
    )]
    NotBase64(String),
    /// There is nothing that others would have to know.
    #[error(
        "a webhook secret without a key (blank, or nothing after {PREFIX}), with which anybody \
         could sign; generate one with `openssl rand -base64 32` and write it after {PREFIX}"
    )]
    NoKey,
}

/// A key to sign with, made from a secret.
#[derive(Clone)]
pub(super) struct SigningKey(Hmac<Sha256>);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[signing key]")
    }
}

impl SigningKey {
    /// The key of a secret: the decoded rest after `whsec_`, else the secret's own bytes.
    pub(super) fn new(secret: &Secret) -> Result<Self, BadSecret> {
        let text = secret.expose();
        let bytes = match text.strip_prefix(PREFIX) {
            Some(encoded) => Self::decode(encoded)?,
            None if text.chars().all(|c| c.is_whitespace() || is_invisible(c)) => Vec::new(),
            None => text.as_bytes().to_vec(),
        };
        if bytes.is_empty() {
            return Err(BadSecret::NoKey);
        }
        let mac = Hmac::new_from_slice(&bytes).expect("HMAC takes a key of any length");
        Ok(Self(mac))
    }

    pub(super) fn decode(encoded: &str) -> Result<Vec<u8>, BadSecret> {
        STANDARD.decode(encoded).map_err(|_| {
            let unseen = invisible_in(encoded).map(|what| format!("; it {what}"));
            BadSecret::NotBase64(unseen.unwrap_or_default())
        })
    }

    /// The signature of a message: `v1,` and Base64.
    fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut mac = self.0.clone();
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// The header `webhook-signature`: a signature by each key, so that a receiver that knows only
/// one of two keys accepts it. `None` without keys. `timestamp` is in seconds since 1970.
pub(super) fn header(keys: &[SigningKey], id: &str, timestamp: i64, body: &[u8]) -> Option<String> {
    let each: Vec<String> = keys.iter().map(|key| key.sign(id, timestamp, body)).collect();
    (!each.is_empty()).then(|| each.join(" "))
}

/// The signatures in such a header, without their version.
pub(super) fn each(header: &str) -> impl Iterator<Item = &str> {
    header.split(' ').filter_map(|signature| signature.split_once(',')).map(|(_, code)| code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: &str) -> SigningKey {
        SigningKey::new(&secret.into()).unwrap()
    }

    /// The vector that the specification's own libraries are tested with.
    #[test]
    fn the_published_vector_is_met() {
        let keys = [key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")];
        let header = header(
            &keys,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(header.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn two_keys_sign_side_by_side_and_none_not_at_all() {
        let (new, old) = (key("raw text"), key("whsec_b2xk"));
        let both = header(&[new.clone(), old.clone()], "id", 1, b"body").unwrap();
        let alone: Vec<_> = [new, old].map(|key| header(&[key], "id", 1, b"body").unwrap()).into();
        assert_eq!(both, alone.join(" "));
        assert!(each(&both).eq(alone.iter().map(|signature| &signature["v1,".len()..])));
        assert_eq!(header(&[], "id", 1, b"body"), None);
    }

    #[test]
    fn a_bad_secret_is_refused_without_being_shown() {
        let error = SigningKey::new(&"whsec_not base64!".into()).unwrap_err();
        assert!(!error.to_string().contains("not base64!"));
        for (encoded, says) in [
            ("b2xk\n", "; it ends in a line end"),
            (" b2xk", "; it begins with white space"),
            ("b2xk\u{200b}", "; it holds a character that cannot be seen"),
            ("b2w", "multiple of 4"),
            ("b2-_", "+ and /"),
        ] {
            let error = SigningKey::new(&format!("whsec_{encoded}").as_str().into()).unwrap_err();
            assert!(error.to_string().contains(says), "{encoded:?}: {error}");
        }
    }

    #[test]
    fn a_secret_that_anybody_knows_is_no_key() {
        for secret in [
            "",
            "whsec_",
            " ",
            "\t\n",
            "\u{feff}",
            "\u{a0}\u{200b}",
            "\u{3164}",
            "\u{2800} \u{fe0f}",
            "\u{e0041}",
        ] {
            let error = SigningKey::new(&secret.into()).unwrap_err();
            assert!(matches!(error, BadSecret::NoKey), "{secret:?}: {error}");
        }
        for secret in ["whsec_AA==", "0", " x"] {
            assert!(SigningKey::new(&secret.into()).is_ok(), "{secret:?}");
        }
    }
}
