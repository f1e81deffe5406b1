//! Where it listens, and its end.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use vod_emulator::{BindError, Emulator, EmulatorSettings};

use crate::server::{Server, settings};
use crate::support;

#[tokio::test]
async fn it_stops_at_once_though_pulls_are_held() {
    let server =
        Server::start(EmulatorSettings { hold: Duration::from_secs(600), ..settings() }).await;
    let held: Vec<_> = (0..8)
        .map(|_| {
            let caller = server.caller();
            tokio::spawn(async move { caller.pull().await.code() })
        })
        .collect();
    // An idle connection must not keep it either.
    let idle = server.caller();
    idle.call("DescribeEventsState", json!({})).await;
    support::until(|| server.control.pulls_waiting() == 8).await;
    let url = server.url.clone();
    let took = server.stop().await;
    assert!(took < Duration::from_secs(3), "{took:?}");
    for call in held {
        assert_eq!(call.await.unwrap(), "ResourceNotFound");
    }
    assert!(support::http().get(url).send().await.unwrap_err().is_connect());
}

#[tokio::test]
async fn it_binds_beyond_the_loopback_only_when_allowed() {
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let refused = Emulator::bind(settings(), everywhere).await.unwrap_err();
    assert!(matches!(refused, BindError::NotLoopback(_)), "{refused}");
    let allowed = EmulatorSettings { allow_remote: true, ..settings() };
    assert!(Emulator::bind(allowed, everywhere).await.is_ok());
    let wrong = EmulatorSettings { sprites_per_second: f64::NAN, ..settings() };
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    assert!(matches!(Emulator::bind(wrong, loopback).await, Err(BindError::Setting(_))));
}
