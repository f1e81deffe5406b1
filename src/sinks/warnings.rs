//! Warnings about secrets that are handed on as they are: headers, variables.

use std::collections::BTreeMap;

use crate::sanitize::{invisible_in, is_in_quotes};
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
        let unseen = unseen.map(|what| format!("{what}, which is passed on with it"));
        let quotes =
            is_in_quotes(text).then(|| "stands in quotes, which are passed on with it".to_owned());
        found.extend(
            [unseen, quotes]
                .into_iter()
                .flatten()
                .map(|what| SettingIssue::warning(format!("{key}.{name}: the value {what}"))),
        );
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
            ("\"Bearer abc\"", "stands in quotes, which are passed on with it"),
            ("'abc'", "stands in quotes"),
            ("“abc”", "stands in quotes"),
            ("Digest user=\"abc\"", ""),
            ("\u{3164}", "cannot be seen"),
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
