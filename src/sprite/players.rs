//! Which players would fail on an index as it is.
//!
//! The parsers of these players were read and run: videojs-vtt-thumbnails 0.0.13, Plyr 3.8.4,
//! artplayer-plugin-vtt-thumbnail 1.1.0, TCPlayer 5.3.4, vidstack 1.15.6 with media-captions 1.0.4, and
//! videojs-vtt.js 0.15.5, which TCPlayer and video.js read tracks with.

use reqwest::Url;

use super::vtt::{NotAnIndex, Oddity, parse_with_oddities};

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
    let verdict = |player: &Player, problem| PlayerVerdict { player: player.name, problem };
    let (index, oddities) = match parse_with_oddities(text) {
        Ok(read) => read,
        Err(error) => {
            let why = match error {
                // Players have other limits.
                NotAnIndex::TooLong | NotAnIndex::TooManyCues => return Vec::new(),
                NotAnIndex::NoCues => "the index has none".to_owned(),
                other => other.to_string(),
            };
            let problem = |player: &Player| Some(format!("{}, since {why}", player.without_cues));
            return PLAYERS.iter().map(|player| verdict(player, problem(player))).collect();
        }
    };
    let is_absolute = |name: &str| name.contains("//");
    let mut relative = index.cues.iter().map(|cue| cue.name.as_str()).filter(|n| !is_absolute(n));
    let first_relative = relative.next();
    let names = Names {
        have_root: first_relative.into_iter().chain(relative).any(|name| name.starts_with('/')),
        url: vtt_url.filter(|_| first_relative.is_some()),
    };
    let problem = |player: &Player| {
        let minded = player.minds.iter().find(|(oddity, _)| oddities.contains(oddity));
        let minded = minded.map(|(oddity, effect)| format!("{effect}, since {}", oddity.words()));
        minded
            .or_else(|| names.problem(player).map(|(effect, why)| format!("{effect}, since {why}")))
    };
    PLAYERS.iter().map(|player| verdict(player, problem(player))).collect()
}

/// How sheets are named.
struct Names<'a> {
    /// Whether a name is a path from the root of the server.
    have_root: bool,
    /// Where the index is, if a name depends on that.
    url: Option<&'a Url>,
}

impl Names<'_> {
    /// What a player does wrong with the names, and why.
    fn problem(&self, player: &Player) -> Option<(&'static str, &'static str)> {
        let has_port = self.url.is_some_and(|url| url.port().is_some());
        let has_slash = self.url.and_then(Url::query).is_some_and(|query| query.contains('/'));
        if let Some(effect) = player.at_root.filter(|_| self.have_root) {
            Some((effect, "names of sheets begin with /"))
        } else if player.minds_port && has_port {
            Some((WRONG_URL, "it leaves out the port of the index"))
        } else if player.minds_slash_in_query && has_slash {
            Some((WRONG_URL, "the query of the index's URL holds a /"))
        } else {
            None
        }
    }
}

/// What a player minds.
struct Player {
    name: &'static str,
    /// What happens where there is no cue at all.
    without_cues: &'static str,
    /// The effect of each oddity, the worst first.
    minds: &'static [(Oddity, &'static str)],
    /// The effect of names that are paths from the root of the server.
    at_root: Option<&'static str>,
    /// It seeks sheets at the host of the index, without the port.
    minds_port: bool,
    /// It takes what precedes the last `/` of the index's URL for its folder.
    minds_slash_in_query: bool,
}

const NO_CUES: &str = "finds no cue";
const STOPS: &str = "stops with an error";
const LOSES: &str = "loses cues";
const MAY_LOSE: &str = "may lose cues";
const WRONG_TIMES: &str = "shows tiles at wrong times";
const WRONG_TILES: &str = "shows wrong parts of the sheets";
const INVISIBLE: &str = "shows no tile";
const WRONG_URL: &str = "seeks sheets at a wrong URL";
const AT_PAGE: &str = "seeks sheets at the host of the page";

