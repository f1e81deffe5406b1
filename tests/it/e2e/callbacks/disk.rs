//! A journal that cannot be written.

use std::time::Instant;

use futures_util::future::join_all;

use super::*;
use crate::e2e::exhaustion::Disk;
use crate::e2e::file;
use crate::support;

async fn full(disk: Disk) {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    site.receives("");
    disk.make(&site);
    let daemon = disk.start(&site);
    let poster = Poster::of(&daemon).await;
    assert_eq!(poster.post(&sprite(0)).await.0, 200);
    disk.fill(&site, &daemon, "journal.db-wal");
    // What fits into the last page is taken.
    let mut number = 1;
    let mut taken = 1;
    loop {
        let start = Instant::now();
        let answers = join_all((number..number + 20).map(async |number| {
            let answer = poster.http.post(poster.url()).body(sprite(number)).send().await.unwrap();
            (answer.status().as_u16(), answer.headers().clone(), start.elapsed())
        }))
        .await;
        number += 20;
        taken += answers.iter().filter(|(status, ..)| *status == 200).count();
        let refused: Vec<_> = answers.iter().filter(|(status, ..)| *status != 200).collect();
        for (status, headers, lasted) in &refused {
            assert_eq!((*status, &headers["retry-after"]), (503, &"30".parse().unwrap()));
            assert!(lasted.as_secs() >= 8, "{lasted:?}");
        }
        if refused.len() == 20 {
            break;
        }
    }
    let unstored = daemon.metric("sprited_received_unstored_total").await;
    assert!(unstored >= 20.0, "{unstored}");
    let said = daemon.logged(REFUSED);
    assert!(said.iter().all(|line| line["reason"] == "unstored") && !said.is_empty(), "{said:?}");

    // In time for whoever still waits, whenever there is room again.
    let start = Instant::now();
    let waiting = join_all((number..number + 5).map(|number| {
        let (poster, body) = (&poster, sprite(number));
        async move {
            let status = poster.post(&body).await.0;
            assert!(start.elapsed() > Duration::from_millis(5900), "answered before it was stored");
            status
        }
    }));
    let freed = async {
        tokio::time::sleep(Duration::from_secs(6)).await;
        disk.free(&site, &daemon);
    };
    let (answers, ()) = tokio::join!(waiting, freed);
    assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
    // All that was answered with 200 is there, without being posted again.
    taken += answers.len();
    support::until(|| site.lines("sprites.jsonl").len() >= taken).await;
    // And what was not answered with 200 comes again.
    for number in 0..number + 5 {
        assert_eq!(poster.post(&sprite(number)).await.0, 200);
    }
    site.delivered("sprites.jsonl", number + 5).await;
    daemon.stop().await;
    site.assert_once("sprites.jsonl", number + 5);
}

#[tokio::test]
async fn while_the_disk_is_full_nothing_is_answered_in_time_and_nothing_is_lost() {
    join_all(Disk::all().into_iter().map(full)).await;
}

/// The cloud may have given up by then, and post it again.
#[tokio::test]
async fn an_equal_event_after_a_late_answer_is_the_same_and_after_that_another() {
    let disk = Disk::Limited;
    let site = Site::new(&file("all", "*")).await;
    site.receives("");
    disk.make(&site);
    let daemon = disk.start(&site);
    let poster = Poster::of(&daemon).await;
    assert_eq!(poster.post(&sprite(0)).await.0, 200);
    // What fits into the last page is taken at once; and the next try may come too late.
    let mut number = 0;
    loop {
        disk.fill(&site, &daemon, "journal.db-wal");
        let start = Instant::now();
        let body = recurring(number);
        let freed = async {
            tokio::time::sleep(Duration::from_millis(4500)).await;
            disk.free(&site, &daemon);
        };
        let posted = async { (poster.post(&body).await.0, start.elapsed()) };
        let ((status, lasted), ()) = tokio::join!(posted, freed);
        if status == 200 && lasted > Duration::from_secs(4) {
            break;
        }
        number += 1;
    }
    let received = async |outcome: &str| {
        daemon.metric(&format!("sprited_received_total{{outcome=\"{outcome}\"}}")).await
    };
    let new = received("new").await;
    assert_eq!(poster.post(&recurring(number)).await.0, 200);
    assert_eq!((received("new").await, received("duplicate").await), (new, 1.0));
    assert_eq!(poster.post(&recurring(number)).await.0, 200);
    assert_eq!((received("new").await, received("duplicate").await), (new + 1.0, 1.0));
    daemon.stop().await;
}
