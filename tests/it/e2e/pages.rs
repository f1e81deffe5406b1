//! The listener: whom it answers, and what it does not put up with.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::daemon::Daemon;
use super::{Site, file};

async fn connect(daemon: &Daemon) -> TcpStream {
    daemon.has_logged("started").await;
    let address = daemon.logged("started")[0]["http"].as_str().unwrap().to_owned();
    TcpStream::connect(address).await.unwrap()
}

/// What comes back for these bytes until the other end closes.
async fn answer(daemon: &Daemon, request: &str) -> String {
    let mut stream = connect(daemon).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A reset after the answer is an end as well.
    drop(timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.unwrap());
    String::from_utf8_lossy(&answer).into_owned()
}

fn request(method: &str, path: &str, host: &str, more: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n")
}

#[tokio::test]
async fn only_who_asks_for_this_machine_is_answered() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let daemon = site.start();
    for path in ["/metrics", "/healthz", "/readyz"] {
        let ok = answer(&daemon, &request("GET", path, "localhost:9770", "")).await;
        assert!(ok.starts_with("HTTP/1.1 200 ") || path == "/readyz", "{ok}");
        for header in ["content-security-policy: default-src 'none'", "nosniff", "no-store"] {
            assert!(ok.contains(header), "{path}: {header}: {ok}");
        }
        // Another's name that leads here, as a page from elsewhere would have it.
        let refused = answer(&daemon, &request("GET", path, "rebound.example", "")).await;
        assert!(refused.starts_with("HTTP/1.1 421 ") && !refused.contains("sprited_"), "{refused}");
    }
    daemon.stop().await;
}

#[tokio::test]
async fn nothing_can_be_sent_to_it() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let daemon = site.start();
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let refused = answer(&daemon, &request(method, "/readyz", "127.0.0.1", "")).await;
        assert!(refused.starts_with("HTTP/1.1 405 "), "{method}: {refused}");
    }
    let head = answer(&daemon, &request("HEAD", "/healthz", "127.0.0.1", "")).await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    let large = format!("X-Large: {}\r\n", "x".repeat(20_000));
    let refused = answer(&daemon, &request("GET", "/healthz", "127.0.0.1", &large)).await;
    assert!(!refused.starts_with("HTTP/1.1 200 "), "{refused}");
    daemon.stop().await;
}

/// As many as hold on to their connections, the next one is answered all the same.
#[tokio::test]
async fn whoever_says_nothing_is_let_go_and_others_are_answered() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let daemon = site.start();
    let mut silent = Vec::new();
    for _ in 0..40 {
        let mut stream = connect(&daemon).await;
        stream.write_all(b"GET /healthz HT").await.unwrap();
        silent.push(stream);
    }
    assert_eq!(daemon.get("/healthz").await.0, 200);
    daemon.stop().await;
}
