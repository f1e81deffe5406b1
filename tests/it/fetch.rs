//! Sprites fetched from a real HTTP server on this machine, which is reached as an operator would
//! reach it: by `hosts`.

use std::time::Duration;

use sprited::fetch::{FetchError, FetchSettings, FetchedSprite, Fetcher, SpriteFiles};
use sprited::sprite::Announced;
use tempfile::TempDir;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::local_server::{LocalServer, Reply, Request};

fn index(sheets: &[&str]) -> String {
    let cue = |(at, sheet): (usize, &&str)| {
        format!("00:00:{:02}.000 --> 00:00:{:02}.000\n{sheet}#xywh=0,0,142,80\n\n", at, at + 1)
    };
    let cues: String = sheets.iter().enumerate().map(cue).collect();
    format!("WEBVTT\n\n{cues}")
}

/// A PNG by its header and its end mark, with so much between them.
fn png(filling: usize) -> Vec<u8> {
    let chunk = |name: &[u8], content: &[u8]| {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&length, name, content, &[0; 4]].concat()
    };
    let side = |pixels: u32| pixels.to_be_bytes();
    let header = [&side(1420)[..], &side(800), &[8, 2, 0, 0, 0]].concat();
    let start = b"\x89PNG\r\n\x1a\n".to_vec();
    // The end mark has a right checksum, as everywhere.
    let end = b"\0\0\0\0IEND\xae\x42\x60\x82".to_vec();
    [start, chunk(b"IHDR", &header), chunk(b"IDAT", &vec![7; filling]), end].concat()
}

fn file(body: &[u8]) -> Reply {
    Reply::new(200, &[], body)
}

/// The index for a name that ends so, else a sheet.
fn usual(request: &Request) -> Reply {
    match request.target.contains(".vtt") {
        true => file(index(&["a.jpg"]).as_bytes()),
        false => file(&png(100)),
    }
}

/// A server and what fetches from it.
struct Source {
    server: LocalServer,
    spool: TempDir,
    settings: FetchSettings,
}

impl Source {
    async fn new(answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let server = LocalServer::start(answer).await;
        let settings = settings(&format!("hosts = ['{}']", server.address()));
        Self { server, spool: tempfile::tempdir().unwrap(), settings }
    }

    /// One where the index, or else every sheet, is answered so.
    async fn with(is_index: bool, reply: Reply) -> Self {
        Self::new(move |request, _| match request.target.contains(".vtt") == is_index {
            true => reply.clone(),
            false => usual(request),
        })
        .await
    }

    fn vtt_url(&self) -> String {
        format!("{}/sprites/10.vtt", self.server.url())
    }

    async fn fetch_listed(&self, listed: &[String]) -> Result<FetchedSprite, FetchError> {
        let fetcher = Fetcher::open(&self.settings, Duration::from_secs(10)).await.unwrap();
        let files = SpriteFiles { vtt_url: &self.vtt_url(), sheets: listed };
        fetcher.fetch(files, &Announced::default(), self.spool.path()).await
    }

    async fn fetch(&self) -> Result<FetchedSprite, FetchError> {
        self.fetch_listed(&[]).await
    }

    /// The error that it comes to, which leaves nothing behind.
    async fn fail(&self) -> FetchError {
        let error = self.fetch().await.map(|_| ()).unwrap_err();
        self.leaves_nothing().await;
        error
    }

    /// What names the host as the one at fault, and asks for another try.
    async fn again(&self) -> String {
        match self.fail().await {
            FetchError::Again { error, host, after: None, .. } => {
                assert_eq!(host, Some(self.server.address().to_string()), "{error}");
                error
            }
            other => panic!("{other:?}"),
        }
    }

