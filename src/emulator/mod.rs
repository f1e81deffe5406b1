//! The cloud's event API on the local machine, and its STS, for trying out and for tests.
//!
//! Owns a stand-in that is as strict as the service is documented, kinder only where its
//! [`Settings`] say so: signatures, leases, handles, rates, errors, and faults on request. It
//! shares no code with the client in `vod`: they check each other. Knows nothing of the crate but
//! `secret`.
//!
//! Where the service's behaviour is not known, the stricter reading was taken and says so at its
//! place.

mod actions;
mod admin;
mod answer;
mod api;
mod authorization;
mod clock;
mod content;
mod control;
mod faults;
mod handle;
mod ledger;
mod local;
mod queue;
mod quota;
mod refusal;
mod serve;
mod settings;
mod shared;
mod sprites;
mod sts;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::loopback::is_loopback;

pub use authorization::Account;
pub use control::{AddError, Control, FaultError};
pub use faults::{Empty, Fault, Kind, Malformed};
pub use ledger::{Confirmed, HandedOut, Record, RefusedOnce, Snapshot, Totals};
#[doc(hidden)]
pub use local::Local;
pub use queue::Reason;
pub use settings::{Bursts, EventConfig, Identity, LeaseFrom, Lenient, Mode, Role, Settings};
pub use sprites::{Made, Order, Road};

use shared::Shared;

/// Sprite tasks of a steady rate are made in groups, at least so far apart.
const SPRITES_EVERY: Duration = Duration::from_millis(100);

/// An action of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
pub enum Action {
    /// Hands out events.
    PullEvents,
    /// Takes events off the queue.
    ConfirmEvents,
    /// Tells how many events wait.
    DescribeEventsState,
    /// Tells how events are reported.
    DescribeEventConfig,
    /// Hands out keys of a role, for a key of the account.
    AssumeRole,
    /// Hands out keys of a role, for a token of an identity provider.
    AssumeRoleWithWebIdentity,
}

impl Action {
    const ALL: [Self; 6] = [
        Self::PullEvents,
        Self::ConfirmEvents,
        Self::DescribeEventsState,
        Self::DescribeEventConfig,
        Self::AssumeRole,
        Self::AssumeRoleWithWebIdentity,
    ];

    /// The name in `X-TC-Action`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PullEvents => "PullEvents",
            Self::ConfirmEvents => "ConfirmEvents",
            Self::DescribeEventsState => "DescribeEventsState",
            Self::DescribeEventConfig => "DescribeEventConfig",
            Self::AssumeRole => "AssumeRole",
            Self::AssumeRoleWithWebIdentity => "AssumeRoleWithWebIdentity",
        }
    }

    /// The service's short name and version.
    fn service(self) -> (&'static str, &'static str) {
        match self {
            Self::AssumeRole | Self::AssumeRoleWithWebIdentity => ("sts", "2018-08-13"),
            _ => ("vod", "2018-07-17"),
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

/// Why the emulator could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address can be reached from other machines.
    #[error(
        "{0} is not a loopback address: the emulator lets anybody who reaches it change what it \
         does; allow remote access explicitly if that is wanted"
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
    /// A setting is out of its range.
    #[error("{0}")]
    Setting(&'static str),
}

/// The emulator, bound to its address: clients can connect, and are answered once [`Self::run`]
/// is polled.
#[derive(Debug)]
pub struct Emulator {
    listener: TcpListener,
    shared: Arc<Shared>,
}

impl Emulator {
    /// Binds the emulator to `address`; port 0 takes any free one.
    ///
    /// # Errors
    /// When the address is not of the loopback and that is not allowed, cannot be listened on, or
    /// a setting is out of its range.
    pub async fn bind(settings: Settings, address: SocketAddr) -> Result<Self, BindError> {
        settings.check().map_err(BindError::Setting)?;
        if !is_loopback(address.ip()) && !settings.allow_remote {
            return Err(BindError::NotLoopback(address));
        }
        let failed = |source| BindError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, shared: Arc::new(Shared::new(settings, bound)) })
    }

    /// The address clients use, without a path: `http://127.0.0.1:9771`.
    #[must_use]
    pub fn url(&self) -> String {
        self.shared.url.clone()
    }

    /// A handle to add events, set faults and read the ledger; good for as long as wanted.
    #[must_use]
    pub fn control(&self) -> Control {
        Control::new(Arc::clone(&self.shared))
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
            serve::serve(self.listener, admin::router(Arc::clone(&self.shared)), stop.clone()),
            make_sprites(&control, rate, &stop),
        );
    }
}

/// Makes `rate` sprite tasks a second until `stop`.
async fn make_sprites(control: &Control, rate: f64, stop: &CancellationToken) {
    if rate <= 0.0 {
        return;
    }
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / rate).max(SPRITES_EVERY));
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
        let added = control.add_sprites(&Order { count, ..Order::default() });
        if let Err(error) = &added
            && !failing
        {
            tracing::warn!(%error, "no sprite tasks are made until there is room");
        }
        failing = added.is_err();
    }
}
