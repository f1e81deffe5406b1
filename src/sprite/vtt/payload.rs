//! The line of a cue that names a part of a sheet: `0.jpg#xywh=0,0,142,80`.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::index::Area;
use crate::sanitize::is_invisible;

/// How many characters a name may have: no server takes many more in a URL.
const MAX_NAME: usize = 2_048;

/// What the line names.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Payload {
    pub(super) name: String,
    pub(super) area: Area,
    /// The area is written in another way than `#xywh=` with four whole numbers.
    pub(super) is_odd: bool,
    /// The area has decimals, which are rounded.
    pub(super) is_rounded: bool,
}

/// Why the line names nothing that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadPayload {
    NoName,
    NameTooLong,
    /// It has characters that cannot be seen, or that are none.
    NameUnreadable,
    Area,
}

impl Payload {
    pub(super) fn read(line: &str) -> Result<Self, BadPayload> {
        let Parts { name, area, is_odd } = Parts::of(line);
        if name.is_empty() {
            return Err(BadPayload::NoName);
        }
        if name.chars().nth(MAX_NAME).is_some() {
            return Err(BadPayload::NameTooLong);
        }
        if name.contains(|c| is_invisible(c) || c == char::REPLACEMENT_CHARACTER) {
            return Err(BadPayload::NameUnreadable);
        }
        let name = name.into_owned();
        let Some(area) = area else {
            return Ok(Self { name, area: Area::Whole, is_odd: false, is_rounded: false });
        };
        let (area, is_plain, is_rounded) = read_area(area).ok_or(BadPayload::Area)?;
        Ok(Self { name, area, is_odd: is_odd || !is_plain, is_rounded })
    }
}

/// A line, taken apart.
struct Parts<'a> {
    name: Cow<'a, str>,
    /// What stands behind `xywh=`.
    area: Option<&'a str>,
    /// `xywh` is not the whole of the fragment, or not in small letters.
    is_odd: bool,
}

impl<'a> Parts<'a> {
    fn of(line: &'a str) -> Self {
        // The name itself may hold a `#`, and another one may follow the area.
        let (name, fragment) = line.rsplit_once('#').unwrap_or((line, ""));
        if let Some((area, is_odd, _)) = parameter(fragment) {
            return Self { name: name.into(), area: Some(area), is_odd };
        }
        if let Some((name, fragment)) = name.rsplit_once('#')
            && let Some((area, ..)) = parameter(fragment)
        {
            return Self { name: name.into(), area: Some(area), is_odd: true };
        }
        if let Some((path, query)) = name.split_once('?')
            && let Some((area, _, others)) = parameter(query)
        {
            let name =
                if others.is_empty() { path.into() } else { format!("{path}?{others}").into() };
            return Self { name, area: Some(area), is_odd: true };
        }
        Self { name: name.into(), area: None, is_odd: false }
    }
}

/// Finds `xywh` among parameters: its value, whether anything but `xywh=` and it stands there, and the
/// other parameters.
fn parameter(parameters: &str) -> Option<(&str, bool, String)> {
    let value_of = |parameter: &'_ str| {
        let parameter = parameter.strip_prefix("amp;").unwrap_or(parameter);
        let (name, _) = parameter.split_once('=')?;
        name.eq_ignore_ascii_case("xywh").then(|| name.len() + 1)
    };
    let found = parameters.split('&').find(|parameter| value_of(parameter).is_some())?;
    let (name, value) = found.split_once('=')?;
    let others: Vec<&str> =
        parameters.split('&').filter(|parameter| value_of(parameter).is_none()).collect();
    Some((value, name != "xywh" || !others.is_empty(), others.join("&")))
}

/// Reads an area: what it is, whether it is written with four whole numbers and nothing else, and
/// whether decimals were rounded.
fn read_area(text: &str) -> Option<(Area, bool, bool)> {
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    let (unit, sides) = decoded.split_once(':').unwrap_or(("", &decoded));
    let mut numbers = sides.split(',').map(|side| decimal(side.trim()));
    let [x, y, width, height] = [(); 4].map(|()| numbers.next().flatten());
    let (x, y, width, height) = (x?, y?, width?, height?);
    if numbers.next().is_some() {
        return None;
    }
    let is_percent = unit.eq_ignore_ascii_case("percent");
    if is_percent {
        let is_empty = width <= 0.0 || height <= 0.0;
        return (!is_empty).then_some((Area::Percent { x, y, width, height }, false, false));
    }
    if !matches!(unit.to_ascii_lowercase().as_str(), "" | "pixel") {
        return None;
    }
    // By its edges: neighbours stay neighbours.
    let [left, top] = [pixel(x)?, pixel(y)?];
    let [right, bottom] = [pixel(x + width)?, pixel(y + height)?];
    let (width_pixels, height_pixels) = (right.checked_sub(left)?, bottom.checked_sub(top)?);
    if width_pixels == 0 || height_pixels == 0 {
        return None;
    }
    let area = Area::Pixels { x: left, y: top, width: width_pixels, height: height_pixels };
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b',');
    let is_rounded = [x, y, width, height].iter().any(|side| side.fract() != 0.0);
    Some((area, is_plain, is_rounded))
}

/// Reads a number without sign and exponent.
fn decimal(text: &str) -> Option<f64> {
    let is_number = text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_number { text.parse().ok() } else { None }
}

/// Rounds to a pixel.
fn pixel(side: f64) -> Option<u32> {
    let side = side.round();
    // Exact: whole, and within the range.
    (0.0..=f64::from(u32::MAX)).contains(&side).then_some(side as u32)
}
