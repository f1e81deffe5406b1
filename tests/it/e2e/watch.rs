//! `sprited status --watch`, on a terminal and into a pipe.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::{Site, daemon, file};
use crate::support;

/// The program on a terminal of its own.
struct Watching {
    child: Child,
    screen: PathBuf,
}

impl Watching {
    fn start(site: &Site) -> Self {
        Self::sized(site, 100, 60)
    }

    /// On a terminal of that many columns and lines.
    fn sized(site: &Site, columns: usize, lines: usize) -> Self {
        let screen = site.path(&format!("screen.{columns}"));
        let config = site.path("sprited.toml");
        let command = format!(
            "stty cols {columns} rows {lines}; exec {} status --watch --config {}",
            daemon::PROGRAM,
            config.display()
        );
        let child = Command::new("script")
            .args(["--quiet", "--return", "--flush", "--command", &command])
            .arg(&screen)
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, screen }
    }

    /// All of it, and what it shows by now.
    fn screen(&self) -> (String, String) {
        let all = std::fs::read_to_string(&self.screen).unwrap_or_default();
        let last = all.rsplit("\x1b[H\x1b[2J").next().unwrap_or_default().to_owned();
        (all, last)
    }

    /// Waits until it shows this.
    async fn shows(&self, what: &str) {
        support::until(|| self.screen().1.contains(what)).await;
    }

    /// Presses Ctrl-C; how it ends.
    fn interrupted(mut self) -> Option<i32> {
        self.child.stdin.take().unwrap().write_all(b"\x03").unwrap();
        self.child.wait().unwrap().code()
    }
}

#[tokio::test]
async fn a_watch_shows_what_comes_and_waits_for_a_daemon_that_is_away() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let daemon = site.start();
    daemon.has_logged("started").await;
    let listen = daemon.logged("started")[0]["http"].as_str().unwrap().to_owned();
    site.edit("127.0.0.1:0", &listen);
    let watching = Watching::start(&site);
    watching.shows("0 delivered").await;
    site.add_sprites(3);
    watching.shows("3 delivered").await;

    daemon.stop().await;
    let absent = format!("no daemon answers at {listen}");
    watching.shows(&absent).await;
    watching.shows("waiting for it").await;
    assert!(!watching.screen().1.contains("delivered"), "these figures are nobody's");
    let daemon = site.start();
    site.add_sprites(2);
    watching.shows("5 delivered").await;
    let (all, _) = watching.screen();
    assert_eq!(all.matches(&absent).count(), 1, "{all}");
    assert_eq!(watching.interrupted(), Some(0));
    daemon.stop().await;
}

/// A program that reads along gets line after line, and nothing that a terminal would obey.
#[tokio::test]
async fn a_watch_into_a_pipe_is_a_line_a_look() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let daemon = site.start();
    daemon.has_logged("started").await;
    let listen = daemon.logged("started")[0]["http"].as_str().unwrap().to_owned();
    site.edit("127.0.0.1:0", &listen);
    let mut watching = Command::new(daemon::PROGRAM)
        .args(["status", "--watch", "--json", "--config"])
        .arg(site.path("sprited.toml"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let mut delivered = || -> u64 {
        let line = lines.next().unwrap().unwrap();
        let status: Value = serde_json::from_str(&line).expect(&line);
        status["journal"]["delivered"].as_u64().unwrap()
    };
    assert_eq!(delivered(), 0);
    site.add_sprites(3);
    site.drained().await;
    while delivered() < 3 {}
    let pid = Pid::from_raw(i32::try_from(watching.id()).unwrap());
    kill(pid, Signal::SIGINT).unwrap();
    assert_eq!(watching.wait().unwrap().code(), Some(0));
    daemon.stop().await;
}

#[tokio::test]
async fn the_headline_stays_on_a_small_terminal_whatever_fails() {
    let sink = |number: usize| {
        format!(
            "[[sinks]]\nname = 'hook-{number}'\ntype = 'webhook'\nevents = ['*']\n\
             url = 'http://127.0.0.1:9/{number}'\n"
        )
    };
    let site = Site::new(&(1..=7).map(sink).collect::<String>()).await;
    let daemon = site.start();
    daemon.has_logged("started").await;
    let listen = daemon.logged("started")[0]["http"].as_str().unwrap().to_owned();
    site.edit("127.0.0.1:0", &listen);
    site.add_sprites(20);
    for (columns, lines) in [(80, 24), (60, 20)] {
        let watching = Watching::sized(&site, columns, lines);
        watching.shows("7 sinks are down").await;
        watching.shows("more lines").await;
        let (all, _) = watching.screen();
        let page = all.rsplit("\x1b[H\x1b[2J").find(|page| page.contains("more lines")).unwrap();
        let (page, _) = page.split_once(" more lines").unwrap();
        let page: Vec<&str> = page.lines().collect();
        assert!(page[0].starts_with("sprited ") && page[0].ends_with(": DEGRADED"), "{page:#?}");
        assert!(page.len() < lines, "{page:#?}");
        assert!(page.iter().all(|line| line.chars().count() <= columns), "{page:#?}");
        for number in 1..=7 {
            let row = format!("  hook-{number}  down ");
            assert!(page.iter().any(|line| line.starts_with(&row)), "{row}: {page:#?}");
        }
        let told = page.iter().position(|line| line.ends_with(" more: sprited status"));
        assert!(told.is_some_and(|line| line < lines / 2), "{page:#?}");
        assert_eq!(watching.interrupted(), Some(0));
    }
    daemon.stop().await;
}
