//! What each HTTP status of a receiver means for the event that was sent.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Delivered,
    /// Not now; with what the operator can do about it, where that is known.
    Retry(&'static str),
    /// The receiver will never take these very bytes.
    Reject(&'static str),
}

/// The one table of statuses. A rejected event becomes a dead letter at once, so only what can
/// be due to this event alone is a rejection; whatever may be the receiver's state or a wrong
/// configuration, of either side, would hit every event and is retried.
pub(super) fn meaning(status: u16) -> Meaning {
    use Meaning::{Delivered, Reject, Retry};
    match status {
        200..=299 => Delivered,
        300..=399 => Retry("redirects are not followed: configure the final URL"),
        // What verifying libraries answer to a wrong signature as well, hence no rejection.
        400 => Retry("if the receiver verifies signatures, compare the secrets and the clocks"),
        401 | 403 => Retry("compare the secret and the headers with what the receiver expects"),
        404 | 410 => Retry("is the URL right?"),
        405 => Retry("the URL does not accept POST; is it right?"),
        407 => Retry("the proxy refuses the credentials"),
        408 | 425 => Retry(""),
        413 => Reject("the event is larger than the receiver accepts"),
        415 => Retry("the receiver refuses the content type; is the sink's format right?"),
        422 => Reject("the receiver understood the event and refuses it"),
        429 => Retry("the receiver asks for fewer requests"),
        500..=599 => Retry("the receiver failed"),
        _ => Retry(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_statuses_about_this_very_event_reject_it() {
        let rejected: Vec<u16> =
            (100..=999).filter(|s| matches!(meaning(*s), Meaning::Reject(_))).collect();
        assert_eq!(rejected, [413, 422]);
        let delivered: Vec<u16> =
            (100..=999).filter(|s| meaning(*s) == Meaning::Delivered).collect();
        assert_eq!(delivered, (200..300).collect::<Vec<_>>());
    }
}
