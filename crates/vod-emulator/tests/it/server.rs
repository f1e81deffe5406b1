//! An emulator that runs, and who calls it. The tests of sprited have this file, too.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vod_emulator::{Emulator, EmulatorControl, EmulatorSettings};

use crate::support;

pub(crate) const APP: u64 = 1_500_012_345;

/// Short times, so that tests wait little; the rest as strict as ever.
pub(crate) fn settings() -> EmulatorSettings {
    EmulatorSettings { hold: Duration::from_millis(50), ..EmulatorSettings::default() }
}

/// A running emulator. Ended when it is dropped.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) control: EmulatorControl,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(settings: EmulatorSettings) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let emulator = Emulator::bind(settings, address).await.unwrap();
        let cancel = CancellationToken::new();
        Self {
            url: emulator.url(),
            control: emulator.control(),
            task: tokio::spawn(emulator.run(cancel.clone())),
            cancel,
        }
    }

    pub(crate) fn caller(&self) -> Caller {
        Caller::new(&self.url)
    }

    /// Stops it and waits for its end; returns how long that took.
    pub(crate) async fn stop(mut self) -> Duration {
        let began = Instant::now();
        self.cancel.cancel();
        (&mut self.task).await.unwrap();
        began.elapsed()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Signs and sends requests; every part can be set wrong.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) http: reqwest::Client,
    pub(crate) url: String,
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) secret_id: &'static str,
    pub(crate) secret_key: &'static str,
    pub(crate) token: Option<&'static str>,
    pub(crate) version: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) sent_content_type: Option<&'static str>,
    pub(crate) clock: i64,
    pub(crate) scope_days: i64,
    pub(crate) service: &'static str,
    pub(crate) without: &'static str,
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) date: DateTime<Utc>,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn response(&self) -> Value {
        let json: Value = serde_json::from_str(&self.text).expect(&self.text);
        json["Response"].clone()
    }

    /// The error's code, or `ok`.
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.status, 200, "{}", self.text);
        let response = self.response();
        assert_eq!(response["RequestId"].as_str().map(str::len), Some(36), "{response}");
        response["Error"]["Code"].as_str().unwrap_or("ok").to_owned()
    }

    pub(crate) fn events(&self) -> Vec<Value> {
        self.response()["EventSet"].as_array().cloned().unwrap_or_default()
    }

    pub(crate) fn handles(&self) -> Vec<String> {
        let text = |event: &Value| event["EventHandle"].as_str().map(str::to_owned);
        self.events().iter().filter_map(text).collect()
    }
}

impl Caller {
    fn new(url: &str) -> Self {
        Self {
            http: support::http(),
            url: url.to_owned(),
            method: "POST",
            path: "/",
            secret_id: "AKIDEMULATOR",
            secret_key: "emulator-secret-key",
            token: None,
            version: "2018-07-17",
            content_type: "application/json",
            sent_content_type: None,
            clock: 0,
            scope_days: 0,
            service: "vod",
            without: "",
        }
    }

    pub(crate) async fn send(&self, action: &str, body: &str) -> reqwest::Result<Reply> {
        let method = reqwest::Method::from_bytes(self.method.as_bytes()).unwrap();
        let mut request = self.http.request(method, format!("{}{}", self.url, self.path));
        for (name, value) in self.headers(action, body) {
            request = request.header(name, value);
        }
        let response = request.body(body.to_owned()).send().await?;
        let status = response.status().as_u16();
        let date = response.headers()["date"].to_str().unwrap();
        let date = DateTime::parse_from_rfc2822(date).unwrap().to_utc();
        Ok(Reply { status, date, text: response.text().await? })
    }

    fn headers(&self, action: &str, body: &str) -> Vec<(&'static str, String)> {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let mac = |key: &[u8], text: &str| -> Vec<u8> {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
            mac.update(text.as_bytes());
            mac.finalize().into_bytes().to_vec()
        };
        let host = self.url.strip_prefix("http://").unwrap();
        let at = Utc::now() + TimeDelta::seconds(self.clock);
        let timestamp = at.timestamp();
        let date = (at + TimeDelta::days(self.scope_days)).format("%Y-%m-%d");
        let scope = format!("{date}/{}/tc3_request", self.service);
        let canonical = format!(
            "{}\n{}\n\ncontent-type:{}\nhost:{host}\n\ncontent-type;host\n{}",
            self.method,
            self.path,
            self.content_type,
            hex(&Sha256::digest(body))
        );
        let to_sign =
            format!("TC3-HMAC-SHA256\n{timestamp}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
        let mut key = format!("TC3{}", self.secret_key).into_bytes();
        for part in scope.split('/') {
            key = mac(&key, part);
        }
        let authorization = format!(
            "TC3-HMAC-SHA256 Credential={}/{scope}, SignedHeaders=content-type;host, Signature={}",
            self.secret_id,
            hex(&mac(&key, &to_sign))
        );
        let headers = [
            ("Authorization", Some(authorization)),
            ("Content-Type", Some(self.sent_content_type.unwrap_or(self.content_type).to_owned())),
            ("X-TC-Action", Some(action.to_owned())),
            ("X-TC-Version", Some(self.version.to_owned())),
            ("X-TC-Timestamp", Some(timestamp.to_string())),
            ("X-TC-Token", self.token.map(str::to_owned)),
        ];
        headers
            .into_iter()
            .filter(|(name, _)| *name != self.without)
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }

    pub(crate) async fn call(&self, action: &str, mut body: Value) -> Reply {
        if body.get("SubAppId").is_none() {
            body["SubAppId"] = APP.into();
        }
        self.send(action, &body.to_string()).await.unwrap()
    }

    pub(crate) async fn pull(&self) -> Reply {
        self.call("PullEvents", json!({})).await
    }

    pub(crate) async fn confirm(&self, handles: &[String]) -> Reply {
        self.call("ConfirmEvents", json!({ "EventHandles": handles })).await
    }
}
