//! What the daemon needs and does not get: room on the disk, room in the journal, descriptors,
//! sinks that answer.

mod confirm_slots;
mod descriptors;
mod disk;
mod journal;
mod nearly_full;
mod sinks;

pub(super) use disk::{Disk, limit};

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Site;
use super::daemon::Daemon;
use crate::support::noise;

/// Waits until `condition` holds, for what takes longer on a machine that is busy.
async fn within(seconds: u64, condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while !condition().await {
        assert!(Instant::now() < deadline, "waited {seconds} s in vain");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A check of the page `/readyz`: whether it is good, and its detail.
pub(super) async fn check(daemon: &Daemon, name: &str) -> (bool, String) {
    let page: Value = serde_json::from_str(&daemon.get("/readyz").await.1).unwrap();
    let checks = page["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name).unwrap();
    (check["ok"].as_bool().unwrap(), check["detail"].as_str().unwrap().to_owned())
}

impl Site {
    /// Adds as many events of `size` bytes, numbered from `first` on.
    fn add_large(&self, first: usize, count: usize, size: usize) {
        let padding = noise(size);
        let event = |n| json!({ "EventType": "Large", "LargeEvent": { "TaskId": format!("large-{n}"), "P": padding } });
        let events: Vec<Value> = (first..first + count).map(event).collect();
        self.cloud.control.add(&Value::from(events).to_string()).unwrap();
    }
}
