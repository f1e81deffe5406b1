//! The emulator in a process of its own.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::process::Process;

/// Sprite tasks made in one request.
const ORDER: usize = 2_000;

pub(crate) struct Cloud {
    _process: Process,
    pub(crate) url: String,
    pub(crate) started: Instant,
    http: reqwest::Client,
}

/// What the emulator counts.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Totals {
    pub(crate) handed_out: u64,
    pub(crate) handed_out_again: u64,
    pub(crate) confirmed: u64,
    pub(crate) pulls_waiting: usize,
    calls: HashMap<String, HashMap<String, u64>>,
    files: HashMap<String, HashMap<String, u64>>,
}

impl Totals {
    pub(crate) fn calls(&self, action: &str) -> u64 {
        self.calls.get(action).map_or(0, |outcomes| outcomes.values().sum())
    }

    /// Requests for sheets and WebVTT files.
    pub(crate) fn downloads(&self, kind: &str) -> u64 {
        self.files.get(kind).map_or(0, |outcomes| outcomes.values().sum())
    }

    /// Calls that were refused, whatever for.
    pub(crate) fn refused(&self) -> u64 {
        let good = ["ok", "events", "empty"];
        let outcomes = self.calls.values().flatten();
        outcomes.filter(|(outcome, _)| !good.contains(&outcome.as_str())).map(|(_, n)| n).sum()
    }
}

/// What the emulator knows of an event.
#[derive(Debug, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: u64,
    pub(crate) added: DateTime<Utc>,
    hand_outs: Vec<At>,
    confirmed: Option<At>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct At {
    at: DateTime<Utc>,
}

impl Record {
    /// When it was handed out for the first time.
    pub(crate) fn handed_out(&self) -> Option<DateTime<Utc>> {
        self.hand_outs.first().map(|out| out.at)
    }

    pub(crate) fn confirmed(&self) -> Option<DateTime<Utc>> {
        self.confirmed.map(|confirmed| confirmed.at)
    }
}

/// A sprite task that was made.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Made {
    pub(crate) event: u64,
    pub(crate) task_id: String,
    pub(crate) sheets: Vec<String>,
    pub(crate) vtt_url: Option<String>,
}

#[derive(Deserialize)]
struct Added {
    added: Vec<Made>,
}

#[derive(Deserialize)]
struct Ledger {
    events: Vec<Record>,
}

impl Cloud {
    pub(crate) fn start(options: &[String]) -> anyhow::Result<Self> {
        let mut process = Process::start(
            Command::new(env!("CARGO_BIN_EXE_sprited"))
                .args(["emulator", "--listen", "127.0.0.1:0", "--seed", "7"])
                .args(options)
                .env_clear()
                .stdout(Stdio::piped())
                .stderr(Stdio::null()),
        )?;
        let started = Instant::now();
        let out = process.child().stdout.take().context("it has no output")?;
        let mut welcome = String::new();
        BufReader::new(out).read_line(&mut welcome)?;
        let url = welcome.split_whitespace().find(|word| word.starts_with("http://"));
        let url = url.context("the emulator did not start")?.trim_end_matches('.').to_owned();
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build()?;
        Ok(Self { _process: process, url, started, http })
    }

    /// Adds finished sprite tasks; their TaskIds, by the number of their event.
    pub(crate) async fn add(&self, count: usize) -> anyhow::Result<HashMap<u64, String>> {
        let mut made = HashMap::with_capacity(count);
        for task in self.order(count, &json!({})).await? {
            made.insert(task.event, task.task_id);
        }
        Ok(made)
    }

    /// Adds finished sprite tasks, made as `order` says.
    pub(crate) async fn order(&self, count: usize, order: &Value) -> anyhow::Result<Vec<Made>> {
        let mut made = Vec::with_capacity(count);
        while made.len() < count {
            let mut body = order.clone();
            body["count"] = (count - made.len()).min(ORDER).into();
            body["fail_every"] = 0.into();
            let url = format!("{}/_emulator/sprites", self.url);
            let sent = self.http.post(url).body(body.to_string()).send();
            let answer: Added =
                serde_json::from_slice(&sent.await?.error_for_status()?.bytes().await?)
                    .context("the order was refused")?;
            made.extend(answer.added);
        }
        Ok(made)
    }

    pub(crate) async fn totals(&self) -> anyhow::Result<Totals> {
        let url = format!("{}/_emulator/ledger?summary=1", self.url);
        Ok(serde_json::from_slice(&self.http.get(url).send().await?.bytes().await?)?)
    }

    /// Waits until this holds of the totals; fails after `limit`, or as soon as `alive` does.
    pub(crate) async fn until(
        &self,
        pause: Duration,
        limit: Duration,
        mut alive: impl FnMut(&Totals) -> anyhow::Result<()>,
        holds: impl Fn(&Totals) -> bool,
    ) -> anyhow::Result<Totals> {
        let start = Instant::now();
        loop {
            let totals = self.totals().await?;
            if holds(&totals) {
                return Ok(totals);
            }
            alive(&totals)?;
            anyhow::ensure!(start.elapsed() < limit, "waited {limit:?} in vain: {totals:?}");
            tokio::time::sleep(pause).await;
        }
    }

    /// The records of all events.
    pub(crate) async fn records(&self) -> anyhow::Result<Vec<Record>> {
        let url = format!("{}/_emulator/ledger", self.url);
        let ledger: Ledger =
            serde_json::from_slice(&self.http.get(url).send().await?.bytes().await?)?;
        Ok(ledger.events)
    }
}
