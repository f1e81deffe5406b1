//! What the cloud says: whether it takes the credentials, whether events wait to be pulled, and
//! what time it is there.
//!
//! Two calls, of which neither hands out an event. Each step draws its own conclusion from both,
//! so that one refusal shows in one place.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::timeout;

use super::Step;
use crate::cli::Exit;
use crate::cli::text::counted;
use crate::config::Config;
use crate::event::AppId;
use crate::vod::credentials::{self, Credentials, Provider, ProviderError};
use crate::vod::{Advice, Client, Error, EventConfig, EventMode};

/// The longest that the search for credentials may take, and each call with its repeats.
const LONGEST: Duration = Duration::from_secs(20);
/// A clock that is further off is worth a look; the service takes 300 s.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::seconds(5);

const CREDENTIALS: &str = "credentials";
const CLOUD: &str = "cloud";
const EVENT_MODE: &str = "event-mode";
const QUEUE: &str = "queue";
const CLOCK: &str = "clock";

/// Takes all the steps; without secrets that can be read there is nothing to sign with.
pub(super) async fn look(config: &Config, secrets_are_there: bool) -> Vec<Step> {
    if !secrets_are_there {
        return skipped(&[CREDENTIALS, CLOUD, EVENT_MODE, QUEUE, CLOCK], "secrets");
    }
    let (provider, credentials) = match resolve(config).await {
        Ok(resolved) => resolved,
        Err(problem) => {
            let mut steps = vec![unresolved(config, &problem)];
            steps.extend(skipped(&[CLOUD, EVENT_MODE, QUEUE, CLOCK], CREDENTIALS));
            return steps;
        }
    };
    let source = source(provider.as_ref(), &credentials);
    let client = match Client::new(&config.vod, provider) {
        Ok(client) => client,
        Err(problem) => {
            let advice = "look at [vod], and at the machine's certificates";
            let failed = Step::fail(CLOUD, Exit::Configuration, problem, advice);
            let mut steps = vec![Step::ok(CREDENTIALS, source), failed];
            steps.extend(skipped(&[EVENT_MODE, QUEUE, CLOCK], CLOUD));
            return steps;
        }
    };
    let (mode, queue) =
        tokio::join!(in_time(client.event_config()), in_time(client.events_state()));
    let answers = Answers { mode, queue };
    vec![
        answers.credentials(source),
        answers.cloud(&config.vod.endpoint, client.app()),
        answers.event_mode(client.app()),
        answers.queue(),
        clock(client.clock_difference()),
    ]
}

fn skipped(steps: &[&str], because_of: &str) -> Vec<Step> {
    steps.iter().map(|step| Step::skip(*step, format!("see {because_of}"))).collect()
}

async fn resolve(config: &Config) -> Result<(Arc<dyn Provider>, Credentials), ProviderError> {
    let provider = credentials::provider(config.credentials.as_ref())?;
    let credentials = timeout(LONGEST, provider.credentials()).await.unwrap_or_else(|_| {
        Err(ProviderError::Broken(format!("no answer within {} s", LONGEST.as_secs())))
    })?;
    Ok((provider, credentials))
}

fn unresolved(config: &Config, problem: &ProviderError) -> Step {
    let (exit, advice) = if config.credentials.is_some() {
        (Exit::Configuration, "correct [credentials], or what it refers to")
    } else {
        (Exit::Credentials, "put a key into [credentials], or into one of these places")
    };
    Step::fail(CREDENTIALS, exit, problem.to_string(), advice)
}

/// Where they come from and which they are: an id is no secret, but need not stand whole in a
/// report that is passed on.
fn source(provider: &dyn Provider, credentials: &Credentials) -> String {
    let id: String = credentials.secret_id().chars().take(8).collect();
    let expiry = credentials.expires().map(|time| format!(", good until {time:.0}"));
    format!("{id}… from {}{}", provider.describe(), expiry.unwrap_or_default())
}

/// Why a call brought nothing.
#[derive(Debug)]
enum Failure {
    Error(Error),
    TooLate,
}

async fn in_time<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    match timeout(LONGEST, call).await {
        Ok(answer) => answer.map_err(Failure::Error),
        Err(_) => Err(Failure::TooLate),
    }
}

impl Failure {
    fn advice(&self) -> Advice {
        match self {
            Self::Error(error) => error.advice(),
            Self::TooLate => Advice::Transport,
        }
    }

    /// The service knows the key and the application, and does not let this be done.
    fn is_missing_permission(&self) -> bool {
        let Self::Error(error) = self else { return false };
        error.code().is_some_and(|code| {
            code == "AuthFailure.UnauthorizedOperation"
                || code == "UnauthorizedOperation"
                || code.starts_with("UnauthorizedOperation.")
        })
    }

    fn names_wrong_application(&self) -> bool {
        matches!(self, Self::Error(error) if error.code() == Some("InvalidParameterValue.SubAppId"))
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Error(error) => error.hint(),
            Self::TooLate => None,
        }
    }

    /// What happened, without the hint, which stands on a line of its own.
    fn detail(&self) -> String {
        match self {
            Self::Error(error) => {
                let text = error.to_string();
                let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
                text.strip_suffix(&hint).unwrap_or(&text).to_owned()
            }
            Self::TooLate => format!("no answer within {} s", LONGEST.as_secs()),
        }
    }
}

/// What the calls brought.
#[derive(Debug)]
struct Answers {
    mode: Result<EventConfig, Failure>,
    queue: Result<u64, Failure>,
}

impl Answers {
    fn failures(&self) -> impl Iterator<Item = &Failure> {
        self.mode.as_ref().err().into_iter().chain(self.queue.as_ref().err())
    }

