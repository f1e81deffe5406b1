//! Events handed to a program, one run each.
//!
//! Owns how the program is started (no shell, a small environment, a process group of its own) and
//! what its exit code means. The program never outlives the call that started it, nor the daemon,
//! even if that is killed, unless it gets other rights at its start; what it leaves running of its
//! own will when it ends in time is its own affair.

mod group;
pub mod launcher;
mod process;
mod settings;

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use async_trait::async_trait;
use nix::errno::Errno;
use nix::sys::prctl::get_no_new_privs;
use nix::unistd::{AccessFlags, access, getegid, geteuid};
use tokio::process::Command;
use tokio::task::spawn_blocking;

use self::group::Programs;
use self::launcher::{EX_TEMPFAIL, Token};
use self::process::Run;
pub use self::settings::{ExecSettings, Otherwise};
use super::{Batch, BatchLimits, MAX_REPLY_CHARS, Sink, SinkContext, Verdict, Verdicts};
use crate::event::Event;
use crate::sanitize::{self, KeptEnd};
use crate::secret::{Secret, mask};
use crate::sync::lock;

/// The most characters of an event's type in the environment: the kernel takes no variable
/// beyond 128 KiB, and a type is a short name.
const MAX_TYPE_CHARS: usize = 1024;

const OUTLIVES: &str = "the program runs as another user or group by its set-user-ID or set-group-ID \
                        bit: outside systemd it survives a daemon that is killed, and runs beside \
                        the second delivery";

/// Opens the sink: reads its secrets. Starts nothing.
///
/// # Errors
/// When a secret cannot be read or cannot stand in an environment, or there is no command.
pub async fn open(settings: &ExecSettings, context: &SinkContext) -> anyhow::Result<Exec> {
    anyhow::ensure!(!settings.command.is_empty(), "command is empty");
    let settings = Arc::new(settings.clone());
    let secrets = Mutex::new(read_secrets(&settings).await?);
    let program = settings.command.first().cloned().unwrap_or_default();
    let path = PathBuf::from(&program);
    if spawn_blocking(move || outlives_daemon(&path)).await? {
        tracing::warn!(sink = context.name, program, "{OUTLIVES}");
    }
    Ok(Exec { settings, context: context.clone(), secrets, programs: Arc::default() })
}

/// The sink `exec`.
#[derive(Debug)]
pub struct Exec {
    settings: Arc<ExecSettings>,
    context: SinkContext,
    secrets: Mutex<Secrets>,
    programs: Arc<Programs>,
}

/// The variables that are secrets, by name.
type Secrets = Arc<Vec<(String, Secret)>>;

async fn read_secrets(settings: &Arc<ExecSettings>) -> anyhow::Result<Secrets> {
    let settings = Arc::clone(settings);
    let read = move || {
        let each = settings.env.iter().map(|(name, place)| {
            let secret = place.resolve().with_context(|| format!("env: {name}"))?;
            anyhow::ensure!(!secret.expose().contains('\0'), "env: {name} holds a NUL character");
            Ok((name.clone(), secret))
        });
        each.collect::<anyhow::Result<Vec<_>>>()
    };
    Ok(Arc::new(spawn_blocking(read).await??))
}

impl Exec {
    fn secrets(&self) -> Secrets {
        Arc::clone(&lock(&self.secrets))
    }

    fn program(&self) -> &str {
        // `open` refuses an empty command.
        self.settings.command.first().map_or("", String::as_str)
    }

