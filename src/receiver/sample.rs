//! A sample event, for a test of the way to the receiver.

use super::signature;
use crate::event::test_body;
use crate::secret::Secret;

/// How long the signature of a sample holds.
const SAMPLE_VALIDITY: i64 = 600;

/// Returns the body of a sample event as the cloud would post it, with `id` in its TaskId, signed
/// with `key` at `now`, in Unix seconds.
#[must_use]
pub fn sample_event(id: &str, key: Option<&Secret>, now: i64) -> String {
    let mut event = test_body(id, "A test of the way to the receiver, by `sprited receive test`");
    if let Some(key) = key {
        let expires = now.saturating_add(SAMPLE_VALIDITY);
        event["Sign"] = signature::sign(key, expires).into();
        event["T"] = expires.into();
    }
    event.to_string()
}
