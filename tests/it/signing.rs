//! Signatures against the published vectors and against the official SDK's own function.

use std::io::Write;
use std::process::{Command, Stdio};

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sprited::vod::credentials::Credentials;
use sprited::vod::sign::{self, Canonical, DerivedKeys, RequestToSign};

use crate::support::python;

const JSON_UTF8: &str = "application/json; charset=utf-8";

fn time(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn credentials(key: &str) -> Credentials {
    Credentials::new("AKIDexample", key.into(), None, None).unwrap()
}

fn authorization(signed: &sign::SignatureHeaders) -> String {
    let (_, value) = signed.headers().find(|(name, _)| *name == "Authorization").unwrap();
    value.to_owned()
}

struct Published {
    secret_key: &'static str,
    headers: &'static [(&'static str, &'static str)],
    signed_headers: &'static str,
    canonical_hash: &'static str,
    date_key: &'static str,
    service_key: &'static str,
    signing_key: &'static str,
    signature: &'static str,
}

const TWO: &[(&str, &str)] = &[("Content-Type", JSON_UTF8), ("Host", "cvm.tencentcloudapi.com")];
const THREE: &[(&str, &str)] = &[
    ("X-TC-Action", "DescribeInstances"),
    ("Content-Type", JSON_UTF8),
    ("Host", "cvm.tencentcloudapi.com"),
];

const PUBLISHED: [Published; 3] = [
    Published {
        secret_key: "Gu5t9xGARNpq86cd98joQYCN3*******",
        headers: TWO,
        signed_headers: "content-type;host",
        canonical_hash: "5ffe6a04c0664d6b969fab9a13bdab201d63ee709638e2749d62a09ca18d7031",
        date_key: "f1cb4d518a0eda9d5cbbfdb7850983f1e603eeae484edea76e4dd8d8deb5556e",
        service_key: "e7c609ce81bea53546bed2cc904778bef9ca14082e48e67883443ed64e227cd7",
        signing_key: "8aa8ab5755582f576e94bcfe383b8e29325b0ca90c3590d569221c6a63a091ed",
        signature: "2230eefd229f582d8b1b891af7107b91597240707d778ab3738f756258d7652c",
    },
    Published {
        secret_key: "********************************",
        headers: THREE,
        signed_headers: "content-type;host;x-tc-action",
        canonical_hash: "7019a55be8395899b900fb5564e4200d984910f34794a27cb3fb7d10ff6a1e84",
        date_key: "da98fb70dcf6b112dc21038d1eeeb3a95c74b4dcb12c1131f864f6066bd02be0",
        service_key: "8d70cbefb03939f929db64d32dc2ba89b1095620119fe3e050e2b18c5bd2752f",
        signing_key: "b596b923aad85185e2d1f6659d2a062e0a86731226e021e61bfe06f7ed05f5af",
        signature: "10b1a37a7301a02ca19a647ad722d5e43b4b3cff309d421d85b46093f6ab6c4f",
    },
    Published {
        secret_key: "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE",
        headers: TWO,
        signed_headers: "content-type;host",
        canonical_hash: "5ffe6a04c0664d6b969fab9a13bdab201d63ee709638e2749d62a09ca18d7031",
        date_key: "d1308c81fe71cfd4e06437bbc067b2b8a3d2d8c0e375d547f15c41d5214b395a",
        service_key: "3c7cb7c7795393edc14fd2e0e6434a518564b4504b88e94f5d11bf59ba3e7050",
        signing_key: "ac658d5dde49e9bfdd14e04e062f66b05d9f637d44b8a8d845327d4a77f666b1",
        signature: "72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168",
    },
];

#[test]
fn the_published_vectors_agree_at_every_step() {
    let body = br#"{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}"#;
    assert_eq!(body.len(), 86);
    let time = time(1_551_113_065);
    for vector in &PUBLISHED {
        let request = RequestToSign { service: "cvm", headers: vector.headers, body };
        let canonical = Canonical::of(&request);
        assert_eq!(
            canonical.body_hash,
            "35e9c5b0e3ae67532d3c9f17ead6c90222632e5b1ff7f6e89887f1398934f064"
        );
        assert_eq!(canonical.signed_headers, vector.signed_headers);
        assert_eq!(canonical.hash(), vector.canonical_hash, "{}", canonical.text);
        let scope = sign::scope("cvm", time);
        assert_eq!(scope, "2019-02-25/cvm/tc3_request");
        let text = sign::string_to_sign(&canonical.hash(), &scope, time);
        assert_eq!(
            text,
            format!("TC3-HMAC-SHA256\n1551113065\n{scope}\n{}", vector.canonical_hash)
        );
        let keys = DerivedKeys::derive(vector.secret_key, "cvm", time);
        assert_eq!(sign::hex(&keys.date), vector.date_key);
        assert_eq!(sign::hex(&keys.service), vector.service_key);
        assert_eq!(sign::hex(&keys.signing), vector.signing_key);
        assert_eq!(keys.signature(&text), vector.signature);
        let signed = sign::sign(&request, &credentials(vector.secret_key), time);
        assert_eq!(
            authorization(&signed),
            format!(
                "TC3-HMAC-SHA256 Credential=AKIDexample/{scope}, SignedHeaders={}, Signature={}",
                vector.signed_headers, vector.signature
            )
        );
    }
}

#[test]
fn the_canonical_form_is_the_documented_one() {
    let request = RequestToSign { service: "cvm", headers: THREE, body: b"{}" };
    assert_eq!(
        Canonical::of(&request).text,
        "POST\n/\n\ncontent-type:application/json; charset=utf-8\nhost:cvm.tencentcloudapi.com\n\
         x-tc-action:describeinstances\n\ncontent-type;host;x-tc-action\n\
         44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    );
}

#[test]
fn the_newer_published_body_has_its_hashes() {
    let body = br#"{"Limit": 1, "Filters": [{"Values": ["unnamed"], "Name": "instance-name"}]}"#;
    let canonical = Canonical::of(&RequestToSign { service: "cvm", headers: TWO, body });
    assert_eq!(
        canonical.body_hash,
        "99d58dfbc6745f6747f36bfca17dee5e6881dc0428a0a36f96199342bc5b4907"
    );
    assert_eq!(
        canonical.hash(),
        "2815843035062fffda5fd6f2a44ea8a34818b0dc46f024b8b3786976a3adda7a"
    );
}

#[test]
fn the_vectors_of_the_event_api_agree() {
    let pull = "PullEvents";
    let domestic = "vod.tencentcloudapi.com";
    let cases = [
        (
            (pull, domestic, 1_735_689_600, "2025-01-01", "{}"),
            "862ea9b7b6f175b6c4d1065d6231558a06cf917c0e264b13b2f93c280053729a",
            "1202fcbf38e32c8c72b8a78053d41ada0f3031aba2cf4ab7ca93e2f2a9bdd233",
        ),
        (
            (pull, domestic, 1_735_689_599, "2024-12-31", r#"{"SubAppId":1500012345}"#),
            "e4ac07e9dc0ae49a263fd4a4b247738da36f14dff9eaae06252e0786f5c5517f",
            "3e0c69867bc9853209b8a33d94df3125d56ee10b7e9d8d1d7c64b1462b456fe6",
        ),
        (
            (
                "ConfirmEvents",
                "vod.intl.tencentcloudapi.com",
                1_735_689_600,
                "2025-01-01",
                r#"{"EventHandles":["h-1","h-2"],"SubAppId":1500012345}"#,
            ),
            "6cb5d5489c59e95c55a05059bd07138161f9e2e0fce7a51fac8e6bfdf3f56515",
            "a10a8851a99c4cd6ad618234bb1c4890401448f50f8e68d2e3b3dfedb2917c3d",
        ),
    ];
    for ((action, host, seconds, day, body), with_two, with_three) in cases {
        let content_type = ("Content-Type", "application/json");
        let two = [content_type, ("Host", host)];
        let three = [content_type, ("Host", host), ("X-TC-Action", action)];
        for (headers, signature) in [(&two[..], with_two), (&three[..], with_three)] {
            let request = RequestToSign { service: "vod", headers, body: body.as_bytes() };
            let key = credentials("sk-for-tests-only-0123456789abcd");
            let signed = sign::sign(&request, &key, time(seconds));
            assert_eq!(signed.signature(), signature, "{action} {host} {seconds}");
            let scope = format!("Credential=AKIDexample/{day}/vod/tc3_request,");
            assert!(authorization(&signed).contains(&scope));
        }
    }
}

/// The vectors have times whose day is another one east and west of Greenwich. The zone is the
/// process's: the tests are started once more, in one of its own for each.
#[test]
fn the_day_is_that_of_utc_wherever_the_machine_stands() {
    for zone in ["CST-8", "PST8", "Asia/Shanghai"] {
        let ran = Command::new(std::env::current_exe().unwrap())
            .arg("--exact")
            .arg("signing::the_published_vectors_agree_at_every_step")
            .arg("signing::the_vectors_of_the_event_api_agree")
            .env("TZ", zone)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success() && said.contains("2 passed"), "{zone}: {said}");
    }
}

#[test]
fn the_headers_are_all_there_and_debug_hides_them() {
    let key = "sk-for-tests-only";
    let credentials =
        Credentials::new("AKIDexample", key.into(), Some("a-token".into()), None).unwrap();
    let request = RequestToSign { service: "vod", headers: TWO, body: b"{}" };
    let signed = sign::sign(&request, &credentials, time(1_735_689_600));
    let headers: Vec<_> = signed.headers().collect();
    assert_eq!(headers[0], ("X-TC-Timestamp", "1735689600"));
    assert_eq!(headers[1].0, "Authorization");
    assert_eq!(headers[2], ("X-TC-Token", "a-token"));
    let keys = DerivedKeys::derive(key, "vod", time(0));
    let shown = format!("{signed:?} {keys:?} {credentials:?}");
    for secret in [key, "a-token", signed.signature()] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(!shown.contains(&format!("{:?}", keys.signing)), "{shown}");
}

/// Reads requests, one JSON object a line, and prints the signature that the official SDK makes
/// for each.
const OFFICIAL: &str = r#"
import json, sys
from datetime import datetime, timezone
from tencentcloud.common.abstract_client import AbstractClient
from tencentcloud.common.http.request import RequestInternal

client = AbstractClient.__new__(AbstractClient)
for line in sys.stdin:
    case = json.loads(line)
    request = RequestInternal(host=case["host"], method="POST", uri="/", header={
        "Content-Type": case["content_type"],
        "Host": case["host"],
        "X-TC-Timestamp": str(case["time"]),
    }, data=case["body"])
    day = datetime.fromtimestamp(case["time"], timezone.utc).strftime("%Y-%m-%d")
    print(client._get_tc3_signature({}, request, day, case["service"], case["key"]))
"#;

#[derive(Debug, serde::Serialize)]
struct Case {
    service: String,
    host: String,
    content_type: String,
    key: String,
    time: i64,
    body: String,
}

fn case() -> impl Strategy<Value = Case> {
    (
        "[a-z]{2,12}",
        "[a-z0-9.-]{1,40}(:[1-9][0-9]{0,4})?",
        "application/json(; charset=utf-8)?",
        "[!-~äß€]{1,64}",
        0_i64..4_102_444_800,
        ".{0,300}",
    )
        .prop_map(|(service, host, content_type, key, time, body)| Case {
            service,
            host,
            content_type,
            key,
            time,
            body,
        })
}

#[test]
fn a_thousand_random_requests_are_signed_as_the_official_sdk_signs_them() {
    let mut runner = TestRunner::default();
    let cases: Vec<Case> =
        (0..1000).map(|_| case().new_tree(&mut runner).unwrap().current()).collect();
    let lines: String =
        cases.iter().map(|case| serde_json::to_string(case).unwrap() + "\n").collect();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(lines.as_bytes()).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let output = Command::new(python())
        .args(["-c", OFFICIAL])
        .stdin(file)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success());
    let theirs = String::from_utf8(output.stdout).unwrap();
    assert_eq!(theirs.lines().count(), 1000);
    for (case, theirs) in cases.iter().zip(theirs.lines()) {
        let request = RequestToSign {
            service: &case.service,
            headers: &[("Content-Type", &case.content_type), ("Host", &case.host)],
            body: case.body.as_bytes(),
        };
        let ours = sign::sign(&request, &credentials(&case.key), time(case.time));
        assert_eq!(ours.signature(), theirs, "{case:?}");
    }
}
