//! SIGKILL while events are posted: whatever was answered with 200 is in the journal.

use std::collections::BTreeSet;
use std::sync::Mutex;

use super::*;
use crate::e2e::file;
use crate::support::until;

/// Kills as many daemons, each while it is posted to.
async fn answered_is_stored(kills: usize) {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    site.receives("");
    site.edit("level = 'debug'", "level = 'info'");
    let answered = Mutex::new(BTreeSet::new());
    let task =
        |number: usize| format!("CreateImageSprite-1edb7eb88a599d05abe451cfc541cfbd-{number}");
    for kill in 0..kills {
        let mut daemon = site.start();
        let poster = Poster::of(&daemon).await;
        let posting = futures_util::future::join_all((0..8).map(async |client| {
            for index in 0.. {
                let number = (kill * 8 + client) * 10_000 + index;
                let sent = poster.http.post(poster.url()).body(sprite(number)).send().await;
                match sent {
                    Ok(answer) if answer.status() == 200 => {
                        answered.lock().unwrap().insert(task(number));
                    }
                    Ok(answer) => panic!("{}", answer.status()),
                    Err(_) => return,
                }
            }
        }));
        let before = answered.lock().unwrap().len();
        let killing = async {
            // At another moment each time, within a few commits of the first answers.
            until(|| answered.lock().unwrap().len() > before + kill % 7).await;
            tokio::time::sleep(Duration::from_micros(rand::random_range(0..20_000))).await;
            daemon.insist(nix::sys::signal::Signal::SIGKILL).await;
        };
        tokio::join!(posting, killing);
    }
    let stored: BTreeSet<_> =
        site.journaled(None).iter().filter_map(|row| row.event.task_id.clone()).collect();
    let answered = answered.into_inner().unwrap();
    let lost: Vec<_> = answered.difference(&stored).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), answered.len());
    assert!(answered.len() > kills, "{}", answered.len());
    let daemon = site.start();
    until(|| site.lines("sprites.jsonl").len() >= stored.len()).await;
    daemon.stop().await;
    let delivered = site.lines("sprites.jsonl").len();
    assert_eq!(delivered, stored.len());
}

#[tokio::test]
async fn what_was_answered_survives_a_kill() {
    answered_is_stored(20).await;
}

/// `tests/run --full`
mod full {
    #[tokio::test]
    #[ignore = "takes a minute; tests/run --full"]
    async fn what_was_answered_survives_a_hundred_kills() {
        super::answered_is_stored(100).await;
    }
}
