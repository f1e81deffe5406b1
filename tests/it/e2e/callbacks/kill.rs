//! SIGKILL again and again while events are posted, at random moments and at named points on the way
//! of a posted event: whatever was answered with 200 is in the journal, and each event is delivered
//! once.
//!
//! How a point is reached: posts are under way; the daemon is stopped, the answers that have left it
//! are read, and the events are looked for in the journal and in the sink's file. If one is at the
//! point the daemon is killed, else it goes on for a moment.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream as StdStream;
use std::time::Instant;

use nix::sys::signal::Signal;
use rand::random_range;
use rusqlite::Connection;

use super::*;
use crate::e2e::file;
use crate::e2e::kill::ledger::{Stored, tasks_in};
use crate::support::until;

const CLIENTS: usize = 8;

/// Where a kill falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Point {
    /// Wherever the daemon is.
    Anywhere,
    /// Events were posted, and their append waits for the journal.
    Appending,
    /// An event is in the journal, and its answer has not left the daemon.
    Stored,
    /// An event was answered, and the sink does not have it.
    Answered,
}

impl Point {
    const ALL: [Self; 4] = [Self::Stored, Self::Anywhere, Self::Answered, Self::Appending];

    /// What it is called in the figures.
    fn name(self) -> &'static str {
        match self {
            Self::Anywhere => "at random moments",
            Self::Appending => "while the append waits",
            Self::Stored => "between append and answer",
            Self::Answered => "after the answer",
        }
    }
}

/// A connection on which one event after the other is posted.
struct Client {
    connection: StdStream,
    /// The one that is under way.
    event: Option<usize>,
    answer: Vec<u8>,
}

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let connection = StdStream::connect(address).unwrap();
        connection.set_nonblocking(true).unwrap();
        Self { connection, event: None, answer: Vec::new() }
    }

    fn post(&mut self, event: usize) {
        self.connection.write_all(&request(&path(), "", &body(event))).unwrap();
        self.event = Some(event);
    }

    /// The event whose answer has come.
    fn answered(&mut self) -> Option<usize> {
        let mut bytes = [0; 1024];
        while let Ok(length @ 1..) = self.connection.read(&mut bytes) {
            self.answer.extend_from_slice(&bytes[..length]);
        }
        let answer = std::str::from_utf8(&self.answer).unwrap();
        // A daemon that was stopped for long may find that the time to store it is over.
        let is_expected =
            ["HTTP/1.1 200 ", "HTTP/1.1 503 "].iter().any(|it| answer.starts_with(it));
        assert!(answer.is_empty() || is_expected, "{answer}");
        if !answer.ends_with(ACCEPTED) {
            return None;
        }
        self.answer.clear();
        self.event.take()
    }
}

/// Every fourth can happen again word for word.
fn body(event: usize) -> String {
    if event % 4 == 3 { cast(event) } else { sprite(event) }
}

