//! Credentials in environment variables.

use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Credentials, Provider, ProviderError};
use crate::secret::Secret;

const ID: &str = "TENCENTCLOUD_SECRET_ID";
const KEY: &str = "TENCENTCLOUD_SECRET_KEY";
/// Each of the official tools has its own name for it.
const TOKENS: [&str; 3] =
    ["TENCENTCLOUD_SESSION_TOKEN", "TENCENTCLOUD_TOKEN", "TENCENTCLOUD_SECURITY_TOKEN"];

type Lookup = dyn Fn(&str) -> Option<OsString> + Send + Sync;

/// How environment variables are looked up.
#[derive(Clone)]
pub struct Variables(Arc<Lookup>);

impl Variables {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self::from_fn(|name| std::env::var_os(name))
    }

    /// Those that `lookup` knows.
    pub fn from_fn(lookup: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static) -> Self {
        Self(Arc::new(lookup))
    }

    pub(super) fn raw(&self, name: &str) -> Option<OsString> {
        (self.0)(name)
    }

    /// The value as text; an empty one counts as unset.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, ProviderError> {
        self.raw(name)
            .filter(|value| !value.is_empty())
            .map(|value| value.into_string())
            .transpose()
            .map_err(|_| ProviderError::Invalid(format!("{name} is not UTF-8")))
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Variables")
    }
}

/// `TENCENTCLOUD_SECRET_ID`, `TENCENTCLOUD_SECRET_KEY` and a token under any of its names.
#[derive(Debug)]
pub struct Environment {
    variables: Variables,
}

impl Environment {
    /// A provider of what `variables` hold.
    #[must_use]
    pub fn new(variables: Variables) -> Self {
        Self { variables }
    }

    fn read(&self) -> Result<Credentials, ProviderError> {
        let half = |set: &str, unset: &str| {
            Err(ProviderError::Invalid(format!("{set} is set and {unset} is not")))
        };
        let (id, key) = match (self.variables.text(ID)?, self.variables.text(KEY)?) {
            (Some(id), Some(key)) => (id, key),
            (Some(_), None) => return half(ID, KEY),
            (None, Some(_)) => return half(KEY, ID),
            (None, None) => {
                return Err(ProviderError::NotFound(format!("{ID} and {KEY} are not set")));
            }
        };
        let mut token = None;
        for name in TOKENS {
            if token.is_none() {
                token = self.variables.text(name)?;
            }
        }
        Credentials::new(&id, key.into(), token.map(Secret::from), None)
            .map_err(|problem| ProviderError::Invalid(format!("{problem} ({ID} and its like)")))
    }
}

#[async_trait]
impl Provider for Environment {
    async fn credentials(&self) -> Result<Credentials, ProviderError> {
        self.read()
    }

    async fn refresh(&self, _refused: &Credentials) -> Result<Credentials, ProviderError> {
        self.read()
    }

    fn describe(&self) -> String {
        format!("the environment ({ID})")
    }
}
