//! What a daemon costs that has nothing to do.

use std::time::{Duration, Instant};

use crate::client::{self, Setup, Who};
use crate::cloud::Cloud;
use crate::run::LOOK;

#[derive(Clone, Debug)]
pub(crate) struct Idle {
    pub(crate) minutes: f64,
    pub(crate) cpu: f64,
    pub(crate) wake_ups: u64,
    pub(crate) pulls: u64,
    /// Of all looks, the share that saw exactly one pull wait at the cloud.
    pub(crate) one_in_flight: f64,
    pub(crate) most_in_flight: usize,
    pub(crate) peak_rss: u64,
}

/// Leaves sprited alone with an empty queue for `time`.
pub(crate) async fn leave(setup: &Setup, time: Duration) -> anyhow::Result<Idle> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let cloud = Cloud::start(&[])?;
    let mut process = client::start(Who::Sprited, &cloud.url, folder.path(), setup)?;
    // The first pull is over, and with it all that happens once.
    let first = cloud.until(
        LOOK,
        Duration::from_secs(60),
        |_| process.check(),
        |totals| totals.calls("PullEvents") >= 1,
    );
    let pulls_before = first.await?.calls("PullEvents");
    let (cpu, wake_ups) = (process.cpu()?, process.wake_ups()?);
    let start = Instant::now();
    let mut in_flight = Vec::new();
    let mut pulls = pulls_before;
    while start.elapsed() < time {
        tokio::time::sleep(LOOK).await;
        let totals = cloud.totals().await?;
        in_flight.push(totals.pulls_waiting);
        pulls = totals.calls("PullEvents");
        // A thread that ends takes its count along.
        process.wake_ups()?;
    }
    process.check()?;
    let minutes = start.elapsed().as_secs_f64() / 60.0;
    let looks_at_one = in_flight.iter().filter(|pulls| **pulls == 1).count();
    Ok(Idle {
        minutes,
        cpu: process.cpu()?.saturating_sub(cpu).as_secs_f64(),
        wake_ups: process.wake_ups()? - wake_ups,
        pulls: pulls - pulls_before,
        one_in_flight: looks_at_one as f64 / in_flight.len() as f64,
        most_in_flight: in_flight.into_iter().max().unwrap_or_default(),
        peak_rss: process.peak_rss()?,
    })
}
