//! The keys that requests are signed with.
//!
//! Owns the account's key and the temporary ones of a role.

use std::collections::VecDeque;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use secrecy::SecretString;

/// The maximum number of keys that are kept; a new one replaces the oldest.
const MAX_KEYS: usize = 1_000;

/// The key that requests are signed with.
#[derive(Clone, Debug)]
pub struct Account {
    /// The SecretId.
    pub secret_id: String,
    /// The SecretKey.
    pub secret_key: SecretString,
    /// The session token that must come along, for temporary credentials.
    pub token: Option<SecretString>,
}

/// An account's key, or one that was handed out for a time.
#[derive(Clone, Debug)]
pub(super) struct AccountKey {
    pub(super) account: Arc<Account>,
    /// From when on it is not taken.
    pub(super) expires: Option<DateTime<Utc>>,
}

/// The keys of a role that were handed out.
#[derive(Debug, Default)]
pub(super) struct TemporaryKeys(VecDeque<AccountKey>);

impl TemporaryKeys {
    pub(super) fn find(&self, secret_id: &str) -> Option<&AccountKey> {
        self.0.iter().find(|key| key.account.secret_id == secret_id)
    }

    pub(super) fn make(&mut self, expires: DateTime<Utc>) -> Arc<Account> {
        let random = || format!("{:032x}", rand::random::<u128>());
        let account = Arc::new(Account {
            secret_id: format!("AKIDTMP{}", random()),
            secret_key: random().into(),
            token: Some(format!("{}{}", random(), random()).into()),
        });
        self.0.truncate(MAX_KEYS - 1);
        self.0.push_front(AccountKey { account: Arc::clone(&account), expires: Some(expires) });
        account
    }
}
