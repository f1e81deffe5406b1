//! Reload, stop, and a socket that outlives the daemon.

use std::process::Command;
use std::time::Instant;

use futures_util::future::join_all;
use nix::sys::signal::Signal;

use super::*;
use crate::e2e::daemon::PROGRAM;
use crate::e2e::file;
use crate::support::until;

async fn reload(daemon: &Daemon, expected: usize) {
    daemon.signal(Signal::SIGHUP);
    until(|| daemon.logged("reloaded").len() == expected).await;
}

#[tokio::test]
async fn a_reload_takes_over_tokens_keys_and_limits() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    site.receives("");
    let daemon = site.start();
    let poster = Poster::of(&daemon).await;
    let mut kept = poster.connect().await;
    let other = format!("http://{}/vod/{APP}/a-second-token-of-the-tests", poster.address);
    assert_eq!(poster.post_to(&other, &sprite(0)).await.0, 404);
    site.set_token("a-second-token-of-the-tests");
    reload(&daemon, 1).await;
    assert_eq!(daemon.logged("reloaded")[0]["tables"], "receive");
    assert_eq!(poster.post_to(&other, &sprite(0)).await.0, 200);
    assert_eq!(poster.post(&sprite(1)).await.0, 404);
    kept.send(&request(&path(), "", &sprite(1))).await;
    assert!(kept.rest(Duration::from_millis(500)).await.starts_with("HTTP/1.1 404 "));
    let more = format!("\nprevious_token = '{TOKEN}'\nsign_key = '{SIGN_KEY}'\nmax_body = '64KiB'");
    site.edit("token' }\n", &format!("token' }}{more}\n"));
    reload(&daemon, 2).await;
    assert_eq!(poster.post(&sprite(1)).await.0, 403);
    let signed = format!("{}?{SIGN}", poster.url());
    assert_eq!(poster.post_to(&signed, &sprite(1)).await.0, 200);
    assert_eq!(poster.post_to(&signed, &"1".repeat(65_537)).await.0, 413);

    // All or nothing.
    site.set_token("short");
    daemon.signal(Signal::SIGHUP);
    let rejected = "reload rejected; previous configuration stays active";
    daemon.has_logged(rejected).await;
    let error = daemon.logged(rejected)[0]["error"].as_str().unwrap().to_owned();
    assert!(error.contains("[receive] token: is shorter than 20 characters"), "{error}");
    assert_eq!(poster.post_to(&signed, &sprite(2)).await.0, 200);
    site.set_token(TOKEN);
    site.edit("listen = '127.0.0.1:0'\ntoken", "listen = '127.0.0.1:1'\ntoken");
    daemon.signal(Signal::SIGHUP);
    until(|| daemon.logged(rejected).len() == 2).await;
    assert_eq!(daemon.logged(rejected)[1]["error"], "[receive] listen: a change needs a restart");
    site.delivered("sprites.jsonl", 3).await;
    daemon.stop().await;
    site.assert_once("sprites.jsonl", 3);
}

#[tokio::test]
async fn a_stop_gives_what_is_in_hand_its_time_and_no_more() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    site.receives("");
    let mut daemon = site.start();
    let poster = Poster::of(&daemon).await;
    let whole = request(&path(), "", &sprite(0));
    let (mut quick, mut never) = (poster.connect().await, poster.connect().await);
    for connection in [&mut quick, &mut never] {
        connection.send(&whole[..whole.len() - 1]).await;
    }
    let idle = poster.connect().await;
    // Both are read by then.
    assert_eq!(poster.post(&sprite(1)).await.0, 200);
    daemon.signal(Signal::SIGTERM);
    daemon.has_logged("stopping").await;
    let start = Instant::now();
    until(|| std::net::TcpStream::connect(poster.address).is_err()).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    quick.send(&whole[whole.len() - 1..]).await;
    let answer = quick.rest(Duration::from_secs(1)).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    assert_eq!(daemon.ended_within(Duration::from_secs(10)).await, 0);
    let lasted = start.elapsed();
    assert!((3..6).contains(&lasted.as_secs()), "{lasted:?}");
    assert_eq!(never.rest(Duration::from_secs(1)).await, "");
    drop(idle);
    assert_eq!(site.journaled(None).len(), 2);
}

/// Idle connections stay open for a moment after the stop, and each answer says that it is the last.
#[tokio::test]
async fn no_request_is_lost_that_is_being_sent_at_the_stop() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    site.receives("");
    let daemon = site.start();
    let poster = Poster::of(&daemon).await;
    let post = async |client: usize| {
        let mut connection = poster.connect().await;
        for number in 0.. {
            let sent =
                connection.send(&request(&path(), "", &sprite(client * 1000 + number))).await;
            let answer = connection.answer().await;
            assert!(sent && answer.starts_with("HTTP/1.1 200 "), "{number}: {answer:?}");
            if answer.to_ascii_lowercase().contains("connection: close") {
                return number + 1;
            }
            // Most of them are idle at any moment.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        unreachable!()
    };
    let stopping = async {
        until(|| site.lines("sprites.jsonl").len() > 20).await;
        daemon.signal(Signal::SIGTERM);
    };
    let (posted, ()) = tokio::join!(join_all((0..8).map(post)), stopping);
    daemon.has_logged("stopped").await;
    assert_eq!(site.journaled(None).len(), posted.iter().sum::<usize>());
}

