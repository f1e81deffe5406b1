//! What becomes of an event.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sprited::event::{Event, MirrorStatus};
use sprited::sinks::{Batch, Fault, Verdict};

use super::{INDEX, Site, procedure, sprites, usual};
use crate::local_server::{Reply, Request};
use crate::sink::event;

fn is_of(request: &Request, folder: &str) -> bool {
    request.target.starts_with(&format!("/{folder}/"))
}

fn not_found() -> Reply {
    Reply::new(404, &[], b"")
}

#[tokio::test]
async fn what_has_no_files_is_skipped_with_the_reason() {
    let site = Site::new().await;
    let task = |status: &str, output| {
        json!({ "ImageSpriteTask": {
            "Status": status, "ErrCode": 1, "Message": "no", "Input": { "Definition": 10 },
            "Output": output,
        }})
    };
    let results = vec![
        task("FAIL", json!(null)),
        task("PROCESSING", json!(null)),
        task("SUCCESS", json!({ "ImageUrlSet": [format!("{}/a.png", site.server.url())] })),
    ];
    let (verdict, results) = site.offer(&procedure("1", results)).await;
    assert_eq!(verdict, Verdict::Delivered);
    assert!(results.iter().all(|result| result.status == MirrorStatus::Skipped), "{results:?}");
    let why: Vec<_> = results.iter().map(|result| result.error.as_deref().unwrap()).collect();
    assert_eq!(
        why,
        ["its task failed", "its task is still at work", "the event has no URL of its WebVTT file"]
    );
    // An event without sprites has no results.
    assert_eq!(site.offer(&event("a")).await, (Verdict::Delivered, vec![]));
    assert_eq!((site.requests(), site.files().len()), (0, 0));
}

#[tokio::test]
async fn files_that_are_not_there_yet_are_asked_for_again() {
    let site = Site::new().await;
    let event = site.sprite("1");
    site.answer(|request| match request.target.ends_with(".vtt") {
        true => usual(request),
        false => not_found(),
    });
    let (verdict, results) = site.offer(&event).await;
    let Verdict::Retry { error, fault, .. } = verdict else { panic!("{verdict:?}") };
    assert_eq!(fault, Fault::Source { is_down: false });
    assert!(error.contains("404") && error.contains("10_0.png"), "{error}");
    assert_eq!(results[0].status, MirrorStatus::Failed);
    assert_eq!(results[0].error.as_ref(), Some(&error));
    assert_eq!(site.files().len(), 0);
    site.answer(usual);
    assert_eq!(site.take(&event).await.status, MirrorStatus::Ok);
}

#[tokio::test]
async fn what_a_rule_forbids_is_a_dead_letter() {
    let site = Site::new().await;
    let elsewhere = sprites("http://169.254.0.23", &["1"], "");
    let (verdict, results) = site.offer(&elsewhere).await;
    let Verdict::Reject(error) = verdict else { panic!("{verdict:?}") };
    assert!(error.contains("169.254.0.23"), "{error}");
    assert_eq!(
        (results[0].status, results[0].error.as_ref()),
        (MirrorStatus::Failed, Some(&error))
    );
    assert_eq!((site.requests(), site.files().len()), (0, 0));
}

/// One that is done, one that comes late, and one that is forbidden.
#[tokio::test]
async fn of_an_event_with_several_sprites_all_are_tried_and_none_twice() {
    let site = Site::new().await;
    let event = sprites(&site.server.url(), &["a", "b", "c"], "");
    let body = event.body.replace(&format!("{}/c/", site.server.url()), "http://10.0.0.1/c/");
    let event = sprited::event::read(event.app, &body, false, event.first_pulled).event;
    site.answer(|request| if is_of(request, "b") { not_found() } else { usual(request) });
    let statuses = |results: &[sprited::event::MirrorResult]| {
        results.iter().map(|result| result.status).collect::<Vec<_>>()
    };
    use MirrorStatus::{Failed, Ok};
    let (verdict, results) = site.offer(&event).await;
    assert!(matches!(verdict, Verdict::Retry { .. }), "{verdict:?}");
    assert_eq!(statuses(&results), [Ok, Failed, Failed]);
    let requests_for_a = || site.server.seen().iter().filter(|request| is_of(request, "a")).count();
    let asked = requests_for_a();
    site.answer(usual);
    let (verdict, results) = site.offer(&event).await;
    assert!(matches!(verdict, Verdict::Reject(_)), "{verdict:?}");
    assert_eq!(statuses(&results), [Ok, Ok, Failed]);
    assert_eq!((requests_for_a(), site.is_whole()), (asked, 2));
}

