//! Webhooks, against a receiver that behaves as it is told.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sprited::event::{Event, EventFormat, EventOrigin};
use sprited::sinks::Verdict;

use super::receiver::{Answer, Receiver, Request};
use super::{context, event, offer, open, plan, retry_error};
use crate::{docs, support};

/// Checks a signature of Standard Webhooks with nothing but Python's standard library.
const VERIFY: &str = r#"
import base64, hashlib, hmac, sys
secrets, id, timestamp, header = sys.argv[1].split(), sys.argv[2], sys.argv[3], sys.argv[4]
message = id.encode() + b"." + timestamp.encode() + b"." + sys.stdin.buffer.read()
def sign(secret):
    key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    return "v1," + base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()
sys.exit(0 if header.split() == [sign(secret) for secret in secrets] else 1)
"#;

fn verifies(request: &Request, secrets: &str) -> bool {
    let header = |name: &str| request.headers.get(name).cloned().unwrap_or_default();
    let mut python = Command::new(support::python())
        .args(["-c", VERIFY, secrets, &header("webhook-id"), &header("webhook-timestamp")])
        .arg(header("webhook-signature"))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(&request.body).unwrap();
    python.wait().unwrap().success()
}

#[tokio::test]
async fn a_request_is_signed_by_both_keys_and_carries_the_headers() {
    let receiver = Receiver::start(|_| Answer::status(204)).await;
    let settings = format!(
        "url = '{}/in?token=hunter2'\nsecret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'\n\
         previous_secret = 'old-one'\nheaders = {{ Authorization = 'Bearer hunter2' }}",
        receiver.url
    );
    let sink = open("webhook", &settings).await;
    let sent = event("über\u{2028}");
    assert_eq!(offer(&*sink, &sent).await, Verdict::Delivered);
    let request = receiver.requests().remove(0);
    assert_eq!(request.line, "POST /in?token=hunter2 HTTP/1.1");
    assert_eq!(request.headers["authorization"], "Bearer hunter2");
    assert_eq!(request.headers["content-type"], EventFormat::CloudEvents.content_type());
    assert_eq!(request.headers["webhook-id"], sent.key.to_string());
    let stamp: i64 = request.headers["webhook-timestamp"].parse().unwrap();
    assert!((chrono::Utc::now().timestamp() - stamp).abs() < 60);
    let mut body = Vec::new();
    sent.render(EventFormat::CloudEvents, &mut body);
    assert_eq!(request.body, body);
    assert!(verifies(&request, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw old-one"));
    assert!(!verifies(&request, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw another"));
}

#[tokio::test]
async fn the_format_callback_posts_the_content_alone() {
    let receiver = Receiver::start(|_| Answer::status(200)).await;
    let mut context = context("hook");
    context.format = EventFormat::Callback;
    let plan = plan("webhook", &format!("url = '{}'", receiver.url));
    let sink = plan.open(&context).await.unwrap();
    let sent = event("a");
    assert_eq!(offer(&*sink, &sent).await, Verdict::Delivered);
    let request = receiver.requests().remove(0);
    assert_eq!(request.body, sent.body.as_bytes());
    assert_eq!(request.headers["content-type"], "application/json");
    assert!(!request.headers.contains_key("webhook-signature"), "unsigned without a secret");
}

#[tokio::test]
async fn what_the_receiver_answers_decides() {
    let receiver = Receiver::start(|request| match request.line.split(['/', ' ', '?']).nth(2) {
        Some("429") => Answer::Status(429, "retry-after: 7\r\n", "slow\u{1b}[31m down".into()),
        Some("503") => {
            Answer::Status(503, "retry-after: Fri, 01 Jan 2100 00:00:00 GMT\r\n", String::new())
        }
        Some("302") => Answer::Status(302, "location: /200\r\n", String::new()),
        Some("401") => Answer::Status(401, "", format!("{:?}", request.headers)),
        Some(status) => Answer::status(status.parse().unwrap()),
        None => unreachable!(),
    })
    .await;
    let sent = event("a");
    let ask = async |status: u16| {
        let settings = format!(
            "url = '{}/{status}'\nheaders = {{ X-Key = 'hunter2' }}\nsecret = 'hunter3'",
            receiver.url
        );
        offer(&*open("webhook", &settings).await, &sent).await
    };
    for status in [200, 201, 202, 204] {
        assert_eq!(ask(status).await, Verdict::Delivered, "{status}");
    }
    for status in [413, 422] {
        let verdict = ask(status).await;
        assert!(matches!(&verdict, Verdict::Reject(e) if e.contains(&status.to_string())));
    }
    for status in [302, 400, 401, 403, 404, 408, 409, 410, 415, 500, 502] {
        let verdict = ask(status).await;
        assert!(retry_error(&verdict).contains(&status.to_string()), "{verdict:?}");
        assert!(matches!(&verdict, Verdict::Retry { after: None, .. }), "{verdict:?}");
        assert!(!retry_error(&verdict).contains("hunter"), "{verdict:?}");
    }
    let slow = ask(429).await;
    assert!(retry_error(&slow).ends_with(r"slow\u{1b}[31m down"), "{slow:?}");
    assert!(matches!(slow, Verdict::Retry { after: Some(wait), .. } if wait.as_secs() == 7));
    let down = ask(503).await;
    assert!(matches!(down, Verdict::Retry { after: Some(wait), .. } if wait.as_secs() == 3600));
    let followed = receiver.requests().iter().filter(|r| r.line.contains("/200")).count();
    assert_eq!(followed, 1, "a redirect was followed");
}

#[tokio::test]
async fn a_receiver_that_hangs_or_breaks_is_asked_again() {
    let receiver = Receiver::start(|request| match request.line.split(['/', ' ', '?']).nth(2) {
        Some("hang") => Answer::Hang,
        Some("reset") => Answer::Reset,
        Some("slow") => Answer::SlowBody(200),
        _ => Answer::SlowBody(500),
    })
    .await;
    let mut context = context("hook");
    context.timeout = Duration::from_millis(300);
    let sent = event("a");
    let ask = async |path: &str| {
        let url = receiver.url.replace("http://", "http://me:hunter2@");
        let plan = plan("webhook", &format!("url = '{url}/{path}?hunter2'"));
        let start = Instant::now();
        let verdict = offer(&*plan.open(&context).await.unwrap(), &sent).await;
        assert!(start.elapsed() < Duration::from_secs(5), "{path}: {:?}", start.elapsed());
        verdict
    };
    let hung = ask("hang").await;
    assert!(retry_error(&hung).contains("no answer in time"), "{hung:?}");
    let broken = ask("reset").await;
    assert!(retry_error(&broken).contains("the connection failed: "), "{broken:?}");
    for verdict in [&hung, &broken] {
        assert!(!retry_error(verdict).contains("hunter2"), "{verdict:?}");
    }
    assert_eq!(ask("slow").await, Verdict::Delivered, "the status has been given");
    assert!(retry_error(&ask("slow-failure").await).contains("slow slow"));

    let plain = receiver.url.replace("http:", "https:");
    let no_tls = offer(&*open("webhook", &format!("url = '{plain}'")).await, &sent).await;
    assert!(retry_error(&no_tls).contains("cannot connect"), "{no_tls:?}");

    let gone = open("webhook", "url = 'http://127.0.0.1:1/?hunter2'").await;
    let refused = offer(&*gone, &sent).await;
    assert!(retry_error(&refused).contains("cannot connect"), "{refused:?}");
    assert!(!retry_error(&refused).contains("hunter2"), "{refused:?}");
    assert!(gone.probe().await.is_err());
}

#[tokio::test]
async fn connections_are_used_again() {
    let receiver =
        Receiver::start(|_| Answer::Status(500, "", "a body of some length".into())).await;
    let sink = open("webhook", &format!("url = '{}'", receiver.url)).await;
    for _ in 0..5 {
        retry_error(&offer(&*sink, &event("a")).await);
    }
    assert!(receiver.requests().iter().all(|request| request.connection == 0));
}

#[tokio::test]
async fn a_changed_secret_is_read_when_the_receiver_refuses_or_on_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "old").unwrap();
    let receiver = Receiver::start(|request| match request.headers["x-token"].as_str() {
        "old" => Answer::status(401),
        _ => Answer::status(200),
    })
    .await;
    let settings =
        format!("url = '{}'\nheaders = {{ X-Token = {{ file = {file:?} }} }}", receiver.url);
    let sink = open("webhook", &settings).await;
    std::fs::write(&file, "new").unwrap();
    retry_error(&offer(&*sink, &event("a")).await);
    assert_eq!(offer(&*sink, &event("a")).await, Verdict::Delivered);

    std::fs::write(&file, "old").unwrap();
    sink.reopen().await.unwrap();
    retry_error(&offer(&*sink, &event("a")).await);
    std::fs::remove_file(&file).unwrap();
    assert!(sink.reopen().await.unwrap_err().to_string().contains("token"));
}

#[tokio::test]
async fn a_probe_posts_nothing() {
    let receiver = Receiver::start(|_| Answer::status(405)).await;
    let sink = open("webhook", &format!("url = '{}'", receiver.url)).await;
    sink.probe().await.unwrap();
    let request = receiver.requests().remove(0);
    assert!(request.line.starts_with("HEAD ") && request.body.is_empty(), "{request:?}");

    let behind = Receiver::start(|_| Answer::status(502)).await;
    let sink = open("webhook", &format!("url = '{}'", behind.url)).await;
    assert!(sink.probe().await.unwrap_err().to_string().contains("502"));
}

#[tokio::test]
async fn nothing_that_a_request_proves_itself_by_comes_back_in_an_error() {
    /// Says all it was sent, raw and decoded, as a helpful receiver would.
    fn echo(request: &Request) -> Answer {
        let said = match &request.headers["x-ask"][..] {
            "line" => request.line.clone(),
            "decoded" => "no /hooks/of us/T0KEN se/gment for user/name p/assword, \
                          k=v/alue of it, sig+nature"
                .to_owned(),
            "token" => "who is bearer-hunter2?".to_owned(),
            "segment" => "no T0KEN%20se%2Fgment here; nor v%2Falue+of+it".to_owned(),
            header => format!("bad: {}", request.headers[header]),
        };
        Answer::Status(401, "", said)
    }
    let receiver = Receiver::start(echo).await;
    let url = receiver.url.replace("http://", "http://user%2Fname:p%2Fassword@");
    let ask = async |what: &str| {
        let settings = format!(
            "url = '{url}/hooks/of%20us/T0KEN%20se%2Fgment?k=v%2Falue+of+it&s=sig%2Bnature&short=7'\n\
             secret = 'hunter2'\nprevious_secret = 'hunter3'\n\
             headers = {{ X-Ask = '{what}', X-Token = 'Bearer bearer-hunter2' }}"
        );
        let verdict = offer(&*open("webhook", &settings).await, &event("a")).await;
        retry_error(&verdict).to_owned()
    };
    let line = ask("line").await;
    assert!(line.ends_with("POST [secret]?[secret] HTTP/1.1"), "{line}");
    let decoded = ask("decoded").await;
    for part in ["T0KEN", "user/name", "p/assword", "v/alue", "sig+nature"] {
        assert!(!decoded.contains(part), "{part}: {decoded}");
    }
    let segment = ask("segment").await;
    assert!(segment.ends_with("no [secret] here; nor [secret]"), "{segment}");
    let token = ask("token").await;
    assert!(token.ends_with("who is [secret]?"), "{token}");
    let basic = ask("authorization").await;
    assert!(basic.ends_with("bad: Basic [secret]"), "{basic}");
    let signature = ask("webhook-signature").await;
    assert!(signature.ends_with("bad: v1,[secret] v1,[secret]"), "{signature}");
    let sent = receiver.requests().pop().unwrap().headers["webhook-signature"].clone();
    assert_eq!(sent.split(' ').count(), 2, "{sent}");
}

#[tokio::test]
async fn every_status_means_what_the_documents_say() {
    let receiver = Receiver::start(|request| {
        let status = request.line.split(['/', ' ']).nth(2).unwrap();
        Answer::status(status.parse().unwrap())
    })
    .await;
    let (delivered, dead) = docs::tables::statuses();
    let sent = event("a");
    let edges = [200, 206, 299, 300, 302, 399, 451, 499, 500, 502, 503, 511, 599];
    for status in edges.into_iter().chain(400..=431).chain(dead.iter().copied()) {
        let sink = open("webhook", &format!("url = '{}/{status}'", receiver.url)).await;
        let verdict = offer(&*sink, &sent).await;
        let is = (delivered.contains(&status), dead.contains(&status));
        let becomes = (verdict == Verdict::Delivered, matches!(verdict, Verdict::Reject(_)));
        assert_eq!(is, becomes, "{status}: {verdict:?}");
    }
}

#[tokio::test]
async fn a_header_says_how_an_event_arrived_that_was_not_pulled() {
    let receiver = Receiver::start(|_| Answer::status(200)).await;
    let sink = open("webhook", &format!("url = '{}'", receiver.url)).await;
    let origins = [EventOrigin::Queue, EventOrigin::Callback, EventOrigin::Reconcile];
    for origin in origins {
        let sent = Arc::new(Event { origin, ..Event::clone(&event("a")) });
        assert_eq!(offer(&*sink, &sent).await, Verdict::Delivered);
        let request = receiver.requests().pop().unwrap();
        assert_eq!(request.headers.get("sprited-origin").map(String::as_str), origin.name());
    }
}
