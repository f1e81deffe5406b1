//! Which commit `sprited --version` names: the build script, run as cargo would.

use std::path::{Path, PathBuf};
use std::process::Command;

use sprited::metrics::{Metrics, Times};

struct Script {
    folder: tempfile::TempDir,
    program: PathBuf,
}

impl Script {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("build");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs");
        let mut rustc = Command::new("rustc");
        rustc.args(["--edition", "2024", "-o"]).arg(&program).arg(source);
        assert!(rustc.status().unwrap().success());
        std::fs::create_dir(folder.path().join("tree")).unwrap();
        Self { folder, program }
    }

    fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    fn git(&self, arguments: &[&str]) -> String {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=a", "-c", "user.email=a@localhost"]).args(arguments);
        let output = git.current_dir(self.tree()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// What it tells cargo.
    fn run(&self, profile: &str, commit: Option<&str>) -> Vec<String> {
        self.run_in(&self.tree(), profile, commit)
    }

    fn run_in(&self, tree: &Path, profile: &str, commit: Option<&str>) -> Vec<String> {
        let mut script = Command::new(&self.program);
        script.current_dir(tree).env("PROFILE", profile).env("CARGO_PKG_VERSION", "1.2.3");
        match commit {
            Some(commit) => script.env("SPRITED_COMMIT", commit),
            None => script.env_remove("SPRITED_COMMIT"),
        };
        let output = script.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    fn version(&self, profile: &str, commit: Option<&str>) -> String {
        let lines = self.run(profile, commit);
        let variable = |name: &str| {
            let begin = format!("cargo::rustc-env={name}=");
            let value = lines.iter().find_map(|line| line.strip_prefix(&begin));
            value.unwrap_or_else(|| panic!("{name}: {lines:?}")).to_owned()
        };
        let version = variable("SPRITED_VERSION");
        assert_eq!(version, with_commit("1.2.3", &variable("SPRITED_COMMIT")));
        version
    }
}

fn with_commit(version: &str, commit: &str) -> String {
    if commit.is_empty() { version.to_owned() } else { format!("{version} ({commit})") }
}

/// `SPRITED_COMMIT=abc cargo test` has it tried with a commit.
#[test]
fn the_metric_of_the_build_has_the_commit_that_version_names() {
    let told = Metrics::new(&Times::new([1.0])).encode();
    let line = told.lines().find(|line| line.starts_with("sprited_build_info{")).unwrap();
    let label = |name: &str| {
        let (_, behind) = line.split_once(&format!("{name}=\"")).expect(line);
        behind.split_once('"').unwrap().0.to_owned()
    };
    let output = Command::new(env!("CARGO_BIN_EXE_sprited")).arg("--version").output().unwrap();
    let expected = format!("sprited {}\n", with_commit(&label("version"), &label("commit")));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

#[test]
fn a_release_names_the_commit_it_is_built_from() {
    let script = Script::new();
    assert_eq!(script.version("release", None), "1.2.3");
    assert_eq!(script.version("release", Some("v1.2.3-4")), "1.2.3 (v1.2.3-4)");
    assert_eq!(script.version("debug", Some("abc")), "1.2.3 (abc)");

    script.git(&["init", "--quiet"]);
    assert_eq!(script.version("release", None), "1.2.3", "there is no commit yet");
    script.git(&["commit", "--quiet", "--allow-empty", "--message", "first"]);
    let commit = script.git(&["rev-parse", "--short=12", "HEAD"]);
    assert_eq!(script.version("release", None), format!("1.2.3 ({commit})"));
    assert_eq!(script.version("release", Some("")), format!("1.2.3 ({commit})"));
    assert_eq!(script.version("debug", None), "1.2.3", "else every commit builds all anew");
    // Sources within another repository are not of its commit.
    let inner = script.tree().join("inner");
    std::fs::create_dir(&inner).unwrap();
    let lines = script.run_in(&inner, "release", None);
    assert!(lines.contains(&"cargo::rustc-env=SPRITED_VERSION=1.2.3".to_owned()), "{lines:?}");
}

#[test]
fn it_runs_again_after_a_commit_and_after_nothing_else() {
    let script = Script::new();
    script.git(&["init", "--quiet"]);
    script.git(&["commit", "--quiet", "--allow-empty", "--message", "first"]);
    let watched = |profile: &str| -> Vec<PathBuf> {
        let lines = script.run(profile, None);
        let paths = lines.iter().filter_map(|l| l.strip_prefix("cargo::rerun-if-changed="));
        paths.filter(|path| *path != "build.rs").map(|path| script.tree().join(path)).collect()
    };
    assert_eq!(watched("debug"), [] as [PathBuf; 0]);
    let [log] = watched("release").try_into().unwrap();
    // A path that is not there would have cargo run it each time.
    let before = std::fs::read(&log).unwrap();
    script.git(&["status"]);
    assert_eq!(std::fs::read(&log).unwrap(), before);
    script.git(&["commit", "--quiet", "--allow-empty", "--message", "second"]);
    assert_ne!(std::fs::read(&log).unwrap(), before);
}
