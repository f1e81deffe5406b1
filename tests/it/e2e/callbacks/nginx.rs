//! nginx in front, by the configuration of docs/callbacks.md.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::e2e::file;
use crate::support;

/// The snippet that the document shows, for a daemon at `receiver`.
fn documented(receiver: SocketAddr, listen: SocketAddr, tls: &Path) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(root.join("docs/callbacks.md")).unwrap();
    let (_, snippet) = document.split_once("```nginx\n").unwrap();
    let (snippet, _) = snippet.split_once("```").unwrap();
    let replaced = [
        ("127.0.0.1:9772", receiver.to_string()),
        ("listen 443 ssl", format!("listen {listen} ssl")),
        ("callbacks.example.com;", "localhost;".to_owned()),
        ("/etc/ssl/callbacks.example.com.pem", tls.join("localhost.pem").display().to_string()),
        (
            "/etc/ssl/private/callbacks.example.com.key",
            tls.join("localhost.key").display().to_string(),
        ),
    ];
    replaced.into_iter().fold(snippet.to_owned(), |text, (documented, here)| {
        assert_eq!(text.matches(documented).count(), 1, "{documented} in docs/callbacks.md");
        text.replace(documented, &here)
    })
}

struct Nginx {
    child: Child,
    address: SocketAddr,
}

impl Nginx {
    async fn start(site: &Site, receiver: SocketAddr) -> Self {
        // Free until here; nobody else takes it within the moment.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let folder = site.path("nginx");
        fs::create_dir(&folder).unwrap();
        let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls");
        let kinds = ["client_body", "proxy", "fastcgi", "scgi", "uwsgi"];
        let folders: String = kinds.map(|kind| format!("    {kind}_temp_path {kind};\n")).concat();
        let server = documented(receiver, address, &tls);
        let config = format!(
            "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log error.log;\n\
             events {{}}\nhttp {{\n    access_log access.log;\n{folders}\n{server}\n}}\n"
        );
        fs::write(folder.join("nginx.conf"), config).unwrap();
        let child = Command::new("nginx")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .args(["-e", "error.log", "-c", "nginx.conf", "-p"])
            .arg(&folder)
            .stdin(Stdio::null())
            .spawn()
            .expect("nginx is installed");
        let nginx = Self { child, address };
        support::until(|| std::net::TcpStream::connect(address).is_ok()).await;
        nginx
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test]
async fn events_come_through_the_documented_proxy() {
    let site = Site::new(&file("all", "*")).await;
    site.receives(&format!("sign_key = '{SIGN_KEY}'"));
    let daemon = site.start();
    let poster = Poster::of(&daemon).await;
    let nginx = Nginx::start(&site, poster.address).await;
    let http = through(nginx.address);
    let post = async |path: &str, body: String| {
        let answer = http.post(nginx.url(path)).body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };

    let signed = format!("{}?{SIGN}", path());
    assert_eq!(post(&signed, seed()).await, (200, ACCEPTED.to_owned()));
    for number in 0..20 {
        assert_eq!(post(&signed, sprite(number)).await.0, 200);
    }
    support::until(|| site.lines("all.jsonl").len() == 21).await;
    let long = format!("{{\"EventType\":\"Long\",\"P\":\"{}\"}}", "x".repeat(2 * 1024 * 1024));
    assert_eq!(post(&signed, long).await.0, 200);
    let too_long = format!("{{\"P\":\"{}\"}}", "x".repeat(17 * 1024 * 1024));
    assert_eq!(post(&signed, too_long).await.0, 413);
    assert_eq!(post(&path(), sprite(30)).await.0, 403);
    assert_eq!(post("/vod/1500012345/another-token-of-nobody", seed()).await.0, 404);
    assert_eq!(post("/metrics", seed()).await.0, 404);

    // Nobody who reads the log of requests learns the token.
    let logged = || fs::read_to_string(site.path("nginx/access.log")).unwrap_or_default();
    support::until(|| logged().contains("/metrics")).await;
    assert!(!logged().contains(TOKEN), "{}", logged());
    daemon.stop().await;
    assert_eq!(post(&signed, sprite(31)).await.0, 502);
}

/// A client that takes `localhost` for the proxy, whose certificate it trusts.
fn through(address: SocketAddr) -> reqwest::Client {
    let authority = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls/ca.pem");
    let authority = reqwest::Certificate::from_pem(&fs::read(authority).unwrap()).unwrap();
    crate::support::http();
    reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([authority])
        .resolve("localhost", address)
        .build()
        .unwrap()
}
