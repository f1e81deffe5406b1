//! Temporary credentials, kept and renewed before they expire.
//!
//! Owns when they are asked for anew, for whoever can ask: an instance's role, STS.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use tokio::time::Instant;

use super::provider::{CredentialsResult, Provider};
use super::{Credentials, ProviderError};
use crate::limits::{Outage, log_outage};
use crate::sync::lock;

/// Between the end of one attempt and the start of the next: after a failure, and at most so
/// long after a success.
pub(super) const PAUSE: Duration = Duration::from_secs(10);
/// After a success the pause is this part of the time that the credentials are good for.
const PAUSES_PER_LIFE: i32 = 20;

/// How long before their end credentials are renewed that are good for so long.
pub(super) type Margin = fn(TimeDelta) -> TimeDelta;

type Attempt = BoxFuture<'static, CredentialsResult>;
type Ask = dyn Fn() -> Attempt + Send + Sync;

/// Credentials that are renewed by whoever needs them when they are due. There is one attempt at
/// a time, and attempts are 10 s apart; others use the old credentials for as long as they are
/// valid, during an attempt and after a failed one.
#[derive(Clone)]
pub struct RenewedCredentials {
    inner: Arc<Inner>,
}

struct Inner {
    source: String,
    ask: Box<Ask>,
    margin: Margin,
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: Option<Current>,
    last: Option<Last>,
    outage: Outage,
    /// Weak: an attempt that no caller waits for any more is dropped.
    attempt: Option<WeakShared<Attempt>>,
}

#[derive(Clone)]
struct Current {
    credentials: Credentials,
    /// When they are to be renewed.
    due: Option<DateTime<Utc>>,
}

struct Last {
    ended: Instant,
    /// Until the next.
    pause: Duration,
    failure: Option<ProviderError>,
}

enum Step {
    Settled(CredentialsResult),
    Wait(Shared<Attempt>),
}

impl RenewedCredentials {
    /// Credentials that `ask` has from `source`, renewed `margin` before they expire, attempts
    /// `pause` apart. Asks for nothing yet.
    pub(super) fn new<F>(
        source: String,
        ask: impl Fn() -> F + Send + Sync + 'static,
        margin: Margin,
        pause: Duration,
    ) -> Self
    where
        F: Future<Output = CredentialsResult> + Send + 'static,
    {
        let ask = Box::new(move || ask().boxed());
        Self { inner: Arc::new(Inner { source, ask, margin, pause, state: Mutex::default() }) }
    }
}

#[async_trait]
impl Provider for RenewedCredentials {
    async fn credentials(&self) -> CredentialsResult {
        match self.inner.step(Current::is_fresh, Current::is_valid) {
            Step::Settled(outcome) => outcome,
            Step::Wait(attempt) => match attempt.await {
                Ok(credentials) => Ok(credentials),
                Err(_) => lock(&self.inner.state).outcome(),
            },
        }
    }

    async fn refresh(&self, refused: &Credentials) -> CredentialsResult {
        match self.inner.step(|current| current.credentials != *refused, |_| false) {
            Step::Settled(outcome) => outcome,
            Step::Wait(attempt) => attempt.await,
        }
    }

    fn describe(&self) -> String {
        self.inner.source.clone()
    }
}

impl fmt::Debug for RenewedCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let current = lock(&self.inner.state).current.clone();
        f.debug_tuple("RenewedCredentials")
            .field(&current.map(|current| current.credentials))
            .finish()
    }
}

impl Inner {
    /// What to do for a caller that takes credentials of which `good` is true, and during an
    /// attempt also those that `will_do`.
    fn step(
        self: &Arc<Self>,
        good: impl Fn(&Current) -> bool,
        will_do: impl Fn(&Current) -> bool,
    ) -> Step {
        let mut state = lock(&self.state);
        if let Some(current) = state.current.as_ref().filter(|current| good(current)) {
            return Step::Settled(Ok(current.credentials.clone()));
        }
        if let Some(attempt) = state.attempt.as_ref().and_then(WeakShared::upgrade) {
            return match state.current.as_ref().filter(|current| will_do(current)) {
                Some(current) => Step::Settled(Ok(current.credentials.clone())),
                None => Step::Wait(attempt),
            };
        }
        if state.last.as_ref().is_some_and(|last| last.ended.elapsed() < last.pause) {
            return Step::Settled(state.outcome());
        }
        let inner = self.clone();
        let attempt = async move {
            let outcome = (inner.ask)().await;
            inner.record(outcome)
        };
        let attempt = attempt.boxed().shared();
        state.attempt = attempt.downgrade();
        Step::Wait(attempt)
    }

