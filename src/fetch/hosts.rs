//! The hosts that files may come from, and at which ports.
//!
//! Pure: what a name leads to is the resolver's affair.

use std::borrow::Cow;
use std::net::IpAddr;

use reqwest::Url;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use super::addresses::not_public;
use super::rule::{BrokenRule, Rule, shown};
use crate::net;

/// The ports that are asked where `hosts` names no other one.
const PORTS: [u16; 2] = [80, 443];

/// Names that lead into a network rather than out of it, whatever a resolver says: a proxy may be
/// the one that asks.
const INNER_ZONES: [&str; 6] =
    ["local", "internal", "localdomain", "home.arpa", "intranet", "tencentyun.com"];

/// An entry of `hosts`: `media.example.com`, `*.example.com`, `10.0.0.8`, `[fd00::8]`, each with a
/// port or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern {
    /// As `Url` writes a host, without a dot at its end.
    host: String,
    /// Whether the names below `host` are meant, and not `host` itself.
    is_below: bool,
    /// Without one it is one of [`PORTS`].
    port: Option<u16>,
}

impl HostPattern {
    /// Reads an entry of `hosts`.
    ///
    /// # Errors
    /// What was expected in its place.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |problem: &str| Err(format!("{text:?} {problem}"));
        if text.contains("://") || text.contains(['/', '?', '#', '@', '\\']) {
            return wrong(
                "is more than a host; expected a name or an address, with a port or without",
            );
        }
        let (is_below, rest) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if rest.contains('*') {
            return wrong(
                "has a * elsewhere than before the first dot; expected such as *.example.com",
            );
        }
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => match port.parse() {
                Ok(port) if port > 0 => (host, Some(port)),
                _ => return wrong("has no port from 1 to 65535 after its colon"),
            },
            _ => (rest, None),
        };
        let is_split = host.contains(char::is_whitespace);
        let is_bare_ipv6 = host.contains(':') && !host.starts_with('[');
        let url = Url::parse(&format!("http://{host}/")).ok();
        let read = url.as_ref().and_then(Url::host_str).map(bare_name);
        let Some(read) = read.filter(|read| !read.is_empty() && !is_split && !is_bare_ipv6) else {
            return wrong("is no name of a host, nor an address (one of IPv6 stands in brackets)");
        };
        if is_below && literal(read).is_some() {
            return wrong("has a * before an address");
        }
        Ok(Self { host: read.to_owned(), is_below, port })
    }

    fn has_host(&self, host: &str) -> bool {
        if !self.is_below {
            return host == self.host;
        }
        let label = host.strip_suffix(&self.host).and_then(|before| before.strip_suffix('.'));
        label.is_some_and(|label| !label.is_empty())
    }

    fn has_port(&self, port: u16) -> bool {
        self.port.map_or(PORTS.contains(&port), |named| named == port)
    }
}

impl<'de> Deserialize<'de> for HostPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

impl JsonSchema for HostPattern {
    fn schema_name() -> Cow<'static, str> {
        "HostPattern".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^(\*\.)?([^*:/?#@\\\s]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$",
            "examples": ["*.vod2.myqcloud.com", "media.internal:8080"],
        })
    }
}

/// Where files may come from.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts(Option<Vec<HostPattern>>);

impl Hosts {
    /// Those of the list, private ones too; without one all that are public.
    pub(super) fn new(listed: Option<Vec<HostPattern>>) -> Self {
        Self(listed)
    }

    /// Whether the address of a name has to be public: not where the names are the operator's.
    pub(super) fn are_public_only(&self) -> bool {
        self.0.is_none()
    }

    /// The hosts that are listed by their whole name.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let listed = self.0.iter().flatten().filter(|pattern| !pattern.is_below);
        listed.map(|pattern| pattern.host.as_str())
    }

    /// Whether a file may be fetched from there, for all that the URL alone tells.
    pub(super) fn allow(&self, url: &Url) -> Result<(), BrokenRule> {
        let refused = |rule, why: String| Err(BrokenRule::new(rule, why));
        if !matches!(url.scheme(), "http" | "https") {
            return refused(
                Rule::Url,
                format!("{} is neither http nor https", shown(url.scheme())),
            );
        }
        let host = url.host_str().map(bare_name).unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        if !url.username().is_empty() || url.password().is_some() {
            let why = format!("the URL at {} has a user or a password in it", shown(host));
            return refused(Rule::User, why);
        }
        match &self.0 {
            Some(listed) => {
                let mut named = listed.iter().filter(|pattern| pattern.has_host(host)).peekable();
                if named.peek().is_none() {
                    return refused(Rule::Hosts, format!("{} is not in hosts", shown(host)));
                }
                if !named.any(|pattern| pattern.has_port(port)) {
                    let why = format!("hosts does not have {} with the port {port}", shown(host));
                    return refused(Rule::Port, why);
                }
                Ok(())
            }
            None if !PORTS.contains(&port) => {
                let why = format!(
                    "the port {port} of {} is neither 80 nor 443, nor in hosts",
                    shown(host)
                );
                refused(Rule::Port, why)
            }
            None => match inner(host) {
                Some(what) => {
                    let why = format!("{} is not public ({what})", shown(host));
                    refused(Rule::Address, why)
                }
                None => Ok(()),
            },
        }
    }
}

/// Why a host is not a public one, for all that it says itself.
fn inner(host: &str) -> Option<String> {
    if let Some(address) = literal(host) {
        return not_public(address);
    }
    if net::is_this_machine(host) {
        return Some("this machine".to_owned());
    }
    let is_in = |zone: &str| host.strip_suffix(zone).is_some_and(|before| before.ends_with('.'));
    if !host.contains('.') || INNER_ZONES.into_iter().any(is_in) {
        return Some("a name of an inner network".to_owned());
    }
    None
}

