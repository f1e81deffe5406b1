//! The command line: answers, exit codes, and what happens when nobody listens.

use std::path::Path;
use std::process::Command;

use assert_cmd::assert::OutputAssertExt;

const GOOD: &str = "[[sinks]]\nname = \"a\"\ntype = \"stdout\"\n";

pub(crate) fn sprited() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sprited"));
    command.env_remove("SPRITED_CONFIG").env_remove("CREDENTIALS_DIRECTORY");
    command
}

pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn ended(command: &mut Command) -> Ended {
    let output = command.assert().get_output().clone();
    Ended {
        code: output.status.code().unwrap_or_else(|| panic!("killed: {output:?}")),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn checked(text: &str, arguments: &[&str]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sprited.toml");
    std::fs::write(&path, text).unwrap();
    ended(sprited().args(["check", "--offline", "--config"]).arg(&path).args(arguments))
}

#[test]
fn help_and_version_are_answers() {
    let commands: [&[&str]; 8] = [
        &[],
        &["run"],
        &["check"],
        &["demo"],
        &["events"],
        &["events", "list"],
        &["completions"],
        &["man"],
    ];
    for command in commands {
        let help = ended(sprited().args(command).arg("--help"));
        assert_eq!((help.code, help.err.as_str()), (0, ""), "{command:?}");
        assert!(help.out.contains("Usage: sprited"), "{}", help.out);
    }
    for command in ["run", "check", "demo", "man", "completions"] {
        let help = ended(sprited().args([command, "--help"])).out;
        let example = format!("sprited {command}");
        assert!(help.split("Example").nth(1).is_some_and(|e| e.contains(&example)), "{help}");
    }
    // How the program starts others is nobody's business.
    for command in [&["--help"][..], &["run", "--help"], &["man"], &["completions", "bash"]] {
        let said = ended(sprited().args(command));
        assert!(said.code == 0 && !said.out.contains("launch"), "{command:?}: {}", said.out);
    }
    let version = ended(sprited().arg("--version"));
    let said = format!("sprited {}\n", env!("SPRITED_VERSION"));
    assert!(said.contains(env!("CARGO_PKG_VERSION")), "{said}");
    assert_eq!((version.code, version.out), (0, said));
}

#[test]
fn what_cannot_be_understood_is_a_usage_error() {
    let lines: [&[&str]; 6] = [
        &[],
        &["rum"],
        &["check", "--ofline"],
        &["demo", "--events", "0"],
        &["completions", "tcsh"],
        &["events"],
    ];
    for line in lines {
        let Ended { code, out, err } = ended(sprited().args(line));
        assert_eq!((code, out.as_str()), (64, ""), "{line:?}: {err}");
        assert!(err.contains("Usage: sprited") || err.contains("try '--help'"), "{line:?}: {err}");
    }
}

#[test]
fn a_good_file_is_called_good() {
    let Ended { code, out, err } = checked(GOOD, &[]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.starts_with("ok    configuration  "), "{out}");
    assert!(out.contains("sprited.toml: 1 sink\n"), "{out}");
    assert!(out.contains("\nok    secrets        none in the file"), "{out}");
}

#[test]
fn every_fault_of_a_bad_file_is_listed() {
    let bad = "[poll]\nintervall = \"1s\"\nmax_concurrency = 0\n[http]\nlisten = \"0.0.0.0:1\"\n";
    let Ended { code, out, .. } = checked(&format!("{bad}{GOOD}"), &[]);
    assert_eq!(code, 78, "{out}");
    assert!(out.starts_with("fail  configuration  "), "{out}");
    for said in [
        "sprited.toml: 2 mistakes\n",
        "  sprited.toml:2: unknown key \"intervall\" in [poll]; did you mean \"interval\"?\n",
        "  sprited.toml:3: [poll] max_concurrency: 0 is not between 1 and 256\n",
        "  sprited.toml:5: warning: [http] listen: 0.0.0.0:1 can be reached",
    ] {
        assert!(out.contains(said), "{said} is missing from\n{out}");
    }
}

#[test]
fn programs_get_json() {
    let json = |text: &str| -> (i32, serde_json::Value) {
        let Ended { code, out, .. } = checked(text, &["--json"]);
        (code, serde_json::from_str(&out).unwrap())
    };
    let (code, good) = json(GOOD);
    assert_eq!((code, &good["ok"], &good["exit"]), (0, &true.into(), &0.into()));
    assert_eq!(good["steps"][0]["step"], "configuration");
    let (code, bad) = json("[poll]\nintervall = \"1s\"\n");
    assert_eq!((code, &bad["ok"], &bad["exit"]), (78, &false.into(), &78.into()));
    let problems = &bad["steps"][0]["problems"];
    assert_eq!(problems.as_array().map(Vec::len), Some(2), "{problems}");
    assert_eq!(problems[1]["outcome"], "fail");
    assert_eq!((&problems[1]["line"], &problems[1]["column"]), (&2.into(), &1.into()));
}

#[test]
fn secrets_are_looked_for() {
    let with = |key: &str| format!("[credentials]\nsecret_id = \"hunter1\"\n{key}\n{GOOD}");
    let Ended { code, out, .. } = checked(&with("secret_key = { file = \"/nowhere/key\" }"), &[]);
    assert_eq!(code, 78, "{out}");
    assert!(out.contains("fail  secrets        [credentials] secret_key: cannot read"), "{out}");
    // Outside the service nobody can see systemd's credentials.
    let Ended { code, out, .. } = checked(&with("secret_key = { credential = \"k\" }"), &[]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("warn  secrets"), "{out}");
    // As the unit has it where there is no file.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("k"), "\n").unwrap();
    let path = folder.path().join("sprited.toml");
    std::fs::write(&path, with("secret_key = { credential = \"k\" }")).unwrap();
    let mut command = sprited();
    command.env("CREDENTIALS_DIRECTORY", folder.path());
    let Ended { code, out, .. } = ended(command.args(["check", "--offline", "-c"]).arg(&path));
    assert_eq!(code, 78, "{out}");
    assert!(out.contains("fill the file that LoadCredential=k: names in the unit"), "{out}");
    let Ended { code, out, err } = checked(&with("secret_key = \"hunter2\""), &["--json"]);
    assert_eq!(code, 0, "{out}");
    assert!(!format!("{out}{err}").contains("hunter"), "{out}{err}");
}

#[test]
fn the_file_is_found_by_option_by_variable_or_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.toml");
    std::fs::write(&path, GOOD).unwrap();
    let by_variable = ended(sprited().args(["check", "--offline"]).env("SPRITED_CONFIG", &path));
    assert_eq!(by_variable.code, 0, "{}", by_variable.out);
    let missing = folder.path().join("missing.toml");
    let Ended { code, out, .. } = ended(
        sprited().args(["check", "--offline", "-c"]).arg(&missing).env("SPRITED_CONFIG", &path),
    );
    assert_eq!(code, 78, "{out}");
    assert!(out.contains("missing.toml: cannot read the configuration: No such file"), "{out}");
    let help = ended(sprited().args(["check", "--help"])).out;
    assert!(
        help.contains("/etc/sprited/sprited.toml") && help.contains("SPRITED_CONFIG"),
        "{help}"
    );
}

#[test]
fn the_example_is_good() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml");
    let Ended { code, out, .. } =
        ended(sprited().args(["check", "--offline", "--config"]).arg(example));
    assert_eq!(code, 0, "{out}");
    assert!(!out.contains("warn") && !out.contains("fail"), "{out}");
}

