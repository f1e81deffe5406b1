//! Whether the text of a signing secret is the key that was meant, as far as the text shows.
//!
//! Nothing is refused here: receivers may have been given the same text. No remark shows it.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use strsim::osa_distance;

use super::signature::{MIN_KEY, PREFIX, SigningKey};
use crate::sanitize;
use crate::secret::Secret;

/// Base64 as the most forgiving library of a receiver reads it.
const FORGIVING: GeneralPurpose = forgiving(&alphabet::STANDARD);
/// The same in the alphabet of URLs, with `-` and `_`.
const FORGIVING_URL: GeneralPurpose = forgiving(&alphabet::URL_SAFE);

const fn forgiving(alphabet: &alphabet::Alphabet) -> GeneralPurpose {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    GeneralPurpose::new(alphabet, config)
}

/// Returns warnings about a secret that makes a key.
pub(super) fn of(secret: &Secret) -> Vec<String> {
    let text = secret.expose();
    if let Some(encoded) = text.strip_prefix(PREFIX) {
        let bytes = SigningKey::decode(encoded).map_or(0, |key| key.len());
        let is_short = bytes < MIN_KEY;
        let short = || {
            let noun = if bytes == 1 { "byte" } else { "bytes" };
            format!(
                "its key has {bytes} {noun}; Standard Webhooks asks for {MIN_KEY} at least, since a \
                 short one can be guessed: make one by `openssl rand -base64 32`"
            )
        };
        return is_short.then(short).into_iter().collect();
    }
    let mut found = Vec::new();
    found.extend(
        sanitize::invisible_in(text).map(|what| format!("it {what}, which belongs to the key")),
    );
    found.extend(wrapped(text));
    found.extend(misnamed(bare(text)).or_else(|| encoded(text)));
    found
}

/// The text without what may stand around it by mistake.
fn bare(text: &str) -> &str {
    let is_around =
        |c: char| c.is_whitespace() || sanitize::is_invisible(c) || sanitize::is_quote(c);
    let text = text.trim_matches(is_around);
    bearer(text).unwrap_or(text).trim_matches(is_around)
}

/// What follows the word that stands before a token in a header.
fn bearer(text: &str) -> Option<&str> {
    let (word, rest) = text.split_once(char::is_whitespace)?;
    word.trim_end_matches(':').eq_ignore_ascii_case("bearer").then_some(rest)
}

fn wrapped(text: &str) -> Option<String> {
    if sanitize::is_in_quotes(text) {
        return Some("it stands in quotes, which belong to the key".to_owned());
    }
    let word = "it begins with the word Bearer, which belongs to the key";
    bearer(text.trim()).map(|_| word.to_owned())
}

/// A beginning that is not [`PREFIX`], and looks as if it were to be, or as if it meant another
/// kind of key.
fn misnamed(text: &str) -> Option<String> {
    let begin: String = text.chars().take(10).collect::<String>().to_lowercase();
    let letters: String = begin.chars().filter(|c| c.is_alphanumeric()).take(5).collect();
    // What stands before the first character that is no letter.
    let name = begin.find(|c: char| !c.is_alphanumeric()).map(|end| &begin[..end]);
    if matches!(name, Some("whsk" | "whpk")) {
        return Some(
            "it looks like an asymmetric key of Standard Webhooks; events are signed with a \
             symmetric one, and this text is taken for it as it stands"
                .to_owned(),
        );
    }
    if begin.starts_with("akid") && text.len() > 20 {
        return Some("it looks like the secret_id of a key of the cloud".to_owned());
    }
    if text.find(PREFIX).is_some_and(|at| at > 0) {
        return Some(format!(
            "{PREFIX} stands in it and not at its beginning, so that all of it is taken for the key as \
             it stands: if Base64 follows there, begin with {PREFIX}"
        ));
    }
    let meant = PREFIX.trim_end_matches('_');
    let is_near = letters == meant || name.is_some_and(|name| osa_distance(name, meant) == 1);
    is_near.then(|| {
        format!(
            "it begins nearly as {PREFIX} does and not so, and is taken for the key as it stands: if \
             Base64 follows there, write {PREFIX} exactly, with nothing before it"
        )
    })
}

