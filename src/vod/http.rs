//! What every HTTP call of this module has in common: limits, and errors in words.

use reqwest::Response;

use crate::net;
use crate::sanitize::is_invisible;

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