#[test]
fn shells_get_their_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let Ended { code, out, .. } = ended(sprited().args(["completions", shell]));
        assert_eq!(code, 0);
        assert!(out.contains("SPRITED_COMPLETE") && out.contains("sprited"), "{shell}: {out}");
    }
    let zsh = ended(sprited().args(["completions", "zsh"])).out;
    assert!(zsh.starts_with("#compdef sprited\n"), "{zsh}");
    let called = zsh.rsplit("_clap_dynamic_completer_sprited").next().unwrap();
    assert!(called.starts_with(" \"$@\"\nfi"), "{zsh}");
}

/// What bash offers at the end of a line; it has split it at blanks and at equals signs.
fn offered(line: &[&str], folder: &Path) -> Vec<String> {
    let program = Path::new(env!("CARGO_BIN_EXE_sprited"));
    let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
    let ask = "source <(sprited completions bash) && COMP_WORDS=(\"$@\") COMP_CWORD=$(($# - 1)) \
               COMP_TYPE=9 && _clap_complete_sprited sprited \"${@: -1}\" && \
               printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", ask, "bash", "sprited"]).args(line).current_dir(folder);
    bash.env_clear().env("PATH", path).env("SPRITED_CONFIG", folder.join("sprited.toml"));
    let Ended { out, err, .. } = ended(&mut bash);
    assert_eq!(err, "", "{line:?}");
    out.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_sinks_types_and_applications_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    // With a mistake in what this does not need.
    let config = "[vod]\nsub_app_id = [1500012345, 1500054321]\n[poll]\nintervall = '1s'\n\
                  [[sinks]]\nname = 'site'\ntype = 'stdout'\n[[sinks]]\nname = 'sprites'\n";
    std::fs::write(folder.path().join("sprited.toml"), config).unwrap();
    let other = "[[sinks]]\nname = 'another'\ntype = 'stdout'\n";
    std::fs::write(folder.path().join("other.toml"), other).unwrap();
    let offered = |line: &[&str]| offered(line, folder.path());
    for sink in [
        &["events", "list", "--sink", "s"][..],
        &["events", "discard", "--sink", "s"],
        &["events", "redeliver", "--sink", "new", "--from", "s"],
        &["tail", "--sink", "s"],
        &["events", "list", "--sink", "=", "s"],
    ] {
        assert_eq!(offered(sink), ["site", "sprites"], "{sink:?}");
    }
    assert_eq!(offered(&["tail", "--sink", ""]), ["site", "sprites"]);
    assert_eq!(offered(&["tail", "--sink", "sp"]), ["sprites"]);
    assert_eq!(offered(&["tail", "-c", "other.toml", "--sink", ""]), ["another"]);
    assert_eq!(offered(&["tail", "--config", "=", "other.toml", "--sink", ""]), ["another"]);
    assert_eq!(offered(&["tail", "--app", "15000"]), ["1500012345", "1500054321"]);
    assert_eq!(offered(&["tail", "--type", "Create"])[2], "CreateImageSpriteComplete");
    assert_eq!(offered(&["events", "li"]), ["list"]);
    assert_eq!(offered(&["check", "--off"]), ["--offline"]);
    // Nothing to offer is nothing to say.
    for line in [&["tail", "-c", "none.toml", "--sink", ""][..], &["none", "--none", "x"]] {
        assert_eq!(offered(line).concat(), "", "{line:?}");
    }
    assert_eq!(offered(&["tail", "-c", "oth"]), ["other.toml"]);
}

