//! What follows from the answers of the two calls. Each step draws its own conclusion from both,
//! so that one refusal shows in one place.

use tokio::time::timeout;

use crate::cli::check::report::{
    CALL_TIMEOUT, CLOUD, CREDENTIALS, CheckStep, EVENT_MODE, QUEUE, RECONCILE, StepOutcome,
};
use crate::cli::exit::Exit;
use crate::config::SinkConfig;
use crate::event::AppId;
use crate::receiver::ReceiveRules;
use crate::units::counted;
use crate::vod::{Advice, EventConfig, EventMode, EventSources, VodError, application_advice};

#[derive(Debug)]
pub(super) enum CloudFailure {
    Error(VodError),
    TooLate,
}

pub(super) async fn in_time<T>(
    call: impl Future<Output = Result<T, VodError>>,
) -> Result<T, CloudFailure> {
    match timeout(CALL_TIMEOUT, call).await {
        Ok(answer) => answer.map_err(CloudFailure::Error),
        Err(_) => Err(CloudFailure::TooLate),
    }
}

impl CloudFailure {
    fn advice(&self) -> Advice {
        match self {
            Self::Error(error) => error.advice(),
            Self::TooLate => Advice::Transport,
        }
    }

    fn is_missing_permission(&self) -> bool {
        matches!(self, Self::Error(error) if error.is_missing_permission())
    }

    /// Not every site of the cloud has every action.
    fn is_unknown_action(&self) -> bool {
        matches!(self, Self::Error(error) if error.code() == Some("InvalidAction"))
    }

    fn is_of_the_application(&self) -> bool {
        matches!(self, Self::Error(error) if error.is_of_the_application())
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
            Self::TooLate => format!("no answer within {} s", CALL_TIMEOUT.as_secs()),
        }
    }
}

#[derive(Debug)]
pub(super) struct Answers {
    pub(super) app: AppId,
    pub(super) mode: Result<EventConfig, CloudFailure>,
    pub(super) queue: Result<u64, CloudFailure>,
    /// Whether tasks can be listed and described; `None` where that is not asked for.
    pub(super) tasks: Option<Result<(), CloudFailure>>,
}

impl Answers {
    fn failures(&self) -> impl Iterator<Item = &CloudFailure> {
        self.mode.as_ref().err().into_iter().chain(self.queue.as_ref().err())
    }

    /// Whether the service took key and application in one call at least, and in none said that
    /// there is no such application: a pull would find an empty queue there.
    fn is_known(&self) -> bool {
        (self.failures().count() < 2 || self.failures().any(CloudFailure::is_missing_permission))
            && !self.failures().any(CloudFailure::is_of_the_application)
    }

    pub(super) fn cloud(&self, endpoint: &str) -> CheckStep {
        if self.is_known() {
            return CheckStep::ok(
                CLOUD,
                format!("{endpoint} answers for {}", application(self.app)),
            );
        }
        let of_the_application = self.failures().find(|failure| failure.is_of_the_application());
        if let Some(failure) = of_the_application {
            let detail = format!("{endpoint}: {}", failure.detail());
            let known = failure.hint().filter(|_| self.app != AppId::default());
            let advice = known.map_or_else(|| application_advice(self.app), str::to_owned);
            return CheckStep::fail(CLOUD, Exit::Configuration, detail, advice);
        }
        let Some(failure) = self.failures().next() else {
            return CheckStep::ok(CLOUD, format!("{endpoint} answers"));
        };
        let (advice, detail) = (failure.advice(), format!("{endpoint}: {}", failure.detail()));
        match advice {
            Advice::Credentials => CheckStep::skip(CLOUD, format!("see {CREDENTIALS}")),
            Advice::Throttled => CheckStep::warn(CLOUD, detail, advice.remedy()),
            _ => {
                let remedy = failure.hint().unwrap_or_else(|| advice.remedy());
                CheckStep::fail(CLOUD, Exit::Failure, detail, remedy)
            }
        }
    }

