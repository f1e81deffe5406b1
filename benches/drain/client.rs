//! Who empties the queue.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::process::Process;

/// How long sprited may take until it is ready.
const READY: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Sprited,
    Floor,
    DurableFloor,
    Sdk,
}

impl Who {
    pub(crate) const ALL: [Self; 4] = [Self::Sprited, Self::Floor, Self::DurableFloor, Self::Sdk];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sprited => "sprited",
            Self::Floor => "floor",
            Self::DurableFloor => "durable floor",
            Self::Sdk => "Python SDK loop",
        }
    }
}

/// How clients are set up.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// Calls of the floors in flight.
    pub(crate) workers: usize,
    /// Requests a second.
    pub(crate) rate: u32,
    /// The URL of a webhook, where sprited is to deliver to one.
    pub(crate) webhook: Option<String>,
}

fn python() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-python/bin/python")
}

/// Whether the official SDK can be used.
pub(crate) fn has_sdk() -> bool {
    let import = ["-c", "import tencentcloud.vod.v20180717.vod_client"];
    Command::new(python()).args(import).output().is_ok_and(|output| output.status.success())
}

/// What events are written to in `folder`, whoever does.
pub(crate) fn sink(folder: &Path) -> PathBuf {
    folder.join("sink.jsonl")
}

/// Starts a client of the cloud at `url` that works in `folder`.
pub(crate) fn start(who: Who, url: &str, folder: &Path, setup: &Setup) -> anyhow::Result<Process> {
    let mut command = match who {
        Who::Sprited => return Ok(start_sprited(url, folder, setup)?.0),
        Who::Floor | Who::DurableFloor => {
            let mut command = Command::new(std::env::current_exe()?);
            let (workers, rate) = (setup.workers.to_string(), setup.rate.to_string());
            command.args(["--as-floor", url, &workers, &rate]);
            if who == Who::DurableFloor {
                command.arg(sink(folder));
            }
            command
        }
        Who::Sdk => {
            let mut command = Command::new(python());
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/drain/sdk_loop.py");
            command.arg(script).arg(url.trim_start_matches("http://")).arg(sink(folder));
            command
        }
    };
    Process::start(command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()))
}

/// Starts sprited and tells how long it took until it was ready.
pub(crate) fn start_sprited(
    url: &str,
    folder: &Path,
    setup: &Setup,
) -> anyhow::Result<(Process, Duration)> {
    let sink = match &setup.webhook {
        Some(url) => format!("type = 'webhook'\nurl = '{url}'"),
        None => format!("type = 'jsonl'\npath = '{}'", sink(folder).display()),
    };
    // Nothing is old enough to be pruned: that is measured by itself, and a start is to find all.
    let config = format!(
        "[credentials]\nsecret_id = 'AKIDEMULATOR'\nsecret_key = 'emulator-secret-key'\n\
         [vod]\nendpoint = '{url}'\nsub_app_id = 1500012345\n\
         [poll]\nmax_requests_per_second = {rate}\n\
         [journal]\npath = '{journal}'\nretention = '3650d'\n\
         [http]\nlisten = '127.0.0.1:0'\n\
         [log]\nlevel = 'info'\nformat = 'logfmt'\n\
         [[sinks]]\nname = 'sink'\n{sink}\n",
        rate = setup.rate,
        journal = folder.join("journal.db").display(),
    );
    let file = folder.join("sprited.toml");
    std::fs::write(&file, config)?;
    let notify = folder.join("notify");
    let socket = UnixDatagram::bind(&notify)?;
    socket.set_read_timeout(Some(READY))?;
    let start = Instant::now();
    let process = Process::start(
        Command::new(env!("CARGO_BIN_EXE_sprited"))
            .args(["run", "--config"])
            .arg(&file)
            .env_clear()
            .env("NOTIFY_SOCKET", &notify)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.join("log"))?),
    )?;
    let mut message = [0; 256];
    loop {
        let length = socket.recv(&mut message).context("sprited is not ready in time")?;
        if message[..length].starts_with(b"READY=1") {
            // The next start binds it again.
            std::fs::remove_file(&notify)?;
            return Ok((process, start.elapsed()));
        }
    }
}
