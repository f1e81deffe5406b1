//! TC3-HMAC-SHA256, the signature of API 3.0 requests.
//!
//! Pure: request, credentials and time in, headers out. Knows no clock and no HTTP client. Each
//! step is a function of its own, so that every intermediate value can be compared with a vector.

use std::fmt;

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::secret::Secret;
use crate::vod::key::Credentials;

const ALGORITHM: &str = "TC3-HMAC-SHA256";
const TERMINATOR: &str = "tc3_request";

/// What a signature covers: always `POST /` without a query.
#[derive(Clone, Copy, Debug)]
pub struct RequestToSign<'a> {
    /// The service's short name, `vod`.
    pub service: &'a str,
    /// The headers to sign, byte for byte as they are sent, in any order; Content-Type and Host
    /// are the least the service takes.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body as it is sent.
    pub body: &'a [u8],
}

/// The headers that a signature adds to a request. `Debug` shows the time only.
#[derive(Clone, Debug)]
pub struct SignatureHeaders {
    timestamp: String,
    authorization: Secret,
    signature: Secret,
    token: Option<Secret>,
}

impl SignatureHeaders {
    /// The headers of a request at `time` that carries its proof in its body.
    pub(super) fn skipped(time: DateTime<Utc>) -> Self {
        Self {
            timestamp: time.timestamp().to_string(),
            authorization: "SKIP".into(),
            signature: "".into(),
            token: None,
        }
    }

    /// Name and value of each header to add.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let token = self.token.as_ref().map(|token| ("X-TC-Token", token.expose()));
        [
            ("X-TC-Timestamp", self.timestamp.as_str()),
            ("Authorization", self.authorization.expose()),
        ]
        .into_iter()
        .chain(token)
    }

    /// The signature alone, in lower-case hexadecimal digits.
    pub fn signature(&self) -> &str {
        self.signature.expose()
    }
}

/// Signs `request` as sent at `time`; the service takes a time within 300 s of its own.
#[must_use]
pub fn sign(
    request: &RequestToSign<'_>,
    credentials: &Credentials,
    time: DateTime<Utc>,
) -> SignatureHeaders {
    let canonical = Canonical::of(request);
    let scope = scope(request.service, time);
    let keys = DerivedKeys::derive(credentials.secret_key().expose(), request.service, time);
    let signature = keys.signature(&string_to_sign(&canonical.hash(), &scope, time));
    let authorization = format!(
        "{ALGORITHM} Credential={}/{scope}, SignedHeaders={}, Signature={signature}",
        credentials.secret_id(),
        canonical.signed_headers
    );
    SignatureHeaders {
        timestamp: time.timestamp().to_string(),
        authorization: authorization.into(),
        signature: signature.into(),
        token: credentials.token().cloned(),
    }
}

/// The canonical form of a request.
#[derive(Clone, Debug)]
pub struct Canonical {
    /// The form itself, six parts in lines.
    pub text: String,
    /// The names of the signed headers, sorted, joined by semicolons.
    pub signed_headers: String,
    /// SHA-256 of the body, in lower-case hexadecimal digits.
    pub body_hash: String,
}

impl Canonical {
    /// The canonical form of `request`.
    #[must_use]
    pub fn of(request: &RequestToSign<'_>) -> Self {
        let mut headers: Vec<(String, String)> = request
            .headers
            .iter()
            .map(|(name, value)| (name.to_lowercase(), value.trim().to_lowercase()))
            .collect();
        headers.sort_unstable();
        let lines: String =
            headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        let signed_headers = names.join(";");
        let body_hash = hex(&Sha256::digest(request.body));
        // Method, path, query (empty), headers (with a line end of their own), names, body.
        let text = format!("POST\n/\n\n{lines}\n{signed_headers}\n{body_hash}");
        Self { text, signed_headers, body_hash }
    }

    /// SHA-256 of the form, in lower-case hexadecimal digits.
    pub fn hash(&self) -> String {
        hex(&Sha256::digest(self.text.as_bytes()))
    }
}

/// Day, service and terminator: what a signing key is good for.
#[must_use]
pub fn scope(service: &str, time: DateTime<Utc>) -> String {
    format!("{}/{service}/{TERMINATOR}", day(time))
}

/// What is signed in the end, made from the hash of the canonical form.
#[must_use]
pub fn string_to_sign(canonical_hash: &str, scope: &str, time: DateTime<Utc>) -> String {
    format!("{ALGORITHM}\n{}\n{scope}\n{canonical_hash}", time.timestamp())
}

/// The keys derived from a secret key for one day and one service. `Debug` hides them.
#[derive(Clone)]
pub struct DerivedKeys {
    /// Good for a day.
    pub date: [u8; 32],
    /// Good for a day and a service.
    pub service: [u8; 32],
    /// The one that signs.
    pub signing: [u8; 32],
}

impl DerivedKeys {
    /// Derives all three.
    #[must_use]
    pub fn derive(secret_key: &str, service: &str, time: DateTime<Utc>) -> Self {
        let date = hmac(format!("TC3{secret_key}").as_bytes(), day(time).as_bytes());
        let service = hmac(&date, service.as_bytes());
        let signing = hmac(&service, TERMINATOR.as_bytes());
        Self { date, service, signing }
    }

    /// The signature of `string_to_sign`, in lower-case hexadecimal digits.
    pub fn signature(&self, string_to_sign: &str) -> String {
        hex(&hmac(&self.signing, string_to_sign.as_bytes()))
    }
}

impl fmt::Debug for DerivedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys([secret])")
    }
}

/// The day of the signature is the day in UTC, wherever the machine stands.
fn day(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d").to_string()
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    text.extend(digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)));
    text
}
