//! Clients that keep their connections, say half of what they want, or do not read what they asked
//! for: probes get through beside them, and nobody is cut who is being answered.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::daemon::Daemon;
use super::{Site, file};
use crate::support::until;

/// Most probes wait for a second; these machines may be busy. A connection that is idle is closed
/// after five anyway.
const PROBE_TIME: Duration = Duration::from_secs(3);

/// A daemon, and where its pages are.
async fn daemon(site: &Site) -> (Daemon, SocketAddr) {
    let daemon = site.start();
    daemon.has_logged("started").await;
    let address = daemon.logged("started")[0]["http"].as_str().unwrap().parse().unwrap();
    // The pages have something to tell.
    site.add_sprites(3);
    site.drained().await;
    (daemon, address)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// A client that can hold next to nothing of what it does not read.
async fn narrow(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(1).unwrap();
    socket.connect(address).await.unwrap()
}

/// A connection, and what came over it and was not looked at.
struct Talk {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Talk {
    fn over(stream: TcpStream) -> Self {
        Self { stream, read: Vec::new() }
    }

    async fn say(&mut self, text: &str) -> std::io::Result<()> {
        self.stream.write_all(text.as_bytes()).await
    }

    /// A whole answer: status line and body. `None` if the connection was closed before.
    async fn answer(&mut self) -> Option<(String, Vec<u8>)> {
        let Self { stream, read } = self;
        let head = loop {
            if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break String::from_utf8(read.drain(..end + 4).collect()).unwrap();
            }
            if stream.read_buf(read).await.ok()? == 0 {
                return None;
            }
        };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.unwrap().parse().unwrap();
        while read.len() < length {
            if stream.read_buf(read).await.ok()? == 0 {
                return None;
            }
        }
        Some((head.lines().next().unwrap().to_owned(), read.drain(..length).collect()))
    }
}

/// What the system has from the daemon for this client and does not get rid of, in bytes.
fn queued(from: SocketAddr, to: SocketAddr) -> usize {
    let written = |address: SocketAddr| format!("0100007F:{:04X}", address.port());
    let ends = format!(" {} {} 01 ", written(from), written(to));
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let queued = table.lines().find_map(|line| line.split_once(&ends)?.1.split(':').next());
    queued.map_or(0, |queued| usize::from_str_radix(queued, 16).unwrap())
}

/// Waits until it has been the same for a while: the daemon cannot write to it any more.
async fn has_stalled(from: SocketAddr, to: SocketAddr) {
    let last = std::cell::Cell::new((0, Instant::now()));
    until(|| {
        let queued = queued(from, to);
        if queued != last.get().0 {
            last.set((queued, Instant::now()));
        }
        queued > 0 && last.get().1.elapsed() > Duration::from_millis(200)
    })
    .await;
}

/// What a client does with its connection.
#[derive(Clone, Copy, Debug)]
enum Client {
    /// Asks, reads, and keeps the connection.
    Keeps,
    /// The same, over and over without a pause, and comes back when it is sent away.
    Insists,
    /// Asks for half of something.
    SaysHalf,
    /// Says nothing.
    IsSilent,
    /// Asks for this many times over and reads nothing.
    ReadsNothingOf(&'static str),
}

impl Client {
    /// Does it for as long as it is let; has begun once it says so.
    async fn run(self, address: SocketAddr, begun: tokio::sync::mpsc::Sender<()>) {
        loop {
            let mut talk = Talk::over(match self {
                Self::ReadsNothingOf(_) => narrow(address).await,
                _ => TcpStream::connect(address).await.unwrap(),
            });
            let asked = match self {
                Self::Keeps | Self::Insists => get("/healthz"),
                Self::SaysHalf => "GET /healthz HTTP/1.1\r\nHost: loc".to_owned(),
                Self::IsSilent => String::new(),
                Self::ReadsNothingOf(path) => get(path).repeat(300),
            };
            // More than the daemon takes before its answers are read.
            let written = timeout(Duration::from_millis(300), talk.say(&asked)).await;
            drop(written);
            loop {
                let reads = matches!(self, Self::Keeps | Self::Insists);
                if reads && talk.answer().await.is_none() {
                    break;
                }
                begun.try_send(()).ok();
                if !matches!(self, Self::Insists) {
                    std::future::pending::<()>().await;
                }
                if talk.say(&asked).await.is_err() {
                    break;
                }
            }
        }
    }
}

/// Asks as a probe does, by a connection of its own.
async fn probe(address: SocketAddr, what: &str) -> String {
    let start = Instant::now();
    let asked = async {
        let mut talk = Talk::over(TcpStream::connect(address).await.unwrap());
        talk.say(&get("/healthz")).await.unwrap();
        talk.answer().await
    };
    let answered = timeout(Duration::from_secs(60), asked).await;
    let took = start.elapsed();
    let (status, _) = answered.expect(what).unwrap_or_else(|| panic!("{what}: sent away"));
    assert!(took < PROBE_TIME, "{what}: it took {took:?}");
    status
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_get_through_whatever_others_do_with_their_connections() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let (daemon, address) = daemon(&site).await;
    for client in [
        Client::Keeps,
        Client::Insists,
        Client::SaysHalf,
        Client::IsSilent,
        Client::ReadsNothingOf("/metrics"),
        Client::ReadsNothingOf("/"),
        Client::ReadsNothingOf("/healthz"),
    ] {
        for number in [40, 400] {
            // More of those that ask all the time are more than two processors can answer.
            let is_busy = matches!(client, Client::Insists | Client::ReadsNothingOf("/healthz"));
            let number = if is_busy { number.min(200) } else { number };
            let what = format!("{client:?}, {number} of them");
            let (begun, mut begins) = tokio::sync::mpsc::channel(number);
            let mut clients = JoinSet::new();
            for _ in 0..number {
                clients.spawn(client.run(address, begun.clone()));
            }
            for _ in 0..10 {
                assert_eq!(probe(address, &what).await, "HTTP/1.1 200 OK", "{what}");
            }
            // Those that get nowhere have begun as well as they can.
            for _ in 0..number.min(32) {
                timeout(Duration::from_secs(30), begins.recv()).await.expect(&what).unwrap();
            }
            for _ in 0..10 {
                assert_eq!(probe(address, &what).await, "HTTP/1.1 200 OK", "{what}");
            }
            let sockets = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap();
            let sockets = sockets.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
            let sockets = sockets.filter(|to| to.to_string_lossy().starts_with("socket:")).count();
            assert!(sockets < 128 + 40, "{what}: {sockets} sockets");
            clients.shutdown().await;
        }
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_read_slowly_is_not_cut_and_one_that_is_not_read_is() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let (daemon, address) = daemon(&site).await;
    // So many that they do not fit into what the system holds for a client that does not read.
    let slow = tokio::spawn(async move {
        let mut talk = Talk::over(narrow(address).await);
        talk.say(&get("/metrics").repeat(3)).await.unwrap();
        let mut whole = 0;
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let (status, body) = talk.answer().await.expect("cut while it was answered");
            assert_eq!(status, "HTTP/1.1 200 OK");
            whole += usize::from(body.ends_with(b"\n"));
        }
        whole
    });
    let mut stalled = Talk::over(narrow(address).await);
    drop(timeout(Duration::from_millis(300), stalled.say(&get("/").repeat(2000))).await);
    let begun = Instant::now();
    // Until then it is one of those that could be sent away.
    has_stalled(address, stalled.stream.local_addr().unwrap()).await;
    // Many others come meanwhile.
    let mut others = JoinSet::new();
    let (told, _hears) = tokio::sync::mpsc::channel(1);
    for _ in 0..200 {
        others.spawn(Client::Keeps.run(address, told.clone()));
    }
    assert_eq!(slow.await.unwrap(), 3);
    // The daemon has given it up by then: nothing comes any more of what it was asked for.
    until(|| daemon.log().contains("the client did not take its answer in time")).await;
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(9) && took < Duration::from_secs(30), "{took:?}");
    others.shutdown().await;
    daemon.stop().await;
}
