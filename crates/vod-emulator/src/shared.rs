//! The state that calls share.
//!
//! Owns the lock around the state, and the signals between calls: events
//! were added, held calls are released, the emulator stops. The lock is held for moments and never
//! over a wait.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::action::ApiAction;
use super::clock::EmulatorClock;
use super::content::Content;
use super::faults::{FaultKind, FaultPoint};
use super::ledger::{LedgerSnapshot, LedgerTotals, LedgerTry};
use super::push::{OutgoingPush, PushEnd, PushOutcome};
use super::queue::{Confirmation, HandOut, Queue, QueueFull};
use super::settings::{EmulatorSettings, LeaseFrom};
use super::sprites::{CreatedSprite, SpriteOrder};
use super::state::State;
use super::tasks::{AddedTask, TaskRecord};

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

/// Who is called in each confirmation before its answer, and after each 200 for a posted event.
#[derive(Clone, Default)]
struct Observer(Option<Arc<ObserverFn>>);

/// Takes the numbers of the events that a call asks to confirm, or of the one that was answered.
pub(super) type ObserverFn = dyn Fn(&[u64]) + Send + Sync;

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observer").field(&self.0.is_some()).finish()
    }
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
        let url = format!("http://{bound}");
        let clock = EmulatorClock::start();
        let state = State::new(&settings, clock.now());
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
    /// all, and wakes held pulls. `tasks` are those that they are of.
    pub(super) fn add(
        &self,
        app: u64,
        contents: Vec<Content>,
        tasks: Vec<AddedTask>,
        delay: Duration,
    ) -> Result<Vec<u64>, QueueFull> {
        let mut state = self.state();
        let now = self.clock.now();
        state.advance(now);
        let ids = state.add(app, now, contents, delay);
        if ids.is_ok() {
            let shown = self.clock.shown();
            for task in tasks {
                state.tasks(app).add(TaskRecord::Added(Arc::new(task), shown));
            }
        }
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
        if !state.has_room(order.max_events()) {
            return Err(QueueFull);
        }
        let tasks = state.sprites.make(order, self.clock.shown());
        let contents = tasks
            .iter()
            .flat_map(|task| task.reports().iter().map(|report| (task.clone(), *report)))
            .map(|(task, report)| Content::Sprite(task, report));
        let mut ids = state.add(app, now, contents.collect(), order.delay)?.into_iter();
        for task in &tasks {
            state.tasks(app).add(TaskRecord::Sprite(task.clone()));
            state.ledger.task_made(task);
        }
        drop(state);
        self.added.notify_waiters();
        let made = tasks.iter().map(|task| {
            // The last of its events reports its end.
            let event = ids.by_ref().take(task.reports().len()).last();
            task.made(event.unwrap_or_default(), &self.base)
        });
        Ok(made.collect())
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

    /// Takes an event that is to be posted now.
    pub(super) fn next_push(&self) -> Option<OutgoingPush> {
        self.state().outbox.next(self.clock.now())
    }

    /// How long it is until an event is to be posted.
    pub(super) fn next_push_due(&self) -> Option<Duration> {
        let due = self.state().outbox.next_due()?;
        Some((due - self.clock.now()).to_std().unwrap_or_default())
    }

    /// Records the end of a try to post an event that began at `at`, and returns what it means.
    pub(super) fn push_ended(
        &self,
        event: u64,
        at: DateTime<Utc>,
        outcome: PushOutcome,
    ) -> Option<PushEnd> {
        let mut state = self.state();
        let ended = self.clock.now();
        let end = state.outbox.ended(event, outcome, ended)?;
        state.ledger.pushed(event, LedgerTry { at, ended, outcome }, end);
        drop(state);
        if outcome == PushOutcome::Answered {
            self.notify_observer(&[event]);
        }
        Some(end)
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

    /// Lets a request or an answer be on its way.
    pub(super) async fn travel(&self) {
        let time = self.settings.one_way();
        if !time.is_zero() {
            tokio::time::sleep(time).await;
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
