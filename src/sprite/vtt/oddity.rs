//! In what a text differs from the one spelling that every player reads.

use super::super::finding::FindingCode;

/// One difference. None of them loses a cue here; each does in some player.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::sprite) enum Oddity {
    ByteOrderMark,
    CrLf,
    LoneCr,
    MixedLineEnds,
    Nul,
    NotUtf8,
    HeaderText,
    HeaderLines,
    NoBlankAfterHeader,
    NoBlankBetweenCues,
    FilledBlankLines,
    OuterBlanks,
    Notes,
    Identifiers,
    ExtraLines,
    NoHours,
    ShortHours,
    LongHours,
    Comma,
    NoMillis,
    OneDigitOfMillis,
    TwoDigitsOfMillis,
    LongMillis,
    TabsAtArrow,
    NoBlankAtArrow,
    ManyBlanksAtArrow,
    Settings,
    NoArea,
    AreaInQuery,
    AreaAmongOthers,
    AreaBeforeOthers,
    AreaWithBlanks,
    AreaInCapitals,
    AreaEncoded,
    AreaInPixels,
    AreaInPercent,
    /// Such as `142.0`.
    AreaWithPoint,
    AreaRounded,
}

impl Oddity {
    /// The code of the finding.
    pub(super) fn code(self) -> FindingCode {
        match self {
            Self::ByteOrderMark => FindingCode::ByteOrderMark,
            Self::CrLf | Self::LoneCr | Self::MixedLineEnds => FindingCode::LineEnds,
            Self::Nul => FindingCode::Nul,
            Self::NotUtf8 => FindingCode::Encoding,
            Self::HeaderText | Self::HeaderLines => FindingCode::HeaderText,
            Self::NoBlankAfterHeader | Self::NoBlankBetweenCues | Self::FilledBlankLines => {
                FindingCode::BlankLines
            }
            Self::OuterBlanks => FindingCode::Blanks,
            Self::Notes => FindingCode::Notes,
            Self::Identifiers => FindingCode::Identifiers,
            Self::ExtraLines => FindingCode::ExtraLines,
            Self::NoHours | Self::ShortHours | Self::LongHours => FindingCode::Hours,
            Self::Comma => FindingCode::Comma,
            Self::NoMillis
            | Self::OneDigitOfMillis
            | Self::TwoDigitsOfMillis
            | Self::LongMillis => FindingCode::Milliseconds,
            Self::TabsAtArrow | Self::NoBlankAtArrow | Self::ManyBlanksAtArrow => {
                FindingCode::Arrow
            }
            Self::Settings => FindingCode::Settings,
            Self::NoArea => FindingCode::AreaMissing,
            Self::AreaInQuery
            | Self::AreaAmongOthers
            | Self::AreaBeforeOthers
            | Self::AreaWithBlanks
            | Self::AreaInCapitals
            | Self::AreaEncoded
            | Self::AreaInPixels
            | Self::AreaInPercent
            | Self::AreaWithPoint => FindingCode::AreaSpelling,
            Self::AreaRounded => FindingCode::AreaRounded,
        }
    }

    /// What the text has, as a clause.
    pub(in crate::sprite) fn words(self) -> &'static str {
        match self {
            Self::ByteOrderMark => "the text begins with a byte order mark",
            Self::CrLf => "lines end with CR LF",
            Self::LoneCr => "lines end with CR",
            Self::MixedLineEnds => "lines end in several ways",
            Self::Nul => "the text holds NUL characters",
            Self::NotUtf8 => "some bytes are not UTF-8",
            Self::HeaderText => "text stands behind WEBVTT",
            Self::HeaderLines => "the header has more than one line",
            Self::NoBlankAfterHeader => "no blank line follows the header",
            Self::NoBlankBetweenCues => "no blank line stands between cues",
            Self::FilledBlankLines => "blank lines hold blanks",
            Self::OuterBlanks => "lines begin or end with blanks",
            Self::Notes => "a NOTE, STYLE or REGION stands among the cues",
            Self::Identifiers => "cues have identifiers",
            Self::ExtraLines => "cues have more lines than the name of a tile",
            Self::NoHours => "times have no hours",
            Self::ShortHours => "hours have one digit",
            Self::LongHours => "hours have more than two digits",
            Self::Comma => "a comma stands before the milliseconds",
            Self::NoMillis => "times have no milliseconds",
            Self::OneDigitOfMillis => "milliseconds have one digit",
            Self::TwoDigitsOfMillis => "milliseconds have two digits",
            Self::LongMillis => "milliseconds have more than three digits",
            Self::TabsAtArrow => "tabs stand beside the arrow",
            Self::NoBlankAtArrow => "no blank stands beside the arrow",
            Self::ManyBlanksAtArrow => "more than one blank stands beside the arrow",
            Self::Settings => "settings stand behind the times",
            Self::NoArea => "cues have no xywh, so that the whole sheet is the tile",
            Self::AreaInQuery => "xywh stands in the query",
            Self::AreaAmongOthers => "other parameters stand before xywh",
            Self::AreaBeforeOthers => "other parameters stand behind xywh",
            Self::AreaWithBlanks => "xywh holds blanks",
            Self::AreaInCapitals => "XYWH is in capitals",
            Self::AreaEncoded => "xywh is percent-encoded",
            Self::AreaInPixels => "xywh names its unit, pixel",
            Self::AreaInPercent => "xywh is in percent",
            Self::AreaWithPoint => "xywh has decimals",
            Self::AreaRounded => "xywh has decimals, which are rounded",
        }
    }
}
