//! The signed client against a real HTTP server.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use sprited::secret::Secret;
use sprited::vod::credentials::{self, Credentials, Provider, ProviderError};
use sprited::vod::{Action, Advice, Client, EventMode, VodError, VodSettings, sign};

use tokio::io::{AsyncBufReadExt, BufReader};

use crate::local_server::{LocalServer, Reply, Request};
use crate::support::{capture_log, data, python};

const ID: &str = "AKIDforTests";
const KEY: &str = "sk-for-tests-only-0123456789abcd";
const TOKEN: &str = "tok3n-for-tests-only";

/// Gives out its credentials in turn, the next one at each refresh; the last one stays.
#[derive(Debug)]
struct InTurn {
    all: Vec<Credentials>,
    refreshed: AtomicUsize,
}

impl InTurn {
    fn new(keys: &[&str]) -> Arc<Self> {
        let make = |key: &&str| Credentials::new(ID, (*key).into(), Some(TOKEN.into()), None);
        let all = keys.iter().map(|key| make(key).unwrap()).collect();
        Arc::new(Self { all, refreshed: AtomicUsize::new(0) })
    }

    fn current(&self) -> Credentials {
        self.all[self.refreshed.load(Ordering::SeqCst).min(self.all.len() - 1)].clone()
    }
}

#[async_trait::async_trait]
impl Provider for InTurn {
    async fn credentials(&self) -> Result<Credentials, ProviderError> {
        Ok(self.current())
    }

    async fn refresh(&self, refused: &Credentials) -> Result<Credentials, ProviderError> {
        assert_eq!(*refused, self.current());
        self.refreshed.fetch_add(1, Ordering::SeqCst);
        Ok(self.current())
    }

    fn describe(&self) -> String {
        "a test".to_owned()
    }
}

/// One that has credentials of no meaning.
pub(crate) fn provider() -> Arc<dyn Provider> {
    InTurn::new(&[KEY])
}

fn settings(url: &str) -> VodSettings {
    VodSettings { endpoint: url.to_owned(), ..VodSettings::default() }
}

fn client(server: &LocalServer) -> Client {
    Client::new(&settings(&server.url()), InTurn::new(&[KEY])).unwrap()
}

/// A client whose one call to `pull` gets `reply`.
async fn pull_error(reply: Reply) -> VodError {
    let server = LocalServer::replying(vec![reply]).await;
    client(&server).pull().await.unwrap_err()
}

