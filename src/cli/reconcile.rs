//! `sprited reconcile`: which finished tasks the journal has no event of.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::exit::{Exit, answer};
use super::moment::parse_moment;
use super::open_journal::{self, CliError, ConfigArg};
use super::process;
use crate::config::Config;
use crate::event::{AppId, ImageSprite, Wanted};
use crate::identity;
use crate::ingest::Ingest;
use crate::journal::{
    Closing, FeedReceiver, Journal, JournalReader, OpenError, Route, RouteAfter, feed,
};
use crate::metrics::{Metrics, Times};
use crate::reconcile::{
    Comparison, KnownTasks, MAX_REACH, MissingEvents, ReconcileError, TaskFinding, TaskOutcome,
    TaskRequests, Window,
};
use crate::sanitize::one_line;
use crate::units::counted;
use crate::vod::{Advice, Client, VodError, credentials};

/// How far back it looks where that is not said.
const DEFAULT_SINCE: Duration = Duration::from_secs(24 * 3600);
const MAX_HOURS: u64 = MAX_REACH.as_secs() / 3600;

/// Compare the cloud's finished tasks with the journal; report those whose event is missing.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It lists the finished tasks that may have made image sprites, and asks for the details of those
that the journal has no end of. Without --since it looks at the last 24 hours, but not at the time
before the daemon first ran with this journal and application: another journal may have had those
events. Tasks that finished less
than [reconcile] settle ago are left out. It needs the actions DescribeTasks and DescribeTaskDetail.

known: the journal has the event, or each sprite of the task. missing: it has not. unwanted: it has
not, and no sink wants it. silent: the task was started without events (notify mode None). aborted:
the task was aborted. gone: the cloud lists the task and does not describe it. In reliable-callback
mode, an event that still waits in the queue counts as missing.

--add adds the missing events, which their sinks get at the daemon's next start. The daemon must be
stopped; while it runs, [reconcile] every = \"15m\" and a reload do the same. In reliable-callback
mode the queue must be empty: let the daemon pull the events first.

Exit code: 0 if nothing is missing, 1 if something is, or the cloud did not answer; 77 if it refuses
the credentials; 74 if the journal cannot be used.

With --json, the answer has applications, of each app, from, until, waiting (events in the queue),
counts by outcome, and tasks that are neither known nor unwanted, of each task_id, type, finished,
outcome, file_id, sprites.

Examples:
  sprited reconcile
  sprited reconcile --since 70h --json
  sprited reconcile --since 2026-01-31T12:00:00Z --add        while the daemon is stopped"
)]
pub(super) struct ReconcileArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Look at tasks that finished at or after this moment, 70 hours ago at most; also at those
    /// from before the daemon first ran with this journal and application.
    #[arg(long, value_name = "MOMENT", value_parser = parse_moment)]
    since: Option<DateTime<Utc>>,
    /// Add the missing events; the daemon must be stopped.
    #[arg(long)]
    add: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ReconcileArgs) -> Exit {
    open_journal::end(reconcile(args))
}

fn reconcile(args: &ReconcileArgs) -> Result<Exit, CliError> {
    let now = Utc::now();
    if args.since.is_some_and(|since| since < now - delta(MAX_REACH)) {
        let why = format!(
            "--since: the cloud lists the tasks of three days; expected {MAX_HOURS}h at most"
        );
        return Err(CliError::because(Exit::Usage, why));
    }
    let config = args.config.load()?;
    // What only root may read is read first; then root is the journal's owner.
    let provider = credentials::provider(config.credentials.as_ref())
        .map_err(|error| CliError::because(Exit::Credentials, error))?;
    identity::become_owner(&config.journal.path)?;
    let client = Client::new(&config.vod, provider)
        .map_err(|error| CliError::because(Exit::Configuration, error))?;
    let work = async {
        let target = if args.add { Some(Target::open(&config).await?) } else { None };
        let requests = TaskRequests::new(config.reconcile.max_requests_per_second);
        let looks = async {
            let mut reports = Vec::new();
            for app in config.vod.apps() {
                let client = client.with_app(app);
                let ingest = target.as_ref().map(|target| &target.ingest);
                reports.push(look(args, &config, &client, &requests, ingest, now).await?);
            }
            Ok::<_, CliError>(reports)
        };
        let reports = looks.await;
        // Also after a failure: what was added before it stays.
        if let Some(target) = target {
            target.close().await;
        }
        reports
    };
    let reports = process::block_on(work)
        .map_err(|error| CliError::because(Exit::Failure, format_args!("{error:#}")))??;
    let is_missing = reports.iter().any(|report| report.count(TaskOutcome::Missing) > 0);
    let text = if args.json {
        let answer = Answer { applications: &reports };
        serde_json::to_string(&answer).map_err(std::io::Error::from)? + "\n"
    } else {
        text(&reports)
    };
    Ok(answer(text.as_bytes(), if is_missing { Exit::Failure } else { Exit::Success }))
}

