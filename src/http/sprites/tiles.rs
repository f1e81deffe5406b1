//! A real tile for the sprites in the status page's events.

use std::sync::Arc;
use std::time::Duration;

use super::disk::SpriteDisk;
use super::mirrored::Mirrored;
use super::served::MirrorFolder;
use crate::health::Snapshot;
use crate::http::status::{EventLine, MAX_SPRITES, MirroredView};

/// How long the status page waits for tiles: it says what is wrong when a disk hangs.
const PATIENCE: Duration = Duration::from_millis(500);

/// Gives each sprite that a mirror has a tile of it, as far as the disk answers.
pub(in crate::http) async fn draw(
    disk: &SpriteDisk,
    snapshot: &Arc<Snapshot>,
    lines: &mut [EventLine],
) {
    let Some(mirrors) = disk.mirrors().filter(|mirrors| !mirrors.is_empty()) else { return };
    let snapshot = snapshot.clone();
    let reading = disk.read(move || views(&snapshot, &mirrors));
    let found = tokio::time::timeout(PATIENCE, reading).await.ok().flatten();
    for (line, views) in lines.iter_mut().zip(found.unwrap_or_default()) {
        for (sprite, view) in line.sprites.iter_mut().zip(views) {
            sprite.mirrored = view;
        }
    }
}

/// Of each of the newest events, in their order, what there is of each sprite. Blocks.
fn views(snapshot: &Snapshot, mirrors: &[MirrorFolder]) -> Vec<Vec<Option<MirroredView>>> {
    let latest = snapshot.journal.iter().flat_map(|view| &view.latest);
    let of_event = latest.map(|found| {
        let key = found.event.key.to_string();
        let view = |sprite| {
            let here = Mirrored::find(mirrors, found.event.app, sprite).here()?;
            Some(MirroredView {
                page: format!("/sprites/{}", here.manifest.sprite),
                tile: here.preview(&key),
            })
        };
        found.event.sprites.iter().take(MAX_SPRITES).map(view).collect()
    });
    of_event.collect()
}
