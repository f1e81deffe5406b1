//! What needs the rights that the process was started with: done before root becomes the journal's
//! owner. Nothing that belongs to that user is touched here.

use std::path::PathBuf;
use std::sync::Arc;

use nix::unistd::geteuid;
use tokio::net::TcpListener;

use super::exit::DaemonError;
use super::sink_set::{OpenedSink, SinkSet};
use crate::config::{Config, Loaded};
use crate::http::HttpSettings;
use crate::listener;
use crate::vod::Client;
use crate::vod::credentials::Provider;

/// The first port that every user may listen on.
const FIRST_UNPRIVILEGED_PORT: u16 = 1024;

/// A daemon that has read its secrets and opened nothing.
#[derive(Debug)]
pub struct Prepared {
    pub(super) file: PathBuf,
    pub(super) config: Config,
    pub(super) client: Client,
    pub(super) sinks: Vec<OpenedSink>,
    pub(super) listener: Option<TcpListener>,
}

impl Prepared {
    /// Reads the secrets of the sinks, which touches no target of theirs. As root it listens on the
    /// address of `[http]` already, if only root may.
    ///
    /// # Errors
    /// When a secret cannot be read, or the address is taken.
    pub async fn new(loaded: Loaded, provider: Arc<dyn Provider>) -> Result<Self, DaemonError> {
        let Loaded { file, config, .. } = loaded;
        let client = Client::new(&config.vod, provider).map_err(DaemonError::Setup)?;
        let sinks = SinkSet::open_all(&config.sinks, client.app()).await;
        let sinks = sinks.map_err(|errors| DaemonError::Setup(errors.join("\n")))?;
        let is_privileged =
            |port: u16| geteuid().is_root() && port != 0 && port < FIRST_UNPRIVILEGED_PORT;
        let port = config.http.address().map(|address| address.port());
        let listener = if port.is_some_and(is_privileged) { bind(&config.http)? } else { None };
        Ok(Self { file, config, client, sinks, listener })
    }
}

/// Listens on the address of `[http]`, if it has one.
pub(super) fn bind(settings: &HttpSettings) -> Result<Option<TcpListener>, DaemonError> {
    let Some(address) = settings.address() else { return Ok(None) };
    listener::listen(address).map(Some).map_err(|source| DaemonError::Address { address, source })
}
