//! The name of a service's unit, and the specifiers that stand for parts of it.

use std::fmt;

const SERVICE: &str = ".service";

/// The name of a service's unit: `sprited.service`, or of an instance, `sprited@north.service`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnitName {
    /// Without what follows an `@`, and without the ending.
    prefix: String,
    instance: Option<String>,
}

impl UnitName {
    /// Reads a name, of which the ending may be left out.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let name = text.strip_suffix(SERVICE).unwrap_or(text);
        let is_of_one = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
        if name.is_empty() || !name.chars().all(is_of_one) || name.starts_with(['@', '.']) {
            return Err("expected the name of a service, such as sprited or sprited@north".into());
        }
        let (prefix, instance) = match name.split_once('@') {
            Some((_, "")) => return Err(format!("name an instance of it, such as {name}north")),
            Some((prefix, instance)) => (prefix, Some(instance.to_owned())),
            None => (name, None),
        };
        Ok(Self { prefix: prefix.to_owned(), instance })
    }

    /// The names under which its file and its drop-ins may lie, the nearest first.
    pub(super) fn files(&self) -> Vec<String> {
        let template = self.instance.as_ref().map(|_| format!("{}@{SERVICE}", self.prefix));
        [self.to_string()].into_iter().chain(template).collect()
    }

    /// Puts in what specifiers stand for. Those that only the service manager knows stay.
    pub(super) fn expanded(&self, text: &str) -> String {
        let instance = self.instance.as_deref().unwrap_or_default();
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            expanded.push_str(before);
            let whole = self.to_string();
            let stands_for = match after.chars().next() {
                Some('i') => instance.to_owned(),
                Some('I') => unescaped(instance),
                Some('p') => self.prefix.clone(),
                Some('P') => unescaped(&self.prefix),
                Some('n') => whole,
                Some('N') => whole.trim_end_matches(SERVICE).to_owned(),
                Some('E') => "/etc".to_owned(),
                Some('S') => "/var/lib".to_owned(),
                Some('t') => "/run".to_owned(),
                Some('%') => "%".to_owned(),
                _ => {
                    expanded.push('%');
                    rest = after;
                    continue;
                }
            };
            expanded.push_str(&stands_for);
            rest = after.get(1..).unwrap_or_default();
        }
        expanded + rest
    }
}

/// What an escaped part of a name stands for: `-` for a slash, `\x2d` for a hyphen.
fn unescaped(part: &str) -> String {
    let part = part.replace('-', "/");
    let bytes = super::syntax::unescaped(&part);
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or(part)
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.instance {
            Some(instance) => write!(f, "{}@{instance}{SERVICE}", self.prefix),
            None => write!(f, "{}{SERVICE}", self.prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_its_ending_or_not() {
        for text in ["sprited", "sprited.service"] {
            let name = UnitName::parse(text).unwrap();
            assert_eq!(name.to_string(), "sprited.service");
            assert_eq!(name.files(), ["sprited.service"]);
        }
        let name = UnitName::parse("sprited@eu").unwrap();
        assert_eq!(name.files(), ["sprited@eu.service", "sprited@.service"]);
        for text in ["", ".service", "sprited@", "@eu", "../x", "a/b", "a b"] {
            assert!(UnitName::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn specifiers_stand_for_parts_of_the_name() {
        let name = UnitName::parse("sprited@a-b\\x2dc").unwrap();
        for (text, expanded) in [
            ("/etc/sprited/%i.key", "/etc/sprited/a-b\\x2dc.key"),
            ("%I", "a/b-c"),
            ("%n %N %p", "sprited@a-b\\x2dc.service sprited@a-b\\x2dc sprited"),
            ("100%% %q %", "100% %q %"),
            ("%E/%S", "/etc//var/lib"),
        ] {
            assert_eq!(name.expanded(text), expanded);
        }
        assert_eq!(UnitName::parse("sprited").unwrap().expanded("a%ib"), "ab");
    }
}
