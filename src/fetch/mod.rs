//! The files of a sprite, fetched from where an event says they are.
//!
//! What an event says may be anybody's word. So a file comes from a public address only, or from the
//! hosts that the operator lists; no redirect is followed; what comes is measured while it comes,
//! looked at before it counts as a sheet, and nothing of it enters a path.
//!
//! The way of one sprite: its index, the sheets that this names, four at once, each into a temporary
//! file, and the index once more: if that has changed, the sheets may be of another run.

mod addresses;
mod body;
mod error;
mod hosts;
mod hotlink;
mod requests;
mod resolver;
mod rule;
mod settings;
mod sheet;
mod source;
mod spool;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytesize::ByteSize;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use reqwest::Url;
use reqwest::header::HeaderValue;
use tempfile::TempPath;
use tokio::task::spawn_blocking;

use self::body::{Body, Cap, Total};
use self::requests::{FileAnswer, Requests};
use self::rule::Rule;
use self::sheet::{GotSheet, SheetJob};
use self::source::Source;
use crate::sprite::{self, Announced, Index, MAX_TEXT_BYTES, Resolved, SheetImage, Verified};

pub use error::FetchError;
pub use hosts::HostPattern;
pub use settings::FetchSettings;
pub use spool::SPOOL_PREFIX;

/// Sheets of one sprite that are fetched at once.
const SHEETS_AT_ONCE: usize = 4;

/// The index of a sprite, of which nobody says more than 4 MiB.
const INDEX_CAP: Cap = Cap { bytes: MAX_TEXT_BYTES as u64, rule: Rule::MaxIndex };

/// Fetches the files of sprites. Clones share connections and the key.
#[derive(Clone, Debug)]
pub struct Fetcher {
    requests: Arc<Requests>,
    max_sheet: ByteSize,
    max_total: ByteSize,
}

/// Where the files of a sprite are, as an event says.
#[derive(Clone, Copy, Debug)]
pub struct SpriteFiles<'a> {
    /// URL of the WebVTT index.
    pub vtt_url: &'a str,
    /// URLs of the sheets, in order; those that are not listed are sought beside the index.
    pub sheets: &'a [String],
}

/// The index of a sprite as it was fetched.
#[derive(Debug)]
pub struct FetchedIndex {
    /// Its bytes, at most 4 MiB.
    pub bytes: Vec<u8>,
    source: Source,
    etag: Option<HeaderValue>,
    us: String,
    total: Total,
}

/// A sprite whose files are here.
#[derive(Debug)]
pub struct FetchedSprite {
    /// What it holds.
    pub verified: Verified,
    /// The sheets, in the order in which the tiles of `verified` count them.
    pub sheets: Vec<FetchedSheet>,
}

/// A sheet that is here.
#[derive(Debug)]
pub struct FetchedSheet {
    /// Where it was fetched from, unsigned.
    pub url: Url,
    /// Its file, whose name begins with [`SPOOL_PREFIX`]. Dropping this removes it, and blocks for that.
    pub file: TempPath,
    /// Its length.
    pub bytes: u64,
    /// The hash of its bytes.
    pub sha256: [u8; 32],
    /// What image it is.
    pub image: SheetImage,
}

impl Fetcher {
    /// A fetcher by these settings. `timeout` limits how long making a connection may take, and for how
    /// long a source may send nothing. Connects to nothing. Reads the key and the system's certificates
    /// on a thread that may block.
    ///
    /// # Errors
    /// When the key cannot be read or TLS cannot be set up.
    pub async fn open(settings: &FetchSettings, timeout: Duration) -> anyhow::Result<Self> {
        let opened = settings.clone();
        let requests = spawn_blocking(move || Requests::open(&opened, timeout)).await??;
        let FetchSettings { max_sheet, max_total, .. } = *settings;
        Ok(Self { requests: Arc::new(requests), max_sheet, max_total })
    }

