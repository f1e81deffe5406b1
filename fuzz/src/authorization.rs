//! The Authorization header: only who has the key gets through, with whatever body.

use std::time::Duration;

use chrono::DateTime;
use sprited::vod::credentials::Credentials;
use sprited::vod::sign::{self, RequestToSign};
use vod_emulator::{EmulatorSettings, LocalEmulator};

use super::request::{CONTENT_TYPE, HOST, NOW, ask, emulator, request, stop_clock};

const ACTION: &str = "DescribeEventsState";

/// Takes the first line of `bytes` for an Authorization header and the rest for the body under it.
pub fn check(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (header, body) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
    thread_local! {
        // One for all inputs: what is asked changes nothing there.
        static EMULATOR: LocalEmulator =
            emulator(EmulatorSettings { hold: Duration::ZERO, rate_limit: None, ..EmulatorSettings::default() });
    }
    EMULATOR.with(|emulator| {
        stop_clock(emulator);
        check_header(emulator, header, body);
    });
}

fn check_header(emulator: &LocalEmulator, header: &[u8], body: &[u8]) {
    // Those that the key gives for this request, with two choices of headers.
    let good = [&["content-type", "host"][..], &["content-type", "host", "x-tc-action"]]
        .map(|names| signed(names, body));
    if let Some(is_let_in) = is_let_in(emulator, header, body) {
        let fields = fields(header);
        let is_good = good.iter().any(|good| fields == self::fields(good.as_bytes()));
        assert_eq!(is_let_in, is_good, "{}", header.escape_ascii());
    }
    for good in &good {
        assert_eq!(is_let_in(emulator, good.as_bytes(), body), Some(true), "{good}");
        // Another digit at the end of the signature, or none.
        let last = good.len() - 1;
        let other = if good.ends_with('0') { "1" } else { "0" };
        for forged in [format!("{}{other}", &good[..last]), good[..last].to_owned()] {
            assert_eq!(is_let_in(emulator, forged.as_bytes(), body), Some(false), "{forged}");
        }
    }
}

/// The header's parts, in order, without the blanks that mean nothing.
fn fields(header: &[u8]) -> Option<Vec<&str>> {
    let rest = std::str::from_utf8(header).ok()?.strip_prefix("TC3-HMAC-SHA256 ")?;
    let mut fields: Vec<&str> = rest.split(',').map(str::trim).collect();
    fields.sort_unstable();
    Some(fields)
}

/// What the client's own signing makes of it.
fn signed(names: &[&str], body: &[u8]) -> String {
    let headers: Vec<(&str, &str)> = names.iter().map(|name| (*name, header(name))).collect();
    let request = RequestToSign { service: "vod", headers: &headers, body };
    let time = DateTime::from_timestamp(NOW, 0).expect("it is a time");
    let credentials = Credentials::new("AKIDEMULATOR", "emulator-secret-key".into(), None, None)
        .expect("they can be sent");
    let signed = sign::sign(&request, &credentials, time);
    let mut headers = signed.headers();
    headers.find(|(name, _)| *name == "Authorization").expect("it signs").1.to_owned()
}

fn header(name: &str) -> &'static str {
    match name {
        "content-type" => CONTENT_TYPE,
        "host" => HOST,
        _ => ACTION,
    }
}

/// Whether the emulator takes the signature; `None` if no connection would let the header through.
fn is_let_in(emulator: &LocalEmulator, authorization: &[u8], body: &[u8]) -> Option<bool> {
    let timestamp = NOW.to_string();
    let headers: [(&[u8], &[u8]); 6] = [
        (b"host", HOST.as_bytes()),
        (b"content-type", CONTENT_TYPE.as_bytes()),
        (b"x-tc-action", ACTION.as_bytes()),
        (b"x-tc-version", b"2018-07-17"),
        (b"x-tc-timestamp", timestamp.as_bytes()),
        (b"authorization", authorization),
    ];
    let request = request(b"POST", b"/", &headers, body)?;
    let (_, code) = ask(emulator, request).response();
    Some(!code.is_some_and(|code| code.starts_with("AuthFailure")))
}
