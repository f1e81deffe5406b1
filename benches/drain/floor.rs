//! The least that any client has to do: pull and confirm, by the HTTP crate that sprited uses.
//! Decodes nothing but handles, and keeps nothing in mind.

use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::Utc;
use serde_json::json;
use sprited::limits::RateLimiter;
use sprited::vod::credentials::Credentials;
use sprited::vod::sign;
use tokio::time::Instant;

/// The wait after an answer that names no handle at once.
const PAUSE: Duration = Duration::from_millis(100);
/// What an answer holds that is a refusal.
const REFUSED: &[u8] = br#""Error":"#;

struct Floor {
    http: reqwest::Client,
    url: String,
    host: String,
    credentials: Credentials,
    /// What a durable floor writes to, with a sync for each answer.
    file: Option<File>,
    pulls: Mutex<RateLimiter>,
    confirms: Mutex<RateLimiter>,
}

/// Runs until it is ended.
pub(crate) fn run(url: &str, workers: usize, rate: f64, file: Option<&str>) -> anyhow::Result<()> {
    let file = file.map(|path| File::options().create(true).append(true).open(path)).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let now = Instant::now();
        let floor = Arc::new(Floor {
            http: reqwest::Client::builder().no_proxy().tls_certs_only([]).build()?,
            url: url.to_owned(),
            host: url.trim_start_matches("http://").to_owned(),
            credentials: Credentials::new("AKIDEMULATOR", "emulator-secret-key".into(), None, None)
                .map_err(|error| anyhow::anyhow!("{error}"))?,
            file,
            pulls: Mutex::new(RateLimiter::new(rate, now)),
            confirms: Mutex::new(RateLimiter::new(rate, now)),
        });
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..workers {
            tasks.spawn(floor.clone().work());
        }
        match tasks.join_next().await {
            Some(ended) => ended?,
            None => Ok(()),
        }
    })
}

impl Floor {
    async fn work(self: Arc<Self>) -> anyhow::Result<()> {
        loop {
            turn(&self.pulls).await;
            let answer = self.call("PullEvents", json!({ "SubAppId": 1_500_012_345 })).await?;
            let handles = handles(&answer);
            if handles.is_empty() {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            if let Some(file) = &self.file {
                let mut file = file;
                file.write_all(&answer)?;
                file.write_all(b"\n")?;
                file.sync_data()?;
            }
            let body = json!({ "EventHandles": handles, "SubAppId": 1_500_012_345 });
            // No longer than the lease.
            for _ in 0..200 {
                turn(&self.confirms).await;
                let answer = self.call("ConfirmEvents", body.clone()).await?;
                if !answer.windows(REFUSED.len()).any(|part| part == REFUSED) {
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn call(&self, action: &str, body: serde_json::Value) -> anyhow::Result<Vec<u8>> {
        let body = body.to_string().into_bytes();
        let headers = [("Content-Type", "application/json"), ("Host", self.host.as_str())];
        let request = sign::RequestToSign { service: "vod", headers: &headers, body: &body };
        let signed = sign::sign(&request, &self.credentials, Utc::now());
        let mut post = self.http.post(&self.url).header("Content-Type", "application/json");
        post = post.header("X-TC-Action", action).header("X-TC-Version", "2018-07-17");
        for (name, value) in signed.headers() {
            post = post.header(name, value);
        }
        Ok(post.body(body).send().await?.bytes().await?.into())
    }
}

/// Waits for a place in the rate.
async fn turn(bucket: &Mutex<RateLimiter>) {
    loop {
        let at = {
            let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
            let (at, now) = (bucket.ready_at(), Instant::now());
            if at <= now {
                bucket.take(now);
                return;
            }
            at
        };
        tokio::time::sleep_until(at).await;
    }
}

fn handles(answer: &[u8]) -> Vec<&str> {
    const NAME: &str = r#""EventHandle":""#;
    let text = std::str::from_utf8(answer).unwrap_or_default();
    let values = text.match_indices(NAME).map(|(at, _)| &text[at + NAME.len()..]);
    values.filter_map(|value| value.split_once('"')).map(|(handle, _)| handle).collect()
}
