//! An HTTP endpoint that webhooks are sent to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::local_server::{LocalServer, Reply, Request};

/// What a receiver does with a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    /// Takes it.
    Take,
    /// Takes it, and says so later.
    TakeAfter(Duration),
    /// Refuses it with this status.
    Refuse(u16),
    /// Refuses it with this status and these words.
    RefuseWith(u16, &'static str),
    /// Refuses it with this status and asks for a wait of so many seconds.
    RefuseLater(u16, u32),
    /// Refuses what holds this text with status 500 and takes the rest.
    TakeUnless(&'static str),
    /// Refuses what holds this text for good, with status 422, and takes the rest.
    RejectIf(&'static str),
    /// Takes it, and says so once it is [released](Receiver::release).
    TakeWhenReleased,
    /// Never answers.
    Hang,
}

/// A receiver; it ends with the value.
pub(super) struct Receiver {
    server: LocalServer,
    answer: Arc<Mutex<Answer>>,
    taken: Arc<Mutex<Vec<Request>>>,
    /// When each of them came.
    times: Arc<Mutex<Vec<DateTime<Utc>>>>,
    released: CancellationToken,
}

impl Receiver {
    pub(super) async fn start(answer: Answer) -> Self {
        let answer = Arc::new(Mutex::new(answer));
        let taken = Arc::new(Mutex::new(Vec::new()));
        let times = Arc::new(Mutex::new(Vec::new()));
        let (current, take, clock) = (answer.clone(), taken.clone(), times.clone());
        let released = CancellationToken::new();
        let release = released.clone();
        let server = LocalServer::start(move |request, _| {
            let empty = |status| Reply::new(status, &[], b"");
            let later = |wait| Reply::After(wait, Box::new(empty(204)));
            let answer = match *current.lock().unwrap() {
                Answer::TakeUnless(text) if request.body.contains(text) => Answer::Refuse(500),
                Answer::RejectIf(text) if request.body.contains(text) => Answer::Refuse(422),
                Answer::TakeUnless(_) | Answer::RejectIf(_) => Answer::Take,
                answer => answer,
            };
            let takes =
                matches!(answer, Answer::Take | Answer::TakeAfter(_) | Answer::TakeWhenReleased);
            if takes {
                clock.lock().unwrap().push(Utc::now());
                take.lock().unwrap().push(request.clone());
            }
            match answer {
                Answer::TakeUnless(_) | Answer::RejectIf(_) => unreachable!("decided above"),
                Answer::Take => empty(204),
                Answer::TakeAfter(wait) => later(wait),
                Answer::TakeWhenReleased => Reply::When(release.clone(), Box::new(empty(204))),
                Answer::Refuse(status) => empty(status),
                Answer::RefuseWith(status, words) => Reply::new(status, &[], words.as_bytes()),
                Answer::RefuseLater(status, seconds) => {
                    Reply::new(status, &[("retry-after", &seconds.to_string())], b"")
                }
                Answer::Hang => later(Duration::from_secs(3600)),
            }
        })
        .await;
        Self { server, answer, taken, times, released }
    }

    /// From now on requests get this answer.
    pub(super) fn set(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    /// Answers what was taken and waits for that, and from now on at once.
    pub(super) fn release(&self) {
        self.released.cancel();
    }

    /// Where to send.
    pub(super) fn url(&self) -> String {
        format!("{}/hook", self.server.url())
    }

    /// The sink that sends here, with further lines of its table.
    pub(super) fn sink(&self, name: &str, more: &str) -> String {
        let url = self.url();
        format!("[[sinks]]\nname = '{name}'\ntype = 'webhook'\nurl = '{url}'\n{more}\n")
    }

    /// How many requests came, whatever became of them.
    pub(super) fn asked(&self) -> usize {
        self.server.seen().len()
    }

    /// How many requests were taken.
    pub(super) fn count(&self) -> usize {
        self.taken.lock().unwrap().len()
    }

    /// How many requests came before the first that was taken.
    pub(super) fn asked_in_vain(&self) -> usize {
        let first = &self.requests()[0].body;
        self.server.seen().iter().position(|request| request.body == *first).unwrap()
    }

    /// When each of the taken requests came, in their order.
    pub(super) fn times(&self) -> Vec<DateTime<Utc>> {
        self.times.lock().unwrap().clone()
    }

    /// Waits until all that a dead daemon had sent is answered.
    pub(super) async fn is_left(&self) {
        crate::support::until(|| self.server.connections() == 0).await;
    }

    /// How often each event was taken, by its key.
    pub(super) fn counts(&self) -> HashMap<String, u32> {
        let mut counts = HashMap::new();
        for request in self.taken.lock().unwrap().iter() {
            let key = request.header("webhook-id").unwrap().to_owned();
            *counts.entry(key).or_default() += 1;
        }
        counts
    }

    /// The requests that were taken.
    pub(super) fn requests(&self) -> Vec<Request> {
        self.taken.lock().unwrap().clone()
    }

    /// The envelopes that were taken.
    pub(super) fn taken(&self) -> Vec<Value> {
        let requests = self.taken.lock().unwrap();
        requests.iter().map(|request| serde_json::from_str(&request.body).unwrap()).collect()
    }

    /// Asserts that as many events were taken, none of them twice.
    pub(super) fn assert_once(&self, count: usize) {
        let taken = self.taken();
        assert_eq!(super::ids(&taken).len(), taken.len(), "an event was taken twice");
        assert_eq!(taken.len(), count);
    }
}
