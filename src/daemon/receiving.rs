//! The receiver's socket and rules, as they are at the start.

use std::{env, io};

use listenfd::ListenFd;
use tokio::net::TcpListener;

use super::bind::{bind, is_privileged};
use super::exit::DaemonError;

use crate::receiver::{ReceiveRules, ReceiveSettings};

/// The name of the socket that systemd passes, as `systemd/sprited-callbacks.socket` has it.
const SOCKET_NAME: &str = "callbacks";

/// What the receiver needs and only the process's start may be able to get.
#[derive(Debug)]
pub(super) struct PreparedReceiver {
    pub(super) settings: ReceiveSettings,
    pub(super) rules: ReceiveRules,
    pub(super) socket: Option<ReceiverSocket>,
}

/// Where posts arrive.
#[derive(Debug)]
pub(super) struct ReceiverSocket {
    pub(super) listener: TcpListener,
    /// Whether the service manager holds it as well.
    pub(super) is_passed: bool,
}

impl PreparedReceiver {
    /// Reads the secrets, and takes the socket that the service manager has passed, if there is
    /// one. As root it listens on an address already, if only root may. Blocks on small files.
    ///
    /// # Errors
    /// When a secret cannot be read or used, or a socket.
    pub(super) fn new(settings: Option<&ReceiveSettings>) -> Result<Option<Self>, DaemonError> {
        let passed = passed_listener().map_err(|error| {
            DaemonError::Setup(format!(
                "[receive]: cannot use the socket {SOCKET_NAME:?} that the service manager passed: \
                 {error}; it must be a TCP socket that listens"
            ))
        })?;
        let Some(settings) = settings else {
            if passed.is_some() {
                tracing::warn!(
                    "the service manager passed a socket for callbacks, and the configuration has \
                     no table [receive]: nothing is received"
                );
            }
            return Ok(None);
        };
        let rules = ReceiveRules::read(settings).map_err(DaemonError::Setup)?;
        let socket = match passed {
            Some(listener) => Some(ReceiverSocket { listener, is_passed: true }),
            None if is_privileged(settings.address()) => Some(ReceiverSocket::bind(settings)?),
            None => None,
        };
        Ok(Some(Self { settings: settings.clone(), rules, socket }))
    }

    /// Returns the rules, and the socket, bound now if it was not before.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub(super) fn open(self) -> Result<(ReceiveRules, ReceiverSocket), DaemonError> {
        let socket = self.socket.map_or_else(|| ReceiverSocket::bind(&self.settings), Ok)?;
        Ok((self.rules, socket))
    }
}

impl ReceiverSocket {
    fn bind(settings: &ReceiveSettings) -> Result<Self, DaemonError> {
        let listener = bind("receive", settings.address())?;
        Ok(Self { listener, is_passed: false })
    }
}

/// Returns the listening socket that the service manager passed for callbacks; `None` if it passed
/// none.
fn passed_listener() -> io::Result<Option<TcpListener>> {
    let mut passed = ListenFd::from_env();
    if passed.len() == 0 {
        return Ok(None);
    }
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let Some(place) = names.split(':').position(|name| name == SOCKET_NAME) else {
        tracing::warn!(
            names,
            "sockets passed by the service manager ignored: none is for callbacks"
        );
        return Ok(None);
    };
    let Some(listener) = passed.take_tcp_listener(place)? else { return Ok(None) };
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener).map(Some)
}
