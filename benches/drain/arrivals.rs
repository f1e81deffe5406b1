//! When events arrive: in a file, watched as it grows, or at a receiver of webhooks.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use chrono::{DateTime, Utc};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// The first time each TaskId was seen, and how often any was.
#[derive(Clone, Default)]
pub(crate) struct Arrivals(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    first: HashMap<String, DateTime<Utc>>,
    deliveries: u64,
}

impl Arrivals {
    pub(crate) fn first(&self) -> HashMap<String, DateTime<Utc>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).first.clone()
    }

    pub(crate) fn deliveries(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).deliveries
    }

    /// Watches the file, which need not be there yet, in a thread that ends with the process.
    pub(crate) fn in_file(path: &Path) -> anyhow::Result<Self> {
        let arrivals = Self::default();
        let seen = arrivals.clone();
        File::options().create(true).append(true).open(path)?;
        let mut file = File::open(path)?;
        let inotify = Inotify::init(InitFlags::empty())?;
        inotify.add_watch(path, AddWatchFlags::IN_MODIFY)?;
        std::thread::spawn(move || {
            let mut text = Vec::new();
            while inotify.read_events().is_ok() {
                if file.read_to_end(&mut text).is_err() {
                    return;
                }
                seen.note(&text, Utc::now());
                // A TaskId may be cut in two by the end of what was written so far.
                let kept = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                text.drain(..kept);
            }
        });
        Ok(arrivals)
    }

    /// A receiver of webhooks that takes each after `pause`; its URL.
    pub(crate) async fn at_receiver(pause: Duration) -> anyhow::Result<(Self, String)> {
        let arrivals = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/", listener.local_addr()?);
        let take = move |State(seen): State<Self>, body: Bytes| async move {
            // At once: whoever has sent it may give up while it is being taken.
            seen.0.lock().unwrap_or_else(PoisonError::into_inner).deliveries += 1;
            tokio::time::sleep(pause).await;
            seen.note(&body, Utc::now());
        };
        let router = Router::new().route("/", post(take)).with_state(arrivals.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok((arrivals, url))
    }

    fn note(&self, text: &[u8], now: DateTime<Utc>) {
        let text = String::from_utf8_lossy(text);
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (at, name) in text.match_indices(r#""TaskId":"#) {
            let value = text[at + name.len()..].trim_start().trim_start_matches('"');
            if let Some((id, _)) = value.split_once('"') {
                seen.first.entry(id.to_owned()).or_insert(now);
            }
        }
    }
}
