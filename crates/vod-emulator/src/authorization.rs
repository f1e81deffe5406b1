//! Whether a request is signed as it should be.
//!
//! Owns the server's side of TC3-HMAC-SHA256: its own reading of the Authorization header and of
//! the request, independent of the client's signing, so that each checks the other. Pure: the
//! time is passed in, and nothing of the rest of the emulator is known but how a refusal looks.

use axum::http::HeaderMap;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use super::keys::{Account, AccountKey};
use super::outcome::Refusal;

const ALGORITHM: &str = "TC3-HMAC-SHA256";

/// How far a request's time stamp and the server's clock may be apart.
const CLOCK_WINDOW: TimeDelta = TimeDelta::minutes(5);

/// What is signed of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct SignedRequest<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
}

/// Refuses `request` unless a key that `find` knows by its SecretId signed it for `service` within
/// five minutes of `now`. With `any_signature` the signature itself is not looked at, all the rest
/// is.
pub(super) fn verify(
    request: &SignedRequest<'_>,
    find: impl Fn(&str) -> Option<AccountKey>,
    service: &str,
    now: DateTime<Utc>,
    any_signature: bool,
) -> Result<(), Refusal> {
    let timestamp = timestamp(request.headers)?;
    let header = text(request.headers, "authorization")
        .ok_or_else(|| invalid("the Authorization header is missing"))?;
    let authorization = Authorization::read(header)?;
    if authorization.service != service {
        // The real code for a scope of another service or date is not known.
        return Err(invalid(&format!("the credential scope must name the service {service}")));
    }
    if authorization.date != timestamp.format("%Y-%m-%d").to_string() {
        return Err(invalid("the credential scope's date is not the UTC date of X-TC-Timestamp"));
    }
    if (now - timestamp).abs() > CLOCK_WINDOW {
        return Err(Refusal::new(
            "AuthFailure.SignatureExpire",
            format!(
                "X-TC-Timestamp and the server's clock ({}) differ by more than five minutes",
                now.timestamp()
            ),
        ));
    }
    let AccountKey { account, expires } = find(authorization.secret_id)
        .ok_or_else(|| Refusal::new("AuthFailure.SecretIdNotFound", "the SecretId is not known"))?;
    if !any_signature {
        check_signature(request, &authorization, &account)?;
    }
    let token = text(request.headers, "x-tc-token");
    if token != account.token.as_ref().map(ExposeSecret::expose_secret) {
        return Err(Refusal::new(
            "AuthFailure.TokenFailure",
            "X-TC-Token does not belong to the SecretId",
        ));
    }
    if expires.is_some_and(|expires| expires <= now) {
        return Err(Refusal::new("AuthFailure.TokenFailure", "X-TC-Token has expired"));
    }
    Ok(())
}

fn check_signature(
    request: &SignedRequest<'_>,
    authorization: &Authorization<'_>,
    account: &Account,
) -> Result<(), Refusal> {
    let failed = || {
        Refusal::new(
            "AuthFailure.SignatureFailure",
            "the signature does not match the request and the SecretKey",
        )
    };
    let canonical = canonical_request(request, &authorization.signed_headers)?;
    let scope = format!("{}/{}/tc3_request", authorization.date, authorization.service);
    // Present: `timestamp` has read it.
    let timestamp = text(request.headers, "x-tc-timestamp").unwrap_or_default();
    let to_sign = format!("{ALGORITHM}\n{timestamp}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let secret_key = account.secret_key.expose_secret();
    let [.., signing] = derive_keys(secret_key, authorization.date, authorization.service);
    // Hex is compared as bytes, in a time that does not depend on them.
    let claimed = unhex(authorization.signature).ok_or_else(failed)?;
    mac(&signing, to_sign.as_bytes()).verify_slice(&claimed).map_err(|_| failed())
}

/// The time stamp of the request.
fn timestamp(headers: &HeaderMap) -> Result<DateTime<Utc>, Refusal> {
    let value = text(headers, "x-tc-timestamp")
        .ok_or_else(|| Refusal::new("MissingParameter", "the header X-TC-Timestamp is missing"))?;
    Some(value)
        .filter(|value| value.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|value| value.parse().ok())
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
        .ok_or_else(|| Refusal::new("InvalidParameter", "X-TC-Timestamp must be Unix seconds"))
}

/// The Authorization header, taken apart.
struct Authorization<'a> {
    secret_id: &'a str,
    date: &'a str,
    service: &'a str,
    signed_headers: Vec<&'a str>,
    signature: &'a str,
}

