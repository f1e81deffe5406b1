//! Why sprites are not in the store, and what that means for their event.

use std::time::Duration;

use crate::sinks::{Fault, Verdict};

/// Why a sprite is not in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MirrorFailure {
    Retry { error: String, after: Option<Duration>, fault: Fault },
    Reject(String),
}

impl MirrorFailure {
    /// A failure of the store, or of this machine.
    pub(super) fn here(error: impl Into<String>) -> Self {
        Self::Retry { error: error.into(), after: None, fault: Fault::Target }
    }

    /// A failure of the place that a sprite comes from.
    pub(super) fn at_source(
        error: impl Into<String>,
        after: Option<Duration>,
        is_down: bool,
    ) -> Self {
        Self::Retry { error: error.into(), after, fault: Fault::Source { is_down } }
    }

    /// The same, to be tried again after that time at the earliest.
    pub(super) fn not_before(self, asked: Option<Duration>) -> Self {
        match self {
            Self::Retry { error, after, fault } => {
                Self::Retry { error, after: after.max(asked), fault }
            }
            reject @ Self::Reject(_) => reject,
        }
    }

    pub(super) fn error(&self) -> &str {
        match self {
            Self::Retry { error, .. } | Self::Reject(error) => error,
        }
    }
}

/// The verdict on an event of whose sprites these failed: a retry if one may succeed, and that of the
/// sink itself before that of a source, which is down for the event only if nothing else fails.
pub(super) fn worst(failures: Vec<MirrorFailure>) -> Verdict {
    let mut verdict = Verdict::Delivered;
    for failure in failures {
        verdict = match (verdict, failure) {
            (Verdict::Delivered, MirrorFailure::Reject(error)) => Verdict::Reject(error),
            (
                Verdict::Delivered | Verdict::Reject(_),
                MirrorFailure::Retry { error, after, fault },
            ) => Verdict::Retry { error, after, fault },
            (
                Verdict::Retry { error, after, fault },
                MirrorFailure::Retry { error: other, after: also, fault: of_other },
            ) => {
                let is_others = severity(of_other) > severity(fault);
                let (error, fault) = if is_others { (other, of_other) } else { (error, fault) };
                Verdict::Retry { error, after: after.max(also), fault }
            }
            (verdict, _) => verdict,
        };
    }
    verdict
}

fn severity(fault: Fault) -> u8 {
    match fault {
        Fault::Target => 2,
        Fault::Source { is_down: false } => 1,
        Fault::Source { is_down: true } => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_retried_as_long_as_one_of_its_sprites_may_be() {
        let retry = |fault, after: u64| MirrorFailure::Retry {
            error: format!("{fault:?}"),
            after: Some(Duration::from_secs(after)),
            fault,
        };
        let (target, down, up) =
            (Fault::Target, Fault::Source { is_down: true }, Fault::Source { is_down: false });
        let reject = || MirrorFailure::Reject("no".to_owned());
        assert_eq!(worst(Vec::new()), Verdict::Delivered);
        assert_eq!(worst(vec![reject(), reject()]), Verdict::Reject("no".to_owned()));
        for (failures, fault, after) in [
            (vec![reject(), retry(up, 1)], up, 1),
            (vec![retry(up, 1), reject()], up, 1),
            (vec![retry(down, 9), retry(up, 1)], up, 9),
            (vec![retry(target, 1), retry(up, 2), reject()], target, 2),
            (vec![retry(down, 1), retry(down, 2)], down, 2),
        ] {
            let after = Some(Duration::from_secs(after));
            let expected = Verdict::Retry { error: format!("{fault:?}"), after, fault };
            assert_eq!(worst(failures), expected);
        }
    }
}