#[tokio::test]
async fn what_looks_wrong_is_told_and_with_strict_tried_again() {
    let mut site = Site::new().await;
    // Of which the second cue lies outside of the sheet.
    let wrong = INDEX.replace("142,0,142,80", "1420,0,142,80");
    site.answer(move |request| match request.target.ends_with(".vtt") {
        true => Reply::new(200, &[], wrong.as_bytes()),
        false => usual(request),
    });
    let event = site.sprite("1");
    let result = site.take(&event).await;
    assert_eq!(result.status, MirrorStatus::Ok);
    assert!(!result.findings.is_empty());
    let codes: Vec<_> = result.findings.iter().map(|finding| finding.code.clone()).collect();
    let manifest = site.manifest("1");
    let written = manifest["findings"].as_array().unwrap();
    assert_eq!(written.iter().map(|it| it["code"].as_str().unwrap()).collect::<Vec<_>>(), codes);
    site.restart("strict = true").await;
    let other = site.sprite("2");
    let (verdict, results) = site.offer(&other).await;
    let Verdict::Retry { error, fault, .. } = verdict else { panic!("{verdict:?}") };
    assert!(error.starts_with("strict is set, and "), "{error}");
    assert_eq!(fault, Fault::Source { is_down: false });
    assert_eq!((results[0].status, site.is_whole()), (MirrorStatus::Failed, 1));
    assert!(site.sink.sources_down().is_empty());
}

#[tokio::test]
async fn a_source_that_hangs_is_given_up_at_the_timeout() {
    let site = Site::new().await;
    let never = tokio_util::sync::CancellationToken::new();
    let held = never.clone();
    site.answer(move |request| Reply::When(held.clone(), Box::new(usual(request))));
    let mut context = crate::sink::context("cdn");
    context.timeout = Duration::from_millis(300);
    let plan = crate::sink::plan("mirror", &site.settings(""));
    let sink = plan.open(&context).await.unwrap();
    let (verdict, _) = super::offer(&*sink, &site.sprite("1")).await;
    let Verdict::Retry { error, fault, .. } = verdict else { panic!("{verdict:?}") };
    assert_eq!(fault, Fault::Source { is_down: false }, "{error}");
    assert!(error.contains("no answer in time") || error.contains("within 300ms"), "{error}");
    // One that is in its turn behind such a one waits no longer either.
    let (one, other) = (site.sprite("1"), site.sprite("1"));
    let both = async |event: &Arc<Event>| super::offer(&*sink, event).await.0;
    let (first, second) = tokio::join!(both(&one), both(&other));
    assert!([first, second].iter().all(|verdict| matches!(verdict, Verdict::Retry { .. })));
    never.cancel();
}

/// One at a time for each file and template: the second finds what the first wrote.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_of_one_sprite_at_once_fetch_it_once() {
    let site = Site::new().await;
    let event = site.sprite("1");
    let sink = &site.sink;
    let batch = Batch::new(vec![Arc::clone(&event)]);
    let deliver = || async { sink.deliver(&batch).await.into_parts().0 };
    let all = tokio::join!(deliver(), deliver(), deliver(), deliver());
    assert_eq!([all.0, all.1, all.2, all.3].concat(), vec![Verdict::Delivered; 4]);
    // Index, two sheets, and the index once more.
    assert_eq!((site.requests(), site.is_whole()), (4, 1));
}

#[tokio::test]
async fn no_manifest_shows_what_opens_a_protected_file() {
    let site = Site::new().await;
    let plain = sprites(&site.server.url(), &["1"], "");
    let body = plain.body.replace("10.vtt", "10.vtt?t=7fffffff&sign=hunter2");
    let event = sprited::event::read(plain.app, &body, false, plain.first_pulled).event;
    let result = site.take(&event).await;
    assert_eq!(result.status, MirrorStatus::Ok);
    for (path, text) in site.files() {
        assert!(!String::from_utf8_lossy(&text).contains("hunter2"), "{path}");
    }
    assert!(site.server.seen()[0].target.contains("sign=hunter2"));
}
