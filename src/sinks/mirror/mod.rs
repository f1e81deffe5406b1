//! Copies of sprites that every player reads, in a store of the operator's own.
//!
//! Owns the way of one sprite: fetched from where the event says, looked at, its index written anew,
//! its files under names that depend on their content, and a manifest last under a name that stays. An
//! older sprite never takes the place of a newer one, and what is there is not fetched again. Hosts
//! that are down hold up no sprite of another host. Nothing of the remote side enters a path, and
//! nothing is ever deleted but what a crash left half-written.

mod copies;
mod delivery;
mod failure;
mod manifest;
mod prefix;
mod probe;
mod public_url;
mod settings;
mod source_hosts;
mod store;
mod turns;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use self::copies::{Copies, SpriteDelivery};
use self::failure::worst;
use self::source_hosts::SourceHosts;
use self::store::FolderStore;
use self::turns::Turns;
use super::{Batch, BatchLimits, Sink, SinkContext, SourceOutage, Verdict, Verdicts};
use crate::event::{Event, MirrorResult, MirrorStatus};
use crate::fetch::Fetcher;

pub use self::prefix::Prefix;
pub use self::public_url::PublicUrl;
pub use self::settings::{MirrorSettings, StoreKind};

/// Opens the sink: reads its secrets. Touches no file of the store, and connects to nothing.
///
/// # Errors
/// When a secret cannot be read, TLS cannot be set up, or the system knows no such group.
pub async fn open(settings: &MirrorSettings, context: &SinkContext) -> anyhow::Result<Mirror> {
    let fetcher = Fetcher::open(&settings.fetch(), context.timeout).await?;
    let of_store = settings.clone();
    let store = spawn_blocking(move || FolderStore::new(&of_store)).await??;
    Ok(Mirror {
        name: context.name.clone(),
        timeout: context.timeout,
        strict: settings.strict,
        max_in_flight: settings.max_in_flight.get(),
        fetcher,
        has_external_secrets: settings.fetch().has_external_secrets(),
        sources: SourceHosts::new(&context.name),
        turns: Turns::default(),
        copies: Arc::new(Copies {
            name: context.name.clone(),
            store,
            public_url: settings.public_url.clone(),
        }),
    })
}

/// The sink `mirror`.
pub struct Mirror {
    name: String,
    /// Of the whole delivery of one event, as far as others are waited for.
    timeout: Duration,
    strict: bool,
    max_in_flight: usize,
    fetcher: Fetcher,
    has_external_secrets: bool,
    sources: SourceHosts,
    turns: Turns,
    copies: Arc<Copies>,
}

impl fmt::Debug for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The fetcher's client would show the proxies of the environment, with their passwords.
        let Self { name, timeout, strict, max_in_flight, copies, .. } = self;
        let mut shown = f.debug_struct("Mirror");
        shown.field("name", name).field("timeout", timeout).field("strict", strict);
        shown.field("max_in_flight", max_in_flight).field("copies", copies).finish_non_exhaustive()
    }
}

impl Mirror {
    /// Mirrors the sprites of an event, all of them whatever becomes of the first: what is done is
    /// found again at a retry.
    async fn mirror_all(&self, event: &Arc<Event>) -> (Verdict, Vec<MirrorResult>) {
        let deadline = Instant::now() + self.timeout;
        let (mut results, mut failures) = (Vec::new(), Vec::new());
        for delivery in (0..event.sprites.len()).filter_map(|at| SpriteDelivery::new(event, at)) {
            results.push(match self.mirror(&delivery, deadline).await {
                Ok(result) => result,
                Err(failure) => {
                    let why = failure.error().to_owned();
                    failures.push(failure);
                    self.copies.without_files(MirrorStatus::Failed, &why)
                }
            });
        }
        (worst(failures), results)
    }
}

#[async_trait]
impl Sink for Mirror {
    async fn deliver(&self, batch: &Batch) -> Verdicts {
        let mut done = Vec::with_capacity(batch.events().len());
        for event in batch.events() {
            done.push(self.mirror_all(event).await);
        }
        let (verdicts, mirrored): (Vec<_>, Vec<_>) = done.into_iter().unzip();
        let mut verdicts = verdicts.into_iter();
        // There are as many as events.
        let verdict = |_: &Arc<Event>| verdicts.next().unwrap_or(Verdict::Delivered);
        batch.each(verdict).with_mirrored(mirrored)
    }

    fn limits(&self) -> BatchLimits {
        BatchLimits { max_batch: 1, max_in_flight: self.max_in_flight }
    }

    async fn reopen(&self) -> anyhow::Result<()> {
        self.fetcher.renew().await
    }

    fn sources_down(&self) -> Vec<SourceOutage> {
        self.sources.down(Instant::now())
    }

    fn is_local(&self) -> bool {
        true
    }

    async fn probe(&self) -> anyhow::Result<()> {
        self.probe_store().await
    }

    async fn warnings(&self) -> Vec<String> {
        self.warnings_of_players().await
    }
}
