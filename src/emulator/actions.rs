//! What each action does.
//!
//! Owns the actions' parameters and the fields of their answers.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::content::Under;
use super::queue::{BATCH, HandOut};
use super::refusal::Refusal;
use super::shared::{Pulled, Shared};
use super::{Action, Empty, EventConfig, Kind, Malformed, sts};

/// The success of an action.
#[derive(Debug)]
pub(super) struct Outcome {
    /// How the ledger counts it.
    pub(super) name: &'static str,
    /// The members of the answer's Response, each followed by a comma.
    pub(super) fields: Vec<u8>,
}

/// What is in the body of a request.
struct Parameters {
    app: u64,
    event_handles: Option<Vec<String>>,
}

/// Performs `action` for a request that came in at `came_in` and sees `clock`.
pub(super) async fn perform(
    shared: &Shared,
    action: Action,
    body: &[u8],
    came_in: DateTime<Utc>,
    clock: DateTime<Utc>,
    fault: Option<&Kind>,
) -> Result<Outcome, Refusal> {
    if matches!(action, Action::AssumeRole | Action::AssumeRoleWithWebIdentity) {
        return sts::perform(shared, action, body, clock);
    }
    let Parameters { app, event_handles } = Parameters::read(shared, action, body)?;
    match action {
        Action::PullEvents => match fault {
            Some(Kind::Empty(form)) => empty(*form),
            _ => pull(shared, app, came_in).await,
        },
        Action::ConfirmEvents => confirm(shared, app, event_handles),
        Action::DescribeEventsState => {
            let count = shared.visible(app);
            Ok(Outcome::ok(format!("\"CountOfEventsToPull\":{count},")))
        }
        _ => Ok(Outcome::ok(event_config(&shared.state().event_config(app)))),
    }
}

impl Outcome {
    pub(super) fn ok(fields: String) -> Self {
        Self { name: "ok", fields: fields.into_bytes() }
    }
}

impl Parameters {
    fn read(shared: &Shared, action: Action, body: &[u8]) -> Result<Self, Refusal> {
        let body: Map<String, Value> = serde_json::from_slice(body).map_err(|_| {
            Refusal::new("InvalidParameter", "the body must be a JSON object, in UTF-8")
        })?;
        let wrong = |name, kind| {
            Refusal::new("InvalidParameter", format!("the parameter {name} must be {kind}"))
        };
        let mut event_handles = None;
        let mut sub_app_id = None;
        for (name, value) in body {
            match (name.as_str(), action) {
                _ if value.is_null() => {}
                ("SubAppId", _) => {
                    let id = value.as_u64().ok_or_else(|| wrong("SubAppId", "an integer"))?;
                    sub_app_id = Some(id);
                }
                ("ExtInfo", Action::PullEvents | Action::ConfirmEvents) => {
                    if !value.is_string() {
                        return Err(wrong("ExtInfo", "a string"));
                    }
                }
                ("EventHandles", Action::ConfirmEvents) => {
                    let handles = serde_json::from_value(value)
                        .map_err(|_| wrong("EventHandles", "an array of strings"))?;
                    event_handles = Some(handles);
                }
                _ if shared.settings.lenient.any_member => {}
                _ => {
                    return Err(Refusal::new(
                        "UnknownParameter",
                        format!("there is no parameter {name} in {}", action.name()),
                    ));
                }
            }
        }
        // The real code, for a missing and for a wrong one, is not known.
        let app = shared.settings.app(sub_app_id).ok_or_else(|| {
            Refusal::new(
                shared.settings.unknown_app_code.clone(),
                "the SubAppId is not one of this emulator",
            )
        })?;
        Ok(Self { app, event_handles })
    }
}

async fn pull(shared: &Shared, app: u64, came_in: DateTime<Utc>) -> Result<Outcome, Refusal> {
    let gives_up = Instant::now() + shared.settings.hold;
    loop {
        // Registered before the look, so that no event slips in between.
        let added = shared.added.notified();
        tokio::pin!(added);
        added.as_mut().enable();
        let due = match shared.pull(app, came_in) {
            Pulled::Batch(batch, fault) => {
                return Ok(Outcome {
                    name: "events",
                    fields: event_set(&batch, fault.as_ref(), &shared.base),
                });
            }
            Pulled::Nothing(due) => due,
        };
        let now = Instant::now();
        if now >= gives_up {
            return empty(shared.settings.empty);
        }
        let next_look = due.map_or(gives_up, |due| gives_up.min(now + due));
        let _waits = shared.pull_waits();
        tokio::select! {
            () = added => {}
            () = tokio::time::sleep_until(next_look) => {}
            () = shared.stop.cancelled() => return empty(shared.settings.empty),
        }
    }
}

