//! The times of a cue.

use super::oddity::Oddity;

/// The times of a cue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CueTimes {
    /// In milliseconds.
    pub(super) start: u64,
    /// In milliseconds.
    pub(super) end: u64,
    pub(super) oddities: Vec<Oddity>,
}

impl CueTimes {
    /// Reads the line; the error is the part of it that is no time.
    pub(super) fn read(line: &str) -> Result<Self, &str> {
        let (before, after) = line.split_once("-->").ok_or(line)?;
        let (start, end) = (before.trim(), after.trim_start());
        // Settings may follow without a blank.
        let is_of_time = |c: char| c.is_ascii_digit() || matches!(c, ':' | '.' | ',');
        let (end, settings) = match end.find(|c| !is_of_time(c)) {
            Some(0) | None => (end, ""),
            Some(at) => end.split_at(at),
        };
        let mut oddities = Vec::new();
        let blanks = [&before[start.len()..], &after[..after.len() - after.trim_start().len()]];
        oddities.extend(blanks.iter().find_map(|blanks| arrow(blanks)));
        let start = time(start, &mut oddities).ok_or(start)?;
        let end = time(end, &mut oddities).ok_or(end)?;
        if !settings.trim().is_empty() {
            oddities.push(Oddity::Settings);
        }
        Ok(Self { start, end, oddities })
    }
}

/// What is odd of the blanks on one side of an arrow.
fn arrow(blanks: &str) -> Option<Oddity> {
    match blanks {
        " " => None,
        "" => Some(Oddity::NoBlankAtArrow),
        _ if blanks.contains('\t') => Some(Oddity::TabsAtArrow),
        _ => Some(Oddity::ManyBlanksAtArrow),
    }
}

/// How many digits hours may have: more than a century.
const MAX_HOUR_DIGITS: usize = 6;

/// Reads `[hours:]minutes:seconds[.fraction]`, in milliseconds.
fn time(text: &str, oddities: &mut Vec<Oddity>) -> Option<u64> {
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
    oddities.extend(match hours.map(str::len) {
        None => Some(Oddity::NoHours),
        Some(1) => Some(Oddity::ShortHours),
        Some(2) => None,
        Some(_) => Some(Oddity::LongHours),
    });
    oddities.extend(match fraction.len() {
        0 => Some(Oddity::NoMillis),
        1 => Some(Oddity::OneDigitOfMillis),
        2 => Some(Oddity::TwoDigitsOfMillis),
        3 => None,
        _ => Some(Oddity::LongMillis),
    });
    if text.contains(',') {
        oddities.push(Oddity::Comma);
    }
    Some(whole * 1000 + millis)
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
            ("00:00:10.000", 10_000, &[][..]),
            ("00:10.000", 10_000, &[Oddity::NoHours]),
            ("0:00:10.000", 10_000, &[Oddity::ShortHours]),
            ("100:00:10.000", 360_010_000, &[Oddity::LongHours]),
            ("00:00:10", 10_000, &[Oddity::NoMillis]),
            ("00:00:10.", 10_000, &[Oddity::NoMillis]),
            ("00:00:00.5", 500, &[Oddity::OneDigitOfMillis]),
            ("00:00:10.50", 10_500, &[Oddity::TwoDigitsOfMillis]),
            ("00:00:10.123456", 10_123, &[Oddity::LongMillis]),
            ("00:00:10,000", 10_000, &[Oddity::Comma]),
            ("0:1", 1_000, &[Oddity::NoHours, Oddity::NoMillis]),
            ("999999:59:59.999", 3_599_999_999_999, &[Oddity::LongHours]),
        ] {
            let mut oddities = Vec::new();
            assert_eq!(time(text, &mut oddities), Some(millis), "{text}");
            assert_eq!(oddities, odd, "{text}");
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
            assert_eq!(time(text, &mut Vec::new()), None, "{text}");
        }
    }
}
