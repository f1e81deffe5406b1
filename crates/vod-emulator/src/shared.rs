//! The state that calls share.
//!
//! Owns the lock around queues, ledger, quota and faults, and the signals between calls: events
//! were added, held calls are released, the emulator stops. The lock is held for moments and never
//! over a wait.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::action::ApiAction;
use super::clock::EmulatorClock;
use super::content::Content;
use super::faults::{DrawnFault, FaultKind, FaultPoint, Faults};
use super::handle::{Handles, scramble};
use super::keys::{Account, AccountKey, TemporaryKeys};
use super::ledger::{Ledger, LedgerSnapshot, LedgerTotals};
use super::queue::{Confirmation, HandOut, Queue, QueueFull, QueueRules};
use super::quota::Quota;
use super::settings::{AssumableRole, EmulatorSettings, LeaseFrom, ReportConfig};
use super::sprites::{CreatedSprite, SpriteOrder, Sprites};

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: EmulatorSettings,
    /// Where clients reach the emulator.
    pub(super) url: String,
    /// What sprite URLs begin with.
    pub(super) base: String,
    pub(super) clock: EmulatorClock,
    pub(super) stop: CancellationToken,
    /// Notified whenever events were added.
    pub(super) added: Notify,
    /// Changes whenever held calls are released.
    pub(super) released: watch::Sender<u64>,
    pub(super) held: AtomicUsize,
    pulls_waiting: AtomicUsize,
    observer: Mutex<Observer>,
    state: Mutex<State>,
}

/// Who is called in each confirmation before its answer.
#[derive(Clone, Default)]
struct Observer(Option<Arc<ObserverFn>>);

/// Takes the numbers of the events that a call asks to confirm.
pub(super) type ObserverFn = dyn Fn(&[u64]) + Send + Sync;

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observer").field(&self.0.is_some()).finish()
    }
}

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
    queues: BTreeMap<u64, Queue>,
    /// The number of the event that was added last, of all queues.
    last: u64,
    /// The most events that may wait in all of them.
    capacity: usize,
    sprites: Sprites,
}

/// Counts one until it is dropped, which is also when the call's client goes away.
#[derive(Debug)]
pub(super) struct Count<'a>(&'a AtomicUsize);

