//! A receiver of webhooks that behaves as it is told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What was received, with the names of headers in lower case.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) line: String,
    pub(super) headers: HashMap<String, String>,
    pub(super) body: Vec<u8>,
    /// The connection it came over, counted from 0.
    pub(super) connection: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// A status, further header lines, and a body.
    Status(u16, &'static str, String),
    /// The head of an answer whose body never ends.
    SlowBody(u16),
    /// Nothing, for as long as the other side waits.
    Hang,
    /// A connection that breaks.
    Reset,
}

impl Answer {
    pub(super) fn status(status: u16) -> Self {
        Self::Status(status, "", String::new())
    }
}

type Behaviour = Arc<dyn Fn(&Request) -> Answer + Send + Sync>;

pub(super) struct Receiver {
    pub(super) url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    _tasks: JoinSet<()>,
}

impl Receiver {
    pub(super) async fn start(
        behaviour: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let (behaviour, seen): (Behaviour, _) = (Arc::new(behaviour), Arc::clone(&requests));
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, number, Arc::clone(&behaviour), Arc::clone(&seen)));
            }
        });
        Self { url, requests, _tasks: tasks }
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

async fn serve(
    stream: TcpStream,
    connection: usize,
    behaviour: Behaviour,
    seen: Arc<Mutex<Vec<Request>>>,
) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream, connection).await {
        let head_only = request.line.starts_with("HEAD ");
        let answer = behaviour(&request);
        seen.lock().unwrap().push(request);
        let bytes = match answer {
            Answer::Status(status, headers, body) => {
                let length = body.len();
                let body = if head_only { String::new() } else { body };
                format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n{body}")
            }
            Answer::SlowBody(status) => {
                let head = format!("HTTP/1.1 {status} X\r\ncontent-length: 1000000\r\n\r\n");
                stream.write_all(head.as_bytes()).await.unwrap();
                while stream.write_all(b"slow ").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                return;
            }
            Answer::Hang => {
                // Ends when the other side has had enough.
                drop(stream.read_u8().await);
                return;
            }
            Answer::Reset => {
                stream.get_ref().set_zero_linger().unwrap();
                return;
            }
        };
        if stream.write_all(bytes.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>, connection: usize) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let headers: HashMap<_, _> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request { line: lines.swap_remove(0), headers, body, connection })
}
