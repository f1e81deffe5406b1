//! A receiver of webhooks that keeps its own record of what it took, and can be made to pause
//! before it takes an event, or after.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::local_server::{LocalServer, Reply};
use crate::support::until;

/// What it does with an event until it is released.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pause {
    No,
    /// Does not take it.
    BeforeTaking,
    /// Takes it and does not answer.
    BeforeAnswer,
}

/// What requests meet.
struct Gate {
    pause: Pause,
    released: CancellationToken,
    /// Events taken in this pause whose answers wait.
    held: usize,
}

impl Gate {
    fn set(pause: Pause) -> Self {
        Self { pause, released: CancellationToken::new(), held: 0 }
    }
}

pub(super) struct Hook {
    server: LocalServer,
    gate: Arc<Mutex<Gate>>,
    taken: Arc<Mutex<HashMap<String, u32>>>,
}

impl Hook {
    pub(super) async fn start() -> Self {
        let gate = Arc::new(Mutex::new(Gate::set(Pause::No)));
        let taken: Arc<Mutex<HashMap<_, u32>>> = Arc::default();
        let (current, record) = (gate.clone(), taken.clone());
        let server = LocalServer::start(move |request, _| {
            let mut gate = current.lock().unwrap();
            let released = gate.released.clone();
            let answer = |status| Reply::new(status, &[], b"");
            if gate.pause == Pause::BeforeTaking {
                return Reply::When(released, Box::new(answer(503)));
            }
            let event: Value = serde_json::from_str(&request.body).unwrap();
            *record.lock().unwrap().entry(task_of(&event)).or_default() += 1;
            if gate.pause == Pause::No {
                return answer(204);
            }
            gate.held += 1;
            Reply::When(released, Box::new(answer(204)))
        })
        .await;
        Self { server, gate, taken }
    }

    /// The sink that sends here, and waits so long for an answer.
    pub(super) fn sink(&self, name: &str, timeout: &str) -> String {
        let url = self.server.url();
        format!(
            "[[sinks]]\nname = '{name}'\ntype = 'webhook'\nurl = '{url}/'\n\
             timeout = '{timeout}'\n"
        )
    }

    /// From now on events meet this.
    pub(super) fn pause(&self, pause: Pause) {
        self.gate.lock().unwrap().pause = pause;
    }

    /// How many events it has taken whose answers wait.
    pub(super) fn held(&self) -> usize {
        self.gate.lock().unwrap().held
    }

    /// Ends the pause and answers what waits.
    pub(super) fn release(&self) {
        let mut gate = self.gate.lock().unwrap();
        std::mem::replace(&mut *gate, Gate::set(Pause::No)).released.cancel();
    }

    /// Waits until all that a dead daemon had sent is taken or refused.
    pub(super) async fn is_left(&self) {
        until(|| self.server.connections() == 0).await;
    }

    /// How often each event was taken, by its task.
    pub(super) fn taken(&self) -> Arc<Mutex<HashMap<String, u32>>> {
        self.taken.clone()
    }
}

/// The task that an event reports, or the cast, in either format.
pub(super) fn task_of(event: &Value) -> String {
    let event = if event["data"]["event"].is_object() { &event["data"]["event"] } else { event };
    let roads = ["CreateImageSpriteCompleteEvent", "ProcedureStateChangeEvent"];
    let cast = &event["MediaCastStatusChangedEvent"]["CastId"];
    let task = roads.iter().map(|road| &event[road]["TaskId"]).chain([cast]);
    task.into_iter().find_map(Value::as_str).expect("an event of these tests").to_owned()
}
