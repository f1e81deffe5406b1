//! Confirms the handles of events that are safe: one loop for all applications, so that they share
//! the rate and the news of what is settled.
//!
//! Leases come from the puller, the news that events are settled from the deliveries; it knows
//! neither. Nothing is sent for a handle past its deadline: the cloud hands the event out again,
//! and the journal knows it.

mod application;
mod batches;
mod inbox;
mod leases;
mod max_unconfirmed;
mod records;
mod request;
mod settings;

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::journal::{EventId, Journal};
use crate::lease::Lease;
use crate::limits::{Backoff, RateLimiter};
use crate::liveness::Heartbeat;
use crate::metrics::{ByOutcome, Metrics};
use crate::vod::{Client, MAX_HANDLES, VodError};
use application::ConfirmedApplication;
use batches::{ConfirmCall, Followup};
use inbox::settled;
use leases::{Added, OpenLeases, ReadyHandle};
use records::RecordQueue;
use request::{CallEnd, FinishedCall, confirm};

pub use inbox::Inbox;
pub use max_unconfirmed::MaxUnconfirmed;
pub use settings::{ConfirmAfter, ConfirmPacing, ConfirmSettings};

/// How long a handle waits for company in its call.
const LINGER: Duration = Duration::from_millis(4);
/// After being told to slow down; limits are told by the second.
const THROTTLED: Backoff = Backoff { base: Duration::from_millis(20), max: Duration::from_secs(1) };

/// The loop that confirms.
#[derive(Debug)]
pub struct Confirmer {
    applications: Vec<ConfirmedApplication>,
    /// The application whose turn it is, if it has a call to make.
    turn: usize,
    journal: Journal,
    news: Inbox,
    pacing: watch::Receiver<ConfirmPacing>,
    after: ConfirmAfter,
    /// Calls in flight at most, of each application.
    max_concurrency: usize,
    waiting: OpenLeases,
    notes: RecordQueue,
    limiter: RateLimiter,
    metrics: Metrics,
    idle: watch::Sender<bool>,
}

impl Confirmer {
    /// A confirmer that learns what to do by `news`, does it by `clients`, one for each application,
    /// and goes by what `pacing` holds last.
    #[must_use]
    pub fn new(
        clients: Vec<Client>,
        mut pacing: watch::Receiver<ConfirmPacing>,
        journal: Journal,
        news: Inbox,
        metrics: Metrics,
    ) -> Self {
        let ConfirmPacing { settings, max_requests_per_second, max_concurrency } =
            pacing.borrow_and_update().clone();
        let max_rate = f64::from(max_requests_per_second);
        let is_one = clients.len() == 1;
        let application = |client: Client| {
            let name = (!is_one).then_some(client.app());
            ConfirmedApplication::new(client, name)
        };
        Self {
            applications: clients.into_iter().map(application).collect(),
            turn: 0,
            pacing,
            journal,
            news,
            after: settings.after,
            max_concurrency: max_concurrency as usize,
            waiting: OpenLeases::new(settings.max_unconfirmed.limit()),
            notes: RecordQueue::default(),
            limiter: RateLimiter::new(max_rate, Instant::now()),
            metrics,
            idle: watch::Sender::new(true),
        }
    }

    /// Tells whether nothing that could be confirmed is left unconfirmed.
    #[must_use]
    pub fn idle(&self) -> watch::Receiver<bool> {
        self.idle.subscribe()
    }

    /// Confirms until `finish`, answering `pulse` on the way, then what can be confirmed without
    /// waiting for anybody. Dropping the future drops calls in flight; their events come again,
    /// if they do.
    pub async fn run(mut self, mut pulse: Heartbeat, finish: CancellationToken) {
        let mut in_flight: FuturesUnordered<BoxFuture<'static, FinishedCall>> =
            FuturesUnordered::new();
        let mut looks: FuturesUnordered<BoxFuture<'static, Vec<EventId>>> = FuturesUnordered::new();
        let (mut leases_open, mut settled_open) = (true, true);
        loop {
            let now = Instant::now();
            if finish.is_cancelled() {
                self.drop_repeats(now);
            }
            self.expire(now);
            self.launch(&mut in_flight, now);
            let no_calls = self.applications.iter().all(|application| application.calls.is_empty());
            let is_done = no_calls && self.waiting.ready() == 0 && self.notes.is_empty();
            let is_idle = in_flight.is_empty() && is_done;
            self.idle.send_if_modified(|idle| std::mem::replace(idle, is_idle) != is_idle);
            let all_heard = !leases_open && !settled_open;
            if is_idle
                && (finish.is_cancelled() || all_heard)
                && self.news.leases.is_empty()
                && self.news.settled.is_empty()
            {
                return;
            }
            let wake = self.wake(in_flight.len());
            tokio::select! {
                biased;
                // Before all that a busy loop never runs out of.
                () = pulse.beat() => {}
                Ok(()) = self.pacing.changed() => self.take_pacing(),
                () = self.notes.write(&self.journal), if !self.notes.is_empty() => {
                    if self.notes.is_empty() {
                        self.wake_untold();
                    }
                }
                Some(asked) = in_flight.next(), if !in_flight.is_empty() => self.asked(asked),
                leases = self.news.leases.recv(), if leases_open => match leases {
                    Some(leases) => leases.into_iter().for_each(|lease| self.lease(lease)),
                    None => leases_open = false,
                },
                settled = self.news.settled.recv(), if settled_open => match settled {
                    Some(events) => self.waiting.settle(&events, Instant::now()),
                    None => settled_open = false,
                },
                Some(events) = looks.next(), if !looks.is_empty() => {
                    self.waiting.settle(&events, Instant::now());
                }
                // One look at a time: what changes meanwhile is seen by the next.
                Ok(()) = self.news.changed.changed(), if looks.is_empty() => {
                    looks.push(Box::pin(settled(self.journal.clone(), self.waiting.pending())));
                }
                () = finish.cancelled(), if !finish.is_cancelled() => {}
                () = tokio::time::sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
            }
        }
    }

