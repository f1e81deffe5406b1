//! The end of a command's manual page: the files and variables that it reads, and other pages.

use clap::Command;
use clap_mangen::roff::{Roff, bold, roman};

const CONFIGURATION: (&str, &str) = (
    "/etc/sprited/sprited.toml",
    "The configuration, if neither --config nor SPRITED_CONFIG names another: sprited.toml(5).",
);
const JOURNAL: (&str, &str) = (
    "/var/lib/sprited/journal.db",
    "The journal, unless [journal] path names another. Its write-ahead log (-wal, -shm), its \
     lock (.lock) and the socket on which commands ask the daemon (.sock) stand beside it; so do \
     copies that the daemon made (.rescued-TIME) and files that \
     were moved aside (.replaced-TIME).",
);
const SECRET_KEY: (&str, &str) =
    ("/etc/sprited/secret_key", "The SecretKey, which systemd passes to the service.");
const PROFILE: (&str, &str) = (
    "~/.tencentcloud/credentials",
    "The profile file, if [credentials] and the environment have no key.",
);

/// Of commands that call the cloud.
const CLOUD_VARIABLES: [(&str, &str); 5] = [
    (
        "TENCENTCLOUD_SECRET_ID, TENCENTCLOUD_SECRET_KEY, TENCENTCLOUD_TOKEN",
        "The key, if the configuration has no [credentials].",
    ),
    ("TENCENTCLOUD_CREDENTIALS_FILE", "Another profile file."),
    (
        "TKE_REGION, TKE_PROVIDER_ID, TKE_WEB_IDENTITY_TOKEN_FILE, TKE_ROLE_ARN",
        "The web identity of a TKE pod.",
    ),
    ("HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY", "Proxies; never for this machine."),
    ("CREDENTIALS_DIRECTORY", "Set by systemd: the secrets that LoadCredential names."),
];
const DAEMON_VARIABLES: [(&str, &str); 3] = [
    (
        "NO_COLOR",
        "If not empty, the log and the answer of `sprited check` have no colours on a terminal.",
    ),
    (
        "JOURNAL_STREAM, NOTIFY_SOCKET, WATCHDOG_USEC",
        "Set by systemd: the log goes to journald, and the manager is told the daemon's state.",
    ),
    ("LISTEN_FDS, LISTEN_FDNAMES", "Set by systemd: the socket on which events are received."),
];

/// Writes FILES, ENVIRONMENT and SEE ALSO. `parent` is the command that it belongs to.
pub(super) fn write(command: &Command, parent: Option<&Command>, roff: &mut Roff) {
    let name = name(command);
    let takes_config = command.get_arguments().any(|arg| arg.get_long() == Some("config"));
    let calls_the_cloud = ["sprited-run", "sprited-check", "sprited-reconcile"].contains(&name);
    let is_daemon = name == "sprited-run";
    let (mut files, mut variables) = (Vec::new(), Vec::new());
    if parent.is_none() || takes_config {
        files.extend([CONFIGURATION, JOURNAL]);
        variables.push(("SPRITED_CONFIG", "The configuration file, if --config names none."));
    }
    if parent.is_none() || calls_the_cloud {
        files.extend([SECRET_KEY, PROFILE]);
        variables.extend(CLOUD_VARIABLES);
    }
    if parent.is_none() || is_daemon {
        variables.extend(DAEMON_VARIABLES);
    }
    for (heading, entries) in [("FILES", files), ("ENVIRONMENT", variables)] {
        if !entries.is_empty() {
            roff.control("SH", [heading]);
        }
        for (name, what) in entries {
            roff.control("TP", []);
            roff.text([bold(name)]);
            roff.text([roman(what)]);
        }
    }
    roff.control("SH", ["SEE ALSO"]);
    let pages = parent.into_iter().chain(command.get_subcommands()).map(self::name);
    let mut pages: Vec<String> = pages.map(|name| format!("{name}(1)")).collect();
    pages.push("sprited.toml(5)".to_owned());
    if parent.is_none() || is_daemon {
        pages.extend(["systemctl(1)", "journalctl(1)"].map(str::to_owned));
    }
    roff.text([roman(pages.join(", "))]);
}

/// `sprited-events-list`, once the command is built.
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or(command.get_name())
}
