//! What a reload may change: who may post, and what.

use reqwest::Url;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::settings::{ReceiveSettings, Verify, sign_key, token};
use crate::event::AppId;
use crate::secret::{Secret, SecretRef};

/// The settings in use, with the secrets as they were read at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceiveRules {
    /// The hashes of the tokens.
    tokens: Vec<[u8; 32]>,
    /// None: no signature is verified.
    pub(super) sign_keys: Vec<Secret>,
    pub(super) verify: Verify,
    pub(super) max_body: usize,
    pub(super) max_connections: usize,
}

impl ReceiveRules {
    /// Reads the secrets. Blocks on the files they stand in.
    ///
    /// # Errors
    /// When one of them cannot be read, or used.
    pub fn read(settings: &ReceiveSettings) -> Result<Self, String> {
        let read = |key: &str,
                    secret: &SecretRef,
                    rule: fn(&Secret) -> Result<(), &'static str>| {
            let secret = secret.resolve().map_err(|error| format!("[receive] {key}: {error}"))?;
            rule(&secret).map_err(|problem| format!("[receive] {key}: {problem}"))?;
            Ok::<_, String>(secret)
        };
        let mut tokens = vec![hash(read("token", &settings.token, token)?.expose())];
        if let Some(previous) = &settings.previous_token {
            tokens.push(hash(read("previous_token", previous, token)?.expose()));
        }
        let mut sign_keys = Vec::new();
        if let Some(key) = &settings.sign_key {
            sign_keys.push(read("sign_key", key, sign_key)?);
        }
        if let Some(key) = &settings.previous_sign_key {
            sign_keys.push(read("previous_sign_key", key, sign_key)?);
        }
        Ok(Self {
            tokens,
            sign_keys,
            verify: settings.verify,
            max_body: usize::try_from(settings.max_body.as_u64()).unwrap_or(usize::MAX),
            max_connections: settings.max_connections,
        })
    }

    /// Whether events that are posted to `url` for `app` would be received: its path ends like that
    /// of the receiver, before which a proxy may expect more.
    pub fn accept_url(&self, url: &str, app: AppId) -> bool {
        let Ok(url) = Url::parse(url) else { return false };
        let path = url.path().rsplit_once("/vod/").map(|(_, rest)| format!("/vod/{rest}"));
        path.is_some_and(|path| self.application(&path, &[app]).is_some())
    }

    /// Returns the application of `apps` that a path posts for: `/vod/<SubAppId>/<token>`. Does the
    /// same work whatever is wrong with it.
    pub(super) fn application(&self, path: &str, apps: &[AppId]) -> Option<AppId> {
        let parts = path.strip_prefix("/vod/").and_then(|rest| rest.split_once('/'));
        let (app, token) = parts.unwrap_or(("", path));
        let token = hash(token);
        let is_token = any(self.tokens.iter().map(|known| known.ct_eq(&token)));
        let (app, is_plain) = (app.parse().unwrap_or_default(), is_plain_number(app));
        let is_app = any(apps.iter().map(|known| known.0.ct_eq(&app)));
        let is_right = is_token & is_app & Choice::from(u8::from(is_plain));
        bool::from(is_right).then_some(AppId(app))
    }
}

/// Whether one of them is true. Looks at all of them, whichever that is.
fn any(choices: impl IntoIterator<Item = Choice>) -> Choice {
    choices.into_iter().fold(Choice::from(0), |any, choice| any | choice)
}

/// Whether a number is written in the one way in which it stands in a URL.
fn is_plain_number(text: &str) -> bool {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    // Of 20 digits not all have room.
    is_digits && (text == "0" || !text.starts_with('0')) && text.parse::<u64>().is_ok()
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "a-token_of.some~length";

    fn rules(text: &str) -> Result<ReceiveRules, String> {
        ReceiveRules::read(&toml::from_str(&format!("token = '{TOKEN}'\n{text}")).unwrap())
    }

    #[test]
    fn a_path_is_of_an_application_and_with_a_token() {
        let rules = rules("previous_token = 'another-token-of-some-length'").unwrap();
        let apps = [AppId(7), AppId(1_500_012_345)];
        let of = |path: &str| rules.application(path, &apps).map(|app| app.0);
        assert_eq!(of(&format!("/vod/7/{TOKEN}")), Some(7));
        assert_eq!(of(&format!("/vod/1500012345/{TOKEN}")), Some(1_500_012_345));
        assert_eq!(of("/vod/7/another-token-of-some-length"), Some(7));
        for wrong in [
            "/".to_owned(),
            "*".to_owned(),
            "/vod/7/".to_owned(),
            format!("/vod/8/{TOKEN}"),
            format!("/vod/07/{TOKEN}"),
            format!("/vod/+7/{TOKEN}"),
            format!("/vod//{TOKEN}"),
            format!("/vod/0/{TOKEN}"),
            format!("/vod/18446744073709551623/{TOKEN}"),
            format!("/vod/7/{TOKEN}/"),
            format!("/vod/7//{TOKEN}"),
            format!("/vod/7/{}", &TOKEN[1..]),
            format!("/VOD/7/{TOKEN}"),
            format!("/7/{TOKEN}"),
            TOKEN.to_owned(),
        ] {
            assert_eq!(of(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_application_without_a_number_of_its_own_is_0_and_nothing_else() {
        let rules = rules("").unwrap();
        let of = |app: &str| rules.application(&format!("/vod/{app}/{TOKEN}"), &[AppId(0)]);
        assert_eq!(of("0"), Some(AppId(0)));
        for wrong in ["", "00", "x", "-0", "+0", "1", "18446744073709551616"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    /// So that the time tells nothing: which of them was right, or that none was.
    #[test]
    fn all_are_looked_at_whichever_is_right() {
        for right in 0..=3 {
            let mut looked_at = 0;
            let choices = (0..3).map(|number| Choice::from(u8::from(number == right)));
            let found = any(choices.inspect(|_| looked_at += 1));
            assert_eq!((bool::from(found), looked_at), (right < 3, 3));
        }
    }

    #[test]
    fn a_url_is_good_behind_whatever_a_proxy_expects() {
        let rules = rules("").unwrap();
        let is_good = |url: &str| rules.accept_url(&url.replace("TOKEN", TOKEN), AppId(7));
        assert!(is_good("https://example.com/vod/7/TOKEN"));
        assert!(is_good("https://example.com:8443/vod/behind/vod/7/TOKEN"));
        for wrong in ["https://example.com/vod/8/TOKEN", "https://example.com/vod/7/x", "TOKEN"] {
            assert!(!is_good(wrong), "{wrong}");
        }
    }

    #[test]
    fn secrets_that_cannot_be_used_are_named_by_their_key() {
        let error = |text: &str| rules(text).unwrap_err();
        assert!(error("sign_key = 'a-b'").starts_with("[receive] sign_key: "));
        assert!(error("previous_token = 'short'").starts_with("[receive] previous_token: "));
        let missing = error("sign_key = { file = '/nowhere/key' }");
        assert!(missing.starts_with("[receive] sign_key: cannot read"), "{missing}");
    }
}
