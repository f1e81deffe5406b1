//! Checks how the cloud reports events: a setting that keeps them away looks like an empty queue to
//! a pull, and like nothing at all to a receiver.

use std::time::Duration;

use tokio::sync::watch;

use crate::event::Wanted;
use crate::health::{DaemonHealth, EventConfigProblem};
use crate::metrics::{ByApp, Metrics};
use crate::vod::{Advice, Client, EventConfig, EventSources, VodError, application_advice};

/// Between two checks; up to a tenth longer, so that many daemons do not ask at once.
const CHECK_INTERVAL: Duration = Duration::from_secs(3600);
/// Between two checks after a failure that passes by itself, or while a setting is wrong.
const RECHECK_INTERVAL: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(super) struct EventConfigCheck<'d> {
    pub(super) clients: &'d [Client],
    /// Whether there is a reason to call the cloud.
    pub(super) calls_the_cloud: watch::Receiver<bool>,
    /// The events that each sink wants. Changes with each reload, which is a reason to check.
    pub(super) wanted: watch::Receiver<Vec<Wanted>>,
    /// By which ways events can arrive.
    pub(super) sources: EventSources,
    pub(super) metrics: &'d Metrics,
    pub(super) health: &'d DaemonHealth,
}

/// What was reported of an application.
#[derive(Clone, Debug, Default)]
struct Reported {
    problem: Option<EventConfigProblem>,
    is_refused: bool,
}

enum Found {
    /// It is not asked for.
    Unasked,
    Good,
    Bad(EventConfigProblem),
    /// It may not be asked for.
    Refused(VodError),
    /// It could not be asked for.
    Failed(VodError),
}

impl EventConfigCheck<'_> {
    /// Checks at once, and then every hour. Never returns; cancel safe.
    pub(super) async fn run(mut self) {
        let mut reported = vec![Reported::default(); self.clients.len()];
        loop {
            let is_called = *self.calls_the_cloud.borrow_and_update();
            let wanted = self.wanted.borrow_and_update().clone();
            let mut pause = CHECK_INTERVAL;
            // One after the other: no pull waits for it, and none is to be throttled for it.
            for (client, reported) in self.clients.iter().zip(&mut reported) {
                let found = match is_called {
                    true => check(client, &wanted, self.sources).await,
                    false => Found::Unasked,
                };
                if matches!(found, Found::Failed(_) | Found::Bad(_)) {
                    pause = RECHECK_INTERVAL;
                }
                self.report(client, found, reported);
            }
            tokio::select! {
                () = tokio::time::sleep(pause.mul_f64(1.0 + rand::random::<f64>() / 10.0)) => {}
                Ok(()) = self.wanted.changed() => {}
                Ok(()) = self.calls_the_cloud.changed() => {}
            }
        }
    }

    fn report(&self, client: &Client, found: Found, reported: &mut Reported) {
        let (app, labels) = (client.app(), ByApp::of(client.app()));
        let is_reported = &self.metrics.events_reported;
        let problem = match found {
            Found::Unasked => {
                *reported = Reported::default();
                is_reported.remove(&labels);
                self.health.set_event_config_problem(app, None);
                return;
            }
            Found::Failed(error) => {
                tracing::debug!(%app, %error, "event configuration unknown");
                return;
            }
            Found::Refused(error) => {
                if !std::mem::replace(&mut reported.is_refused, true) {
                    tracing::info!(
                        %app,
                        %error,
                        "event configuration unknown: if the application's settings keep its events \
                         away, none arrive and no error shows"
                    );
                }
                is_reported.remove(&labels);
                None
            }
            Found::Good => {
                reported.is_refused = false;
                is_reported.get_or_create(&labels).set(1);
                None
            }
            Found::Bad(problem) => {
                is_reported.get_or_create(&labels).set(0);
                Some(problem)
            }
        };
        self.health.set_event_config_problem(app, problem.clone());
        let is_resolved = problem.is_none() && reported.problem.is_some();
        match &problem {
            Some(EventConfigProblem { what, remedy }) if problem != reported.problem => {
                tracing::warn!(%app, problem = what, remedy, "application settings keep events away");
            }
            None if is_resolved => {
                tracing::info!(%app, "application settings keep no events away any more, as far as is known");
            }
            _ => {}
        }
        reported.problem = problem;
    }
}

async fn check(client: &Client, wanted: &[Wanted], sources: EventSources) -> Found {
    let error = match client.event_config().await {
        Ok(config) => return judge(&config, client, wanted, sources),
        Err(error) => error,
    };
    if error.is_of_the_application() {
        return Found::Bad(unknown_application(client, &error));
    }
    if error.advice() != Advice::Refused {
        return Found::Failed(error);
    }
    // Another call may be allowed that shows at least whether there is such an application.
    match client.events_state().await {
        Err(other) if other.is_of_the_application() => {
            Found::Bad(unknown_application(client, &other))
        }
        _ => Found::Refused(error),
    }
}

fn judge(config: &EventConfig, client: &Client, wanted: &[Wanted], sources: EventSources) -> Found {
    let is_wanted = |event: &str| wanted.iter().any(|of_sink| of_sink.names(event));
    let off = config.switched_off(is_wanted);
    let what = match config.not_arriving(client.app(), sources) {
        Some(what) => what,
        None if off.is_empty() => return Found::Good,
        None => format!("a sink wants {}, which is switched off", off.join(", ")),
    };
    Found::Bad(EventConfigProblem { what, remedy: config.remedy(client.app(), sources, is_wanted) })
}

fn unknown_application(client: &Client, error: &VodError) -> EventConfigProblem {
    EventConfigProblem { what: error.to_string(), remedy: application_advice(client.app()) }
}
