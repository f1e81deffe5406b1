//! The daemon, with a file as a sink, a mirror, or both.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;

use crate::process::Process;

/// How long it may take until it is ready.
const READY: Duration = Duration::from_secs(20);

pub(crate) struct Daemon {
    pub(crate) process: Process,
    folder: tempfile::TempDir,
}

/// Which sinks it has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sinks {
    pub(crate) file: bool,
    /// Deliveries of the mirror in flight.
    pub(crate) mirror: Option<usize>,
}

impl Daemon {
    /// Makes the folder of one that is started later.
    pub(crate) fn folder() -> anyhow::Result<tempfile::TempDir> {
        Ok(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?)
    }

    /// What the file sink writes to.
    pub(crate) fn file(folder: &Path) -> PathBuf {
        folder.join("sink.jsonl")
    }

    /// Starts one in `folder` that pulls from the cloud at `url`, which has the sprites as well.
    pub(crate) fn start(
        folder: tempfile::TempDir,
        url: &str,
        sinks: Sinks,
    ) -> anyhow::Result<Self> {
        let path = |name: &str| folder.path().join(name);
        let mut config = format!(
            "[credentials]\nsecret_id = 'AKIDEMULATOR'\nsecret_key = 'emulator-secret-key'\n\
             [vod]\nendpoint = '{url}'\nsub_app_id = 1500012345\n\
             [journal]\npath = '{journal}'\n\
             [http]\nlisten = 'off'\n\
             [log]\nlevel = 'info'\nformat = 'logfmt'\n",
            journal = path("journal.db").display(),
        );
        if sinks.file {
            let file = Self::file(folder.path());
            config +=
                &format!("[[sinks]]\nname = 'file'\ntype = 'jsonl'\npath = '{}'\n", file.display());
        }
        if let Some(in_flight) = sinks.mirror {
            let store = path("mirror");
            std::fs::create_dir(&store)?;
            config += &format!(
                "[[sinks]]\nname = 'cdn'\ntype = 'mirror'\nstore = 'folder'\npath = '{store}'\n\
                 public_url = 'https://img.example.com/sprites'\nmax_in_flight = {in_flight}\n\
                 timeout = '60s'\nhosts = ['{host}']\n",
                store = store.display(),
                host = url.trim_start_matches("http://"),
            );
        }
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
        let mut daemon = Self { process, folder };
        let mut message = [0; 256];
        while !message.starts_with(b"READY=1") {
            if let Err(error) = socket.recv(&mut message) {
                let log = std::fs::read_to_string(daemon.folder.path().join("log"))?;
                daemon.process.check().with_context(|| log.clone())?;
                anyhow::bail!("sprited is not ready in time: {error}\n{log}");
            }
        }
        // Not read any more: messages that find no room are let go.
        drop(socket);
        Ok(daemon)
    }

    /// The manifests in the mirror, and the bytes of all files there.
    pub(crate) fn mirrored(&self) -> anyhow::Result<(usize, u64)> {
        let (mut manifests, mut bytes) = (0, 0);
        let mut folders = vec![self.folder.path().join("mirror")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder)? {
                let entry = entry?;
                let file = entry.metadata()?;
                if file.is_dir() {
                    folders.push(entry.path());
                } else {
                    bytes += file.len();
                    manifests +=
                        usize::from(entry.path().extension().is_some_and(|end| end == "json"));
                }
            }
        }
        Ok((manifests, bytes))
    }
}
