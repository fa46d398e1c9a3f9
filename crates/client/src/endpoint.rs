//! The server's address.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ureq::http::Uri;

use crate::Error;

/// What browsers take too, at most.
const BYTES_MAX: usize = 2_048;

/// Where the server is: an address by https, or by http on this machine itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    text: String,
    is_loopback: bool,
}

impl Endpoint {
    /// Whether no network lies between.
    pub(crate) const fn is_loopback(&self) -> bool {
        self.is_loopback
    }

    /// Whether it takes TLS, as any but this machine does.
    pub(crate) fn is_https(&self) -> bool {
        self.text.starts_with("https:")
    }

    /// The address of `path`, which begins with a slash.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.text)
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    /// Reads an address, into one spelling: two that are one server are equal.
    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        if text.len() > BYTES_MAX || text.contains(['?', '#', '\\']) {
            return Err(Error::Endpoint("it ends before a question or number sign, and is not that long"));
        }
        let uri: Uri = text.parse().map_err(|_| Error::Endpoint("it is none, such as https://sync.example.org"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(Error::Endpoint("it begins with https://"));
        };
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(Error::Endpoint("it names a host, and no user: the key is given apart"));
        }
        let host = authority.host().to_ascii_lowercase();
        let is_loopback = is_loopback(&host);
        let usual_port = match scheme {
            "https" => 443,
            // The key and the data would be readable to everybody on the way.
            "http" if !is_loopback => {
                return Err(Error::Endpoint("it begins with https://, unless it is this machine"));
            }
            "http" => 80,
            _ => return Err(Error::Endpoint("it begins with https://")),
        };
        let port = match authority.port_u16() {
            Some(port) if port != usual_port => format!(":{port}"),
            _ => String::new(),
        };
        let path = uri.path().trim_end_matches('/');
        Ok(Self { text: format!("{scheme}://{host}{port}{path}"), is_loopback })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_https_or_this_machine_and_spelt_one_way() {
        let check = |text: &str, expected: &str| assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), expected);
        check("https://sync.example.org", "https://sync.example.org");
        check(" HTTPS://Sync.Example.org:443/ ", "https://sync.example.org");
        check("https://example.org:8443/tombolo/", "https://example.org:8443/tombolo");
        check("http://localhost:8080", "http://localhost:8080");
        check("http://127.0.0.2", "http://127.0.0.2");
        check("http://[::1]:8080/", "http://[::1]:8080");
        for text in [
            "",
            "example.org",
            "http://example.org",
            "http://localhost.example.org",
            "http://127.0.0.1.example.org",
            "http://127.0.0.1@example.org",
            "https://user:word@example.org",
            "https://",
            "https://example.org?x=1",
            "https://example.org/#x",
            "http://0.0.0.0",
            "http://[::2]",
            "ftp://localhost",
            "https://exa mple.org",
            "/v1",
            &format!("https://example.org/{}", "x".repeat(BYTES_MAX)),
        ] {
            assert!(matches!(text.parse::<Endpoint>(), Err(Error::Endpoint(_))), "{text}");
        }
    }
}
