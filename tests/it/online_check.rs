//! What `sprited check` prints on set-ups that are broken, word for word.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use vod_emulator::{ApiAction, EmulatorSettings, FaultKind, InjectedFault, ReportConfig};

use crate::check::Bench;
use crate::cli::{Ended, ended, sprited};
use crate::emulator::settings;
use crate::local_server::{LocalServer, Reply};

/// Certificates and their keys.
pub(crate) const TLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls");

/// Speaks TLS in front of a server that does not.
pub(crate) struct Tls {
    pub(crate) port: u16,
    task: JoinHandle<()>,
}

impl Tls {
    /// As `localhost`.
    async fn before(server: SocketAddr) -> Self {
        Self::named("localhost", server).await
    }

    /// With the certificate of this name.
    pub(crate) async fn named(name: &str, server: SocketAddr) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let certificate = CertificateDer::from_pem_file(format!("{TLS}/{name}.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(format!("{TLS}/{name}.key")).unwrap();
        let config = rustls::ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![certificate], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let mut relays = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                relays.spawn(async move {
                    // Who does not trust it, leaves.
                    let Ok(mut outer) = acceptor.accept(stream).await else { return };
                    let mut inner = TcpStream::connect(server).await.unwrap();
                    copy_bidirectional(&mut outer, &mut inner).await.ok();
                });
            }
        });
        Self { port, task }
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Bench {
    /// The same behind TLS, by this name, for a machine that trusts this authority alone.
    async fn over_tls(host: &str, authority: &str) -> (Self, Tls) {
        let mut bench = Self::new().await;
        let tls = Tls::before(bench.endpoint.trim_start_matches("http://").parse().unwrap()).await;
        bench.endpoint = format!("https://{host}:{}", tls.port);
        bench.set.push(("SSL_CERT_FILE", format!("{TLS}/{authority}")));
        (bench, tls)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_broken() {
    let (mut bench, _tls) = Bench::over_tls("localhost", "ca.pem").await;
    bench.set.push(("HTTPS_PROXY", "http://127.0.0.1:9".to_owned()));
    // No proxy is told what is meant for this machine, be it excepted or not.
    let (code, told) = bench.told();
    assert!(code == 0 && told.contains("proxy          none: the endpoint is this machine\n"));
    bench.set.push(("NO_PROXY", "localhost".to_owned()));
    let (code, told) = bench.told();
    assert_eq!(code, 0);
    insta::assert_snapshot!(told, @r#"
    ok    configuration  FOLDER/sprited.toml: 1 sink
    ok    secrets        can be read
    ok    confirm        a machine lost with its disk loses what is pending above max_unconfirmed = 2000; "never" leaves it in the cloud
    ok    proxy          none: NO_PROXY excepts the endpoint from HTTPS_PROXY
    ok    dns            localhost is 127.0.0.1
    ok    tls            the certificate of ENDPOINT is trusted
    ok    credentials    AKIDEMUL… from the configuration's [credentials]: accepted
    ok    cloud          ENDPOINT answers for application 1500012345
    ok    event-mode     PULL: events wait until they are confirmed; NewFileUpload OFF, FileDeleted OFF, PersistenceComplete OFF
    ok    queue          1 event waiting; the count may be up to three minutes old
    ok    clock          within 5 s of the service's
    ok    journal        FOLDER/journal.db does not exist yet; the first start creates it
    ok    disk           ROOM free; a flush takes FEW ms
    ok    sink sprites   jsonl: would take events
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_nobody_knows() {
    let mut bench = Bench::new().await;
    bench.endpoint = "https://vod.invalid".into();
    let (code, told) = bench.told();
    assert_eq!(code, 1);
    // In the words of this machine's resolver.
    let known = ["Name or service not known", "Temporary failure in name resolution"];
    let told = known.iter().fold(told, |told, words| told.replace(words, "NOT KNOWN"));
    insta::assert_snapshot!(told, @r#"
    ok    configuration  FOLDER/sprited.toml: 1 sink
    ok    secrets        can be read
    ok    confirm        a machine lost with its disk loses what is pending above max_unconfirmed = 2000; "never" leaves it in the cloud
    ok    proxy          none
    fail  dns            vod.invalid: failed to lookup address information: NOT KNOWN
                         → check [vod] endpoint, and this machine's name servers: resolvectl status
    skip  tls            see dns
    ok    credentials    AKIDEMUL… from the configuration's [credentials]: found, not verified
    skip  cloud          see dns
    skip  event-mode     see dns
    skip  queue          see dns
    skip  clock          see dns
    ok    journal        FOLDER/journal.db does not exist yet; the first start creates it
    ok    disk           ROOM free; a flush takes FEW ms
    ok    sink sprites   jsonl: would take events
    "#);
}

/// What the steps say that are not well.
fn ill(told: &str) -> String {
    let mut is_ill = false;
    let lines = told.lines().filter(|line| {
        is_ill = if line.starts_with(' ') { is_ill } else { !line.starts_with("ok ") };
        is_ill
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Key and application are as good as the way to VOD: the host that fails is STS's.
#[tokio::test(flavor = "multi_thread")]
async fn an_sts_that_is_not_reached() {
    let mut bench = Bench::new().await;
    let cloud = bench.endpoint.trim_start_matches("http://").parse().unwrap();
    let tls = Tls::before(cloud).await;
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed = closed.local_addr().unwrap();
    let mut told = |sts: &str| {
        let arn = vod_emulator::AssumableRole::default().arn;
        bench.role = format!("role_arn = {arn:?}\nsts_endpoint = {sts:?}\n");
        let (code, told) = bench.told();
        assert_eq!(code, 1, "{told}");
        let host = sts.rsplit('/').next().unwrap();
        ill(&told.replace(host, "STS"))
    };
    let known = ["Name or service not known", "Temporary failure in name resolution"];
    let unknown = told("https://sts.invalid");
    let unknown = known.iter().fold(unknown, |told, words| told.replace(words, "NOT KNOWN"));
    insta::assert_snapshot!(unknown, @r#"
    fail  credentials    role qcs::cam::uin/100000000001:roleName/emulator through STS (STS): AssumeRole failed: talking to STS: dns error: failed to lookup address information: NOT KNOWN
                         → check [credentials] sts_endpoint, and this machine's name servers: resolvectl status
    skip  cloud          see credentials
    skip  event-mode     see credentials
    skip  queue          see credentials
    skip  clock          see credentials
    "#);
    insta::assert_snapshot!(told(&format!("http://{closed}")), @r#"
    fail  credentials    role qcs::cam::uin/100000000001:roleName/emulator through STS (STS): AssumeRole failed: talking to STS: Connection refused (os error 111)
                         → check [credentials] sts_endpoint, the network, and HTTPS_PROXY if a proxy is needed
    skip  cloud          see credentials
    skip  event-mode     see credentials
    skip  queue          see credentials
    skip  clock          see credentials
    "#);
    insta::assert_snapshot!(told(&format!("https://localhost:{}", tls.port)), @r#"
    fail  credentials    role qcs::cam::uin/100000000001:roleName/emulator through STS (STS): AssumeRole failed: talking to STS: invalid peer certificate: UnknownIssuer
                         → install the package ca-certificates; if a proxy intercepts TLS, add its authority to the file that SSL_CERT_FILE names
    skip  cloud          see credentials
    skip  event-mode     see credentials
    skip  queue          see credentials
    skip  clock          see credentials
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_trusted() {
    let (bench, _tls) = Bench::over_tls("localhost", "localhost.pem").await;
    let (code, told) = bench.told();
    assert_eq!(code, 1);
    insta::assert_snapshot!(told, @r#"
    ok    configuration  FOLDER/sprited.toml: 1 sink
    ok    secrets        can be read
    ok    confirm        a machine lost with its disk loses what is pending above max_unconfirmed = 2000; "never" leaves it in the cloud
    ok    proxy          none
    ok    dns            localhost is 127.0.0.1
    fail  tls            ENDPOINT: invalid peer certificate: UnknownIssuer
                         → install the package ca-certificates; if a proxy intercepts TLS, add its authority to the file that SSL_CERT_FILE names
    ok    credentials    AKIDEMUL… from the configuration's [credentials]: found, not verified
    skip  cloud          see tls
    skip  event-mode     see tls
    skip  queue          see tls
    skip  clock          see tls
    ok    journal        FOLDER/journal.db does not exist yet; the first start creates it
    ok    disk           ROOM free; a flush takes FEW ms
    ok    sink sprites   jsonl: would take events
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_without_authorities() {
    let (mut bench, _tls) = Bench::over_tls("localhost", "ca.pem").await;
    bench.set = vec![("SSL_CERT_FILE", "/dev/null".into())];
    let (code, told) = bench.told();
    assert_eq!(code, 1);
    insta::assert_snapshot!(told, @r#"
    ok    configuration  FOLDER/sprited.toml: 1 sink
    ok    secrets        can be read
    ok    confirm        a machine lost with its disk loses what is pending above max_unconfirmed = 2000; "never" leaves it in the cloud
    ok    proxy          none
    ok    dns            localhost is 127.0.0.1
    fail  tls            ENDPOINT: builder error: unexpected error: No CA certificates were loaded from the system
                         → install the package ca-certificates; if a proxy intercepts TLS, add its authority to the file that SSL_CERT_FILE names
    ok    credentials    AKIDEMUL… from the configuration's [credentials]: found, not verified
    skip  cloud          see tls
    skip  event-mode     see tls
    skip  queue          see tls
    skip  clock          see tls
    ok    journal        FOLDER/journal.db does not exist yet; the first start creates it
    ok    disk           ROOM free; a flush takes FEW ms
    ok    sink sprites   jsonl: would take events
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_name() {
    let (bench, _tls) = Bench::over_tls("127.0.0.1", "ca.pem").await;
    let (code, told) = bench.told();
    assert_eq!(code, 78);
    insta::assert_snapshot!(told, @r#"
    ok    configuration  FOLDER/sprited.toml: 1 sink
    ok    secrets        can be read
    ok    confirm        a machine lost with its disk loses what is pending above max_unconfirmed = 2000; "never" leaves it in the cloud
    ok    proxy          none
    ok    dns            127.0.0.1 is an address
    fail  tls            ENDPOINT: invalid peer certificate: certificate not valid for name "127.0.0.1"; certificate is only valid for DnsName("localhost")
                         → check [vod] endpoint: another host answers there
    ok    credentials    AKIDEMUL… from the configuration's [credentials]: found, not verified
    skip  cloud          see tls
    skip  event-mode     see tls
    skip  queue          see tls
    skip  clock          see tls
    ok    journal        FOLDER/journal.db does not exist yet; the first start creates it
    ok    disk           ROOM free; a flush takes FEW ms
    ok    sink sprites   jsonl: would take events
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_of_another_century() {
    let (mut bench, _tls) = Bench::over_tls("localhost", "ca.pem").await;
    // It stands: the seconds that the check takes would be seen in what it says.
    bench.through = ["faketime", "-m", "-f", "2200-01-01 00:00:00"].map(str::to_owned).into();
    bench.set.push(("TZ", "UTC".into()));
    bench.set.push(("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()));
    let (code, told) = bench.told();
    assert_eq!(code, 1);
    insta::assert_snapshot!(told, @r#"
    ok    configuration  FOLDER/sprited.toml: 1 sink
    ok    secrets        can be read
    ok    confirm        a machine lost with its disk loses what is pending above max_unconfirmed = 2000; "never" leaves it in the cloud
    ok    proxy          none
    ok    dns            localhost is 127.0.0.1
    fail  tls            ENDPOINT: invalid peer certificate: certificate expired: verification time 7258118400 (UNIX), but certificate is not valid after 4949090619 (2309027781 seconds ago)
                         → set this machine's clock, for instance by NTP
    ok    credentials    AKIDEMUL… from the configuration's [credentials]: found, not verified
    skip  cloud          see tls
    skip  event-mode     see tls
    skip  queue          see tls
    skip  clock          see tls
    ok    journal        FOLDER/journal.db does not exist yet; the first start creates it
    ok    disk           ROOM free; a flush takes FEW ms
    ok    sink sprites   jsonl: would take events
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn something_else_at_the_endpoint() {
    let mut bench = Bench::new().await;
    bench.endpoint = bench.endpoint.replace("http:", "https:");
    bench.set.push(("SSL_CERT_FILE", format!("{TLS}/ca.pem")));
    let (code, told) = bench.told();
    assert_eq!(code, 1);
    insta::assert_snapshot!(told, @r#"
    ok    configuration  FOLDER/sprited.toml: 1 sink
    ok    secrets        can be read
    ok    confirm        a machine lost with its disk loses what is pending above max_unconfirmed = 2000; "never" leaves it in the cloud
    ok    proxy          none
    ok    dns            127.0.0.1 is an address
    fail  tls            ENDPOINT: received corrupt message of type InvalidContentType
                         → check [vod] endpoint: something else answers there, perhaps a proxy
    ok    credentials    AKIDEMUL… from the configuration's [credentials]: found, not verified
    skip  cloud          see tls
    skip  event-mode     see tls
    skip  queue          see tls
    skip  clock          see tls
    ok    journal        FOLDER/journal.db does not exist yet; the first start creates it
    ok    disk           ROOM free; a flush takes FEW ms
    ok    sink sprites   jsonl: would take events
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_lets_nobody_through() {
    let proxy = LocalServer::replying(vec![Reply::new(407, &[], b"")]).await;
    let mut bench = Bench::new().await;
    bench.endpoint = "https://vod.tencentcloudapi.com".into();
    bench.set = vec![("https_proxy", proxy.url().replace("//", "//user:hunter2@"))];
    let (code, told) = bench.told();
    assert_eq!(code, 1);
    assert!(!told.contains("hunter2"));
    insta::assert_snapshot!(told.replace(&proxy.url(), "PROXY"), @r#"
    ok    configuration  FOLDER/sprited.toml: 1 sink
    ok    secrets        can be read
    ok    confirm        a machine lost with its disk loses what is pending above max_unconfirmed = 2000; "never" leaves it in the cloud
    ok    proxy          PROXY by https_proxy, with a user and a password; from this shell's environment: the service uses its unit's
    ok    dns            127.0.0.1 is an address
    skip  tls            not connected: see cloud
    ok    credentials    AKIDEMUL… from the configuration's [credentials]: found, not verified
    fail  cloud          ENDPOINT: DescribeEventConfig failed: talking to vod.tencentcloudapi.com: tunnel error: proxy authorization required
                         → check [vod] endpoint, the network, and HTTPS_PROXY if a proxy is needed
    skip  event-mode     see cloud
    skip  queue          see cloud
    skip  clock          no answer had a date
    ok    journal        FOLDER/journal.db does not exist yet; the first start creates it
    ok    disk           ROOM free; a flush takes FEW ms
    ok    sink sprites   jsonl: would take events
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_means_nothing() {
    let mut bench = Bench::new().await;
    bench.endpoint = "https://192.0.2.1".into();
    bench.set = vec![("ALL_PROXY", "ftp://user:hunter2@proxy:1080".into())];
    let (_, told) = bench.told();
    assert!(!told.contains("hunter2"));
    let told: Vec<_> = told.lines().skip(3).take(2).collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    warn  proxy          ALL_PROXY names no usable proxy: requests use none
                         → write it as ALL_PROXY=http://HOST:PORT, or with https, socks5, socks5h, socks4 or socks4a instead of http; or unset it
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key() {
    let mut bench = Bench::new().await;
    bench.key = "not-the-secret-key".into();
    let (code, told) = bench.told();
    assert_eq!(code, 77);
    insta::assert_snapshot!(told, @r#"
    ok    configuration  FOLDER/sprited.toml: 1 sink
    ok    secrets        can be read
    ok    confirm        a machine lost with its disk loses what is pending above max_unconfirmed = 2000; "never" leaves it in the cloud
    ok    proxy          none: the endpoint is this machine
    ok    dns            127.0.0.1 is an address
    ok    tls            none: the endpoint is this machine
    fail  credentials    AKIDEMUL… from the configuration's [credentials]: DescribeEventConfig failed: AuthFailure.SignatureFailure: the signature does not match the request and the SecretKey (HTTP 200, RequestId ID)
                         → check that secret_key belongs to secret_id
    skip  cloud          see credentials
    skip  event-mode     see credentials
    skip  queue          see credentials
    ok    clock          within 5 s of the service's
    ok    journal        FOLDER/journal.db does not exist yet; the first start creates it
    ok    disk           ROOM free; a flush takes FEW ms
    ok    sink sprites   jsonl: would take events
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_allows_too_little_and_a_switch_that_is_off() {
    let mut bench = Bench::new().await;
    bench.more = "events = [\"image-sprite\", \"NewFileUpload\", \"FileDeleted\"]\n".into();
    let (code, told) = bench.told();
    assert_eq!(code, 0);
    let switched: Vec<_> = told.lines().filter(|line| !line.starts_with("ok ")).collect();
    insta::assert_snapshot!(switched.join("\n"), @r#"
    warn  event-mode     PULL: events wait until they are confirmed; NewFileUpload OFF, FileDeleted OFF, PersistenceComplete OFF
                         → "sprites" wants NewFileUpload, "sprites" wants FileDeleted: switch NewFileUpload, FileDeleted on in the console, in the application's callback settings; or by the API: tccli vod ModifyEventConfig --SubAppId 1500012345 --Mode PULL --UploadMediaCompleteEventSwitch ON --DeleteMediaCompleteEventSwitch ON --PersistenceCompleteEventSwitch OFF
    "#);

    bench.more.clear();
    for action in [ApiAction::DescribeEventConfig, ApiAction::DescribeEventsState] {
        let kind = FaultKind::Error("UnauthorizedOperation".into());
        bench.server.control.fault(InjectedFault::next(1, kind).on(action)).unwrap();
    }
    let (code, told) = bench.told();
    assert_eq!(code, 0);
    insta::assert_snapshot!(told, @r#"
    ok    configuration  FOLDER/sprited.toml: 1 sink
    ok    secrets        can be read
    ok    confirm        a machine lost with its disk loses what is pending above max_unconfirmed = 2000; "never" leaves it in the cloud
    ok    proxy          none: the endpoint is this machine
    ok    dns            127.0.0.1 is an address
    ok    tls            none: the endpoint is this machine
    ok    credentials    AKIDEMUL… from the configuration's [credentials]: accepted
    ok    cloud          ENDPOINT answers for application 1500012345
    warn  event-mode     DescribeEventConfig failed: UnauthorizedOperation: an injected error (HTTP 200, RequestId ID)
                         → allow vod:PullEvents, vod:ConfirmEvents, vod:DescribeEventsState and vod:DescribeEventConfig in the CAM policy of this key or its role, which `sprited check --policy` prints; unknown whether events can be pulled; check in the console that the application's callback settings say reliable callback
    warn  queue          DescribeEventsState failed: UnauthorizedOperation: an injected error (HTTP 200, RequestId ID)
                         → allow vod:PullEvents, vod:ConfirmEvents, vod:DescribeEventsState and vod:DescribeEventConfig in the CAM policy of this key or its role, which `sprited check --policy` prints; nothing depends on this number; the international site may not provide it
    ok    clock          within 5 s of the service's
    ok    journal        FOLDER/journal.db does not exist yet; the first start creates it
    ok    disk           ROOM free; a flush takes FEW ms
    ok    sink sprites   jsonl: would take events
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_switched_on_is_told() {
    let event_config = ReportConfig { upload: true, ..ReportConfig::default() };
    let mut bench = Bench::with(EmulatorSettings { event_config, ..settings() }).await;
    bench.more = "events = [\"NewFileUpload\"]\n".into();
    let (code, told) = bench.told();
    assert_eq!(code, 0);
    assert!(told.contains("; NewFileUpload ON, FileDeleted OFF, "), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_in_memory_without_room() {
    let mut bench = Bench::new().await;
    let folder = bench.folder.path().join("memory");
    std::fs::create_dir(&folder).unwrap();
    bench.journal = folder.join("journal.db");
    let mut through = vec!["unshare".to_owned(), "--mount".to_owned()];
    if !nix::unistd::geteuid().is_root() {
        through.push("--map-root-user".to_owned());
    }
    through.extend(["sh", "-c"].map(str::to_owned));
    let mounted = |size: &str| {
        let script = format!("mount -t tmpfs -o size={size} tmpfs \"$0\" && exec \"$@\"");
        through.iter().cloned().chain([script, folder.display().to_string()]).collect()
    };
    bench.through = mounted("8m");
    let (code, told) = bench.told();
    assert_eq!(code, 74);
    let disk = |told: &str| {
        let lines = told.lines().skip_while(|line| !line[4..].starts_with("  disk "));
        lines.take(2).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(disk(&told), @r#"
    fail  disk           ROOM free; a flush takes FEW ms
                         → free some space, or set journal.path to another disk; nothing is pulled while it is full
    "#);
    bench.through = mounted("24m");
    let (code, told) = bench.told();
    assert_eq!(code, 0);
    insta::assert_snapshot!(disk(&told), @r#"
    warn  disk           ROOM free; a flush takes FEW ms
                         → it is a memory file system, which loses confirmed events at a reboot: set journal.path to a disk; the journal may grow by 32.0 MiB: free some space, or lower journal.max_size
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_slow() {
    let mut bench = Bench::new().await;
    let delay = "inject=fdatasync:delay_enter=60000";
    bench.through =
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", delay]
            .map(str::to_owned)
            .into();
    let (code, steps) = bench.json();
    assert_eq!(code, 0);
    let disk = steps.iter().find(|step| step["step"] == "disk").unwrap();
    let figure = disk["detail"].as_str().unwrap().split("takes ").nth(1).unwrap();
    let figure: f64 = figure.trim_end_matches(" ms").parse().unwrap();
    assert!(figure >= 60.0, "{disk}");
    insta::assert_snapshot!(format!("{}: {}", disk["outcome"], disk["advice"]), @r#"
    "warn": "it may be too slow for the 1,600 events a second that the cloud allows: set journal.path to a faster disk if so many may come"
    "#);
}

/// A disk that fails at the flush takes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails() {
    let mut bench = Bench::new().await;
    let fault = "inject=fdatasync:error=EIO";
    bench.through =
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", fault]
            .map(str::to_owned)
            .into();
    let (code, told) = bench.told();
    assert_eq!(code, 74);
    let told: Vec<_> = told.lines().filter(|line| !line.starts_with("ok ")).collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    fail  disk           nothing can be written: Input/output error (os error 5)
                         → free some space, or check the disk; nothing is pulled while it cannot be written
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_are_told_the_same() {
    let mut bench = Bench::new().await;
    bench.endpoint = "https://vod.invalid".into();
    let (code, steps) = bench.json();
    assert_eq!(code, 1);
    let word = |step: &Value, key: &str| step[key].as_str().unwrap_or_default().to_owned();
    let told: Vec<_> = steps
        .iter()
        .map(|step| format!("{} {}", word(step, "outcome"), word(step, "step")))
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    ok configuration
    ok secrets
    ok confirm
    ok proxy
    fail dns
    skip tls
    ok credentials
    skip cloud
    skip event-mode
    skip queue
    skip clock
    ok journal
    ok disk
    ok sink
    "#);
    assert!(steps.iter().all(|step| step["outcome"] != "fail" || step["advice"].is_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_application_is_looked_at() {
    let apps = vec![1_500_012_345, 1_500_012_346];
    let mut bench = Bench::with(EmulatorSettings { apps, ..settings() }).await;
    bench.apps = "[1500012345, 1500012346, 1500099999]".to_owned();
    let (code, told) = bench.told();
    assert_eq!(code, 78);
    let of_cloud = told.lines().skip_while(|line| !line.contains("credentials"));
    let of_cloud: Vec<_> = of_cloud.take_while(|line| !line.contains("journal")).collect();
    insta::assert_snapshot!(of_cloud.join("\n"), @r#"
    ok    credentials            AKIDEMUL… from the configuration's [credentials]: accepted
    ok    cloud 1500012345       ENDPOINT answers for application 1500012345
    ok    event-mode 1500012345  PULL: events wait until they are confirmed; NewFileUpload OFF, FileDeleted OFF, PersistenceComplete OFF
    ok    queue 1500012345       1 event waiting; the count may be up to three minutes old
    ok    cloud 1500012346       ENDPOINT answers for application 1500012346
    ok    event-mode 1500012346  PULL: events wait until they are confirmed; NewFileUpload OFF, FileDeleted OFF, PersistenceComplete OFF
    ok    queue 1500012346       0 events waiting; the count may be up to three minutes old
    fail  cloud 1500099999       ENDPOINT: DescribeEventConfig failed: InvalidParameterValue.SubAppId: the SubAppId is not one of this emulator (HTTP 200, RequestId ID)
                                 → check sub_app_id
    skip  event-mode 1500099999  see cloud
    skip  queue 1500099999       see cloud
    ok    clock                  within 5 s of the service's
    "#);
}

/// The policy, and what stands beside it on stderr.
fn policy(config: &str, argument: &str) -> (Value, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sprited.toml");
    std::fs::write(&path, config).unwrap();
    let Ended { code, out, err } =
        ended(sprited().args(["check", argument, "--config"]).arg(&path));
    assert_eq!(code, 0, "{err}");
    (serde_json::from_str(&out).expect(&out), err)
}

/// The one that the documentation shows.
#[test]
fn the_policy_is_the_one_in_the_documentation() {
    let guide = include_str!("../../docs/getting-started.md");
    let (_, shown) = guide.split_once("```json\n").unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    let sink = "[[sinks]]\nname = \"a\"\ntype = \"stdout\"\n";
    let config = format!("[vod]\nsub_app_id = 1500012345\n{sink}");
    let (printed, aside) = policy(&config, "--policy=100000000001");
    assert_eq!(printed, serde_json::from_str::<Value>(shown).unwrap());
    assert_eq!(aside, "");

    let several = format!("[vod]\nsub_app_id = [1500012345, 1500012346]\n{sink}");
    let (printed, aside) = policy(&several, "--policy=100000000001");
    let resources = [1_500_012_345, 1_500_012_346]
        .map(|app| format!("qcs::vod::uin/100000000001:subAppId/{app}"));
    assert_eq!(printed["statement"][0]["resource"], serde_json::json!(resources));
    assert_eq!(aside, "");

    let (printed, aside) = policy(sink, "--policy");
    let resource = &printed["statement"][0]["resource"][0];
    assert_eq!(resource, "qcs::vod::uin/ROOT_ACCOUNT_ID:subAppId/APPLICATION_ID");
    insta::assert_snapshot!(aside, @r#"
    sprited: replace ROOT_ACCOUNT_ID by the ID of the root account, or pass it: --policy=ID
    sprited: replace APPLICATION_ID by the ID of the primary application, since [vod] names none
    "#);
}

#[test]
fn a_policy_needs_a_configuration_that_can_be_read() {
    let mut command: Command = sprited();
    let Ended { code, out, .. } =
        ended(command.args(["check", "--policy", "--config", "/nowhere/sprited.toml"]));
    assert_eq!(code, 78);
    assert!(out.starts_with("fail  configuration  /nowhere/sprited.toml"), "{out}");
}