    /// What was refused its rate stays slow; what waits though nothing has to wait any more goes.
    fn take_pacing(&mut self) {
        let ConfirmPacing { settings, max_requests_per_second, max_concurrency } =
            self.pacing.borrow_and_update().clone();
        let max_rate = f64::from(max_requests_per_second);
        self.limiter.set_max(max_rate);
        self.max_concurrency = max_concurrency as usize;
        self.after = settings.after;
        self.waiting.set_max_unconfirmed(settings.max_unconfirmed.limit());
        if self.after == ConfirmAfter::Journal {
            let handles = self.waiting.release_all(Instant::now());
            self.metrics.confirmed_early.inc_by(handles as u64);
        }
    }

    fn lease(&mut self, mut lease: Lease) {
        if self.after == ConfirmAfter::Journal && !lease.pending.is_empty() {
            lease.pending.clear();
            self.metrics.confirmed_early.inc();
        }
        if self.waiting.add(lease, Instant::now()) == Added::Unsettled {
            self.metrics.confirmed_early.inc();
            tracing::debug!(
                "confirms an event on the journal's word: too many are pending past their lease"
            );
        }
    }

    fn expire(&mut self, now: Instant) {
        let expired = self.waiting.expire(now);
        if expired > 0 {
            self.count_handles("expired", expired);
            tracing::debug!(
                handles = expired,
                "let go handles whose events are still pending; the cloud hands them out again"
            );
        }
    }

    /// Starts the calls that are due, as fast as the rate allows.
    fn launch(
        &mut self,
        in_flight: &mut FuturesUnordered<BoxFuture<'static, FinishedCall>>,
        now: Instant,
    ) {
        while self.may_launch(in_flight.len()) && self.limiter.ready_at() <= now {
            let Some((place, mut call)) = self.next_call(now) else { return };
            let lapsed = call.take_expired(now);
            self.give_up(&lapsed, "expired", now);
            if call.is_repeatable()
                && let Err(until) = self.notes.may_tell(now)
            {
                let untold = call.take_repeatable();
                self.applications[place].calls.put_off(&call, untold, until);
            }
            if call.handles.is_empty() {
                continue;
            }
            self.limiter.take(now);
            let application = &mut self.applications[place];
            application.in_flight += 1;
            let client = application.client.clone();
            let journal = self.journal.clone();
            in_flight.push(Box::pin(confirm(place, client, journal, now, call)));
        }
    }

    /// The next call that is due, of the applications in turn.
    fn next_call(&mut self, now: Instant) -> Option<(usize, ConfirmCall)> {
        let places = self.applications.len();
        for place in (self.turn..places).chain(0..self.turn) {
            let application = &mut self.applications[place];
            if application.in_flight >= self.max_concurrency {
                continue;
            }
            let app = application.client.app();
            let again = application.calls.take_due(now).map(|mut call| {
                let handles = call.handles.into_iter();
                call.handles = handles.filter_map(|ready| self.waiting.renew(ready, now)).collect();
                call
            });
            let call = again.or_else(|| {
                let handles = self.waiting.take_ready(app, MAX_HANDLES, LINGER, now);
                (!handles.is_empty()).then(|| ConfirmCall::new(handles))
            });
            if let Some(call) = call {
                self.turn = (place + 1) % places;
                return Some((place, call));
            }
        }
        None
    }

    fn may_launch(&self, in_flight: usize) -> bool {
        self.notes.has_room() && (!self.limiter.is_refused() || in_flight == 0)
    }