/// Whether the request is signed with `key`, by what was received.
fn is_signed_with(request: &Request, key: &str) -> bool {
    let header = |name: &str| request.header(name).unwrap();
    let parts = sign::RequestToSign {
        service: "vod",
        headers: &[("Content-Type", header("content-type")), ("Host", header("host"))],
        body: request.body.as_bytes(),
    };
    let credentials = Credentials::new(ID, key.into(), None, None).unwrap();
    let time = DateTime::from_timestamp(header("x-tc-timestamp").parse().unwrap(), 0).unwrap();
    let signed = sign::sign(&parts, &credentials, time);
    signed
        .headers()
        .any(|(name, value)| name == "Authorization" && value == header("authorization"))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn the_service_is_asked_for_its_time_where_no_answer_has_told_it() {
    // Another error than one of the time tells it as well; a second answer would tell another time.
    let body = r#"{"Response":{"Error":{"Code":"InvalidAction","Message":""},"RequestId":"r"}}"#;
    let server = LocalServer::start(move |_, number| {
        let time = Utc::now() + TimeDelta::hours(2 + i64::try_from(number).unwrap());
        let date = time.to_rfc2822().replace("+0000", "GMT");
        Reply::new(200, &[("Date", &date)], body.as_bytes())
    })
    .await;
    let client = client(&server);
    assert_eq!(client.clock_difference(), None);
    for _ in 0..2 {
        let difference = client.ask_clock_difference().await;
        assert!((difference - TimeDelta::hours(2)).abs() < TimeDelta::minutes(1), "{difference}");
        assert_eq!(client.clock_difference(), Some(difference));
    }
}

#[tokio::test]
async fn a_pull_is_signed_and_says_what_the_api_wants() {
    let server =
        LocalServer::replying(vec![Reply::json(&data("envelope.pull_events.empty_null.json"))])
            .await;
    let settings =
        VodSettings { sub_app_id: Some(1_500_012_345.into()), ..settings(&server.url()) };
    let client = Client::new(&settings, InTurn::new(&[KEY])).unwrap();
    assert_eq!(client.app().0, 1_500_012_345);
    for _ in 0..3 {
        client.pull().await.unwrap();
    }
    let seen = server.seen();
    for request in &seen {
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/"));
        assert_eq!(request.body, r#"{"SubAppId":1500012345}"#);
        let expected = [
            ("host", server.address().to_string()),
            ("content-type", "application/json".to_owned()),
            ("x-tc-action", "PullEvents".to_owned()),
            ("x-tc-version", "2018-07-17".to_owned()),
            ("x-tc-language", "en-US".to_owned()),
            ("x-tc-token", TOKEN.to_owned()),
            ("accept-encoding", "gzip".to_owned()),
            ("user-agent", concat!("sprited/", env!("CARGO_PKG_VERSION")).to_owned()),
        ];
        for (name, value) in expected {
            assert_eq!(request.header(name), Some(value.as_str()), "{name}");
        }
        assert!(is_signed_with(request, KEY));
        assert!(!is_signed_with(request, "another"));
        assert_eq!(request.connection, 0, "connections are reused");
    }
}

#[tokio::test]
async fn without_an_application_none_is_sent() {
    let server =
        LocalServer::replying(vec![Reply::json(&data("envelope.confirm_events.ok.json"))]).await;
    let client = client(&server);
    assert_eq!(client.app().0, 0);
    client.pull().await.unwrap();
    client.confirm(&["h-1", "h\"2"]).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen[0].body, "{}");
    assert_eq!(seen[1].body, r#"{"EventHandles":["h-1","h\"2"]}"#);
    assert_eq!(seen[1].header("x-tc-action"), Some("ConfirmEvents"));
}

#[tokio::test]
async fn an_empty_queue_is_an_empty_list_in_each_form() {
    let forms = [
        data("envelope.pull_events.empty_error.json"),
        data("envelope.pull_events.empty_null.json"),
        r#"{"Response":{"RequestId":"0f4c8b7a"}}"#.to_owned(),
        r#"{"Response":{"EventSet":[],"RequestId":"0f4c8b7a"}}"#.to_owned(),
    ];
    for form in &forms {
        let server = LocalServer::replying(vec![Reply::json(form)]).await;
        let pulled = client(&server).pull().await.unwrap();
        assert!(pulled.is_empty() && pulled.entries().len() == 0, "{form}");
        assert!(pulled.request_id.starts_with("0f4c8b7a"), "{form}");
        assert_eq!(server.seen().len(), 1);
    }
    let error = pull_error(Reply::error("ResourceNotFound.UserNotExist")).await;
    assert_eq!(error.advice(), Advice::Refused);
    let server = LocalServer::replying(vec![Reply::error("ResourceNotFound")]).await;
    assert!(client(&server).confirm(&["h"]).await.is_err(), "only a queue can be empty");
    assert!(client(&server).event_config().await.is_err());
}

#[tokio::test]
async fn each_entry_is_passed_on_as_it_stands() {
    let entries = [
        r#"{"EventHandle":"h-1", "N":14508071098244929440123456789,  "X":"\ud800"}"#,
        "null",
        r#""text""#,
        "[ 1, 2 ]",
        "1e999999",
        "{}",
        "false",
    ];
    let body = format!(
        "{{\"Response\": {{ \"EventSet\" : [ {} ] ,\"RequestId\":7}}}}",
        entries.join(" , ")
    );
    let server = LocalServer::replying(vec![Reply::json(&body)]).await;
    let before = tokio::time::Instant::now();
    let pulled = client(&server).pull().await.unwrap();
    assert!(pulled.sent >= before && pulled.sent <= tokio::time::Instant::now());
    assert_eq!(pulled.request_id, "", "one that is no string harms nothing");
    assert_eq!(pulled.len(), entries.len());
    let got: Vec<_> = pulled.entries().collect();
    let expected: Vec<_> = entries.iter().map(|entry| (*entry, false)).collect();
    assert_eq!(got, expected);
}

#[tokio::test]
async fn nesting_of_any_depth_costs_nothing() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let body = format!(r#"{{"Response":{{"EventSet":[{deep},{{}}],"Other":{deep}}}}}"#);
    let server = LocalServer::replying(vec![Reply::json(&body)]).await;
    let pulled = client(&server).pull().await.unwrap();
    assert_eq!(pulled.entries().map(|(text, _)| text.len()).collect::<Vec<_>>(), [400_000, 2]);
}

#[tokio::test]
async fn only_the_entry_with_replaced_bytes_is_marked() {
    let mut body = br#"{"Response":{"RequestId":"id\n"#.to_vec();
    body.extend_from_slice(b"\xff\",\"EventSet\":[{\"a\":\"\xc3\xa4 \xef\xbf\xbd\"},");
    body.extend_from_slice(b"{\"b\":\"\xe4\xb8 and \xff\xfe\"},{\"c\":\"fine\"}],\"Z\":\"\xf0\"}}");
    let server = LocalServer::replying(vec![Reply::new(200, &[], &body)]).await;
    let pulled = client(&server).pull().await.unwrap();
    let got: Vec<_> = pulled.entries().collect();
    let expected = [
        ("{\"a\":\"ä \u{fffd}\"}", false),
        ("{\"b\":\"\u{fffd} and \u{fffd}\u{fffd}\"}", true),
        ("{\"c\":\"fine\"}", false),
    ];
    assert_eq!(got, expected);
    assert_eq!(pulled.request_id, "id \u{fffd}", "fit for a log line");
}

#[tokio::test]
async fn an_error_of_the_service_says_all_of_it() {
    let limit = Reply::json(&data("envelope.error.request_limit.json"));
    let error = pull_error(limit).await;
    assert_eq!(error.action(), Action::PullEvents);
    assert_eq!(error.advice(), Advice::Throttled);
    assert_eq!(error.code(), Some("RequestLimitExceeded"));
    assert_eq!(error.message(), "too many requests");
    assert_eq!(error.status(), Some(200));
    assert_eq!(error.request_id(), Some("0f4c8b7a-2f0e-4d63-8e51-6a7b8c9d0e23"));
    assert_eq!(
        error.to_string(),
        "PullEvents failed: RequestLimitExceeded: too many requests \
         (HTTP 200, RequestId 0f4c8b7a-2f0e-4d63-8e51-6a7b8c9d0e23)"
    );
    // The envelope decides, whatever the status.
    let body = data("envelope.error.request_limit.json");
    let error = pull_error(Reply::new(503, &[], body.as_bytes())).await;
    assert_eq!((error.advice(), error.status()), (Advice::Throttled, Some(503)));

    let server = LocalServer::replying(vec![Reply::error("InvalidParameterValue")]).await;
    let error = client(&server).confirm(&["late"]).await.unwrap_err();
    assert!(error.is_parameter_error());
    assert_eq!(server.seen().len(), 1, "repeating is the caller's");
}

#[tokio::test]
async fn an_answer_that_is_not_one_is_told_with_its_beginning() {
    let html = "<html>\r\n<h1>502 Bad Gateway</h1>\u{1b}[31m</html>".to_owned() + &"x".repeat(999);
    let cases = [
        (Reply::new(502, &[], html.as_bytes()), Advice::Transport, "502 Bad Gateway"),
        (Reply::new(429, &[], html.as_bytes()), Advice::Throttled, "HTTP 429"),
        (Reply::new(200, &[], html.as_bytes()), Advice::Answer, "502 Bad Gateway"),
        (Reply::new(302, &[("Location", "/away")], b""), Advice::Transport, "HTTP 302"),
        (Reply::json(r#"{"Response":{"EventSet":[{"EventHan"#), Advice::Answer, "EventHan"),
        (Reply::json(""), Advice::Answer, "HTTP 200"),
        (Reply::json("[]"), Advice::Answer, "not a JSON object"),
        (Reply::json("{}"), Advice::Answer, "Response"),
        (Reply::json(r#"{"Response":[]}"#), Advice::Answer, "Response"),
        (Reply::json(r#"{"Response":{"EventSet":"x"}}"#), Advice::Answer, "EventSet"),
        (Reply::json(r#"{"Response":{"Error":"x"}}"#), Advice::Answer, "Error"),
        (Reply::new(500, &[], br#"{"Response":{}}"#), Advice::Transport, "HTTP 500"),
        (
            Reply::json(r#"{"code":4000,"message":"bad","codeDesc":"InvalidParameter"}"#),
            Advice::Answer,
            "InvalidParameter: the answer has the form used before API 3.0 (check endpoint): bad",
        ),
        (Reply::json(r#"{"code":4000,"message":"bad"}"#), Advice::Answer, "4000: "),
        (
            Reply::new(200, &[("Content-Encoding", "gzip")], b"\x1f\x8b not gzip"),
            Advice::Transport,
            "127.0.0.1",
        ),
        (Reply::Reset, Advice::Transport, "127.0.0.1"),
        (
            Reply::Last(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"Resp".to_vec()),
            Advice::Transport,
            "127.0.0.1",
        ),
        (Reply::Last(b"gopher".to_vec()), Advice::Transport, "127.0.0.1"),
    ];
    for (reply, advice, expected) in cases {
        let shown = format!("{reply:?}");
        let error = pull_error(reply).await;
        let text = error.to_string();
        assert_eq!(error.advice(), advice, "{text} for {shown}");
        assert!(text.contains(expected), "{text} for {shown}");
        assert!(text.starts_with("PullEvents failed: "), "{text}");
        assert!(!text.contains(char::is_control) && text.chars().count() < 700, "{text}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_matter_of_transport() {
    let server = LocalServer::replying(vec![Reply::Reset]).await;
    let (client, address) = (client(&server), server.address());
    drop(server);
    tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let error = client.pull().await.unwrap_err();
            assert_eq!(error.advice(), Advice::Transport);
            if error.to_string().contains("refused") {
                assert!(error.to_string().contains(&address.to_string()), "{error}");
                break;
            }
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_answer_is_capped_while_it_is_read() {
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned()
        + &chunk(&" ".repeat(60_000)).repeat(2);
    let bomb = gzip(&vec![b' '; 50_000_000]);
    assert!(bomb.len() < 60_000);
    let cases = [
        // Declared and never sent: refused without reading on.
        Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n".to_vec()),
        // Of no declared end, and it never comes.
        Reply::Raw(chunked.into_bytes()),
        Reply::new(200, &[("Content-Encoding", "gzip")], &bomb),
    ];
    for reply in cases {
        let server = LocalServer::replying(vec![reply]).await;
        let settings =
            VodSettings { max_answer_size: bytesize::ByteSize::kib(64), ..settings(&server.url()) };
        let client = Client::new(&settings, InTurn::new(&[KEY])).unwrap();
        let started = Instant::now();
        let error = client.pull().await.unwrap_err();
        assert_eq!(error.advice(), Advice::Answer, "{error}");
        assert!(error.to_string().contains("larger than 65536 bytes"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn a_pull_that_goes_alone_takes_four_times_as_much() {
    let padded = |size: usize| {
        let body = r#"{"Response":{"EventSet":[{"a":1}]}}"#;
        Reply::json(&(body.to_owned() + &" ".repeat(size - body.len())))
    };
    let settings = |server: &LocalServer| VodSettings {
        max_answer_size: bytesize::ByteSize::kib(64),
        ..settings(&server.url())
    };
    let (usual, alone) = (64 * 1024, 256 * 1024);
    let sizes = [usual, usual + 1, alone, alone + 1];
    let server = LocalServer::replying(
        sizes.iter().flat_map(|size| [padded(*size), padded(*size)]).collect(),
    )
    .await;
    let client = Client::new(&settings(&server), InTurn::new(&[KEY])).unwrap();
    assert_eq!(client.max_answer_sizes(), (usual, alone));
    for size in sizes {
        let refused = |pulled: Result<sprited::vod::Pulled, VodError>| match pulled {
            Ok(pulled) => {
                assert_eq!((pulled.len(), pulled.size()), (1, size));
                String::new()
            }
            Err(error) => {
                assert!(error.is_too_large() && error.advice() == Advice::Answer, "{error}");
                error.to_string()
            }
        };
        let error = refused(client.pull().await);
        assert_eq!(
            error.contains("than 65536 bytes (HTTP 200); vod.max_answer_size"),
            size > usual
        );
        let error = refused(client.pull_alone().await);
        let note = "than 262144 bytes (HTTP 200); that is four times vod.max_answer_size: raise it";
        assert_eq!(error.contains(note), size > alone, "{error}");
    }
    // Nothing but the size makes it so.
    let error = pull_error(Reply::json("no")).await;
    assert!(!error.is_too_large(), "{error}");
}

#[tokio::test]
async fn each_of_many_entries_is_passed_on_as_it_stands() {
    // More than have their place kept, in every manner of standing beside each other.
    let kinds: [&[u8]; 8] = [
        b"0",
        b" -1.5e7 ",
        b"null",
        b"\"a,\\\"]\"",
        b"[ {},[]]",
        b"{\"a\" : [1,2]}",
        b"\t\n true\r",
        b"\"\xff,\xfe\"",
    ];
    let entries: Vec<&[u8]> = (0..1000).map(|n| kinds[n % kinds.len()]).collect();
    let set = entries.join(&b","[..]);
    let body =
        [b"{\"Response\":{\"EventSet\":[", &set[..], b"],\"RequestId\":\"r\xff\"}}"].concat();
    let server = LocalServer::replying(vec![Reply::new(200, &[], &body)]).await;
    let pulled = client(&server).pull().await.unwrap();
    assert_eq!(pulled.len(), 1000);
    let mut got = pulled.entries();
    for (n, entry) in entries.iter().enumerate() {
        assert_eq!(got.len(), 1000 - n);
        let (text, replaced) = got.next().unwrap();
        assert_eq!(text, String::from_utf8_lossy(entry).trim(), "{n}");
        assert_eq!(replaced, n % kinds.len() == 7, "{n}");
    }
    assert!(got.next().is_none() && got.len() == 0);
}

#[tokio::test]
async fn gzip_is_understood() {
    let body = gzip(br#"{"Response":{"EventSet":[{"a":1}]}}"#);
    let reply = Reply::new(200, &[("Content-Encoding", "gzip")], &body);
    let server = LocalServer::replying(vec![reply]).await;
    let pulled = client(&server).pull().await.unwrap();
    assert_eq!(pulled.entries().collect::<Vec<_>>(), [("{\"a\":1}", false)]);
}

#[tokio::test]
async fn a_long_hold_is_waited_for() {
    let empty = Reply::json(&data("envelope.pull_events.empty_error.json"));
    let reply = Reply::After(Duration::from_secs(6), Box::new(empty));
    let server = LocalServer::replying(vec![reply]).await;
    assert!(client(&server).pull().await.unwrap().is_empty());
}

/// A server whose clock goes `ahead` of ours and which refuses what is signed for another time.
async fn server_ahead(ahead: TimeDelta) -> LocalServer {
    LocalServer::start(move |request, _| {
        let now = Utc::now() + ahead;
        let signed: i64 = request.header("x-tc-timestamp").unwrap().parse().unwrap();
        let body = if (now.timestamp() - signed).abs() > 300 {
            data("envelope.error.auth_signature_expire.json")
        } else {
            assert!(is_signed_with(request, KEY), "signed again, not only sent again");
            data("envelope.pull_events.empty_null.json")
        };
        let date = now.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        Reply::new(200, &[("Date", &date)], body.as_bytes())
    })
    .await
}

#[tokio::test]
async fn a_wrong_clock_is_made_up_for() {
    for hours in [1, -1, 24 * 400] {
        let (log, _guard) = capture_log();
        let server = server_ahead(TimeDelta::hours(hours)).await;
        let client = client(&server);
        assert_eq!(client.clock_offset(), TimeDelta::zero());
        client.pull().await.unwrap();
        assert_eq!(server.seen().len(), 2, "once refused, once signed with the server's time");
        let off = (client.clock_offset() - TimeDelta::hours(hours)).abs();
        assert!(off <= TimeDelta::seconds(5), "{off}");
        client.clone().pull().await.unwrap();
        assert_eq!(server.seen().len(), 3, "learned once, for all clones");
        let text = log.text();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("clock") && text.contains("offset_seconds"), "{text}");
    }
}

#[tokio::test]
async fn a_date_that_does_not_help_changes_nothing() {
    let expired = data("envelope.error.auth_signature_expire.json");
    let now = Utc::now().to_rfc2822();
    let dates =
        ["", "Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "\u{1}", &now];
    for date in dates {
        let reply = Reply::new(200, &[("Date", date)], expired.as_bytes());
        let server = LocalServer::replying(vec![reply]).await;
        let client = client(&server);
        let error = client.pull().await.unwrap_err();
        if date == "\u{1}" {
            // Such a header makes no HTTP answer at all.
            assert_eq!(error.advice(), Advice::Transport, "{error}");
        } else {
            assert_eq!(error.advice(), Advice::Clock, "{error}");
            assert!(error.to_string().contains("by NTP"), "{error}");
        }
        assert_eq!(server.seen().len(), 1, "{date}");
        assert!(client.clock_offset().abs() < TimeDelta::seconds(5));
    }
    // A server that refuses whatever time it is asked for is asked twice.
    let reply = Reply::new(200, &[("Date", "Thu, 01 Jan 2099 00:00:00 GMT")], expired.as_bytes());
    let server = LocalServer::replying(vec![reply]).await;
    assert_eq!(client(&server).pull().await.unwrap_err().advice(), Advice::Clock);
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn refused_credentials_are_refreshed_once() {
    let codes = ["TokenFailure", "InvalidSecretId", "SecretIdNotFound", "SignatureFailure"];
    for code in codes.map(|code| format!("AuthFailure.{code}")) {
        let confirmed = Reply::json(&data("envelope.confirm_events.ok.json"));
        let server = LocalServer::replying(vec![Reply::error(&code), confirmed]).await;
        let provider = InTurn::new(&[KEY, "another", "third"]);
        let client = Client::new(&settings(&server.url()), provider.clone()).unwrap();
        client.confirm(&["h"]).await.unwrap();
        let seen = server.seen();
        assert_eq!(seen.len(), 2, "{code}");
        assert!(is_signed_with(&seen[0], KEY) && is_signed_with(&seen[1], "another"), "{code}");

        // Whoever refuses all is asked twice.
        let server = LocalServer::replying(vec![Reply::error(&code)]).await;
        let provider = InTurn::new(&[KEY, "another", "third"]);
        let client = Client::new(&settings(&server.url()), provider.clone()).unwrap();
        let error = client.pull().await.unwrap_err();
        assert_eq!(error.advice(), Advice::Credentials);
        assert_eq!(error.request_id(), Some(format!("id-of-{code}").as_str()));
        assert_eq!((server.seen().len(), provider.refreshed.load(Ordering::SeqCst)), (2, 1));
    }
}

#[tokio::test]
async fn the_same_credentials_are_not_offered_again() {
    for (code, requests) in [
        ("InvalidSecretId", 1),
        ("SecretIdNotFound", 1),
        ("SignatureFailure", 1),
        ("TokenFailure", 2),
    ] {
        let server =
            LocalServer::replying(vec![Reply::error(&format!("AuthFailure.{code}"))]).await;
        let error = client(&server).pull().await.unwrap_err();
        assert_eq!(error.advice(), Advice::Credentials);
        assert_eq!(server.seen().len(), requests, "{code}");
    }
}

#[tokio::test]
async fn a_rotated_key_file_is_read_when_the_old_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, "old-key\n").unwrap();
    let server = LocalServer::start(|request, _| {
        if is_signed_with(request, "new-key") {
            Reply::json(&data("envelope.pull_events.empty_null.json"))
        } else {
            Reply::error("AuthFailure.SecretIdNotFound")
        }
    })
    .await;
    let provider = |id: &str| {
        let text = format!("secret_id = {id:?}\nsecret_key = {{ file = {path:?} }}");
        let settings: credentials::CredentialsSettings = toml::from_str(&text).unwrap();
        credentials::provider(Some(&settings)).unwrap()
    };
    let client = Client::new(&settings(&server.url()), provider(ID)).unwrap();
    assert!(client.pull().await.is_err());
    std::fs::write(&path, "new-key\n").unwrap();
    client.pull().await.unwrap();
    assert_eq!(server.seen().len(), 3, "one with the old key, then old and new");

    // The file gone: the error tells of both.
    std::fs::write(&path, "old-key").unwrap();
    client.set_provider(provider(ID));
    let reloaded = client.pull().await.unwrap_err().to_string();
    assert!(reloaded.contains("SecretIdNotFound"), "{reloaded}");
    std::fs::remove_file(&path).unwrap();
    let gone = client.pull().await.unwrap_err().to_string();
    assert!(gone.contains("SecretIdNotFound") && gone.contains(path.to_str().unwrap()), "{gone}");

    std::fs::write(&path, "new-key").unwrap();
    client.set_provider(provider(ID));
    client.pull().await.unwrap();
}

#[tokio::test]
async fn without_credentials_nothing_is_sent() {
    let server = LocalServer::replying(vec![Reply::Reset]).await;
    let text = "secret_id = \"a\"\nsecret_key = { file = \"/does/not/exist\" }";
    let credentials: credentials::CredentialsSettings = toml::from_str(text).unwrap();
    let provider = credentials::provider(Some(&credentials)).unwrap();
    let client = Client::new(&settings(&server.url()), provider).unwrap();
    let error = client.pull().await.unwrap_err();
    assert_eq!(error.advice(), Advice::Credentials);
    assert!(error.to_string().contains("/does/not/exist"), "{error}");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn one_to_sixteen_handles_are_confirmed_at_once() {
    let server =
        LocalServer::replying(vec![Reply::json(&data("envelope.confirm_events.ok.json"))]).await;
    let client = client(&server);
    for (count, fits) in [(0, false), (1, true), (16, true), (17, false)] {
        let result = client.confirm(&vec!["h"; count]).await;
        assert_eq!(result.is_ok(), fits, "{count}");
        assert!(result.err().is_none_or(|error| error.advice() == Advice::Refused));
    }
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn state_and_configuration_are_read() {
    let state = r#"{"Response":{"CountOfEventsToPull":12,"RequestId":"r"}}"#;
    let push = r#"{"Response":{"Mode":"PUSH","NotificationUrl":"https://example.com/vod",
        "UploadMediaCompleteEventSwitch":"ON","DeleteMediaCompleteEventSwitch":"OFF",
        "PersistenceCompleteEventSwitch":null,"RequestId":"r"}}"#;
    let pull = r#"{"Response":{"Mode":"PULL","NotificationUrl":"","RequestId":"r","New":{}}}"#;
    let none = r#"{"Response":{"Mode":null,"RequestId":"r"}}"#;
    let other = r#"{"Response":{"Mode":"BOTH","RequestId":"r"}}"#;
    let replies = [state, push, pull, none, other, none].map(Reply::json).to_vec();
    let server = LocalServer::replying(replies).await;
    let client = client(&server);
    assert_eq!(client.events_state().await.unwrap(), 12);
    let config = client.event_config().await.unwrap();
    assert_eq!(config.mode, EventMode::Push);
    assert_eq!(config.notification_url.as_deref(), Some("https://example.com/vod"));
    assert_eq!(config.upload_media_complete.as_deref(), Some("ON"));
    assert_eq!(config.delete_media_complete.as_deref(), Some("OFF"));
    assert_eq!(config.persistence_complete, None);
    let config = client.event_config().await.unwrap();
    assert_eq!((config.mode, config.notification_url), (EventMode::Pull, None));
    assert_eq!(client.event_config().await.unwrap().mode, EventMode::Other(String::new()));
    assert_eq!(client.event_config().await.unwrap().mode, EventMode::Other("BOTH".into()));
    let error = client.events_state().await.unwrap_err();
    assert_eq!((error.advice(), error.request_id()), (Advice::Answer, Some("r")));
    let actions: Vec<_> =
        server.seen().iter().map(|r| r.header("x-tc-action").unwrap().to_owned()).collect();
    assert_eq!(actions[..2], ["DescribeEventsState", "DescribeEventConfig"]);
}

#[tokio::test]
async fn what_a_server_echoes_stays_out_of_errors() {
    let echo = |status: u16, form: &'static str| {
        LocalServer::start(move |request, _| {
            let sent: String =
                ["authorization", "x-tc-token"].map(|name| request.header(name).unwrap()).join(" ");
            Reply::new(status, &[], form.replace('$', &sent).as_bytes())
        })
    };
    let forms = [
        (200, r#"{"Response":{"Error":{"Code":"InternalError","Message":"$"},"RequestId":"r"}}"#),
        (200, r#"{"Response":{"Error":{"Code":"$","Message":""},"RequestId":"$"}}"#),
        (200, r#"{"Response":{"CountOfEventsToPull":"$"}}"#),
        (200, r#"{"Response":{"Error":"$"}}"#),
        (200, r#"{"code":4000,"message":"$"}"#),
        (200, "$"),
        (502, "<html>$</html>"),
    ];
    for (status, form) in forms {
        let server = echo(status, form).await;
        let client = client(&server);
        let error = client.events_state().await.unwrap_err();
        let authorization = server.seen()[0].header("authorization").unwrap().to_owned();
        let (_, signature) = authorization.split_once("Signature=").unwrap();
        let shown = format!("{error} {error:?} {client:?}");
        for secret in [&signature[..32], KEY, TOKEN] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    assert!(!format!("{:?}", Secret::from(KEY)).contains(KEY));
}

#[tokio::test]
async fn settings_with_faults_make_no_client() {
    let settings = VodSettings { sub_app_id: Some(0.into()), ..settings("http://example.com") };
    let problem = Client::new(&settings, InTurn::new(&[KEY])).unwrap_err();
    assert!(problem.contains("endpoint: ") && problem.contains("sub_app_id: "), "{problem}");
    Client::new(&VodSettings::default(), InTurn::new(&[KEY])).unwrap();
}

const CHILD_ENDPOINT: &str = "SPRITED_TEST_ENDPOINT";

/// The variables of the environment belong to the whole process, so a child is needed; it is
/// this test binary again.
#[tokio::test]
#[ignore = "run as a child by the_proxy_of_the_environment_is_used"]
async fn child_that_pulls_once() {
    let Ok(endpoint) = std::env::var(CHILD_ENDPOINT) else { return };
    let settings = VodSettings { endpoint, ..VodSettings::default() };
    let client = Client::new(&settings, InTurn::new(&[KEY])).unwrap();
    match client.pull().await {
        Ok(_) => println!("child: pulled"),
        Err(error) => println!("child: {error}"),
    }
}

/// What the child says of its pull.
async fn pull_in_child(endpoint: &str, variables: &[(&str, String)]) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "client::child_that_pulls_once", "--ignored", "--nocapture"]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD"] {
        child.env_remove(name).env_remove(name.to_lowercase());
    }
    child.env_remove("SSL_CERT_DIR");
    child.env(CHILD_ENDPOINT, endpoint).envs(variables.iter().map(|(name, value)| (name, value)));
    let output = tokio::task::spawn_blocking(move || child.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, said) = text.split_once("child: ").unwrap_or_else(|| panic!("{text}"));
    said.lines().next().unwrap().to_owned()
}

#[tokio::test]
async fn the_proxy_of_the_environment_is_used() {
    let empty = Reply::json(&data("envelope.pull_events.empty_null.json"));
    // A proxy is not told what is meant for this machine.
    let proxy = LocalServer::replying(vec![empty.clone()]).await;
    let direct = LocalServer::replying(vec![empty]).await;
    let loopback = [("HTTP_PROXY", proxy.url()), ("ALL_PROXY", proxy.url())];
    assert_eq!(pull_in_child(&direct.url(), &loopback).await, "pulled");
    assert_eq!((proxy.seen().len(), direct.seen().len()), (0, 1));

    let tunnels = LocalServer::replying(vec![Reply::new(403, &[], b"")]).await;
    let variables = [("HTTPS_PROXY", tunnels.url().replace("//", "//user:hunter2@"))];
    let said = pull_in_child("https://vod.tencentcloudapi.com", &variables).await;
    assert!(said.contains("PullEvents failed") && !said.contains("hunter2"), "{said}");
    let seen = tunnels.seen();
    assert_eq!(seen[0].method, "CONNECT");
    assert_eq!(seen[0].target, "vod.tencentcloudapi.com:443");
    assert!(seen[0].header("proxy-authorization").unwrap().starts_with("Basic "));
    assert_eq!(seen[0].header("authorization"), None, "a proxy sees no signature");

    let excepted = [("HTTPS_PROXY", tunnels.url()), ("NO_PROXY", "localhost".to_owned())];
    let said = pull_in_child("https://localhost:1", &excepted).await;
    assert!(said.contains("PullEvents failed"), "{said}");
    assert_eq!(tunnels.seen().len(), 1);
}

/// Serves an empty queue over TLS; prints its port.
const TLS_SERVER: &str = r#"
import http.server, ssl, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        answer = b'{"Response":{"EventSet":[]}}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1] + "/localhost.pem", sys.argv[1] + "/localhost.key")
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
"#;

#[tokio::test]
async fn a_certificate_is_verified_for_its_name_and_its_authority() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls");
    let mut server = tokio::process::Command::new(python())
        .args(["-c", TLS_SERVER, folder])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut port = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut port).await.unwrap();
    let port = port.trim();
    let trusted = [("SSL_CERT_FILE", format!("{folder}/ca.pem"))];
    let (named, unnamed) =
        (format!("https://localhost:{port}"), format!("https://127.0.0.1:{port}"));
    assert_eq!(pull_in_child(&named, &trusted).await, "pulled");
    // A certificate that is no authority's own: none of these trusts it.
    let stranger = [("SSL_CERT_FILE", format!("{folder}/localhost.pem"))];
    for (endpoint, variables) in [(&unnamed, &trusted), (&named, &stranger)] {
        let said = pull_in_child(endpoint, variables).await;
        assert!(said.contains("certificate"), "{said}");
    }
}
