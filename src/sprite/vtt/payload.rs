//! The line of a cue that names a part of a sheet: `0.jpg#xywh=0,0,142,80`.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::index::Area;
use super::oddity::Oddity;
use crate::sanitize::is_invisible;

/// How many characters a name may have: no server takes many more in a URL.
const MAX_NAME: usize = 2_048;

/// What the line names.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Payload {
    pub(super) name: String,
    pub(super) area: Area,
    pub(super) oddities: Vec<Oddity>,
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
        let Parts { name, area, mut oddities } = Parts::of(line);
        if name.is_empty() {
            return Err(BadPayload::NoName);
        }
        if name.chars().nth(MAX_NAME).is_some() {
            return Err(BadPayload::NameTooLong);
        }
        if name.contains(|c| is_invisible(c) || c == char::REPLACEMENT_CHARACTER) {
            return Err(BadPayload::NameUnreadable);
        }
        let area = match area {
            Some(area) => read_area(area, &mut oddities).ok_or(BadPayload::Area)?,
            None => Area::Whole,
        };
        Ok(Self { name: name.into_owned(), area, oddities })
    }
}

/// A line, taken apart.
struct Parts<'a> {
    name: Cow<'a, str>,
    /// What stands behind `xywh=`.
    area: Option<&'a str>,
    oddities: Vec<Oddity>,
}

impl<'a> Parts<'a> {
    fn of(line: &'a str) -> Self {
        // The name itself may hold a `#`, and another one may follow the area.
        let (name, fragment) = line.rsplit_once('#').unwrap_or((line, ""));
        if let Some(Parameter { value, oddities, .. }) = Parameter::find(fragment) {
            return Self { name: name.into(), area: Some(value), oddities };
        }
        if let Some((name, fragment)) = name.rsplit_once('#')
            && let Some(Parameter { value, .. }) = Parameter::find(fragment)
        {
            let oddities = vec![Oddity::AreaBeforeOthers];
            return Self { name: name.into(), area: Some(value), oddities };
        }
        if let Some((path, query)) = name.split_once('?')
            && let Some(Parameter { value, others, .. }) = Parameter::find(query)
        {
            let name =
                if others.is_empty() { path.into() } else { format!("{path}?{others}").into() };
            return Self { name, area: Some(value), oddities: vec![Oddity::AreaInQuery] };
        }
        Self { name: name.into(), area: None, oddities: vec![Oddity::NoArea] }
    }
}

/// `xywh` among other parameters.
struct Parameter<'a> {
    value: &'a str,
    others: String,
    oddities: Vec<Oddity>,
}

impl<'a> Parameter<'a> {
    fn find(parameters: &'a str) -> Option<Self> {
        let area = |parameter: &'a str| {
            let parameter = parameter.strip_prefix("amp;").unwrap_or(parameter);
            parameter.split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case("xywh"))
        };
        let (name, value) = parameters.split('&').find_map(area)?;
        let others: Vec<&str> =
            parameters.split('&').filter(|parameter| area(parameter).is_none()).collect();
        let mut oddities = Vec::new();
        if !others.is_empty() {
            let is_first = parameters.split('&').next().and_then(area).is_some();
            oddities.push(if is_first {
                Oddity::AreaBeforeOthers
            } else {
                Oddity::AreaAmongOthers
            });
        }
        if name != "xywh" {
            oddities.push(Oddity::AreaInCapitals);
        }
        Some(Self { value, others: others.join("&"), oddities })
    }
}

fn read_area(text: &str, oddities: &mut Vec<Oddity>) -> Option<Area> {
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    let (unit, sides) = decoded.split_once(':').unwrap_or(("", &decoded));
    let mut numbers = sides.split(',').map(|side| decimal(side.trim()));
    let [x, y, width, height] = [(); 4].map(|()| numbers.next().flatten());
    let (x, y, width, height) = (x?, y?, width?, height?);
    if numbers.next().is_some() {
        return None;
    }
    if *decoded != *text {
        oddities.push(Oddity::AreaEncoded);
    }
    if decoded.contains(char::is_whitespace) {
        oddities.push(Oddity::AreaWithBlanks);
    }
    match unit.to_ascii_lowercase().as_str() {
        "" => {}
        "pixel" => oddities.push(Oddity::AreaInPixels),
        "percent" => {
            oddities.push(Oddity::AreaInPercent);
            let is_empty = width <= 0.0 || height <= 0.0;
            return (!is_empty).then_some(Area::Percent { x, y, width, height });
        }
        _ => return None,
    }
    if [x, y, width, height].iter().any(|side| side.fract() != 0.0) {
        oddities.push(Oddity::AreaRounded);
    } else if sides.contains('.') {
        oddities.push(Oddity::AreaWithPoint);
    }
    // By its edges: neighbours stay neighbours.
    let [left, top] = [pixel(x)?, pixel(y)?];
    let [right, bottom] = [pixel(x + width)?, pixel(y + height)?];
    let (width, height) = (right.checked_sub(left)?, bottom.checked_sub(top)?);
    (width > 0 && height > 0).then_some(Area::Pixels { x: left, y: top, width, height })
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