    pub(super) fn event_mode(
        &self,
        sinks: &[SinkConfig],
        sources: EventSources,
        rules: Option<&ReceiveRules>,
    ) -> CheckStep {
        let config = match &self.mode {
            Ok(config) => config,
            Err(failure) => {
                return self.unanswered(
                    EVENT_MODE,
                    failure,
                    match sources.receive {
                        true => {
                            "unknown whether events arrive; check in the console what the \
                             application's callback settings say"
                        }
                        false => {
                            "unknown whether events can be pulled; check in the console that the \
                             application's callback settings say reliable callback"
                        }
                    },
                );
            }
        };
        let names = |event: &str| sinks.iter().find(|sink| sink.events.names(event));
        let wanted = |event: &str| names(event).is_some();
        let remedy = || config.remedy(self.app, sources, wanted);
        if let Some(found) = config.not_arriving(self.app, sources) {
            return CheckStep::warn(EVENT_MODE, found, remedy());
        }
        let posted = config.mode == EventMode::Push;
        let detail = match posted {
            false => format!("PULL: events wait until they are confirmed; {}", config.positions()),
            true => format!("PUSH: events are posted to [receive]; {}", config.positions()),
        };
        let lacking = config
            .switched_off(wanted)
            .into_iter()
            .filter_map(|event| names(event).map(|sink| format!("{:?} wants {event}", sink.name)));
        let lacking: Vec<_> = lacking.collect();
        let is_received = |rules: &ReceiveRules| {
            config.notification_url.as_ref().is_some_and(|url| rules.accept_url(url, self.app))
        };
        if posted && rules.is_some_and(|rules| !is_received(rules)) {
            let found = "PUSH: the token in the URL is not one of [receive]";
            let advice = "set the URL with the token of [receive] in the console, or give the token \
                          of the URL to [receive] token";
            return CheckStep::warn(EVENT_MODE, found, advice);
        }
        if lacking.is_empty() && sources.receive && !posted {
            let advice = "nothing is posted to [receive] in this mode: choose normal callback in the \
                          console, or remove [receive]";
            return CheckStep::warn(EVENT_MODE, detail, advice);
        }
        if lacking.is_empty() {
            return CheckStep::ok(EVENT_MODE, detail);
        }
        let advice = format!("{}: {}", lacking.join(", "), remedy());
        CheckStep::warn(EVENT_MODE, detail, advice)
    }

    pub(super) fn queue(&self) -> CheckStep {
        match &self.queue {
            Ok(count) => {
                let detail = format!(
                    "{} waiting; the count may be up to three minutes old",
                    counted(*count, "event")
                );
                CheckStep::ok(QUEUE, detail)
            }
            Err(failure) => self.unanswered(
                QUEUE,
                failure,
                "nothing depends on this number; the international site may not provide it",
            ),
        }
    }

    /// Of a daemon that reconciles.
    pub(super) fn reconcile(&self) -> Option<CheckStep> {
        Some(match self.tasks.as_ref()? {
            Ok(()) => CheckStep::ok(RECONCILE, "finished tasks can be listed and described"),
            Err(failure) => {
                let otherwise = "events that never arrive are not found until this works";
                let step = self.unanswered(RECONCILE, failure, otherwise);
                match (step.outcome, failure.is_missing_permission()) {
                    // It never works without it, and nothing else shows that.
                    (StepOutcome::Warn, true) => {
                        CheckStep { outcome: StepOutcome::Fail, exit: Exit::Failure, ..step }
                    }
                    _ => step,
                }
            }
        })
    }

    fn unanswered(&self, step: &str, failure: &CloudFailure, otherwise: &str) -> CheckStep {
        if !self.is_known() {
            let culprit = if failure.advice() == Advice::Credentials { CREDENTIALS } else { CLOUD };
            return CheckStep::skip(step, format!("see {culprit}"));
        }
        let advice = match failure.hint() {
            Some(hint) if !failure.is_unknown_action() => format!("{hint}; {otherwise}"),
            _ => otherwise.to_owned(),
        };
        CheckStep::warn(step, failure.detail(), advice)
    }
}

/// What the service thinks of the credentials, by all that it was asked.
pub(super) fn credentials(all: &[Answers], source: String) -> CheckStep {
    let mut failures = all.iter().flat_map(Answers::failures);
    match failures.find(|failure| failure.advice() == Advice::Credentials) {
        Some(refused) => CheckStep::fail(
            CREDENTIALS,
            Exit::Credentials,
            format!("{source}: {}", refused.detail()),
            refused.hint().unwrap_or_else(|| Advice::Credentials.remedy()),
        ),
        None if all.iter().any(Answers::is_known) => {
            CheckStep::ok(CREDENTIALS, format!("{source}: accepted"))
        }
        None => CheckStep::ok(CREDENTIALS, format!("{source}: found, not verified")),
    }
}

fn application(app: AppId) -> String {
    match app {
        AppId(0) => "the primary application".to_owned(),
        app => format!("application {app}"),
    }
}
