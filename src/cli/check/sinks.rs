//! Whether each sink could take events: it is opened and probed, which leaves no trace in it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::report::{CheckStep, unseen};
use crate::cli::exit::Exit;
use crate::config::SinkConfig;
use crate::event::AppId;
use crate::identity::{self, IdentityError, Owner};
use crate::secret::SecretError;
use crate::sinks;

/// The longest that one may take, whatever its own timeout is.
const PROBE_TIMEOUT: Duration = Duration::from_secs(20);

const STEP: &str = "sink";

/// A sink that was opened, if nothing took too long; or why not.
pub(super) type CheckedSinks = Result<anyhow::Result<Arc<dyn sinks::Sink>>, Elapsed>;

/// Opens one: it reads its secrets, and touches no target.
pub(super) async fn open(sink: &SinkConfig, app: AppId) -> CheckedSinks {
    timeout(PROBE_TIMEOUT, sink.plan.open(&sink.context(app))).await
}

/// Takes the step for one sink that was opened so; of none if root was `refused` to be the user
/// that the daemon would write as.
pub(super) async fn check(
    sink: &SinkConfig,
    opened: CheckedSinks,
    refused: Option<&IdentityError>,
) -> CheckStep {
    if refused.is_some() {
        return CheckStep::skip(STEP, "see journal").named(&sink.name);
    }
    let kind = sink.plan.kind();
    let probe = async |target: Arc<dyn sinks::Sink>| {
        target.probe().await?;
        anyhow::Ok(target.warnings().await)
    };
    let probed = match opened {
        Ok(Ok(opened)) => timeout(PROBE_TIMEOUT, probe(opened)).await,
        Ok(Err(error)) => Ok(Err(error)),
        Err(elapsed) => Err(elapsed),
    };
    let step = match probed {
        Ok(Ok(warnings)) if !warnings.is_empty() => {
            CheckStep::warn(STEP, format!("{kind}: would take events"), warnings.join("; "))
        }
        Ok(Ok(_)) => match sink.file().as_deref().map(Owner::of) {
            None | Some(Ok(None)) => CheckStep::ok(STEP, format!("{kind}: would take events")),
            Some(Ok(Some(user))) => {
                let place = user.place().display();
                CheckStep::warn(
                    STEP,
                    format!("{kind}: {place} belongs to {user}"),
                    identity::ASTRAY,
                )
            }
            Some(Err(refused)) => {
                CheckStep::warn(STEP, format!("{kind}: {refused}"), identity::ASTRAY)
            }
        },
        Ok(Err(error)) => {
            let detail = format!("{kind}: {error:#}");
            if let Some(credential) = unseen_credential(&error) {
                CheckStep::warn(STEP, detail, unseen([credential]))
            } else {
                let advice =
                    format!("events for {:?} wait in the journal until it works", sink.name);
                CheckStep::fail(STEP, Exit::Failure, detail, advice)
            }
        }
        Err(_) => CheckStep::fail(
            STEP,
            Exit::Failure,
            format!("{kind}: no answer within {} s", PROBE_TIMEOUT.as_secs()),
            "check what blocks its target",
        ),
    };
    step.named(&sink.name)
}

/// A secret that the service may see: its absence here says nothing.
fn unseen_credential(error: &anyhow::Error) -> Option<&SecretError> {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<SecretError>())
        .find(|cause| cause.is_unseen())
}
