//! The calls of STS, which hand out temporary keys of a role.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::Credentials;
use crate::secret::Secret;
use crate::vod::Action;
use crate::vod::advice::Advice;
use crate::vod::answer::CallAnswer;
use crate::vod::clock::Clock;
use crate::vod::error::VodError;
use crate::vod::exchange::{Exchange, FailedCall, OutgoingCall, Proof};
use crate::vod::http::Endpoint;

const MAX_ANSWER: usize = 64 * 1024;

/// A machine's clock that is further off is told by the service's; nearer, the seconds in which
/// both are told would only blur the time of expiry.
const CLOCK_TOLERANCE: i64 = 30;

/// How long before their end keys are renewed: a tenth of their life at least, so that a service
/// that is down for a while takes none; a fifth at most, at random, so that daemons that were
/// started together do not ask together.
pub(super) fn margin(life: TimeDelta) -> TimeDelta {
    let thousandths = 100 + rand::random_range(0..=100);
    TimeDelta::milliseconds(life.num_milliseconds() / 1000 * thousandths)
}

pub(super) struct Sts {
    exchange: Exchange,
    clock: Clock,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AssumeRoleParameters<'a> {
    pub(super) role_arn: &'a str,
    pub(super) role_session_name: &'a str,
    pub(super) duration_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) provider_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) web_identity_token: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Fields {
    credentials: Keys,
    expired_time: Option<i64>,
    expiration: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Keys {
    tmp_secret_id: String,
    tmp_secret_key: String,
    token: String,
}

impl Sts {
    /// Fails when TLS cannot be set up.
    pub(super) fn new(endpoint: Endpoint) -> Result<Self, String> {
        Ok(Self { exchange: Exchange::new(endpoint)?, clock: Clock::default() })
    }

    pub(super) fn host(&self) -> &str {
        self.exchange.host()
    }

    /// Asks for keys; a second time, at once, where the first was refused for its time and the
    /// answer's Date shows another.
    pub(super) async fn ask(
        &self,
        action: Action,
        region: &str,
        parameters: &AssumeRoleParameters<'_>,
        proof: Proof<'_>,
    ) -> Result<Credentials, VodError> {
        let body = serde_json::to_vec(parameters).expect("strings and a number always make JSON");
        let mut corrected = false;
        loop {
            let offset = self.clock.offset();
            let call = OutgoingCall {
                action,
                region: Some(region),
                body: body.clone(),
                proof,
                time: Clock::at(Utc::now(), offset),
                max_answer: MAX_ANSWER,
            };
            let FailedCall { error, date } = match self.exchange.send(call).await {
                Ok(answer) => return self.read(action, &answer),
                Err(failed) => failed,
            };
            let can_help = error.advice() == Advice::Clock && !corrected;
            if !can_help || !self.clock.learn(date.as_deref(), Utc::now(), offset) {
                return Err(error);
            }
            corrected = true;
        }
    }

    fn read(&self, action: Action, answer: &CallAnswer) -> Result<Credentials, VodError> {
        let unexpected = |problem: &str| {
            VodError::unexpected(action, problem, answer.status, answer.request_id.as_deref())
        };
        let Fields { credentials, expired_time, expiration } =
            answer.decode().map_err(|problem| unexpected(&problem))?;
        let expires = expired_time
            .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
            .or_else(|| expiration?.parse().ok())
            .ok_or_else(|| unexpected("no ExpiredTime"))?;
        self.clock.see(answer.date.as_deref(), Utc::now());
        let ahead = self.clock.seen().filter(|ahead| ahead.abs() >= CLOCK_TOLERANCE);
        // The time at which they expire by this machine's clock, which the renewal goes by.
        let expires = Clock::at(expires, -ahead.unwrap_or(0));
        let Keys { tmp_secret_id, tmp_secret_key, token } = credentials;
        let token = Some(Secret::from(token));
        Credentials::new(&tmp_secret_id, tmp_secret_key.into(), token, Some(expires))
            .map_err(|problem| unexpected(&problem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_renewed_in_the_last_fifth_of_their_life_but_not_in_the_last_tenth() {
        let hours = |hours| TimeDelta::hours(hours);
        let margins: Vec<_> = (0..1000).map(|_| margin(hours(2))).collect();
        assert!(margins.iter().all(|margin| *margin >= hours(2) / 10 && *margin <= hours(2) / 5));
        assert!(margins.iter().any(|margin| *margin != margins[0]), "all at one time");
        assert_eq!(margin(TimeDelta::zero()), TimeDelta::zero());
    }
}
