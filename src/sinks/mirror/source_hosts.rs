//! The hosts that sprites come from, and which of them are down.
//!
//! A host is down after failures of different events in a row, if they are the host's: one that answers
//! with what is of no use is up. Then one delivery at a time asks it, at growing pauses; the others fail
//! at once, so that an outage holds up nothing that has to do with another host. Pure but for the log:
//! the time is passed in.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use tokio::time::Instant;

use crate::event::Key;
use crate::limits::{Backoff, MAX_RETRY_AFTER};
use crate::sinks::SourceOutage;
use crate::sync::lock;

/// Failures of so many different events in a row take a host down.
const MAX_FAILURES: usize = 5;

/// Between two that ask a host that is down.
const PROBE_PAUSES: Backoff =
    Backoff { base: Duration::from_secs(1), max: Duration::from_secs(60) };

/// The deliveries that fail at once come again one after the other, so far apart, and no later than the
/// longest wait: however many there are, few are in the way of others.
const SPACING: Duration = Duration::from_secs(1);

/// A host that is down and that nobody has asked for so long is forgotten: its events were discarded, or
/// name it no more. Twice the longest wait.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(2 * 60 * 60);

/// Hosts that have failed and are kept in mind; beyond that the one that failed least recently and is
/// up is forgotten.
const MAX_HOSTS: usize = 1024;

/// What is known of the hosts.
#[derive(Debug)]
pub(super) struct SourceHosts {
    sink: String,
    hosts: Mutex<HashMap<String, Failing>>,
}

/// A host that has failed since it last worked.
#[derive(Debug)]
struct Failing {
    /// The different events that failed, as many as take it down.
    events: Vec<Key>,
    error: String,
    /// When somebody wanted to ask it last.
    asked: Instant,
    down: Option<Down>,
}

#[derive(Debug)]
struct Down {
    since: DateTime<Utc>,
    probes: u32,
    next_probe: Instant,
    is_probed: bool,
    /// Deliveries that were turned away since it was asked last.
    turned_away: u32,
}

/// Why a host is not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostIsDown {
    pub(super) error: String,
    /// Until it may be asked again.
    pub(super) after: Duration,
}

/// Leave to ask some hosts. It ends with the value.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    sources: &'a SourceHosts,
    hosts: Vec<String>,
    probed: Vec<String>,
}

impl SourceHosts {
    pub(super) fn new(sink: &str) -> Self {
        Self { sink: sink.to_owned(), hosts: Mutex::default() }
    }

