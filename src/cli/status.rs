//! `sprited status`: the status page of the running daemon.

use std::error::Error;
use std::io::{self, IsTerminal};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::exit::{Exit, complain, print};
use super::open_journal::{self, CliError, ConfigArg};
use super::process::{self, Signals};
use super::screen::Screen;
use crate::config::PartialConfig;
use crate::daemon::DaemonSignals;
use crate::{journal, net};

const REFRESH_INTERVAL: Duration = Duration::from_secs(2);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Moves the cursor to the upper left and clears the screen.
const CLEAR_SCREEN: &str = "\x1b[H\x1b[2J";

/// Show the daemon's status page on the terminal.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It asks the daemon at [http] listen. Exit code: 0 if the daemon answers, whatever its state, 1 if
not; /readyz tells whether it is ready. With --watch it waits for a daemon that does not answer,
reports that once, and exits with 0 when interrupted.

Examples:
  sprited status --watch
  sprited status --json"
)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Refresh every two seconds until interrupted, even while no daemon answers.
    #[arg(long)]
    watch: bool,
    /// Print JSON, one line per refresh.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &StatusArgs) -> Exit {
    open_journal::end(show(args))
}

fn show(args: &StatusArgs) -> Result<Exit, CliError> {
    let failed = |why: &dyn std::fmt::Display| CliError::because(Exit::Failure, why);
    let config = PartialConfig::load(&args.config.path)?;
    let listen = config.http()?.address();
    open_journal::warn_of_mistakes(&args.config.path, &config);
    let journal = config.journal_path().ok();
    let file = args.config.path.display();
    let Some(address) = listen else {
        return Err(failed(&format_args!(
            "{file} has [http] listen = \"off\": the daemon serves no status"
        )));
    };
    let page = if args.json { "status.json" } else { "status.txt" };
    let url = format!("http://{}/{page}", reachable(address));
    // Past any proxy: who is asked is on this machine.
    let client = net::client_builder(ANSWER_TIMEOUT).no_proxy().timeout(ANSWER_TIMEOUT).build();
    let client = client.map_err(|error| failed(&error))?;
    let clear = args.watch && !args.json && io::stdout().is_terminal();
    let absent = |why: &str| {
        let daemon = format!("no daemon answers at {address} ([http] listen of {file}): {why}");
        match journal.as_deref().and_then(journal::missing) {
            Some(missing) => format!("{daemon}; {missing}"),
            None => format!("{daemon}; is it running? (systemctl status sprited)"),
        }
    };
    let work = async {
        if args.watch {
            // Taken over before the first refresh, so that none is interrupted.
            let (signals, control) = (Signals::new()?, DaemonSignals::default());
            let stop = control.stop.clone();
            return tokio::select! {
                ended = watch(&client, &url, clear, absent) => ended,
                () = stop.cancelled() => Ok(Exit::Success),
                never = signals.obey(control) => match never {},
            };
        }
        match fetch(&client, &url).await {
            Ok(status) => write(&status, false)?,
            Err(why) => return Err(failed(&absent(&why))),
        }
        Ok(Exit::Success)
    };
    process::block_on(work).map_err(|error| failed(&format_args!("{error:#}")))?
}

/// Refreshes until interrupted. A daemon that does not answer is waited for, and its last figures
/// do not stay on the screen meanwhile.
async fn watch(
    client: &reqwest::Client,
    url: &str,
    clear: bool,
    absent: impl Fn(&str) -> String,
) -> Result<Exit, CliError> {
    let mut is_reported = false;
    loop {
        match fetch(client, url).await {
            Ok(status) => {
                write(&status, clear)?;
                is_reported = false;
            }
            Err(why) if !is_reported => {
                write("", clear)?;
                complain(format_args!("{}; waiting for it", absent(&why)));
                is_reported = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(REFRESH_INTERVAL).await;
    }
}

/// How a page of sprited begins, as text and as JSON.
const PAGE_PREFIXES: [&str; 2] = ["sprited ", "{\"version\":"];

/// Where a listener on this address is reached from here.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn fetch(client: &reqwest::Client, url: &str) -> Result<String, String> {
    let answer = client.get(url).send().await.map_err(|error| reason(&error))?;
    if !answer.status().is_success() {
        return Err(format!("unexpected answer {}", answer.status()));
    }
    let page = answer.text().await.map_err(|error| reason(&error))?;
    // Another program has the port, perhaps: what it says is not for a terminal.
    if !PAGE_PREFIXES.iter().any(|prefix| page.starts_with(prefix)) {
        return Err("another program answers there".to_owned());
    }
    Ok(page)
}

/// Returns the innermost cause: `Connection refused`.
fn reason(error: &reqwest::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| Error::source(*cause));
    causes.last().map_or_else(|| error.to_string(), ToString::to_string)
}

fn write(status: &str, clear: bool) -> io::Result<()> {
    if !clear {
        return print(status.as_bytes());
    }
    // Asked each time: a window may be another size by now.
    let page = Screen::of_stdout().map_or_else(|| status.to_owned(), |screen| screen.fit(status));
    print(format!("{CLEAR_SCREEN}{page}").as_bytes())
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
