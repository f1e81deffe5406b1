//! Which key a misspelt one was meant to be.

/// The one of `names` that `written` was most likely meant to be.
pub(super) fn nearest<'n>(
    written: &str,
    names: impl IntoIterator<Item = &'n str>,
) -> Option<&'n str> {
    let written = letters(written);
    // One slip for every three letters: more would suggest what was not meant.
    let most = (written.chars().count() / 3).max(1);
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&written, &letters(name)), name))
        .filter(|(slips, _)| *slips <= most)
        .min()
        .map(|(_, name)| name)
}

/// `SubAppId`, `sub-app-id` and `sub_app_id` are the same word.
fn letters(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognized_and_another_word_is_not() {
        let names = ["interval", "max_concurrency", "sub_app_id"];
        for (written, meant) in [
            ("intervall", Some("interval")),
            ("inetrval", Some("interval")),
            ("SubAppId", Some("sub_app_id")),
            ("max-concurency", Some("max_concurrency")),
            ("endpoint", None),
            ("x", None),
        ] {
            assert_eq!(nearest(written, names), meant, "{written}");
        }
    }
}
