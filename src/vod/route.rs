//! The route to an endpoint, checked before anything is signed: the proxy in force, and whether the
//! certificate at its end is trusted. For `sprited check`.

use std::error::Error;
use std::io;
use std::time::Duration;

use hyper::Uri;
use hyper_util::client::proxy::matcher::{Builder, Matcher};
use reqwest::Url;
use rustls::CertificateError as Certificate;

use super::http::{Endpoint, describe};
use super::{VodSettings, credentials};
use crate::net;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// In the order in which they are asked: the first one that is set decides, were it empty.
const FOR_HTTPS: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
const FOR_ALL: [&str; 2] = ["ALL_PROXY", "all_proxy"];
const FOR_NONE: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The route that the requests of a client take.
#[derive(Debug)]
pub struct NetworkRoute {
    endpoint: Url,
    /// The way to it, if that stays on this machine.
    this_machine: Option<net::ThisMachine>,
    proxy: Proxy,
}

/// What the environment says about a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "a variant's text tells of its fields where they do not themselves")]
pub enum Proxy {
    /// The endpoint is this machine: no proxy is told what is meant for it, whatever a variable
    /// says.
    Loopback,
    /// No variable names one.
    None,
    /// The variable `by` excepts the endpoint from the one that `variable` names.
    Excepted { by: &'static str, variable: &'static str },
    /// Nothing can be made of what `variable` says, and it has no effect.
    Ignored { variable: &'static str },
    /// All requests go through this one.
    Used {
        /// Its URL, without user and password, and with the port.
        url: String,
        /// The host in it.
        host: String,
        /// The port that is connected to.
        port: u16,
        /// Whether `variable` names the port.
        has_port: bool,
        /// How it is spoken to.
        kind: ProxyKind,
        /// Whether it is told a user and password.
        has_password: bool,
        /// What names it.
        variable: &'static str,
    },
}

/// How a proxy is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "a variant's text tells of its field")]
pub enum ProxyKind {
    /// By HTTP, over TLS or not; it is told the name of the endpoint.
    Http,
    /// By SOCKS: `socks4a` and `socks5h` tell it the name, `socks4` and `socks5` an address that
    /// was asked for here.
    Socks { asks_here: bool },
}

impl ProxyKind {
    fn of(scheme: &str) -> Option<Self> {
        match scheme {
            "http" | "https" => Some(Self::Http),
            "socks4" | "socks5" => Some(Self::Socks { asks_here: true }),
            "socks4a" | "socks5h" => Some(Self::Socks { asks_here: false }),
            _ => None,
        }
    }
}

/// What became of a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// There is none: the endpoint is this machine.
    Unused,
    /// The certificate was accepted.
    Trusted,
    /// There was no connection to speak TLS over; a call tells why.
    Unconnected,
    /// It failed.
    Failed(TlsFailure, String),
}

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFailure {
    /// This machine has no certificates of authorities that could be used.
    NoAuthorities,
    /// No authority of this machine stands for the certificate.
    UnknownAuthority,
    /// By this machine's clock it is no longer good, or not yet.
    Time,
    /// It is another host's.
    Name,
    /// What answers speaks no TLS that is understood here.
    Protocol,
}

impl NetworkRoute {
    /// Returns the route to the endpoint of these settings, by the environment of this process.
    ///
    /// # Errors
    /// When the endpoint is wrong, in words for the operator.
    pub fn new(settings: &VodSettings) -> Result<Self, String> {
        Ok(Self::to(settings.endpoint()?))
    }

    /// Returns the route to STS, where it hands out the credentials of these settings or, without
    /// any, those of a pod; `None` where it is not asked.
    #[must_use]
    pub fn to_sts(settings: Option<&credentials::CredentialsSettings>) -> Option<Self> {
        credentials::sts_endpoint(settings).map(Self::to)
    }

