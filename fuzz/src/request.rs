//! Requests to an emulator without a network, at a time that stands still.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderName, HeaderValue, Request, StatusCode};
use chrono::{DateTime, Utc};
use serde_json::Value;
use vod_emulator::{EmulatorSettings, LocalEmulator};

/// The time by which requests are signed: 2025-01-01T00:00:00Z.
pub(crate) const NOW: i64 = 1_735_689_600;
pub(crate) const HOST: &str = "vod.tencentcloudapi.com";
pub(crate) const CONTENT_TYPE: &str = "application/json";

/// What was answered.
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
}

impl Answered {
    /// The Response, and the code of its Error if it has one. Panics where there is none, or one that is not as
    /// every answer of the API has to be.
    pub(crate) fn response(&self) -> (Value, Option<String>) {
        assert_eq!(self.status, StatusCode::OK);
        let mut answer: Value = serde_json::from_slice(&self.body).expect("it is JSON");
        let response = answer["Response"].take();
        assert!(response["RequestId"].as_str().is_some_and(|id| id.len() == 36));
        let code = response.get("Error").map(|error| {
            let (code, message) = (error["Code"].as_str(), error["Message"].as_str());
            assert!(message.is_some_and(|message| !message.is_empty()));
            code.expect("an error has a code").to_owned()
        });
        assert_ne!(code.as_deref(), Some(""));
        (response, code)
    }
}

/// An emulator with these settings.
pub(crate) fn emulator(settings: EmulatorSettings) -> LocalEmulator {
    let emulator = LocalEmulator::new(settings).expect("the settings are right");
    stop_clock(&emulator);
    emulator
}

/// Sets its clock to the time that stands still.
pub(crate) fn stop_clock(emulator: &LocalEmulator) {
    let now = DateTime::from_timestamp(NOW, 0).expect("it is a time");
    emulator.control().set_clock_offset(now - Utc::now());
}

/// A request as it would come over a connection; `None` where no connection would let it through.
pub(crate) fn request(
    method: &[u8],
    path: &[u8],
    headers: &[(&[u8], &[u8])],
    body: &[u8],
) -> Option<Request<Body>> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name).ok()?;
        request = request.header(name, HeaderValue::from_bytes(value).ok()?);
    }
    request.body(Body::from(body.to_vec())).ok()
}

/// What the emulator answers.
pub(crate) fn ask(emulator: &LocalEmulator, request: Request<Body>) -> Answered {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime needs a few descriptors");
    }
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let (parts, body) = emulator.call(request).await.into_parts();
            let body = to_bytes(body, usize::MAX).await.expect("it comes whole");
            Answered { status: parts.status, body: body.to_vec() }
        })
    })
}
