//! What the cloud says: whether it takes the credentials, whether events wait to be pulled, and
//! what time it is there.
//!
//! Two to four calls for each application, of which none hands out an event; [`answers`] tells what
//! follows from them.

mod answers;
mod unresolved;

use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use futures_util::{StreamExt, stream};
use tokio::time::timeout;

use self::answers::{Answers, in_time};
use super::report::{CALL_TIMEOUT, CLOUD, CREDENTIALS, CheckStep, EVENT_MODE, QUEUE, RECONCILE};
use crate::cli::exit::Exit;
use crate::config::Config;
use crate::receiver::ReceiveRules;
use crate::vod::credentials::{self, Credentials, Provider, ProviderError};
use crate::vod::{Advice, Client, TaskQuery, VodError};

/// A clock that is further off causes a warning; the service accepts 300 s.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::seconds(5);

/// Applications that are asked about at once: the quota of these calls is small.
const MAX_CONCURRENT_APPS: usize = 4;

const CLOCK: &str = "clock";

/// The id of no task: those of the cloud begin with their application.
const NO_TASK: &str = "sprited-check";

pub(super) type KeysToCheck = Result<(Arc<dyn Provider>, Credentials), ProviderError>;

/// Looks for what requests are signed with; `None` without secrets that can be read.
pub(super) async fn keys(config: &Config, secrets_are_there: bool) -> Option<KeysToCheck> {
    if secrets_are_there { Some(resolve(config).await) } else { None }
}

/// Returns the steps where the daemon does not call the cloud.
pub(super) fn not_needed() -> Vec<CheckStep> {
    let why = "not needed: [vod] pull is false, [reconcile] is off, and there is no [credentials]";
    [CREDENTIALS, CLOUD, EVENT_MODE, QUEUE, CLOCK].map(|step| CheckStep::skip(step, why)).into()
}

/// Tells of the way to find posted events that were lost, where it is not used.
pub(super) fn reconcile_hint(config: &Config) -> Option<CheckStep> {
    let is_of_use = config.receive.is_some() && config.reconcile.every.interval().is_none();
    let hint = "off: an event that is posted while nothing can receive it is lost; [reconcile] every \
                adds it later";
    is_of_use.then(|| CheckStep::ok(RECONCILE, hint))
}

/// Takes all the steps; without keys there is nothing to sign with, and beyond a step `in_the_way`
/// there is nobody to ask.
pub(super) async fn check(
    config: &Config,
    keys: Option<KeysToCheck>,
    in_the_way: Option<&str>,
) -> Vec<CheckStep> {
    let reconciles = config.reconcile.every.interval().is_some();
    let asked: Vec<_> = [EVENT_MODE, QUEUE]
        .into_iter()
        .chain(reconciles.then_some(RECONCILE))
        .chain([CLOCK])
        .collect();
    let with_cloud = [&[CLOUD], asked.as_slice()].concat();
    let Some(keys) = keys else {
        return skipped(&[&[CREDENTIALS], with_cloud.as_slice()].concat(), "secrets");
    };
    let (provider, credentials) = match keys {
        Ok(resolved) => resolved,
        Err(problem) => {
            let step = unresolved::step(config, &problem).await;
            return [vec![step], skipped(&with_cloud, CREDENTIALS)].concat();
        }
    };
    let source = source(provider.as_ref(), &credentials);
    if let Some(culprit) = in_the_way {
        let step = CheckStep::ok(CREDENTIALS, format!("{source}: found, not verified"));
        return [vec![step], skipped(&with_cloud, culprit)].concat();
    }
    let client = match Client::new(&config.vod, provider) {
        Ok(client) => client,
        Err(problem) => {
            let advice = "check [vod] and the machine's certificates";
            let failed = CheckStep::fail(CLOUD, Exit::Configuration, problem, advice);
            let steps = vec![CheckStep::ok(CREDENTIALS, source), failed];
            return [steps, skipped(&asked, CLOUD)].concat();
        }
    };
    // One that cannot be read is told of by its own step.
    let rules = config.receive.as_ref().and_then(|settings| ReceiveRules::read(settings).ok());
    let apps = config.vod.apps();
    let asked = stream::iter(apps.iter().map(|app| ask(client.with_app(*app), reconciles)));
    let answers: Vec<Answers> = asked.buffered(MAX_CONCURRENT_APPS).collect().await;
    let mut steps = vec![answers::credentials(&answers, source)];
    for answers in &answers {
        let of_app = [
            answers.cloud(&config.vod.endpoint),
            answers.event_mode(&config.sinks, config.sources(), rules.as_ref()),
            answers.queue(),
        ];
        let of_app = of_app.into_iter().chain(answers.reconcile());
        let is_one = apps.len() == 1;
        let named =
            |step: CheckStep| if is_one { step } else { step.named(&answers.app.to_string()) };
        steps.extend(of_app.map(named));
    }
    steps.push(clock(client.clock_difference()));
    steps
}

