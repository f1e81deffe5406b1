//! What requests are signed with.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::secret::Secret;

/// A key to sign with. `Debug` shows the id and the time of expiry only.
#[derive(Clone)]
pub struct Credentials {
    secret_id: String,
    secret_key: Secret,
    token: Option<Secret>,
    expires: Option<DateTime<Utc>>,
}

impl Credentials {
    /// Credentials of these parts.
    ///
    /// # Errors
    /// Which part cannot be right, without its value: an empty one, one with white space at an
    /// end (a slip of copying), an id or token that no HTTP header can hold.
    pub fn new(
        secret_id: &str,
        secret_key: Secret,
        token: Option<Secret>,
        expires: Option<DateTime<Utc>>,
    ) -> Result<Self, String> {
        let token = token.filter(|token| !token.expose().is_empty());
        let parts = [
            ("secret_id", Some(secret_id)),
            ("secret_key", Some(secret_key.expose())),
            ("token", token.as_ref().map(Secret::expose)),
        ];
        for (name, value) in parts {
            let Some(value) = value else { continue };
            if value.is_empty() {
                return Err(format!("{name} is empty"));
            }
            if name == "secret_id" && is_placeholder(value) {
                return Err(format!("{name} {PLACEHOLDER}"));
            }
            if value.trim() != value {
                return Err(format!("{name} begins or ends with white space"));
            }
            if name != "secret_key" && !value.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(format!("{name} holds characters other than printable ASCII"));
            }
        }
        Ok(Self { secret_id: secret_id.to_owned(), secret_key, token, expires })
    }

    /// The id of the key; no secret.
    pub fn secret_id(&self) -> &str {
        &self.secret_id
    }

    /// The key.
    pub fn secret_key(&self) -> &Secret {
        &self.secret_key
    }

    /// The session token of a temporary key.
    pub fn token(&self) -> Option<&Secret> {
        self.token.as_ref()
    }

    /// When the service will stop taking them, as far as known.
    pub fn expires(&self) -> Option<DateTime<Utc>> {
        self.expires
    }
}

/// Equal if they sign alike; when they expire does not count.
impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        let token = |credentials: &Self| credentials.token.as_ref().map(|t| t.expose().to_owned());
        self.secret_id == other.secret_id
            && self.secret_key.expose() == other.secret_key.expose()
            && token(self) == token(other)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("secret_id", &self.secret_id)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// What a secret id is for which [`is_placeholder`] holds.
pub(super) const PLACEHOLDER: &str =
    "is the placeholder of the example: put the SecretId of your key in its place";

/// Whether `secret_id` is what documents print in the place of one: `AKID` and an ellipsis, a row of
/// one sign that stands for others, or `EXAMPLE`.
pub(super) fn is_placeholder(secret_id: &str) -> bool {
    let Some(rest) = secret_id.strip_prefix("AKID") else { return false };
    let is_row_of =
        |sign: char| rest.len() >= 3 && rest.chars().all(|c| c.eq_ignore_ascii_case(&sign));
    rest == "…" || rest == "EXAMPLE" || ['.', 'x', '*'].into_iter().any(is_row_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_named_and_keys_are_not() {
        for id in ["AKID…", "AKID...", "AKIDxxxxxxxx", "AKIDXxXx", "AKID********", "AKIDEXAMPLE"]
        {
            let error = Credentials::new(id, "k".into(), None, None).unwrap_err();
            assert!(error.starts_with("secret_id is the placeholder of the example: "), "{error}");
        }
        for id in
            ["AKID", "AKIDx", "AKIDxxxy", "AKIDEMULATOR", "AKIDexample", "AKIDz8krbsJ5yKBZQpn7"]
        {
            assert!(Credentials::new(id, "k".into(), None, None).is_ok(), "{id}");
        }
    }

    #[test]
    fn slips_of_copying_are_named_without_the_value() {
        let new = |id: &str, key: &str, token: Option<&str>| {
            Credentials::new(id, key.into(), token.map(Secret::from), None)
        };
        assert_eq!(
            new("AKID ", "k", None).unwrap_err(),
            "secret_id begins or ends with white space"
        );
        assert_eq!(
            new("AKID", "\tk", None).unwrap_err(),
            "secret_key begins or ends with white space"
        );
        assert_eq!(
            new("AKID", "k", Some("t\n")).unwrap_err(),
            "token begins or ends with white space"
        );
        assert_eq!(new("", "k", None).unwrap_err(), "secret_id is empty");
        assert_eq!(new("AKID", "", None).unwrap_err(), "secret_key is empty");
        assert!(new("AK\nID", "k", None).unwrap_err().contains("printable"));
        assert!(new("AKID", "k", Some("")).unwrap().token().is_none());
    }

    #[test]
    fn debug_shows_the_id_only() {
        let credentials =
            Credentials::new("AKIDx", "hunter2".into(), Some("t0ken".into()), None).unwrap();
        let text = format!("{credentials:?}");
        assert!(
            text.contains("AKIDx") && !text.contains("hunter2") && !text.contains("t0ken"),
            "{text}"
        );
    }
}
