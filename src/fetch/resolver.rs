//! Names that lead to public addresses only, and the ways on which that cannot be seen.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::addresses::not_public;
use super::hosts::{Hosts, bare_name};
use super::rule::{BrokenRule, Rule, shown};
use crate::net::{self, ThisMachine};

/// Asks for the addresses of names, and refuses those of which any address is not public: the
/// connection is made to what was looked at, however soon the name changes. Names of `hosts` are the
/// operator's and may lead anywhere.
#[derive(Clone)]
pub(super) struct PublicOnly {
    is_public_only: bool,
    /// Names of proxies: they are the operator's, and asked for here as well.
    proxies: Arc<[String]>,
}

impl PublicOnly {
    pub(super) fn new(hosts: &Hosts, proxies: &Proxies) -> Self {
        let is_public_only = hosts.are_public_only();
        Self { is_public_only, proxies: proxies.0.clone().into() }
    }
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let is_free = self.is_public_only
            && !self.proxies.iter().any(|proxy| proxy == bare_name(name.as_str()));
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if is_free {
                all_public(name.as_str(), &found)?;
            }
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

/// Refuses a name of which one address is not public: a client may take any of them.
fn all_public(name: &str, found: &[SocketAddr]) -> Result<(), BrokenRule> {
    let inner = |at: &SocketAddr| Some((at.ip(), not_public(at.ip())?));
    match found.iter().find_map(inner) {
        Some((address, what)) => {
            let why = format!("{} leads to {address}, which is not public ({what})", shown(name));
            Err(BrokenRule::new(Rule::Address, why))
        }
        None => Ok(()),
    }
}

/// The ways to the names of `hosts` that are this machine.
#[derive(Clone, Debug, Default)]
pub(super) struct HereOnly(HashMap<String, ThisMachine>);

impl HereOnly {
    /// Blocks for reading the hosts file.
    pub(super) fn of(hosts: &Hosts) -> Self {
        let way = |name: &str| Some((name.to_owned(), ThisMachine::of(name)?));
        Self(hosts.names().filter_map(way).collect())
    }

    /// Whether that host is this machine.
    pub(super) fn has(&self, host: &str) -> bool {
        net::is_this_machine(host) || self.0.contains_key(bare_name(host))
    }
}

impl Resolve for HereOnly {
    fn resolve(&self, name: Name) -> Resolving {
        // One that is not in the map is this machine by itself, for which no file is read.
        let way = self.0.get(bare_name(name.as_str())).cloned();
        Box::pin(async move {
            let way = way.or_else(|| ThisMachine::of(name.as_str()));
            let found = match way {
                Some(way) => way.addresses(name.as_str()).await,
                None => Vec::new(),
            };
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

/// The hosts of the proxies that the environment names.
#[derive(Debug)]
pub(super) struct Proxies(Vec<String>);

impl Proxies {
    /// Those of this process.
    pub(super) fn of_environment() -> Self {
        Self::new(&Matcher::from_env())
    }

    fn new(matcher: &Matcher) -> Self {
        let host = |url: &str| {
            let used = matcher.intercept(&url.parse().ok()?)?;
            Some(bare_name(used.uri().host()?).to_ascii_lowercase())
        };
        // A name that no list of exceptions has.
        let names = ["http://proxied.invalid/", "https://proxied.invalid/"];
        let mut names: Vec<String> = names.into_iter().filter_map(host).collect();
        names.dedup();
        Self(names)
    }

    /// Whether a proxy asks for names at all.
    pub(super) fn are_used(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether that host is one of them: what an event names must not lead there.
    pub(super) fn has(&self, host: &str) -> bool {
        self.0.iter().any(|name| name == bare_name(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_that_is_not_public_refuses_the_name() {
        let said = |found: &[&str]| {
            let found: Vec<SocketAddr> = found.iter().map(|at| at.parse().unwrap()).collect();
            all_public("cdn.example", &found).err().map(|broken| broken.to_string())
        };
        assert_eq!(said(&["8.8.8.8:0", "[2402:4e00::1]:0"]), None);
        assert_eq!(
            said(&["8.8.8.8:0", "10.0.0.5:0"]).as_deref(),
            Some(
                "refused by the rule address: cdn.example leads to 10.0.0.5, which is not public \
                 (private, 10.0.0.0/8)"
            )
        );
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_refused_unless_it_is_a_proxy() {
        let asked = async |proxy: &str| {
            let proxies = Proxies::new(&Matcher::builder().all(proxy).build());
            let resolver = PublicOnly::new(&Hosts::default(), &proxies);
            resolver.resolve("localhost".parse().unwrap()).await.map(drop)
        };
        let error = asked("").await.unwrap_err();
        assert!(error.downcast_ref::<BrokenRule>().is_some(), "{error}");
        asked("http://localhost:3128").await.unwrap();
        assert!(asked("http://proxy:3128").await.is_err());
    }

    #[test]
    fn it_is_known_when_a_proxy_asks_for_the_names() {
        let matcher = Matcher::builder().all("socks5h://me:hunter2@Proxy:1080").no("example.com");
        let proxies = Proxies::new(&matcher.build());
        assert!(proxies.are_used() && proxies.has("proxy.") && !proxies.has("example.org"));
        assert!(!format!("{proxies:?}").contains("hunter2"));
        assert!(!Proxies::new(&Matcher::builder().build()).are_used());
    }
}
