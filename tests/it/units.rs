//! The files for systemd, judged by systemd's own tools.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const UNIT: &str = include_str!("../../systemd/sprited.service");

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

#[test]
fn the_unit_is_exposed_as_little_as_promised() {
    let unit = file("sprited.service");
    let output = tool("systemd-analyze", &["security", "--offline=true", unit.to_str().unwrap()]);
    let text = said(&output);
    let level = text
        .lines()
        .find_map(|line| line.split_once("Overall exposure level for sprited.service: "))
        .and_then(|(_, rest)| rest.split_whitespace().next()?.parse::<f64>().ok())
        .unwrap_or_else(|| panic!("no overall level in:\n{text}"));
    assert!(level <= 1.5, "the exposure level is {level}:\n{text}");
}

#[test]
fn systemd_understands_the_unit() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("sprited.service");
    let built = env!("CARGO_BIN_EXE_sprited");
    assert!(UNIT.contains("ExecStart=/usr/bin/sprited run "));
    std::fs::write(&copy, UNIT.replace("/usr/bin/sprited", built)).unwrap();
    // The manual page is installed with the program, not built with it.
    let output = tool("systemd-analyze", &["verify", "--man=no", copy.to_str().unwrap()]);
    assert!(output.status.success() && said(&output).is_empty(), "{}", said(&output));
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
    let exits = [Exit::Usage, Exit::Journal, Exit::Configuration];
    assert_eq!(prevented, exits.map(Exit::code));
    assert_eq!(setting("LoadCredential"), ["secret_key:/etc/sprited/secret_key"]);
    assert_eq!(setting("StateDirectoryMode"), ["0750"]);
}

/// The rules that sinks need: jsonl writes to the state folder and may give its files to a
/// group, exec starts programs, and everything talks to the network.
#[test]
fn the_unit_lets_sinks_work() {
    assert_eq!(setting("StateDirectory"), ["sprited"]);
    assert_eq!(setting("RestrictAddressFamilies"), ["AF_INET AF_INET6 AF_UNIX"]);
    assert_eq!(setting("SystemCallFilter").last(), Some(&"@chown"));
    for hindrance in ["PrivateUsers", "NoExecPaths", "PrivateNetwork", "TasksMax"] {
        assert!(setting(hindrance).is_empty(), "{hindrance}");
    }
}
