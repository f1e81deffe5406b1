//! What needs the rights that the process was started with: done before root becomes the journal's
//! owner. Nothing that belongs to that user is touched here.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::bind::{bind, is_privileged};
use super::exit::DaemonError;
use super::receiving::PreparedReceiver;
use super::sink_set::{OpenedSink, SinkSet};
use crate::config::{Config, Loaded, ShownConfig};
use crate::vod::Client;
use crate::vod::credentials::Provider;

/// A daemon that has read its secrets and opened nothing.
#[derive(Debug)]
pub struct Prepared {
    pub(super) file: PathBuf,
    pub(super) config: Config,
    pub(super) shown: ShownConfig,
    pub(super) client: Client,
    pub(super) sinks: Vec<OpenedSink>,
    pub(super) listener: Option<TcpListener>,
    pub(super) receiver: Option<PreparedReceiver>,
}

impl Prepared {
    /// Reads the secrets of the sinks and of the receiver, which touches no target of theirs. As root
    /// it listens on the addresses already that only root may.
    ///
    /// # Errors
    /// When a secret cannot be read, or the address is taken.
    pub async fn new(loaded: Loaded, provider: Arc<dyn Provider>) -> Result<Self, DaemonError> {
        let Loaded { file, config, shown, .. } = loaded;
        let client = Client::new(&config.vod, provider).map_err(DaemonError::Setup)?;
        let sinks = SinkSet::open_all(&config.sinks, client.app()).await;
        let sinks = sinks.map_err(|errors| DaemonError::Setup(errors.join("\n")))?;
        let address = config.http.address().filter(|address| is_privileged(*address));
        let listener = address.map(|address| bind("http", address)).transpose()?;
        let receiver = PreparedReceiver::new(config.receive.as_ref())?;
        Ok(Self { file, config, shown, client, sinks, listener, receiver })
    }
}
