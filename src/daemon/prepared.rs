//! What a daemon needs the rights for that its process was started with: it is done before root
//! becomes the journal's owner. Nothing that belongs to that one is touched here.

use std::path::PathBuf;
use std::sync::Arc;

use nix::unistd::geteuid;
use tokio::net::TcpListener;

use super::sink_set::{OpenedSink, SinkSet};
use super::{Daemon, DaemonError, bind};
use crate::config::{Config, Loaded};
use crate::vod::Client;
use crate::vod::credentials::Provider;

/// The first port that everybody may listen on.
const FIRST_FREE_PORT: u16 = 1024;

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
    /// Reads the secrets of the sinks, which touches no target of theirs. As root it listens on its
    /// address already, if only root may.
    ///
    /// # Errors
    /// When a secret cannot be read, or the address is taken.
    pub async fn new(loaded: Loaded, provider: Arc<dyn Provider>) -> Result<Self, DaemonError> {
        let Loaded { file, config, .. } = loaded;
        let client = Client::new(&config.vod, provider).map_err(DaemonError::Setup)?;
        let sinks = SinkSet::open_anew(&config.sinks, client.app()).await;
        let sinks = sinks.map_err(|faults| DaemonError::Setup(faults.join("\n")))?;
        let is_roots = |port: u16| geteuid().is_root() && port != 0 && port < FIRST_FREE_PORT;
        let port = config.http.address().map(|address| address.port());
        let listener = if port.is_some_and(is_roots) { bind(&config.http)? } else { None };
        Ok(Self { file, config, client, sinks, listener })
    }

    /// Opens the rest.
    ///
    /// # Errors
    /// When something cannot be opened; nothing runs then.
    pub async fn open(self) -> Result<Daemon, DaemonError> {
        Daemon::assemble(self).await
    }
}