/// A text that is Base64 of a whole key, or was made to be.
fn encoded(text: &str) -> Option<String> {
    let is_key = |base64: &GeneralPurpose, text: &str| {
        base64.decode(text).is_ok_and(|key| key.len() >= MIN_KEY)
    };
    let text = text.trim();
    let joined: String = text.split_whitespace().collect();
    // A phrase of words would be Base64 without the blanks, and was not meant so.
    let is_phrase = joined != text && joined.chars().all(char::is_alphabetic);
    if is_key(&FORGIVING, &joined) && !is_phrase {
        let (blanks, how) = match joined == text {
            true => ("", ""),
            false => (", some of them with white space in it", ", without white space in it"),
        };
        return Some(format!(
            "it does not begin with {PREFIX} and is taken for the key as it stands; libraries of \
             receivers read such a text as Base64{blanks}, which is another key: if they refuse \
             the signatures, write {PREFIX} before it{how}"
        ));
    }
    // Words with hyphens and UUIDs are in that alphabet, too.
    let is_random = [char::is_uppercase, char::is_lowercase, char::is_numeric]
        .into_iter()
        .all(|is_kind: fn(char) -> bool| joined.contains(is_kind));
    (is_random && !is_phrase && is_key(&FORGIVING_URL, &joined)).then(|| {
        format!(
            "it looks like Base64 in the alphabet of URLs and is taken for the key as it stands; \
             libraries of receivers want the standard alphabet and refuse such a text or read \
             another key from it: if they refuse the signatures, write {PREFIX} before it and + \
             and / for - and _, padded with = to a multiple of 4"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn said(text: &str) -> String {
        let said = of(&text.into()).join("\n");
        let rest = bare(text).rsplit(['_', '-', ' ']).next().unwrap_or_default();
        assert!(rest.len() < 8 || !said.contains(rest), "{said}");
        said
    }

    #[test]
    fn what_was_meant_is_not_remarked_upon() {
        for text in [
            format!("whsec_{KEY}"),
            "correct horse battery staple".to_owned(),
            "hooksigning-77aa10c3e2".to_owned(),
            "with inner  blanks and ümläuts".to_owned(),
            "550e8400-e29b-41d4-a716-446655440000".to_owned(),
            "white-secret".to_owned(),
            "short".to_owned(),
            "this is a passphrase of seven words now".to_owned(),
            "my-very-long-secret-of-the-webhook-receiver".to_owned(),
            // Base64 of fewer bytes than any library would take.
            "c2hvcnQgZW5vdWdo".to_owned(),
        ] {
            assert_eq!(said(&text), "", "{text}");
        }
    }

    #[test]
    fn a_short_key_is_told() {
        for (text, says) in [
            ("whsec_QQ==", "its key has 1 byte;"),
            ("whsec_b2xk", "its key has 3 bytes;"),
            ("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=", "its key has 23 bytes;"),
            ("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz", ""),
        ] {
            assert!(
                said(text).contains(says) && said(text).is_empty() == says.is_empty(),
                "{text}"
            );
        }
    }

    #[test]
    fn a_beginning_that_is_nearly_the_one_is_told() {
        for begin in [
            "WHSEC_",
            "Whsec_",
            "whsec-",
            "whsec",
            "whsec:",
            "whsec ",
            "whsec=",
            "whsecret_",
            "wsec_",
            "hwsec_",
            "whsc_",
            "wh-sec_",
            " whsec_",
            "\twhsec_",
            "\u{feff}whsec_",
            "\u{200b}whsec_",
            "\"whsec_",
            "'whsec_",
            "Bearer whsec_",
            "bearer: whsec_",
            "whѕec_",
        ] {
            let said = said(&format!("{begin}{KEY}"));
            assert!(said.contains("nearly as whsec_"), "{begin:?}: {said}");
        }
        for begin in ["whsk_", "whpk_", "WHSK_", " whpk_"] {
            let said = said(&format!("{begin}{KEY}"));
            assert!(said.contains("asymmetric"), "{begin:?}: {said}");
        }
        assert!(said("AKIDz8krbsJ5yKBZQpn74WFkmLPx3aaaa").contains("secret_id"));
    }

    /// As some services hand their keys out, with a version before it.
    #[test]
    fn a_prefix_that_is_not_at_the_beginning_is_told() {
        for text in [format!("v1,whsec_{KEY}"), format!("key=whsec_{KEY}")] {
            assert!(said(&text).contains("stands in it and not at its beginning"), "{text}");
        }
    }

    #[test]
    fn what_stands_around_it_is_told() {
        for (text, says) in [
            (format!("\"whsec_{KEY}\""), "it stands in quotes"),
            ("“a plain text”".to_owned(), "it stands in quotes"),
            ("Bearer a-plain-text".to_owned(), "the word Bearer"),
            ("a plain text\n".to_owned(), "it ends in a line end, which belongs to the key"),
            (" a plain text".to_owned(), "it begins with white space"),
        ] {
            assert!(said(&text).contains(says), "{text:?}: {}", said(&text));
        }
    }

    #[test]
    fn base64_of_urls_and_base64_in_pieces_are_told() {
        for text in [
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-_",
            "-fKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo",
            "_fKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=",
        ] {
            let said = of(&text.into()).join("\n");
            assert!(said.contains("alphabet of URLs"), "{text:?}: {said}");
            assert!(!said.contains(text) && !said.contains("GKYq"), "{said}");
        }
        for text in [
            "MfKQ9r8GKYqrTwjU PD8ILPZIo2LaLaSw",
            "MfKQ9r8GKYqrTwjU\nPD8ILPZIo2LaLaSw\n",
            "0123 4567 89ab cdef 0123 4567 89ab cdef",
        ] {
            let said = of(&text.into()).join("\n");
            assert!(said.contains("another key") && said.contains("white space in it"), "{said}");
            assert!(!said.contains("GKYq") && !said.contains("89ab"), "{said}");
        }
    }

    #[test]
    fn text_that_libraries_read_as_base64_is_told() {
        for text in [
            KEY.to_owned(),
            format!("{KEY}\n"),
            "0123456789abcdef0123456789abcdef".to_owned(),
            "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNA==".to_owned(),
            "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNA".to_owned(),
        ] {
            assert!(said(&text).contains("another key"), "{text:?}: {}", said(&text));
        }
    }
}
