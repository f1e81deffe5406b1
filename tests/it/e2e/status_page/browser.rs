//! Chromium, driven over the protocol of WebDriver, with a profile of its own.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support;

/// It loads nothing but what it is told to.
const ARGUMENTS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--no-proxy-server",
];

/// A browser with one window; it ends with the value.
pub(super) struct Browser {
    driver: Child,
    http: reqwest::Client,
    port: u16,
    /// The path of its session.
    session: String,
}

impl Browser {
    /// Starts one whose profile is in `folder`.
    pub(super) async fn start(folder: &Path) -> Self {
        let log = folder.join("chromedriver.log");
        let driver = Command::new("chromedriver")
            .arg("--port=0")
            .env("HOME", folder)
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&log).unwrap())
            .spawn()
            .expect("tests/run --full installs chromium-driver");
        let (http, port) = (support::http(), port(&log));
        let mut browser = Self { driver, http, port, session: String::new() };
        let mut arguments = ARGUMENTS.map(str::to_owned).to_vec();
        arguments.push(format!("--user-data-dir={}", folder.join("profile").display()));
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let started = browser.post("/session", &wanted).await;
        browser.session = format!("/session/{}", started["sessionId"].as_str().unwrap());
        browser
    }

    /// Looks at a page from a screen of this width.
    pub(super) async fn look(&self, width: u32, scheme: &str) {
        let screen =
            json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500});
        self.command("Emulation.setDeviceMetricsOverride", screen).await;
        let scheme = json!({"name": "prefers-color-scheme", "value": scheme});
        self.command("Emulation.setEmulatedMedia", json!({"features": [scheme]})).await;
    }

    /// Opens a page, and waits until it is loaded.
    pub(super) async fn open(&self, url: &str) {
        self.post(&format!("{}/url", self.session), &json!({"url": url})).await;
    }

    /// What this body of a function returns on the page; a promise is waited for.
    pub(super) async fn run(&self, script: &str) -> Value {
        let body = json!({"script": script, "args": []});
        self.post(&format!("{}/execute/sync", self.session), &body).await
    }

    /// What the page's console has said since the last time.
    pub(super) async fn complaints(&self) -> Value {
        self.post(&format!("{}/se/log", self.session), &json!({"type": "browser"})).await
    }

    /// The page as it is now, without a script on it.
    pub(super) async fn markup(&self) -> String {
        let root = self.command("DOM.getDocument", json!({})).await;
        let node = json!({"nodeId": root["root"]["nodeId"]});
        let outer = self.command("DOM.getOuterHTML", node).await;
        outer["outerHTML"].as_str().unwrap().to_owned()
    }

    /// A command of the browser's own protocol.
    pub(super) async fn command(&self, name: &str, parameters: Value) -> Value {
        let body = json!({"cmd": name, "params": parameters});
        self.post(&format!("{}/goog/cdp/execute", self.session), &body).await
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let sent = self.http.post(&url).body(body.to_string()).send().await.unwrap();
        let is_ok = sent.status().is_success();
        let text = sent.text().await.unwrap();
        let mut answer: Value = serde_json::from_str(&text).expect(&text);
        assert!(is_ok, "{url}: {}", answer["value"]["message"]);
        answer["value"].take()
    }
}

impl Drop for Browser {
    /// The driver ends the browser; without the driver it would stay.
    fn drop(&mut self) {
        let ask = || {
            let mut driver = TcpStream::connect(("127.0.0.1", self.port))?;
            driver.set_read_timeout(Some(Duration::from_secs(10)))?;
            write!(
                driver,
                "DELETE {} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
                self.session
            )?;
            driver.read(&mut [0; 64])
        };
        ask().ok();
        self.driver.kill().ok();
        self.driver.wait().ok();
    }
}

/// The port that the driver says it has.
fn port(log: &Path) -> u16 {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let said = std::fs::read_to_string(log).unwrap();
        let port = said.split_once("successfully on port ").and_then(|(_, rest)| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            let is_whole = rest.len() > digits.len();
            digits.parse().ok().filter(|port| is_whole && *port > 0)
        });
        match port {
            Some(port) => return port,
            None => assert!(Instant::now() < deadline, "chromedriver said: {said}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
