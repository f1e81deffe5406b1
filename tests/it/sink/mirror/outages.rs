//! Hosts that are down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sprited::event::MirrorStatus;
use sprited::sinks::{Fault, Verdict};

use super::{Site, open, settings, sprite, usual};
use crate::local_server::{LocalServer, Reply};
use crate::support::capture_log;

#[tokio::test]
async fn a_host_that_is_down_is_asked_by_one_and_holds_up_no_other() {
    let (log, _guard) = capture_log();
    let is_broken = Arc::new(AtomicBool::new(true));
    let broken = Arc::clone(&is_broken);
    let bad = LocalServer::start(move |request, _| match broken.load(Ordering::SeqCst) {
        true => Reply::new(503, &[], b""),
        false => usual(request),
    })
    .await;
    let site = Site::new().await;
    let hosts = format!("hosts = ['{}']", site.server.address());
    let both = format!("hosts = ['{}', '{}']", site.server.address(), bad.address());
    let sink = open(&settings(&site.folder, &site.server, "").replace(&hosts, &both)).await;
    let offer = async |event: Arc<sprited::event::Event>| super::offer(&*sink, &event).await.0;
    let of_bad = |file: &str| sprite(&bad.url(), file, "");
    let fault = |verdict: &Verdict| match verdict {
        Verdict::Retry { fault, .. } => Some(*fault),
        _ => None,
    };
    let host = bad.address().to_string();

    for number in 1..=5 {
        let verdict = offer(of_bad(&number.to_string())).await;
        let is_down = number == 5;
        assert_eq!(fault(&verdict), Some(Fault::Source { is_down }), "{verdict:?}");
    }
    let down = sink.sources_down();
    assert_eq!((down.len(), &down[0].host), (1, &host));
    assert!(down[0].error.contains("503"), "{down:?}");
    let asked = bad.seen().len();
    for number in 6..=20 {
        let verdict = offer(of_bad(&number.to_string())).await;
        let Verdict::Retry { error, fault, after } = &verdict else { panic!("{verdict:?}") };
        assert_eq!(*fault, Fault::Source { is_down: true });
        assert!(error.contains(&host) && error.contains("503"), "{error}");
        assert!(after.is_some());
    }
    // One may have asked, if this took so long.
    assert!(bad.seen().len() <= asked + 1, "{} requests", bad.seen().len());
    // The other host's go through at once.
    let good = sprite(&site.server.url(), "good", "");
    assert_eq!(offer(good).await, Verdict::Delivered);

    is_broken.store(false, Ordering::SeqCst);
    let first = of_bad("1");
    let verdict = loop {
        match super::offer(&*sink, &first).await {
            (Verdict::Retry { after, .. }, _) => tokio::time::sleep(after.unwrap()).await,
            (verdict, results) => {
                assert_eq!(results[0].status, MirrorStatus::Ok);
                break verdict;
            }
        }
    };
    assert_eq!(verdict, Verdict::Delivered);
    assert!(sink.sources_down().is_empty());
    assert_eq!(offer(of_bad("20")).await, Verdict::Delivered);
    let log = log.text();
    for said in
        ["a source host is down; its sprites wait in the journal", "a source host is up again"]
    {
        assert_eq!(log.matches(said).count(), 1, "{log}");
    }
}

/// One that cannot be fetched says nothing of its host, however often it is tried.
#[tokio::test]
async fn one_event_alone_takes_no_host_down() {
    let site = Site::new().await;
    site.answer(|_| Reply::new(503, &[], b""));
    let event = site.sprite("1");
    for _ in 0..10 {
        let (verdict, _) = site.offer(&event).await;
        let is_up = |fault| fault == Fault::Source { is_down: false };
        assert!(matches!(verdict, Verdict::Retry { fault, .. } if is_up(fault)), "{verdict:?}");
    }
    assert!(site.sink.sources_down().is_empty());
}

/// Media that were deleted fail for good, each by itself: those that were not are not to wait.
#[tokio::test]
async fn files_that_are_not_there_take_no_host_down() {
    for status in [404, 410] {
        let site = Site::new().await;
        site.answer(move |request| match request.target.starts_with("/gone") {
            true => Reply::new(status, &[], b""),
            false => usual(request),
        });
        for number in 0..10 {
            let (verdict, _) = site.offer(&site.sprite(&format!("gone{number}"))).await;
            let is_up = |fault| fault == Fault::Source { is_down: false };
            assert!(matches!(verdict, Verdict::Retry { fault, .. } if is_up(fault)), "{verdict:?}");
        }
        assert!(site.sink.sources_down().is_empty());
        assert_eq!(site.take(&site.sprite("there")).await.status, MirrorStatus::Ok);
    }
}
