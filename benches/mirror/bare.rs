//! The least that mirroring has to do: the same requests, by the HTTP crate that sprited uses.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::cloud::Made;

/// Sheets of one sprite that are fetched at once, as by the mirror.
const SHEETS_AT_ONCE: usize = 4;

/// Fetches the files of each sprite, of so many sprites at a time, and keeps nothing; how long that
/// took. Of a sprite: its WebVTT file, its sheets at once, and the WebVTT file once more.
pub(crate) async fn fetch(sprites: &[Made], in_flight: usize) -> anyhow::Result<Duration> {
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).no_gzip().build()?;
    let get = async |url: &String| {
        let mut body = http.get(url).send().await?.error_for_status()?;
        while body.chunk().await?.is_some() {}
        anyhow::Ok(())
    };
    let left = Mutex::new(sprites.iter().collect::<VecDeque<_>>());
    let start = Instant::now();
    let worker = || async {
        loop {
            let next = left.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(sprite) = next else { return anyhow::Ok(()) };
            let vtt = sprite.vtt_url.as_ref().context("a sprite without a WebVTT file")?;
            get(vtt).await?;
            let sheets = stream::iter(sprite.sheets.iter().map(&get));
            sheets.buffered(SHEETS_AT_ONCE).try_collect::<()>().await?;
            get(vtt).await?;
        }
    };
    try_join_all((0..in_flight).map(|_| worker())).await?;
    Ok(start.elapsed())
}
