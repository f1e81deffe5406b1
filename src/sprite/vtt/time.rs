//! The times of a cue.

/// The times of a cue as a line gives them, and in what they differ from the spelling that all players
/// read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Times {
    /// In milliseconds.
    pub(super) start: u64,
    /// In milliseconds.
    pub(super) end: u64,
    /// Not one blank on each side of the arrow.
    pub(super) is_arrow_odd: bool,
    pub(super) has_settings: bool,
    pub(super) spelling: Spelling,
}

/// In what a time differs from `HH:MM:SS.mmm`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spelling {
    pub(super) has_comma: bool,
    /// No hours, or not two digits of them.
    pub(super) are_hours_odd: bool,
    /// No milliseconds, or not three digits of them.
    pub(super) are_millis_odd: bool,
}

impl Spelling {
    fn or(self, other: Self) -> Self {
        Self {
            has_comma: self.has_comma | other.has_comma,
            are_hours_odd: self.are_hours_odd | other.are_hours_odd,
            are_millis_odd: self.are_millis_odd | other.are_millis_odd,
        }
    }
}

impl Times {
    /// Reads the line; the error is the part of it that is no time.
    pub(super) fn read(line: &str) -> Result<Self, &str> {
        let (before, after) = line.split_once("-->").ok_or(line)?;
        let (start, end) = (before.trim(), after.trim_start());
        let (end, settings) = end.split_once(char::is_whitespace).unwrap_or((end, ""));
        let (start, start_spelling) = time(start).ok_or(start)?;
        let (end, end_spelling) = time(end).ok_or(end)?;
        let is_one_blank = |blanks: &str| blanks == " ";
        Ok(Self {
            start,
            end,
            is_arrow_odd: !is_one_blank(&before[before.trim_end().len()..])
                || !is_one_blank(&after[..after.len() - after.trim_start().len()]),
            has_settings: !settings.trim().is_empty(),
            spelling: start_spelling.or(end_spelling),
        })
    }
}

/// How many digits hours may have: more than a century.
const MAX_HOUR_DIGITS: usize = 6;

/// Reads `[hours:]minutes:seconds[.fraction]`.
fn time(text: &str) -> Option<(u64, Spelling)> {
    let (clock, fraction) = text.split_once(['.', ',']).unwrap_or((text, ""));
    let mut parts = clock.rsplit(':');
    let seconds = number(parts.next()?, 2).filter(|seconds| *seconds < 60)?;
    let minutes = number(parts.next()?, 2).filter(|minutes| *minutes < 60)?;
    let hours = parts.next();
    if parts.next().is_some() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole = hours.map_or(Some(0), |hours| number(hours, MAX_HOUR_DIGITS))? * 3600
        + minutes * 60
        + seconds;
    let millis = fraction.bytes().chain(*b"000").take(3);
    let millis = millis.fold(0, |millis, digit| millis * 10 + u64::from(digit - b'0'));
    let spelling = Spelling {
        has_comma: text.contains(','),
        are_hours_odd: hours.is_none_or(|hours| hours.len() != 2),
        are_millis_odd: fraction.len() != 3,
    };
    Some((whole * 1000 + millis, spelling))
}

/// Reads a number of one to `max` digits.
fn number(text: &str, max: usize) -> Option<u64> {
    let is_number =
        (1..=max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_however_they_are_written() {
        for (text, millis, odd) in [
            ("00:00:10.000", 10_000, ""),
            ("00:10.000", 10_000, "h"),
            ("0:00:10.000", 10_000, "h"),
            ("100:00:10.000", 360_010_000, "h"),
            ("00:00:10", 10_000, "m"),
            ("00:00:10.", 10_000, "m"),
            ("00:00:00.5", 500, "m"),
            ("00:00:10.50", 10_500, "m"),
            ("00:00:10.123456", 10_123, "m"),
            ("00:00:10,000", 10_000, "c"),
            ("0:1", 1_000, "hm"),
            ("999999:59:59.999", 3_599_999_999_999, "h"),
        ] {
            let (read, spelling) = time(text).unwrap();
            assert_eq!(read, millis, "{text}");
            assert_eq!(spelling.has_comma, odd.contains('c'), "{text}");
            assert_eq!(spelling.are_hours_odd, odd.contains('h'), "{text}");
            assert_eq!(spelling.are_millis_odd, odd.contains('m'), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            ":",
            "10",
            "10.5",
            "00:60",
            "00:00:75.000",
            "00:61:00.000",
            "00:00:00:00",
            "-1:00",
            "+1:00",
            "0x:00",
            "00:00:00.00a",
            "00:00:00.0.0",
            "00 :00",
            "١:00",
            "1000000:00:00.000",
            "99999999999999999999:00:00",
            "00:000:00",
        ] {
            assert_eq!(time(text), None, "{text}");
        }
    }
}