/// What starts the daemon as systemd does from a socket unit: the socket stays open in the parent.
const PARENT: &str = "
import os, socket, subprocess, sys
listener = socket.create_server(('127.0.0.1', 0))
print(listener.getsockname()[1], flush=True)
def pass_on():
    os.dup2(listener.fileno(), 3)
    os.environ['LISTEN_PID'] = str(os.getpid())
program = ['sh', '-c', 'LISTEN_PID=$$ exec \"$@\"', 'sh'] + sys.argv[1:]
environment = dict(os.environ, LISTEN_FDS='1', LISTEN_FDNAMES='callbacks')
while True:
    sys.stdin.readline() or sys.exit()
    child = subprocess.Popen(program, env=environment, pass_fds=[3], preexec_fn=pass_on)
    sys.stdin.readline()
    child.terminate()
    child.wait()
    print('ended', flush=True)
";

#[tokio::test]
async fn over_a_restart_a_passed_socket_refuses_no_connection() {
    use std::io::{BufRead, Write};
    let site = Site::new(&file("sprites", "image-sprite")).await;
    site.receives("");
    let log = site.path("log");
    let mut parent = Command::new("python3")
        .args(["-c", PARENT, PROGRAM, "run"])
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap())
        .env("SPRITED_CONFIG", site.path("sprited.toml"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let mut said = std::io::BufReader::new(parent.stdout.take().unwrap()).lines();
    let mut tell = parent.stdin.take().unwrap();
    let port: u16 = said.next().unwrap().unwrap().parse().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let poster = Poster { address, http: crate::support::http() };
    let logged = |what: &str| std::fs::read_to_string(&log).unwrap().matches(what).count();

    writeln!(tell, "start").unwrap();
    assert_eq!(poster.post(&sprite(0)).await.0, 200);
    assert_eq!(logged("receiving on the socket that the service manager passed"), 1);
    writeln!(tell, "stop").unwrap();
    assert_eq!(said.next().unwrap().unwrap(), "ended");
    // Nobody is there, and nobody is refused: the kernel keeps them.
    let waiting = join_all((1..=20).map(|number| poster.raw_later(number)));
    let started = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        writeln!(tell, "start").unwrap();
    };
    let (answers, ()) = tokio::join!(waiting, started);
    assert!(answers.iter().all(|answer| answer.starts_with("HTTP/1.1 200 ")), "{answers:?}");
    until(|| site.lines("sprites.jsonl").len() == 21).await;
    writeln!(tell, "stop").unwrap();
    assert_eq!(said.next().unwrap().unwrap(), "ended");
    drop(tell);
    parent.wait().unwrap();
    site.assert_once("sprites.jsonl", 21);
}

impl Poster {
    /// As [`Poster::raw`], over a connection that may have to wait for its daemon.
    async fn raw_later(&self, number: usize) -> String {
        let mut connection = self.connect().await;
        let request = request(&path(), "Connection: close\r\n", &sprite(number));
        connection.send(&request).await;
        connection.rest(Duration::from_secs(20)).await
    }
}

/// Where the real thing is there.
#[tokio::test]
#[allow(clippy::print_stdout, reason = "tells what was tested")]
async fn systemds_own_tool_passes_a_socket() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    site.receives("");
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    if Command::new("systemd-socket-activate").arg("--version").output().is_err() {
        println!("NOT RUN: there is no systemd-socket-activate here");
        return;
    }
    // The first connection starts the daemon.
    let mut command = Command::new("systemd-socket-activate");
    command
        .args([&format!("--listen=127.0.0.1:{port}"), "--fdname=callbacks"])
        .arg(format!("--setenv=SPRITED_CONFIG={}", site.path("sprited.toml").display()))
        .args([PROGRAM, "run"]);
    let daemon = Daemon::spawn(command, site.folder.path());
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    until(|| std::net::TcpStream::connect(address).is_ok()).await;
    let poster = Poster { address, http: crate::support::http() };
    assert_eq!(poster.post(&sprite(0)).await.0, 200);
    let said = "receiving on the socket that the service manager passed; [receive] listen is not \
                used";
    daemon.has_logged(said).await;
    assert_eq!(daemon.logged(said)[0]["address"], address.to_string());
    until(|| site.lines("sprites.jsonl").len() == 1).await;
    site.delivered("sprites.jsonl", 1).await;
    daemon.stop().await;
    site.assert_once("sprites.jsonl", 1);
}

#[tokio::test]
async fn a_taken_address_is_named_with_what_to_do() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    site.receives("");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    site.edit("listen = '127.0.0.1:0'\ntoken", &format!("listen = '{address}'\ntoken"));
    let ended = site.run(&["run"]).await;
    assert_eq!(ended.code, 1);
    let expected = format!("[receive] listen: cannot listen on {address}: Address already in use");
    assert!(ended.log.contains(&expected), "{}", ended.log);
}
