//! One sheet, from its URL into a temporary file.

use std::io;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use tokio::task::spawn_blocking;

use super::body::{Body, Cap, Total};
use super::error::FetchError;
use super::requests::{FileAnswer, Requests};
use super::rule::Rule;
use super::source::Source;
use super::spool::{Spool, SpoolFile, SpooledSheet};
use crate::sprite::SheetImage;

/// How much is gathered in memory, in bytes, before a thread that may block takes it to the disk: a few
/// times for most sheets, and little for dozens at once.
const BUFFER: usize = 128 * 1024;

/// A sheet in its temporary file.
#[derive(Debug)]
pub(super) struct GotSheet {
    pub(super) file: SpoolFile,
    pub(super) bytes: u64,
    pub(super) sha256: [u8; 32],
    pub(super) image: SheetImage,
}

/// What every sheet of a sprite is fetched with.
#[derive(Debug)]
pub(super) struct SheetJob<'a> {
    pub(super) requests: &'a Requests,
    pub(super) max_sheet: ByteSize,
    pub(super) total: &'a Total,
    /// See [`Requests::get`].
    pub(super) us: &'a str,
    /// Where the temporary file is made.
    pub(super) folder: &'a Path,
}

impl SheetJob<'_> {
    /// Fetches it and looks at it. When this is dropped, the temporary file goes.
    pub(super) async fn run(&self, source: &Source) -> Result<GotSheet, FetchError> {
        let FileAnswer::File(response) = self.requests.get(source, None, self.us).await? else {
            return Err(source.unusable("it is unchanged, which was not asked"));
        };
        let cap = Cap { bytes: self.max_sheet.as_u64(), rule: Rule::MaxSheet };
        let mut body = Body::of(response, source, cap, self.total)?;
        let mut buffer = empty_buffer();
        let mut spool = None;
        while let Some(chunk) = body.next().await? {
            buffer.extend_from_slice(&chunk);
            if buffer.len() >= BUFFER {
                let (open, bytes) = (spool.take(), std::mem::replace(&mut buffer, empty_buffer()));
                spool = Some(self.on_disk(move |folder| written(open, &folder, &bytes)).await?);
            }
        }
        let finish = move |folder: PathBuf| written(spool, &folder, &buffer)?.finish();
        let SpooledSheet { path: file, bytes, sha256, image } = self.on_disk(finish).await?;
        match image {
            Ok(image) => Ok(GotSheet { file, bytes, sha256, image }),
            Err(problem) if problem.is_final() => {
                Err(FetchError::refused(Rule::Sheet, format!("{source}: {problem}")))
            }
            Err(problem) => Err(source.unusable(problem)),
        }
    }

    /// Does something with the folder where it may block.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(PathBuf) -> io::Result<T> + Send + 'static,
    ) -> Result<T, FetchError> {
        let folder = self.folder.to_owned();
        let done = spawn_blocking(move || work(folder)).await;
        let done = done.unwrap_or_else(|stopped| Err(io::Error::other(stopped)));
        done.map_err(|error| {
            FetchError::here(format!(
                "cannot write a sheet below {}: {error}",
                self.folder.display()
            ))
        })
    }
}

/// With room for what is gathered and the last part of it: one that grows would double.
fn empty_buffer() -> Vec<u8> {
    Vec::with_capacity(BUFFER + BUFFER / 4)
}

fn written(spool: Option<Spool>, folder: &Path, bytes: &[u8]) -> io::Result<Spool> {
    let mut spool = spool.map_or_else(|| Spool::create(folder), Ok)?;
    spool.write(bytes)?;
    Ok(spool)
}
