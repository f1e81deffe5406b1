//! Clients that post, and connections that hardly send anything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::daemon::{APP, TOKEN};

/// What an accepted event is answered with.
const ACCEPTED: &[u8] = b"{\"code\":0}";
/// Between two bytes of a slow connection.
const SLOW_PAUSE: Duration = Duration::from_millis(900);

/// The posts of a run.
pub(crate) struct Posts {
    /// From the first byte of each request to the last of its answer.
    pub(crate) times: Vec<Duration>,
    /// Connections that ended before an answer; their events were posted again.
    pub(crate) broken: usize,
}

/// Posts distinct events over as many connections.
pub(crate) async fn post(
    address: SocketAddr,
    clients: usize,
    events: usize,
) -> anyhow::Result<Posts> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut running = JoinSet::new();
    for _ in 0..clients {
        let next = next.clone();
        running.spawn(async move { client(address, &next, events).await });
    }
    let mut all = Posts { times: Vec::with_capacity(events), broken: 0 };
    while let Some(posts) = running.join_next().await {
        let Posts { times, broken } = posts??;
        all.times.extend(times);
        all.broken += broken;
    }
    ensure!(all.times.len() == events, "{} are answered", all.times.len());
    Ok(all)
}

async fn client(address: SocketAddr, next: &AtomicUsize, events: usize) -> anyhow::Result<Posts> {
    let mut posts = Posts { times: Vec::new(), broken: 0 };
    let mut connection = None;
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= events {
            return Ok(posts);
        }
        let request = request(number);
        let start = Instant::now();
        loop {
            let mut stream = match connection.take() {
                Some(stream) => stream,
                None => TcpStream::connect(address).await.context("no connection")?,
            };
            if let Ok(answer) = exchange(&mut stream, &request).await {
                ensure!(answer.ends_with(ACCEPTED), "{}", String::from_utf8_lossy(&answer));
                let is_last = answer.windows(17).any(|part| part == b"connection: close");
                connection = (!is_last).then_some(stream);
                break;
            }
            posts.broken += 1;
        }
        posts.times.push(start.elapsed());
    }
}

async fn exchange(stream: &mut TcpStream, request: &[u8]) -> anyhow::Result<Vec<u8>> {
    stream.write_all(request).await?;
    let mut answer = Vec::with_capacity(256);
    while !answer.ends_with(ACCEPTED) {
        ensure!(stream.read_buf(&mut answer).await? > 0, "it ended");
        let is_refusal = answer.ends_with(b"\r\n\r\n") && !answer.starts_with(b"HTTP/1.1 200 ");
        if is_refusal {
            break;
        }
    }
    Ok(answer)
}

fn request(number: usize) -> Vec<u8> {
    let file = 14_508_071_098_244_929_440_u64 - number as u64;
    let url = "http://125676836723.vod2.myqcloud.com/xxx/xxx";
    let body = format!(
        r#"{{"EventType":"CreateImageSpriteComplete","FileUploadEvent":null,"ProcedureStateChangeEvent":null,"FileDeleteEvent":null,"PullCompleteEvent":null,"EditMediaComplete":null,"WechatPublishComplete":null,"TranscodeCompleteEvent":null,"ConcatCompleteEvent":null,"ClipCompleteEvent":null,"CreateImageSpriteCompleteEvent":{{"ErrCode":0,"Message":"","TaskId":"CreateImageSprite-{number:032x}","FileId":"{file}","Definition":10,"TotalCount":106,"ImageSpriteUrlSet":["{url}/{number}/1.png","{url}/{number}/2.png"],"WebVttUrl":"{url}/{number}/x.vtt"}},"SnapshotByTimeOffsetCompleteEvent":null}}"#
    );
    let length = body.len();
    format!(
        "POST /vod/{APP}/{TOKEN} HTTP/1.1\r\nHost: vod.example.com\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Connections that send a byte now and then and come again when they are closed: one third in
/// the head, one third in the body of an event, one third nothing at all. They end with the value.
pub(crate) struct Slow {
    _running: JoinSet<()>,
}

impl Slow {
    pub(crate) async fn start(address: SocketAddr, connections: usize) -> Self {
        let mut running = JoinSet::new();
        for number in 0..connections {
            running.spawn(async move {
                let request = request(usize::MAX / 2 + number);
                let body = request.windows(4).position(|four| four == b"\r\n\r\n");
                let sent = [0, 20, body.unwrap_or_default() + 5][number % 3];
                loop {
                    // A refusal, or the end: it comes again.
                    slow(address, &request, sent).await.ok();
                    tokio::time::sleep(SLOW_PAUSE).await;
                }
            });
        }
        // All of them are there when the measurement begins.
        tokio::time::sleep(SLOW_PAUSE).await;
        Self { _running: running }
    }
}

async fn slow(address: SocketAddr, request: &[u8], sent: usize) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&request[..sent]).await?;
    let mut answer = [0; 64];
    for byte in request[sent..].chunks(1) {
        let ended = tokio::time::timeout(SLOW_PAUSE, stream.read(&mut answer)).await;
        if ended.is_ok() {
            return Ok(());
        }
        if sent > 0 {
            stream.write_all(byte).await?;
        }
    }
    Ok(())
}
