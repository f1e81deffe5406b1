//! The settings of the HTTP callback.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

/// The longest SignKey, in characters.
const MAX_SIGN_KEY: usize = 32;

/// The longest time that may be set.
const MAX_TIME: Duration = Duration::from_secs(24 * 3600);

/// How events are posted. The default is what the service's older guide says; the current one
/// gives no numbers.
#[derive(Clone, Debug)]
pub struct PushSettings {
    /// The key of the signature; without one nothing is signed.
    pub sign_key: Option<SecretString>,
    /// Where the signature is. The service's place is not documented: in the body by analogy with
    /// sister products.
    pub sign_in: SignPlace,
    /// How long an answer is waited for: 5 s.
    pub timeout: Duration,
    /// How often an event is sent at most: 3.
    pub tries: u32,
    /// After what it is sent again.
    pub retry: PushRetry,
    /// How long after a try the next one begins. The service's spacing is not documented: none.
    pub spacing: Duration,
    /// The format of the body.
    pub format: PushFormat,
    /// Whether an event is sent once more after its 200, as if that had come too late.
    pub late: bool,
    /// The most requests at once.
    pub concurrency: usize,
}

impl Default for PushSettings {
    fn default() -> Self {
        Self {
            sign_key: None,
            sign_in: SignPlace::Body,
            timeout: Duration::from_secs(5),
            tries: 3,
            retry: PushRetry::Timeout,
            spacing: Duration::ZERO,
            format: PushFormat::V3,
            late: false,
            concurrency: 16,
        }
    }
}

impl PushSettings {
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let sign_key = self.sign_key.as_ref().map(ExposeSecret::expose_secret);
        if sign_key.is_some_and(|key| {
            !(1..=MAX_SIGN_KEY).contains(&key.len())
                || !key.bytes().all(|byte| byte.is_ascii_alphanumeric())
        }) {
            return Err("the SignKey must be 1 to 32 letters and digits");
        }
        if !(1..=1_000).contains(&self.tries) || !(1..=1_000).contains(&self.concurrency) {
            return Err("the tries of a push and the pushes at once must be from 1 to 1,000");
        }
        if self.timeout.is_zero() || self.timeout.max(self.spacing) > MAX_TIME {
            return Err("the timeout of a push must be positive, it and the spacing at most a day");
        }
        Ok(())
    }
}

/// Where `Sign` and `T` are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum SignPlace {
    /// Members of the JSON body, at its end
    #[default]
    Body,
    /// Parameters of the URL
    Query,
    /// Headers
    Header,
}

/// After what an event is sent again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum PushRetry {
    /// After a timeout only, whatever the status: the rule that is documented
    #[default]
    Timeout,
    /// After all but a 200, as sister products do
    Failure,
}

/// The format of a posted body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum PushFormat {
    /// An EventContent
    #[default]
    V3,
    /// The older version, eventType and data, for sprite tasks; what was added as JSON stays as it
    /// is
    V2,
}
