//! Addresses of pages (P3.19, P3.32, H-79): what may be pushed to a customer at all, and what a list of domains covers.

use super::value::{ToolValue, Word};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The host of a page that anybody may be sent to: `http` or `https`, without a name and password in it, on no private
/// network. Otherwise what is wrong.
pub fn public_host(url: &str) -> Result<&str, &'static str> {
    const WANTED: &str = "an address that begins with https:// or http://, without a password";
    if url.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
        return Err(WANTED);
    }
    let rest = ["https://", "http://"].iter().find_map(|scheme| {
        let head = url.get(..scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then(|| &url[scheme.len()..])
    });
    let authority = rest.ok_or(WANTED)?.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host_of(authority).ok_or(WANTED)?;
    if host.is_empty() || authority.contains(['@', '%']) {
        return Err(WANTED);
    }
    // Browsers read `１２７。0.0.1` as `127.0.0.1`: a name in another alphabet is written in its ASCII form.
    if !host.is_ascii() {
        return Err("an address whose host is in ASCII, as `xn--mnchen-3ya.example`");
    }
    if is_private(host) { Err("an address that everybody can reach, not one of a private network") } else { Ok(host) }
}

/// P3.32: an empty list is all domains. By `contains` the address need only have the entry in it somewhere.
pub fn allows(domains: &ToolValue, by: Option<Word>, url: &str, host: &str) -> bool {
    let ToolValue::List(entries) = domains else { return true };
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    entries.is_empty()
        || entries.iter().map(|entry| entry.to_ascii_lowercase()).any(|entry| match by {
            Some(Word::Contains) => url.to_ascii_lowercase().contains(&entry),
            _ => host.strip_suffix(entry.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
        })
}

/// Without its port; an IPv6 address without its brackets.
fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    (port.is_empty() || (port.starts_with(':') && digits.bytes().all(|byte| byte.is_ascii_digit()))).then_some(host)
}

fn is_private(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    if name == "localhost" || name.ends_with(".localhost") || name.ends_with(".local") {
        return true;
    }
    match name.parse() {
        Ok(IpAddr::V4(address)) => is_private_v4(address),
        Ok(IpAddr::V6(address)) => is_private_v6(address),
        // What ends in a number is read as an IPv4 address by browsers: `2130706433`, `0x7f.1`, `127.1`.
        Err(_) => {
            let last = name.rsplit('.').next().unwrap_or_default();
            let hexadecimal = last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|c| c.is_ascii_hexdigit()));
            hexadecimal || last.bytes().all(|byte| byte.is_ascii_digit())
        }
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_unspecified()
        || address.is_broadcast()
        || address.is_multicast()
        || first == 0
        // Shared by carriers (RFC 6598).
        || (first == 100 && (64..128).contains(&second))
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let first = address.segments()[0];
    let embedded = match address.segments() {
        // Mapped, compatible, translated (RFC 6052) and tunnelled (RFC 3056) addresses have one of IPv4 in them.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            is_private_v4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
        }
        _ => false,
    };
    address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || first & 0xfe00 == 0xfc00
        || first & 0xffc0 == 0xfe80
        || first & 0xffc0 == 0xfec0
        || embedded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h_79_only_pages_of_the_web_are_pushed() {
        for (url, host) in [
            ("https://help.example.com/a?b=c", "help.example.com"),
            ("HTTP://help.example.com:8080", "help.example.com"),
            ("https://xn--mnchen-3ya.example/é", "xn--mnchen-3ya.example"),
            ("https://93.184.216.34/", "93.184.216.34"),
            ("https://[2606:2800:220:1::1]:443/x", "2606:2800:220:1::1"),
        ] {
            assert_eq!(public_host(url), Ok(host), "{url}");
        }
        for url in [
            "javascript:alert(1)",
            "file:///etc/passwd",
            "data:text/html,x",
            "\\\\host\\share",
            "https://user:secret@host/",
            "https://",
            "https:// host/",
            "https://host\\@evil/",
            " https://host/",
            "https://example.com:8a/",
            "https://%6c%6f%63alhost/",
            "https://[::1",
            "http://\u{ff11}\u{ff12}\u{ff17}.0.0.1/",
            "http://127\u{3002}0.0.1/",
            "http://loc\u{ad}alhost/",
            "é",
        ] {
            assert!(public_host(url).is_err(), "{url}");
        }
    }

    #[test]
    fn h_79_no_page_of_a_private_network_is_pushed() {
        for host in [
            "localhost",
            "a.localhost",
            "LOCALHOST.",
            "printer.local",
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "2130706433",
            "0x7f000001",
            "127.1",
            "0177.0.0.01",
            "[::1]",
            "[::]",
            "[fe80::1]",
            "[fd00::1]",
            "[fec0::1]",
            "[::ffff:10.0.0.1]",
            "[::10.0.0.1]",
            "[64:ff9b::10.0.0.1]",
            "[2002:7f00:1::1]",
        ] {
            assert!(public_host(&format!("http://{host}/")).is_err(), "{host}");
        }
    }

    #[test]
    fn p3_32_a_domain_covers_itself_and_what_is_below_it() {
        let listed = ToolValue::List(["test.com".to_owned()].into());
        let suffix = |url: &str| allows(&listed, Some(Word::Suffix), url, public_host(url).unwrap());
        assert!(suffix("https://test.com/") && suffix("https://WWW.Test.com/x"));
        assert!(!suffix("https://test.com.evil.org/") && !suffix("https://nottest.com/"));
        assert!(!suffix("https://evil.org/?test.com"));
        let contains = |url: &str| allows(&listed, Some(Word::Contains), url, public_host(url).unwrap());
        assert!(contains("https://test.com.evil.org/"), "as the seed has it");
        let all = ToolValue::List([].into());
        assert!(allows(&all, None, "https://any.org/", "any.org"), "an empty list is all");
    }
}
