//! Which addresses are public: the ones that may be asked for what a URL of an event names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A range of addresses that are not public, in words.
type Range = (IpAddr, u32, &'static str);

const fn v4(a: u8, b: u8, c: u8, bits: u32, what: &'static str) -> Range {
    (IpAddr::V4(Ipv4Addr::new(a, b, c, 0)), bits, what)
}

const fn v6(segments: [u16; 7], bits: u32, what: &'static str) -> Range {
    let [a, b, c, d, e, f, g] = segments;
    (IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, 0)), bits, what)
}

/// After the registries of special addresses. The first one that holds an address names it.
const NOT_PUBLIC: [Range; 33] = [
    v4(0, 0, 0, 8, "this network"),
    v4(10, 0, 0, 8, "private"),
    v4(100, 64, 0, 10, "shared by a provider's customers"),
    v4(127, 0, 0, 8, "loopback"),
    v4(169, 254, 0, 16, "link-local"),
    v4(172, 16, 0, 12, "private"),
    v4(192, 0, 0, 24, "reserved for protocols"),
    v4(192, 0, 2, 24, "for documentation"),
    v4(192, 88, 99, 24, "a relay to IPv6"),
    v4(192, 168, 0, 16, "private"),
    v4(198, 18, 0, 15, "for benchmarks"),
    v4(198, 51, 100, 24, "for documentation"),
    v4(203, 0, 113, 24, "for documentation"),
    v4(224, 0, 0, 4, "multicast"),
    v4(240, 0, 0, 4, "reserved"),
    (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 128, "unspecified"),
    (IpAddr::V6(Ipv6Addr::LOCALHOST), 128, "loopback"),
    v6([0, 0, 0, 0, 0, 0xffff, 0], 96, "an address of IPv4 in another form"),
    v6([0, 0, 0, 0, 0, 0, 0], 96, "an address of IPv4 in another form"),
    v6([0x64, 0xff9b, 0, 0, 0, 0, 0], 96, "translated to IPv4"),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0], 48, "translated to IPv4"),
    v6([0x100, 0, 0, 0, 0, 0, 0], 64, "discarded"),
    v6([0x2001, 0, 0, 0, 0, 0, 0], 23, "reserved for protocols"),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0], 32, "for documentation"),
    v6([0x2002, 0, 0, 0, 0, 0, 0], 16, "tunnelled to IPv4"),
    v6([0x3fff, 0, 0, 0, 0, 0, 0], 20, "for documentation"),
    v6([0xfc00, 0, 0, 0, 0, 0, 0], 7, "private"),
    v6([0xfe80, 0, 0, 0, 0, 0, 0], 10, "link-local"),
    v6([0xfec0, 0, 0, 0, 0, 0, 0], 10, "private"),
    v6([0xff00, 0, 0, 0, 0, 0, 0], 8, "multicast"),
    // All that is given out begins with 001.
    v6([0, 0, 0, 0, 0, 0, 0], 3, "reserved"),
    v6([0x4000, 0, 0, 0, 0, 0, 0], 2, "reserved"),
    v6([0x8000, 0, 0, 0, 0, 0, 0], 1, "reserved"),
];

/// What an address is that is not public, with the range that says so: `private, 10.0.0.0/8`.
/// `None` for a public one.
pub(super) fn not_public(address: IpAddr) -> Option<String> {
    let (first, bits, what) = NOT_PUBLIC.iter().find(|range| holds(range, address))?;
    Some(format!("{what}, {first}/{bits}"))
}

fn holds((first, bits, _): &Range, address: IpAddr) -> bool {
    match (first, address) {
        (IpAddr::V4(first), IpAddr::V4(address)) => {
            (first.to_bits() ^ address.to_bits()).leading_zeros() >= *bits
        }
        (IpAddr::V6(first), IpAddr::V6(address)) => {
            (first.to_bits() ^ address.to_bits()).leading_zeros() >= *bits
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(address: &str) -> String {
        not_public(address.parse().unwrap()).unwrap_or_default()
    }

    #[test]
    fn every_range_that_is_not_public_is_known_from_its_first_address_to_its_last() {
        for (first, last, range) in [
            ("0.0.0.0", "0.255.255.255", "0.0.0.0/8"),
            ("10.0.0.0", "10.255.255.255", "10.0.0.0/8"),
            ("100.64.0.0", "100.127.255.255", "100.64.0.0/10"),
            ("127.0.0.0", "127.255.255.255", "127.0.0.0/8"),
            ("169.254.0.0", "169.254.255.255", "169.254.0.0/16"),
            ("169.254.0.23", "169.254.169.254", "169.254.0.0/16"),
            ("172.16.0.0", "172.31.255.255", "172.16.0.0/12"),
            ("192.0.0.0", "192.0.0.255", "192.0.0.0/24"),
            ("192.0.2.0", "192.0.2.255", "192.0.2.0/24"),
            ("192.88.99.0", "192.88.99.255", "192.88.99.0/24"),
            ("192.168.0.0", "192.168.255.255", "192.168.0.0/16"),
            ("198.18.0.0", "198.19.255.255", "198.18.0.0/15"),
            ("198.51.100.0", "198.51.100.255", "198.51.100.0/24"),
            ("203.0.113.0", "203.0.113.255", "203.0.113.0/24"),
            ("224.0.0.0", "239.255.255.255", "224.0.0.0/4"),
            ("240.0.0.0", "255.255.255.255", "240.0.0.0/4"),
            ("::", "::", "::/128"),
            ("::1", "::1", "::1/128"),
            ("::2", "::ffff:ffff", "::/96"),
            ("::ffff:0.0.0.0", "::ffff:255.255.255.255", "::ffff:0.0.0.0/96"),
            ("::ffff:10.0.0.1", "::ffff:8.8.8.8", "::ffff:0.0.0.0/96"),
            ("64:ff9b::", "64:ff9b::ffff:ffff", "64:ff9b::/96"),
            ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "64:ff9b:1::/48"),
            ("100::", "100::ffff:ffff:ffff:ffff", "100::/64"),
            ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001::/23"),
            ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::/32"),
            ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2002::/16"),
            ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff::/20"),
            ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fc00::/7"),
            ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe80::/10"),
            ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fec0::/10"),
            ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ff00::/8"),
            ("::1:0:0:0", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/3"),
            ("4000::", "7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "4000::/2"),
            ("8000::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "8000::/1"),
        ] {
            for address in [first, last] {
                assert!(said(address).ends_with(range), "{address}: {:?}", said(address));
            }
        }
    }

    #[test]
    fn what_lies_right_beside_a_range_is_public() {
        for address in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2001:200::",
            "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:db9::",
            "2003::",
            "2402:4e00::1",
            "3ffe::",
            "3fff:1000::",
        ] {
            assert_eq!(said(address), "", "{address}");
        }
    }
}