fn cast(event: usize) -> String {
    let kind = "MediaCastStatusChanged";
    format!(r#"{{"EventType":"{kind}","{kind}Event":{{"CastId":"cast-{event}"}}}}"#)
}

/// The number of an event, by its task or cast.
fn number(name: &str) -> usize {
    name.rsplit_once('-').unwrap().1.parse().unwrap()
}

/// A daemon that is killed, and whoever posts to it.
struct Fixture {
    site: Site,
    /// Events that were posted at least once are those before this one.
    next: usize,
    /// Of them, those that a kill left without an answer: to be posted again.
    unanswered: Vec<usize>,
    answered: BTreeSet<usize>,
    stored: Stored,
    kills: BTreeMap<Point, usize>,
}

impl Fixture {
    async fn new() -> Self {
        let site = Site::new(&file("all", "*")).await;
        site.receives("");
        site.edit("level = 'debug'", "level = 'info'");
        let (answered, stored, kills) = Default::default();
        Self { site, next: 0, unanswered: Vec::new(), answered, stored, kills }
    }

    /// Has each client that waits for nothing post an event.
    fn post(&mut self, clients: &mut [Client]) {
        for client in clients.iter_mut().filter(|client| client.event.is_none()) {
            client.post(self.unanswered.pop().unwrap_or_else(|| {
                self.next += 1;
                self.next - 1
            }));
        }
    }

    fn read_answers(&mut self, clients: &mut [Client]) {
        self.answered.extend(clients.iter_mut().filter_map(Client::answered));
    }

    /// Starts the daemon, kills it at the point, and looks at what it left.
    async fn kill(&mut self, point: Point) {
        let mut daemon = self.site.start();
        let address = Poster::of(&daemon).await.address;
        let mut clients: Vec<_> = (0..CLIENTS).map(|_| Client::connect(address)).collect();
        let lock = (point == Point::Appending).then(|| self.lock());
        let moments = random_range(1..20);
        let deadline = Instant::now() + Duration::from_secs(60);
        for moment in 1.. {
            self.post(&mut clients);
            let pause = if point == Point::Appending { 50_000..150_000 } else { 0..4_000 };
            tokio::time::sleep(Duration::from_micros(random_range(pause))).await;
            if point == Point::Anywhere {
                self.read_answers(&mut clients);
                if moment == moments {
                    break;
                }
                continue;
            }
            daemon.pause();
            self.read_answers(&mut clients);
            if self.is_at(point, &clients) {
                break;
            }
            assert!(Instant::now() < deadline, "no event came to {point:?}");
            daemon.signal(Signal::SIGCONT);
        }
        daemon.signal(Signal::SIGKILL);
        assert_eq!(daemon.ended_within(Duration::from_secs(10)).await, 128 + 9);
        drop(lock);
        // What had left it by then has arrived.
        self.read_answers(&mut clients);
        self.unanswered.extend(clients.iter().filter_map(|client| client.event));
        *self.kills.entry(point).or_default() += 1;
        let stored = self.stored();
        let lost: Vec<_> = self.answered.difference(&stored).collect();
        assert!(lost.is_empty(), "answered after {point:?} and not in the journal: {lost:?}");
    }

    /// Keeps the journal from being written until the value is dropped.
    fn lock(&self) -> Connection {
        let journal = Connection::open(self.site.path("journal.db")).unwrap();
        journal.busy_timeout(Duration::from_secs(20)).unwrap();
        journal.execute_batch("BEGIN IMMEDIATE").unwrap();
        journal
    }

    /// Whether an event is there; the daemon is stopped.
    fn is_at(&mut self, point: Point, clients: &[Client]) -> bool {
        let mut under_way = clients.iter().filter_map(|client| client.event);
        let stored = self.stored();
        match point {
            Point::Anywhere => true,
            Point::Appending => under_way.any(|event| !stored.contains(&event)),
            Point::Stored => under_way.any(|event| stored.contains(&event)),
            Point::Answered => {
                let delivered = self.delivered().into_iter().collect();
                self.answered.difference(&delivered).next().is_some()
            }
        }
    }

    /// Those in the journal; the daemon is stopped or dead.
    fn stored(&mut self) -> BTreeSet<usize> {
        self.stored.read(&self.site.path("journal.db"));
        self.stored.tasks.iter().map(|name| number(name)).collect()
    }

    /// Those in the sink's file, as often as they stand there.
    fn delivered(&self) -> Vec<usize> {
        let text = std::fs::read(self.site.path("all.jsonl")).unwrap_or_default();
        tasks_in(&text).iter().map(|name| number(name)).collect()
    }

    /// The last start: what has no answer is posted again, and all is delivered, once.
    async fn end(&mut self) {
        let daemon = self.site.start();
        let poster = Poster::of(&daemon).await;
        for event in std::mem::take(&mut self.unanswered) {
            assert_eq!(poster.post(&body(event)).await.0, 200);
        }
        until(|| self.delivered().len() >= self.next).await;
        daemon.stop().await;
        let mut delivered = self.delivered();
        delivered.sort_unstable();
        assert!(delivered.into_iter().eq(0..self.next), "lost, or there twice");
        assert_eq!(self.site.run(&["audit"]).await.code, 0);
    }
}

#[allow(clippy::print_stdout, reason = "shown with the test that failed, and in a full run")]
async fn killed(kills: usize) {
    let mut fixture = Fixture::new().await;
    for point in Point::ALL.into_iter().cycle().take(kills) {
        fixture.kill(point).await;
    }
    fixture.end().await;
    for (point, kills) in &fixture.kills {
        println!("{kills} kills {}", point.name());
    }
    println!("{} events: each delivered once", fixture.next);
}

#[tokio::test]
async fn what_was_answered_survives_a_kill_and_is_delivered_once() {
    killed(12).await;
}

/// `tests/run --full`
mod full {
    #[tokio::test]
    #[ignore = "takes a minute; tests/run --full"]
    async fn what_was_answered_survives_a_hundred_kills_and_is_delivered_once() {
        super::killed(100).await;
    }
}
