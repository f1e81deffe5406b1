//! The admin API: adding events, the ledger, faults, the clock, and the sprites' files.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Response, StatusCode, Uri, header};
use axum::routing::{get, post, put};
use bytes::Bytes;
use chrono::TimeDelta;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::api;
use super::control::EmulatorControl;
use super::downloads;
use super::faults::InjectedFault;
use super::settings::ReportConfig;
use super::shared::Shared;
use super::sprites::{SPRITES_PATH, SpriteOrder, SpriteProtection};

/// The largest body of a request to these pages, in bytes.
const MAX_BODY: usize = 256 * 1024 * 1024;

/// An answer: JSON, or one line of text with the error.
type Page = Result<Response<Body>, (StatusCode, String)>;

/// Returns the routes of the emulator; every other request is a call of the API.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    let own = Router::new()
        .route("/_emulator/events", post(add_events))
        .route("/_emulator/sprites", post(add_sprites))
        .route("/_emulator/ledger", get(ledger))
        .route("/_emulator/faults", post(set_faults).delete(clear_faults))
        .route("/_emulator/release", post(release))
        .route("/_emulator/clock", put(set_clock))
        .route("/_emulator/event-config", put(set_event_config))
        .route("/_emulator/sprite-protection", put(set_sprite_protection))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(EmulatorControl::new(Arc::clone(&shared)));
    Router::new()
        .route(&format!("{}{{*path}}", SPRITES_PATH), get(downloads::download))
        .merge(own)
        .fallback(api::call)
        .with_state(shared)
}

async fn add_events(State(control): State<EmulatorControl>, uri: Uri, body: Bytes) -> Page {
    let mut app = None;
    let mut copies = 1;
    let mut delay = Duration::ZERO;
    for (name, value) in query(&uri) {
        match name {
            "app" => {
                app = Some(value.parse().map_err(|_| bad("app must be a SubAppId"))?);
            }
            "copies" => {
                copies = value.parse().map_err(|_| bad("copies must be a whole number"))?;
            }
            "delay" => {
                delay = humantime::parse_duration(value)
                    .map_err(|_| bad("delay must be a duration, such as 5s"))?;
            }
            _ => return Err(bad("the query may have app, copies and delay")),
        }
    }
    blocking(move || {
        let text = std::str::from_utf8(&body).map_err(|_| bad("the events must be UTF-8"))?;
        let ids = control.add_to(app, text, copies, delay).map_err(bad)?;
        Ok(json_page(json!({ "added": ids }).to_string()))
    })
    .await
}

async fn add_sprites(State(control): State<EmulatorControl>, body: Bytes) -> Page {
    let order: SpriteOrder = if body.is_empty() { SpriteOrder::default() } else { read(&body)? };
    blocking(move || {
        let made = control.add_sprites(&order).map_err(bad)?;
        Ok(json_page(json!({ "added": made }).to_string()))
    })
    .await
}

async fn ledger(State(control): State<EmulatorControl>, uri: Uri) -> Page {
    let summary = query(&uri).any(|part| part == ("summary", "1"));
    blocking(move || {
        let text = if summary {
            serde_json::to_string(&control.totals())
        } else {
            serde_json::to_string(&control.ledger())
        };
        text.map(json_page).map_err(|error| {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("cannot write the ledger: {error}\n"))
        })
    })
    .await
}

async fn set_faults(State(control): State<EmulatorControl>, body: Bytes) -> Page {
    let faults: Vec<InjectedFault> =
        if body.trim_ascii_start().starts_with(b"[") { read(&body)? } else { vec![read(&body)?] };
    let set = faults.len();
    for fault in faults {
        control.fault(fault).map_err(bad)?;
    }
    Ok(json_page(json!({ "set": set }).to_string()))
}

async fn clear_faults(State(control): State<EmulatorControl>) -> Page {
    control.clear_faults();
    Ok(json_page("{}".to_owned()))
}

async fn release(State(control): State<EmulatorControl>) -> Page {
    let held = control.held();
    control.release();
    Ok(json_page(json!({ "released": held }).to_string()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockOrder {
    offset_seconds: i32,
}

async fn set_clock(State(control): State<EmulatorControl>, body: Bytes) -> Page {
    let order: ClockOrder = read(&body)?;
    control.set_clock_offset(TimeDelta::seconds(order.offset_seconds.into()));
    Ok(json_page("{}".to_owned()))
}

/// Of the application in the query, or the first one; what is left out is off.
async fn set_event_config(State(control): State<EmulatorControl>, uri: Uri, body: Bytes) -> Page {
    let mut app = None;
    for (name, value) in query(&uri) {
        match name {
            "app" => app = Some(value.parse().map_err(|_| bad("app must be a SubAppId"))?),
            _ => return Err(bad("the query may have app")),
        }
    }
    let config: ReportConfig = read(&body)?;
    control.set_event_config(app, config).map_err(bad)?;
    Ok(json_page("{}".to_owned()))
}

/// Of all sprites from now on; what is left out is off.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ProtectionOrder {
    key: Option<String>,
    referers: Vec<String>,
    allow_empty_referer: bool,
}

async fn set_sprite_protection(State(control): State<EmulatorControl>, body: Bytes) -> Page {
    let order: ProtectionOrder = read(&body)?;
    let protection = SpriteProtection {
        key: order.key.map(Into::into),
        referers: order.referers,
        allow_empty_referer: order.allow_empty_referer,
    };
    control.set_sprite_protection(protection).map_err(bad)?;
    Ok(json_page("{}".to_owned()))
}

/// Work that is too long for the threads that serve.
async fn blocking(work: impl FnOnce() -> Page + Send + 'static) -> Page {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err((StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, (StatusCode, String)> {
    serde_json::from_slice(body).map_err(bad)
}

fn bad(problem: impl std::fmt::Display) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, format!("{problem}\n"))
}

fn query(uri: &Uri) -> impl Iterator<Item = (&str, &str)> {
    uri.query()
        .unwrap_or_default()
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').unwrap_or((part, "")))
}

fn json_page(mut json: String) -> Response<Body> {
    json.push('\n');
    let mut response = Response::new(json.into());
    let content_type = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}
