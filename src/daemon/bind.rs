//! Listens on the addresses that the configuration names.

use std::net::SocketAddr;

use nix::unistd::geteuid;
use tokio::net::TcpListener;

use super::exit::DaemonError;
use crate::listener;

/// The first port that every user may listen on.
const FIRST_UNPRIVILEGED_PORT: u16 = 1024;

/// Whether only root may listen there, and this is root.
pub(super) fn is_privileged(address: SocketAddr) -> bool {
    let port = address.port();
    geteuid().is_root() && port != 0 && port < FIRST_UNPRIVILEGED_PORT
}

/// Listens on the address of a table.
pub(super) fn bind(table: &'static str, address: SocketAddr) -> Result<TcpListener, DaemonError> {
    listener::listen(address).map_err(|source| DaemonError::Address { table, address, source })
}
