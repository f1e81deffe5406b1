//! HTTP clients, and what is this machine, by one rule for the whole program: plain http is trusted
//! with secrets only on the way there, and no proxy is told what is meant for it.
//!
//! To the second, a name belongs as well that the hosts file leads here. To the first it does not: a
//! name that is this machine's today may be another's when the file is changed.

mod retry_after;

use std::error::Error;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{ClientBuilder, redirect};

pub use retry_after::retry_after;

/// Returns a builder with TLS by ring, this program's name, no redirects (a signature or a token
/// must not follow one) and a limit on connecting.
pub fn client_builder(connect_timeout: Duration) -> ClientBuilder {
    // Fails only where a provider is installed already, which is as good.
    rustls::crypto::ring::default_provider().install_default().ok();
    ClientBuilder::new()
        .user_agent(concat!("sprited/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .connect_timeout(connect_timeout)
}

/// Words of an HTTP client's layers that say no more than that a request failed.
const LAYERS: [&str; 5] = [
    "error sending request",
    "client error (Connect)",
    "client error (SendRequest)",
    "tcp connect error",
    "error resolving DNS",
];

/// Returns `what` went wrong, followed on the same line by each cause of `error` that adds
/// something.
#[must_use]
pub fn with_causes(what: String, error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| Error::source(*cause));
    causes.map(ToString::to_string).fold(what, |text, cause| match text.as_str() {
        _ if text.contains(&cause) || LAYERS.contains(&cause.as_str()) => text,
        text if LAYERS.contains(&text) => cause,
        _ => format!("{text}: {cause}"),
    })
}

/// Whether an address can be reached from this machine alone: `127.0.0.0/8` and `::1`, also where
/// they are written as `::ffff:127.0.0.1`.
#[must_use]
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Whether what is sent to `host` stays on this machine: a loopback address, `0.0.0.0` or `::`,
/// which lead there, `localhost`, or a name that ends in `.localhost`. `host` is as a URL or a Host
/// header has it, without the port: an address of IPv6 may stand in brackets. `Url` has written
/// numbers of other forms, such as `127.1` and `0x7f000001`, as addresses.
#[must_use]
pub fn is_this_machine(host: &str) -> bool {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = host.parse::<IpAddr>() {
        return is_loopback(address) || address.to_canonical().is_unspecified();
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// The way to a host that is this machine, and through no proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThisMachine {
    /// Those of the hosts file; none for a name that is this machine whatever the file says.
    named: Vec<IpAddr>,
}

impl ThisMachine {
    /// The way to `host`, if that is this machine: by [`is_this_machine`], or since the hosts file
    /// has only loopback addresses for that name. No name server is asked. Blocks for reading that
    /// file.
    #[must_use]
    pub fn of(host: &str) -> Option<Self> {
        if is_this_machine(host) {
            return Some(Self { named: Vec::new() });
        }
        let hosts = fs::read(HOSTS).unwrap_or_default();
        let named = in_hosts(&String::from_utf8_lossy(&hosts), host);
        let is_here = !named.is_empty() && named.iter().all(|address| is_loopback(*address));
        is_here.then_some(Self { named })
    }

    /// The loopback addresses of `name`: those of the hosts file, else those that the system knows,
    /// else both. Has the port 0.
    pub async fn addresses(&self, name: &str) -> Vec<SocketAddr> {
        let mut here: Vec<SocketAddr> =
            self.named.iter().map(|address| (*address, 0).into()).collect();
        if here.is_empty() {
            let known = tokio::net::lookup_host((name, 0)).await;
            here = known.into_iter().flatten().filter(|at| is_loopback(at.ip())).collect();
        }
        if here.is_empty() {
            here.push((Ipv4Addr::LOCALHOST, 0).into());
            here.push((Ipv6Addr::LOCALHOST, 0).into());
        }
        here
    }

    /// Has a client reach this machine only: through no proxy, whatever the environment says, and
    /// by loopback addresses, whatever a name server says.
    pub fn direct(self, client: ClientBuilder) -> ClientBuilder {
        client.no_proxy().dns_resolver(Arc::new(self))
    }
}

impl Resolve for ThisMachine {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move {
            let addresses: Addrs = Box::new(this.addresses(name.as_str()).await.into_iter());
            Ok(addresses)
        })
    }
}

/// Where this machine's own names stand.
const HOSTS: &str = "/etc/hosts";

