//! What every HTTP call of this module has in common: TLS, limits, and errors in words.

use std::error::Error as _;
use std::time::Duration;

use reqwest::{ClientBuilder, Response, redirect};

use crate::sanitize::is_invisible;

/// How this program names itself to servers.
pub(super) const USER_AGENT: &str = concat!("sprited/", env!("CARGO_PKG_VERSION"));

/// The most memory that is taken on a server's word, in bytes.
const RESERVED: usize = 256 * 1024;

/// A builder with TLS by ring, no redirects (a signature or a token must not follow one) and a
/// limit on connecting.
pub(super) fn builder(connect_timeout: Duration) -> ClientBuilder {
    // Fails only where a provider is installed already, which is as good.
    rustls::crypto::ring::default_provider().install_default().ok();
    ClientBuilder::new()
        .user_agent(USER_AGENT)
        .redirect(redirect::Policy::none())
        .connect_timeout(connect_timeout)
}

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

/// The error with all its causes on one line, without the URL.
pub(super) fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
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
