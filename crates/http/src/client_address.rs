//! Where a request comes from, and how: the peer, or what a trusted proxy says.

use std::net::IpAddr;

use axum::http::HeaderMap;

use crate::network::Network;

/// The client's address, in a request's extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

/// Stands in a request's extensions when the client speaks TLS, which a proxy ends: this server never does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OverTls;

/// Whether a trusted proxy says that its client came over TLS. Of several, the first is the one nearest to the client.
pub(crate) fn is_over_tls(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> bool {
    let peer = peer.to_canonical();
    let first = || headers.get("x-forwarded-proto")?.to_str().ok()?.split(',').next();
    trusted.iter().any(|network| network.contains(peer))
        && first().is_some_and(|scheme| scheme.trim().eq_ignore_ascii_case("https"))
}

/// The client's address: the peer's, or, while that is a trusted proxy, the right-most one that no trusted proxy wrote.
pub(crate) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer.to_canonical();
    if !is_trusted(client) {
        return client;
    }
    let values = headers.get_all("x-forwarded-for").into_iter();
    // Item by item: what a client put in front must not hide what a proxy wrote behind it.
    let forwarded: Vec<&[u8]> = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).collect();
    for item in forwarded.into_iter().rev() {
        // What does not read was not written by a proxy: whoever handed it over is the client.
        let Some(address) = std::str::from_utf8(item).ok().and_then(|text| parse(text.trim())) else { break };
        client = address;
        if !is_trusted(client) {
            break;
        }
    }
    client
}

/// An address, with or without a port.
fn parse(text: &str) -> Option<IpAddr> {
    let bare = text.parse::<IpAddr>().ok();
    bare.or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip()))
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn forwarded_addresses_count_only_from_trusted_proxies() {
        let trusted = [Network::parse("10.0.0.0/8").unwrap(), Network::parse("::1").unwrap()];
        let check = |peer: &str, forwarded: &[&str], expected: &str| {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                // A byte for each letter, so that a case can hold what is no UTF-8.
                let bytes: Vec<u8> = value.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
                headers.append("x-forwarded-for", HeaderValue::from_bytes(&bytes).unwrap());
            }
            let client = client_address(peer.parse().unwrap(), &headers, &trusted);
            assert_eq!(client, expected.parse::<IpAddr>().unwrap(), "{peer} {forwarded:?}");
        };
        check("203.0.113.9", &["198.51.100.1"], "203.0.113.9");
        check("10.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check("10.0.0.1", &["6.6.6.6, 198.51.100.1"], "198.51.100.1");
        check("10.0.0.1", &["6.6.6.6", "198.51.100.1, 10.0.0.2"], "198.51.100.1");
        check("::1", &["198.51.100.1:4711"], "198.51.100.1");
        check("::ffff:10.0.0.1", &["[2001:db8::1]:443"], "2001:db8::1");
        check("10.0.0.1", &["unknown"], "10.0.0.1");
        check("10.0.0.1", &["\u{ff}, 198.51.100.1"], "198.51.100.1");
        check("10.0.0.1", &["\u{c3}\u{a9}", "198.51.100.1, 10.0.0.2"], "198.51.100.1");
        check("10.0.0.1", &["198.51.100.1, \u{ff}, 10.0.0.2"], "10.0.0.2");
        check("10.0.0.1", &[], "10.0.0.1");
    }

    #[test]
    fn only_a_trusted_proxy_says_that_a_client_came_over_tls() {
        let trusted = [Network::parse("10.0.0.0/8").unwrap()];
        let check = |peer: &str, proto: Option<&str>, expected: bool| {
            let mut headers = HeaderMap::new();
            if let Some(proto) = proto {
                headers.insert("x-forwarded-proto", HeaderValue::from_str(proto).unwrap());
            }
            assert_eq!(is_over_tls(peer.parse().unwrap(), &headers, &trusted), expected, "{peer} {proto:?}");
        };
        check("10.0.0.1", Some("https"), true);
        check("::ffff:10.0.0.1", Some("HTTPS , http"), true);
        check("10.0.0.1", Some("http, https"), false);
        check("10.0.0.1", Some("http"), false);
        check("10.0.0.1", None, false);
        check("203.0.113.9", Some("https"), false);
    }
}
