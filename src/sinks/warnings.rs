//! What is to be said of secrets that are handed on as they are: headers, variables.

use std::collections::BTreeMap;

use crate::sanitize::invisible_in;
use crate::secret::{SecretRef, SecretWarning};

/// Remarks on the values of the table under `key`, as far as they can be looked at from here. Of a
/// value of several lines, a certificate say, line ends are a part. Blocks on the files they stand in.
pub(super) fn of_values(
    key: &'static str,
    values: &BTreeMap<String, SecretRef>,
) -> Vec<SecretWarning> {
    let mut remarks = Vec::new();
    for (name, value) in values {
        let Some(Ok(value)) = value.glance() else { continue };
        let text = value.expose();
        let has_lines = text.trim().contains('\n');
        let unseen =
            if has_lines { text.lines().find_map(invisible_in) } else { invisible_in(text) };
        remarks.extend(unseen.map(|what| SecretWarning {
            key,
            message: format!("{key}.{name}: its value {what}, which is handed on with it"),
            is_fault: false,
        }));
    }
    remarks
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
            let remarks = of_values("env", &BTreeMap::from([("A".to_owned(), value)]));
            let said: String = remarks.iter().map(|remark| remark.message.as_str()).collect();
            assert!(said.contains(says) && said.is_empty() == says.is_empty(), "{said}");
            assert!(!said.contains("abc") && !said.contains("MIIB"), "{said}");
        }
    }
}
