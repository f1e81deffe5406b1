//! Connectivity of the cloud's services: the proxy, the name server and TLS.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;

use super::report::{CLOUD, CheckStep, StepOutcome};
use crate::cli::exit::Exit;
use crate::cli::unit::ServiceUnit;
use crate::sanitize::one_line;
use crate::vod::{NetworkRoute, Proxy, ProxyKind, Tls, TlsFailure, VodSettings};

const LOOKUP_TIMEOUT: Duration = Duration::from_secs(20);

const PROXY: &str = "proxy";
const DNS: &str = "dns";
const TLS: &str = "tls";

const ENDPOINT: &str = "[vod] endpoint";

/// Takes the steps, in the order of a request's route.
pub(super) async fn check(vod: &VodSettings, unit: &ServiceUnit) -> Vec<CheckStep> {
    let route = match NetworkRoute::new(vod) {
        Ok(route) => route,
        Err(problem) => {
            let failed = CheckStep::fail(PROXY, Exit::Configuration, problem, "check [vod]");
            return vec![
                failed,
                CheckStep::skip(DNS, "see proxy"),
                CheckStep::skip(TLS, "see proxy"),
            ];
        }
    };
    let dns = dns(&route, ENDPOINT).await;
    let tls = match dns.outcome {
        StepOutcome::Fail => CheckStep::skip(TLS, format!("see {DNS}")),
        _ => tls(&vod.endpoint, ENDPOINT, &route.handshake().await),
    };
    vec![proxy(route.proxy(), unit), dns, tls]
}

/// Returns the step that fails on the route to the endpoint that `setting` names, if one does.
pub(super) async fn preflight(route: &NetworkRoute, setting: &str) -> Option<CheckStep> {
    let dns = dns(route, setting).await;
    if dns.outcome == StepOutcome::Fail {
        return Some(dns);
    }
    let tls = tls(route.endpoint(), setting, &route.handshake().await);
    Some(tls).filter(|tls| tls.outcome == StepOutcome::Fail)
}

fn proxy(proxy: &Proxy, unit: &ServiceUnit) -> CheckStep {
    match proxy {
        Proxy::Loopback => CheckStep::ok(PROXY, "none: the endpoint is this machine"),
        Proxy::None => CheckStep::ok(PROXY, "none"),
        Proxy::Excepted { by, variable } => {
            CheckStep::ok(PROXY, format!("none: {by} excepts the endpoint from {variable}"))
        }
        Proxy::Ignored { variable } => CheckStep::warn(
            PROXY,
            format!("{variable} names no usable proxy: requests use none"),
            format!(
                "write it as {variable}=http://HOST:PORT, or with https, socks5, socks5h, socks4 \
                 or socks4a instead of http; or unset it"
            ),
        ),
        Proxy::Used { url, kind, has_port, has_password, variable, .. } => {
            let password = if *has_password { ", with a user and a password" } else { "" };
            let mut detail = format!("{} by {variable}{password}", one_line(url));
            if let ProxyKind::Socks { asks_here } = kind {
                let who = if *asks_here { "this machine asks" } else { "the proxy asks" };
                detail.push_str(&format!("; {who} for the addresses of names"));
                if !has_port {
                    let advice = format!("write the port, such as {}", url.replace(":80", ":1080"));
                    let detail = format!("{detail}; no port is named, and 80 is used");
                    return CheckStep::warn(PROXY, detail, advice);
                }
            }
            if std::env::var_os("INVOCATION_ID").is_some() {
                return CheckStep::ok(PROXY, detail);
            }
            if let Some(unit) = unit.setting(variable) {
                return CheckStep::ok(PROXY, format!("{detail} of {unit}"));
            }
            // A shell's environment is not the service's.
            let elsewhere = "; from this shell's environment: the service uses its unit's";
            CheckStep::ok(PROXY, format!("{detail}{elsewhere}"))
        }
    }
}

async fn dns(route: &NetworkRoute, setting: &str) -> CheckStep {
    let mut details = Vec::new();
    for (host, port) in route.asked_for() {
        let whose = match route.proxy() {
            Proxy::Used { host: proxy, variable, .. } if proxy == host => variable,
            _ => setting,
        };
        let step = ask_for(route, (host, port), whose).await;
        if step.outcome != StepOutcome::Ok {
            return step;
        }
        details.push(step.detail);
    }
    CheckStep::ok(DNS, details.join("; "))
}

async fn ask_for(route: &NetworkRoute, (host, port): (&str, u16), whose: &str) -> CheckStep {
    if host.parse::<IpAddr>().is_ok() {
        return CheckStep::ok(DNS, format!("{host} is an address"));
    }
    let failed = |what: String| {
        CheckStep::fail(
            DNS,
            Exit::Failure,
            format!("{}: {what}", one_line(host)),
            format!("check {whose}, and this machine's name servers: resolvectl status"),
        )
    };
    let lookup = async {
        if let Some(way) = route.this_machine() {
            return Ok(way.addresses(host).await);
        }
        lookup_host((host, port)).await.map(Iterator::collect)
    };
    match timeout(LOOKUP_TIMEOUT, lookup).await {
        Err(_) => failed(format!("no answer within {} s", LOOKUP_TIMEOUT.as_secs())),
        Ok(Err(error)) => failed(error.to_string()),
        Ok(Ok(addresses)) => match found(addresses) {
            Some(found) => CheckStep::ok(DNS, format!("{} is {found}", one_line(host))),
            None => failed("has no address".to_owned()),
        },
    }
}

fn found(addresses: Vec<SocketAddr>) -> Option<String> {
    let mut found: Vec<IpAddr> = addresses.iter().map(|address| address.ip()).collect();
    found.sort_unstable();
    found.dedup();
    let first = found.first()?;
    let others = (found.len() - 1) as u64;
    let others = if others == 0 { String::new() } else { format!(" and {others} more") };
    Some(format!("{first}{others}"))
}

fn tls(endpoint: &str, setting: &str, tls: &Tls) -> CheckStep {
    let (failure, error) = match tls {
        Tls::Unused => return CheckStep::ok(TLS, "none: the endpoint is this machine"),
        Tls::Trusted => {
            return CheckStep::ok(TLS, format!("the certificate of {endpoint} is trusted"));
        }
        Tls::Unconnected => return CheckStep::skip(TLS, format!("not connected: see {CLOUD}")),
        Tls::Failed(failure, error) => (failure, error),
    };
    let (exit, advice) = match failure {
        TlsFailure::NoAuthorities | TlsFailure::UnknownAuthority => (
            Exit::Failure,
            "install the package ca-certificates; if a proxy intercepts TLS, add its authority to \
             the file that SSL_CERT_FILE names"
                .to_owned(),
        ),
        TlsFailure::Time => {
            (Exit::Failure, "set this machine's clock, for instance by NTP".to_owned())
        }
        TlsFailure::Name => {
            (Exit::Configuration, format!("check {setting}: another host answers there"))
        }
        TlsFailure::Protocol => (
            Exit::Failure,
            format!("check {setting}: something else answers there, perhaps a proxy"),
        ),
    };
    CheckStep::fail(TLS, exit, format!("{endpoint}: {error}"), advice)
}

pub(super) fn first_failed(steps: &[CheckStep]) -> Option<&str> {
    steps.iter().find(|step| step.outcome == StepOutcome::Fail).map(|step| step.step.as_str())
}
