//! No file descriptor left.

use sprited::emulator::{Action, Fault, Kind};

use super::super::{Site, file};
use super::disk::limit;
use super::within;

const REFUSED: &str = "cannot accept connections";
const DOWN: &str = "the sink is down; its events wait in the journal";

#[tokio::test]
async fn without_descriptors_the_daemon_waits_for_better_times() {
    let program = "[[sinks]]\nname = 'program'\ntype = 'exec'\n\
                   command = ['/bin/sh', '-c', 'cat >> DIR/program.jsonl']\nmax_in_flight = 1\n";
    let site = Site::new(&[program, &file("sprites", "image-sprite")].concat()).await;
    let control = &site.cloud.control;
    let mut daemon = site.start();
    site.add_sprites(2);
    within(60, async || control.totals().waiting == 0).await;
    assert_eq!(daemon.get("/readyz").await.0, 200);

    // What is open stays so; nothing more can be opened.
    limit(&daemon, "--nofile=1:");
    site.add_sprites(10);
    // Asked all the time, since a connection to the pages that does not go on is closed.
    let alive = async || daemon.get("/healthz").await.0 == 200;
    let lines = || site.lines("sprites.jsonl").len();
    within(60, async || alive().await && lines() == 12 && !daemon.logged(DOWN).is_empty()).await;
    let down = daemon.logged(DOWN)[0].clone();
    assert_eq!(down["sink"], "program");
    assert!(down["error"].as_str().unwrap().contains("Too many open files"), "{down}");
    // Connections to the cloud have to be made anew, and cannot be: pulls fail without a fault.
    control.fault(Fault::rate(1.0, Kind::Reset).on(Action::PullEvents)).unwrap();
    let failed = async || daemon.metric("sprited_pulls_total{outcome=\"failed\"}").await;
    let met = || control.totals().faults.values().sum::<u64>() as f64;
    within(30, async || failed().await > met() + 0.5).await;
    control.clear_faults();
    site.add_sprites(5);
    let (tried, asked) = (failed().await, control.totals().calls["PullEvents"].clone());
    within(40, async || failed().await > tried + 0.5).await;
    assert_eq!(control.totals().calls["PullEvents"], asked);
    assert_eq!(daemon.logged("pulling fails").len(), 1, "once a minute at most");

    // Who wants another connection waits, and the log is not filled with it.
    let address = daemon.logged("started")[0]["http"].as_str().unwrap().to_owned();
    let waiting = std::net::TcpStream::connect(address).unwrap();
    within(60, async || alive().await && !daemon.logged(REFUSED).is_empty()).await;
    let failures = failed().await;
    within(60, async || failed().await > failures + 0.5).await;
    assert_eq!(daemon.logged(REFUSED).len(), 1, "once a minute at most");

    limit(&daemon, "--nofile=1024:");
    daemon.has_logged("connections are accepted again").await;
    drop(waiting);
    within(90, async || control.totals().waiting == 0).await;
    within(60, async || daemon.get("/readyz").await.0 == 200).await;
    assert_eq!(daemon.logged("pulling works again").len(), 1);
    assert!(daemon.runs());
    daemon.stop().await;
    site.assert_once("sprites.jsonl", 17);
    site.assert_once("program.jsonl", 17);
}
