//! Warnings about secrets that are handed on as they are: headers, variables.

use std::collections::BTreeMap;

use crate::sanitize::invisible_in;
use crate::secret::SecretRef;
use crate::settings::SettingIssue;

/// Returns warnings about the values of the table under `key`, as far as they can be read here. Of
/// a value of several lines, a certificate say, line ends are a part. Blocks on the files they
/// stand in.
pub(super) fn of_values(key: &str, values: &BTreeMap<String, SecretRef>) -> Vec<SettingIssue> {
    let mut found = Vec::new();
    for (name, value) in values {
        let Some(Ok(value)) = value.glance() else { continue };
        let text = value.expose();
        let has_lines = text.trim().contains('\n');
        let unseen =
            if has_lines { text.lines().find_map(invisible_in) } else { invisible_in(text) };
        found.extend(unseen.map(|what| {
            let message = format!("{key}.{name}: the value {what}, which is passed on with it");
            SettingIssue::warning(message)
        }));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_in_a_value_is_told_and_lines_are_no_such_thing() {
        for (value, says) in [
            ("Bearer abc", ""),
            ("Bearer abc\n", "ends in a line end"),
            (" Bearer abc", "begins with white space"),
            ("Bearer\u{a0}abc", "cannot be seen"),
            ("-----BEGIN\nMIIB\n-----END\n", ""),
            ("-----BEGIN\nMIIB \n-----END\n", "ends in white space"),
        ] {
            let value = SecretRef::Literal(value.into());
            let warnings = of_values("env", &BTreeMap::from([("A".to_owned(), value)]));
            let said: String = warnings.iter().map(|warning| warning.message.as_str()).collect();
            assert!(said.contains(says) && said.is_empty() == says.is_empty(), "{said}");
            assert!(!said.contains("abc") && !said.contains("MIIB"), "{said}");
        }
    }
}
