//! `sprited sprite check` of sprites that the emulator has, of files, and of texts.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use sprited::sprite::FindingCode;
use tempfile::TempDir;

use super::cli::{Ended, ended, sprited};
use super::emulator::{Server, settings};
use super::local_server::{LocalServer, Reply};
use super::support::until;

const INDEX: &str = "WEBVTT\n\n00:00:00.000 --> 00:00:10.000\na.png#xywh=0,0,142,80\n\n\
                     00:00:10.000 --> 00:00:20.000\na.png#xywh=142,0,142,80\n\n";

fn check(arguments: &[&str]) -> Command {
    let mut command = sprited();
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command.args(["sprite", "check"]).args(arguments);
    command
}

/// What is said of a text on standard input.
fn of_text(text: &[u8], arguments: &[&str]) -> Ended {
    let mut child = check(arguments)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who has seen enough does not read the rest.
    drop(child.stdin.take().unwrap().write_all(text));
    let output = child.wait_with_output().unwrap();
    Ended {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn json_of(said: &Ended) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}", said.out))
}

/// The emulator, and what names it on the command line.
struct Cloud {
    server: Server,
    host: String,
}

impl Cloud {
    async fn start() -> Self {
        let server = Server::start(settings()).await;
        let host = server.url.trim_start_matches("http://").to_owned();
        Self { server, host }
    }

    fn sprite(&self, tiles: u32) -> String {
        format!("{}/sprites/1/{tiles}/imageSprite_10.vtt", self.server.url)
    }

