//! Credentials that the cloud rejects while the daemon runs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use nix::sys::signal::Signal;
use secrecy::ExposeSecret;
use serde_json::json;
use sprited::config::Config;
use sprited::daemon;
use sprited::vod::credentials::instance_role;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpSocket, TcpStream};
use vod_emulator::{Account, ApiAction, AssumableRole, EmulatorSettings, FaultKind, InjectedFault};

use super::{Site, file, settings, until};
use crate::local_server::{LocalServer, Reply};

#[tokio::test]
async fn a_rejected_key_is_told_and_a_corrected_one_is_taken() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    site.set_key("another-secret-key");
    site.add_sprites(3);
    let mut daemon = site.start();
    let refused = || {
        site.cloud.control.totals().calls_of(ApiAction::PullEvents, "AuthFailure.SignatureFailure")
    };
    until(async || refused() >= 2).await;
    let (status, page) = daemon.get("/readyz").await;
    assert_eq!(status, 503, "{page}");
    assert!(page.contains("credentials"), "{page}");
    assert_eq!(daemon.get("/healthz").await.0, 200);
    assert!(daemon.runs());
    let logged = daemon.logged("pulling fails");
    assert_eq!(logged.len(), 1, "once a minute at most");
    assert_eq!(logged[0]["code"], "AuthFailure.SignatureFailure");
    assert!(logged[0]["request_id"].as_str().is_some_and(|id| !id.is_empty()), "{logged:?}");
    for field in ["code", "request_id", "hint"] {
        let (error, said) =
            (logged[0]["error"].as_str().unwrap(), logged[0][field].as_str().unwrap());
        assert!(!error.contains(said), "{field} stands there twice: {logged:?}");
    }
    assert_eq!(refused(), 2, "a call that somebody has to mend is repeated slowly");

    site.set_key("emulator-secret-key");
    let corrected = Instant::now();
    daemon.signal(Signal::SIGHUP);
    daemon.has_logged("reloaded").await;
    site.drained().await;
    assert!(corrected.elapsed() < Duration::from_secs(4), "whoever has mended it waits for it");
    until(async || daemon.get("/readyz").await.0 == 200).await;
    assert!(!daemon.log().contains("another-secret-key"));
    daemon.stop().await;
    site.assert_once("sprites.jsonl", 3);
}

/// The `n`th temporary key.
fn temporary(n: usize) -> Account {
    Account {
        secret_id: format!("AKIDTEMPORARY{n}"),
        secret_key: format!("temporary-secret-key-{n}").into(),
        token: Some(format!("temporary-token-{n}").into()),
    }
}

