//! Proxies of the environment: none is told what is meant for this machine, and SOCKS is spoken.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::daemon::Daemon;
use super::{Site, file};
use crate::check::Bench;
use crate::local_server::{LocalServer, Reply};
use crate::online_check::{TLS, Tls};
use crate::support::until;

/// Each says the same to another part of the world.
const VARIABLES: [&[&str]; 4] = [
    &["HTTP_PROXY", "HTTPS_PROXY"],
    &["ALL_PROXY"],
    &["http_proxy", "https_proxy"],
    &["all_proxy"],
];

/// Every way to write this machine that this one can be reached by; `PORT` is the receiver's.
const HERE: [&str; 6] = [
    "http://127.0.0.1:PORT",
    "http://localhost:PORT",
    "http://LOCALHOST.:PORT",
    "http://hook.localhost:PORT",
    "http://2130706433:PORT",
    "http://0.0.0.0:PORT",
];

/// Every name that the hosts file gives to 127.0.0.1, and to no other address.
fn named_here() -> Vec<String> {
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let lines: Vec<Vec<&str>> = hosts
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().split_whitespace().collect())
        .collect();
    let names = lines.iter().flat_map(|line| line.iter().skip(1));
    let is_here = |name: &&&str| {
        lines
            .iter()
            .all(|line| !line.iter().skip(1).any(|it| it == *name) || line[0] == "127.0.0.1")
    };
    names.filter(is_here).map(|name| format!("http://{name}:PORT")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_proxy_is_told_what_is_meant_for_this_machine() {
    let here: Vec<_> = HERE.iter().map(ToString::to_string).chain(named_here()).collect();
    let taken = || Reply::new(200, &[], b"");
    // It would take any request, as a proxy that relays it.
    let proxy = LocalServer::replying(vec![taken()]).await;
    for variables in VARIABLES {
        let hook = LocalServer::replying(vec![taken()]).await;
        let port = hook.address().port().to_string();
        let webhook = |name: &str, url: &str| {
            format!("[[sinks]]\nname = '{name}'\ntype = 'webhook'\nurl = '{url}/hunter2'\n")
        };
        let hooks = here
            .iter()
            .enumerate()
            .map(|(number, url)| webhook(&format!("hook-{number}"), &url.replace("PORT", &port)));
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let secure = webhook("secure", &format!("https://localhost:{}", closed.port()));
        let sinks = hooks.chain([secure]).collect::<String>();
        let site = Site::new(&sinks).await;
        site.add_sprites(1);
        let set: Vec<_> = variables.iter().map(|name| (*name, proxy.url())).collect();
        let set: Vec<_> = set.iter().map(|(name, url)| (*name, url.as_str())).collect();
        let daemon = Daemon::start(site.folder.path(), &["run"], &set);
        until(|| hook.seen().len() >= here.len()).await;
        until(|| daemon.log().contains("no answer from https://localhost")).await;
        daemon.stop().await;
        let seen = proxy.seen();
        assert!(seen.is_empty(), "{variables:?}: {seen:?}");
    }
}

/// Where keys are handed out is the instance's own host.
#[tokio::test(flavor = "multi_thread")]
async fn no_proxy_is_asked_for_the_keys_of_the_instance() {
    let proxy = LocalServer::replying(vec![Reply::new(200, &[], b"role")]).await;
    for variables in VARIABLES {
        let site = Site::new(&file("sprites", "image-sprite")).await;
        let text = std::fs::read_to_string(site.path("sprited.toml")).unwrap();
        let vod = text.find("[vod]").unwrap();
        site.edit(&text[..vod], "");
        let mut set: Vec<_> = variables.iter().map(|name| (*name, proxy.url())).collect();
        set.push(("HOME", site.folder.path().to_str().unwrap().to_owned()));
        let set: Vec<_> = set.iter().map(|(name, url)| (*name, url.as_str())).collect();
        let daemon = Daemon::start(site.folder.path(), &["run"], &set);
        until(|| daemon.log().contains("metadata.tencentyun.com")).await;
        daemon.stop().await;
        let seen = proxy.seen();
        assert!(seen.is_empty(), "{variables:?}: {seen:?}");
    }
}

/// A SOCKS proxy, before it the cloud behind TLS by the names that are nobody's.
struct Socks {
    port: String,
    /// What it was asked for, a line each.
    asked: Arc<Mutex<Vec<String>>>,
    _proxy: Child,
    _tls: Tls,
}

impl Socks {
    async fn before(cloud: &str) -> Self {
        let address = cloud.trim_start_matches("http://").parse().unwrap();
        let tls = Tls::named("far", address).await;
        let mut proxy = Command::new("python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/socks_server.py"))
            .arg(tls.port.to_string())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(proxy.stdout.take().unwrap()).lines();
        let port = lines.next_line().await.unwrap().unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = asked.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                seen.lock().unwrap().push(line);
            }
        });
        Self { port, asked, _proxy: proxy, _tls: tls }
    }

    fn url(&self, scheme: &str, user: &str) -> String {
        format!("{scheme}://{user}127.0.0.1:{}", self.port)
    }

    /// What it was asked for since it was last asked this, each once.
    fn asked(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.sort();
        asked.dedup();
        asked
    }
}

