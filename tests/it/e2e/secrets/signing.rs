//! Which text means which signing key: computed a second time by Python, and refused where anybody
//! could have it.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::super::Site;
use super::super::daemon::Daemon;
use crate::local_server::{LocalServer, Reply, Request};
use crate::support::until;

/// Reads the key in hexadecimal, then what is signed; says the signature, by the standard library.
const PYTHON: &str = "import base64, hashlib, hmac, sys
key, _, signed = sys.stdin.buffer.read().partition(b'\\n')
code = hmac.new(bytes.fromhex(key.decode()), signed, hashlib.sha256).digest()
print('v1,' + base64.b64encode(code).decode())";

fn signature(key: &[u8], request: &Request) -> String {
    let header = |name| request.header(name).unwrap();
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let (id, time) = (header("webhook-id"), header("webhook-timestamp"));
    let mut python = Command::new("python3")
        .args(["-c", PYTHON])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let told = format!("{hex}\n{id}.{time}.{}", request.body);
    python.stdin.take().unwrap().write_all(told.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn webhook(url: &str, name: &str, secret: &str) -> String {
    format!(
        "[[sinks]]\nname = '{name}'\ntype = 'webhook'\nurl = '{url}/{name}'\nsecret = {secret}\n"
    )
}

async fn taken() -> LocalServer {
    LocalServer::replying(vec![Reply::new(204, &[], b"")]).await
}

/// Each secret, the key that it means, and what is said of it. None of those that made a key before
/// makes another one, or none.
#[tokio::test(flavor = "multi_thread")]
async fn each_text_means_the_key_that_it_always_meant_and_doubts_are_told() {
    let hook = taken().await;
    let long = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz";
    let cases: [(&str, String, &[u8], &str); 12] = [
        ("base64", format!("'whsec_{long}'"), b"012345678901234567890123", ""),
        ("short", "'whsec_b2xk'".to_owned(), b"old", "its key has 3 bytes"),
        ("plain", "'correct horse'".to_owned(), b"correct horse", ""),
        ("unmarked", format!("'{long}'"), long.as_bytes(), "libraries of receivers"),
        ("shouted", "'WHSEC_b2xk'".to_owned(), b"WHSEC_b2xk", "nearly as whsec_"),
        ("hyphen", "'whsec-b2xk'".to_owned(), b"whsec-b2xk", "nearly as whsec_"),
        ("asymmetric", "'whsk_b2xk'".to_owned(), b"whsk_b2xk", "asymmetric"),
        ("quoted", "'\"a plain one\"'".to_owned(), b"\"a plain one\"", "in quotes"),
        ("file", "{ file = 'DIR/secret' }".to_owned(), b"of a file", ""),
        ("lines", "{ file = 'DIR/lines' }".to_owned(), b"of a file\n", "ends in a line end"),
        ("env", "{ env = 'HOOK' }".to_owned(), b"of the environment\n", "ends in a line end"),
        (
            "credential",
            "{ credential = 'hook' }".to_owned(),
            "\u{feff}of systemd".as_bytes(),
            "mark",
        ),
    ];
    let sinks: String =
        cases.iter().map(|(name, secret, _, _)| webhook(&hook.url(), name, secret)).collect();
    let site = Site::new(&sinks).await;
    for (name, text) in
        [("secret", "of a file\n"), ("lines", "of a file\n\n"), ("hook", "\u{feff}of systemd\n")]
    {
        std::fs::write(site.path(name), text).unwrap();
    }
    let folder = site.folder.path().to_str().unwrap().to_owned();
    let set = [("HOOK", "of the environment\n"), ("CREDENTIALS_DIRECTORY", folder.as_str())];
    site.add_sprites(1);
    let daemon = Daemon::start(site.folder.path(), &["run"], &set);
    until(|| hook.seen().len() == cases.len()).await;
    let warnings: Vec<String> = daemon
        .logged("configuration warning")
        .iter()
        .map(|line| line["warning"].as_str().unwrap().to_owned())
        .collect();
    for (name, _, key, says) in cases {
        let seen = hook.seen();
        let request = seen.iter().find(|request| request.target == format!("/{name}")).unwrap();
        let expected = signature(key, request);
        assert_eq!(request.header("webhook-signature"), Some(expected.as_str()), "{name}");
        let of_it: Vec<_> =
            warnings.iter().filter(|line| line.contains(&format!("\"{name}\" secret:"))).collect();
        let about = warnings.join("\n");
        assert_eq!(of_it.is_empty(), says.is_empty(), "{name}: {about}");
        assert!(of_it.iter().all(|line| line.contains(says)), "{name}: {about}");
    }
    daemon.stop().await;
}

/// What anybody could sign with is refused, wherever it stands, by all that read the file.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_none_is_refused_by_check_by_a_start_and_by_a_reload() {
    let hook = taken().await;
    let good = "'a key that others do not know'";
    let site = Site::new(&webhook(&hook.url(), "hook", good)).await;
    std::fs::write(site.path("empty"), "").unwrap();
    std::fs::write(site.path("blank"), " \t\n").unwrap();
    std::fs::write(site.path("marked"), "whsec_\n").unwrap();
    let set = [("EMPTY", ""), ("BLANK", "\n"), ("MARKED", "whsec_")];
    let daemon = Daemon::start(site.folder.path(), &["run"], &set);
    daemon.has_logged("started").await;
    let mut refusals = 0;
    let mut now = good.to_owned();
    for secret in [
        "''",
        "'whsec_'",
        "' '",
        "\"\\u200b\\ufeff\"",
        "'whsec_not base64'",
        "{ file = 'DIR/empty' }",
        "{ file = 'DIR/blank' }",
        "{ file = 'DIR/marked' }",
        "{ env = 'EMPTY' }",
        "{ env = 'BLANK' }",
        "{ env = 'MARKED' }",
    ] {
        let secret = secret.replace("DIR", site.folder.path().to_str().unwrap());
        for key in ["secret", "previous_secret"] {
            let written = match key {
                "secret" => secret.clone(),
                _ => format!("{good}\nprevious_secret = {secret}"),
            };
            site.edit(&format!("secret = {now}"), &format!("secret = {written}"));
            now = written;
            for arguments in [&["check", "--offline"][..], &["check"], &["run"]] {
                let mut ran = Daemon::start(site.folder.path(), arguments, &set);
                let code = ran.ended_within(Duration::from_secs(30)).await;
                let said = ran.log() + &std::fs::read_to_string(site.path("stdout")).unwrap();
                assert_eq!(code, 78, "{arguments:?} {now}: {said}");
                assert!(said.contains(&format!("\"hook\" {key}: ")), "{arguments:?}: {said}");
            }
            daemon.signal(Signal::SIGHUP);
            refusals += 1;
            until(|| {
                daemon.logged("reload rejected; previous configuration stays active").len()
                    == refusals
            })
            .await;
        }
    }
    // It signs with the good one all the while.
    site.add_sprites(1);
    until(|| hook.seen().len() == 1).await;
    let expected = signature(good.trim_matches('\'').as_bytes(), &hook.seen()[0]);
    assert_eq!(hook.seen()[0].header("webhook-signature"), Some(expected.as_str()));
    site.edit(&format!("secret = {now}"), &format!("secret = {good}"));
    daemon.stop().await;
}