    /// Asks for leave to get the files of a sprite from these hosts.
    ///
    /// # Errors
    /// When one is down, and another delivery asks it or it is too early to.
    pub(super) fn admit(&self, hosts: Vec<String>, now: Instant) -> Result<Pass<'_>, HostIsDown> {
        let mut known = lock(&self.hosts);
        for host in &hosts {
            let Some(Failing { error, asked, down: Some(down), .. }) = known.get_mut(host) else {
                continue;
            };
            *asked = now;
            if down.is_probed || now < down.next_probe {
                let since = down.since.to_rfc3339_opts(SecondsFormat::Secs, true);
                let next = down.next_probe.saturating_duration_since(now).max(PROBE_PAUSES.base);
                let after = (next + SPACING * down.turned_away).min(MAX_RETRY_AFTER);
                down.turned_away = down.turned_away.saturating_add(1);
                let error = format!("{host} is down since {since}: {error}");
                return Err(HostIsDown { error, after });
            }
        }
        let mut probed = Vec::new();
        for host in &hosts {
            if let Some(Failing { down: Some(down), .. }) = known.get_mut(host) {
                down.is_probed = true;
                down.turned_away = 0;
                probed.push(host.clone());
            }
        }
        drop(known);
        Ok(Pass { sources: self, hosts, probed })
    }

    /// A host failed for this event, and asks to be left alone for so long. Returns whether it is down.
    fn failed(
        &self,
        host: &str,
        event: Key,
        error: &str,
        after: Option<Duration>,
        now: Instant,
    ) -> bool {
        let mut known = lock(&self.hosts);
        if !known.contains_key(host) && !make_room(&mut known) {
            return false;
        }
        let failing = known.entry(host.to_owned()).or_insert_with(|| Failing {
            events: Vec::new(),
            error: String::new(),
            asked: now,
            down: None,
        });
        failing.asked = now;
        error.clone_into(&mut failing.error);
        if let Some(down) = &mut failing.down {
            down.next_probe = down.next_probe.max(now + after.unwrap_or_default());
            return true;
        }
        if !failing.events.contains(&event) {
            failing.events.push(event);
        }
        if failing.events.len() < MAX_FAILURES {
            return false;
        }
        let (since, next_probe) = (Utc::now(), now + PROBE_PAUSES.wait_or(1, after));
        failing.down =
            Some(Down { since, probes: 1, next_probe, is_probed: false, turned_away: 0 });
        drop(known);
        tracing::warn!(
            sink = self.sink,
            host,
            error,
            "a source host is down; its sprites wait in the journal"
        );
        true
    }

    /// What a host that is down has answered, or not, to the one that asked.
    fn probe_ended(&self, host: &str, now: Instant) {
        if let Some(Failing { down: Some(down), .. }) = lock(&self.hosts).get_mut(host) {
            down.is_probed = false;
            down.probes = down.probes.saturating_add(1);
            down.next_probe = down.next_probe.max(now + PROBE_PAUSES.wait(down.probes));
        }
    }

    fn worked(&self, host: &str) {
        let failing = lock(&self.hosts).remove(host);
        if let Some(Failing { down: Some(down), .. }) = failing {
            let since = down.since.to_rfc3339_opts(SecondsFormat::Secs, true);
            tracing::info!(sink = self.sink, host, since, "a source host is up again");
        }
    }

    /// The hosts that are down, those that have been down for longest first.
    pub(super) fn down(&self, now: Instant) -> Vec<SourceOutage> {
        let mut known = lock(&self.hosts);
        let is_wanted = |failing: &Failing| now.duration_since(failing.asked) < FORGOTTEN_AFTER;
        known.retain(|_, failing| failing.down.is_none() || is_wanted(failing));
        let outage = |(host, failing): (&String, &Failing)| {
            let since = failing.down.as_ref()?.since;
            Some(SourceOutage { host: host.clone(), since, error: failing.error.clone() })
        };
        let mut down: Vec<_> = known.iter().filter_map(outage).collect();
        drop(known);
        down.sort_by(|one, other| (one.since, &one.host).cmp(&(other.since, &other.host)));
        down
    }
}

impl Pass<'_> {
    /// All that was wanted is there.
    pub(super) fn worked(self) {
        self.hosts.iter().for_each(|host| self.sources.worked(host));
    }

    /// A host has answered, though not with a file: it is up.
    pub(super) fn answered(self, host: &str) {
        self.sources.worked(host);
    }

    /// A host failed for this event: one of those asked, or one that their files name. Returns whether
    /// it is down.
    pub(super) fn failed(
        self,
        host: &str,
        event: Key,
        error: &str,
        after: Option<Duration>,
    ) -> bool {
        self.sources.failed(host, event, error, after, Instant::now())
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        self.probed.iter().for_each(|host| self.sources.probe_ended(host, now));
    }
}