    /// Whether the service took key and application in one call at least.
    fn is_known(&self) -> bool {
        self.failures().count() < 2 || self.failures().any(Failure::is_missing_permission)
    }

    fn credentials(&self, source: String) -> Step {
        match self.failures().find(|failure| failure.advice() == Advice::Credentials) {
            Some(refused) => Step::fail(
                CREDENTIALS,
                Exit::Credentials,
                format!("{source}: {}", refused.detail()),
                refused.hint().unwrap_or("check secret_id, secret_key and token"),
            ),
            None if self.is_known() => Step::ok(CREDENTIALS, format!("{source}: accepted")),
            None => Step::ok(CREDENTIALS, format!("{source}: found, not tried out")),
        }
    }

    fn cloud(&self, endpoint: &str, app: AppId) -> Step {
        if self.is_known() {
            return Step::ok(CLOUD, format!("{endpoint} answers for {}", application(app)));
        }
        let Some(failure) = self.failures().next() else {
            return Step::ok(CLOUD, format!("{endpoint} answers"));
        };
        let fail = |exit, otherwise: &str| {
            let detail = format!("{endpoint}: {}", failure.detail());
            Step::fail(CLOUD, exit, detail, failure.hint().unwrap_or(otherwise))
        };
        match failure.advice() {
            Advice::Credentials => Step::skip(CLOUD, format!("see {CREDENTIALS}")),
            Advice::Throttled => Step::warn(
                CLOUD,
                format!("{endpoint}: {}", failure.detail()),
                "others use up what the account may ask for; try again later",
            ),
            _ if failure.names_wrong_application() => {
                fail(Exit::Configuration, "check [vod] sub_app_id")
            }
            Advice::Clock => fail(Exit::Failure, "set this machine's clock, by NTP for instance"),
            Advice::Refused | Advice::InvalidParameters => {
                fail(Exit::Failure, "check [vod] endpoint and sub_app_id")
            }
            Advice::Service => fail(Exit::Failure, "a fault of the service: try again later"),
            Advice::Transport => fail(
                Exit::Failure,
                "check [vod] endpoint, this machine's way to it, and HTTPS_PROXY where one is \
                 needed",
            ),
            Advice::Answer => fail(
                Exit::Failure,
                "check [vod] endpoint: something else answers there, a proxy perhaps",
            ),
        }
    }

    fn event_mode(&self, app: AppId) -> Step {
        let config = match &self.mode {
            Ok(config) => config,
            Err(failure) => {
                return self.unanswered(
                    EVENT_MODE,
                    failure,
                    "it cannot be told whether \
                 events can be pulled; see in the console that the application's callback \
                 settings say reliable callback",
                );
            }
        };
        let wrong = |found: &str| {
            let app = if app == AppId(0) { String::new() } else { format!(" --SubAppId {app}") };
            Step::warn(
                EVENT_MODE,
                format!("{found}: nothing waits to be pulled"),
                format!(
                    "choose reliable callback in the console, in the application's callback \
                     settings; or by the API: tccli vod ModifyEventConfig{app} --Mode PULL"
                ),
            )
        };
        match &config.mode {
            EventMode::Pull => Step::ok(EVENT_MODE, "PULL: events wait until they are confirmed"),
            EventMode::Push => wrong("PUSH: events are posted to a URL"),
            EventMode::Other(mode) if mode.is_empty() => wrong("no mode is set"),
            EventMode::Other(mode) => wrong(mode),
        }
    }

    fn queue(&self) -> Step {
        match &self.queue {
            Ok(count) => {
                let detail =
                    format!("{}, as counted within three minutes", counted(*count, "event"));
                Step::ok(QUEUE, detail)
            }
            Err(failure) => self.unanswered(
                QUEUE,
                failure,
                "nothing depends on this number; the international site may not have it",
            ),
        }
    }

    fn unanswered(&self, step: &str, failure: &Failure, otherwise: &str) -> Step {
        if !self.is_known() {
            let culprit = if failure.advice() == Advice::Credentials { CREDENTIALS } else { CLOUD };
            return Step::skip(step, format!("see {culprit}"));
        }
        let advice = match failure.hint() {
            Some(hint) if failure.is_missing_permission() => format!("{hint}; {otherwise}"),
            _ => otherwise.to_owned(),
        };
        Step::warn(step, failure.detail(), advice)
    }
}

fn application(app: AppId) -> String {
    match app {
        AppId(0) => "the primary application".to_owned(),
        app => format!("application {app}"),
    }
}

fn clock(difference: Option<TimeDelta>) -> Step {
    let Some(difference) = difference else {
        return Step::skip(CLOCK, "no answer told the time");
    };
    if difference.abs() <= CLOCK_TOLERANCE {
        let tolerance = CLOCK_TOLERANCE.num_seconds();
        return Step::ok(CLOCK, format!("within {tolerance} s of the service's"));
    }
    let seconds = difference.num_seconds();
    let which = if seconds > 0 { "behind" } else { "ahead of" };
    Step::warn(
        CLOCK,
        format!("this machine's clock is {} s {which} the service's", seconds.unsigned_abs()),
        "set it, by NTP for instance; requests that are 300 s off are refused, and then signed \
         with the service's time",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::Outcome;

    #[test]
    fn a_clock_is_judged_by_how_far_it_is_off() {
        let judged = |seconds| clock(Some(TimeDelta::seconds(seconds)));
        assert_eq!(clock(None).outcome, Outcome::Skip);
        assert_eq!(judged(-5).outcome, Outcome::Ok);
        let behind = judged(6);
        assert_eq!(behind.outcome, Outcome::Warn);
        assert!(behind.detail.contains("6 s behind"), "{}", behind.detail);
        assert!(judged(-301).detail.contains("301 s ahead of"), "{}", judged(-301).detail);
    }
}