impl<'a> Authorization<'a> {
    fn read(header: &'a str) -> Result<Self, Refusal> {
        let fields =
            header.strip_prefix(ALGORITHM).and_then(|rest| rest.strip_prefix(' ')).ok_or_else(
                || invalid(&format!("the Authorization header must begin with {ALGORITHM}")),
            )?;
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for field in fields.split(',') {
            let (name, value) = field
                .trim()
                .split_once('=')
                .ok_or_else(|| invalid("the Authorization header's fields must be name=value"))?;
            let place = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return Err(invalid("the Authorization header has an unknown field")),
            };
            if place.replace(value).is_some() {
                return Err(invalid("the Authorization header names a field twice"));
            }
        }
        let (Some(credential), Some(signed_headers), Some(signature)) =
            (credential, signed_headers, signature)
        else {
            return Err(invalid(
                "the Authorization header needs Credential, SignedHeaders and Signature",
            ));
        };
        let scope: Vec<&str> = credential.split('/').collect();
        let &[secret_id, date, service, "tc3_request"] = scope.as_slice() else {
            return Err(invalid("Credential must be <SecretId>/<date>/<service>/tc3_request"));
        };
        let signed_headers: Vec<&str> = signed_headers.split(';').collect();
        if !signed_headers.is_sorted_by(|a, b| a < b) {
            return Err(invalid("SignedHeaders must be in ascending order, each once"));
        }
        if signed_headers.iter().any(|name| name.bytes().any(|b| b.is_ascii_uppercase())) {
            return Err(invalid("SignedHeaders must be in lower case"));
        }
        if !["content-type", "host"].iter().all(|name| signed_headers.contains(name)) {
            return Err(invalid("SignedHeaders must contain content-type and host"));
        }
        Ok(Self { secret_id, date, service, signed_headers, signature })
    }
}

fn canonical_request(
    request: &SignedRequest<'_>,
    signed_headers: &[&str],
) -> Result<String, Refusal> {
    let mut headers = String::new();
    for name in signed_headers {
        let mut values = request.headers.get_all(*name).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(invalid(&format!(
                "the signed header {name} must stand in the request once"
            )));
        };
        let value = value
            .to_str()
            .map_err(|_| invalid(&format!("the signed header {name} is not plain text")))?;
        headers.push_str(&format!("{name}:{}\n", value.trim().to_lowercase()));
    }
    Ok(format!(
        "{}\n{}\n{}\n{headers}\n{}\n{}",
        request.method,
        request.path,
        request.query,
        signed_headers.join(";"),
        hex(&Sha256::digest(request.body)),
    ))
}

/// Derives the keys of a SecretKey for a date, for a service, and for signing.
fn derive_keys(secret_key: &str, date: &str, service: &str) -> [[u8; 32]; 3] {
    let of_date = bytes(mac(format!("TC3{secret_key}").as_bytes(), date.as_bytes()));
    let of_service = bytes(mac(&of_date, service.as_bytes()));
    [of_date, of_service, bytes(mac(&of_service, b"tc3_request"))]
}

fn mac(key: &[u8], message: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message);
    mac
}