    async fn refused(&self) -> String {
        match self.fail().await {
            FetchError::Refused(error) => error,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until the files that are given up are gone.
    async fn leaves_nothing(&self) {
        let left = || std::fs::read_dir(self.spool.path()).unwrap().count();
        timeout(Duration::from_secs(10), async {
            while left() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("temporary files stay");
    }

    fn targets(&self) -> Vec<String> {
        self.server.seen().into_iter().map(|request| request.target).collect()
    }
}

fn settings(text: &str) -> FetchSettings {
    toml::from_str(text).unwrap()
}

#[tokio::test]
async fn a_sprite_comes_with_its_sheets_and_is_asked_for_once_more() {
    let source = Source::new(|request, _| match request.header("if-none-match") {
        Some(tag) => {
            assert_eq!(tag, "\"v1\"");
            Reply::Raw(b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec())
        }
        None if request.target.contains(".vtt") => {
            Reply::new(200, &[("ETag", "\"v1\"")], index(&["a.jpg", "b.jpg", "a.jpg"]).as_bytes())
        }
        // More than is gathered in memory.
        None if request.target.contains("b.jpg") => file(&png(3_000_000)),
        None => usual(request),
    })
    .await;
    // As a sink fetches it: the work may move from thread to thread.
    let fetcher = Fetcher::open(&source.settings, Duration::from_secs(10)).await.unwrap();
    let (vtt_url, spool) = (source.vtt_url(), source.spool.path().to_owned());
    let fetching = tokio::spawn(async move {
        let files = SpriteFiles { vtt_url: &vtt_url, sheets: &[] };
        fetcher.fetch(files, &Announced::default(), &spool).await
    });
    let sprite = fetching.await.unwrap().unwrap();
    assert_eq!(sprite.verified.tiles.len(), 3);
    let sheets: Vec<_> = sprite.sheets.iter().map(|sheet| sheet.url.path()).collect();
    assert_eq!(sheets, ["/sprites/a.jpg", "/sprites/b.jpg"]);
    for (sheet, filling) in sprite.sheets.iter().zip([100, 3_000_000]) {
        use sha2::Digest;
        let bytes = std::fs::read(&sheet.file).unwrap();
        assert_eq!((bytes.len() as u64, sheet.image.width), (sheet.bytes, 1420));
        assert_eq!(bytes, png(filling));
        assert_eq!(<[u8; 32]>::from(sha2::Sha256::digest(&bytes)), sheet.sha256);
    }
    let targets = source.targets();
    assert_eq!(
        (targets.len(), &*targets[0], &*targets[3]),
        (4, "/sprites/10.vtt", "/sprites/10.vtt")
    );
    for request in source.server.seen() {
        assert_eq!(request.header("accept-encoding"), Some("identity"));
        assert_eq!(request.header("referer"), None);
    }
    drop(sprite);
    source.leaves_nothing().await;
}

#[tokio::test]
async fn without_an_etag_the_bytes_tell_whether_the_index_has_changed() {
    let source = Source::new(|request, _| usual(request)).await;
    source.fetch().await.unwrap();
    let source = Source::new(|request, number| match number {
        2 => file(index(&["a.jpg", "b.jpg"]).as_bytes()),
        _ => usual(request),
    })
    .await;
    let error = source.again().await;
    assert!(error.contains("/sprites/10.vtt: it changed while its sheets were fetched"), "{error}");
    // It is gone by then: the second run removes it first.
    let source = Source::new(|request, number| match number {
        2 => Reply::new(404, &[], b""),
        _ => usual(request),
    })
    .await;
    assert!(source.again().await.contains("answered 404"));
}

#[tokio::test]
async fn every_status_but_200_is_tried_again() {
    for (status, says) in [
        (201, ""),
        (206, ""),
        (204, ""),
        (304, ""),
        (400, ""),
        (401, "by KEY or by referer"),
        (403, "by KEY or by referer"),
        (404, "may not be there yet"),
        (410, "may not be there yet"),
        (429, "fewer requests"),
        (500, "it failed"),
        (503, "it failed"),
        (599, "it failed"),
    ] {
        let head = format!("HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n");
        for is_index in [true, false] {
            let source = Source::with(is_index, Reply::Raw(head.clone().into_bytes())).await;
            let error = source.again().await;
            let answered = format!("{} answered {status}", source.server.address());
            assert!(error.contains(&answered) && error.contains(says), "{error}");
            let what = if is_index { "the index http" } else { "the sheet http" };
            assert!(error.contains(what), "{error}");
        }
    }
}

#[tokio::test]
async fn a_source_that_asks_to_be_left_alone_is_heard() {
    for (value, seconds) in [("120", 120), ("999999", 3600), ("soon", 0)] {
        let source = Source::with(false, Reply::new(503, &[("Retry-After", value)], b"")).await;
        match source.fail().await {
            FetchError::Again { after, .. } => {
                assert_eq!(after.map_or(0, |wait| wait.as_secs()), seconds);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_redirect_is_refused_and_its_target_never_asked() {
    for status in [300, 301, 302, 303, 307, 308] {
        for is_index in [true, false] {
            let inward = [("Location", "http://169.254.0.23/latest")];
            let source = Source::with(is_index, Reply::new(status, &inward, b"")).await;
            let error = source.refused().await;
            let says = format!("{} answered {status} for the", source.server.address());
            assert!(error.contains("by the rule redirect: ") && error.contains(&says), "{error}");
            assert!(error.ends_with("a redirect is not followed"), "{error}");
        }
    }
}

#[tokio::test]
async fn what_breaks_off_is_tried_again() {
    let head = |length: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nWEBVTT\r\n";
    for is_index in [true, false] {
        let body = if is_index { index(&["a.jpg"]).into_bytes() } else { png(100) };
        let short = [head(body.len() + 1).as_bytes(), &body].concat();
        let source = Source::with(is_index, Reply::Last(short)).await;
        let error = source.again().await;
        assert!(error.contains("it broke off after"), "{error}");
        let source = Source::with(is_index, Reply::Last(chunked.into())).await;
        assert!(source.again().await.contains("it broke off after 6 bytes"));
        let source = Source::with(is_index, Reply::Reset).await;
        assert!(source.again().await.contains("the connection failed"));
    }
    // Of an image that says it is shorter than it is, the end mark does not come.
    let body = png(100);
    let long = [head(body.len() - 4).as_bytes(), &body].concat();
    let error = Source::with(false, Reply::Last(long)).await.again().await;
    assert!(error.contains("a.jpg: the PNG is cut off"), "{error}");
}

#[tokio::test]
async fn nobody_there_is_the_host_s_fault() {
    let mut source = Source::new(|request, _| usual(request)).await;
    let gone = LocalServer::start(|request, _| usual(request)).await.address();
    source.settings = settings(&format!("hosts = ['{gone}']"));
    let fetcher = Fetcher::open(&source.settings, Duration::from_secs(10)).await.unwrap();
    let error = fetcher.fetch_index(&format!("http://{gone}/10.vtt")).await.unwrap_err();
    match error {
        FetchError::Again { error, host, .. } => {
            assert_eq!(host, Some(gone.to_string()));
            assert!(error.contains("cannot connect"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_no_index_is_tried_again() {
    for (body, says) in [
        ("", "the file is empty"),
        ("<html>403</html>", "HTML"),
        ("<!DOCTYPE html><p>", "HTML"),
        ("WEBVTT\n", "no cues"),
    ] {
        let source = Source::with(true, file(body.as_bytes())).await;
        let error = source.again().await;
        assert!(error.contains("10.vtt: ") && error.contains(says), "{body:?}: {error}");
    }
}

#[tokio::test]
async fn what_is_no_sheet_is_tried_again_unless_it_is_an_image_of_another_kind() {
    let cut = png(100);
    for body in [&b""[..], b"<html>403</html>", b"nonsense", &cut[..cut.len() - 12]] {
        let error = Source::with(false, file(body)).await.again().await;
        assert!(error.contains("the sheet http") && error.contains("a.jpg: "), "{error}");
    }
    for body in [&b"GIF89a\x10\0\x10\0\0\0\0;"[..], b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>"]
    {
        let error = Source::with(false, file(body)).await.refused().await;
        assert!(error.contains("by the rule sheet: "), "{error}");
    }
}

#[tokio::test]
async fn a_content_type_is_not_believed() {
    let html = [("Content-Type", "text/html")];
    let source = Source::with(false, Reply::new(200, &html, &png(1))).await;
    source.fetch().await.unwrap();
}

#[tokio::test]
async fn caps_hold_while_reading() {
    const MIB: usize = 1024 * 1024;
    let declared = |length: usize| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        Reply::Raw(head.into_bytes())
    };
    let chunked = |length: usize| {
        let head = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n");
        // It never ends.
        Reply::Raw([head.as_bytes(), &vec![b'W'; length]].concat())
    };
    for reply in [declared, chunked].map(|kind| kind(4 * MIB + 1)) {
        let error = Source::with(true, reply).await.refused().await;
        assert!(error.contains("max_index: ") && error.contains("larger than 4.0 MiB"), "{error}");
    }
    for reply in [declared, chunked].map(|kind| kind(MIB + 1)) {
        let mut source = Source::with(false, reply).await;
        source.settings.max_sheet = "1MiB".parse().unwrap();
        let error = source.refused().await;
        assert!(error.contains("max_sheet: ") && error.contains("larger than 1.0 MiB"), "{error}");
    }
    let whole = png(MIB - 100);
    let mut source = Source::with(false, file(&whole)).await;
    source.settings.max_sheet = "1MiB".parse().unwrap();
    source.fetch().await.unwrap();
    let names: Vec<String> = (0..6).map(|name| format!("{name}.jpg")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (many, sheet) = (index(&names), file(&whole));
    let mut source = Source::new(move |request, _| match request.target.contains(".vtt") {
        true => file(many.as_bytes()),
        false => sheet.clone(),
    })
    .await;
    source.settings.max_sheet = "1MiB".parse().unwrap();
    source.settings.max_total = "5MiB".parse().unwrap();
    let error = source.refused().await;
    assert!(error.contains("max_total: ") && error.contains("more than 5.0 MiB"), "{error}");
    source.settings.max_total = "7MiB".parse().unwrap();
    assert_eq!(source.fetch().await.unwrap().sheets.len(), 6);
}

/// A small answer may be a large file, once it is unpacked.
#[tokio::test]
async fn what_comes_compressed_is_refused() {
    for encoding in ["gzip", "br", "identity, gzip"] {
        for is_index in [true, false] {
            let reply = Reply::new(200, &[("Content-Encoding", encoding)], b"\x1f\x8b");
            let error = Source::with(is_index, reply).await.refused().await;
            assert!(error.contains("by the rule encoding: "), "{error}");
        }
    }
    let identity = Reply::new(200, &[("Content-Encoding", "Identity")], &png(1));
    Source::with(false, identity).await.fetch().await.unwrap();
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_refused_before_any_request() {
    for name in [
        "../../etc/passwd",
        "file:///etc/passwd",
        "javascript:0",
        "data:image/png;base64,AAAA",
        "http://169.254.0.23/x.jpg",
        "http://127.1/x",
        "http://[::ffff:10.0.0.1]/x",
        "http://user@h/x.jpg",
        "http://h:22/x.jpg",
    ] {
        let text = index(&[name]);
        let source = Source::with(true, file(text.as_bytes())).await;
        let error = source.fail().await;
        assert!(matches!(error, FetchError::Refused(_)), "{name}: {error:?}");
        assert_eq!(source.targets(), ["/sprites/10.vtt"], "{name}");
    }
}

/// Also where the event lists it: whoever wrote that may want to know what answers here.
#[tokio::test]
async fn a_listed_sheet_elsewhere_is_refused_before_any_request() {
    for (url, rule) in [
        ("http://127.0.0.1/a.jpg", "port"),
        ("http://169.254.0.23/a.jpg", "hosts"),
        ("ftp://example.com/a.jpg", "url"),
        ("http://example.com/a.jpg", "hosts"),
    ] {
        let source = Source::new(|request, _| usual(request)).await;
        let error = source.fetch_listed(&[url.to_owned()]).await.map(|_| ()).unwrap_err();
        assert!(error.to_string().contains(&format!("by the rule {rule}: ")), "{url}: {error}");
        assert_eq!(source.targets(), ["/sprites/10.vtt"], "{url}");
    }
    let source = Source::new(|request, _| usual(request)).await;
    let user = source.server.url().replace("//", "//me:hunter2@") + "/sprites/a.jpg";
    let error = source.fetch_listed(&[user]).await.map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("by the rule user: "), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[tokio::test]
async fn without_a_list_nothing_inside_is_asked() {
    let server = LocalServer::start(|request, _| usual(request)).await;
    let fetcher = Fetcher::open(&FetchSettings::default(), Duration::from_secs(5)).await.unwrap();
    let port = server.address().port();
    for (url, rule) in [
        (format!("{}/10.vtt", server.url()), "port"),
        (format!("http://localhost:{port}/10.vtt"), "port"),
        ("http://127.0.0.1/10.vtt".to_owned(), "address"),
        ("http://localhost/10.vtt".to_owned(), "address"),
        ("https://[::1]/10.vtt".to_owned(), "address"),
        ("http://169.254.0.23/10.vtt".to_owned(), "address"),
        ("no url at all".to_owned(), "url"),
        ("/10.vtt".to_owned(), "url"),
    ] {
        match fetcher.fetch_index(&url).await.unwrap_err() {
            FetchError::Refused(error) => {
                assert!(error.contains(&format!("by the rule {rule}: ")), "{url}: {error}");
            }
            other => panic!("{url}: {other:?}"),
        }
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_list_may_have_names_of_this_machine() {
    let server = LocalServer::start(|request, _| usual(request)).await;
    let port = server.address().port();
    let spool = tempfile::tempdir().unwrap();
    for (hosts, url) in
        [("localhost", "localhost"), ("*.localhost", "media.localhost"), ("127.0.0.1", "127.1")]
    {
        let settings = settings(&format!("hosts = ['{hosts}:{port}']"));
        let fetcher = Fetcher::open(&settings, Duration::from_secs(5)).await.unwrap();
        let url = format!("http://{url}:{port}/sprites/10.vtt");
        let files = SpriteFiles { vtt_url: &url, sheets: &[] };
        fetcher.fetch(files, &Announced::default(), spool.path()).await.unwrap();
    }
}

#[tokio::test]
async fn every_request_is_signed_and_no_error_shows_it() {
    let mut source = Source::new(|request, _| usual(request)).await;
    source.settings.hotlink_key = settings("hotlink_key = '24FEQmTzro4V5u3D5epW'").hotlink_key;
    source.settings.referer = Some("https://www.example.com/".to_owned());
    source.fetch().await.unwrap();
    let queries: Vec<String> = source
        .targets()
        .iter()
        .map(|target| target.split_once('?').expect("a query").1.to_owned())
        .collect();
    // The folder is signed, not the file: one signature for all.
    assert!(queries.len() == 3 && queries.iter().all(|query| *query == queries[0]), "{queries:?}");
    let parts: Vec<&str> = queries[0].split(['=', '&']).collect();
    assert_eq!((parts[0], parts[2], parts[4], parts.len()), ("t", "us", "sign", 6));
    let seen = source.server.seen();
    assert!(
        seen.iter().all(|request| request.header("referer") == Some("https://www.example.com/"))
    );
    let mut refusing = Source::with(false, Reply::new(403, &[], b"")).await;
    refusing.settings.hotlink_key = source.settings.hotlink_key.clone();
    let error = refusing.again().await;
    assert!(error.contains("compare the KEY and the referer"), "{error}");
    assert!(!error.contains("sign=") && !error.contains('?'), "{error}");
}

#[tokio::test]
async fn a_key_in_a_file_is_read_again_when_asked() {
    let mut source = Source::new(|request, _| usual(request)).await;
    let key = source.spool.path().join("key");
    std::fs::write(&key, "24FEQmTzro4V5u3D5epW\n").unwrap();
    source.settings.hotlink_key =
        settings(&format!("hotlink_key = {{ file = {key:?} }}")).hotlink_key;
    let fetcher = Fetcher::open(&source.settings, Duration::from_secs(5)).await.unwrap();
    std::fs::remove_file(&key).unwrap();
    assert!(fetcher.renew().await.unwrap_err().to_string().contains("cannot read the secret file"));
    fetcher.fetch_index(&source.vtt_url()).await.unwrap();
    std::fs::write(&key, "anotherKey1234\n").unwrap();
    fetcher.renew().await.unwrap();
    assert!(!format!("{fetcher:?}").contains("anotherKey1234"));
}

#[tokio::test]
async fn four_sheets_come_at_once_and_no_more() {
    let release = CancellationToken::new();
    let held = release.clone();
    let names: Vec<String> = (0..9).map(|name| format!("{name}.jpg")).collect();
    let text = index(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let source = Source::new(move |request, _| match request.target.contains(".vtt") {
        true => file(text.as_bytes()),
        false => Reply::When(held.clone(), Box::new(file(&png(1)))),
    })
    .await;
    let watch = async {
        while source.server.seen().len() < 5 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Time for more, were there more.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(source.server.seen().len(), 5);
        release.cancel();
    };
    let (fetched, ()) = tokio::join!(source.fetch(), watch);
    assert_eq!(fetched.unwrap().sheets.len(), 9);
}

#[tokio::test]
async fn a_sprite_that_is_given_up_leaves_no_file() {
    let begun = [b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n".to_vec(), png(1_500_000)];
    let source = Source::with(false, Reply::Raw(begun.concat())).await;
    let fetching = async {
        let has_file = || std::fs::read_dir(source.spool.path()).unwrap().count() > 0;
        while !has_file() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    // The rest never comes; whoever waits has had enough once a file was begun.
    tokio::select! {
        fetched = source.fetch() => panic!("{fetched:?}"),
        () = fetching => {}
    }
    source.leaves_nothing().await;
}

#[tokio::test]
async fn a_source_that_falls_silent_is_given_up() {
    let begun = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nWEBVTT".to_vec();
    let source = Source::with(true, Reply::Raw(begun)).await;
    let fetcher = Fetcher::open(&source.settings, Duration::from_millis(200)).await.unwrap();
    let error = fetcher.fetch_index(&source.vtt_url()).await.unwrap_err();
    assert!(error.to_string().contains("after 6 bytes: no answer in time"), "{error}");
}

#[tokio::test]
async fn a_disk_that_takes_nothing_is_nobody_s_fault() {
    let source = Source::new(|request, _| usual(request)).await;
    let fetcher = Fetcher::open(&source.settings, Duration::from_secs(5)).await.unwrap();
    let files = SpriteFiles { vtt_url: &source.vtt_url(), sheets: &[] };
    let nowhere = source.spool.path().join("nowhere");
    match fetcher.fetch(files, &Announced::default(), &nowhere).await.unwrap_err() {
        FetchError::Again { error, host: None, after: None, .. } => {
            assert!(error.contains("cannot write a sheet below"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}
