//! `sprited check` over the real binary against the emulator.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::TimeDelta;
use serde_json::Value;
use sprited::journal::{self, Journal};
use tempfile::TempDir;
use vod_emulator::{
    ApiAction, AssumableRole, EmulatorSettings, FaultKind, InjectedFault, ReportConfig, ReportMode,
};

use crate::cli::{Ended, ended, sprited};
use crate::emulator::{Server, settings};
use crate::support::data;

const ID: &str = "AKIDEMULATOR";
const KEY: &str = "emulator-secret-key";

/// The emulator with an event that waits, and a configuration for it.
pub(crate) struct Bench {
    pub(crate) server: Server,
    pub(crate) folder: TempDir,
    pub(crate) endpoint: String,
    pub(crate) key: String,
    /// Further lines of `[credentials]`.
    pub(crate) role: String,
    /// What `sub_app_id` says; without any there is none.
    pub(crate) apps: String,
    pub(crate) journal: PathBuf,
    lines: PathBuf,
    pub(crate) more: String,
    /// What the environment of the command has besides that of the tests.
    pub(crate) set: Vec<(&'static str, String)>,
    /// A program and its arguments that start the command in their turn.
    pub(crate) through: Vec<String>,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(settings()).await
    }

    pub(crate) async fn with(settings: EmulatorSettings) -> Self {
        let server = Server::start(settings).await;
        server.control.add(&data("create_image_sprite_complete.success.json")).unwrap();
        // Of this tree, since elsewhere it may be memory.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Self {
            endpoint: server.url.clone(),
            key: KEY.to_owned(),
            role: String::new(),
            apps: "1500012345".to_owned(),
            journal: folder.path().join("journal.db"),
            lines: folder.path().join("sprites.jsonl"),
            more: String::new(),
            set: Vec::new(),
            through: Vec::new(),
            server,
            folder,
        }
    }

    /// Asks, and sees to it that no event was handed out and no secret told.
    pub(crate) fn check(&self, arguments: &[&str]) -> Ended {
        let Self { folder, endpoint, key, role, apps, journal, lines, more, set, through, .. } =
            self;
        let text = |path: &Path| toml::Value::from(path.to_str().unwrap());
        let apps = if apps.is_empty() { String::new() } else { format!("sub_app_id = {apps}\n") };
        let config = format!(
            "[credentials]\nsecret_id = {ID:?}\nsecret_key = {key:?}\n{role}\
             [vod]\nendpoint = {endpoint:?}\n{apps}[journal]\npath = {}\n\
             max_size = \"32MiB\"\n[[sinks]]\nname = \"sprites\"\ntype = \"jsonl\"\npath = {}\n{more}",
            text(journal),
            text(lines)
        );
        let path = folder.path().join("sprited.toml");
        fs::write(&path, config).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let mut command = match through.as_slice() {
            [] => sprited(),
            [program, before @ ..] => {
                let mut command = Command::new(program);
                command.args(before).arg(env!("CARGO_BIN_EXE_sprited"));
                command
            }
        };
        command.args(["check", "--config"]).arg(&path).args(arguments);
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD"] {
            command.env_remove(name).env_remove(name.to_lowercase());
        }
        for name in ["CREDENTIALS_DIRECTORY", "INVOCATION_ID", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
            command.env_remove(name);
        }
        command.envs(set.iter().map(|(name, value)| (name, value)));
        let checked = ended(&mut command);
        let said = format!("{}{}", checked.out, checked.err);
        assert!(!said.contains(ID) && !said.contains(key), "{said}");
        let totals = self.server.control.totals();
        assert!(!totals.calls.contains_key("PullEvents"), "{totals:?}");
        assert_eq!((totals.handed_out, totals.waiting), (0, 1));
        checked
    }

    /// What it prints for people, without what changes from run to run.
    pub(crate) fn told(&self) -> (i32, String) {
        let Ended { code, out, err } = self.check(&[]);
        assert_eq!(err, "");
        (code, self.steady(&out))
    }

    /// The text with names in the place of addresses and figures.
    pub(crate) fn steady(&self, text: &str) -> String {
        let folder = self.folder.path().to_str().unwrap();
        let text = text.replace(folder, "FOLDER").replace(&self.endpoint, "ENDPOINT");
        // Where it is an address of IPv6, too.
        let text = text.replace("localhost is 127.0.0.1 and 1 more", "localhost is 127.0.0.1");
        let text = after(&text, "RequestId ", |c| c.is_ascii_hexdigit() || c == '-', "ID");
        let text = after(&text, "a flush takes ", |c| c.is_ascii_digit() || c == '.', "FEW");
        let Some((before, rest)) = text.split_once(" free; a flush") else { return text };
        let figure = before.trim_end_matches(|c: char| c.is_ascii_alphanumeric());
        let figure = figure.trim_end().trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        format!("{figure}ROOM free; a flush{rest}")
    }

    pub(crate) fn json(&self) -> (i32, Vec<Value>) {
        let Ended { code, out, .. } = self.check(&["--json"]);
        let report: Value = serde_json::from_str(&out).expect(&out);
        assert_eq!((&report["exit"], &report["ok"]), (&code.into(), &(code == 0).into()));
        (code, report["steps"].as_array().unwrap().clone())
    }

    /// How it ends, each step's outcome, and what those say that are not ok.
    fn outcomes(&self) -> (i32, String, String) {
        let (code, steps) = self.json();
        let word = |step: &Value, key: &str| step[key].as_str().unwrap_or_default().to_owned();
        let outcomes: Vec<_> =
            steps.iter().map(|s| format!("{} {}", word(s, "step"), word(s, "outcome"))).collect();
        let said: Vec<_> = steps
            .iter()
            .filter(|step| step["outcome"] != "ok")
            .map(|s| format!("{}: {} → {}", word(s, "step"), word(s, "detail"), word(s, "advice")))
            .collect();
        (code, outcomes.join(", "), said.join("\n"))
    }
}