fn bytes(mac: Hmac<Sha256>) -> [u8; 32] {
    mac.finalize().into_bytes().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let lower = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !lower || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).ok()).collect()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn invalid(message: &str) -> Refusal {
    Refusal::new("AuthFailure.InvalidAuthorization", message)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::http::{HeaderName, HeaderValue};
    use secrecy::SecretString;

    use super::*;

    const BODY: &str =
        r#"{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}"#;

    struct Case {
        headers: HeaderMap,
        body: String,
        path: &'static str,
    }

    impl Case {
        fn new(host: &str, content_type: &str, timestamp: i64, action: &str, body: &str) -> Self {
            let mut headers = HeaderMap::new();
            for (name, value) in [
                ("host", host),
                ("content-type", content_type),
                ("x-tc-timestamp", &timestamp.to_string()),
                ("x-tc-action", action),
            ] {
                headers.insert(
                    HeaderName::from_bytes(name.as_bytes()).unwrap(),
                    HeaderValue::from_str(value).unwrap(),
                );
            }
            Self { headers, body: body.to_owned(), path: "/" }
        }

        fn signed(&self) -> SignedRequest<'_> {
            SignedRequest {
                method: "POST",
                path: self.path,
                query: "",
                headers: &self.headers,
                body: self.body.as_bytes(),
            }
        }

        fn set(&mut self, name: &'static str, value: &str) {
            self.headers.insert(name, HeaderValue::from_str(value).unwrap());
        }

        fn verify(&self, key: &str, service: &str, now: i64) -> Result<(), String> {
            let account =
                Account { secret_id: "AKID".to_owned(), secret_key: key.into(), token: None };
            let now = DateTime::from_timestamp(now, 0).unwrap();
            verify(&self.signed(), for_ever(account), service, now, false)
                .map_err(|refusal| refusal.code)
        }
    }

    /// Knows this account alone.
    fn for_ever(account: Account) -> impl Fn(&str) -> Option<AccountKey> {
        let key = AccountKey { account: Arc::new(account), expires: None };
        move |id| (id == key.account.secret_id).then(|| key.clone())
    }

    fn authorization(date: &str, service: &str, names: &str, signature: &str) -> String {
        format!(
            "TC3-HMAC-SHA256 Credential=AKID/{date}/{service}/tc3_request, SignedHeaders={names}, Signature={signature}"
        )
    }

    struct Vector {
        key: &'static str,
        names: &'static str,
        canonical: &'static str,
        keys: [&'static str; 3],
        signature: &'static str,
    }

    #[test]
    fn the_published_vectors_hold_at_every_step() {
        let asterisks = "*".repeat(32);
        let vectors = [
            Vector {
                key: "Gu5t9xGARNpq86cd98joQYCN3*******",
                names: "content-type;host",
                canonical: "5ffe6a04c0664d6b969fab9a13bdab201d63ee709638e2749d62a09ca18d7031",
                keys: [
                    "f1cb4d518a0eda9d5cbbfdb7850983f1e603eeae484edea76e4dd8d8deb5556e",
                    "e7c609ce81bea53546bed2cc904778bef9ca14082e48e67883443ed64e227cd7",
                    "8aa8ab5755582f576e94bcfe383b8e29325b0ca90c3590d569221c6a63a091ed",
                ],
                signature: "2230eefd229f582d8b1b891af7107b91597240707d778ab3738f756258d7652c",
            },
            Vector {
                key: &asterisks.leak()[..],
                names: "content-type;host;x-tc-action",
                canonical: "7019a55be8395899b900fb5564e4200d984910f34794a27cb3fb7d10ff6a1e84",
                keys: [
                    "da98fb70dcf6b112dc21038d1eeeb3a95c74b4dcb12c1131f864f6066bd02be0",
                    "8d70cbefb03939f929db64d32dc2ba89b1095620119fe3e050e2b18c5bd2752f",
                    "b596b923aad85185e2d1f6659d2a062e0a86731226e021e61bfe06f7ed05f5af",
                ],
                signature: "10b1a37a7301a02ca19a647ad722d5e43b4b3cff309d421d85b46093f6ab6c4f",
            },
            Vector {
                key: "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE",
                names: "content-type;host",
                canonical: "5ffe6a04c0664d6b969fab9a13bdab201d63ee709638e2749d62a09ca18d7031",
                keys: [
                    "d1308c81fe71cfd4e06437bbc067b2b8a3d2d8c0e375d547f15c41d5214b395a",
                    "3c7cb7c7795393edc14fd2e0e6434a518564b4504b88e94f5d11bf59ba3e7050",
                    "ac658d5dde49e9bfdd14e04e062f66b05d9f637d44b8a8d845327d4a77f666b1",
                ],
                signature: "72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168",
            },
        ];
        let mut case = Case::new(
            "cvm.tencentcloudapi.com",
            "application/json; charset=utf-8",
            1_551_113_065,
            "DescribeInstances",
            BODY,
        );
        assert_eq!(
            hex(&Sha256::digest(BODY)),
            "35e9c5b0e3ae67532d3c9f17ead6c90222632e5b1ff7f6e89887f1398934f064"
        );
        for vector in vectors {
            let names: Vec<_> = vector.names.split(';').collect();
            let canonical = canonical_request(&case.signed(), &names).unwrap();
            assert_eq!(hex(&Sha256::digest(canonical)), vector.canonical);
            let keys = derive_keys(vector.key, "2019-02-25", "cvm");
            assert_eq!(keys.map(|key| hex(&key)), vector.keys);
            case.set(
                "authorization",
                &authorization("2019-02-25", "cvm", vector.names, vector.signature),
            );
            assert_eq!(case.verify(vector.key, "cvm", 1_551_113_065), Ok(()));
            assert_eq!(
                case.verify("another", "cvm", 1_551_113_065).unwrap_err(),
                "AuthFailure.SignatureFailure"
            );
        }
    }

    #[test]
    fn the_newer_published_body_hashes_as_published() {
        let body = r#"{"Limit": 1, "Filters": [{"Values": ["unnamed"], "Name": "instance-name"}]}"#;
        let case = Case::new(
            "cvm.tencentcloudapi.com",
            "application/json; charset=utf-8",
            1_551_113_065,
            "DescribeInstances",
            body,
        );
        assert_eq!(
            hex(&Sha256::digest(body)),
            "99d58dfbc6745f6747f36bfca17dee5e6881dc0428a0a36f96199342bc5b4907"
        );
        let names = ["content-type", "host"];
        assert_eq!(
            hex(&Sha256::digest(canonical_request(&case.signed(), &names).unwrap())),
            "2815843035062fffda5fd6f2a44ea8a34818b0dc46f024b8b3786976a3adda7a"
        );
    }

    const KEY: &str = "sk-for-tests-only-0123456789abcd";

    fn example(host: &str, timestamp: i64, action: &str, body: &str) -> Case {
        Case::new(host, "application/json", timestamp, action, body)
    }

    #[test]
    fn the_vectors_of_this_api_hold_with_and_without_the_action_signed() {
        for (case, date, timestamp, plain, with_action) in [
            (
                example("vod.tencentcloudapi.com", 1_735_689_600, "PullEvents", "{}"),
                "2025-01-01",
                1_735_689_600,
                "862ea9b7b6f175b6c4d1065d6231558a06cf917c0e264b13b2f93c280053729a",
                "1202fcbf38e32c8c72b8a78053d41ada0f3031aba2cf4ab7ca93e2f2a9bdd233",
            ),
            (
                example(
                    "vod.tencentcloudapi.com",
                    1_735_689_599,
                    "PullEvents",
                    r#"{"SubAppId":1500012345}"#,
                ),
                "2024-12-31",
                1_735_689_599,
                "e4ac07e9dc0ae49a263fd4a4b247738da36f14dff9eaae06252e0786f5c5517f",
                "3e0c69867bc9853209b8a33d94df3125d56ee10b7e9d8d1d7c64b1462b456fe6",
            ),
            (
                example(
                    "vod.intl.tencentcloudapi.com",
                    1_735_689_600,
                    "ConfirmEvents",
                    r#"{"EventHandles":["h-1","h-2"],"SubAppId":1500012345}"#,
                ),
                "2025-01-01",
                1_735_689_600,
                "6cb5d5489c59e95c55a05059bd07138161f9e2e0fce7a51fac8e6bfdf3f56515",
                "a10a8851a99c4cd6ad618234bb1c4890401448f50f8e68d2e3b3dfedb2917c3d",
            ),
        ] {
            let mut case = case;
            for (names, signature) in
                [("content-type;host", plain), ("content-type;host;x-tc-action", with_action)]
            {
                case.set("authorization", &authorization(date, "vod", names, signature));
                assert_eq!(case.verify(KEY, "vod", timestamp), Ok(()), "{names}");
            }
        }
    }

    fn good() -> Case {
        let mut case = example("vod.tencentcloudapi.com", 1_735_689_600, "PullEvents", "{}");
        case.set(
            "authorization",
            &authorization(
                "2025-01-01",
                "vod",
                "content-type;host",
                "862ea9b7b6f175b6c4d1065d6231558a06cf917c0e264b13b2f93c280053729a",
            ),
        );
        case
    }

    #[test]
    fn whatever_is_signed_cannot_be_changed() {
        let changes: [fn(&mut Case); 5] = [
            |case| case.body.push(' '),
            |case| case.path = "/other",
            |case| case.set("host", "vod.tencentcloudapi.com:80"),
            |case| case.set("content-type", "application/json; charset=utf-8"),
            |case| case.set("x-tc-timestamp", "1735689601"),
        ];
        for change in changes {
            let mut case = good();
            change(&mut case);
            assert_eq!(
                case.verify(KEY, "vod", 1_735_689_600).unwrap_err(),
                "AuthFailure.SignatureFailure"
            );
        }
    }

    #[test]
    fn the_clock_window_is_five_minutes_to_either_side() {
        for (now, accepted) in [(-301, false), (-300, true), (300, true), (301, false)] {
            let outcome = good().verify(KEY, "vod", 1_735_689_600 + now);
            assert_eq!(outcome.is_ok(), accepted, "{now}: {outcome:?}");
            if !accepted {
                assert_eq!(outcome.unwrap_err(), "AuthFailure.SignatureExpire");
            }
        }
    }

    #[test]
    fn a_malformed_authorization_is_told_from_a_wrong_one() {
        let good_value = good().headers["authorization"].to_str().unwrap().to_owned();
        for (from, to) in [
            ("TC3-HMAC-SHA256", "TC3-HMAC-SHA1"),
            ("AKID/", ""),
            ("2025-01-01", "2025-01-02"),
            ("/vod/", "/cvm/"),
            ("tc3_request", "aws4_request"),
            ("content-type;host", "host"),
            ("content-type;host", "host;content-type"),
            ("content-type;host", "Content-Type;content-type;host"),
            ("content-type;host", "content-type;host;x-absent"),
            ("Signature=", "Sig="),
            (", Signature", " Signature"),
            ("SignedHeaders=", "Signature=00, SignedHeaders="),
        ] {
            let mut case = good();
            case.set("authorization", &good_value.replace(from, to));
            assert_eq!(
                case.verify(KEY, "vod", 1_735_689_600).unwrap_err(),
                "AuthFailure.InvalidAuthorization",
                "{from} -> {to}"
            );
        }
        for (from, to, code) in [
            ("AKID", "AKIE", "AuthFailure.SecretIdNotFound"),
            ("862e", "862f", "AuthFailure.SignatureFailure"),
            ("862e", "862E", "AuthFailure.SignatureFailure"),
            ("862e", "", "AuthFailure.SignatureFailure"),
        ] {
            let mut case = good();
            case.set("authorization", &good_value.replace(from, to));
            assert_eq!(case.verify(KEY, "vod", 1_735_689_600).unwrap_err(), code);
        }
        let mut case = good();
        case.headers.remove("authorization");
        assert_eq!(
            case.verify(KEY, "vod", 1_735_689_600).unwrap_err(),
            "AuthFailure.InvalidAuthorization"
        );
    }

    #[test]
    fn a_token_must_be_the_one_that_belongs_to_the_key() {
        let account = |token: Option<&str>| Account {
            secret_id: "AKID".to_owned(),
            secret_key: KEY.into(),
            token: token.map(SecretString::from),
        };
        let now = DateTime::from_timestamp(1_735_689_600, 0).unwrap();
        for (expected, sent, accepted) in [
            (None, None, true),
            (Some("t"), Some("t"), true),
            (Some("t"), Some("u"), false),
            (Some("t"), None, false),
            (None, Some("t"), false),
        ] {
            let mut case = good();
            if let Some(sent) = sent {
                case.set("x-tc-token", sent);
            }
            let outcome = verify(&case.signed(), for_ever(account(expected)), "vod", now, false);
            assert_eq!(outcome.is_ok(), accepted, "{expected:?} {sent:?}");
            if let Err(refusal) = outcome {
                assert_eq!(refusal.code, "AuthFailure.TokenFailure");
            }
        }
    }

    #[test]
    fn a_key_that_was_handed_out_is_good_until_it_expires() {
        let now = DateTime::from_timestamp(1_735_689_600, 0).unwrap();
        let account = Account { secret_id: "AKID".to_owned(), secret_key: KEY.into(), token: None };
        let key = AccountKey { account: Arc::new(account), expires: Some(now) };
        let outcome = |now| {
            let find = |id: &str| (id == "AKID").then(|| key.clone());
            verify(&good().signed(), find, "vod", now, false).map_err(|refusal| refusal.code)
        };
        assert_eq!(outcome(now - TimeDelta::seconds(1)), Ok(()));
        assert_eq!(outcome(now).unwrap_err(), "AuthFailure.TokenFailure");
    }

    #[test]
    fn missing_or_wrong_time_stamps_are_told_apart() {
        let mut case = good();
        case.set("x-tc-timestamp", "-5");
        assert_eq!(case.verify(KEY, "vod", 0).unwrap_err(), "InvalidParameter");
        case.headers.remove("x-tc-timestamp");
        assert_eq!(case.verify(KEY, "vod", 0).unwrap_err(), "MissingParameter");
    }
}
