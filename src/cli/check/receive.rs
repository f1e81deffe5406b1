//! Whether posted events could be received: something answers at the address as the receiver does,
//! or the address is free. Starts no daemon: where none runs, whoever listens may be the service
//! manager, which would start one for any connection.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use reqwest::{StatusCode, header};
use tokio::net::TcpListener;

use super::journal;
use super::report::CheckStep;
use crate::cli::exit::Exit;
use crate::net;

/// The longest that the receiver may take for a refusal.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

const STEP: &str = "receive";

/// Takes the step for the listener at `address`, of the daemon that has the journal at `journal`.
/// Posts nothing that could be an event.
pub(super) async fn check(address: SocketAddr, journal: &Path) -> CheckStep {
    match TcpListener::bind(address).await {
        Ok(_) => CheckStep::ok(STEP, format!("{address} is free for the daemon")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            match journal::has_daemon(journal).await {
                true => probe(address).await,
                false => CheckStep::warn(
                    STEP,
                    format!("{address} is in use, and no daemon runs with this journal: not asked"),
                    "if `systemctl list-sockets` shows sprited-callbacks.socket there, all is well: \
                     its first connection starts the daemon; if not, find out what listens there \
                     (`ss -ltnp`), since the daemon could not",
                ),
            }
        }
        Err(error) => CheckStep::fail(
            STEP,
            Exit::Failure,
            format!("cannot listen on {address}: {error}"),
            "set [receive] listen to an address of this machine and to a port that the service may \
             use",
        ),
    }
}

/// Asks whoever listens there for a path that the receiver has not.
async fn probe(address: SocketAddr) -> CheckStep {
    let url = format!("http://{}/vod/0/check", reachable(address));
    let client = net::client_builder(ANSWER_TIMEOUT).no_proxy().timeout(ANSWER_TIMEOUT).build();
    let answer = match client {
        Ok(client) => client.post(url).body("{}").send().await,
        Err(error) => Err(error),
    };
    let found = match answer {
        // Other servers have a page for this, and a name.
        Ok(answer)
            if answer.status() == StatusCode::NOT_FOUND
                && answer.content_length() == Some(0)
                && !answer.headers().contains_key(header::SERVER) =>
        {
            return CheckStep::ok(STEP, format!("a receiver answers on {address}"));
        }
        Ok(answer) => format!("{address} answers with {}, which no receiver does", answer.status()),
        Err(error) => format!("{address} is in use, and gives no answer: {}", error.without_url()),
    };
    let advice =
        "find out what listens there (`ss -ltnp`), or set [receive] listen to another port";
    CheckStep::fail(STEP, Exit::Failure, found, advice)
}

/// An address of this machine at which a listener on all of them answers.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address {
        SocketAddr::V4(address) if address.ip().is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(address) if address.ip().is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address.ip(),
    };
    SocketAddr::new(ip, address.port())
}
