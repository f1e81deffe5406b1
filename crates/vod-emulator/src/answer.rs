//! The answer to a call, whole or damaged by a fault.
//!
//! Owns the response envelope and the faults that change it.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream};

use super::faults::FaultKind;
use super::outcome::Refusal;
use super::serve::{ConnectionEnd, ConnectionEnder};

/// The number of pieces of a slow body.
const SLOW_BODY_PIECES: u32 = 50;

/// How long a client has to read the half of a body that it gets.
const HALF_BODY_TIME: Duration = Duration::from_millis(20);

/// The size of a piece of padding, in bytes.
const PADDING_PIECE: usize = 64 * 1024;

/// An answer before it is sent.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    content_type: &'static str,
    body: Vec<u8>,
}

impl Answer {
    /// Success: `fields` are the members of the Response, each followed by a comma.
    pub(super) fn success(fields: &[u8], request_id: &str) -> Self {
        let mut body = Vec::with_capacity(fields.len() + 80);
        body.extend_from_slice(b"{\"Response\":{");
        body.extend_from_slice(fields);
        body.extend_from_slice(format!("\"RequestId\":\"{request_id}\"}}}}").as_bytes());
        Self::json(body)
    }

    /// Returns an error; with status 200, like every answer of the service itself.
    pub(super) fn refusal(refusal: &Refusal, request_id: &str) -> Self {
        let body = serde_json::json!({ "Response": {
            "Error": { "Code": refusal.code, "Message": refusal.message },
            "RequestId": request_id,
        }});
        Self::json(body.to_string().into_bytes())
    }

    /// Returns the page of a gateway in front of the service.
    pub(super) fn gateway(status: u16) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        let page = format!(
            "<html>\r\n<head><title>{status}</title></head>\r\n<body>\r\n<center><h1>{status}</h1></center>\r\n</body>\r\n</html>\r\n"
        );
        Self { status, content_type: "text/html", body: page.into_bytes() }
    }

    /// Returns a file.
    pub(super) fn file(content_type: &'static str, body: Vec<u8>) -> Self {
        Self { status: StatusCode::OK, content_type, body }
    }

    /// Changes its body.
    pub(super) fn map(self, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Self {
        Self { body: change(self.body), ..self }
    }

    /// Returns one line for a person.
    pub(super) fn text(status: StatusCode, text: impl std::fmt::Display) -> Self {
        Self { status, content_type: "text/plain", body: format!("{text}\n").into_bytes() }
    }

    fn json(body: Vec<u8>) -> Self {
        Self { status: StatusCode::OK, content_type: "application/json", body }
    }

    /// Returns the response as it is sent at `date`, with `fault` applied if its kind changes
    /// answers.
    pub(super) fn send(
        self,
        date: DateTime<Utc>,
        fault: Option<&FaultKind>,
        wire: &ConnectionEnder,
    ) -> Response<Body> {
        let (length, body) = match fault {
            Some(FaultKind::Truncated) => whole(self.body[..self.body.len() / 2].to_vec()),
            Some(FaultKind::Cut) => cut(self.body, wire.clone(), ConnectionEnd::Close),
            Some(FaultKind::Torn) => cut(self.body, wire.clone(), ConnectionEnd::Reset),
            Some(FaultKind::Slow(time)) => slow(self.body, *time),
            Some(FaultKind::Oversized(size)) => padded(self.body, size.as_u64()),
            _ => whole(self.body),
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        let date = date.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        if let Ok(date) = HeaderValue::from_str(&date) {
            headers.insert(header::DATE, date);
        }
        response
    }
}

fn whole(body: Vec<u8>) -> (u64, Body) {
    (body.len() as u64, Body::from(body))
}

/// Half of what the length promises, then the end of the connection.
fn cut(body: Vec<u8>, wire: ConnectionEnder, how: ConnectionEnd) -> (u64, Body) {
    let half = Bytes::copy_from_slice(&body[..body.len() / 2]);
    let end = stream::once(async move {
        // What was sent reaches the client first: a reset would throw it away unread.
        tokio::time::sleep(HALF_BODY_TIME).await;
        wire.end(how).await
    });
    (body.len() as u64, pieces(stream::iter([half]).chain(end)))
}

fn slow(body: Vec<u8>, time: Duration) -> (u64, Body) {
    let length = body.len() as u64;
    let piece = body.len().div_ceil(SLOW_BODY_PIECES as usize).max(1);
    let drips: Vec<Bytes> = body.chunks(piece).map(Bytes::copy_from_slice).collect();
    let dripping = stream::iter(drips).then(move |drip| async move {
        tokio::time::sleep(time / SLOW_BODY_PIECES).await;
        drip
    });
    (length, pieces(dripping))
}

/// White space up to `size` bytes before the answer's end: still the same JSON.
fn padded(mut body: Vec<u8>, size: u64) -> (u64, Body) {
    let padding = size.saturating_sub(body.len() as u64);
    let length = body.len() as u64 + padding;
    let end = body.pop().map_or_else(Bytes::new, |last| Bytes::copy_from_slice(&[last]));
    let blank = Bytes::from_static(&[b' '; PADDING_PIECE]);
    let whole_pieces = padding / PADDING_PIECE as u64;
    let rest = blank.slice(..(padding % PADDING_PIECE as u64) as usize);
    let blanks = stream::iter(0..whole_pieces).map(move |_| blank.clone());
    let all = stream::iter([Bytes::from(body)]).chain(blanks).chain(stream::iter([rest, end]));
    (length, pieces(all))
}

fn pieces(stream: impl stream::Stream<Item = Bytes> + Send + 'static) -> Body {
    Body::from_stream(stream.map(Ok::<_, Infallible>))
}
