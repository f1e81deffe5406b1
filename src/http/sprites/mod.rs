//! The pages of mirrored sprites: the newest, one over which one scrubs, and its sheets.
//!
//! Sheets are served from the folder of a mirror, and from nowhere else. An address names a sprite
//! or an event, which the journal has to know; a path is never made of it. Nothing here runs a
//! script, and nothing is loaded from elsewhere.

mod disk;
mod find;
mod frame;
mod latest;
mod mirrored;
mod players;
mod scrub;
mod served;
mod sheets;
mod sprite_page;
mod store;
mod tiles;

#[cfg(test)]
mod tests;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use maud::{Markup, html};

use crate::event::{Event, ImageSprite, Key};
use mirrored::{Mirrored, MirroredSprite, OpenSheet};

pub(super) use disk::SpriteDisk;
pub use served::{MirrorFolder, ServedSprites, SpritePages};
pub(super) use tiles::draw;

const STYLE: &str = include_str!("sprites.css");

/// The pages, and where they read.
#[derive(Clone, Debug)]
struct Pages {
    disk: SpriteDisk,
    /// The machine.
    host: String,
}

/// The pages of the sprites that `disk` has.
pub(super) fn router(disk: SpriteDisk, host: String) -> Router {
    Router::new()
        .route("/sprites", get(latest_page))
        .route("/sprites/", get(latest_page))
        .route("/sprites/{id}", get(sprite_page))
        .route("/sprites/{id}/{set}/{number}", get(sheet))
        .route("/sprites.css", get(style))
        .with_state(Pages { disk, host })
}

async fn style(State(Pages { disk, .. }): State<Pages>) -> Response {
    match disk.mirrors() {
        None => not_found(),
        Some(_) => ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response(),
    }
}

async fn latest_page(State(Pages { disk, host }): State<Pages>) -> Response {
    let Some(mirrors) = disk.mirrors() else { return not_found() };
    let has_mirrors = !mirrors.is_empty();
    let find = disk.read_journal(move |reader| {
        latest::newest(reader, &mirrors).map_err(|error| error.reason())
    });
    match find.await {
        Ok(lines) => page(StatusCode::OK, latest::page(&lines, has_mirrors, &host)),
        Err(why) => unreadable(&why, &host),
    }
}

/// What is to be told of one sprite.
enum Found {
    Here(Box<(Event, MirroredSprite, Result<Vec<crate::sprite::Tile>, String>)>),
    Missing(Markup),
}

async fn sprite_page(
    State(Pages { disk, host }): State<Pages>,
    Path(id): Path<String>,
) -> Response {
    let Some(mirrors) = disk.mirrors() else { return not_found() };
    let Ok(id) = id.parse::<Key>() else {
        let why = html! { "An id has 32 hex digits: that of a sprite, or the key of an event." };
        return page(StatusCode::NOT_FOUND, sprite_page::missing(&why, &host));
    };
    let find =
        disk.read_journal(move |reader| {
            let found = find::find(reader, id).map_err(|error| error.reason())?;
            Ok(found.map_or_else(
            || Found::Missing(html! {
                "The journal knows no event with this key, and none of the newest events has a \
                 sprite with this id."
            }),
            |(event, sprites)| look(&mirrors, event, &sprites),
        ))
        });
    match find.await {
        Ok(Found::Here(found)) => {
            let (event, sprite, tiles) = &*found;
            page(StatusCode::OK, sprite_page::page(event, sprite, tiles, &host))
        }
        Ok(Found::Missing(why)) => page(StatusCode::NOT_FOUND, sprite_page::missing(&why, &host)),
        Err(why) => unreadable(&why, &host),
    }
}

/// Looks for the first of these sprites that a mirror has. Blocks.
fn look(mirrors: &[MirrorFolder], event: Event, sprites: &[ImageSprite]) -> Found {
    let mut why = html! {
        @if mirrors.is_empty() { "The event is in the journal, but no mirror is configured." }
        @else { "The event is in the journal, but no mirror has a sprite of it yet." }
    };
    for sprite in sprites {
        match Mirrored::find(mirrors, event.app, sprite) {
            Mirrored::Here(found) => {
                let tiles = found.tiles();
                return Found::Here(Box::new((event, *found, tiles)));
            }
            Mirrored::Replaced(by) => {
                why = html! {
                    "A later sprite of the same definition has taken its place: "
                    a href={ "/sprites/" (by) } { (by) } "."
                }
            }
            Mirrored::Unusable(words) => why = html! { (crate::format::foreign(&words)) "." },
            Mirrored::Nowhere => {}
        }
    }
    Found::Missing(why)
}

/// A sheet of the event's sprite that has this set; any other set is one that is gone.
async fn sheet(
    State(Pages { disk, .. }): State<Pages>,
    Path((id, set, number)): Path<(String, String, String)>,
) -> Response {
    let Some(mirrors) = disk.mirrors() else { return not_found() };
    let (Ok(id), Some(number)) = (id.parse::<Key>(), plain(&number)) else { return not_found() };
    let find = disk.read_journal(move |reader| {
        let found = find::find(reader, id).map_err(|error| error.reason())?;
        Ok(found.and_then(|(event, sprites)| open(&mirrors, &event, &sprites, &set, number)))
    });
    match find.await {
        Ok(Some(sheet)) => sheets::answer(disk, sheet),
        Ok(None) => not_found(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

fn open(
    mirrors: &[MirrorFolder],
    event: &Event,
    sprites: &[ImageSprite],
    set: &str,
    number: u16,
) -> Option<OpenSheet> {
    let here = sprites.iter().filter_map(|one| Mirrored::find(mirrors, event.app, one).here());
    here.filter(|sprite| sprite.set == set).find_map(|sprite| sprite.sheet(number.into()).ok())
}

/// A number as it is written here: one sheet has one address.
fn plain(text: &str) -> Option<u16> {
    text.parse().ok().filter(|number: &u16| number.to_string() == text)
}

fn page(status: StatusCode, page: Markup) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    (status, headers, page.into_string()).into_response()
}

fn unreadable(why: &str, host: &str) -> Response {
    let why = html! { "The journal cannot be read: " (crate::format::foreign(why)) };
    page(StatusCode::SERVICE_UNAVAILABLE, sprite_page::missing(&why, host))
}

fn not_found() -> Response {
    StatusCode::NOT_FOUND.into_response()
}