#[tokio::test]
async fn a_temporary_key_may_expire_while_events_come_if_its_files_hold_the_next() {
    let cloud = EmulatorSettings { account: temporary(0), ..settings() };
    let site = Site::with(cloud, "", &file("sprites", "image-sprite")).await;
    let path = site.path("sprited.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let (_, rest) = config.split_once("[vod]").unwrap();
    let place = |name: &str| format!("{name} = {{ file = '{}' }}\n", site.path(name).display());
    let places = ["secret_id", "secret_key", "token"].map(place).concat();
    std::fs::write(&path, format!("[credentials]\n{places}[vod]{rest}")).unwrap();
    let write = |account: &Account| {
        let token = account.token.as_ref().unwrap();
        for (name, value) in [
            ("secret_id", account.secret_id.as_str()),
            ("secret_key", account.secret_key.expose_secret()),
            ("token", token.expose_secret()),
        ] {
            std::fs::write(site.path(name), value).unwrap();
        }
    };
    write(&temporary(0));
    let daemon = site.start();
    let mut made = site.make_sprites(50);
    for n in 1..=4 {
        // By then nobody reads the files that are written next.
        until(async || site.confirmed() == made.len() as u64).await;
        made.extend(site.make_sprites(50));
        write(&temporary(n));
        // From here on the old one is worth nothing, also to the calls on their way.
        site.cloud.control.set_account(temporary(n));
    }
    site.drained().await;
    let refused = site.cloud.control.totals();
    let refused = |code| refused.calls_of(ApiAction::PullEvents, code);
    assert!(
        refused("AuthFailure.SecretIdNotFound") + refused("AuthFailure.TokenFailure") >= 1,
        "no key has expired under a call"
    );
    assert!(daemon.logged("pulling fails").is_empty());
    assert!(
        !daemon.log().contains("temporary-secret") && !daemon.log().contains("temporary-token")
    );
    daemon.stop().await;
    site.assert_equal_ledgers("sprites.jsonl", &made, 0);
}

/// The daemon's loops with the provider of an instance, whose metadata server is this machine's.
#[tokio::test(flavor = "multi_thread")]
async fn the_role_of_an_instance_may_change_its_key_while_events_come() {
    let (fails, current) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (down, n) = (fails.clone(), current.clone());
    let metadata = LocalServer::start(move |request, _| {
        if down.load(Ordering::SeqCst) {
            return Reply::new(500, &[], b"");
        }
        if request.target.ends_with('/') {
            return Reply::new(200, &[], b"role");
        }
        let Account { secret_id, secret_key, token } = temporary(n.load(Ordering::SeqCst));
        let expires = Utc::now() + TimeDelta::hours(6);
        let answer = json!({
            "Code": "Success", "TmpSecretId": secret_id, "TmpSecretKey": secret_key.expose_secret(),
            "Token": token.unwrap().expose_secret(), "ExpiredTime": expires.timestamp(),
        });
        Reply::json(&answer.to_string())
    })
    .await;
    let cloud = EmulatorSettings { account: temporary(0), ..settings() };
    let site = Site::with(cloud, "", &file("sprites", "image-sprite")).await;
    let role = instance_role(&metadata.url(), Duration::from_millis(100)).unwrap();
    let mut loaded = Config::load(&site.path("sprited.toml")).unwrap();
    loaded.config.credentials = None;
    let daemon = daemon::Daemon::open(loaded, Arc::new(role)).await.unwrap();
    let control = daemon::DaemonSignals::default();
    let running = tokio::spawn(daemon.run(control.clone(), false));
    let expire = |key| {
        current.store(key, Ordering::SeqCst);
        site.cloud.control.set_account(temporary(key));
    };
    let mut made = site.make_sprites(20);
    site.drained().await;
    expire(1);
    made.extend(site.make_sprites(20));
    site.drained().await;
    // The next time nobody tells the new key for a while.
    fails.store(true, Ordering::SeqCst);
    expire(2);
    made.extend(site.make_sprites(20));
    let asked = metadata.seen().len();
    until(async || metadata.seen().len() > asked).await;
    assert_eq!(site.confirmed(), 40);
    fails.store(false, Ordering::SeqCst);
    site.drained().await;
    control.stop.cancel();
    assert_eq!(running.await.unwrap().unwrap(), daemon::ExitReason::Clean);
    site.assert_equal_ledgers("sprites.jsonl", &made, 0);
}

/// A site whose daemon assumes a role, for so long at most.
async fn assuming(max_session: Duration) -> Site {
    let role = AssumableRole { max_session, ..AssumableRole::default() };
    let lines = format!("role_arn = '{}'\nsts_endpoint", role.arn);
    let cloud = EmulatorSettings { role, ..settings() };
    let site = Site::with(cloud, "", &file("sprites", "image-sprite")).await;
    site.edit("[vod]", &format!("{lines} = '{}'\n[vod]", site.cloud.url));
    site
}

#[tokio::test]
async fn an_assumed_role_is_renewed_while_events_come() {
    let site = assuming(Duration::from_secs(3)).await;
    let daemon = site.start();
    let assumed = || site.cloud.control.totals().calls_of(ApiAction::AssumeRole, "ok");
    let mut made = Vec::new();
    while assumed() < 5 {
        made.extend(site.make_sprites(20));
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(made.len() < 20_000, "renewed {} times in too long a time", assumed());
    }
    site.drained().await;
    assert!(daemon.logged("pulling fails").is_empty());
    let series = "sprited_credentials_expiry_timestamp_seconds";
    let left = daemon.metric(series).await - Utc::now().timestamp() as f64;
    assert!(left.abs() < 60.0, "{left} s");
    assert!(!daemon.log().contains("emulator-secret-key"));
    daemon.stop().await;
    site.assert_equal_ledgers("sprites.jsonl", &made, 0);
}

/// The same with STS at this address.
async fn assuming_at(sts: SocketAddr) -> Site {
    let site = assuming(Duration::from_secs(3600)).await;
    let endpoint = |url: &str| format!("sts_endpoint = '{url}'");
    site.edit(&endpoint(&site.cloud.url), &endpoint(&format!("http://{sts}")));
    site
}

/// Bound and not listening: whoever connects is refused, and nobody else gets the port.
fn closed_port() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

#[tokio::test]
async fn an_sts_that_cannot_be_reached_is_told_as_the_network_and_is_no_reason_to_end() {
    let (closed, address) = closed_port();
    let site = assuming_at(address).await;
    site.add_sprites(3);
    let mut daemon = site.start();
    daemon.has_logged("pulling fails").await;
    let logged = daemon.logged("pulling fails");
    assert_eq!(logged[0]["advice"], "transport", "{logged:?}");
    assert!(logged[0]["error"].as_str().unwrap().contains(&address.to_string()), "{logged:?}");
    assert_eq!(daemon.get("/healthz").await.0, 200);
    assert!(daemon.runs());
    // A while later it can be.
    let cloud: SocketAddr = site.cloud.url.trim_start_matches("http://").parse().unwrap();
    let listener = closed.listen(16).unwrap();
    let relay = tokio::spawn(async move {
        loop {
            let (mut outer, _) = listener.accept().await.unwrap();
            let mut inner = TcpStream::connect(cloud).await.unwrap();
            copy_bidirectional(&mut outer, &mut inner).await.ok();
        }
    });
    site.drained().await;
    relay.abort();
    daemon.stop().await;
    site.assert_once("sprites.jsonl", 3);
}

#[tokio::test]
async fn a_run_once_without_a_way_to_sts_does_not_blame_the_key() {
    let (_closed, address) = closed_port();
    let site = assuming_at(address).await;
    let ended = site.run(&["run", "--once"]).await;
    assert_eq!(ended.code, 1, "{}", ended.log);
}

#[tokio::test]
async fn a_role_that_is_refused_is_told_as_the_credentials() {
    let site = assuming(Duration::from_secs(3600)).await;
    let role = AssumableRole {
        arn: "qcs::cam::uin/1:roleName/other".to_owned(),
        ..AssumableRole::default()
    };
    site.cloud.control.set_role(role);
    let daemon = site.start();
    daemon.has_logged("pulling fails").await;
    let logged = daemon.logged("pulling fails");
    assert_eq!(logged[0]["advice"], "credentials", "{logged:?}");
    assert!(logged[0]["error"].as_str().unwrap().contains("RoleNotFound"), "{logged:?}");
    assert_eq!(daemon.get("/readyz").await.0, 503);
    daemon.stop().await;
    assert_eq!(site.run(&["run", "--once"]).await.code, 77);
}

#[tokio::test]
async fn a_reload_needs_no_sts_where_the_role_is_the_same() {
    let site = assuming(Duration::from_secs(3600)).await;
    let daemon = site.start();
    let mut made = site.make_sprites(3);
    site.drained().await;
    let down = InjectedFault::next(1000, FaultKind::Error("InternalError".to_owned()));
    site.cloud.control.fault(down.on(ApiAction::AssumeRole)).unwrap();
    daemon.signal(Signal::SIGHUP);
    daemon.has_logged("reloaded: nothing has changed").await;
    made.extend(site.make_sprites(3));
    site.drained().await;
    // Another role is not taken over before it can be assumed.
    site.edit("roleName/emulator", "roleName/other");
    daemon.signal(Signal::SIGHUP);
    daemon.has_logged("reload rejected; previous configuration stays active").await;
    made.extend(site.make_sprites(3));
    site.drained().await;
    daemon.stop().await;
    site.assert_equal_ledgers("sprites.jsonl", &made, 0);
}