/// The addresses of a name in the text of a hosts file, each once.
fn in_hosts(hosts: &str, name: &str) -> Vec<IpAddr> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut found = Vec::new();
    for line in hosts.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(address) = words.next() else { continue };
        if !words.any(|word| word.eq_ignore_ascii_case(name)) {
            continue;
        }
        // That of a link has its interface behind it.
        let address = address.split('%').next().unwrap_or_default();
        // What cannot be read as an address leads elsewhere, for all that is known.
        let address = address.parse().unwrap_or(IpAddr::V4(Ipv4Addr::BROADCAST));
        if !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use reqwest::Url;

    use super::*;

    #[test]
    fn every_way_to_write_this_machine_is_known() {
        for host in [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "hook.localhost",
            "a.b.localhost.",
            "127.0.0.1",
            "127.1",
            "127.255.255.254",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "127.0.0.1.",
            "%31%32%37.0.0.1",
            "0.0.0.0",
            "0",
            "[::1]",
            "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::]",
        ] {
            let url = Url::parse(&format!("http://user@{host}:8080/path")).unwrap();
            assert!(is_this_machine(url.host_str().unwrap()), "{host}");
        }
        for host in [
            "example.com",
            "localhost.example.com",
            "notlocalhost",
            "localhost-",
            "127.0.0.1.example.com",
            "128.0.0.1",
            "169.254.0.23",
            "10.0.0.1",
            "[fe80::1]",
            "[::2]",
            "[::ffff:128.0.0.1]",
            "metadata.tencentyun.com",
        ] {
            let url = Url::parse(&format!("http://{host}/")).unwrap();
            assert!(!is_this_machine(url.host_str().unwrap()), "{host}");
        }
        assert!(is_this_machine("::1") && !is_this_machine("") && !is_this_machine("["));
    }

    #[test]
    fn causes_that_only_repeat_are_left_out() {
        let fmt = std::fmt::Error;
        let error = anyhow::Error::new(fmt).context("middle").context("top");
        let error: &(dyn Error + 'static) = error.as_ref();
        assert_eq!(with_causes("top".to_owned(), error), format!("top: middle: {fmt}"));
        assert_eq!(with_causes("in the middle".to_owned(), error), format!("in the middle: {fmt}"));
    }

    #[test]
    fn all_addresses_of_the_machine_are_none_that_only_it_reaches() {
        let is = |address: &str| is_loopback(address.parse().unwrap());
        assert!(is("127.0.0.1") && is("::1") && is("::ffff:127.0.0.1"));
        assert!(!is("0.0.0.0") && !is("::") && !is("::ffff:0.0.0.0") && !is("192.0.2.1"));
    }

    #[test]
    fn the_hosts_file_tells_by_all_its_lines_for_a_name() {
        let hosts = "# 10.0.0.9 vm\n127.0.0.1\tlocalhost localhost.localdomain\n\n127.0.1.1 VM.example vm # \
                     other\n::1 ip6-localhost ip6-loopback both\n10.0.0.1 both far\nnonsense odd\n\
                     127.0.0.1 odd twice\n127.0.0.1 twice\nfe80::1%lo0 link\n192.0.2.1\n";
        let is_here = |name: &str| {
            let found = in_hosts(hosts, name);
            !found.is_empty() && found.iter().all(|address| is_loopback(*address))
        };
        for name in
            ["vm", "VM", "vm.", "vm.example", "localhost.localdomain", "ip6-localhost", "twice"]
        {
            assert!(is_here(name), "{name}");
        }
        for name in
            ["both", "far", "other", "odd", "link", "vm.example.com", "m", "", "#", "127.0.1.1"]
        {
            assert!(!is_here(name), "{name}");
        }
        assert_eq!(in_hosts(hosts, "vm"), ["127.0.1.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(in_hosts(hosts, "twice").len(), 1);
    }

    /// Plain http, and who is answered, does not depend on that file.
    #[test]
    fn a_name_of_the_hosts_file_is_trusted_with_nothing_more() {
        assert!(!is_this_machine("ip6-localhost") && !is_this_machine("localhost.localdomain"));
        assert_eq!(ThisMachine::of("no-such-name.invalid"), None);
        assert_eq!(ThisMachine::of("192.0.2.1"), None);
    }

    #[tokio::test]
    async fn a_name_of_this_machine_has_loopback_addresses() {
        for name in ["localhost", "hook.localhost", "no-such-name.localhost"] {
            let found = ThisMachine::of(name).unwrap().addresses(name).await;
            assert!(!found.is_empty(), "{name}");
            assert!(found.iter().all(|address| is_loopback(address.ip())), "{name}: {found:?}");
        }
    }
}
