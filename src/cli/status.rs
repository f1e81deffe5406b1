//! `sprited status`: what the daemon does now, as it tells itself.

use std::error::Error as _;
use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::args::ConfigArg;
use super::exit::{Exit, complain};
use super::open_journal::{self, CliError};
use super::process::{self, Signals};
use crate::daemon::DaemonSignals;
use crate::journal;

/// Between two looks.
const WATCH: Duration = Duration::from_secs(2);
/// For an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Goes to the upper left and empties the screen.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Show what the daemon does now: the page at `[http] listen`, on the terminal.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exits with 0 if the daemon answers, whatever it says of itself, and with 1 if not; whether it
is ready is what /readyz is for. With --watch it waits for a daemon that does not answer, says so
once, and exits with 0 when it is interrupted.

Examples:
  sprited status --watch
  sprited status --json"
)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Look again every two seconds until interrupted, also while no daemon answers.
    #[arg(long)]
    watch: bool,
    /// Answer in JSON, one line a look.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &StatusArgs) -> Exit {
    open_journal::end(show(args))
}

fn show(args: &StatusArgs) -> Result<Exit, CliError> {
    let failed = |why: &dyn std::fmt::Display| CliError::because(Exit::Failure, why);
    let config = open_journal::settings(&args.config)?;
    let file = args.config.path.display();
    let Some(address) = config.http.address() else {
        return Err(failed(&format_args!(
            "{file} has [http] listen = \"off\": nobody can be asked"
        )));
    };
    let page = if args.json { "status.json" } else { "status.txt" };
    let url = format!("http://{}/{page}", reachable(address));
    drop(rustls::crypto::ring::default_provider().install_default());
    // Past any proxy: who is asked is on this machine.
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build();
    let client = client.map_err(|error| failed(&error))?;
    let clear = args.watch && !args.json && io::stdout().is_terminal();
    let absent = |why: &str| {
        let daemon = format!("no daemon answers at {address}, the [http] listen of {file}: {why}");
        match journal::missing(&config.journal.path) {
            Some(missing) => format!("{daemon}; {missing}"),
            None => format!("{daemon}; does it run? (systemctl status sprited)"),
        }
    };
    let looking = async {
        if args.watch {
            // Taken over before the first look, so that none is broken off half-way.
            let (signals, control) = (Signals::new()?, DaemonSignals::default());
            let stop = control.stop.clone();
            return tokio::select! {
                ended = watch(&client, &url, clear, absent) => ended,
                () = stop.cancelled() => Ok(Exit::Success),
                never = signals.obey(control) => match never {},
            };
        }
        match look(&client, &url).await {
            Ok(status) => write(&status, false)?,
            Err(why) => return Err(failed(&absent(&why))),
        }
        Ok(Exit::Success)
    };
    process::block_on(looking).map_err(|error| failed(&format_args!("{error:#}")))?
}

/// Looks again and again. A daemon that is away may be about to come: it is waited for, and its
/// last figures do not stay on the screen meanwhile.
async fn watch(
    client: &reqwest::Client,
    url: &str,
    clear: bool,
    absent: impl Fn(&str) -> String,
) -> Result<Exit, CliError> {
    let mut is_told = false;
    loop {
        match look(client, url).await {
            Ok(status) => {
                write(&status, clear)?;
                is_told = false;
            }
            Err(why) if !is_told => {
                write("", clear)?;
                complain(format_args!("{}; waiting for it", absent(&why)));
                is_told = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(WATCH).await;
    }
}

/// Of a page of ours, as text and as JSON.
const BEGINNINGS: [&str; 2] = ["sprited ", "{\"version\":"];

/// Where a listener on this address is reached from here.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// The page, or why there is none.
async fn look(client: &reqwest::Client, url: &str) -> Result<String, String> {
    let answer = client.get(url).send().await.map_err(|error| reason(&error))?;
    if !answer.status().is_success() {
        return Err(format!("what answers there says {}", answer.status()));
    }
    let page = answer.text().await.map_err(|error| reason(&error))?;
    // Another program has the port, perhaps: what it says is not for a terminal.
    if !BEGINNINGS.iter().any(|beginning| page.starts_with(beginning)) {
        return Err("what answers there is another program".to_owned());
    }
    Ok(page)
}

/// The innermost cause, which says it all: `Connection refused`.
fn reason(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    text
}

fn write(status: &str, clear: bool) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    if clear {
        stdout.write_all(CLEAR.as_bytes())?;
    }
    stdout.write_all(status.as_bytes())?;
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_reached_on_loopback() {
        for (listen, reached) in [
            ("0.0.0.0:9770", "127.0.0.1:9770"),
            ("[::]:1", "[::1]:1"),
            ("192.0.2.1:80", "192.0.2.1:80"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), reached);
        }
    }
}