const PLAYERS: &[Player] = &[
    Player {
        name: "videojs-vtt-thumbnails",
        without_cues: NO_CUES,
        minds: &[
            (Oddity::CrLf, NO_CUES),
            (Oddity::Identifiers, STOPS),
            (Oddity::NoBlankAfterHeader, STOPS),
            (Oddity::ShortHours, NO_CUES),
            (Oddity::LongHours, NO_CUES),
            (Oddity::TabsAtArrow, NO_CUES),
            (Oddity::ManyBlanksAtArrow, NO_CUES),
            (Oddity::OneDigitOfMillis, NO_CUES),
            (Oddity::TwoDigitsOfMillis, NO_CUES),
            (Oddity::LongMillis, NO_CUES),
            (Oddity::NoBlankBetweenCues, LOSES),
            (Oddity::FilledBlankLines, LOSES),
            (Oddity::OuterBlanks, MAY_LOSE),
            (Oddity::MixedLineEnds, MAY_LOSE),
            (Oddity::Settings, LOSES),
            (Oddity::NoArea, INVISIBLE),
            (Oddity::AreaInQuery, WRONG_TILES),
            (Oddity::AreaAmongOthers, WRONG_TILES),
            (Oddity::AreaEncoded, WRONG_TILES),
            (Oddity::AreaInPercent, WRONG_TILES),
            (Oddity::AreaWithPoint, WRONG_TILES),
            (Oddity::AreaRounded, WRONG_TILES),
        ],
        at_root: Some(WRONG_URL),
        minds_port: false,
        minds_slash_in_query: true,
    },
    Player {
        name: "Plyr",
        without_cues: STOPS,
        minds: &[
            (Oddity::ShortHours, STOPS),
            (Oddity::LongHours, STOPS),
            (Oddity::TabsAtArrow, STOPS),
            (Oddity::ManyBlanksAtArrow, STOPS),
            (Oddity::OneDigitOfMillis, STOPS),
            (Oddity::LongMillis, STOPS),
            (Oddity::NoBlankBetweenCues, LOSES),
            (Oddity::FilledBlankLines, LOSES),
            (Oddity::MixedLineEnds, MAY_LOSE),
            (Oddity::NoMillis, WRONG_TIMES),
            (Oddity::AreaInQuery, WRONG_TILES),
            (Oddity::AreaAmongOthers, WRONG_TILES),
            (Oddity::AreaBeforeOthers, WRONG_TILES),
            (Oddity::AreaInCapitals, WRONG_TILES),
            (Oddity::AreaEncoded, WRONG_TILES),
            (Oddity::AreaInPixels, WRONG_TILES),
            (Oddity::AreaInPercent, WRONG_TILES),
        ],
        at_root: Some(AT_PAGE),
        minds_port: false,
        minds_slash_in_query: true,
    },
    Player {
        name: "ArtPlayer",
        without_cues: NO_CUES,
        minds: &[
            (Oddity::Identifiers, STOPS),
            (Oddity::HeaderLines, STOPS),
            (Oddity::Notes, STOPS),
            (Oddity::ExtraLines, STOPS),
            (Oddity::ShortHours, STOPS),
            (Oddity::TabsAtArrow, STOPS),
            (Oddity::ManyBlanksAtArrow, STOPS),
            (Oddity::OneDigitOfMillis, STOPS),
            (Oddity::Nul, STOPS),
            (Oddity::NoArea, STOPS),
            (Oddity::AreaInQuery, STOPS),
            (Oddity::AreaAmongOthers, STOPS),
            (Oddity::LongHours, WRONG_TIMES),
            (Oddity::TwoDigitsOfMillis, WRONG_TIMES),
            (Oddity::LongMillis, WRONG_TIMES),
            (Oddity::Comma, WRONG_TIMES),
            (Oddity::AreaBeforeOthers, WRONG_TILES),
            (Oddity::AreaInCapitals, WRONG_TILES),
            (Oddity::AreaEncoded, WRONG_TILES),
            (Oddity::AreaInPixels, WRONG_TILES),
            (Oddity::AreaInPercent, WRONG_TILES),
        ],
        at_root: Some(AT_PAGE),
        minds_port: false,
        minds_slash_in_query: true,
    },
    Player {
        name: "TCPlayer",
        without_cues: NO_CUES,
        minds: &[
            (Oddity::LoneCr, NO_CUES),
            (Oddity::NoBlankAfterHeader, LOSES),
            (Oddity::Comma, NO_CUES),
            (Oddity::NoMillis, NO_CUES),
            (Oddity::OneDigitOfMillis, NO_CUES),
            (Oddity::TwoDigitsOfMillis, NO_CUES),
            (Oddity::NoArea, INVISIBLE),
            (Oddity::AreaInQuery, WRONG_TILES),
            (Oddity::AreaAmongOthers, WRONG_TILES),
            (Oddity::AreaInCapitals, WRONG_TILES),
            (Oddity::AreaEncoded, WRONG_TILES),
            (Oddity::AreaInPixels, WRONG_TILES),
            (Oddity::AreaInPercent, WRONG_TILES),
        ],
        at_root: Some(WRONG_URL),
        minds_port: true,
        minds_slash_in_query: true,
    },
    Player {
        name: "vidstack",
        without_cues: NO_CUES,
        minds: &[
            (Oddity::NoBlankAtArrow, NO_CUES),
            (Oddity::LongHours, NO_CUES),
            (Oddity::Comma, NO_CUES),
            (Oddity::LongMillis, NO_CUES),
            (Oddity::NoBlankAfterHeader, LOSES),
            (Oddity::NoBlankBetweenCues, LOSES),
            (Oddity::FilledBlankLines, LOSES),
            (Oddity::OuterBlanks, MAY_LOSE),
            (Oddity::ExtraLines, WRONG_TILES),
            (Oddity::Nul, WRONG_TILES),
            (Oddity::AreaInQuery, WRONG_TILES),
            (Oddity::AreaAmongOthers, WRONG_TILES),
            (Oddity::AreaBeforeOthers, WRONG_TILES),
            (Oddity::AreaInCapitals, WRONG_TILES),
            (Oddity::AreaEncoded, WRONG_TILES),
            (Oddity::AreaInPixels, WRONG_TILES),
            (Oddity::AreaInPercent, WRONG_TILES),
        ],
        at_root: None,
        minds_port: false,
        minds_slash_in_query: false,
    },
    Player {
        name: "videojs-vtt.js",
        without_cues: NO_CUES,
        minds: &[
            (Oddity::LoneCr, NO_CUES),
            (Oddity::NoBlankAfterHeader, LOSES),
            (Oddity::Comma, NO_CUES),
            (Oddity::NoMillis, NO_CUES),
            (Oddity::OneDigitOfMillis, NO_CUES),
            (Oddity::TwoDigitsOfMillis, NO_CUES),
        ],
        at_root: None,
        minds_port: false,
        minds_slash_in_query: false,
    },
];