/// Forgets one that is up, if there are too many. Returns whether there is room.
fn make_room(known: &mut HashMap<String, Failing>) -> bool {
    if known.len() < MAX_HOSTS {
        return true;
    }
    let up = known.iter().filter(|(_, failing)| failing.down.is_none());
    let oldest = up.min_by_key(|(_, failing)| failing.asked).map(|(host, _)| host.clone());
    oldest.is_some_and(|host| known.remove(&host).is_some())
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn event(number: u8) -> Key {
        Key::from_bytes([number; 16])
    }

    fn asks<'a>(sources: &'a SourceHosts, hosts: &[&str]) -> Result<Pass<'a>, HostIsDown> {
        sources.admit(hosts.iter().map(|host| (*host).to_owned()).collect(), Instant::now())
    }

    fn fails(sources: &SourceHosts, host: &str, number: u8) -> bool {
        asks(sources, &[host]).unwrap().failed(host, event(number), "404 Not Found", None)
    }

    fn take_down(sources: &SourceHosts, host: &str) {
        for number in 1..=5 {
            assert_eq!(fails(sources, host, number), number == 5);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn five_different_events_in_a_row_take_a_host_down_and_no_other() {
        let sources = SourceHosts::new("cdn");
        for _ in 0..20 {
            assert!(!fails(&sources, "a", 1), "one event over and over");
        }
        for number in 2..5 {
            assert!(!fails(&sources, "a", number));
        }
        asks(&sources, &["a"]).unwrap().answered("a");
        for number in 2..6 {
            assert!(!fails(&sources, "a", number));
        }
        asks(&sources, &["a"]).unwrap().worked();
        take_down(&sources, "a");
        let refused = asks(&sources, &["a"]).unwrap_err();
        assert!(refused.error.starts_with("a is down since 2"), "{}", refused.error);
        assert!(refused.error.ends_with("Z: 404 Not Found"), "{}", refused.error);
        assert!(asks(&sources, &["b", "a"]).is_err() && asks(&sources, &["b"]).is_ok());
        let down = sources.down(Instant::now());
        assert_eq!((down.len(), &*down[0].host, &*down[0].error), (1, "a", "404 Not Found"));
    }

    #[tokio::test(start_paused = true)]
    async fn one_at_a_time_asks_it_at_growing_pauses_until_it_works() {
        let sources = SourceHosts::new("cdn");
        take_down(&sources, "a");
        let mut pauses = Vec::new();
        for number in 10..20 {
            let began = Instant::now();
            let probe = loop {
                match asks(&sources, &["a"]) {
                    Ok(pass) => break pass,
                    Err(HostIsDown { after, .. }) => advance(after).await,
                }
            };
            pauses.push(began.elapsed().as_secs_f64());
            assert!(asks(&sources, &["a", "b"]).is_err(), "two at once");
            assert!(probe.failed("a", event(number), "no answer", None));
        }
        assert!(pauses.iter().all(|pause| (0.5..=61.0).contains(pause)), "{pauses:?}");
        assert!(pauses[0] < 2.0 && pauses[9] >= 30.0, "{pauses:?}");
        // One that was given up says nothing, and the next has to wait as well.
        advance(PROBE_PAUSES.max).await;
        drop(asks(&sources, &["a"]).unwrap());
        assert!(asks(&sources, &["a"]).is_err());
        advance(PROBE_PAUSES.max).await;
        asks(&sources, &["a", "b"]).unwrap().worked();
        assert!(sources.down(Instant::now()).is_empty() && asks(&sources, &["a"]).is_ok());
        take_down(&sources, "a");
    }

    #[tokio::test(start_paused = true)]
    async fn those_turned_away_come_again_one_after_the_other() {
        let sources = SourceHosts::new("cdn");
        take_down(&sources, "a");
        let waits: Vec<_> =
            (0..4000).map(|_| asks(&sources, &["a"]).unwrap_err().after.as_secs()).collect();
        assert!(waits.is_sorted() && waits[0] <= 1, "{:?}", &waits[..3]);
        assert!(waits[100] - waits[0] == 100 && waits[3999] == 3600);
        advance(Duration::from_secs(1)).await;
        let probe = asks(&sources, &["a"]).unwrap();
        assert!(asks(&sources, &["a"]).unwrap_err().after.as_secs() <= 1, "counted anew");
        drop(probe);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_is_left_alone_for_as_long_as_it_asks() {
        let sources = SourceHosts::new("cdn");
        let wait = Some(Duration::from_secs(300));
        for number in 0..5 {
            asks(&sources, &["a"]).unwrap().failed("a", event(number), "429", wait);
        }
        assert!(asks(&sources, &["a"]).unwrap_err().after.as_secs() >= 299);
        advance(Duration::from_secs(300)).await;
        asks(&sources, &["a"]).unwrap().failed("a", event(9), "429", wait);
        assert!(asks(&sources, &["a"]).unwrap_err().after.as_secs() >= 299);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_nobody_asks_any_more_is_forgotten() {
        let sources = SourceHosts::new("cdn");
        take_down(&sources, "a");
        advance(FORGOTTEN_AFTER / 2).await;
        assert_eq!(sources.down(Instant::now()).len(), 1);
        drop(asks(&sources, &["a"]));
        advance(FORGOTTEN_AFTER * 3 / 4).await;
        assert_eq!(sources.down(Instant::now()).len(), 1, "it was asked meanwhile");
        advance(FORGOTTEN_AFTER).await;
        assert_eq!(sources.down(Instant::now()), []);
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_are_kept_in_mind() {
        let sources = SourceHosts::new("cdn");
        take_down(&sources, "down");
        for number in 0..2 * MAX_HOSTS {
            fails(&sources, &format!("host{number}"), 1);
            advance(Duration::from_millis(1)).await;
        }
        let known = lock(&sources.hosts);
        assert_eq!(known.len(), MAX_HOSTS);
        assert!(known.contains_key("down") && known.contains_key("host2047"));
    }
}