    fn command(&self, event: &Event, secrets: &Secrets) -> (Command, Token) {
        let ExecSettings { command: words, directory, .. } = &*self.settings;
        let (mut command, token) = launcher::command(&self.context.launcher, directory, words);
        command.env_clear();
        let passed = self.settings.passed();
        command.envs(passed.filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.envs(secrets.iter().map(|(name, secret)| (name, secret.expose())));
        let event_type = event.event_type.replace('\0', "\u{fffd}");
        command
            .env("SPRITED_EVENT_KEY", event.key.to_string())
            .env("SPRITED_EVENT_TYPE", event_type.chars().take(MAX_TYPE_CHARS).collect::<String>())
            .env("SPRITED_SINK", &self.context.name);
        command.envs(event.origin.name().map(|origin| ("SPRITED_EVENT_ORIGIN", origin)));
        (command, token)
    }

    async fn run(&self, event: Arc<Event>) -> Verdict {
        let secrets = self.secrets();
        let mut input = Vec::new();
        event.render(self.context.format, &mut input);
        input.push(b'\n');
        let command = self.command(&event, &secrets);
        let run = process::run(&self.programs, command, &input, self.context.timeout).await;
        match run {
            Ok(run) => self.judge(&event, run, &secrets),
            Err(error) => Verdict::retry(self.cannot_start(&error)),
        }
    }

    fn judge(&self, event: &Event, run: Run, secrets: &Secrets) -> Verdict {
        let hidden: Vec<Secret> = secrets.iter().map(|(_, secret)| secret.clone()).collect();
        let (sink, key) = (&self.context.name, event.key);
        let output = sanitize::one_line(&mask(&run.output, &hidden));
        if !run.output.is_empty() {
            tracing::debug!(sink, %key, output, "output of the program");
        }
        let error = |how: &str| {
            let end = sanitize::truncate(&output, MAX_REPLY_CHARS, KeptEnd::Last);
            let colon = if end.is_empty() { "" } else { ": " };
            format!("{} {how}{colon}{end}", self.program())
        };
        let Some(status) = run.status else {
            let limit = humantime::format_duration(self.context.timeout);
            return Verdict::retry(error(&format!("was killed after {limit}")));
        };
        match (status.code(), self.settings.otherwise) {
            (Some(0), _) => Verdict::Delivered,
            (None | Some(EX_TEMPFAIL), _) | (_, Otherwise::Retry) => {
                Verdict::retry(error(&ended(status)))
            }
            (_, Otherwise::Reject) => Verdict::Reject(error(&ended(status))),
        }
    }

    fn cannot_start(&self, error: &io::Error) -> String {
        let advice = match error.kind() {
            _ if error.raw_os_error() == Some(Errno::ENOEXEC as i32) => {
                " (is it a script without #! and an interpreter?)"
            }
            io::ErrorKind::NotFound => " (do the program, its interpreter and directory exist?)",
            io::ErrorKind::PermissionDenied => " (may this user execute it?)",
            _ => "",
        };
        format!("cannot run {}: {error}{advice}", self.program())
    }
}

fn begin(program: &Path) -> io::Result<Vec<u8>> {
    let mut begin = Vec::new();
    File::open(program)?.take(4).read_to_end(&mut begin)?;
    Ok(begin)
}

/// Whether the kernel forgets at the program's start that it is to be killed with the daemon, as it
/// does where the start gives other rights. Those of file capabilities are not seen here.
fn outlives_daemon(program: &Path) -> bool {
    const SET_USER: u32 = 0o4000;
    const SET_GROUP: u32 = 0o2010;
    let Ok(about) = std::fs::metadata(program) else { return false };
    let has = |bits: u32| about.mode() & bits == bits;
    let as_other_user = has(SET_USER) && about.uid() != geteuid().as_raw();
    let as_other_group = has(SET_GROUP) && about.gid() != getegid().as_raw();
    // Without the right to new rights, as in the unit, the bits say nothing.
    (as_other_user || as_other_group) && !get_no_new_privs().unwrap_or(false)
}

fn ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

#[async_trait]
impl Sink for Exec {
    async fn deliver(&self, batch: &Batch) -> Verdicts {
        batch.one_by_one(|event| self.run(event)).await
    }

    fn limits(&self) -> BatchLimits {
        BatchLimits { max_batch: 1, max_in_flight: self.settings.max_in_flight.get() }
    }

    async fn reopen(&self) -> anyhow::Result<()> {
        let fresh = read_secrets(&self.settings).await?;
        *lock(&self.secrets) = fresh;
        Ok(())
    }

    fn abort(&self) {
        self.programs.abort();
    }

    fn is_local(&self) -> bool {
        true
    }

    /// Looks whether the program could be run, and does not run it: it cannot know that the
    /// event is none.
    async fn probe(&self) -> anyhow::Result<()> {
        let settings = Arc::clone(&self.settings);
        let launcher = self.context.launcher.clone();
        spawn_blocking(move || {
            access(&launcher, AccessFlags::X_OK).with_context(|| {
                let launcher = launcher.display();
                format!("no program can be started without {launcher}: is /proc mounted?")
            })?;
            let program = Path::new(settings.command.first().map_or("", String::as_str));
            let about = std::fs::metadata(program)
                .with_context(|| format!("cannot look at {}", program.display()))?;
            anyhow::ensure!(about.is_file(), "{} is not a file", program.display());
            access(program, AccessFlags::X_OK)
                .with_context(|| format!("may not execute {}", program.display()))?;
            let directory = &settings.directory;
            let about = std::fs::metadata(directory)
                .with_context(|| format!("cannot look at directory {}", directory.display()))?;
            anyhow::ensure!(about.is_dir(), "directory {} is not a folder", directory.display());
            Ok(())
        })
        .await?
    }

    /// Some systems have handlers for files of other kinds.
    async fn warnings(&self) -> Vec<String> {
        let program = PathBuf::from(self.program());
        let looked = spawn_blocking(move || (outlives_daemon(&program), begin(&program))).await;
        let Ok((outlives, begin)) = looked else { return Vec::new() };
        // One that may be executed and not read is none of our business.
        let can_run = begin.map_or(true, |begin| begin.starts_with(b"#!") || begin == b"\x7fELF");
        let mut warnings = Vec::new();
        if !can_run {
            warnings.push(format!(
                "{} is neither a program nor a script with #! and an interpreter; few systems can \
                 run it",
                self.program()
            ));
        }
        if outlives {
            warnings.push(format!("{}: {OUTLIVES}", self.program()));
        }
        warnings
    }
}
