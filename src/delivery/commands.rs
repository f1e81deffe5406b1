//! What a delivery loop does when it is asked: test, retry, pause, resume.

use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use tokio::time::Instant;

use super::Delivery;
use super::control::{PauseRequest, RetryOutcome, RetryRequest, SinkCommand, TestOutcome};
use super::in_flight::InFlight;
use super::retrying::{Retrying, Tried};
use crate::journal::{self, DeliveryRecord};
use crate::sinks::Verdict;

impl Delivery {
    /// Begins what is asked; what can be done at once is answered at once.
    pub(super) async fn obey(&mut self, command: SinkCommand, work: &mut InFlight) {
        match command {
            SinkCommand::Test(test) => self.tests.push_back(test),
            SinkCommand::Retry(request) => self.retry(request, work).await,
            SinkCommand::SetPaused(PauseRequest { since, answer }) => {
                // Who does not wait any more has no need of it.
                answer.send(self.set_paused(since).await).ok();
            }
        }
    }

    async fn retry(&mut self, request: RetryRequest, work: &mut InFlight) {
        let RetryRequest { accept_rejects, answer } = request;
        if self.paused_since.is_some() {
            let (paused_since, pending) = (self.paused_since, self.pending);
            let outcome = RetryOutcome { paused_since, pending, ..RetryOutcome::default() };
            answer.send(Ok(outcome)).ok();
            return;
        }
        if accept_rejects && let Err(error) = self.accept_rejects(work).await {
            answer.send(Err(error)).ok();
            return;
        }
        let now = Instant::now();
        self.retrying.get_or_insert_with(|| Retrying::new(now)).add(answer);
        self.breaker.probe_now(now);
        self.queue.make_all_due();
        work.writes.push(self.count_pending());
        self.publish(None, self.breaker.next_probe());
    }

    /// Rejections of what is pending now prove the events to be bad, whatever the sink accepts.
    async fn accept_rejects(&mut self, work: &mut InFlight) -> journal::Result<()> {
        // A rejection that is written later would count for the brake of the next start.
        while let Some(written) = work.writes.next().await {
            self.recorded(written).await;
        }
        let newest = self.journal.forget_rejected(self.target.id).await?;
        self.breaker.accept_rejects(newest);
        let counted = self.journal.record(self.target.id, Vec::new(), None, Utc::now()).await?;
        self.pending = counted.pending;
        if self.pending > 0 {
            tracing::info!(
                sink = %self.target.name,
                "rejections of what is pending now make dead letters, as asked by sprited sinks retry \
                 --accept-rejects"
            );
        }
        Ok(())
    }

    /// Judges what became of events whose delivery began then, where somebody waits for that.
    pub(super) fn judge_retried(
        &mut self,
        began: Instant,
        records: &[DeliveryRecord],
    ) -> Option<Tried> {
        let tried = self.retrying.as_ref()?.judge(began, records);
        if tried.is_asked_again {
            self.breaker.probe_now(Instant::now());
        }
        Some(tried)
    }

    /// That is written, and how many events are pending.
    pub(super) fn count_retried(&mut self, tried: Option<Tried>) {
        if tried.as_ref().is_some_and(|tried| tried.is_asked_again) {
            self.queue.make_all_due();
        }
        if let Some(retrying) = &mut self.retrying {
            retrying.count(tried, self.pending);
        }
        self.answer_retry();
    }

    /// Answers whoever asked for deliveries, if it is time to.
    pub(super) fn answer_retry(&mut self) {
        let is_down = self.breaker.next_probe().is_some();
        let is_time = |of: &mut Retrying| of.is_over(is_down) || Instant::now() >= of.until();
        if let Some(retrying) = self.retrying.take_if(is_time) {
            retrying.answer(is_down);
        }
    }

    /// Answers whoever asked for something that takes a sink which can be used.
    pub(super) fn answer_unusable(&mut self, error: &str) {
        for test in self.tests.drain(..) {
            let verdict = Verdict::retry(error);
            test.answer.send(TestOutcome { verdict, took: std::time::Duration::ZERO }).ok();
        }
        if let Some(retrying) = self.retrying.take() {
            retrying.fail(error, self.pending);
        }
    }

    /// Whoever has asked for something, or does from here on, learns that the loop ends.
    pub(super) fn refuse_commands(&mut self) {
        self.commands.close();
        while self.commands.try_recv().is_ok() {}
        self.tests.clear();
        self.retrying = None;
    }

    async fn set_paused(
        &mut self,
        since: Option<DateTime<Utc>>,
    ) -> journal::Result<Option<DateTime<Utc>>> {
        let id = self.target.id;
        let before = self.journal.set_sink_paused(id, since).await?;
        match (self.paused_since, since) {
            (None, Some(_)) => self.pause(before.or(since)),
            (Some(_), None) => self.resume().await,
            _ => {}
        }
        Ok(before)
    }

    fn pause(&mut self, since: Option<DateTime<Utc>>) {
        self.paused_since = since;
        self.counters.paused.set(1);
        self.queue.return_ready();
        self.breaker.pause();
        self.uptime.end();
        self.forget_outage();
        if let Some(retrying) = self.retrying.take() {
            retrying.answer(false);
        }
        self.publish(None, None);
        tracing::info!(sink = %self.target.name, "sink paused by hand; its events wait in the journal");
    }

    /// Goes on as after an outage.
    async fn resume(&mut self) {
        let since = self.paused_since.take();
        self.counters.paused.set(0);
        self.resumed = Some(Utc::now());
        // What was in flight when it was paused may have been taken since.
        self.uptime.end();
        self.queue.make_all_due();
        self.queue.mark_stale();
        let counted = self.journal.record(self.target.id, Vec::new(), None, Utc::now()).await;
        self.pending = counted.map_or(self.pending, |counted| counted.pending);
        tracing::info!(
            sink = %self.target.name,
            since = since.map(told),
            "sink resumed by hand"
        );
        self.breaker.restart(Instant::now());
        self.catching_up.begin(self.pending, Utc::now());
        self.begin();
    }

    /// The journal says since when it is paused.
    pub(super) fn learn_paused(&mut self, since: Option<DateTime<Utc>>) {
        self.counters.paused.set(i64::from(since.is_some()));
        if let Some(since) = since
            && self.paused_since.is_none()
        {
            let sink = &self.target.name;
            tracing::warn!(
                %sink,
                since = told(since),
                hint = format!("sprited sinks resume {sink}"),
                "sink is paused by hand; its events wait in the journal"
            );
        }
        self.paused_since = since;
    }
}

fn told(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