impl<'a> Count<'a> {
    fn one(of: &'a AtomicUsize) -> Self {
        of.fetch_add(1, Ordering::SeqCst);
        Self(of)
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What a pull found in the queue.
#[derive(Debug)]
pub(super) enum PullResult {
    /// Events, and the fault that is applied to their answer.
    Batch(Vec<HandOut>, Option<FaultKind>),
    /// None; and the time until the next one becomes visible, if any is leased or delayed.
    Nothing(Option<Duration>),
}

impl Shared {
    pub(super) fn new(settings: EmulatorSettings, bound: SocketAddr) -> Self {
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
        let queues = apps.iter().zip(seeds).map(queue).collect();
        let url = format!("http://{bound}");
        let clock = EmulatorClock::start();
        let state = State {
            account: Arc::new(settings.account.clone()),
            role: settings.role.clone(),
            keys: TemporaryKeys::default(),
            faults: Faults::new(seed),
            quota: Quota::new(settings.rate_limit, settings.bursts, clock.now()),
            ledger: Ledger::new(settings.max_records),
            event_configs: (BTreeMap::new(), settings.event_config.clone()),
            queues,
            last: 0,
            capacity: settings.max_events,
            sprites: Sprites::new(scramble(!seed)),
        };
        Self {
            base: settings.public_url.clone().unwrap_or_else(|| url.clone()),
            url,
            clock,
            stop: CancellationToken::new(),
            added: Notify::new(),
            released: watch::Sender::new(0),
            held: AtomicUsize::new(0),
            pulls_waiting: AtomicUsize::new(0),
            observer: Mutex::default(),
            state: Mutex::new(state),
            settings,
        }
    }

    /// The state itself. A panic under the lock cannot leave it half changed in a way that
    /// matters more than the panic.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds all of `contents` for an application that there is, or none if there is no room for
    /// all, and wakes held pulls.
    pub(super) fn add(
        &self,
        app: u64,
        contents: Vec<Content>,
        delay: Duration,
    ) -> Result<Vec<u64>, QueueFull> {
        let mut state = self.state();
        let now = self.clock.now();
        state.advance(now);
        let ids = state.add(app, now, contents, delay);
        drop(state);
        self.added.notify_waiters();
        ids
    }

    /// Makes the sprite tasks of `order` in an application that there is, all or none.
    pub(super) fn add_sprites(
        &self,
        app: u64,
        order: &SpriteOrder,
    ) -> Result<Vec<CreatedSprite>, QueueFull> {
        let mut state = self.state();
        let now = self.clock.now();
        state.advance(now);
        if !state.has_room(order.count as usize) {
            return Err(QueueFull);
        }
        let tasks: Vec<_> = (0..order.count).map(|_| state.sprites.make(order, now)).collect();
        let contents = tasks.iter().map(|task| Content::Sprite(*task)).collect();
        let ids = state.add(app, now, contents, order.delay);
        drop(state);
        self.added.notify_waiters();
        Ok(ids?.into_iter().zip(tasks).map(|(id, task)| task.made(id, &self.base)).collect())
    }

    /// Takes a batch off the queue of `app` for a pull that came in at `came_in`.
    pub(super) fn pull(&self, app: u64, came_in: DateTime<Utc>) -> PullResult {
        let mut state = self.state();
        let now = self.clock.now();
        state.advance(now);
        let from = match self.settings.lease_from {
            LeaseFrom::Answer => now,
            LeaseFrom::Request => came_in,
        };
        let Some(queue) = state.queues.get_mut(&app) else { return PullResult::Nothing(None) };
        let batch = queue.pull(from);
        if batch.is_empty() {
            let due = queue.next_due().map(|due| (due - now).to_std().unwrap_or_default());
            return PullResult::Nothing(due);
        }
        state.ledger.handed_out(&batch, now);
        let fault = state
            .draw(Some(ApiAction::PullEvents), Some(app), FaultPoint::Batch(batch.len()))
            .map(|drawn| drawn.kind);
        if let (Some(FaultKind::SharedHandle), [carrier, other, ..]) = (&fault, batch.as_slice())
            && let Some(queue) = state.queues.get_mut(&app)
        {
            queue.piggyback(carrier, other);
        }
        PullResult::Batch(batch, fault)
    }

    pub(super) fn confirm(&self, app: u64, handles: &[String]) -> Confirmation {
        let mut state = self.state();
        let now = self.clock.now();
        state.advance(now);
        let Some(queue) = state.queues.get_mut(&app) else { return Confirmation::default() };
        let outcome = queue.confirm(now, handles);
        let mut asked = queue.named(handles);
        state.ledger.confirm(&outcome, now);
        drop(state);
        // A handle may confirm other events than that it was made for.
        asked.extend(outcome.confirmed.iter().map(|(event, _)| *event));
        asked.sort_unstable();
        asked.dedup();
        self.notify_observer(&asked);
        outcome
    }

    /// Refuses every later handle of this event of the first application.
    pub(super) fn refuse(&self, event: u64) {
        if let Some(queue) = self.state().queues.get_mut(&self.settings.first_app()) {
            queue.refuse(event);
        }
    }

    /// Sets the observer of confirmations.
    pub(super) fn set_observer(&self, observer: Arc<ObserverFn>) {
        self.observer.lock().unwrap_or_else(PoisonError::into_inner).0 = Some(observer);
    }

    /// Calls the observer with the events that a call asked to confirm, while no lock is held.
    fn notify_observer(&self, asked: &[u64]) {
        let observer = self.observer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Observer(Some(observer)) = observer {
            observer(asked);
        }
    }

    pub(super) fn totals(&self) -> LedgerTotals {
        let mut state = self.state();
        state.advance(self.clock.now());
        self.totals_of(&state)
    }

    fn totals_of(&self, state: &State) -> LedgerTotals {
        LedgerTotals {
            waiting: state.waiting(),
            visible: state.queues.values().map(Queue::visible).sum(),
            pulls_waiting: self.pulls_waiting(),
            ..state.ledger.totals()
        }
    }

    /// How many events a pull from `app` could get now.
    pub(super) fn visible(&self, app: u64) -> usize {
        let mut state = self.state();
        state.advance(self.clock.now());
        state.queues.get(&app).map_or(0, Queue::visible)
    }

    /// Copies the ledger: a moment for each thousand events.
    pub(super) fn snapshot(&self) -> LedgerSnapshot {
        let mut state = self.state();
        state.advance(self.clock.now());
        LedgerSnapshot { totals: self.totals_of(&state), events: state.ledger.records() }
    }

    /// Waits until held calls are released or the emulator stops.
    pub(super) async fn hold(&self) {
        // Subscribed before it is counted: who sees the count can release it.
        let mut released = self.released.subscribe();
        let _count = Count::one(&self.held);
        tokio::select! {
            _ = released.changed() => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Counts a pull that waits for an event until the result is dropped.
    pub(super) fn pull_waits(&self) -> Count<'_> {
        Count::one(&self.pulls_waiting)
    }

    pub(super) fn pulls_waiting(&self) -> usize {
        self.pulls_waiting.load(Ordering::SeqCst)
    }
}

impl State {
    /// Returns the answer of DescribeEventConfig for this application.
    pub(super) fn event_config(&self, app: u64) -> ReportConfig {
        let (of_one, of_others) = &self.event_configs;
        of_one.get(&app).unwrap_or(of_others).clone()
    }

    pub(super) fn set_event_config(&mut self, app: u64, config: ReportConfig) {
        self.event_configs.0.insert(app, config);
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

    fn advance(&mut self, now: DateTime<Utc>) {
        for queue in self.queues.values_mut() {
            let expired = queue.advance(now);
            self.ledger.expired(&expired, now);
        }
    }

    fn waiting(&self) -> usize {
        self.queues.values().map(Queue::len).sum()
    }

    fn has_room(&self, events: usize) -> bool {
        self.capacity.saturating_sub(self.waiting()) >= events
    }

    fn add(
        &mut self,
        app: u64,
        now: DateTime<Utc>,
        contents: Vec<Content>,
        delay: Duration,
    ) -> Result<Vec<u64>, QueueFull> {
        if !self.has_room(contents.len()) {
            return Err(QueueFull);
        }
        let delay = delta(delay);
        let queue = self.queues.get_mut(&app).ok_or(QueueFull)?;
        contents
            .into_iter()
            .map(|content| {
                queue.add(self.last + 1, now, content, delay)?;
                self.last += 1;
                self.ledger.added(self.last, app, now);
                Ok(self.last)
            })
            .collect()
    }
}

/// Settings and orders are checked to be far below the limit.
fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or_else(|_| TimeDelta::days(3650))
}