fn delta(duration: Duration) -> TimeDelta {
    // Neither is so long.
    TimeDelta::from_std(duration).unwrap_or_default()
}

/// The journal that missing events are added to.
struct Target {
    ingest: Ingest,
    closing: Closing,
    /// What is published to them is read from the journal later.
    _feeds: Vec<FeedReceiver>,
}

impl Target {
    /// Opens the journal as a daemon does: there is none beside it then.
    async fn open(config: &Config) -> Result<Self, CliError> {
        // Only a daemon makes one.
        drop(JournalReader::open(&config.journal.path)?);
        let (journal, closing) = Journal::open(&config.journal).map_err(|error| match error {
            OpenError::InUse { .. } => CliError::because(
                Exit::Journal,
                "a daemon has the journal, and only the daemon adds events then: set [reconcile] \
                 every in its configuration and reload it, or stop it for this command",
            ),
            error => error.into(),
        })?;
        let names = config.sinks.iter().map(|sink| sink.name.clone()).collect();
        let ids = journal.register(names).await?;
        let in_use = || config.sinks.iter().map(|sink| sink.name.as_str()).zip(ids.iter().copied());
        let (mut routes, mut feeds) = (Vec::new(), Vec::new());
        for (sink, id) in config.sinks.iter().zip(&ids) {
            let (feed, receiver) = feed();
            let after = sink.after.as_ref();
            let after = after.and_then(|after| RouteAfter::find(&after.sink, after.on, in_use()));
            routes.push(Route { sink: *id, wanted: sink.events.clone(), feed, after });
            feeds.push(receiver);
        }
        journal.set_routes(routes, Utc::now()).await?;
        // Nothing that is added has a handle: no lease ever comes.
        let (leases, _) = mpsc::channel(1);
        let metrics = Metrics::new(&Times::new([1.0]));
        Ok(Self { ingest: Ingest::new(journal, leases, metrics), closing, _feeds: feeds })
    }

    async fn close(self) {
        let Self { ingest, closing, _feeds } = self;
        drop(ingest);
        closing.wait().await;
    }
}

/// What was found of one application.
#[derive(Debug, Serialize)]
struct Report {
    app: u64,
    /// Null where there was nothing to look at.
    from: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    /// Events that wait in the queue, by the cloud's own count.
    waiting: Option<u64>,
    counts: BTreeMap<&'static str, u64>,
    tasks: Vec<TaskLine>,
}

#[derive(Debug, Serialize)]
struct TaskLine {
    task_id: String,
    r#type: String,
    finished: Option<DateTime<Utc>>,
    outcome: &'static str,
    file_id: Option<String>,
    sprites: Vec<ImageSprite>,
}

#[derive(Serialize)]
struct Answer<'a> {
    applications: &'a [Report],
}

impl Report {
    fn count(&self, outcome: TaskOutcome) -> u64 {
        self.counts.get(outcome.name()).copied().unwrap_or_default()
    }

    fn add(&mut self, finding: TaskFinding) {
        let outcome = finding.outcome;
        *self.counts.entry(outcome.name()).or_default() += 1;
        if matches!(outcome, TaskOutcome::Known | TaskOutcome::Unwanted) {
            return;
        }
        let TaskFinding { task, file_id, sprites, .. } = finding;
        self.tasks.push(TaskLine {
            task_id: task.task_id,
            r#type: task.task_type,
            finished: task.finished,
            outcome: outcome.name(),
            file_id,
            sprites,
        });
    }
}

async fn look(
    args: &ReconcileArgs,
    config: &Config,
    client: &Client,
    requests: &TaskRequests,
    ingest: Option<&Ingest>,
    now: DateTime<Utc>,
) -> Result<Report, CliError> {
    let app = client.app();
    let counts = TaskOutcome::ALL.map(|outcome| (outcome.name(), 0)).into();
    let mut report =
        Report { app: app.0, from: None, until: None, waiting: None, counts, tasks: Vec::new() };
    if config.vod.pull {
        // Not every key may ask.
        let waiting = client.events_state().await;
        if ingest.is_some() {
            refuse_while_events_wait(app, &waiting)?;
        }
        report.waiting = waiting.ok();
    }
    // By the cloud's clock, as far as an answer tells it.
    let difference = client.ask_clock_difference().await;
    let now = now + difference;
    let begun = JournalReader::open(&config.journal.path)?.begun(app)?.unwrap_or(now);
    let since = args.since.unwrap_or_else(|| (now - delta(DEFAULT_SINCE)).max(begun));
    let Some(window) = Window::since(&config.reconcile, now, since) else { return Ok(report) };
    (report.from, report.until) = (Some(window.from), Some(window.until));
    let known = read_known(&config.journal.path, app, window.from - difference.abs()).await?;
    let wanted: Vec<Wanted> = config.sinks.iter().map(|sink| sink.events.clone()).collect();
    let stop = CancellationToken::new();
    let missing = match ingest {
        Some(ingest) => MissingEvents::Add { ingest, app_name: Some(app), stop: &stop },
        None => MissingEvents::Report,
    };
    let bar = bar(&window);
    let comparison = Comparison { client, requests, wanted: &wanted, missing };
    let compared = comparison.run(&window, known, |finding| {
        let reached = finding.task.finished.map(|at| (at - window.from).num_seconds());
        bar.set_position(reached.and_then(|at| u64::try_from(at).ok()).unwrap_or_default());
        bar.set_message(counted(report.tasks.len() as u64, "task"));
        report.add(finding);
    });
    let compared = compared.await;
    bar.finish_and_clear();
    compared.map_err(|error| CliError::because(exit_of(&error), error))?;
    Ok(report)
}

