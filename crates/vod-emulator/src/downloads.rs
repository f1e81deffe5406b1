//! One request for a file of a sprite, from the request to what is sent.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::answer::Answer;
use super::faults::FaultKind;
use super::serve::ConnectionEnder;
use super::shared::Shared;
use super::sprites::{FileRequest, Forbidden, SpriteAnswer, SpriteFile, SpriteFileFault};

/// Answers a request for a file of a sprite.
pub(super) async fn download(
    State(shared): State<Arc<Shared>>,
    Extension(wire): Extension<ConnectionEnder>,
    request: Request,
) -> Response<Body> {
    shared.travel().await;
    let date = shared.clock.shown();
    let path = request.uri().path();
    let Some(file) = SpriteFile::at(path) else {
        let answer = Answer::text(StatusCode::NOT_FOUND, "there is no such sprite");
        return answer.send(date, None, &wire);
    };
    let kind = if file.is_vtt() { "vtt" } else { "sheet" };
    let asked = FileRequest {
        path,
        query: request.uri().query().unwrap_or_default(),
        referer: text(request.headers(), header::REFERER),
        now: date.timestamp(),
    };
    let decided = decide(&shared, &file, asked);
    let outcome = match &decided {
        Ok(SpriteAnswer { fault: None, .. }) => "ok",
        Ok(SpriteAnswer { fault: Some(fault), .. }) => fault.name(),
        Err(_) => "forbidden",
    };
    shared.state().ledger.file_answered(kind, outcome);
    tracing::debug!(path, outcome, "a file was asked for");
    let answer = match decided {
        Ok(answer) => answer,
        Err(reason) => {
            shared.travel().await;
            return Answer::text(StatusCode::FORBIDDEN, reason).send(date, None, &wire);
        }
    };
    if let Some(SpriteFileFault::Delay(time)) = &answer.fault {
        tokio::time::sleep(*time).await;
    }
    let content_type = file.content_type();
    let bytes = {
        let shared = Arc::clone(&shared);
        move || file.bytes(answer.is_rerun, &shared.base)
    };
    // Drawing is too long for the threads that serve.
    let bytes = tokio::task::spawn_blocking(bytes).await;
    shared.travel().await;
    match bytes {
        Ok(bytes) => send(content_type, bytes, answer.fault, &wire, date),
        Err(error) => {
            Answer::text(StatusCode::INTERNAL_SERVER_ERROR, error).send(date, None, &wire)
        }
    }
}

/// A request that is not admitted is none of those that faults count.
fn decide(
    shared: &Shared,
    file: &SpriteFile,
    asked: FileRequest<'_>,
) -> Result<SpriteAnswer, Forbidden> {
    let mut state = shared.state();
    state.sprite_protection.admit(asked)?;
    Ok(state.sprite_history.answer(file, Instant::now()))
}

fn send(
    content_type: &'static str,
    bytes: Vec<u8>,
    fault: Option<SpriteFileFault>,
    wire: &ConnectionEnder,
    date: chrono::DateTime<chrono::Utc>,
) -> Response<Body> {
    let file = Answer::file(content_type, bytes);
    match fault {
        None | Some(SpriteFileFault::Delay(_)) => file.send(date, None, wire),
        Some(SpriteFileFault::Late(_)) => Answer::gateway(404).send(date, None, wire),
        Some(SpriteFileFault::Status(status)) => Answer::gateway(status).send(date, None, wire),
        Some(SpriteFileFault::Html) => Answer::gateway(200).send(date, None, wire),
        Some(SpriteFileFault::Empty) => {
            Answer::file(content_type, Vec::new()).send(date, None, wire)
        }
        Some(SpriteFileFault::Truncated) => file.send(date, Some(&FaultKind::Truncated), wire),
        Some(SpriteFileFault::Cut) => file.send(date, Some(&FaultKind::Cut), wire),
        Some(SpriteFileFault::Slow(time)) => file.send(date, Some(&FaultKind::Slow(time)), wire),
        Some(SpriteFileFault::Huge(size)) => {
            let mut response = file.send(date, Some(&FaultKind::Oversized(size)), wire);
            response.headers_mut().remove(header::CONTENT_LENGTH);
            response
        }
        Some(SpriteFileFault::Redirect(host)) => {
            let mut response = Answer::gateway(302).send(date, None, wire);
            if let Ok(location) = HeaderValue::from_str(&format!("http://{host}/")) {
                response.headers_mut().insert(header::LOCATION, location);
            }
            response
        }
        Some(SpriteFileFault::Gzip) => {
            let mut response = file.map(gzip).send(date, None, wire);
            let encoding = HeaderValue::from_static("gzip");
            response.headers_mut().insert(header::CONTENT_ENCODING, encoding);
            response
        }
    }
}

fn gzip(bytes: Vec<u8>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let written = encoder.write_all(&bytes).and_then(|()| encoder.finish());
    written.expect("writing to a Vec cannot fail")
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