    /// Reads the key again, on a thread that may block; the one in use stays when that fails.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn renew(&self) -> anyhow::Result<()> {
        let requests = Arc::clone(&self.requests);
        spawn_blocking(move || requests.read_key()).await?
    }

    /// Whether the environment names a proxy, which may ask for names in this program's place: of what
    /// it fetches only the names are checked then, not the addresses that they lead to.
    #[must_use]
    pub fn is_behind_proxy(&self) -> bool {
        self.requests.have_proxies()
    }

    /// Fetches a sprite: its index, its sheets into temporary files in `spool`, and the index once
    /// more. Takes as long as the sources take: the caller limits the time by dropping this, which
    /// leaves no file behind.
    ///
    /// # Errors
    /// When a file is not there, not whole, not what it should be, or may not be fetched.
    pub async fn fetch(
        &self,
        files: SpriteFiles<'_>,
        announced: &Announced,
        spool: &Path,
    ) -> Result<FetchedSprite, FetchError> {
        let index = self.fetch_index(files.vtt_url).await?;
        self.fetch_sheets(index, files.sheets, announced, spool, &|_, _| {}).await
    }

    /// Fetches the index alone.
    ///
    /// # Errors
    /// As [`Self::fetch`].
    pub async fn fetch_index(&self, vtt_url: &str) -> Result<FetchedIndex, FetchError> {
        let url = Url::parse(vtt_url).map_err(|error| {
            FetchError::refused(Rule::Url, format!("the URL of the index cannot be read: {error}"))
        })?;
        let source = self.requests.allowed(url, "index")?;
        let us = format!("{:010x}", rand::random::<u64>() >> 24);
        let total = Total::of(self.max_total);
        let FileAnswer::File(response) = self.requests.get(&source, None, &us).await? else {
            return Err(source.unusable("it is unchanged, which was not asked"));
        };
        let etag = requests::etag(&response);
        let bytes = Body::of(response, &source, INDEX_CAP, &total)?.whole().await?;
        Ok(FetchedIndex { bytes, source, etag, us, total })
    }

    /// Fetches the sheets that an index names; see [`Self::fetch`]. `on_sheet` is told how many of how
    /// many are here, each time that one is.
    ///
    /// # Errors
    /// As [`Self::fetch`].
    pub async fn fetch_sheets(
        &self,
        mut index: FetchedIndex,
        listed: &[String],
        announced: &Announced,
        spool: &Path,
        on_sheet: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<FetchedSprite, FetchError> {
        let (bytes, source, listed) =
            (std::mem::take(&mut index.bytes), index.source.clone(), listed.to_vec());
        let read = move || (read_index(&bytes, &source, &listed), bytes);
        let (read, bytes) = apart(read).await?;
        index.bytes = bytes;
        let (parsed, resolved) = read?;
        // Before any of them is asked for.
        let allowed =
            |sheet: &sprite::SheetSource| self.requests.allowed(sheet.url.clone(), "sheet");
        let sources: Vec<Source> =
            resolved.sheets.iter().map(allowed).collect::<Result<_, FetchError>>()?;
        let job = SheetJob {
            requests: &self.requests,
            max_sheet: self.max_sheet,
            total: &index.total,
            us: &index.us,
            folder: spool,
        };
        let here = AtomicUsize::new(0);
        let run = async |source: &Source| {
            let sheet = job.run(source).await?;
            on_sheet(here.fetch_add(1, Ordering::Relaxed) + 1, sources.len());
            Ok::<GotSheet, FetchError>(sheet)
        };
        let jobs: Vec<_> = sources.iter().map(run).collect();
        let got: Vec<GotSheet> = stream::iter(jobs).buffered(SHEETS_AT_ONCE).try_collect().await?;
        self.look_again(&index).await?;
        let images: Vec<SheetImage> = got.iter().map(|sheet| sheet.image).collect();
        let announced = *announced;
        let verified = apart(move || sprite::verify(parsed, resolved, &images, &announced)).await?;
        if verified.tiles.is_empty() {
            let first = verified.findings.first().map(|finding| finding.text.as_str());
            let problem =
                format!("no cue can be used: {}", first.unwrap_or("its sheets hold none"));
            return Err(index.source.unusable(problem));
        }
        let sheets = sources.iter().zip(got).filter_map(|(source, sheet)| {
            let GotSheet { file, bytes, sha256, image } = sheet;
            Some(FetchedSheet {
                url: source.url().clone(),
                file: file.keep()?,
                bytes,
                sha256,
                image,
            })
        });
        Ok(FetchedSprite { verified, sheets: sheets.collect() })
    }

    /// Whether the index is still what it was before its sheets were fetched: a second run of the same
    /// template writes the same names.
    async fn look_again(&self, index: &FetchedIndex) -> Result<(), FetchError> {
        let FetchedIndex { bytes, source, etag, us, .. } = index;
        let FileAnswer::File(response) = self.requests.get(source, etag.as_ref(), us).await? else {
            return Ok(());
        };
        // Of what it had before it may have as much again.
        let total = Total::of(ByteSize(INDEX_CAP.bytes));
        if Body::of(response, source, INDEX_CAP, &total)?.whole().await? == *bytes {
            return Ok(());
        }
        Err(source.unusable("it changed while its sheets were fetched"))
    }
}

/// What an index says, and which sheets it names.
fn read_index(
    bytes: &[u8],
    source: &Source,
    listed: &[String],
) -> Result<(Index, Resolved), FetchError> {
    let parsed = sprite::parse(bytes).map_err(|problem| source.unusable(problem))?;
    let resolved = sprite::resolve(&parsed, source.url(), listed)
        .map_err(|refused| FetchError::refused(Rule::Names, refused.to_string()))?;
    Ok((parsed, resolved))
}

/// Computes on a thread that may block: as many cues as an index may have would hold up all else.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, FetchError> {
    spawn_blocking(work).await.map_err(|stopped| FetchError::here(stopped.to_string()))
}
