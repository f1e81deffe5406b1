//! Events that are posted: the receiver as the cloud meets it, and as others do.

mod chain;
mod commands;
mod disk;
mod kill;
mod limits;
mod nginx;
mod prompt;
mod pull_off;
mod refused;
mod restart;
mod roads;
mod taken;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Site;
use super::daemon::Daemon;
use crate::support::data;

const TOKEN: &str = "token-of-the-tests_0123456789";
const APP: u64 = 1_500_012_345;
/// That of the vectors.
const SIGN_KEY: &str = "Ab3dEf6hIj9k";
/// A signature by it that holds for years.
const SIGN: &str = "Sign=950736b97d07b7aefff7427c5e1f5d75&T=9223372036854775807";
/// The key of the seed's event.
const SEED_KEY: &str = "7b6fcf25ccdc05e326af032112ac9b3b";
const ACCEPTED: &str = r#"{"code":0}"#;
const REFUSED: &str = "posted event refused";

impl Site {
    /// Has its daemon receive events, with further lines of the table.
    pub(super) fn receives(&self, more: &str) {
        self.set_token(TOKEN);
        let token = self.path("token").display().to_string();
        let table = format!(
            "[receive]\nlisten = '127.0.0.1:0'\ntoken = {{ file = '{token}' }}\n{more}\n[http]"
        );
        self.edit("[http]", &table);
    }

    /// Waits until the file has so many events: an answer tells of the journal only.
    async fn delivered(&self, name: &str, count: usize) {
        crate::support::until(|| self.lines(name).len() >= count).await;
    }

    fn set_token(&self, token: &str) {
        let path = self.path("token");
        std::fs::write(&path, token).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// Whoever posts to a daemon.
pub(super) struct Poster {
    address: SocketAddr,
    http: reqwest::Client,
}

impl Poster {
    /// Waits until the daemon receives.
    pub(super) async fn of(daemon: &Daemon) -> Self {
        daemon.has_logged("started").await;
        let started = daemon.logged("started");
        let address = started[0]["receive"].as_str().expect("it receives nothing");
        Self { address: address.parse().unwrap(), http: crate::support::http() }
    }

    fn url(&self) -> String {
        format!("http://{}{}", self.address, path())
    }

    /// Posts a body; status and body of the answer.
    pub(super) async fn post(&self, body: &str) -> (u16, String) {
        self.post_to(&self.url(), body).await
    }

    async fn post_to(&self, url: &str, body: &str) -> (u16, String) {
        let answer = self.http.post(url).body(body.to_owned()).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn connect(&self) -> Raw {
        Raw(TcpStream::connect(self.address).await.unwrap())
    }

    /// The answer to these bytes, until the connection ends or a second goes by without a byte.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut connection = self.connect().await;
        connection.send(bytes).await;
        connection.rest(Duration::from_secs(1)).await
    }
}

/// A connection whose bytes the test writes.
struct Raw(TcpStream);

impl Raw {
    /// The receiver may have closed it.
    async fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).await.is_ok()
    }

    /// What comes until the end, or until nothing comes for so long.
    async fn rest(&mut self, patience: Duration) -> String {
        let mut bytes = Vec::new();
        while let Ok(Ok(1..)) = tokio::time::timeout(patience, self.0.read_buf(&mut bytes)).await {}
        String::from_utf8(bytes).unwrap()
    }

    /// The answer to a post that is taken; less where the connection ends before.
    async fn answer(&mut self) -> String {
        let mut bytes = Vec::new();
        while !bytes.ends_with(ACCEPTED.as_bytes())
            && let Ok(1..) = self.0.read_buf(&mut bytes).await
        {}
        String::from_utf8(bytes).unwrap()
    }

    /// Waits until the receiver has closed it.
    async fn is_closed_within(&mut self, patience: Duration) -> bool {
        let mut bytes = Vec::new();
        let ended = async { while let Ok(1..) = self.0.read_buf(&mut bytes).await {} };
        tokio::time::timeout(patience, ended).await.is_ok()
    }
}

fn path() -> String {
    format!("/vod/{APP}/{TOKEN}")
}

/// An address for a daemon that starts again and again: no other test gets its port, since the kernel
/// hands out none of these.
fn fixed_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id() + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + u16::try_from(number % 10_000).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if std::net::TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// A request with a body.
fn request(target: &str, more: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!("POST {target} HTTP/1.1\r\nHost: any.example\r\nContent-Length: {length}");
    format!("{head}\r\n{more}\r\n{body}").into_bytes()
}

/// The seed's event, as it is posted.
pub(super) fn seed() -> String {
    data("callbacks/seed_push.json")
}

/// An event with one sprite, and no other's.
fn sprite(number: usize) -> String {
    let body = serde_json::from_str::<Value>(&seed()).unwrap().to_string();
    let task =
        serde_json::from_str::<Value>(&body).unwrap()["CreateImageSpriteCompleteEvent"]["TaskId"]
            .as_str()
            .unwrap()
            .to_owned();
    body.replace(&task, &format!("{task}-{number}"))
}

/// An event that can happen again word for word.
fn recurring(number: usize) -> String {
    format!(r#"{{"EventType":"MediaCastStatusChanged","E":{{"CastId":"{number}"}}}}"#)
}
