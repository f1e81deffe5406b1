//! Clients that are slow or many.

use std::time::Instant;

use futures_util::future::join_all;

use super::*;
use crate::e2e::file;

#[tokio::test]
async fn slow_heads_and_bodies_are_cut_and_idle_connections_are_kept() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    site.receives("");
    let daemon = site.start();
    let poster = Poster::of(&daemon).await;
    let mut idle = poster.connect().await;
    idle.send(&request(&path(), "", &sprite(0))).await;
    assert!(idle.rest(Duration::from_millis(500)).await.starts_with("HTTP/1.1 200 "));
    let silent = poster.connect().await;

    // A byte each second is too slow, wherever it is.
    let whole = request(&path(), "", &sprite(1));
    let body_at = whole.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let trickle = async |from: usize| {
        let mut connection = poster.connect().await;
        connection.send(&whole[..from]).await;
        let start = Instant::now();
        let mut answer = String::new();
        for byte in whole[from..].chunks(1) {
            if !connection.send(byte).await {
                break;
            }
            answer = connection.rest(Duration::from_secs(1)).await;
            if !answer.is_empty() || connection.is_closed_within(Duration::from_millis(1)).await {
                break;
            }
        }
        (answer, start.elapsed())
    };
    let (head, body) = tokio::join!(trickle(1), trickle(body_at));
    let window = Duration::from_secs(9)..Duration::from_secs(14);
    assert!(head.0.is_empty() && window.contains(&head.1), "{head:?}");
    assert!(body.0.starts_with("HTTP/1.1 408 ") && window.contains(&body.1), "{body:?}");
    assert_eq!(daemon.metric("sprited_received_refused_total{reason=\"slow\"}").await, 1.0);

    // One that only waits is there for the next event, and so is one that has sent nothing yet.
    for mut kept in [idle, silent] {
        kept.send(&request(&path(), "", &sprite(2))).await;
        let answer = kept.rest(Duration::from_millis(500)).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    site.delivered("sprites.jsonl", 2).await;
    daemon.stop().await;
    site.assert_once("sprites.jsonl", 2);
}

/// In the head, in the body, without a token.
#[tokio::test]
async fn slow_connections_in_all_slots_keep_nobody_out() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    site.receives("max_connections = 30");
    let daemon = site.start();
    let poster = Poster::of(&daemon).await;
    let mut kept = poster.connect().await;
    kept.send(&request(&path(), "", &sprite(0))).await;
    assert!(kept.rest(Duration::from_millis(500)).await.starts_with("HTTP/1.1 200 "));
    let whole = request(&path(), "", &sprite(1));
    let slow = join_all((0..60).map(async |number| {
        let mut connection = poster.connect().await;
        match number % 3 {
            0 => true,
            1 => connection.send(&whole[..20]).await,
            _ => connection.send(&whole[..whole.len() - 1]).await,
        };
        connection
    }))
    .await;
    for number in 2..40 {
        let start = Instant::now();
        assert_eq!(poster.post(&sprite(number)).await.0, 200);
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
        // Over a connection of its own each time.
        let answer = poster.raw(&request(&path(), "Connection: close\r\n", &sprite(number))).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    // A client that has shown its token is not put out for others.
    kept.send(&request(&path(), "", &sprite(40))).await;
    let answer = kept.rest(Duration::from_millis(500)).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    drop(slow);
    site.delivered("sprites.jsonl", 40).await;
    daemon.stop().await;
    site.assert_once("sprites.jsonl", 40);
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_counted_by_what_cut_it() {
    let site = Site::new(&file("all", "*")).await;
    site.receives("max_connections = 2");
    let daemon = site.start();
    let poster = Poster::of(&daemon).await;
    let whole = request(&path(), "", &sprite(0));
    let body = sprite(0).len() - 1;
    let begin = async || {
        let mut connection = poster.connect().await;
        connection.send(&whole[..whole.len() - 1]).await;
        connection
    };
    let mut bodies = [begin().await, begin().await];
    let answer = poster.raw(&request(&path(), "Connection: close\r\n", &sprite(1))).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let count = async |reason: &str| {
        let series = format!("sprited_received_refused_total{{reason=\"{reason}\"}}");
        daemon.metric(&series).await
    };
    assert_eq!((count("evicted").await, count("aborted").await), (1.0, 0.0));
    let lines = daemon.logged(REFUSED);
    let said: Vec<_> = lines.iter().map(|line| (&line["reason"], &line["bytes"])).collect();
    assert_eq!(said, [(&"evicted".into(), &body.into())]);
    // The other one waits on, until the daemon ends.
    let closed = join_all(bodies.iter_mut().map(|of| of.is_closed_within(Duration::ZERO))).await;
    assert_eq!(closed.iter().filter(|is_closed| **is_closed).count(), 1, "{closed:?}");
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    daemon.has_logged("stopped").await;
    let lines = daemon.logged(REFUSED);
    let said: Vec<_> = lines.iter().map(|line| (&line["reason"], &line["bytes"])).collect();
    assert_eq!(said[1..], [(&"aborted".into(), &body.into())]);
}

/// Each would leave an answer that nobody reads.
#[tokio::test]
async fn a_refusal_ends_the_connection() {
    let site = Site::new(&file("all", "*")).await;
    site.receives("");
    let daemon = site.start();
    let poster = Poster::of(&daemon).await;
    let answer = poster.raw(&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100)).await;
    assert_eq!(answer.matches("HTTP/1.1 404").count(), 1, "{answer}");
    let mut connection = poster.connect().await;
    connection.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(connection.is_closed_within(Duration::from_secs(5)).await);
    daemon.stop().await;
}
