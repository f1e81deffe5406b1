//! What is kept under the lock of the emulator.
//!
//! Owns what concerns more than one of its parts: which events are added, and where.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::action::ApiAction;
use super::content::Content;
use super::faults::{DrawnFault, FaultPoint, Faults};
use super::handle::{Handles, scramble};
use super::keys::{Account, AccountKey, TemporaryKeys};
use super::ledger::Ledger;
use super::push::Outbox;
use super::queue::{Queue, QueueFull, QueueRules};
use super::quota::Quota;
use super::settings::{AssumableRole, EmulatorSettings, ReportConfig, ReportMode};
use super::sprites::{SpriteHistory, SpriteProtection, Sprites};
use super::tasks::TaskIndex;

#[derive(Debug)]
pub(super) struct State {
    pub(super) account: Arc<Account>,
    pub(super) role: AssumableRole,
    pub(super) keys: TemporaryKeys,
    pub(super) faults: Faults,
    pub(super) quota: Quota,
    pub(super) ledger: Ledger,
    /// The answer of DescribeEventConfig for an application, and for those that are not in it.
    event_configs: (BTreeMap<u64, ReportConfig>, ReportConfig),
    /// One for each application.
    pub(super) queues: BTreeMap<u64, Queue>,
    /// The number of the event that was added last, of all queues.
    last: u64,
    /// The most events that may wait in all of them and to be posted.
    capacity: usize,
    pub(super) sprites: Sprites,
    pub(super) sprite_history: SpriteHistory,
    pub(super) sprite_protection: SpriteProtection,
    pub(super) outbox: Outbox,
    /// One for each application.
    tasks: BTreeMap<u64, TaskIndex>,
    /// The most tasks of each that are kept.
    max_tasks: usize,
}

impl State {
    pub(super) fn new(settings: &EmulatorSettings, now: DateTime<Utc>) -> Self {
        let seed = settings.seed.unwrap_or_else(rand::random);
        let rules = QueueRules {
            lease: delta(settings.lease),
            retention: delta(settings.retention),
            capacity: settings.max_events,
            batch: settings.batch,
            same_handle: settings.lenient.same_handle,
            confirm_partly: settings.lenient.confirm_partly || settings.lenient.pass_over,
        };
        let apps = if settings.apps.is_empty() { &[0][..] } else { &settings.apps };
        // With different seeds: no queue knows another's handles.
        let seeds = (seed..=u64::MAX).chain(0..=seed).map(scramble);
        let queue = |(app, seed): (&u64, u64)| (*app, Queue::new(rules, Handles::new(seed)));
        Self {
            account: Arc::new(settings.account.clone()),
            role: settings.role.clone(),
            keys: TemporaryKeys::default(),
            faults: Faults::new(seed),
            quota: Quota::new(settings.rate_limit, settings.bursts, now),
            ledger: Ledger::new(settings.max_records),
            event_configs: (BTreeMap::new(), settings.event_config.clone()),
            queues: apps.iter().zip(seeds).map(queue).collect(),
            last: 0,
            capacity: settings.max_events,
            sprites: Sprites::new(scramble(!seed), settings.sprite_quirks.clone()),
            sprite_history: SpriteHistory::default(),
            sprite_protection: settings.sprite_protection.clone(),
            outbox: Outbox::new(&settings.push),
            tasks: BTreeMap::new(),
            max_tasks: settings.max_records,
        }
    }

    /// Returns the answer of DescribeEventConfig for this application.
    pub(super) fn event_config(&self, app: u64) -> ReportConfig {
        let (of_one, of_others) = &self.event_configs;
        of_one.get(&app).unwrap_or(of_others).clone()
    }

    pub(super) fn set_event_config(&mut self, app: u64, config: ReportConfig) {
        self.event_configs.0.insert(app, config);
    }

    /// Returns the tasks of an application that there is.
    pub(super) fn tasks(&mut self, app: u64) -> &mut TaskIndex {
        let capacity = self.max_tasks;
        self.tasks.entry(app).or_insert_with(|| TaskIndex::new(capacity))
    }

    /// Returns the key that a request with this SecretId must be signed with.
    pub(super) fn key(&self, secret_id: &str) -> Option<AccountKey> {
        if secret_id == self.account.secret_id {
            return Some(AccountKey { account: Arc::clone(&self.account), expires: None });
        }
        self.keys.find(secret_id).cloned()
    }

    /// Draws a fault and counts it.
    pub(super) fn draw(
        &mut self,
        action: Option<ApiAction>,
        app: Option<u64>,
        point: FaultPoint,
    ) -> Option<DrawnFault> {
        let drawn = self.faults.draw(action, app, point)?;
        self.ledger.fault_drawn(drawn.kind.name());
        Some(drawn)
    }

    pub(super) fn advance(&mut self, now: DateTime<Utc>) {
        for queue in self.queues.values_mut() {
            let expired = queue.advance(now);
            self.ledger.expired(&expired, now);
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.queues.values().map(Queue::len).sum()
    }

    pub(super) fn has_room(&self, events: usize) -> bool {
        self.capacity.saturating_sub(self.waiting() + self.outbox.len()) >= events
    }

    pub(super) fn add(
        &mut self,
        app: u64,
        now: DateTime<Utc>,
        contents: Vec<Content>,
        delay: Duration,
    ) -> Result<Vec<u64>, QueueFull> {
        if !self.has_room(contents.len()) {
            return Err(QueueFull);
        }
        let config = self.event_config(app);
        // Without a URL there is nowhere to post to. What the service does then is not known.
        let url = (config.mode == ReportMode::Push && !config.notification_url.is_empty())
            .then(|| Arc::from(config.notification_url));
        let queue = self.queues.get_mut(&app).ok_or(QueueFull)?;
        let delay = delta(delay);
        contents
            .into_iter()
            .map(|content| {
                let id = self.last + 1;
                if let Some(url) = &url {
                    self.outbox.add(id, now + delay, Arc::clone(url), content);
                } else {
                    queue.add(id, now, content, delay)?;
                }
                self.last = id;
                self.ledger.added(id, app, now);
                if url.is_some() {
                    self.ledger.will_push(id);
                }
                Ok(id)
            })
            .collect()
    }
}

/// Settings and orders are checked to be far below the limit.
fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or_else(|_| TimeDelta::days(3650))
}
