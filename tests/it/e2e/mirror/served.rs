//! The copies as players get them: nginx by the configuration of docs/sinks.md.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{Daemon, Site, sinks};
use crate::support;

fn tls(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls").join(name)
}

/// The snippet that the document shows, for a folder and an address of this test.
fn documented(folder: &Path, listen: SocketAddr) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(root.join("docs/sinks.md")).unwrap();
    let (_, snippet) = document.split_once("```nginx\n").unwrap();
    let (snippet, _) = snippet.split_once("```").unwrap();
    let replaced = [
        ("listen 443 ssl", format!("listen {listen} ssl")),
        ("server_name img.example.com;", "server_name localhost;".to_owned()),
        ("/etc/ssl/img.example.com.pem", tls("localhost.pem").display().to_string()),
        ("/etc/ssl/private/img.example.com.key", tls("localhost.key").display().to_string()),
        ("root /srv;", format!("root {};", folder.display())),
    ];
    replaced.into_iter().fold(snippet.to_owned(), |text, (documented, here)| {
        assert_eq!(text.matches(documented).count(), 1, "{documented} in docs/sinks.md");
        text.replace(documented, &here)
    })
}

struct Nginx {
    child: Child,
}

impl Nginx {
    async fn start(site: &Site, address: SocketAddr) -> Self {
        let folder = site.path("nginx");
        fs::create_dir(&folder).unwrap();
        let kinds = ["client_body", "proxy", "fastcgi", "scgi", "uwsgi"];
        let folders: String = kinds.map(|kind| format!("    {kind}_temp_path {kind};\n")).concat();
        let server = documented(site.folder.path(), address);
        let config = format!(
            "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log error.log;\n\
             events {{}}\nhttp {{\n    access_log off;\n{folders}\n{server}\n}}\n"
        );
        fs::write(folder.join("nginx.conf"), config).unwrap();
        let child = Command::new("nginx")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .args(["-e", "error.log", "-c", "nginx.conf", "-p"])
            .arg(&folder)
            .stdin(Stdio::null())
            .spawn()
            .expect("nginx is installed");
        support::until(|| std::net::TcpStream::connect(address).is_ok()).await;
        Self { child }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test]
async fn players_get_the_copies_through_the_documented_server() {
    // Free until here; nobody else takes it within the moment.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let site = Site::patient(&sinks(&["none.example".to_owned()], "")).await;
    let cloud = site.cloud.url.strip_prefix("http://").unwrap().to_owned();
    site.edit("[\"none.example\"]", &format!("[{cloud:?}]"));
    site.edit("/copies'\npublic_url", "/sprites'\npublic_url");
    let base = format!("https://localhost:{}/sprites", address.port());
    site.edit("https://img.example.com/copies", &base);
    fs::create_dir(site.path("sprites")).unwrap();
    let nginx = Nginx::start(&site, address).await;

    let authority = tls("ca.pem");
    let trust = [("SSL_CERT_FILE", authority.to_str().unwrap())];
    let check = async || {
        let mut check = Daemon::start(site.folder.path(), &["check"], &trust);
        let code = check.ended_within(Duration::from_secs(30)).await;
        (code, fs::read_to_string(site.path("stdout")).unwrap())
    };
    let (code, said) = check().await;
    assert!(code == 0 && said.contains("mirror: would take events"), "{code}: {said}");
    assert!(!said.contains("players on other sites") && !said.contains(".sprited-probe"), "{said}");

    site.add_sprites(1);
    let daemon = site.start();
    site.drained().await;
    let pem = fs::read(&authority).unwrap();
    support::http();
    let http = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(&pem).unwrap()])
        .resolve("localhost", address)
        .build()
        .unwrap();
    let result = &site.results()[0];
    for (url, media_type, cache) in [
        (&result["manifest"], "application/json", "no-cache"),
        (&result["vtt"], "text/vtt", "public, max-age=31536000, immutable"),
        (&result["sheets"][0], "image/png", "public, max-age=31536000, immutable"),
    ] {
        let url = url.as_str().unwrap();
        let answer = http.get(url).header("origin", "https://a.example").send().await.unwrap();
        assert_eq!(answer.status(), 200, "{url}");
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        // vidstack takes JSON without a charset only.
        assert_eq!(
            (header("content-type"), header("cache-control")),
            (media_type.into(), cache.into())
        );
        assert_eq!(header("access-control-allow-origin"), "*");
    }
    let none = http.get(format!("{base}/none")).send().await.unwrap();
    assert_eq!(none.status(), 404);
    // A page on another site may read that there is no manifest yet.
    assert_eq!(none.headers()["access-control-allow-origin"], "*");
    daemon.stop().await;

    drop(nginx);
    let (code, said) = check().await;
    assert!(code == 0 && said.contains("/.sprited-probe cannot be reached from here"), "{said}");
}
