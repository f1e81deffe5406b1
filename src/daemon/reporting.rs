//! How the cloud reports events, asked for now and then: a setting over there that keeps events
//! away looks to a pull like an empty queue.

use std::time::Duration;

use tokio::sync::watch;

use crate::event::Wanted;
use crate::http::DaemonHealth;
use crate::metrics::{ByApp, Metrics};
use crate::vod::{Advice, Client, EventConfig, VodError, application_advice};

/// Between two looks; up to a tenth longer, so that many daemons do not ask at once.
const PERIOD: Duration = Duration::from_secs(3600);
/// The same after a failure that passes by itself, and while a setting waits to be mended.
const SOON: Duration = Duration::from_secs(300);

/// Asks.
#[derive(Debug)]
pub(super) struct ReportingCheck<'d> {
    /// One for each application.
    pub(super) clients: &'d [Client],
    /// The events that each sink wants. Changes with each reload, which is a reason to look.
    pub(super) wanted: watch::Receiver<Vec<Wanted>>,
    pub(super) metrics: &'d Metrics,
    pub(super) health: &'d DaemonHealth,
}

/// What keeps an application's events away, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    what: String,
    remedy: String,
}

/// What was told of an application.
#[derive(Clone, Debug, Default)]
struct Told {
    fault: Option<Fault>,
    may_not_ask: bool,
}

/// What a look brought.
enum Found {
    /// Events are reported as they should be.
    Good,
    /// They are not.
    Bad(Fault),
    /// It may not be asked for.
    Refused(VodError),
    /// It could not be asked for.
    Failed(VodError),
}

impl ReportingCheck<'_> {
    /// Looks at once, and then every hour. Never returns; cancel safe.
    pub(super) async fn run(mut self) {
        let mut told = vec![Told::default(); self.clients.len()];
        loop {
            let wanted = self.wanted.borrow_and_update().clone();
            let mut pause = PERIOD;
            // One after the other: no pull waits for it, and none is to be throttled for it.
            for (client, told) in self.clients.iter().zip(&mut told) {
                let found = look(client, &wanted).await;
                if matches!(found, Found::Failed(_) | Found::Bad(_)) {
                    pause = SOON;
                }
                self.tell(client, found, told);
            }
            tokio::select! {
                () = tokio::time::sleep(pause.mul_f64(1.0 + rand::random::<f64>() / 10.0)) => {}
                Ok(()) = self.wanted.changed() => {}
            }
        }
    }

    fn tell(&self, client: &Client, found: Found, told: &mut Told) {
        let (app, labels) = (client.app(), ByApp::of(client.app()));
        let is_reported = &self.metrics.events_reported;
        let fault = match found {
            Found::Failed(error) => {
                tracing::debug!(%app, %error, "cannot see how the cloud reports events");
                return;
            }
            Found::Refused(error) => {
                if !std::mem::replace(&mut told.may_not_ask, true) {
                    tracing::info!(
                        %app,
                        %error,
                        "cannot see how the cloud reports events; were it not to keep them to be \
                         pulled, none would come and nothing would be said"
                    );
                }
                is_reported.remove(&labels);
                None
            }
            Found::Good => {
                told.may_not_ask = false;
                is_reported.get_or_create(&labels).set(1);
                None
            }
            Found::Bad(fault) => {
                is_reported.get_or_create(&labels).set(0);
                Some(fault)
            }
        };
        self.health.set_reporting_fault(app, fault.as_ref().map(|fault| fault.what.clone()));
        let is_mended = fault.is_none() && told.fault.is_some();
        match &fault {
            Some(Fault { what, remedy }) if fault != told.fault => {
                tracing::warn!(%app, fault = what, remedy, "the cloud keeps events away");
            }
            None if is_mended => {
                tracing::info!(%app, "nothing is known any more that keeps events away");
            }
            _ => {}
        }
        told.fault = fault;
    }
}

async fn look(client: &Client, wanted: &[Wanted]) -> Found {
    let error = match client.event_config().await {
        Ok(config) => return judge(&config, client, wanted),
        Err(error) => error,
    };
    if error.is_of_the_application() {
        return Found::Bad(unknown_application(client, &error));
    }
    if error.advice() != Advice::Refused {
        return Found::Failed(error);
    }
    // Another call may be allowed that tells at least whether there is such an application.
    match client.events_state().await {
        Err(other) if other.is_of_the_application() => {
            Found::Bad(unknown_application(client, &other))
        }
        _ => Found::Refused(error),
    }
}

fn judge(config: &EventConfig, client: &Client, wanted: &[Wanted]) -> Found {
    let is_wanted = |event: &str| wanted.iter().any(|of_sink| of_sink.names(event));
    let off = config.switched_off(is_wanted);
    let what = match config.not_pulled() {
        Some(what) => what,
        None if off.is_empty() => return Found::Good,
        None => format!("a sink wants {}, which is switched off", off.join(", ")),
    };
    Found::Bad(Fault { what, remedy: config.remedy(client.app(), is_wanted) })
}

fn unknown_application(client: &Client, error: &VodError) -> Fault {
    Fault { what: error.to_string(), remedy: application_advice(client.app()) }
}
