//! What to do where there are no credentials: about what the configuration refers to, the role, or
//! the way to whoever hands them out.

use crate::cli::check::network;
use crate::cli::check::report::{CREDENTIALS, CheckStep};
use crate::cli::exit::Exit;
use crate::config::Config;
use crate::vod::credentials::ProviderError;
use crate::vod::{Advice, NetworkRoute};

/// The step that failed for `problem`. Looks at the way to STS where that was not reached.
pub(super) async fn step(config: &Config, problem: &ProviderError) -> CheckStep {
    let (exit, advice) = match problem {
        ProviderError::Unavailable { advice, .. } if *advice != Advice::Credentials => {
            unavailable(config, *advice).await
        }
        _ => refused(config),
    };
    CheckStep::fail(CREDENTIALS, exit, problem.to_string(), advice)
}

fn refused(config: &Config) -> (Exit, String) {
    let role = config.credentials.as_ref().is_some_and(|table| table.role_arn.is_some());
    let (exit, advice) = if role {
        (Exit::Credentials, "correct [credentials], or the role; STS says which")
    } else if config.credentials.is_some() {
        (Exit::Configuration, "correct [credentials], or what it refers to")
    } else {
        (Exit::Credentials, "put a key into [credentials], or into one of these sources")
    };
    (exit, advice.to_owned())
}

async fn unavailable(config: &Config, advice: Advice) -> (Exit, String) {
    let what = match &config.credentials {
        Some(_) => "[credentials] sts_endpoint",
        None => "the source of this machine's credentials",
    };
    let advice = match advice {
        Advice::Transport => {
            if let Some(way) = NetworkRoute::to_sts(config.credentials.as_ref())
                && let Some(CheckStep { exit, advice: Some(advice), .. }) =
                    network::preflight(&way, what).await
            {
                return (exit, advice);
            }
            format!("check {what}, the network, and HTTPS_PROXY if a proxy is needed")
        }
        Advice::Clock => advice.remedy().to_owned(),
        Advice::Answer => format!("check {what}: something else answers there, perhaps a proxy"),
        _ => Advice::Service.remedy().to_owned(),
    };
    (Exit::Failure, advice)
}