/// The refusal that stands for an empty queue.
pub(super) fn no_event() -> Refusal {
    Refusal::new("ResourceNotFound", "no event")
}

fn empty(form: Empty) -> Result<Outcome, Refusal> {
    let fields = match form {
        Empty::Error => return Err(no_event()),
        Empty::Null => "\"EventSet\":null,",
        Empty::Absent => "",
        Empty::List => "\"EventSet\":[],",
    };
    Ok(Outcome { name: "empty", fields: fields.into() })
}

fn event_set(batch: &[HandOut], fault: Option<&Kind>, base: &str) -> Vec<u8> {
    let mut entries: Vec<Vec<u8>> = Vec::with_capacity(batch.len() + 1);
    let shared_handle = matches!(fault, Some(Kind::SharedHandle));
    for (index, out) in batch.iter().enumerate() {
        let handle = if shared_handle && index == 1 { batch[0].handle } else { out.handle };
        let handle = handle.to_string();
        let under = match fault {
            Some(Kind::Malformed(how)) if index == 0 => match how {
                Malformed::NoHandle => Under::Nothing,
                Malformed::NullHandle => Under::Json("null"),
                Malformed::NumberHandle => Under::Json("17"),
                _ => Under::Handle(&handle),
            },
            _ => Under::Handle(&handle),
        };
        let mut entry = Vec::new();
        out.content.write(under, base, &mut entry);
        entries.push(entry);
    }
    let extra: Option<Vec<u8>> = match fault {
        Some(Kind::Duplicate) => entries.first().cloned(),
        Some(Kind::Malformed(Malformed::Null)) => Some(b"null".to_vec()),
        Some(Kind::Malformed(Malformed::Number)) => Some(b"17".to_vec()),
        Some(Kind::Malformed(Malformed::String)) => Some(b"\"text\"".to_vec()),
        Some(Kind::Malformed(Malformed::InvalidUtf8)) => Some(b"\"\xff\xfe\"".to_vec()),
        _ => None,
    };
    if matches!(fault, Some(Kind::Reversed)) {
        entries.reverse();
    }
    // In front, so that a reader who stops at it loses all the rest.
    entries.splice(0..0, extra);
    let mut fields = b"\"EventSet\":[".to_vec();
    fields.extend_from_slice(&entries.join(&b','));
    fields.extend_from_slice(b"],");
    fields
}

fn confirm(shared: &Shared, app: u64, handles: Option<Vec<String>>) -> Result<Outcome, Refusal> {
    let handles = handles
        .ok_or_else(|| Refusal::new("MissingParameter", "the parameter EventHandles is missing"))?;
    if handles.is_empty() || handles.len() > BATCH {
        return Err(Refusal::new(
            "InvalidParameterValue",
            format!("EventHandles must be from 1 to {BATCH}"),
        ));
    }
    let outcome = shared.confirm(app, &handles);
    match outcome.refused.first() {
        None => Ok(Outcome::ok(String::new())),
        Some(_) if shared.settings.lenient.pass_over => Ok(Outcome::ok(String::new())),
        // The service's message would not say which one, or why.
        Some(refused) => Err(Refusal::new(
            shared.settings.refusal_code.clone(),
            format!(
                "{} of {} event handles are not valid, the first for this: {:?}",
                outcome.refused.len(),
                handles.len(),
                refused.reason
            ),
        )),
    }
}

fn event_config(config: &EventConfig) -> String {
    let switch = |on| if on { "ON" } else { "OFF" };
    format!(
        "\"Mode\":\"{}\",\"NotificationUrl\":{},\"UploadMediaCompleteEventSwitch\":\"{}\",\
         \"DeleteMediaCompleteEventSwitch\":\"{}\",\"PersistenceCompleteEventSwitch\":\"{}\",",
        config.mode.name(),
        Value::from(config.notification_url.as_str()),
        switch(config.upload),
        switch(config.delete),
        switch(config.persistence),
    )
}
