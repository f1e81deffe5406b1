//! The files for systemd, judged by systemd's own tools.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const UNIT: &str = include_str!("../../systemd/sprited.service");
/// What `systemd-analyze security` says of the units is less; docs/operations.md promises it.
pub(crate) const MAX_EXPOSURE: f64 = 1.5;
const TEMPLATE: &str = include_str!("../../systemd/sprited@.service");

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name)
}

fn tool(name: &str, arguments: &[&str]) -> Output {
    Command::new(name)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{name}: {error}; tests/run installs it"))
}

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

fn setting(key: &str) -> Vec<&'static str> {
    UNIT.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

/// How exposed a unit is with the drop-ins beside it.
fn exposure(unit: &Path) -> f64 {
    let output = tool("systemd-analyze", &["security", "--offline=true", unit.to_str().unwrap()]);
    let text = said(&output);
    text.lines()
        .find_map(|line| line.split_once("Overall exposure level for ")?.1.split_once(": "))
        .and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or_else(|| panic!("no overall level in:\n{text}"))
}

/// What systemd has to say of a unit that starts the program built here; nothing if all is well.
fn verified(name: &str, text: &str, drop_in: Option<&str>) -> (String, f64) {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join(name);
    assert!(text.contains("ExecStart=/usr/bin/sprited run "));
    std::fs::write(&copy, text.replace("/usr/bin/sprited", env!("CARGO_BIN_EXE_sprited"))).unwrap();
    if let Some(text) = drop_in {
        let beside = folder.path().join(format!("{name}.d"));
        std::fs::create_dir(&beside).unwrap();
        std::fs::write(beside.join("local.conf"), text).unwrap();
    }
    // The manual page is installed with the program, not built with it.
    let output = tool("systemd-analyze", &["verify", "--man=no", copy.to_str().unwrap()]);
    assert!(output.status.success(), "{}", said(&output));
    (said(&output), exposure(&copy))
}

#[test]
fn systemd_understands_the_units_which_are_exposed_as_little_as_promised() {
    for (name, text) in [("sprited.service", UNIT), ("sprited@north.service", TEMPLATE)] {
        let (said, exposure) = verified(name, text, None);
        assert_eq!(said, "", "{name}");
        assert!(exposure < MAX_EXPOSURE, "{name}: {exposure}");
    }
}

#[test]
fn systemd_understands_each_example_of_a_drop_in() {
    let mut seen = 0;
    for entry in std::fs::read_dir(file("examples")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let (said, exposure) = verified("sprited.service", UNIT, Some(&text));
        assert_eq!((said.as_str(), exposure < MAX_EXPOSURE), ("", true), "{}", path.display());
        seen += 1;
    }
    assert_eq!(seen, 5);
    let (said, _) = verified("sprited.service", UNIT, Some("[Service]\nNonsense=1\n"));
    assert!(said.contains("Nonsense"), "{said}");
}

