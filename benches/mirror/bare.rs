//! The least that mirroring has to do: the same requests, by the HTTP crate that sprited uses.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::future::try_join_all;

use crate::cloud::Made;

/// Fetches the files of each sprite, the WebVTT file once more after the sheets, of so many sprites at
/// a time, and keeps nothing; how long that took.
pub(crate) async fn fetch(sprites: &[Made], in_flight: usize) -> anyhow::Result<Duration> {
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).no_gzip().build()?;
    let left = Mutex::new(sprites.iter().collect::<VecDeque<_>>());
    let start = Instant::now();
    let worker = || async {
        loop {
            let next = left.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(sprite) = next else { return anyhow::Ok(()) };
            let vtt = sprite.vtt_url.as_ref().context("a sprite without a WebVTT file")?;
            for url in [vtt].into_iter().chain(&sprite.sheets).chain([vtt]) {
                let mut body = http.get(url).send().await?.error_for_status()?;
                while body.chunk().await?.is_some() {}
            }
        }
    };
    try_join_all((0..in_flight).map(|_| worker())).await?;
    Ok(start.elapsed())
}
