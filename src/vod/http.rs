//! What every HTTP call of this module has in common: a URL that can be signed for and trusted with
//! what is sent, limits, and errors in words.

use reqwest::{Response, Url};

use crate::net;
use crate::sanitize::is_invisible;

pub(super) const VOD_ENDPOINT: &str = "https://vod.tencentcloudapi.com";
pub(super) const STS_ENDPOINT: &str = "https://sts.tencentcloudapi.com";

#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) url: Url,
    /// The Host header, signed and sent; has the port where it is not the scheme's own.
    pub(super) host: String,
}

impl Endpoint {
    /// Reads a URL without a path; `example` is one that would do. Fails with what was expected in
    /// its place. The value is not repeated: a URL may hold a password.
    pub(super) fn parse(text: &str, example: &str) -> Result<Self, String> {
        let wrong = |problem: &str| format!("{problem}, such as \"{example}\"");
        let url = Url::parse(text).map_err(|_| wrong("expected a URL"))?;
        let host = url.host_str().filter(|host| !host.is_empty());
        let Some(host) = host else { return Err(wrong("expected a URL with a host")) };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("expected a URL without user and password"));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("expected a URL that ends after the host"));
        }
        match url.scheme() {
            "https" => {}
            "http" if net::is_this_machine(host) => {}
            "http" => return Err(wrong("plain http is for loopback only; expected https")),
            _ => return Err(wrong("expected an https URL")),
        }
        let host = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        Ok(Self { url, host })
    }

    /// The way to it, if that stays on this machine.
    pub(super) fn this_machine(&self) -> Option<net::ThisMachine> {
        self.url.host_str().and_then(net::ThisMachine::of)
    }
}

/// The most memory that is taken on a server's word, in bytes.
const RESERVED: usize = 256 * 1024;

/// Why the body of an answer could not be read.
#[derive(Debug)]
pub(super) enum BodyError {
    /// It has more bytes than allowed, as declared or as decompressed.
    TooLarge,
    /// The connection or the compression broke.
    Broken(reqwest::Error),
}

/// Reads a body of at most `limit` bytes after decompression; holds no more than that.
pub(super) async fn read_body(mut response: Response, limit: usize) -> Result<Vec<u8>, BodyError> {
    let declared = response.content_length().unwrap_or_default();
    if declared > limit as u64 {
        return Err(BodyError::TooLarge);
    }
    // What is declared need not come: no more than a usual answer is reserved for it.
    let mut body = Vec::with_capacity(usize::try_from(declared).unwrap_or(limit).min(RESERVED));
    while let Some(chunk) = response.chunk().await.map_err(BodyError::Broken)? {
        if chunk.len() > limit - body.len() {
            return Err(BodyError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Returns the error with all its causes on one line, without the URL.
pub(super) fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    net::with_causes(error.to_string(), &error)
}

/// The beginning of a text from outside, fit for a log line: blanks for what a terminal would obey
/// or hide (line ends included), at most `limit` characters.
pub(super) fn excerpt(text: &str, limit: usize) -> String {
    let mut characters = text.trim().chars();
    let mut short: String =
        characters.by_ref().take(limit).map(|c| if is_invisible(c) { ' ' } else { c }).collect();
    if characters.next().is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_one_short_line() {
        assert_eq!(excerpt(" a\r\nb\u{1b}[31mc ", 20), "a  b [31mc");
        assert_eq!(excerpt("a\u{202e}b\u{200b}c", 20), "a b c");
        assert_eq!(excerpt("äöü", 3), "äöü");
        assert_eq!(excerpt("äöü", 2), "äö…");
        assert_eq!(excerpt("", 2), "");
    }
}
