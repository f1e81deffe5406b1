//! `sprited receive`: what sets up the receiver of posted events.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use reqwest::{StatusCode, Url};

use super::exit::{Exit, answer, complain};
use super::open_journal::ConfigArg;
use super::process;
use super::unit::UnitArg;
use crate::config::Config;
use crate::event::AppId;
use crate::net;
use crate::receiver::{ACCEPTED, ReceiveSettings, sample_event};
use crate::secret::{Secret, SecretRef};

/// The time to connect, and for an answer: longer than the receiver takes at most.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the cloud waits for an answer.
const CLOUD_TIMEOUT: Duration = Duration::from_secs(5);
/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;

/// Set up the receiver of posted events: make a token, test the public URL.
#[derive(Debug, clap::Args)]
pub(super) struct ReceiveArgs {
    #[command(subcommand)]
    command: ReceiveCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ReceiveCommand {
    /// Print a new token, for receive.token and the URL.
    #[command(after_help = "Examples:
  sprited receive token | sudo install -m 600 -o sprited /dev/stdin /etc/sprited/callback_token")]
    Token,
    Test(ReceiveTestArgs),
}

/// Post a test event to the public URL, signed as the configuration says, and explain the answer.
///
/// Its type is SpritedTest, which no sink gets by default. A sink with events = ["*"] does get it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 if each event is stored, 1 if not, 78 if the configuration has no token.

Examples:
  sudo sprited receive test https://vod.example.com"
)]
struct ReceiveTestArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    unit: UnitArg,
    /// Public address without a path: one event is posted for each application of the
    /// configuration, with its token. Or a whole URL; others on this machine can see it while the
    /// command runs.
    url: String,
}

pub(super) fn run(args: &ReceiveArgs) -> Exit {
    match &args.command {
        ReceiveCommand::Token => {
            let token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; TOKEN_BYTES]>());
            answer(format!("{token}\n").as_bytes(), Exit::Success)
        }
        ReceiveCommand::Test(args) => test(args),
    }
}

fn test(args: &ReceiveTestArgs) -> Exit {
    let unit = args.unit.stand_in();
    if let Some(problem) = unit.problem.filter(|_| unit.is_chosen) {
        complain(format_args!("warning: {problem}"));
    }
    // The text itself stays out of the messages: it holds the token.
    let url = match Url::parse(&args.url) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => url,
        Ok(_) => {
            complain("the URL must begin with https:// or http://");
            return Exit::Usage;
        }
        Err(error) => {
            complain(format_args!("the URL cannot be read: {error}"));
            return Exit::Usage;
        }
    };
    let configured = configured(args);
    let key = configured.as_ref().map_err(ToString::to_string).and_then(|(_, receive)| {
        let key = receive.sign_key.as_ref().map(SecretRef::resolve).transpose();
        key.map_err(|error| format!("[receive] sign_key: {error}"))
    });
    let (key, note) = match key {
        Ok(Some(key)) => (Some(key), "signed with [receive] sign_key".to_owned()),
        Ok(None) => (None, "unsigned: [receive] sign_key is not set".to_owned()),
        Err(error) => (None, format!("unsigned: {error}")),
    };
    let urls = match url.path() {
        "/" if url.query().is_none() => {
            configured.and_then(|(apps, receive)| with_paths(&url, &apps, &receive))
        }
        _ => Ok(vec![url]),
    };
    let urls = match urls {
        Ok(urls) => urls,
        Err(error) => return Exit::Configuration.because(format_args!("{error:#}")),
    };
    let (mut text, mut exit) = (String::new(), Exit::Success);
    for url in urls {
        let shown = masked(&url);
        let is_stored = match process::block_on(post(url, key.as_ref())).flatten() {
            Ok((is_stored, outcome)) => {
                text.push_str(&format!("posted to {shown}, {note}\n{outcome}\n"));
                is_stored
            }
            Err(error) => {
                complain(format_args!("{shown}: {error:#}"));
                false
            }
        };
        if !is_stored {
            exit = Exit::Failure;
        }
    }
    answer(text.as_bytes(), exit)
}

/// The applications and the receiver of the configuration.
fn configured(args: &ReceiveTestArgs) -> anyhow::Result<(Vec<AppId>, ReceiveSettings)> {
    let Ok(loaded) = Config::load(&args.config.path) else {
        bail!("the configuration cannot be used; `sprited check` says why");
    };
    let receive = loaded.config.receive.context("the configuration has no table [receive]")?;
    Ok((loaded.config.vod.apps(), receive))
}