#[test]
fn completing_reads_the_configuration_alone_and_is_quick() {
    let folder = tempfile::tempdir().unwrap();
    let config = format!("[journal]\npath = '/proc/nowhere/journal.db'\n{GOOD}");
    std::fs::write(folder.path().join("sprited.toml"), config).unwrap();
    let started = std::time::Instant::now();
    // As their scripts ask.
    for (shell, offered) in [("fish", "a\n"), ("zsh", "a")] {
        let mut command = sprited();
        command.env("SPRITED_COMPLETE", shell).env("_CLAP_COMPLETE_INDEX", "3");
        command.env("SPRITED_CONFIG", folder.path().join("sprited.toml"));
        let Ended { code, out, err } = ended(command.args(["--", "sprited", "tail", "--sink", ""]));
        assert_eq!((code, out.as_str(), err.as_str()), (0, offered, ""), "{shell}");
    }
    assert!(started.elapsed() < std::time::Duration::from_secs(30), "{:?}", started.elapsed());
    // The variable alone changes nothing.
    let version = ended(sprited().env("SPRITED_COMPLETE", "fish").arg("--version"));
    assert!(version.out.starts_with("sprited "), "{}", version.out);
}

#[test]
fn manual_pages_are_written_for_every_command_and_for_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(ended(sprited().arg("man").arg(folder.path())).code, 0);
    let read = |page: &str| std::fs::read_to_string(folder.path().join(page)).expect(page);
    for name in ["sprited", "sprited-run", "sprited-check", "sprited-events-list"] {
        let page = read(&format!("man1/{name}.1"));
        assert!(page.contains(&format!(".TH {name} 1 ")), "{page}");
    }
    // Examples stand as they are written.
    let page = read("man1/sprited-check.1");
    assert!(
        page.contains(".SH EXAMPLES\n.nf\n  sudo sprited check\n  sprited check \\-\\-offline"),
        "{page}"
    );
    assert!(page.contains("offline") && page.contains("Exit code: 0 if nothing failed"), "{page}");
    let page = read("man5/sprited.toml.5");
    assert!(page.contains("\n.nf\n    [poll]\n.fi\nThe minimum time between"), "{page}");
    for line in include_str!("../../config.example.toml").lines() {
        let line = line.trim_start_matches(['#', ' ']).replace('-', "\\-").replace('\'', "\\*(Aq");
        assert!(page.contains(&line), "{line} is not in {page}");
    }
    let first = ended(sprited().arg("man"));
    assert!(first.code == 0 && first.out.contains(".TH sprited 1"), "{}", first.out);
    let refused = ended(sprited().args(["man", "/proc/nowhere"]));
    assert_eq!(refused.code, 1);
    assert!(
        refused.err.contains("cannot write the manual pages to /proc/nowhere"),
        "{}",
        refused.err
    );
}