    fn record(&self, outcome: CredentialsResult) -> CredentialsResult {
        let mut state = lock(&self.state);
        state.attempt = None;
        // What was found once has not moved elsewhere.
        let outcome = outcome.map_err(|error| match error {
            ProviderError::NotFound(reason) if state.current.is_some() => {
                ProviderError::Invalid(reason)
            }
            error => error,
        });
        state.tell(&outcome);
        let life = outcome.as_ref().ok().and_then(Credentials::expires).map(|end| end - Utc::now());
        let short = life.and_then(|life| (life / PAUSES_PER_LIFE).to_std().ok());
        state.last = Some(Last {
            ended: Instant::now(),
            pause: short.map_or(self.pause, |short| short.min(self.pause)),
            failure: outcome.as_ref().err().cloned(),
        });
        if let Ok(credentials) = &outcome {
            let margin = life.map(|life| (self.margin)(life.max(TimeDelta::zero())));
            let due = credentials.expires().zip(margin).map(|(end, margin)| end - margin);
            state.current = Some(Current { credentials: credentials.clone(), due });
        }
        outcome
    }
}

impl Current {
    fn is_fresh(&self) -> bool {
        self.due.is_none_or(|due| Utc::now() < due)
    }

    fn is_valid(&self) -> bool {
        self.credentials.expires().is_none_or(|end| Utc::now() < end)
    }
}

impl State {
    /// Logs an attempt that fails while there are credentials, and the first that succeeds then.
    fn tell(&mut self, outcome: &CredentialsResult) {
        let now = Instant::now();
        let Err(error) = outcome else {
            if self.outage.recovered(now).is_some() {
                tracing::info!("temporary credentials renewed");
            }
            return;
        };
        if let (Some(report), Some(old)) = (self.outage.failed(now), &self.current) {
            log_outage!(
                report,
                %error,
                failures = report.failures,
                lasted_seconds = report.lasted.as_secs(),
                expires = old.credentials.expires().map(|time| time.to_rfc3339()),
                "temporary credentials not renewed; the old ones are used until they expire"
            );
        }
    }

    /// What a caller gets while no attempt is due. Credentials that came with the last attempt
    /// count as valid whatever this machine's clock says.
    fn outcome(&self) -> CredentialsResult {
        let failure = self.last.as_ref().and_then(|last| last.failure.as_ref());
        match (&self.current, failure) {
            (Some(current), None) => Ok(current.credentials.clone()),
            (Some(current), Some(_)) if current.is_valid() => Ok(current.credentials.clone()),
            (_, Some(failure)) => Err(failure.clone()),
            (None, None) => Err(ProviderError::Invalid("not asked yet".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    /// Hands out the n-th credentials, good for an hour and due at once, when it is let.
    fn renewal() -> (RenewedCredentials, Arc<Semaphore>, Arc<AtomicU32>) {
        let (gate, asked) = (Arc::new(Semaphore::new(1)), Arc::new(AtomicU32::new(0)));
        let (open, count) = (gate.clone(), asked.clone());
        let ask = move || {
            let (open, n) = (open.clone(), count.fetch_add(1, Ordering::SeqCst));
            async move {
                open.acquire().await.unwrap().forget();
                let expires = Some(Utc::now() + TimeDelta::hours(1));
                Credentials::new(&format!("AKID{n}"), "k".into(), None, expires)
                    .map_err(ProviderError::Invalid)
            }
        };
        let renewal = RenewedCredentials::new(String::new(), ask, |life| life, Duration::ZERO);
        (renewal, gate, asked)
    }

    #[tokio::test]
    async fn a_renewal_that_hangs_holds_up_one_caller_and_no_other() {
        let (renewal, gate, asked) = renewal();
        assert_eq!(renewal.credentials().await.unwrap().secret_id(), "AKID0");
        let mut renewing = Box::pin(renewal.credentials());
        assert!(futures_util::poll!(&mut renewing).is_pending());
        for _ in 0..20 {
            assert_eq!(renewal.credentials().await.unwrap().secret_id(), "AKID0");
        }
        gate.add_permits(1);
        assert_eq!(renewing.await.unwrap().secret_id(), "AKID1");
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn refused_credentials_do_not_do_while_others_are_asked_for() {
        let (renewal, gate, _) = renewal();
        let refused = renewal.credentials().await.unwrap();
        let mut renewing = Box::pin(renewal.credentials());
        assert!(futures_util::poll!(&mut renewing).is_pending());
        let mut other = Box::pin(renewal.refresh(&refused));
        assert!(futures_util::poll!(&mut other).is_pending());
        // Whoever began may leave: who waits goes on with it.
        drop(renewing);
        gate.add_permits(1);
        assert_eq!(other.await.unwrap().secret_id(), "AKID1");
    }

    #[tokio::test]
    async fn debug_tells_no_key() {
        let (renewal, ..) = renewal();
        renewal.credentials().await.unwrap();
        let text = format!("{renewal:?}");
        assert!(text.contains("AKID0") && !text.contains("\"k\""), "{text}");
    }
}
