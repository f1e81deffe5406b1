//! The daemon, with a receiver and a file as its sink.

use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;

use crate::process::Process;

pub(crate) const TOKEN: &str = "a-token-of-the-benchmark";
pub(crate) const APP: u64 = 1_500_012_345;
/// How long it may take until it is ready.
const READY: Duration = Duration::from_secs(20);

pub(crate) struct Daemon {
    pub(crate) process: Process,
    /// Where it receives.
    pub(crate) address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Daemon {
    /// Starts one that pulls from the cloud at `url`.
    pub(crate) fn start(url: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let path = |name: &str| folder.path().join(name);
        let config = format!(
            "[credentials]\nsecret_id = 'AKIDEMULATOR'\nsecret_key = 'emulator-secret-key'\n\
             [vod]\nendpoint = '{url}'\nsub_app_id = {APP}\n\
             [receive]\nlisten = '127.0.0.1:0'\ntoken = '{TOKEN}'\n\
             [journal]\npath = '{journal}'\n\
             [http]\nlisten = 'off'\n\
             [log]\nlevel = 'info'\nformat = 'json'\n\
             [[sinks]]\nname = 'sink'\ntype = 'jsonl'\npath = '{sink}'\n",
            journal = path("journal.db").display(),
            sink = path("sink.jsonl").display(),
        );
        std::fs::write(path("sprited.toml"), config)?;
        let socket = UnixDatagram::bind(path("notify"))?;
        socket.set_read_timeout(Some(READY))?;
        let process = Process::start(
            Command::new(env!("CARGO_BIN_EXE_sprited"))
                .args(["run", "--config"])
                .arg(path("sprited.toml"))
                .env_clear()
                .env("NOTIFY_SOCKET", path("notify"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(std::fs::File::create(path("log"))?),
        )?;
        let mut message = [0; 256];
        while !message.starts_with(b"READY=1") {
            socket.recv(&mut message).context("sprited is not ready in time")?;
        }
        // Not read any more: messages that find no room are let go.
        drop(socket);
        let log = std::fs::read_to_string(path("log"))?;
        let (_, rest) = log.split_once("\"receive\":\"").context("it receives nothing")?;
        let address = rest.split('"').next().unwrap_or_default().parse()?;
        Ok(Self { process, address, folder })
    }

    /// Events in the file.
    pub(crate) fn delivered(&self) -> anyhow::Result<usize> {
        let text = std::fs::read(self.folder.path().join("sink.jsonl"))?;
        Ok(text.iter().filter(|byte| **byte == b'\n').count())
    }
}
