//! A request to the emulator: always answered in the API's form, and what is refused or unknown
//! takes nothing out of the queue.

use std::time::Duration;

use vod_emulator::{EmulatorSettings, Leniency};

use super::request::{NOW, ask, emulator, request};

const EVENT: &str = r#"{"EventType":"FileDeleted","FileDeleteEvent":{"FileIdSet":["1"]}}"#;

/// Takes `bytes` for a request: a line with method and path, one for each header, an empty one,
/// the body. Its signature is not looked at, all the rest is.
pub fn check(bytes: &[u8]) {
    let Some((method, path, headers, body)) = parse(bytes) else { return };
    // The emulator's own pages are for who runs it.
    if path.starts_with(b"/_") || path.starts_with(b"/sprites") {
        return;
    }
    let Some(request) = request(method, path, &headers, body) else { return };
    let settings = EmulatorSettings {
        hold: Duration::ZERO,
        rate_limit: None,
        lenient: Leniency { any_signature: true, ..Leniency::default() },
        seed: Some(1),
        ..EmulatorSettings::default()
    };
    let emulator = emulator(settings);
    let control = emulator.control();
    control.add(EVENT).expect("there is room");
    let (response, code) = ask(&emulator, request).response();

    let totals = control.totals();
    // Nobody has a handle: there is nothing that could be confirmed.
    assert_eq!((totals.confirmed, totals.added), (0, 1));
    let is_pull = response.get("EventSet").is_some();
    assert_eq!(totals.visible, usize::from(!is_pull));
    if is_pull {
        assert_eq!(code, None);
        let entry = &response["EventSet"][0];
        assert!(entry["EventHandle"].is_string());
        assert_eq!(entry["EventType"], "FileDeleted");
    }
    if code.is_none() {
        assert_eq!((method, path), (&b"POST"[..], &b"/"[..]));
        let timestamp = NOW.to_string();
        let is_near = |value: &[u8]| {
            let value = std::str::from_utf8(value).expect("it was read");
            value.parse::<i64>().is_ok_and(|seconds| (seconds - NOW).abs() <= 301)
        };
        let mut times =
            headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"x-tc-timestamp"));
        assert!(times.next().is_some_and(|(_, value)| is_near(value)), "{timestamp}");
    }
}

type Parsed<'a> = (&'a [u8], &'a [u8], Vec<(&'a [u8], &'a [u8])>, &'a [u8]);

fn parse(bytes: &[u8]) -> Option<Parsed<'_>> {
    let mut rest = bytes;
    let mut line = || {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let (line, behind) = rest.split_at(end);
        rest = &behind[1..];
        Some(line)
    };
    let cut =
        |line: &'_ [u8], at: u8| -> Option<usize> { line.iter().position(|byte| *byte == at) };
    let first = line()?;
    let space = cut(first, b' ')?;
    let (method, path) = (&first[..space], &first[space + 1..]);
    let mut headers = Vec::new();
    loop {
        match line()? {
            [] => return Some((method, path, headers, rest)),
            header => {
                let colon = cut(header, b':')?;
                headers.push((&header[..colon], header[colon + 1..].trim_ascii()));
            }
        }
    }
}
