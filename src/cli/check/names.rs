//! What steps are called that others point at, and what several of them advise.

use std::time::Duration;

/// The step that others point at where nothing answers.
pub(super) const CLOUD: &str = "cloud";

/// What to do where a secret can be seen by the service alone.
pub(super) const UNSEEN_CREDENTIALS: &str = "only the service can read systemd's credentials; to \
                                             check as the service does: sudo systemd-run --pipe \
                                             --wait --collect -p User=sprited -p \
                                             StateDirectory=sprited -p \
                                             LoadCredential=secret_key:/etc/sprited/secret_key \
                                             /usr/bin/sprited check";

pub(super) const CREDENTIALS: &str = "credentials";
pub(super) const EVENT_MODE: &str = "event-mode";
pub(super) const QUEUE: &str = "queue";

/// The longest that the search for credentials may take, and each call with its repeats.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(20);
