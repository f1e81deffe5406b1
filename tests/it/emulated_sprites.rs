//! The files of the emulator's sprites, over HTTP, as they are read here.

use std::io::Cursor;

use sprited::sprite::{Announced, Tile, Verified, look_at, parse, resolve, verify};
use vod_emulator::{CreatedSprite, SpriteOrder};

use crate::emulator::{Server, settings};
use crate::support;

fn order(server: &Server, quirks: &str) -> CreatedSprite {
    let quirks = Some(quirks.parse().unwrap());
    let order = SpriteOrder { tiles: Some(106), fail_every: 0, quirks, ..SpriteOrder::default() };
    server.control.add_sprites(&order).unwrap().remove(0)
}

async fn bytes(url: &str) -> Vec<u8> {
    let answer = support::http().get(url).send().await.unwrap().error_for_status().unwrap();
    answer.bytes().await.unwrap().to_vec()
}

/// What a sprite with these quirks holds.
async fn verified(server: &Server, quirks: &str) -> Verified {
    let sprite = order(server, quirks);
    let vtt_url: reqwest::Url = sprite.vtt_url.unwrap().parse().unwrap();
    let index = parse(&bytes(vtt_url.as_str()).await).expect(quirks);
    let resolved = resolve(&index, &vtt_url, &sprite.sheets).expect(quirks);
    let mut images = Vec::new();
    for sheet in &resolved.sheets {
        let sheet = bytes(sheet.url.as_str()).await;
        images.push(look_at(Cursor::new(&sheet), sheet.len() as u64).expect(quirks));
    }
    assert_eq!(images.len(), 2, "{quirks}");
    verify(index, resolved, &images, &Announced { tile_count: Some(106), ..Announced::default() })
}

#[tokio::test]
async fn every_dialect_says_the_same() {
    let server = Server::start(settings()).await;
    let plain = verified(&server, "").await;
    assert_eq!(plain.tiles.len(), 106);
    assert_eq!(plain.findings, []);
    for quirks in [
        "crlf",
        "cr",
        "bom",
        "ids",
        "short-hours",
        "no-hours",
        "comma",
        "no-millis",
        "settings",
        "notes",
        "tabs",
        "no-spaces",
        "no-blank-lines",
        "no-last-end",
        "query",
        "pixel",
        "percent",
        "absolute",
        "root-relative",
        "schemeless",
        "encoded",
        "amp",
        "padded",
        "size=400kB",
        "crlf,bom,ids,short-hours,comma,settings,notes,tabs,query,absolute,amp,padded",
    ] {
        let read = verified(&server, quirks).await;
        assert_eq!(read.tiles, plain.tiles, "{quirks}");
        assert!(!read.has_annotations(), "{quirks}: {:?}", read.findings);
    }
}

#[tokio::test]
async fn what_differs_in_more_than_its_spelling_is_told() {
    let server = Server::start(settings()).await;
    // Not on whole pixels, so that a viewer may see a line of another tile.
    let decimals = verified(&server, "decimals").await;
    assert_eq!(decimals.tiles, verified(&server, "").await.tiles);
    assert!(decimals.has_annotations());
    // The whole sheet, at the time of each tile.
    let whole = verified(&server, "no-xywh").await;
    assert!(whole.has_annotations());
    let Tile { x, y, width, height, .. } = whole.tiles[0];
    assert_eq!([x, y, width, height], [0, 0, 1420, 800]);
    let steps = verified(&server, "step=7333333us").await;
    assert_eq!(steps.tiles[1].start, 7_333);
    assert_eq!(steps.tiles.len(), 106);
}
