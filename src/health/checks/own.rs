//! What the daemon itself needs: its journal, its tasks, and time to stop.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::joined;
use crate::format::foreign;
use crate::health::check::HealthCheck;
use crate::health::daemon_health::DaemonHealth;
use crate::journal::JournalError;

/// A commit takes milliseconds; one that takes longer than this shows a problem of the disk.
pub(super) const SLOW_COMMIT: Duration = Duration::from_secs(1);
/// Under way for longer, it may never end.
const MAX_COMMIT: Duration = Duration::from_secs(30);

impl DaemonHealth {
    /// `unreadable` is why the journal cannot be read, if it cannot.
    pub(in crate::health) fn own_checks(
        &self,
        unreadable: Option<&str>,
        _now: DateTime<Utc>,
    ) -> Vec<HealthCheck> {
        let stalled = self.stalled_tasks();
        let tasks = match stalled.as_slice() {
            [] => HealthCheck::fine("tasks", "ok"),
            names => {
                let verb = if names.len() == 1 { "does" } else { "do" };
                let detail = format!("{} {verb} not respond", joined(names, ", "));
                HealthCheck::not_ready("tasks", detail)
                    .remedy("systemd restarts the daemon; without it: restart it")
            }
        };
        vec![
            journal(self.journal().error(), unreadable),
            commit(self.journal().committing()),
            tasks,
            draining(self.is_draining()),
        ]
    }
}

fn journal(error: Option<JournalError>, unreadable: Option<&str>) -> HealthCheck {
    match (error, unreadable) {
        (Some(error), _) => {
            let is_final = error.is_final();
            let detail = foreign(&error.to_string());
            let check = HealthCheck::not_ready("journal", detail);
            if is_final { check } else { check.briefly("the journal takes no events") }
        }
        (None, Some(why)) => HealthCheck::degraded(
            "journal",
            format!("the journal cannot be read: {}", foreign(why)),
        ),
        (None, None) => HealthCheck::fine("journal", "ok"),
    }
}

fn commit(age: Option<Duration>) -> HealthCheck {
    let seconds = age.map(|age| age.as_secs_f64());
    let Some(age) = age else { return HealthCheck::fine("commit", "no commit under way") };
    let (lasted, most) = (age.as_secs_f64(), MAX_COMMIT.as_secs());
    let detail = format!("commit under way for {lasted:.1} s, at most {most} s");
    let remedy = "look at the disk of the journal: it does not answer in time";
    match age {
        age if age > MAX_COMMIT => HealthCheck::not_ready("commit", detail).remedy(remedy),
        age if age > SLOW_COMMIT => HealthCheck::degraded("commit", detail).remedy(remedy),
        _ => HealthCheck::fine("commit", detail),
    }
    .aged(seconds)
}

fn draining(is_draining: bool) -> HealthCheck {
    match is_draining {
        true => HealthCheck::not_ready("draining", "the daemon is stopping"),
        false => HealthCheck::fine("draining", "no"),
    }
}