/// The URL of each application at this address.
fn with_paths(
    address: &Url,
    apps: &[AppId],
    receive: &ReceiveSettings,
) -> anyhow::Result<Vec<Url>> {
    let with_path = |app: &AppId| {
        let path = receive.path(*app).map_err(anyhow::Error::msg)?;
        let mut url = address.clone();
        url.set_path(path.expose());
        Ok(url)
    };
    apps.iter().map(with_path).collect()
}

/// The URL without what may be secret in it: only origin, and application as the path has it.
fn masked(url: &Url) -> String {
    let origin = url.origin().ascii_serialization();
    let mut parts = url.path().split('/').skip(1);
    match (parts.next(), parts.next()) {
        (Some("vod"), Some(app)) if app.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{origin}/vod/{app}/…")
        }
        _ => format!("{origin}/…"),
    }
}

/// Posts a sample; returns whether it is stored, and what to say of it.
async fn post(url: Url, key: Option<&Secret>) -> anyhow::Result<(bool, String)> {
    let mut client = net::client_builder(CONNECT_TIMEOUT).timeout(ANSWER_TIMEOUT);
    if let Some(here) = url.host_str().and_then(net::ThisMachine::of) {
        client = here.direct(client);
    }
    let body =
        sample_event(&format!("{:016x}", rand::random::<u64>()), key, Utc::now().timestamp());
    let start = Instant::now();
    let request = client.build()?.post(url).header("content-type", "application/json").body(body);
    let answered = request.send().await.map_err(reqwest::Error::without_url);
    let answered = answered.map_err(|error| {
        let why = net::with_causes(error.to_string(), &error);
        anyhow::anyhow!(
            "no answer: {why}; is the name right, the port open, the certificate valid?"
        )
    })?;
    let status = answered.status();
    // Enough to tell one of the receiver's from another's.
    let is_ours = answered.bytes().await.is_ok_and(|body| body == ACCEPTED);
    let lasted = start.elapsed();
    let is_stored = status == StatusCode::OK && is_ours;
    let mut outcome =
        format!("{status} after {} ms: {}", lasted.as_millis(), meaning(status, is_ours));
    if is_stored && lasted > CLOUD_TIMEOUT {
        outcome.push_str("\nThe cloud waits 5 s only: it would have posted the event again.");
    }
    Ok((is_stored, outcome))
}

/// What a status probably means.
fn meaning(status: StatusCode, is_ours: bool) -> &'static str {
    match status.as_u16() {
        200 if is_ours => "the event is stored",
        200..=299 => "something else than the receiver answered: does the proxy pass the path on?",
        300..=399 => "a redirect, which the cloud may not follow: set the URL that it leads to",
        401 => "something before the receiver asks for a password, which the cloud does not have",
        403 => {
            "the signature is refused: the daemon has another sign_key, or none is set here; or a \
             firewall before the receiver refuses the request"
        }
        404 => {
            "token, SubAppId or path is wrong: compare them with [receive] token and [vod] \
             sub_app_id, and see whether the proxy passes the path on unchanged"
        }
        408 => "the request did not arrive in time: is the proxy slow?",
        411 | 413 => "the event is too large for the receiver or the proxy",
        405 | 415 => "the proxy changes method or encoding of the request",
        429 => "the proxy limits the rate",
        503 => "the receiver cannot store events, or the proxy is overloaded; see `sprited status`",
        502 | 504 => {
            "the proxy does not reach the receiver: does the daemon run with [receive], at the \
             address that the proxy has?"
        }
        _ => "unexpected; see the logs of the proxy and of the daemon",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_token_is_shown_wherever_it_stands() {
        let masked = |url: &str| masked(&Url::parse(url).unwrap());
        assert_eq!(masked("https://a.example/vod/7/hunter2"), "https://a.example/vod/7/…");
        for url in [
            "https://me:hunter2@a.example/hunter2",
            "https://a.example/vod/hunter2?hunter2#hunter2",
            "https://a.example/hunter2/7/7",
            "https://a.example/",
        ] {
            assert_eq!(masked(url), "https://a.example/…");
        }
    }
}