/// The lines that mean something.
fn settings(unit: &str) -> Vec<&str> {
    unit.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

#[test]
fn the_template_is_the_unit_with_an_instance_s_own_paths() {
    let expected = UNIT
        .replace("VOD events\n", "VOD events (%i)\n")
        .replace("/etc/sprited/sprited.toml", "/etc/sprited/%i.toml")
        .replace("/etc/sprited/secret_key", "/etc/sprited/%i.secret_key")
        .replace("StateDirectory=sprited\n", "StateDirectory=sprited/%i\n");
    assert_eq!(settings(TEMPLATE), settings(&expected));
}

#[test]
fn systemd_understands_the_user() {
    let users = file("sprited.sysusers");
    let root = tempfile::tempdir().unwrap();
    let root = format!("--root={}", root.path().display());
    let output = tool("systemd-sysusers", &["--dry-run", &root, users.to_str().unwrap()]);
    // An empty root has no users yet, so that it says whom it would make.
    assert!(output.status.success() && said(&output).contains("sprited"), "{}", said(&output));
    assert_eq!((setting("User"), setting("Group")), (vec!["sprited"], vec!["sprited"]));
}

/// A configuration that cannot be used must not be tried again and again.
#[test]
fn the_units_exit_codes_are_the_programs() {
    use sprited::cli::Exit;
    let prevented: Vec<u8> = setting("RestartPreventExitStatus")
        .iter()
        .flat_map(|codes| codes.split_whitespace())
        .map(|code| code.parse().unwrap())
        .collect();
    let reload = "/usr/bin/sprited reload --config /etc/sprited/sprited.toml";
    assert_eq!(setting("ExecReload"), [reload]);
    // The command says by itself that a daemon does not answer.
    assert_eq!(setting("TimeoutStartSec"), ["60"]);
    let exits = [Exit::Usage, Exit::Journal, Exit::Configuration];
    assert_eq!(prevented, exits.map(Exit::code));
    // Without the second one a role, or a key that is kept elsewhere, would need a file as well.
    assert_eq!(setting("LoadCredential"), ["secret_key:/etc/sprited/secret_key"]);
    assert_eq!(setting("SetCredential"), ["secret_key:\\n"]);
    assert_eq!(setting("StateDirectoryMode"), ["0750"]);
}

/// The rules that sinks need: jsonl writes to the state folder and may give its files to a
/// group, exec starts programs, and everything talks to the network.
#[test]
fn the_unit_lets_sinks_work() {
    assert_eq!(setting("StateDirectory"), ["sprited"]);
    assert_eq!(setting("RestrictAddressFamilies"), ["AF_INET AF_INET6 AF_UNIX"]);
    assert_eq!(setting("SystemCallFilter").last(), Some(&"@chown"));
    // Who is crashed by an event must not leave the SecretKey on the disk.
    assert_eq!(setting("LimitCORE"), ["0"]);
    for hindrance in ["PrivateUsers", "NoExecPaths", "PrivateNetwork", "TasksMax"] {
        assert!(setting(hindrance).is_empty(), "{hindrance}");
    }
}

/// Runs the package's script on a file of this mode, as its owner and group; what its mode is then,
/// and whether it was given to the service's group.
fn configured(mode: u32, argument: &str, is_link: bool, is_overridden: bool) -> (u32, bool) {
    let folder = tempfile::tempdir().unwrap();
    let (file, given) = (folder.path().join("sprited.toml"), folder.path().join("given"));
    std::fs::write(&file, "").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    let named = if is_link {
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        link
    } else {
        file.clone()
    };
    let script = include_str!("../../packaging/scripts/postinst");
    let own = said(&tool("stat", &["--format=%U:%G", file.to_str().unwrap()]));
    for part in ["/etc/sprited/sprited.toml", "root:root", "chgrp sprited ", "#DEBHELPER#"] {
        assert!(script.contains(part), "{part}");
    }
    let script = script
        .replace("/etc/sprited/sprited.toml", named.to_str().unwrap())
        .replace("root:root", own.trim());
    // In the place of what would change this system.
    let stub = |name: &str, does: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{does}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    stub("dpkg-statoverride", if is_overridden { "exit 0" } else { "exit 1" });
    stub("systemd-sysusers", "test \"$1\" = sprited.conf");
    stub("chgrp", &format!("test \"$1\" = sprited && touch '{}'", given.display()));
    let script = format!("PATH='{}':$PATH\n{script}", folder.path().display());
    let output = tool("sh", &["-c", &script, "postinst", argument]);
    assert!(output.status.success(), "{}", said(&output));
    let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777;
    (mode, given.exists())
}

/// It may hold a secret. packaging/check installs the package itself.
#[test]
fn the_package_s_configuration_is_for_root_and_the_service_alone() {
    let manifest = include_str!("../../Cargo.toml");
    assert!(manifest.contains("\"etc/sprited/sprited.toml\", \"640\"]"));
    for mode in [0o644, 0o640] {
        assert_eq!(configured(mode, "configure", false, false), (0o640, true), "{mode:o}");
        assert_eq!(configured(mode, "configure", true, false), (mode, false), "{mode:o}, a link");
        assert_eq!(configured(mode, "configure", false, true), (mode, false), "{mode:o}, chosen");
        assert_eq!(configured(mode, "abort-upgrade", false, false), (mode, false), "{mode:o}");
    }
    for chosen in [0o600, 0o660, 0o664, 0o604, 0o444] {
        assert_eq!(configured(chosen, "configure", false, false), (chosen, false), "{chosen:o}");
    }
    // By hand it is the same, and the group is there by then.
    let guide = include_str!("../../docs/getting-started.md");
    let at = |line: &str| guide.find(line).unwrap_or_else(|| panic!("{line} is not in the guide"));
    let install = "sudo install -m 640 -g sprited config.example.toml /etc/sprited/sprited.toml\n";
    assert!(at("sudo systemd-sysusers\n") < at(install));
}
