//! The way to the endpoint, looked at before anything is signed: the proxy in force, and whether
//! the certificate at its end is trusted. For `sprited check`.

use std::error::Error;
use std::io;
use std::time::Duration;

use hyper::Uri;
use hyper_util::client::proxy::matcher::{Builder, Matcher};
use reqwest::Url;
use rustls::CertificateError as Certificate;

use super::endpoint::Endpoint;
use super::http::{self, describe};
use super::{Settings, credentials};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// In the order in which they are asked: the first one that is set decides, were it empty.
const FOR_HTTPS: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
const FOR_ALL: [&str; 2] = ["ALL_PROXY", "all_proxy"];
const FOR_NONE: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The way that the requests of a client take.
#[derive(Debug)]
pub struct Way {
    endpoint: Url,
    proxy: Proxy,
}

/// What the environment says about a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// The endpoint is this machine: no proxy is told what is meant for it.
    Loopback,
    /// No variable names one.
    None,
    /// The variable `by` excepts the endpoint from the one that `variable` names.
    Excepted {
        /// What excepts it.
        by: &'static str,
        /// What names the proxy.
        variable: &'static str,
    },
    /// Nothing can be made of what `variable` says, and it has no effect.
    Ignored {
        /// What should name a proxy.
        variable: &'static str,
    },
    /// All requests go through this one.
    Used {
        /// Its URL, without user and password.
        url: String,
        /// The host in it.
        host: String,
        /// The port in it, or that of its scheme.
        port: u16,
        /// Whether it is told a user and password.
        has_password: bool,
        /// What names it.
        variable: &'static str,
    },
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
    Failed(TlsFault, String),
}

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFault {
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

impl Way {
    /// The way to the endpoint of these settings, by the environment of this process.
    ///
    /// # Errors
    /// When the endpoint has a fault, in words for the operator.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        Ok(Self::to(settings.endpoint()?))
    }

    /// The way to STS, where it hands out the credentials of these settings or, without any, those
    /// of a pod; `None` where it is not asked.
    #[must_use]
    pub fn to_sts(settings: Option<&credentials::Settings>) -> Option<Self> {
        credentials::sts_endpoint(settings).map(Self::to)
    }

    fn to(Endpoint { url: endpoint, .. }: Endpoint) -> Self {
        let first = |names: [&'static str; 2]| {
            let set = names.into_iter().find_map(|name| Some((name, std::env::var(name).ok()?)));
            set.unwrap_or((names[0], String::new()))
        };
        // Where this is set, it is a web server's request that speaks, and no proxy is used.
        let is_cgi = std::env::var_os("REQUEST_METHOD").is_some();
        let proxy = match endpoint.scheme() {
            "http" => Proxy::Loopback,
            _ if is_cgi => Proxy::None,
            _ => proxy(&endpoint, [first(FOR_HTTPS), first(FOR_ALL)], &first(FOR_NONE)),
        };
        Self { endpoint, proxy }
    }

    /// The URL at its end.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        self.endpoint.as_str().trim_end_matches('/')
    }

    /// The proxy in force.
    #[must_use]
    pub fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// The host and port that are connected to: the proxy's, if there is one.
    #[must_use]
    pub fn first_hop(&self) -> (&str, u16) {
        match &self.proxy {
            Proxy::Used { host, port, .. } => (host, *port),
            _ => {
                let host = self.endpoint.host_str().unwrap_or_default();
                (bare(host), self.endpoint.port_or_known_default().unwrap_or(443))
            }
        }
    }

    /// Connects, lets the endpoint show its certificate, and asks for nothing more than a head.
    /// Takes 15 s at most.
    pub async fn handshake(&self) -> Tls {
        if self.endpoint.scheme() == "http" {
            return Tls::Unused;
        }
        let client = match http::builder(CONNECT_TIMEOUT).timeout(ANSWER_TIMEOUT).build() {
            Ok(client) => client,
            Err(error) => return Tls::Failed(TlsFault::NoAuthorities, describe(error)),
        };
        match client.head(self.endpoint.clone()).send().await {
            Ok(_) => Tls::Trusted,
            Err(error) => match fault(&error) {
                Some((fault, words)) => Tls::Failed(fault, words),
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
        if !matches!(scheme, "http" | "https") {
            return Proxy::Ignored { variable };
        }
        if chosen(Matcher::builder().https(value).no(no.as_str())).is_none() {
            return Proxy::Excepted { by, variable };
        }
        let port = used.uri().port_u16();
        return Proxy::Used {
            url: used.uri().to_string().trim_end_matches('/').to_owned(),
            host: bare(host).to_owned(),
            port: port.unwrap_or(if scheme == "http" { 80 } else { 443 }),
            has_password: used.basic_auth().is_some(),
            variable,
        };
    }
    let said = variables.iter().find(|(_, value)| !value.is_empty());
    said.map_or(Proxy::None, |(variable, _)| Proxy::Ignored { variable })
}

/// What TLS says among an error and its causes, and its words.
fn fault(error: &(dyn Error + 'static)) -> Option<(TlsFault, String)> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some((kind(tls), tls.to_string()));
    }
    // An I/O error does not count what it carries among its causes.
    let carried = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    match carried {
        Some(carried) => fault(carried),
        None => error.source().and_then(fault),
    }
}

fn kind(error: &rustls::Error) -> TlsFault {
    let rustls::Error::InvalidCertificate(problem) = error else {
        return TlsFault::Protocol;
    };
    match problem {
        Certificate::Expired
        | Certificate::ExpiredContext { .. }
        | Certificate::NotValidYet
        | Certificate::NotValidYetContext { .. } => TlsFault::Time,
        Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => TlsFault::Name,
        _ => TlsFault::UnknownAuthority,
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
            has_password,
            variable,
        };
        assert_eq!(chosen("", "", "*"), Proxy::None);
        let by_https = used("http://proxy:3128", "proxy", 3128, false, "HTTPS_PROXY");
        assert_eq!(chosen("proxy:3128", "http://other", ""), by_https);
        let by_all = used("https://[::1]", "::1", 443, true, "all_proxy");
        assert_eq!(chosen("", "https://user:hunter2@[::1]", "example.com"), by_all);
        let excepted = Proxy::Excepted { by: "NO_PROXY", variable: "HTTPS_PROXY" };
        assert_eq!(chosen("http://proxy", "", "tencentcloudapi.com"), excepted);
        let ignored = Proxy::Ignored { variable: "HTTPS_PROXY" };
        assert_eq!(chosen("ftp://proxy", "", ""), ignored);
        assert_eq!(chosen("socks5://proxy", "", ""), ignored);
    }
}