/// An event in the queue is not missing: were it added, it would be there under another time and
/// origin before it is pulled.
fn refuse_while_events_wait(app: AppId, waiting: &Result<u64, VodError>) -> Result<(), CliError> {
    let why = match waiting {
        Ok(0) => return Ok(()),
        Ok(waiting) => format!(
            "application {app}: nothing is added while {} in the queue: start the daemon, which \
             pulls them, stop it once the queue is empty, and repeat this command",
            if *waiting == 1 {
                "1 event waits".to_owned()
            } else {
                format!("{waiting} events wait")
            }
        ),
        Err(error) => format!(
            "application {app}: nothing is added while it is unknown whether events wait in the \
             queue: {error}"
        ),
    };
    Err(CliError::because(Exit::Failure, why))
}

async fn read_known(path: &Path, app: AppId, from: DateTime<Utc>) -> Result<KnownTasks, CliError> {
    let path = path.to_owned();
    let read = spawn_blocking(move || {
        let reader = JournalReader::open(&path)?;
        Ok(KnownTasks::read(reader, app, from)?)
    });
    read.await.map_err(|error| CliError::because(Exit::Failure, error))?
}

/// Shown if standard error is a terminal: how far the list has come in time.
fn bar(window: &Window) -> ProgressBar {
    let length = u64::try_from((window.until - window.from).num_seconds()).unwrap_or_default();
    let style = ProgressStyle::with_template("{wide_bar} {percent} % {eta}, {msg} to show")
        .expect("the template is well-formed");
    ProgressBar::new(length).with_style(style)
}

fn exit_of(error: &ReconcileError) -> Exit {
    match error {
        ReconcileError::Cloud(error) | ReconcileError::Undecided { error, .. } => of_cloud(error),
        ReconcileError::Journal(_) => Exit::Journal,
        ReconcileError::Stopped => Exit::Failure,
    }
}

fn of_cloud(error: &VodError) -> Exit {
    if error.advice() == Advice::Credentials { Exit::Credentials } else { Exit::Failure }
}

fn text(reports: &[Report]) -> String {
    let shown = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut text = String::new();
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["OUTCOME", "FINISHED", "APP", "TASK", "FILE", "TEMPLATES"]);
    for (report, task) in reports.iter().flat_map(|of| of.tasks.iter().map(move |task| (of, task)))
    {
        let templates = task.sprites.iter().filter(|sprite| sprite.is_finished());
        let templates: Vec<_> =
            templates.filter_map(|sprite| Some(sprite.definition?.to_string())).collect();
        table.add_row([
            task.outcome.to_owned(),
            task.finished.map_or_else(|| "-".to_owned(), shown),
            report.app.to_string(),
            one_line(&task.task_id),
            task.file_id.as_deref().map_or_else(|| "-".to_owned(), one_line),
            templates.join(", "),
        ]);
    }
    if table.row_count() > 0 {
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        text.push_str(&format!("{}\n\n", table.trim_fmt()));
    }
    for report in reports {
        let (Some(from), Some(until)) = (report.from, report.until) else {
            text.push_str(&format!("application {}: nothing to compare yet\n", report.app));
            continue;
        };
        let counts =
            TaskOutcome::ALL.iter().map(|outcome| (outcome.name(), report.count(*outcome)));
        let counts: Vec<_> = counts
            .filter(|(name, count)| *count > 0 || ["known", "missing"].contains(name))
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        text.push_str(&format!(
            "application {}, finished from {} to {}: {}\n",
            report.app,
            shown(from),
            shown(until),
            counts.join(", ")
        ));
        if let Some(waiting) = report.waiting.filter(|waiting| *waiting > 0) {
            text.push_str(&format!(
                "{} in the queue, by the cloud's own count: their tasks count as missing until \
                 they are pulled\n",
                counted(waiting, "event")
            ));
        }
    }
    text
}