    /// When there is something to do though nobody says so.
    fn wake(&self, in_flight: usize) -> Option<Instant> {
        let with_room = self.applications.iter().filter(|application| {
            self.may_launch(in_flight) && application.in_flight < self.max_concurrency
        });
        let due = with_room.flat_map(|ConfirmedApplication { client, calls, .. }| {
            [calls.next_due(), self.waiting.ready_at(client.app(), MAX_HANDLES, LINGER)]
        });
        let launch = due.flatten().min().map(|at| at.max(self.limiter.ready_at()));
        [launch, self.waiting.next_deadline()].into_iter().flatten().min()
    }

    /// There is no time to wait for better ones.
    fn drop_repeats(&mut self, now: Instant) {
        for place in 0..self.applications.len() {
            for call in self.applications[place].calls.take_repeats() {
                self.give_up(&call.handles, "expired", now);
            }
        }
    }

    /// Nothing more is sent for these handles, unless they have come again since.
    fn give_up(&mut self, handles: &[ReadyHandle], outcome: &'static str, now: Instant) {
        if handles.is_empty() {
            return;
        }
        self.count_handles(outcome, handles.len());
        handles.iter().for_each(|ready| self.waiting.called(ready, false, now));
    }

    fn asked(&mut self, asked: FinishedCall) {
        let now = Instant::now();
        let FinishedCall { place, sent, call, superseded, unnoted, ended, note } = asked;
        self.applications[place].in_flight -= 1;
        self.give_up(&superseded, "superseded", now);
        self.notes.take(note);
        if !unnoted.is_empty() {
            let until = self.notes.untold(now);
            self.applications[place].calls.put_off(&call, unnoted, until);
        } else if call.is_repeatable() && self.notes.told() {
            self.wake_untold();
        }
        match ended {
            CallEnd::Taken => self.taken(place, sent, &call, now),
            CallEnd::Failed(error) => self.failed(place, sent, call, &error, now),
            CallEnd::Lapsed => {
                self.count_call("failed");
                self.applications[place].calls.expired(call);
            }
            CallEnd::Unsent => {}
        }
    }

    /// The journal can be told again.
    fn wake_untold(&mut self) {
        self.applications.iter_mut().for_each(|of| of.calls.wake());
    }

    fn taken(&mut self, place: usize, sent: Instant, call: &ConfirmCall, now: Instant) {
        self.count_call("ok");
        self.limiter.accepted(sent);
        self.count_handles("confirmed", call.handles.len());
        for ready in &call.handles {
            let margin = ready.deadline.saturating_duration_since(now);
            self.metrics.confirm_margin_seconds.observe(margin);
            self.waiting.called(ready, true, now);
        }
        self.applications[place].calls.taken(now);
        self.applications[place].note_good(now);
    }

    fn failed(
        &mut self,
        place: usize,
        sent: Instant,
        call: ConfirmCall,
        error: &VodError,
        now: Instant,
    ) {
        match self.applications[place].calls.failed(call, error, now) {
            Followup::Narrowed => {
                self.limiter.accepted(sent);
                self.count_call("refused");
                tracing::debug!(%error, "a confirm was refused; narrows it down to the handle at fault");
            }
            Followup::Refused { ready, is_certain } => {
                self.limiter.accepted(sent);
                self.count_call("refused");
                tracing::debug!(handle = %ready.handle.text, %error, "a handle was refused; its event comes again if the cloud still has it");
                self.give_up(&[ready], "refused", now);
                if is_certain {
                    self.applications[place].note_refused(error, now);
                } else {
                    self.applications[place].note_failed(error, now);
                }
            }
            Followup::Dropped(handles) => {
                self.limiter.accepted(sent);
                self.count_call("refused");
                tracing::debug!(handles = handles.len(), %error, "a confirm whose answer was lost was refused when it was repeated; what was not taken comes again");
                self.give_up(&handles, "refused", now);
                if error.is_parameter_error() {
                    self.applications[place].recovered(now);
                }
            }
            Followup::Repeated { is_throttled, is_of_a_handle } => {
                self.count_call("failed");
                if is_throttled {
                    let wait = THROTTLED.wait(self.limiter.refusals() + 1);
                    self.limiter.refused(sent, now, wait);
                }
                if !is_of_a_handle {
                    self.applications[place].note_failed(error, now);
                }
            }
        }
    }

    fn count_call(&self, outcome: &'static str) {
        self.metrics.confirms.get_or_create(&ByOutcome { outcome }).inc();
    }

    fn count_handles(&self, outcome: &'static str, by: usize) {
        self.metrics.handles.get_or_create(&ByOutcome { outcome }).inc_by(by as u64);
    }
}
