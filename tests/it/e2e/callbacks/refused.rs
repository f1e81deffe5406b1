//! What is refused, with what answer, and what is said of it.

use std::time::Instant;

use super::*;
use crate::e2e::file;

const EMPTY: &str = "\r\ncontent-length: 0\r\n";

/// So that the end of an answer need not be waited for.
const CLOSE: &str = "Connection: close\r\n";

/// An answer without its date.
fn undated(answer: &str) -> String {
    let lines = answer.split_inclusive("\r\n");
    lines.filter(|line| !line.to_ascii_lowercase().starts_with("date: ")).collect()
}

#[tokio::test]
async fn a_wrong_token_application_or_path_is_told_from_no_other() {
    let site = Site::new(&file("all", "*")).await;
    site.receives("");
    let daemon = site.start();
    let poster = Poster::of(&daemon).await;
    let unknown = undated(&poster.raw(&request("/unknown", CLOSE, "{}")).await);
    assert!(unknown.starts_with("HTTP/1.1 404 Not Found\r\n"), "{unknown}");
    assert!(unknown.contains(EMPTY) && unknown.ends_with("\r\n\r\n"), "{unknown}");
    let right = path();
    for target in [
        "/",
        "/vod",
        "/metrics",
        "/healthz",
        "/vod/1500012345",
        "/vod/1500012345/",
        &format!("/vod/{APP}/{}", "x".repeat(TOKEN.len())),
        &format!("/vod/{APP}/{}", &TOKEN[..TOKEN.len() - 1]),
        &format!("/vod/7/{TOKEN}"),
        &format!("{right}/"),
        &format!("/{right}"),
    ] {
        for method in ["POST", "GET", "PUT", "DELETE", "OPTIONS", "TRACE"] {
            let request = String::from_utf8(request(target, CLOSE, "{}")).unwrap();
            let request = request.replacen("POST", method, 1);
            let answer = undated(&poster.raw(request.as_bytes()).await);
            assert_eq!(answer, unknown, "{method} {target}");
        }
    }
    // The body is not waited for, however large it is said to be, or how it is encoded.
    let head = "POST /unknown HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\n\
                Content-Length: 1073741824\r\n\r\n";
    let start = Instant::now();
    let mut connection = poster.connect().await;
    connection.send(head.as_bytes()).await;
    let answer = undated(&connection.rest(Duration::from_secs(1)).await);
    assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
    assert!(start.elapsed() < Duration::from_secs(3));
    assert!(site.journaled(None).is_empty());
    daemon.stop().await;
}

