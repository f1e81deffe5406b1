//! The emulator itself.
//!
//! Owns its address, its tasks and its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::admin;
use super::control::EmulatorControl;
use super::push;
use super::serve::serve;
use super::settings::EmulatorSettings;
use super::shared::Shared;
use super::sprites::SpriteOrder;

/// The least time between two groups of sprite tasks of a steady rate.
const MIN_SPRITE_INTERVAL: Duration = Duration::from_millis(100);

/// Why the emulator could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address can be reached from other machines.
    #[error(
        "{0} is not a loopback address: whoever reaches the emulator can control it; allow remote \
         access explicitly"
    )]
    NotLoopback(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// There can be no HTTP client to post events.
    #[error("cannot set up an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    /// A setting is out of its range.
    #[error("{0}")]
    Setting(&'static str),
}

/// An emulator that is bound to its address: clients can connect, and are answered while
/// [`Self::run`] is polled.
#[derive(Debug)]
pub struct Emulator {
    listener: TcpListener,
    shared: Arc<Shared>,
    client: reqwest::Client,
}

impl Emulator {
    /// Binds the emulator to `address`; port 0 takes any free one.
    ///
    /// # Errors
    /// When the address is not of the loopback and that is not allowed, cannot be listened on, a
    /// setting is out of its range, or TLS cannot be set up.
    pub async fn bind(settings: EmulatorSettings, address: SocketAddr) -> Result<Self, BindError> {
        settings.check().map_err(BindError::Setting)?;
        if !address.ip().to_canonical().is_loopback() && !settings.allow_remote {
            return Err(BindError::NotLoopback(address));
        }
        let failed = |source| BindError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let shared = Arc::new(Shared::new(settings, bound));
        Ok(Self { listener, shared, client: push::client()? })
    }

    /// Returns the address clients use, without a path: `http://127.0.0.1:9771`.
    #[must_use]
    pub fn url(&self) -> String {
        self.shared.url.clone()
    }

    /// Returns a handle to add events, set faults and read the ledger.
    #[must_use]
    pub fn control(&self) -> EmulatorControl {
        EmulatorControl::new(Arc::clone(&self.shared))
    }

    /// Answers clients until `cancel` is cancelled; then held calls are answered at once, and
    /// after a fraction of a second every connection is closed. All it started has ended when it
    /// returns. Dropped before, it ends at once.
    pub async fn run(self, cancel: CancellationToken) {
        let stop = self.shared.stop.clone();
        let _stop_when_dropped = stop.clone().drop_guard();
        let control = self.control();
        let rate = self.shared.settings.sprites_per_second;
        tokio::join!(
            async {
                cancel.cancelled().await;
                stop.cancel();
            },
            serve(self.listener, admin::router(Arc::clone(&self.shared)), stop.clone()),
            make_sprites(&control, rate, &stop),
            push::push_events(&self.shared, &self.client),
        );
    }
}

/// Makes `rate` sprite tasks a second until `stop`.
async fn make_sprites(control: &EmulatorControl, rate: f64, stop: &CancellationToken) {
    if rate <= 0.0 {
        return;
    }
    let mut ticks =
        tokio::time::interval(Duration::from_secs_f64(1.0 / rate).max(MIN_SPRITE_INTERVAL));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    let mut due = 1.0;
    let mut failing = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            now = ticks.tick() => {
                due += rate * now.duration_since(last).as_secs_f64();
                last = now;
            }
        }
        // Below 10,000 a second and an hour a tick: far inside 32 bits.
        let count = due as u32;
        due -= f64::from(count);
        let added = control.add_sprites(&SpriteOrder { count, ..SpriteOrder::default() });
        if let Err(error) = &added
            && !failing
        {
            tracing::warn!(%error, "queue full; sprite tasks are paused");
        }
        failing = added.is_err();
    }
}
