//! One sprite's way into the store.
//!
//! What is there already is not fetched again: the manifest names it. Else its files are fetched and
//! looked at, written, and the manifest last. Each step can be the last one before a crash; the next
//! try then finds what is there and goes on.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use super::Mirror;
use super::copies::{NEWER_IS_THERE, SpriteDelivery, There};
use super::failure::MirrorFailure;
use super::source_hosts::{HostIsDown, Pass};
use super::store::StoreError;
use crate::event::{ImageSprite, MirrorResult, MirrorStatus, SpriteStatus};
use crate::fetch::{FetchError, FetchedSprite, SpriteFiles};
use crate::sprite::Announced;

impl Mirror {
    /// Mirrors one sprite, until `deadline` at the latest as far as others are waited for. Dropping it
    /// leaves the store whole.
    pub(super) async fn mirror(
        &self,
        delivery: &SpriteDelivery,
        deadline: Instant,
    ) -> Result<MirrorResult, MirrorFailure> {
        let sprite = delivery.sprite();
        let why = match (sprite.status, &sprite.vtt_url) {
            (SpriteStatus::Processing, _) => Some("its task is still at work"),
            (SpriteStatus::Fail, _) => Some("its task failed"),
            (SpriteStatus::Success, None) => Some("the event has no URL of its WebVTT file"),
            (SpriteStatus::Success, Some(_)) => None,
        };
        if let Some(why) = why {
            return Ok(self.skipped(why));
        }
        let place = delivery.place().manifest();
        let Ok(turn) = timeout_at(deadline, self.turns.take(&place)).await else {
            let error = "another delivery of this file's sprite takes all of its time";
            return Err(MirrorFailure::at_source(error, None, false));
        };
        let result = match self.look(delivery).await? {
            There::Same(result) => Ok(result),
            There::Newer => Ok(self.skipped(NEWER_IS_THERE)),
            There::OlderOrNone => self.get(delivery, deadline).await,
        };
        drop(turn);
        result
    }

    /// What the store has for the place already.
    async fn look(&self, delivery: &SpriteDelivery) -> Result<There, MirrorFailure> {
        let copies = Arc::clone(&self.copies);
        let delivery = delivery.clone();
        blocking(move || copies.look(&delivery)).await
    }

    /// Fetches the sprite and writes it.
    async fn get(
        &self,
        delivery: &SpriteDelivery,
        deadline: Instant,
    ) -> Result<MirrorResult, MirrorFailure> {
        if Instant::now() >= deadline {
            let error = "the other sprites of the event took all of its time";
            return Err(MirrorFailure::at_source(error, None, false));
        }
        let sprite = delivery.sprite();
        let hosts = hosts_of(sprite);
        // Of several it is not known which one is slow.
        let only = <[String; 1]>::try_from(hosts.clone()).ok().map(|[host]| host);
        let pass = self.sources.admit(hosts, Instant::now());
        let pass = pass.map_err(|HostIsDown { error, after }| {
            MirrorFailure::at_source(error, Some(after), true)
        })?;
        let copies = Arc::clone(&self.copies);
        let spool = blocking(move || copies.store.spool()).await?;
        let files = SpriteFiles {
            vtt_url: sprite.vtt_url.as_deref().unwrap_or_default(),
            sheets: &sprite.sheets,
        };
        let announced = announced(sprite);
        let fetching = self.fetcher.fetch(files, &announced, spool.path());
        let fetched = match timeout_at(deadline, fetching).await {
            Ok(fetched) => fetched,
            Err(_) => {
                let error = format!("its files were not here within {:?}", self.timeout);
                let Some(host) = only else {
                    return Err(MirrorFailure::at_source(error, None, false));
                };
                let host = Some(host);
                Err(FetchError::Again { error, host, has_answered: false, after: None })
            }
        };
        if matches!(fetched, Err(FetchError::Again { host: Some(_), has_answered: false, .. })) {
            self.renew_key().await;
        }
        let fetched = self.judge(fetched, pass, delivery)?;
        let mut annotations =
            fetched.verified.findings.iter().filter(|finding| !finding.code.is_repair());
        if self.strict
            && let Some(finding) = annotations.next()
        {
            let error = format!("strict is set, and {}", finding.text);
            // Its temporary files are removed.
            spawn_blocking(move || drop(fetched)).await.ok();
            return Err(MirrorFailure::at_source(error, None, false));
        }
        self.tell_of_repairs(delivery, &fetched);
        let copies = Arc::clone(&self.copies);
        let delivery = delivery.clone();
        blocking(move || copies.write(&delivery, fetched)).await
    }

    /// What became of a fetch, and what that says of the hosts.
    fn judge(
        &self,
        fetched: Result<FetchedSprite, FetchError>,
        pass: Pass<'_>,
        delivery: &SpriteDelivery,
    ) -> Result<FetchedSprite, MirrorFailure> {
        match fetched {
            Ok(fetched) => {
                pass.worked();
                Ok(fetched)
            }
            Err(FetchError::Refused(error)) => Err(MirrorFailure::Reject(error)),
            Err(FetchError::Again { error, host: None, after, .. }) => {
                Err(MirrorFailure::here(error).not_before(after))
            }
            // Of media that were deleted, or were never whole, many fail so for good: others of this
            // host are not to wait.
            Err(FetchError::Again { error, host: Some(host), has_answered: true, after }) => {
                pass.answered(&host);
                Err(MirrorFailure::at_source(error, after, false))
            }
            Err(FetchError::Again { error, host: Some(host), after, .. }) => {
                let is_down = pass.failed(&host, delivery.event().key, &error, after);
                Err(MirrorFailure::at_source(error, after, is_down))
            }
        }
    }

    /// Reads the key again, which may have been changed at the source: of what fails there, one cause
    /// is a key that is out of date.
    async fn renew_key(&self) {
        if self.has_external_secrets
            && let Err(error) = self.fetcher.renew().await
        {
            let error = format!("{error:#}");
            tracing::warn!(sink = self.name, error, "cannot read the secrets again");
        }
    }

    fn tell_of_repairs(&self, delivery: &SpriteDelivery, fetched: &FetchedSprite) {
        let repairs = fetched.verified.findings.iter().filter(|finding| finding.code.is_repair());
        for repair in repairs {
            tracing::debug!(
                sink = self.name,
                event = %delivery.event().key,
                code = repair.code.as_str(),
                finding = repair.text,
                "repaired in the index that is written"
            );
        }
    }

    fn skipped(&self, why: &str) -> MirrorResult {
        self.copies.without_files(MirrorStatus::Skipped, why)
    }
}

/// What an event announces of a sprite, with the length of its media.
fn announced(sprite: &ImageSprite) -> Announced {
    let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).ok();
    Announced { duration: sprite.media_duration.and_then(milliseconds), ..Announced::of(sprite) }
}

/// The hosts that the event names for a sprite, that of the index first; with a port that is not the
/// usual one.
fn hosts_of(sprite: &ImageSprite) -> Vec<String> {
    let mut hosts = Vec::new();
    for url in sprite.vtt_url.iter().chain(&sprite.sheets) {
        let Ok(url) = Url::parse(url) else { continue };
        let Some(host) = url.host_str() else { continue };
        let host = url.port().map_or(host.to_owned(), |port| format!("{host}:{port}"));
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    hosts
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, MirrorFailure> {
    match spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| MirrorFailure::here(error.to_string())),
        Err(error) => Err(MirrorFailure::here(format!("the work on the store failed: {error}"))),
    }
}