/// The host without the dot that may stand at its end.
pub(super) fn bare_name(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

fn literal(host: &str) -> Option<IpAddr> {
    let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    inside.unwrap_or(host).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(hosts: &Hosts, url: &str) -> Option<&'static str> {
        let url = Url::parse(url).unwrap();
        hosts.allow(&url).err().map(|broken| broken.rule.name())
    }

    fn listed(entries: &[&str]) -> Hosts {
        Hosts::new(Some(entries.iter().map(|entry| HostPattern::parse(entry).unwrap()).collect()))
    }

    #[test]
    fn without_a_list_all_that_is_public_is_allowed() {
        let hosts = Hosts::default();
        for url in [
            "http://1500000000.vod2.myqcloud.com/a/b.vtt",
            "https://media.example.com/a",
            "http://media.example.com:443/a",
            "https://media.example.com:80/a",
            "https://media.example.com./a",
            "http://8.8.8.8/a",
            "http://[2402:4e00::1]/a",
        ] {
            assert_eq!(rule(&hosts, url), None, "{url}");
        }
        for (url, by) in [
            ("ftp://example.com/a", "url"),
            ("file:///etc/passwd", "url"),
            ("javascript:0", "url"),
            ("data:image/png;base64,AAAA", "url"),
            ("http://user@example.com/a", "user"),
            ("http://:password@example.com/a", "user"),
            ("http://example.com:22/x.jpg", "port"),
            ("http://example.com:8080/x.jpg", "port"),
            ("http://169.254.0.23/x.jpg", "address"),
            ("http://127.1/x", "address"),
            ("http://0x7f000001/x", "address"),
            ("http://0177.0.0.1/x", "address"),
            ("http://2130706433/x", "address"),
            ("http://127.0.0.1./x", "address"),
            ("http://0/x", "address"),
            ("http://[::ffff:10.0.0.1]/x", "address"),
            ("http://[::1]/x", "address"),
            ("http://[::]/x", "address"),
            ("http://[64:ff9b::a00:1]/x", "address"),
            ("http://[2002:a00:1::]/x", "address"),
            ("http://１２７.０.０.１/x", "address"),
            ("http://localhost/x", "address"),
            ("http://LOCALHOST./x", "address"),
            ("http://a.localhost/x", "address"),
            ("http://intranet/x", "address"),
            ("http://printer.local/x", "address"),
            ("http://metadata.google.internal/x", "address"),
            ("http://metadata.tencentyun.com./latest", "address"),
        ] {
            assert_eq!(rule(&hosts, url), Some(by), "{url}");
        }
    }

    #[test]
    fn a_list_is_the_whole_of_what_is_allowed() {
        let hosts = listed(&[
            "*.vod2.myqcloud.com",
            "Media.Internal:8080",
            "media.internal:8443",
            "10.0.0.8",
            "[fd00::8]:81",
            "localhost:9000",
            "bücher.example.",
            "0x7f.1:82",
        ]);
        for url in [
            "http://1500000000.vod2.myqcloud.com/a",
            "https://a.b.VOD2.myqcloud.com./a",
            "http://media.internal:8080/a",
            "https://media.internal:8443/a",
            "http://10.0.0.8/a",
            "https://10.0.0.8/a",
            "http://[fd00::8]:81/a",
            "http://localhost:9000/a",
            "http://bücher.example/a",
            "http://127.1:82/a",
        ] {
            assert_eq!(rule(&hosts, url), None, "{url}");
        }
        for (url, by) in [
            ("http://vod2.myqcloud.com/a", "hosts"),
            ("http://evilvod2.myqcloud.com/a", "hosts"),
            ("http://.vod2.myqcloud.com/a", "hosts"),
            ("http://a.vod2.myqcloud.com.evil.example/a", "hosts"),
            ("http://example.com/a", "hosts"),
            ("http://10.0.0.9/a", "hosts"),
            ("http://a.media.internal:8080/a", "hosts"),
            ("http://a.vod2.myqcloud.com:8080/a", "port"),
            ("http://media.internal/a", "port"),
            ("http://10.0.0.8:8080/a", "port"),
            ("http://[fd00::8]/a", "port"),
            ("http://me@10.0.0.8/a", "user"),
            ("ftp://10.0.0.8/a", "url"),
        ] {
            assert_eq!(rule(&hosts, url), Some(by), "{url}");
        }
    }

    #[test]
    fn an_entry_that_is_no_host_is_told() {
        for (entry, says) in [
            ("https://media.example.com", "is more than a host"),
            ("media.example.com/", "is more than a host"),
            ("me@media.example.com", "is more than a host"),
            ("*", "has a * elsewhere"),
            ("*:80", "has a * elsewhere"),
            ("a.*.com", "has a * elsewhere"),
            ("*.*.com", "has a * elsewhere"),
            ("*.10.0.0.1", "has a * before an address"),
            ("media.example.com:", "has no port"),
            ("media.example.com:0", "has no port"),
            ("media.example.com:65536", "has no port"),
            ("media.example.com:http", "has no port"),
            ("fd00::8", "is no name of a host"),
            ("", "is no name of a host"),
            ("*.", "is no name of a host"),
            (".", "is no name of a host"),
            (":80", "is no name of a host"),
            ("a b", "is no name of a host"),
            ("10.0.0.0.0", "is no name of a host"),
        ] {
            let error = HostPattern::parse(entry).unwrap_err();
            assert!(error.contains(says), "{entry:?}: {error}");
        }
    }
}