/// The text with `name` in the place of what stands after each `before`, as far as it is `like`.
fn after(text: &str, before: &str, like: impl Fn(char) -> bool + Copy, name: &str) -> String {
    let mut parts = text.split(before);
    let mut steady = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        steady.push_str(&format!("{before}{name}{}", part.trim_start_matches(like)));
    }
    steady
}

const ALL_OK: &str = "configuration ok, secrets ok, confirm ok, proxy ok, dns ok, tls ok, credentials ok, \
                      cloud ok, event-mode ok, queue ok, clock ok, journal ok, disk ok, sink ok";

/// All is well but the steps in `changes`.
fn all_but(changes: &[&str]) -> String {
    let changed = |step: &str| {
        let name = step.split(' ').next().unwrap();
        changes.iter().find(|change| change.split(' ').next() == Some(name)).copied()
    };
    ALL_OK.split(", ").map(|step| changed(step).unwrap_or(step)).collect::<Vec<_>>().join(", ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_named_with_where_it_is_assumed() {
    let mut bench = Bench::new().await;
    let (url, arn) = (bench.endpoint.clone(), AssumableRole::default().arn);
    let of = |arn: &str| format!("role_arn = {arn:?}\nsts_endpoint = {url:?}\n");
    bench.role = of(&arn);
    let (code, steps) = bench.json();
    let step = |steps: &[Value]| steps.iter().find(|s| s["step"] == "credentials").unwrap().clone();
    let (detail, host) = (step(&steps)["detail"].to_string(), &url["http://".len()..]);
    let source = format!("role {arn} through STS ({host}), good until ");
    assert!(code == 0 && detail.contains(&source) && detail.contains("accepted"), "{detail}");
    bench.role = of("qcs::cam::uin/1:roleName/none");
    let (code, steps) = bench.json();
    let detail = step(&steps)["detail"].to_string();
    for part in ["roleName/none through STS", "ResourceNotFound.RoleNotFound", "RequestId "] {
        assert!(code == 77 && detail.contains(part), "{code} {detail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_what_a_lost_machine_loses() {
    let mut bench = Bench::new().await;
    for (confirm, said) in [
        (
            "",
            "loses what is pending above max_unconfirmed = 2000; \"never\" leaves it in the cloud",
        ),
        ("max_unconfirmed = 30", "loses what is pending above max_unconfirmed = 30; "),
        ("max_unconfirmed = \"never\"", "unrouted events, and nothing that a sink has to take"),
        ("after = \"journal\"", "after = \"journal\": a machine lost with its disk loses what its"),
    ] {
        bench.more = format!("[confirm]\n{confirm}\n");
        let (_, steps) = bench.json();
        let step = steps.iter().find(|step| step["step"] == "confirm").unwrap();
        let detail = step["detail"].as_str().unwrap();
        assert!(step["outcome"] == "ok" && detail.contains(said), "{confirm}: {detail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_set_up_is_called_good_and_left_as_it_was() {
    let bench = Bench::new().await;
    let (code, steps) = bench.json();
    assert_eq!(code, 0, "{steps:#?}");
    let said = |step: &str| {
        let found = steps.iter().find(|found| found["step"] == step);
        found.unwrap_or_else(|| panic!("{step}: {steps:#?}"))["detail"].as_str().unwrap().to_owned()
    };
    assert_eq!(bench.outcomes(), (0, ALL_OK.to_owned(), String::new()));
    assert_eq!(said("credentials"), "AKIDEMUL… from the configuration's [credentials]: accepted");
    assert_eq!(said("cloud"), format!("{} answers for application 1500012345", bench.endpoint));
    assert!(said("event-mode").starts_with("PULL"), "{}", said("event-mode"));
    assert!(said("queue").starts_with("1 event waiting;"), "{}", said("queue"));
    assert!(said("journal").contains("journal.db does not exist yet"), "{}", said("journal"));
    assert_eq!(steps.last().unwrap()["name"], "sprites");

    let Ended { code, out, err } = bench.check(&[]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out.lines().count(), 14, "{out}");
    assert!(out.lines().all(|line| line.starts_with("ok    ")), "{out}");
    assert!(out.contains("\nok    sink sprites   jsonl: would take events\n"), "{out}");
    assert!(!bench.journal.exists() && !bench.lines.exists());
    let asked = bench.server.control.totals();
    assert_eq!(asked.calls_of(ApiAction::DescribeEventConfig, "ok"), 3);
    assert_eq!(asked.calls_of(ApiAction::DescribeEventsState, "ok"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_runs_is_no_fault() {
    let bench = Bench::new().await;
    let settings = journal::JournalSettings {
        path: bench.journal.clone(),
        ..journal::JournalSettings::default()
    };
    let (journal, closing) = Journal::open(&settings).unwrap();
    fs::write(&bench.lines, "{}\n").unwrap();
    let lines = File::options().append(true).open(&bench.lines).unwrap();
    lines.lock().unwrap();
    let (code, steps) = bench.json();
    assert_eq!(code, 0, "{steps:#?}");
    let detail = steps[11]["detail"].as_str().unwrap();
    assert!(detail.contains("0 events received, 0 deliveries pending; in use by"), "{detail}");
    // It is none of a daemon that the check left.
    drop(journal);
    closing.wait().await;
    let (_, steps) = bench.json();
    assert!(!steps[11]["detail"].as_str().unwrap().contains("in use"), "{steps:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_refused_with_what_to_do() {
    let mut bench = Bench::new().await;
    bench.key = "not-the-secret-key".to_owned();
    let (code, outcomes, said) = bench.outcomes();
    let skipped = ["credentials fail", "cloud skip", "event-mode skip", "queue skip"];
    assert_eq!((code, outcomes), (77, all_but(&skipped)));
    assert!(
        said.contains("AuthFailure.SignatureFailure: ") && said.contains("RequestId "),
        "{said}"
    );
    assert!(said.contains("→ check that secret_key belongs to secret_id\n"), "{said}");
    assert!(said.contains("queue: see credentials"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_application_is_a_fault_of_the_configuration() {
    let mut bench = Bench::new().await;
    bench.apps = "1500099999".to_owned();
    let (code, outcomes, said) = bench.outcomes();
    let failed = ["cloud fail", "event-mode skip", "queue skip"];
    assert_eq!((code, outcomes), (78, all_but(&failed)));
    assert!(
        said.contains("InvalidParameterValue.SubAppId") && said.contains("sub_app_id"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_pushed_are_a_warning() {
    let event_config = ReportConfig { mode: ReportMode::Push, ..ReportConfig::default() };
    let bench = Bench::with(EmulatorSettings { event_config, ..settings() }).await;
    let (code, outcomes, said) = bench.outcomes();
    assert_eq!((code, outcomes), (0, all_but(&["event-mode warn"])));
    assert!(said.contains("PUSH: ") && said.contains("reliable callback in the console"), "{said}");
    assert!(said.contains("ModifyEventConfig --SubAppId 1500012345 --Mode PULL"), "{said}");
}

/// What leaving a switch out of the command means is not documented.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_advised_has_every_switch_as_it_is() {
    let mut bench = Bench::new().await;
    let switch = |on| if on { "ON" } else { "OFF" };
    for combination in 0..16_u32 {
        let is = |bit: u32| combination >> bit & 1 == 1;
        let mode = if is(3) { ReportMode::Push } else { ReportMode::Pull };
        let (upload, delete, persistence) = (is(0), is(1), is(2));
        let url = String::new();
        let config = ReportConfig { mode, notification_url: url, upload, delete, persistence };
        bench.server.control.set_event_config(None, config).unwrap();
        for wanted in ["", "NewFileUpload", "FileDeleted", "PersistenceComplete"] {
            bench.more = match wanted {
                "" => String::new(),
                event => format!("events = [\"image-sprite\", \"{event}\"]\n"),
            };
            let (_, _, said) = bench.outcomes();
            let command = said.split("tccli vod ModifyEventConfig ").nth(1).unwrap_or_default();
            let command = command.lines().next().unwrap_or_default();
            let wants = |event| wanted == event;
            let lacks = (wants("NewFileUpload") && !upload)
                || (wants("FileDeleted") && !delete)
                || (wants("PersistenceComplete") && !persistence);
            assert_eq!(!command.is_empty(), is(3) || lacks, "{combination} {wanted}: {said}");
            let expected = format!(
                "--SubAppId 1500012345 --Mode PULL --UploadMediaCompleteEventSwitch {} \
                 --DeleteMediaCompleteEventSwitch {} --PersistenceCompleteEventSwitch {}",
                switch(upload || wants("NewFileUpload")),
                switch(delete || wants("FileDeleted")),
                switch(persistence || wants("PersistenceComplete"))
            );
            assert!(command.is_empty() || command == expected, "{command}");
        }
    }
}

/// Plain ResourceNotFound is what an empty queue says, too: the other calls tell.
#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_looks_like_an_empty_queue_is_told() {
    for unknown_app_code in ["ResourceNotFound", "InvalidParameterValue.SubAppId"] {
        let unknown_app_code = unknown_app_code.to_owned();
        let mut bench = Bench::with(EmulatorSettings { unknown_app_code, ..settings() }).await;
        for (apps, advice) in [
            ("1500099999", "→ check "),
            ("", "name the application in [vod] sub_app_id: none is named, and accounts"),
        ] {
            bench.apps = apps.to_owned();
            // All answers alike, or one of the two calls may not be made.
            for refused in
                [None, Some(ApiAction::DescribeEventConfig), Some(ApiAction::DescribeEventsState)]
            {
                if let Some(action) = refused {
                    let kind = FaultKind::Error("UnauthorizedOperation".to_owned());
                    bench.server.control.fault(InjectedFault::next(1, kind).on(action)).unwrap();
                }
                let (code, _, said) = bench.outcomes();
                assert_eq!(code, 78, "{apps} {refused:?}: {said}");
                assert!(said.contains(advice) && said.contains("sub_app_id"), "{said}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_does_not_answer_holds_up_nothing_else() {
    let mut bench = Bench::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    bench.endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (code, outcomes, said) = bench.outcomes();
    let failed = ["cloud fail", "event-mode skip", "queue skip", "clock skip"];
    assert_eq!((code, outcomes), (1, all_but(&failed)));
    assert!(
        said.contains(&bench.endpoint) && said.contains("the network, and HTTPS_PROXY"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_service_does_not_let_be_asked_is_a_warning() {
    let bench = Bench::new().await;
    let refuse = |action, code: &str| {
        let kind = FaultKind::Error(code.to_owned());
        bench.server.control.fault(InjectedFault::next(1, kind).on(action)).unwrap();
    };
    refuse(ApiAction::DescribeEventConfig, "UnauthorizedOperation");
    let (code, outcomes, said) = bench.outcomes();
    assert_eq!((code, outcomes), (0, all_but(&["event-mode warn"])));
    assert!(said.contains("vod:DescribeEventConfig"), "{said}");

    refuse(ApiAction::DescribeEventsState, "InvalidAction");
    let (code, outcomes, said) = bench.outcomes();
    assert_eq!((code, outcomes), (0, all_but(&["queue warn"])));
    assert!(said.contains("international site"), "{said}");

    // What is known of the error is told, though the step is no reason to fail.
    refuse(ApiAction::DescribeEventsState, "FailedOperation.InvalidVodUser");
    let (code, outcomes, said) = bench.outcomes();
    assert_eq!((code, outcomes), (0, all_but(&["queue warn"])));
    assert!(said.contains("InvalidVodUser") && said.contains("VOD is active"), "{said}");

    refuse(ApiAction::DescribeEventConfig, "UnauthorizedOperation");
    refuse(ApiAction::DescribeEventsState, "UnauthorizedOperation.CamNoAuth");
    let (code, outcomes, _) = bench.outcomes();
    assert_eq!((code, outcomes), (0, all_but(&["event-mode warn", "queue warn"])));

    refuse(ApiAction::DescribeEventConfig, "InternalError");
    refuse(ApiAction::DescribeEventsState, "InternalError");
    let (code, outcomes, said) = bench.outcomes();
    let failed = ["cloud fail", "event-mode skip", "queue skip"];
    assert_eq!((code, outcomes), (1, all_but(&failed)));
    assert!(said.contains("InternalError") && said.contains("try again later"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_clock_is_a_warning_with_its_figure() {
    let bench = Bench::new().await;
    // Within what the service takes, and beyond it.
    for (offset, figures) in
        [(60, ["60 s behind", "59 s behind"]), (-900, ["900 s ahead", "901 s ahead"])]
    {
        bench.server.control.set_clock_offset(TimeDelta::seconds(offset));
        let (code, outcomes, said) = bench.outcomes();
        assert_eq!((code, outcomes), (0, all_but(&["clock warn"])), "{said}");
        assert!(figures.iter().any(|figure| said.contains(figure)), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_written_are_found() {
    let mut bench = Bench::new().await;
    // Whoever may write anywhere still makes no folder of a file.
    let file = bench.folder.path().join("file");
    fs::write(&file, "").unwrap();
    bench.lines = file.join("sprites.jsonl");
    bench.more =
        "[[sinks]]\nname = \"gone\"\ntype = \"exec\"\ncommand = [\"/nowhere/program\"]\n".into();
    let (code, outcomes, said) = bench.outcomes();
    assert_eq!((code, outcomes), (1, format!("{}, sink fail", all_but(&["sink fail"]))));
    assert!(
        said.contains("sink: jsonl: ") && said.contains(bench.lines.to_str().unwrap()),
        "{said}"
    );
    assert!(said.contains("sink: exec: ") && said.contains("/nowhere/program"), "{said}");

    bench.more.clear();
    bench.lines = bench.folder.path().join("sprites.jsonl");
    for (journal, says) in [
        (file.join("journal.db"), "Not a directory"),
        (bench.folder.path().join("none/journal.db"), "create the folder"),
        (bench.folder.path().to_owned(), "cannot be used"),
    ] {
        bench.journal = journal;
        let (code, outcomes, said) = bench.outcomes();
        let changes: &[&str] = match says {
            "cannot be used" => &["journal fail"],
            _ => &["journal fail", "disk skip"],
        };
        assert_eq!((code, outcomes), (74, all_but(changes)), "{said}");
        assert!(said.contains(says) && said.contains(bench.journal.to_str().unwrap()), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_of_something_else_is_found_and_left_alone() {
    let bench = Bench::new().await;
    let connection = rusqlite::Connection::open(&bench.journal).unwrap();
    connection.execute_batch("CREATE TABLE letters (a)").unwrap();
    fs::set_permissions(&bench.journal, fs::Permissions::from_mode(0o600)).unwrap();
    let check = |says: &str| {
        let before = fs::read(&bench.journal).unwrap();
        let (code, outcomes, said) = bench.outcomes();
        assert_eq!((code, outcomes), (74, all_but(&["journal fail"])), "{said}");
        assert!(said.contains(says) && said.contains(bench.journal.to_str().unwrap()), "{said}");
        assert_eq!(fs::read(&bench.journal).unwrap(), before);
    };
    check("is not a journal of sprited and was left alone → set journal.path to another file");
    connection
        .execute_batch("PRAGMA application_id = 0x73707264; PRAGMA user_version = 99")
        .unwrap();
    check("has version 99");
    drop(connection);
    fs::write(&bench.journal, "neither a journal nor a database".repeat(200)).unwrap();
    check("cannot be read and was left alone");
    fs::write(&bench.journal, "").unwrap();
    assert_eq!(bench.outcomes().0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_failure_says_how_it_ends_and_all_are_told() {
    let mut bench = Bench::new().await;
    bench.key = "not-the-secret-key".to_owned();
    bench.journal = bench.folder.path().to_owned();
    bench.lines = "/dev/null/sprites.jsonl".into();
    let (code, outcomes, _) = bench.outcomes();
    let failed = [
        "credentials fail",
        "cloud skip",
        "event-mode skip",
        "queue skip",
        "journal fail",
        "sink fail",
    ];
    assert_eq!((code, outcomes), (77, all_but(&failed)));
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_that_only_the_service_can_see_are_warnings() {
    let mut bench = Bench::new().await;
    bench.more = "[[sinks]]\nname = \"hook\"\ntype = \"webhook\"\n\
                  url = \"http://127.0.0.1:9/\"\nsecret = { credential = \"hook\" }\n"
        .into();
    let (code, outcomes, said) = bench.outcomes();
    assert_eq!((code, outcomes), (0, format!("{ALL_OK}, sink warn")), "{said}");
    // As the documentation has it.
    let documented = include_str!("../../docs/getting-started.md").replace("\\\n  ", "");
    let command = documented.lines().find(|line| line.starts_with("sudo systemd-run")).unwrap();
    assert!(said.contains(command), "{command} is not in {said}");
}
