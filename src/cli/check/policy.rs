//! The policy that lets a key do what the daemon needs, and nothing else.

use serde::Serialize;

use crate::event::AppId;
use crate::vod::Action;

/// What stands in the place of an ID that is not known here.
const ROOT_ACCOUNT: &str = "ROOT_ACCOUNT_ID";
const APPLICATION: &str = "APPLICATION_ID";

/// The daemon needs the first two; the others are for `check`, and for the count of what waits.
const ACTIONS: [Action; 4] = [
    Action::PullEvents,
    Action::ConfirmEvents,
    Action::DescribeEventsState,
    Action::DescribeEventConfig,
];
/// What `[reconcile]` needs as well.
const OF_TASKS: [Action; 2] = [Action::DescribeTasks, Action::DescribeTaskDetail];

#[derive(Serialize)]
struct Policy {
    version: &'static str,
    statement: [Statement; 1],
}

#[derive(Serialize)]
struct Statement {
    effect: &'static str,
    action: Vec<String>,
    resource: Vec<String>,
}

/// The policy as Cloud Access Management takes it, in JSON with a line end; for a daemon that
/// `reconciles`, or not.
pub(super) fn text(root_account: Option<u64>, apps: &[AppId], reconciles: bool) -> String {
    let of_tasks = OF_TASKS.iter().filter(|_| reconciles);
    let known =
        |id: Option<u64>, otherwise: &str| id.map_or(otherwise.to_owned(), |id| id.to_string());
    let account = known(root_account, ROOT_ACCOUNT);
    let resource = |app: &AppId| {
        let application = known(Some(app.0).filter(|id| *id != 0), APPLICATION);
        format!("qcs::vod::uin/{account}:subAppId/{application}")
    };
    let policy = Policy {
        version: "2.0",
        statement: [Statement {
            effect: "allow",
            action: ACTIONS.iter().chain(of_tasks).map(|of| format!("name/vod:{of}")).collect(),
            resource: apps.iter().map(resource).collect(),
        }],
    };
    let mut text = serde_json::to_string_pretty(&policy).expect("strings can be written");
    text.push('\n');
    text
}

/// What is still to be filled in, for the operator.
pub(super) fn blanks(root_account: Option<u64>, apps: &[AppId]) -> Vec<String> {
    let mut blanks = Vec::new();
    if root_account.is_none() {
        blanks.push(format!(
            "replace {ROOT_ACCOUNT} by the ID of the root account, or pass it: --policy=ID"
        ));
    }
    if apps.contains(&AppId(0)) {
        blanks.push(format!(
            "replace {APPLICATION} by the ID of the primary application, since [vod] names none"
        ));
    }
    blanks
}
