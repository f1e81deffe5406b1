//! Whether each sink could take events: it is opened and probed, which leaves no trace in it.

use std::time::Duration;

use tokio::time::timeout;

use super::{Step, UNSEEN_CREDENTIALS};
use crate::cli::Exit;
use crate::config::Sink;
use crate::event::AppId;
use crate::secret::SecretError;

/// The longest that one may take, whatever its own timeout is.
const LONGEST: Duration = Duration::from_secs(20);

const STEP: &str = "sink";

/// Takes the step for one sink.
pub(super) async fn look(sink: &Sink, app: AppId) -> Step {
    let probe = async { sink.plan.open(&sink.context(app)).await?.probe().await };
    let kind = sink.plan.kind();
    let step = match timeout(LONGEST, probe).await {
        Ok(Ok(())) => Step::ok(STEP, format!("{kind}: would take events")),
        Ok(Err(error)) => {
            let detail = format!("{kind}: {error:#}");
            if is_unseen_credential(&error) {
                Step::warn(STEP, detail, UNSEEN_CREDENTIALS)
            } else {
                let advice = format!("events for {:?} wait in the journal until it can", sink.name);
                Step::fail(STEP, Exit::Failure, detail, advice)
            }
        }
        Err(_) => Step::fail(
            STEP,
            Exit::Failure,
            format!("{kind}: no answer within {} s", LONGEST.as_secs()),
            "see what holds up its target",
        ),
    };
    step.named(&sink.name)
}

/// A secret that only the service can see: its absence here says nothing.
fn is_unseen_credential(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<SecretError>())
        .any(|cause| matches!(cause, SecretError::NoCredentials(_)))
}
