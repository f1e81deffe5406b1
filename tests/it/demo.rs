//! The demo, as the README has it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What a demo of three events that are pulled has to say.
fn assert_tells(output: &std::process::Output) {
    let pulled = "confirmed: the cloud has forgotten it";
    assert_tells_of(output, pulled, "confirmed, by the cloud");
}

/// What a demo of three events has to say, with this line for each and this sum.
fn assert_tells_of(output: &std::process::Output, each: &str, settled: &str) {
    let (said, complaint) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{complaint}");
    for step in ["  1  CreateImageSpriteComplete of file ", "  2  ProcedureStateChanged of file "] {
        assert!(said.contains(step), "{said}");
    }
    assert_eq!(said.matches(each).count(), 3, "{said}");
    for sum in ["finished by the cloud", "lines in the sink", settled] {
        assert!(said.contains(&format!("  {sum:<27}    3\n")), "{said}");
    }
    let end = "They add up: nothing was lost, nothing came twice.\n\n\
               To scrub through a sprite in a browser: sprited demo --keep\n";
    assert!(said.ends_with(end), "{said}");
}

#[test]
fn tells_of_each_event_and_its_sums_add_up() {
    // A proxy in the environment is not for this machine.
    let demo = Command::new(env!("CARGO_BIN_EXE_sprited"))
        .args(["demo", "--events", "3"])
        .env("HTTP_PROXY", "http://127.0.0.1:1")
        .output();
    assert_tells(&demo.unwrap());
}

#[test]
fn tells_of_each_event_that_is_posted_as_well() {
    let demo = Command::new(env!("CARGO_BIN_EXE_sprited"))
        .args(["demo", "--push", "--events", "3"])
        .env("HTTP_PROXY", "http://127.0.0.1:1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&demo.stdout);
    assert!(said.contains("\n  posted more than once          0\n"), "{said}");
    let posted = "answered with 200: the cloud has forgotten it";
    assert_tells_of(&demo, posted, "answered with 200");
}

#[test]
fn ends_soon_after_ctrl_c_at_any_point_and_its_sums_add_up() {
    let points = ["sink     ", "  1  CreateImageSpriteComplete", "pulled", "confirmed: ", "  2  "];
    for said in points {
        let mut demo = Command::new(env!("CARGO_BIN_EXE_sprited"))
            .arg("demo")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(demo.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains(said) {
            line.clear();
            assert_ne!(out.read_line(&mut line).unwrap(), 0, "it never said {said:?}");
        }
        let interrupted = Instant::now();
        kill(Pid::from_raw(i32::try_from(demo.id()).unwrap()), Signal::SIGINT).unwrap();
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        assert!(demo.wait().unwrap().success(), "{rest}");
        // A second where nothing else runs. A pull that the cloud holds would take up to five.
        assert!(interrupted.elapsed() < Duration::from_secs(3), "{:?}", interrupted.elapsed());
        assert!(rest.contains("nothing was lost, nothing came twice.\n"), "{said:?}: {rest}");
    }
}

/// The page of the link shows a sprite; Ctrl-C then ends it as ever.
#[test]
fn is_kept_open_for_whoever_wants_to_scrub() {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_sprited"))
        .args(["demo", "--keep", "--events", "1"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(demo.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("/sprites/") || !line.starts_with("  http://") {
        line.clear();
        assert_ne!(out.read_line(&mut line).unwrap(), 0, "it never had a link");
    }
    let (host, path) = line.trim().strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut page = TcpStream::connect(host).unwrap();
    write!(page, "GET /{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    page.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("class=\"pick"), "{answer}");
    kill(Pid::from_raw(i32::try_from(demo.id()).unwrap()), Signal::SIGINT).unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert!(demo.wait().unwrap().success(), "{rest}");
    assert!(rest.ends_with("nothing was lost, nothing came twice.\n"), "{rest}");
}

mod full {
    use super::*;

    #[test]
    #[ignore = "builds for release; tests/run --full"]
    fn the_command_of_the_readme() {
        let readme = std::fs::read_to_string("README.md").unwrap();
        let command = "cargo run --release -- demo --events 3";
        assert!(readme.contains(&format!("```sh\n{command}\n```")));
        let mut words = command.split(' ');
        let output = Command::new(words.next().unwrap()).args(words).output();
        assert_tells(&output.unwrap());
    }
}