    fn check(&self, tiles: u32, arguments: &[&str]) -> Ended {
        ended(check(&["--host", &self.host, &self.sprite(tiles)]).args(arguments))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sprite_is_fetched_and_described() {
    let cloud = Cloud::start().await;
    let said = cloud.check(106, &[]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{}", said.out);
    for words in [
        "106 cues, ",
        "imageSprite_10_0.png  1420x800 png, ",
        "imageSprite_10_1.png  1420x80 png, ",
        ", 6 tiles\n",
        "106 of 142x80 to 0:17:40; 10 columns and 10 rows, one every 10 s\n",
        "\nplayers that fail on the rewritten index\n  TCPlayer  seeks sheets at a wrong URL, since ",
        "\nNo findings. 1 of 6 players fails on the index; rewritten, 1 still would.\n",
    ] {
        assert!(said.out.contains(words), "{words:?}: {}", said.out);
    }
    let report = json_of(&cloud.check(106, &["--json"]));
    assert_eq!(report["ok"], true);
    assert_eq!(report["error"], Value::Null);
    assert_eq!(report["index"]["cues"], 106);
    assert_eq!((&report["count"], &report["duration"]), (&json!(106), &json!(1060.0)));
    assert_eq!(report["tile"], json!({"width": 142, "height": 80}));
    assert_eq!(report["grid"], json!({"columns": 10, "rows": 10, "interval": 10.0}));
    let sheets = report["sheets"].as_array().unwrap();
    assert_eq!((sheets.len(), &sheets[1]["tiles"]), (2, &json!(6)));
    assert_eq!(sheets[0]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!((&report["findings"], &report["repairs"]), (&json!([]), &json!([])));
    // The port of its URL is there still.
    let rewritten = report["rewritten_players"].as_array().unwrap();
    let failing = rewritten.iter().filter(|player| player["problem"] != Value::Null);
    let failing: Vec<_> = failing.map(|player| &player["player"]).collect();
    assert_eq!(failing, ["TCPlayer"], "{rewritten:?}");
}

/// Rewriting mends what the text does wrong, and nothing that its URL does.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_url_is_not_cured_by_rewriting() {
    let cloud = Cloud::start().await;
    let sheet = super::support::http().get(cloud.sprite(25).replace(".vtt", "_0.png"));
    let sheet = sheet.send().await.unwrap().bytes().await.unwrap().to_vec();
    let proxy = LocalServer::start(move |request, _| {
        let body: Vec<u8> = match request.target.contains(".vtt") {
            true => INDEX.replace('\n', "\r\n").into(),
            false => sheet.clone(),
        };
        Reply::new(200, &[], &body)
    })
    .await;
    let of = |url: &str| ended(check(&["--json", url]).env("HTTP_PROXY", proxy.url()));
    for (url, now, then) in [
        ("http://media.example.com/a.vtt", 1, 0),
        // All but vidstack, and videojs-vtt.js, which resolves no name.
        ("http://media.example.com/a.vtt?sign=ab/cd", 4, 4),
    ] {
        let report = json_of(&of(url));
        let failing = |which: &str| {
            let players = report[which].as_array().unwrap().iter();
            players.filter(|player| player["problem"] != Value::Null).count()
        };
        assert_eq!((failing("players"), failing("rewritten_players")), (now, then), "{report}");
        assert_eq!(report["ok"], true);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_a_sprite_by_itself() {
    let cloud = Cloud::start().await;
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("new/kept");
    let arguments = ["--rewrite", "--keep", kept.to_str().unwrap()];
    let said = cloud.check(106, &arguments);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    let mut names: Vec<_> =
        fs::read_dir(&kept).unwrap().map(|file| file.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["0.png", "1.png", "original.vtt", "thumbnails.vtt"]);
    let rewritten = kept.join("thumbnails.vtt");
    assert_eq!(fs::read_to_string(&rewritten).unwrap(), said.out);
    assert!(said.out.ends_with("\n1.png#xywh=710,0,142,80\n\n"), "{}", said.out);
    // From the file all is as it was from the URL, and nothing is left to be rewritten.
    let again = ended(check(&["--json"]).arg(&rewritten));
    let again = json_of(&again);
    assert_eq!((&again["ok"], &again["count"]), (&json!(true), &json!(106)));
    assert_eq!(again["sheets"][1]["name"], "1.png");
    assert_eq!(again["grid"]["rows"], 10);
    assert_eq!(ended(check(&["--rewrite"]).arg(&rewritten)).out, said.out);
    let twice = cloud.check(106, &arguments);
    assert_eq!((twice.code, twice.out.as_str()), (1, ""));
    assert!(twice.err.contains("original.vtt is there already"), "{}", twice.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn this_machine_is_not_asked_unless_it_is_named() {
    let server = LocalServer::replying(vec![Reply::new(200, &[], INDEX.as_bytes())]).await;
    let said = ended(check(&[]).arg(format!("{}/a.vtt?sign=hunter2", server.url())));
    assert_eq!(said.code, 1);
    for words in ["refused by the rule port: ", "name the host by --host", "could not be checked"] {
        assert!(said.out.contains(words), "{}", said.out);
    }
    assert!(!said.out.contains("hunter2") && server.seen().is_empty(), "{}", said.out);
    let other = ended(check(&["--host", "media.example.com"]).arg(server.url()));
    assert!(other.out.contains("refused by the rule hosts: "), "{}", other.out);
    assert!(server.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_on_the_way_is_told_and_what_came_is_kept() {
    let server = LocalServer::start(|request, _| match request.target.as_str() {
        "/a.vtt" => Reply::new(200, &[], INDEX.as_bytes()),
        _ => Reply::new(403, &[], b""),
    })
    .await;
    let host = server.address().to_string();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("{}/a.vtt", server.url());
    let arguments = ["--json", "--host", &host, &url, "--keep"];
    let said = ended(check(&arguments).arg(folder.path()));
    let report = json_of(&said);
    assert_eq!((said.code, &report["ok"]), (1, &json!(false)));
    let error = report["error"].as_str().unwrap();
    let words = format!("{host} answered 403 Forbidden for the sheet {}/a.png", server.url());
    assert!(error.contains(&words) && error.contains("by KEY or by referer"), "{error}");
    assert_eq!(report["index"]["cues"], 2);
    assert_eq!(fs::read_to_string(folder.path().join("original.vtt")).unwrap(), INDEX);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn urls_are_signed_and_the_key_never_shown() {
    let server = LocalServer::replying(vec![Reply::new(404, &[], b"")]).await;
    let host = server.address().to_string();
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    fs::write(&key, "24FEQmTzro4V5u3D5epW\n").unwrap();
    let url = format!("{}/a/b.vtt", server.url());
    let sign = |key: &Path| {
        let arguments = ["--host", &host, "--referer", "https://www.example.com/", &url];
        ended(check(&arguments).arg("--hotlink-key-file").arg(key))
    };
    let said = sign(&key);
    assert_eq!((said.code, said.err.as_str()), (1, ""));
    let seen = server.seen();
    assert!(seen[0].target.starts_with("/a/b.vtt?t="), "{seen:?}");
    assert_eq!(seen[0].header("referer"), Some("https://www.example.com/"));
    fs::write(&key, "hunter2 hunter2\n").unwrap();
    let warned = sign(&key);
    assert!(warned.err.contains("warning: --hotlink-key-file: it does not look"), "{}", warned.err);
    for text in [said.out, warned.err, warned.out] {
        assert!(!text.contains("hunter2") && !text.contains("24FEQ") && !text.contains("sign="));
    }
    let missing = sign(&folder.path().join("missing"));
    assert!(missing.code == 1 && missing.err.contains("cannot read the secret file"));
}

/// The proxy asks for the name then; of this machine it is not told.
#[tokio::test(flavor = "multi_thread")]
async fn through_a_proxy_only_names_are_checked_which_is_said() {
    let proxy = LocalServer::replying(vec![Reply::new(404, &[], b"")]).await;
    let inner = LocalServer::replying(vec![Reply::new(404, &[], b"")]).await;
    let port = proxy.address().port();
    let behind = |variable: &str, arguments: &[&str]| {
        ended(check(arguments).env(variable, format!("http://me:hunter2@localhost:{port}")))
    };
    for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        // Where HTTP_PROXY could come with a request, it counts for nothing.
        let said = behind(variable, &["http://media.example.com/a.vtt"]);
        assert!(said.out.contains("media.example.com answered 404"), "{variable}: {}", said.out);
        assert!(said.err.contains("only the names are checked"), "{variable}: {}", said.err);
        assert!(!said.err.contains("hunter2") && !said.out.contains("hunter2"));
    }
    let seen = proxy.seen().len();
    assert!(proxy.seen()[0].target.starts_with("http://media.example.com/a.vtt"));
    for url in ["http://localhost/", "http://10.0.0.1/", "http://metadata.tencentyun.com/"] {
        let said = behind("ALL_PROXY", &[url]);
        assert!(said.out.contains("by the rule address: "), "{url}: {}", said.out);
    }
    for host in [inner.address().to_string(), format!("localhost:{}", inner.address().port())] {
        let said = behind("ALL_PROXY", &["--host", &host, &format!("http://{host}/a.vtt")]);
        assert!(said.out.contains(&format!("{host} answered 404")), "{}", said.out);
        assert_eq!(said.err, "");
    }
    assert_eq!((proxy.seen().len(), inner.seen().len()), (seen, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_to_stop_leaves_nothing_behind() {
    let sheet = b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n".to_vec();
    let sheet = [sheet, vec![7; 1_500_000]].concat();
    let server = LocalServer::start(move |request, _| match request.target.as_str() {
        "/a.vtt" => Reply::new(200, &[], INDEX.as_bytes()),
        _ => Reply::Raw(sheet.clone()),
    })
    .await;
    let host = server.address().to_string();
    let folder = tempfile::tempdir().unwrap();
    let mut child = check(&["--host", &host, &format!("{}/a.vtt", server.url())])
        .env("TMPDIR", folder.path())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let has_sheet = || {
        let inner = fs::read_dir(folder.path()).unwrap().flatten().next();
        inner.is_some_and(|inner| fs::read_dir(inner.path()).is_ok_and(|files| files.count() > 0))
    };
    until(has_sheet).await;
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn every_spelling_is_read_and_rewritten_into_one() {
    let crlf = INDEX.replace('\n', "\r\n");
    let bom = format!("\u{feff}{INDEX}");
    let ids = INDEX.replace("00:00:00.000 -->", "1\n00:00:00.000 -->");
    let short = INDEX.replace("00:00:", "");
    let short = short.replace("00.000 --> 10.000", "00:00.000 --> 00:10.000");
    let short = short.replace("10.000 --> 20.000", "00:10.000 --> 00:20.000");
    let query = INDEX.replace('#', "?");
    let absolute = INDEX.replace("a.png", "http://media.example.com/x/a.png");
    for (text, code) in [
        (INDEX, None),
        (&crlf, Some("line_ends")),
        (&bom, Some("byte_order_mark")),
        (&ids, Some("identifiers")),
        (&short, Some("hours")),
        (&query, Some("area_spelling")),
        (&absolute, Some("path")),
    ] {
        let report = of_text(text.as_bytes(), &["--json"]);
        let json = json_of(&report);
        assert_eq!((report.code, &json["ok"]), (0, &json!(true)), "{code:?}: {json}");
        let repairs: Vec<_> = json["repairs"].as_array().unwrap().iter().collect();
        let has = |code: &str| repairs.iter().any(|repair| repair["code"] == code);
        assert!(code.is_none_or(has) && code.is_none() == repairs.is_empty(), "{code:?}: {json}");
        let rewritten = of_text(text.as_bytes(), &["--rewrite"]);
        assert_eq!((rewritten.out.as_str(), rewritten.err.as_str()), (INDEX, ""), "{code:?}");
    }
}

#[test]
fn findings_end_with_1_and_stay_out_of_the_rewritten_text() {
    let gap = INDEX.replace("00:00:10.000 --> 00:00:20.000", "00:01:10.000 --> 00:01:20.000");
    let said = of_text(gap.as_bytes(), &[]);
    assert_eq!((said.code, said.err.as_str()), (1, ""));
    assert!(
        said.out.contains("\nfindings\n  gap  ")
            && said.out.contains("\n1 finding. All 6 players read ")
    );
    let rewritten = of_text(gap.as_bytes(), &["--rewrite"]);
    assert_eq!((rewritten.code, rewritten.out.as_str()), (1, gap.as_str()));
    assert!(rewritten.err.starts_with("sprited: gap: "), "{}", rewritten.err);
}

#[test]
fn what_is_no_index_is_told() {
    let long = format!("WEBVTT\n\n{}", "x".repeat(5 << 20));
    for (text, says) in [
        ("<html>403</html>", "it is HTML, not WebVTT"),
        ("", "the file is empty"),
        ("WEBVTT\n", "no cues"),
        (&long, "longer than 4 MiB"),
        ("WEBVTT\n\n00:00.000 --> 00:10.000\na.jpg\n", "cannot be measured without the sheets"),
        ("WEBVTT\n\n00:00.000 --> 00:10.000\nfile:///etc/passwd#xywh=0,0,1,1\n", "scheme is file"),
    ] {
        let said = of_text(text.as_bytes(), &[]);
        assert!(said.code == 1 && said.out.contains(says), "{says}: {}", said.out);
        let rewritten = of_text(text.as_bytes(), &["--rewrite"]);
        assert_eq!((rewritten.code, rewritten.out.as_str()), (1, ""));
        assert!(rewritten.err.contains(says), "{says}: {}", rewritten.err);
    }
    let missing = ended(check(&["no-such-file.vtt"]).env("TMPDIR", "/tmp"));
    assert!(missing.code == 1 && missing.out.contains("No such file"), "{}", missing.out);
}

/// A folder with an index and, unless they are left out, the sheets that it names.
fn folder(text: &str, sheets: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("index.vtt"), text).unwrap();
    for (name, bytes) in sheets {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn sheets_are_sought_beside_a_file() {
    let cloud = Cloud::start().await;
    let kept = tempfile::tempdir().unwrap();
    cloud.check(25, &["--keep", kept.path().join("kept").to_str().unwrap()]);
    let sheet = fs::read(kept.path().join("kept/0.png")).unwrap();
    let of = |text: &str, sheets: &[(&str, &[u8])]| {
        let folder = folder(text, sheets);
        ended(check(&["--json"]).arg(folder.path().join("index.vtt")))
    };
    // By its last part, whatever stands before it and however it is encoded.
    let spellings = [
        ("a.png", "a.png"),
        ("http://media.example.com/x/a%20b.png?sign=1", "a b.png"),
        ("../x/a.png", "a.png"),
    ];
    for (written, name) in spellings {
        let text = INDEX.replace("a.png", written);
        let report = json_of(&of(&text, &[(name, &sheet)]));
        assert_eq!(report["sheets"][0]["width"], 1420, "{written}: {report}");
        assert_eq!(report["sheets"][0]["tiles"], 2);
    }
    // Never from elsewhere: a name that leads out of the folder leads to no file.
    let text = INDEX.replace("a.png", "..%2F..%2F..%2F..%2F..%2Fetc%2Fpasswd");
    let report = json_of(&of(&text, &[]));
    assert_eq!(report["sheets"], json!([]), "{report}");
    let two = INDEX.replacen("a.png", "b.png", 1);
    let one_missing = json_of(&of(&two, &[("a.png", &sheet)]));
    assert!(
        one_missing["error"].as_str().unwrap().contains("b.png: No such file"),
        "{one_missing}"
    );
    // What the text alone shows is said all the same.
    let crlf = of(&two.replace('\n', "\r\n"), &[("a.png", &sheet)]);
    let report = json_of(&crlf);
    assert_eq!((crlf.code, &report["ok"], &report["findings"]), (1, &json!(false), &json!([])));
    assert_eq!(report["repairs"][0]["code"], "line_ends", "{report}");
    assert_eq!(report["players"].as_array().unwrap().len(), 6);
    let cut = json_of(&of(INDEX, &[("a.png", &sheet[..sheet.len() - 12])]));
    assert!(cut["error"].as_str().unwrap().contains("a.png: the PNG is cut off"), "{cut}");
    // Of the sheet that is there, a tile stands outside.
    let outside = INDEX.replace("142,0,142,80", "1420,0,142,80");
    let outside = of(&outside, &[("a.png", &sheet)]);
    assert_eq!(
        (outside.code, &json_of(&outside)["findings"][0]["code"]),
        (1, &json!("area_outside"))
    );
}

#[test]
fn what_cannot_be_understood_ends_with_64() {
    let lines: [&[&str]; 8] = [
        &[],
        &["ftp://example.com/a.vtt"],
        &["http://"],
        &["--host", "*", "http://example.com/a.vtt"],
        &["--host", "http://example.com", "http://example.com/a.vtt"],
        &["--referer", "www.example.com", "http://example.com/a.vtt"],
        &["--json", "--rewrite", "a.vtt"],
        &["a.vtt", "b.vtt"],
    ];
    for line in lines {
        let said = ended(&mut check(line));
        assert_eq!((said.code, said.out.as_str()), (64, ""), "{line:?}: {}", said.err);
    }
}

/// What the document shows is what is printed, to the letter. The host of its example is reached
/// through a proxy.
#[tokio::test(flavor = "multi_thread")]
async fn the_document_shows_a_real_report() {
    let cloud = Cloud::start().await;
    let proxy = LocalServer::start(move |request, _| {
        let path = request.target.strip_prefix("http://media.example.com/a/").unwrap();
        let url = cloud.sprite(106).replace("imageSprite_10.vtt", path);
        // Another thread: this one serves.
        let fetch = || async {
            let answer = super::support::http().get(url).send().await.unwrap();
            answer.bytes().await.unwrap().to_vec()
        };
        let bytes =
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(fetch()));
        let text = String::from_utf8(bytes.clone()).map(|text| text.replace('\n', "\r\n"));
        Reply::new(200, &[], &text.map_or(bytes, String::into_bytes))
    })
    .await;
    let said = ended(
        check(&["http://media.example.com/a/imageSprite_10.vtt"]).env("HTTP_PROXY", proxy.url()),
    );
    assert_eq!(said.code, 0, "{}", said.out);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sprites.md");
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(&format!("```text\n{}```\n", said.out)), "{}", said.out);
}

/// Each where it belongs, and no other.
#[test]
fn the_document_has_every_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sprites.md");
    let text = fs::read_to_string(path).unwrap();
    let rows = |heading: &str| -> Vec<String> {
        let (_, section) = text.split_once(&format!("\n## {heading}\n")).unwrap();
        let section = section.split("\n## ").next().unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
        rows.map(|row| row.split('`').next().unwrap().to_owned()).collect()
    };
    let codes = |is_repair: bool| -> Vec<String> {
        let codes = FindingCode::ALL.iter().filter(|code| code.is_repair() == is_repair);
        codes.map(|code| code.as_str().to_owned()).collect()
    };
    assert_eq!(rows("Findings"), codes(false));
    assert_eq!(rows("Repairs"), codes(true));
}