#[test]
fn manual_pages_name_files_variables_and_pages_that_exist() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(ended(sprited().arg("man").arg(folder.path())).code, 0);
    let read = |page: &str| {
        let page = std::fs::read_to_string(folder.path().join(page)).expect(page);
        page.replace("\\-", "-")
    };
    let mut seen = 0;
    for file in std::fs::read_dir(folder.path().join("man1")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let page = read(&format!("man1/{name}"));
        let (_, pages) = page.rsplit_once("\n.SH \"SEE ALSO\"\n").expect(&page);
        let pages: Vec<_> = pages.trim().split(", ").collect();
        for page in pages.iter().filter(|page| page.starts_with("sprited")) {
            let (page, section) = page.trim_end_matches(')').split_once('(').unwrap();
            let path = folder.path().join(format!("man{section}/{page}.{section}"));
            assert!(path.exists(), "{name} names {page}");
        }
        let is_whole = name == "sprited.1" || pages.iter().any(|page| page.starts_with("sprited"));
        assert!(is_whole, "{name}: {pages:?}");
        if page.contains("--config") {
            assert!(page.contains("\n.SH FILES\n.TP\n\\fB/etc/sprited/sprited.toml\\fR"), "{page}");
            assert!(page.contains("\n.SH ENVIRONMENT\n.TP\n\\fBSPRITED_CONFIG\\fR"), "{page}");
        }
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
    let events = read("man1/sprited-events.1");
    assert!(events.contains("\nsprited(1), sprited-events-list(1), "), "{events}");
    let run = read("man1/sprited-run.1");
    for said in ["TENCENTCLOUD_SECRET_ID", "NO_COLOR", "NO_PROXY", "NOTIFY_SOCKET", "journal.db"] {
        assert!(run.contains(said), "{said}: {run}");
    }
    // By the code: every variable whose name stands there as a constant.
    let environment = include_str!("../../src/vod/credentials/environment.rs");
    let identity = include_str!("../../src/vod/credentials/web_identity.rs");
    for line in [environment, identity].concat().lines() {
        let name = line.strip_prefix("const ").and_then(|line| line.split('"').nth(1));
        let name = name.filter(|name| name.starts_with("T") && line.contains(": &str"));
        assert!(name.is_none_or(|name| run.contains(name)), "{line}");
    }
    // Where mandoc or man is there, they read it; what it means is for people.
    assert!(!read("man1/sprited-man.1").contains(".SH FILES"));
}

#[test]
fn a_reader_that_leaves_is_no_failure_and_a_full_disk_is() {
    for arguments in [&["completions", "bash"][..], &["--help"], &["man"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let Ended { code, err, .. } = ended(sprited().args(arguments).stdout(writer));
        assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}");
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let Ended { code, err, .. } = ended(sprited().args(arguments).stdout(full));
        assert_eq!(code, 1, "{arguments:?}");
        assert!(err.contains("cannot write the answer: No space left"), "{arguments:?}: {err}");
    }
}