#[tokio::test]
async fn each_refusal_has_its_status_an_empty_body_and_a_count() {
    let site = Site::new(&file("all", "*")).await;
    site.receives(&format!("sign_key = '{SIGN_KEY}'\nmax_body = '64KiB'"));
    let daemon = site.start();
    let poster = Poster::of(&daemon).await;
    let target = format!("{}?{SIGN}", path());
    let large = format!("{{\"A\":\"{}\"}}", "x".repeat(65_536));
    let get = String::from_utf8(request(&target, "", "{}")).unwrap().replacen("POST", "GET", 1);
    let chunks = format!("1000\r\n{}\r\n", "x".repeat(4096)).repeat(17);
    let endless =
        format!("POST {target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
    let huge = format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 1073741824\r\n\r\n");
    let gzip = "Content-Encoding: gzip\r\n";
    for (reason, status, request) in [
        ("method", "405 Method Not Allowed", get.into_bytes()),
        ("encoding", "415 Unsupported Media Type", request(&target, gzip, &seed())),
        ("size", "413 Payload Too Large", request(&target, "", &large)),
        ("size", "413 Payload Too Large", endless.into_bytes()),
        ("size", "413 Payload Too Large", huge.into_bytes()),
        ("json", "400 Bad Request", request(&target, "", "{\"a\":}")),
        ("json", "400 Bad Request", request(&target, "", "")),
        ("json", "400 Bad Request", request(&target, "", "{}{}")),
        ("signature", "403 Forbidden", request(&path(), "", &seed())),
        ("path", "404 Not Found", request("/", "", "{}")),
    ] {
        let series = format!("sprited_received_refused_total{{reason=\"{reason}\"}}");
        let before = daemon.metric(&series).await;
        let answer = poster.raw(&request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{reason}: {answer}");
        assert!(answer.contains(EMPTY) && answer.ends_with("\r\n\r\n"), "{reason}: {answer}");
        assert_eq!(daemon.metric(&series).await, before + 1.0, "{reason}");
    }
    assert_eq!(daemon.metric("sprited_received_total{outcome=\"refused\"}").await, 10.0);
    assert_eq!(daemon.metric("sprited_received_lost_total").await, 1.0);
    // The state tells of it.
    let (_, ready) = daemon.get("/readyz").await;
    assert!(ready.contains("posted events are refused for their signature"), "{ready}");
    assert!(site.journaled(None).is_empty());
    // A line for each reason, and nothing of the requests but where they came from.
    let lines = daemon.logged(REFUSED);
    let mut reasons: Vec<_> = lines.iter().map(|line| line["reason"].as_str().unwrap()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["encoding", "json", "method", "path", "signature", "size"]);
    let signature = lines.iter().find(|line| line["reason"] == "signature").unwrap();
    assert_eq!(signature["tasks"], "CreateImageSprite-1edb7eb88a599d05abe451cfc541cfbd");
    assert!(lines.iter().all(|line| line["peer"].as_str().unwrap().starts_with("127.0.0.1:")));
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    daemon.has_logged("stopped").await;
    // Those that the minute would have brought.
    let lines = daemon.logged(REFUSED);
    let of = |reason: &str| {
        let lines = lines.iter().filter(|line| line["reason"] == reason);
        lines.map(|line| line["requests"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((of("size"), of("json"), of("path")), (vec![1, 2], vec![1, 2], vec![1]));
    let log = daemon.log();
    for hidden in [TOKEN, SIGN_KEY, "950736b97d07b7aefff7427c5e1f5d75", "1450807109824492944"] {
        assert!(!log.contains(hidden), "{hidden} is in the log");
    }
}

#[tokio::test]
async fn a_forged_signature_is_refused_wherever_it_stands() {
    let site = Site::new(&file("all", "*")).await;
    site.receives(&format!("sign_key = '{SIGN_KEY}'"));
    let daemon = site.start();
    let poster = Poster::of(&daemon).await;
    let right = "950736b97d07b7aefff7427c5e1f5d75";
    // By MD5's length extension: the hash is that of key, T and what is added.
    let extended = format!(
        "Sign=196e825bac0bab10f11f4c93b5031901&T=1796004600%80{}%B0{}9",
        "%00".repeat(33),
        "%00".repeat(7)
    );
    for query in [
        extended,
        "Sign=196e825bac0bab10f11f4c93b5031901&T=1796004600".to_owned(),
        SIGN.replace("9505", "0505").replace("T=9", "T=8"),
        SIGN.replace("&T=9223372036854775807", ""),
        SIGN.replace(&format!("Sign={right}&"), ""),
        format!("Sign={right}&T=+9223372036854775807"),
        format!("Sign={right}&T=09223372036854775807"),
        format!("Sign={right}&T="),
        "Sign=&T=9223372036854775807".to_owned(),
        // Right, and over.
        "Sign=c1651ec986abbb18b60e34ea357cf9a9&T=1614151508".to_owned(),
    ] {
        let url = format!("{}?{query}", poster.url());
        assert_eq!(poster.post_to(&url, &seed()).await, (403, String::new()), "{query}");
    }
    for expires in ["null", "1.7e9", "-1", "\"\"", "[9223372036854775807]", "99999999999999999999"]
    {
        let body = seed().replacen('{', &format!("{{\"Sign\":\"{right}\",\"T\":{expires},"), 1);
        assert_eq!(poster.post(&body).await.0, 403, "{expires}");
    }
    // What stands in the body decides over the query.
    let body = seed().replacen('{', "{\"Sign\":\"0\",\"T\":9223372036854775807,", 1);
    let url = format!("{}?{SIGN}", poster.url());
    assert_eq!(poster.post_to(&url, &body).await.0, 403);
    let expired = "sprited_received_refused_total{reason=\"expired\"}";
    assert_eq!(daemon.metric(expired).await, 1.0);
    assert!(site.journaled(None).is_empty());
    assert_eq!(poster.post_to(&url, &seed()).await.0, 200);
    daemon.stop().await;
}

#[tokio::test]
async fn what_is_only_to_be_logged_is_taken() {
    let site = Site::new(&file("all", "*")).await;
    site.receives(&format!("sign_key = '{SIGN_KEY}'\nverify = 'log'"));
    let daemon = site.start();
    let poster = Poster::of(&daemon).await;
    assert_eq!(poster.post(&seed()).await.0, 200);
    assert_eq!(poster.post(&sprite(1)).await.0, 200);
    let url = format!("{}?{SIGN}", poster.url());
    assert_eq!(poster.post_to(&url, &sprite(2)).await.0, 200);
    assert_eq!(daemon.metric("sprited_received_unverified_total").await, 2.0);
    assert_eq!(daemon.metric("sprited_received_total{outcome=\"refused\"}").await, 0.0);
    let said = daemon.logged("posted event not verified; stored all the same");
    assert_eq!(said.len(), 1);
    assert_eq!(said[0]["tasks"], "CreateImageSprite-1edb7eb88a599d05abe451cfc541cfbd");
    site.delivered("all.jsonl", 3).await;
    daemon.stop().await;
    site.assert_once("all.jsonl", 3);
}