async fn ask(client: Client, reconciles: bool) -> Answers {
    let tasks = async {
        let now = Utc::now();
        let query = TaskQuery {
            after: now - TimeDelta::hours(1),
            before: now,
            limit: 1,
            scroll_token: None,
        };
        if !reconciles {
            return None;
        }
        Some(match in_time(client.tasks(&query)).await {
            Ok(_) => in_time(may_describe_tasks(&client)).await,
            Err(failure) => Err(failure),
        })
    };
    let (mode, queue, tasks) =
        tokio::join!(in_time(client.event_config()), in_time(client.events_state()), tasks);
    Answers { app: client.app(), mode, queue, tasks }
}

/// Whether the key may ask about a task, by asking about one that cannot be.
async fn may_describe_tasks(client: &Client) -> Result<(), VodError> {
    let Err(error) = client.task_detail(NO_TASK).await else { return Ok(()) };
    match error.advice() {
        _ if error.is_missing_permission() => Err(error),
        Advice::Throttled | Advice::Clock | Advice::Credentials | Advice::Transport => Err(error),
        // Whatever the service has to say of it, it has looked.
        Advice::Service | Advice::InvalidParameters | Advice::Answer | Advice::Refused => Ok(()),
    }
}

fn skipped(steps: &[&str], because_of: &str) -> Vec<CheckStep> {
    steps.iter().map(|step| CheckStep::skip(*step, format!("see {because_of}"))).collect()
}

async fn resolve(config: &Config) -> KeysToCheck {
    let provider = credentials::provider(config.credentials.as_ref())?;
    let credentials = timeout(CALL_TIMEOUT, provider.credentials()).await.unwrap_or_else(|_| {
        let reason = format!("no answer within {} s", CALL_TIMEOUT.as_secs());
        Err(ProviderError::Unavailable { reason, advice: Advice::Transport })
    })?;
    Ok((provider, credentials))
}

/// Where they come from and which they are: an id is no secret, but need not stand whole in a
/// report that is passed on.
fn source(provider: &dyn Provider, credentials: &Credentials) -> String {
    let id: String = credentials.secret_id().chars().take(8).collect();
    let expiry = credentials.expires().map(|time| format!(", good until {time:.0}"));
    format!("{id}… from {}{}", provider.describe(), expiry.unwrap_or_default())
}

fn clock(difference: Option<TimeDelta>) -> CheckStep {
    let Some(difference) = difference else {
        return CheckStep::skip(CLOCK, "no answer had a date");
    };
    if difference.abs() <= CLOCK_TOLERANCE {
        let tolerance = CLOCK_TOLERANCE.num_seconds();
        return CheckStep::ok(CLOCK, format!("within {tolerance} s of the service's"));
    }
    let seconds = difference.num_seconds();
    let which = if seconds > 0 { "behind" } else { "ahead of" };
    CheckStep::warn(
        CLOCK,
        format!("this machine's clock is {} s {which} the service's", seconds.unsigned_abs()),
        "set it, for instance by NTP; requests that are 300 s off are refused, then signed with \
         the service's time",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::StepOutcome;

    #[test]
    fn a_clock_is_judged_by_how_far_it_is_off() {
        let judged = |seconds| clock(Some(TimeDelta::seconds(seconds)));
        assert_eq!(clock(None).outcome, StepOutcome::Skip);
        assert_eq!(judged(-5).outcome, StepOutcome::Ok);
        let behind = judged(6);
        assert_eq!(behind.outcome, StepOutcome::Warn);
        assert!(behind.detail.contains("6 s behind"), "{}", behind.detail);
        assert!(judged(-301).detail.contains("301 s ahead of"), "{}", judged(-301).detail);
    }
}