fn authority() -> String {
    format!("{TLS}/far-ca.pem")
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_how_a_socks_proxy_is_used_and_goes_through_it() {
    let mut bench = Bench::new().await;
    let socks = Socks::before(&bench.endpoint).await;
    for (variable, scheme, host, who) in [
        ("ALL_PROXY", "socks5h", "vod.example", "the proxy asks"),
        ("https_proxy", "socks4a", "vod.example", "the proxy asks"),
        ("HTTPS_PROXY", "socks5", "192.0.2.1", "this machine asks"),
        ("all_proxy", "socks4", "192.0.2.1", "this machine asks"),
    ] {
        bench.endpoint = format!("https://{host}");
        let url = socks.url(scheme, "user:hunter2@");
        bench.set = vec![(variable, url), ("SSL_CERT_FILE", authority())];
        let (code, told) = bench.told();
        assert_eq!(code, 0, "{scheme}: {told}");
        let shown = format!(
            "\nok    proxy          {} by {variable}, with a user and a password; {who} for the \
             addresses of names; ",
            socks.url(scheme, "")
        );
        assert!(told.contains(&shown) && !told.contains("hunter2"), "{told}");
        let (version, user) = match scheme {
            "socks5" | "socks5h" => (5, "user:hunter2"),
            _ => (4, "nobody"),
        };
        assert_eq!(socks.asked(), [format!("{version} {user} {host} 443")], "{scheme}");
    }
    // A name that is to be asked for here, and that nobody knows.
    bench.endpoint = "https://vod.invalid".to_owned();
    bench.set = vec![("ALL_PROXY", socks.url("socks5", ""))];
    let (code, told) = bench.told();
    assert!(code == 1 && told.contains("fail  dns            vod.invalid: "), "{told}");
    assert!(told.contains("check [vod] endpoint"), "{told}");
    // Without a port it would be another one than everybody expects.
    bench.endpoint = "https://vod.example".to_owned();
    bench.set = vec![("ALL_PROXY", "socks5h://user:hunter2@127.0.0.1".to_owned())];
    let (code, told) = bench.told();
    assert!(code == 1 && !told.contains("hunter2"), "{told}");
    assert!(told.contains("warn  proxy          socks5h://127.0.0.1:80 by ALL_PROXY"), "{told}");
    assert!(told.contains("write the port, such as socks5h://127.0.0.1:1080"), "{told}");
    assert_eq!(socks.asked(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_through_a_socks_proxy() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let socks = Socks::before(&site.cloud.url).await;
    site.edit(&site.cloud.url, "https://vod.example");
    let made = site.make_sprites(20);
    let proxy = socks.url("socks5h", "user:hunter2@");
    let set = [("ALL_PROXY", proxy.as_str()), ("SSL_CERT_FILE", &authority())];
    let daemon = Daemon::start(site.folder.path(), &["run"], &set);
    site.drained().await;
    assert!(!daemon.log().contains("hunter2"), "{}", daemon.log());
    daemon.stop().await;
    site.assert_equal_ledgers("sprites.jsonl", &made, 0);
    assert_eq!(socks.asked(), ["5 user:hunter2 vod.example 443"]);
}