    fn to(endpoint: Endpoint) -> Self {
        let first = |names: [&'static str; 2]| {
            let set = names.into_iter().find_map(|name| Some((name, std::env::var(name).ok()?)));
            set.unwrap_or((names[0], String::new()))
        };
        // Where this is set, it is a web server's request that speaks, and no proxy is used.
        let is_cgi = std::env::var_os("REQUEST_METHOD").is_some();
        let this_machine = endpoint.this_machine();
        let variables = [first(FOR_HTTPS), first(FOR_ALL)];
        let proxy = match proxy(&endpoint.url, variables, &first(FOR_NONE)) {
            _ if endpoint.url.scheme() == "http" => Proxy::Loopback,
            Proxy::Used { .. } | Proxy::Ignored { .. } if this_machine.is_some() => Proxy::Loopback,
            _ if is_cgi => Proxy::None,
            found => found,
        };
        Self { endpoint: endpoint.url, this_machine, proxy }
    }

    /// The way to the endpoint, if that is on this machine.
    pub fn this_machine(&self) -> Option<&net::ThisMachine> {
        self.this_machine.as_ref()
    }

    /// The URL at its end.
    pub fn endpoint(&self) -> &str {
        self.endpoint.as_str().trim_end_matches('/')
    }

    /// The proxy in force.
    pub fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// The hosts and ports whose addresses are asked for here: the proxy's, if there is one, and
    /// the endpoint's, unless the proxy asks for it.
    pub fn asked_for(&self) -> Vec<(&str, u16)> {
        let host = bare(self.endpoint.host_str().unwrap_or_default());
        let endpoint = (host, self.endpoint.port_or_known_default().unwrap_or(443));
        match &self.proxy {
            Proxy::Used { host, port, kind: ProxyKind::Socks { asks_here: true }, .. } => {
                vec![(host, *port), endpoint]
            }
            Proxy::Used { host, port, .. } => vec![(host, *port)],
            _ => vec![endpoint],
        }
    }

    /// Connects, lets the endpoint show its certificate, and asks for nothing more than a head.
    /// Takes 15 s at most.
    pub async fn handshake(&self) -> Tls {
        if self.endpoint.scheme() == "http" {
            return Tls::Unused;
        }
        let mut client = net::client_builder(CONNECT_TIMEOUT).timeout(ANSWER_TIMEOUT);
        if let Some(way) = self.this_machine.clone() {
            client = way.direct(client);
        }
        let client = match client.build() {
            Ok(client) => client,
            Err(error) => return Tls::Failed(TlsFailure::NoAuthorities, describe(error)),
        };
        match client.head(self.endpoint.clone()).send().await {
            Ok(_) => Tls::Trusted,
            Err(error) => match tls_failure(&error) {
                Some((failure, words)) => Tls::Failed(failure, words),
                // It broke only after the handshake, or never came to one.
                None if !error.is_connect() => Tls::Trusted,
                None => Tls::Unconnected,
            },
        }
    }
}

fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// What follows from the variables: name and value of the one for https, of the one for all, and
/// of the exceptions. Judged by what the client judges by, too.
fn proxy(
    endpoint: &Url,
    variables: [(&'static str, String); 2],
    (by, no): &(&'static str, String),
) -> Proxy {
    let Ok(target) = endpoint.as_str().parse::<Uri>() else { return Proxy::None };
    let chosen = |matcher: Builder| matcher.build().intercept(&target);
    for (variable, value) in &variables {
        let (variable, value) = (*variable, value.as_str());
        let Some(used) = chosen(Matcher::builder().https(value)) else { continue };
        let (Some(scheme), Some(host)) = (used.uri().scheme_str(), used.uri().host()) else {
            continue;
        };
        let Some(kind) = ProxyKind::of(scheme) else {
            return Proxy::Ignored { variable };
        };
        if chosen(Matcher::builder().https(value).no(no.as_str())).is_none() {
            return Proxy::Excepted { by, variable };
        }
        let named = used.uri().port_u16();
        // The client connects to 80 where a URL of SOCKS names no port.
        let port = named.unwrap_or(if scheme == "https" { 443 } else { 80 });
        return Proxy::Used {
            url: format!("{scheme}://{host}:{port}"),
            host: bare(host).to_owned(),
            port,
            has_port: named.is_some(),
            kind,
            has_password: used.basic_auth().is_some() || used.raw_auth().is_some(),
            variable,
        };
    }
    let said = variables.iter().find(|(_, value)| !value.is_empty());
    said.map_or(Proxy::None, |(variable, _)| Proxy::Ignored { variable })
}

/// The TLS failure among an error and its causes, and its words.
fn tls_failure(error: &(dyn Error + 'static)) -> Option<(TlsFailure, String)> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some((failure_of(tls), tls.to_string()));
    }
    // An I/O error does not count what it carries among its causes.
    let carried = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    match carried {
        Some(carried) => tls_failure(carried),
        None => error.source().and_then(tls_failure),
    }
}

fn failure_of(error: &rustls::Error) -> TlsFailure {
    let rustls::Error::InvalidCertificate(problem) = error else {
        return TlsFailure::Protocol;
    };
    match problem {
        Certificate::Expired
        | Certificate::ExpiredContext { .. }
        | Certificate::NotValidYet
        | Certificate::NotValidYetContext { .. } => TlsFailure::Time,
        Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
            TlsFailure::Name
        }
        _ => TlsFailure::UnknownAuthority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(https: &str, all: &str, no: &str) -> Proxy {
        let endpoint = Url::parse("https://vod.tencentcloudapi.com").unwrap();
        let variables = [("HTTPS_PROXY", https.to_owned()), ("all_proxy", all.to_owned())];
        proxy(&endpoint, variables, &("NO_PROXY", no.to_owned()))
    }

    #[test]
    fn the_proxy_is_the_one_that_the_variables_name() {
        let used = |url: &str, host: &str, port, has_password, variable| Proxy::Used {
            url: url.to_owned(),
            host: host.to_owned(),
            port,
            has_port: !matches!(port, 80 | 443),
            kind: ProxyKind::of(url.split(':').next().unwrap()).unwrap(),
            has_password,
            variable,
        };
        assert_eq!(chosen("", "", "*"), Proxy::None);
        let by_https = used("http://proxy:3128", "proxy", 3128, false, "HTTPS_PROXY");
        assert_eq!(chosen("proxy:3128", "http://other", ""), by_https);
        let by_all = used("https://[::1]:443", "::1", 443, true, "all_proxy");
        assert_eq!(chosen("", "https://user:hunter2@[::1]", "example.com"), by_all);
        let excepted = Proxy::Excepted { by: "NO_PROXY", variable: "HTTPS_PROXY" };
        assert_eq!(chosen("http://proxy", "", "tencentcloudapi.com"), excepted);
        let ignored = Proxy::Ignored { variable: "HTTPS_PROXY" };
        assert_eq!(chosen("ftp://proxy", "", ""), ignored);
        for scheme in ["socks4", "socks4a", "socks5", "socks5h"] {
            let url = format!("{scheme}://proxy:1080");
            let by_all = used(&url, "proxy", 1080, true, "all_proxy");
            assert_eq!(chosen("", &url.replace("//", "//user:hunter2@"), ""), by_all);
        }
        let without_port = used("socks5h://proxy:80", "proxy", 80, false, "HTTPS_PROXY");
        assert_eq!(chosen("socks5h://proxy", "", ""), without_port);
    }

    #[test]
    fn names_are_asked_for_where_they_are_needed() {
        let asked_for = |proxy| {
            let endpoint = Url::parse("https://vod.tencentcloudapi.com").unwrap();
            let route = NetworkRoute { endpoint, this_machine: None, proxy };
            route
                .asked_for()
                .iter()
                .map(|(host, port)| format!("{host}:{port}"))
                .collect::<Vec<_>>()
        };
        let (proxy, endpoint) = ("proxy:1080".to_owned(), "vod.tencentcloudapi.com:443".to_owned());
        assert_eq!(asked_for(chosen("socks5://proxy:1080", "", "")), [&*proxy, &*endpoint]);
        for url in ["socks5h://proxy:1080", "socks4a://proxy:1080", "proxy:1080"] {
            assert_eq!(asked_for(chosen(url, "", "")), [&*proxy]);
        }
        assert_eq!(asked_for(chosen("", "", "")), [&*endpoint]);
    }
}
