//! What each action does.
//!
//! Owns the parameters of the actions on events, and the fields of their answers.

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::time::Instant;

use super::action::ApiAction;
use super::content::HandleForm;
use super::faults::{EmptyAnswer, FaultKind, MalformedEntry};
use super::members::RequestMembers;
use super::outcome::{Refusal, Success};
use super::queue::{HandOut, MAX_BATCH};
use super::settings::{ReportConfig, ReportMode};
use super::shared::{PullResult, Shared};
use super::sts;
use super::tasks;

/// Performs `action` for a request that came in at `came_in` and sees `clock`.
pub(super) async fn perform(
    shared: &Shared,
    action: ApiAction,
    body: &[u8],
    came_in: DateTime<Utc>,
    clock: DateTime<Utc>,
    fault: Option<&FaultKind>,
) -> Result<Success, Refusal> {
    if matches!(action, ApiAction::AssumeRole | ApiAction::AssumeRoleWithWebIdentity) {
        return sts::perform(shared, action, body, clock);
    }
    let mut members = RequestMembers::read(action, body)?;
    let app = members.app(&shared.settings)?;
    match action {
        ApiAction::PullEvents => {
            members.string("ExtInfo")?;
            members.end(&shared.settings)?;
            match fault {
                Some(FaultKind::Empty(form)) => empty(*form),
                _ => pull(shared, app, came_in).await,
            }
        }
        ApiAction::ConfirmEvents => {
            members.string("ExtInfo")?;
            let event_handles = members.get("EventHandles", "an array of strings")?;
            members.end(&shared.settings)?;
            confirm(shared, app, event_handles)
        }
        ApiAction::DescribeEventsState => {
            members.end(&shared.settings)?;
            let count = shared.visible(app);
            Ok(Success::ok(format!("\"CountOfEventsToPull\":{count},")))
        }
        ApiAction::DescribeTasks => tasks::describe_tasks(shared, app, members, clock),
        ApiAction::DescribeTaskDetail => tasks::describe_task_detail(shared, app, members, clock),
        _ => {
            members.end(&shared.settings)?;
            Ok(Success::ok(event_config(&shared.state().event_config(app))))
        }
    }
}

async fn pull(shared: &Shared, app: u64, came_in: DateTime<Utc>) -> Result<Success, Refusal> {
    let gives_up = Instant::now() + shared.settings.hold;
    loop {
        // Registered before the look, so that no event slips in between.
        let added = shared.added.notified();
        tokio::pin!(added);
        added.as_mut().enable();
        let due = match shared.pull(app, came_in) {
            PullResult::Batch(batch, fault) => {
                return Ok(Success {
                    name: "events",
                    fields: event_set(&batch, fault.as_ref(), &shared.base),
                });
            }
            PullResult::Nothing(due) => due,
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

fn empty(form: EmptyAnswer) -> Result<Success, Refusal> {
    let fields = match form {
        EmptyAnswer::Error => return Err(no_event()),
        EmptyAnswer::Null => "\"EventSet\":null,",
        EmptyAnswer::Absent => "",
        EmptyAnswer::List => "\"EventSet\":[],",
    };
    Ok(Success { name: "empty", fields: fields.into() })
}

fn event_set(batch: &[HandOut], fault: Option<&FaultKind>, base: &str) -> Vec<u8> {
    let mut entries: Vec<Vec<u8>> = Vec::with_capacity(batch.len() + 1);
    let shared_handle = matches!(fault, Some(FaultKind::SharedHandle));
    for (index, out) in batch.iter().enumerate() {
        let handle = if shared_handle && index == 1 { batch[0].handle } else { out.handle };
        let handle = handle.to_string();
        let handle_form = match fault {
            Some(FaultKind::Malformed(how)) if index == 0 => match how {
                MalformedEntry::NoHandle => HandleForm::Nothing,
                MalformedEntry::NullHandle => HandleForm::Json("null"),
                MalformedEntry::NumberHandle => HandleForm::Json("17"),
                _ => HandleForm::Handle(&handle),
            },
            _ => HandleForm::Handle(&handle),
        };
        let mut entry = Vec::new();
        out.content.write(handle_form, base, &mut entry);
        entries.push(entry);
    }
    let extra: Option<Vec<u8>> = match fault {
        Some(FaultKind::Duplicate) => entries.first().cloned(),
        Some(FaultKind::Malformed(MalformedEntry::Null)) => Some(b"null".to_vec()),
        Some(FaultKind::Malformed(MalformedEntry::Number)) => Some(b"17".to_vec()),
        Some(FaultKind::Malformed(MalformedEntry::String)) => Some(b"\"text\"".to_vec()),
        Some(FaultKind::Malformed(MalformedEntry::InvalidUtf8)) => Some(b"\"\xff\xfe\"".to_vec()),
        _ => None,
    };
    if matches!(fault, Some(FaultKind::Reversed)) {
        entries.reverse();
    }
    // In front, so that a reader who stops at it loses all the rest.
    entries.splice(0..0, extra);
    let mut fields = b"\"EventSet\":[".to_vec();
    fields.extend_from_slice(&entries.join(&b','));
    fields.extend_from_slice(b"],");
    fields
}

fn confirm(shared: &Shared, app: u64, handles: Option<Vec<String>>) -> Result<Success, Refusal> {
    let handles = handles
        .ok_or_else(|| Refusal::new("MissingParameter", "the parameter EventHandles is missing"))?;
    if handles.is_empty() || handles.len() > MAX_BATCH {
        return Err(Refusal::new(
            "InvalidParameterValue",
            format!("EventHandles must be from 1 to {MAX_BATCH}"),
        ));
    }
    let outcome = shared.confirm(app, &handles);
    match outcome.refused.first() {
        None => Ok(Success::ok(String::new())),
        Some(_) if shared.settings.lenient.pass_over => Ok(Success::ok(String::new())),
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

fn event_config(config: &ReportConfig) -> String {
    let switch = |on| if on { "ON" } else { "OFF" };
    format!(
        "\"Mode\":\"{}\",\"NotificationUrl\":{},\"UploadMediaCompleteEventSwitch\":\"{}\",\
         \"DeleteMediaCompleteEventSwitch\":\"{}\",\"PersistenceCompleteEventSwitch\":\"{}\",",
        if config.mode == ReportMode::Pull { "PULL" } else { "PUSH" },
        Value::from(config.notification_url.as_str()),
        switch(config.upload),
        switch(config.delete),
        switch(config.persistence),
    )
}
