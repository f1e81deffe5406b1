//! Signatures of Standard Webhooks: HMAC-SHA256 over id, time and body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::secret::Secret;

/// What marks a secret that is written in Base64.
const PREFIX: &str = "whsec_";

/// A secret after [`PREFIX`] is not Base64.
#[derive(Debug, thiserror::Error)]
#[error("a webhook secret that begins with {PREFIX} must go on in Base64")]
pub(super) struct BadSecret;

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
            Some(encoded) => STANDARD.decode(encoded).map_err(|_| BadSecret)?,
            None => text.as_bytes().to_vec(),
        };
        let mac = Hmac::new_from_slice(&bytes).expect("HMAC takes a key of any length");
        Ok(Self(mac))
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
    }
}
