//! One daemon's webhook sink feeds another daemon's receiver.

use super::*;
use crate::e2e::file;
use crate::support::until;

#[tokio::test]
async fn an_edge_daemon_feeds_a_core_daemon() {
    let core = Site::new(&file("sprites", "image-sprite")).await;
    core.receives("");
    let core_daemon = core.start();
    let poster = Poster::of(&core_daemon).await;
    let sink = format!(
        "[[sinks]]\nname = 'core'\ntype = 'webhook'\nformat = 'callback'\nurl = '{}'\n",
        poster.url()
    );
    let edge = Site::new(&sink).await;
    edge.receives("");
    let edge_daemon = edge.start();
    let made = edge.make_sprites(50);
    let edge_poster = Poster::of(&edge_daemon).await;
    assert_eq!(edge_poster.post(&seed()).await.0, 200);
    edge.drained().await;
    until(|| core.lines("sprites.jsonl").len() == made.len() + 1).await;
    edge_daemon.stop().await;
    core_daemon.stop().await;
    core.assert_once("sprites.jsonl", made.len() + 1);
    let keys = |site: &Site| {
        let events = site.journaled(None);
        events
            .iter()
            .map(|row| row.event.key.to_string())
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(keys(&edge), keys(&core));
}
