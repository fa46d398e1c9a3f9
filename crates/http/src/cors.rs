//! Which pages of other origins may use the server from a browser.
//!
//! No cookie is used, so that such a page has nothing that its user did not give it. The list still decides where a
//! credential may be used: one that was given to the wrong page is of no use there. A request of a page that is not
//! listed is answered like any other, without the headers that would let the page read the answer: the browser sees to
//! the rest. That goes for preflights too, which come before each request that bears a credential.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::{App, protocols};

/// The most origins that are listed: each request that names its origin is compared with them in turn.
const ORIGINS_MAX: usize = 64;
/// A scheme, a name of 253 letters and a port.
const ORIGIN_BYTES_MAX: usize = 300;
/// What pages may do.
const METHODS: &str = "GET,HEAD,POST,PUT,PATCH,DELETE,OPTIONS";
/// What pages may send. A wildcard would not cover Authorization: it has to be named, and the others are with it.
const REQUEST_HEADERS: &str =
    "authorization,x-api-key,content-type,content-encoding,accept,if-none-match,last-event-id";
/// What pages may read, beside what they always may.
const RESPONSE_HEADERS: &str = "x-request-id,retry-after,etag,sync-cursor,allow,ratelimit-limit,ratelimit-remaining,ratelimit-reset,x-key-expires-at";
/// How long a browser may remember what a preflight said, in seconds: a day.
const PREFLIGHT_AGE_SECS: &str = "86400";

/// Which origins' pages may use the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CorsOrigins {
    /// None: the usual case, since few clients are web pages.
    #[default]
    None,
    /// Any.
    Any,
    /// Those that are listed, spelt as browsers spell them.
    List(Vec<String>),
}

/// A list that is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "origins are written as https://app.example.org, with a port where it is not the usual one, and without a path"
)]
pub struct CorsOriginsError;

impl CorsOrigins {
    /// The origins spelt `texts`: none, `*` for any, or a list of `scheme://host[:port]`.
    ///
    /// # Errors
    /// [`CorsOriginsError`] when one is no origin, when `*` stands beside others, and above 64 of them.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, CorsOriginsError> {
        let texts: Vec<&str> = texts.into_iter().collect();
        match texts.as_slice() {
            [] => Ok(Self::None),
            ["*"] => Ok(Self::Any),
            many if many.len() > ORIGINS_MAX => Err(CorsOriginsError),
            many => {
                many.iter().map(|text| origin(text).ok_or(CorsOriginsError)).collect::<Result<_, _>>().map(Self::List)
            }
        }
    }

    /// What a page of `origin` is told of who may read the answer.
    fn answer_to(&self, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
        match self {
            Self::None => None,
            Self::Any => Some(HeaderValue::from_static("*")),
            Self::List(origins) => origin.filter(|origin| origins.iter().any(|listed| listed == *origin)).cloned(),
        }
    }
}

/// The origin spelt `text`, as a browser spells it: in small letters, without the port that goes without saying.
fn origin(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let (scheme, rest) = text.split_once("://").filter(|_| text.len() <= ORIGIN_BYTES_MAX)?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    // What follows a colon that is not within the brackets of an IPv6 address.
    let (host, port) = match rest.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
        Some((host, port)) => (host, Some(port)),
        None => (rest, None),
    };
    let is_address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match is_address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)),
    };
    let port = port.map(|port| port.parse::<u16>().ok().filter(|number| *number > 0 && !port.starts_with(['0', '+'])));
    if !is_scheme || !is_host || port == Some(None) {
        return None;
    }
    let usual = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    let port = port.flatten().filter(|port| Some(*port) != usual).map(|port| format!(":{port}"));
    Some(format!("{scheme}://{host}{}", port.unwrap_or_default()))
}

/// Answers preflights, and says on every other answer which page may read it.
pub(crate) async fn cors(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let is_for_any = protocols::rooms::is_for_any_page(&app.options, request.uri().path());
    let origins = if is_for_any { &CorsOrigins::Any } else { &app.options.cors_origins };
    let readable_by = origins.answer_to(request.headers().get(header::ORIGIN));
    // Before anything else: a preflight bears no credential.
    let is_preflight = request.method() == Method::OPTIONS;
    let mut response = if is_preflight { ().into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    if matches!(origins, CorsOrigins::List(_)) {
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    let Some(readable_by) = readable_by else { return response };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, readable_by);
    if is_preflight {
        allow(headers, is_for_any);
    } else {
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(RESPONSE_HEADERS));
    }
    response
}

/// Says in the answer to a preflight what the page may do, or that it may do anything.
fn allow(headers: &mut HeaderMap, anything: bool) {
    let (methods, sent) = if anything { ("*", "*") } else { (METHODS, REQUEST_HEADERS) };
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(sent));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_AGE_SECS));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_a_host_and_perhaps_a_port() {
        let check = |text: &str, expected: Option<&str>| assert_eq!(origin(text).as_deref(), expected, "{text}");
        check("https://app.example.org", Some("https://app.example.org"));
        check("HTTPS://App.Example.org", Some("https://app.example.org"));
        check("http://localhost:8081", Some("http://localhost:8081"));
        check("https://app.example.org:443", Some("https://app.example.org"));
        check("http://app.example.org:80", Some("http://app.example.org"));
        check("http://app.example.org:443", Some("http://app.example.org:443"));
        check("http://[::1]", Some("http://[::1]"));
        check("http://[::1]:3000", Some("http://[::1]:3000"));
        check("capacitor://localhost", Some("capacitor://localhost"));
        for bad in [
            "",
            "*",
            "null",
            "app.example.org",
            "https://",
            "://app.example.org",
            "https://app.example.org/",
            "https://app.example.org/page",
            "https://app.example.org?x",
            "https://me@app.example.org",
            "https://*.example.org",
            "https://app.example.org:",
            "https://app.example.org:0",
            "https://app.example.org:+1",
            "https://app.example.org:65536",
            "https://[::1",
            "https://[x]",
            "https://bücher.example",
            "https://a b",
        ] {
            check(bad, None);
        }
        check(&format!("https://{}", "a".repeat(300)), None);
    }

    #[test]
    fn any_stands_alone_and_lists_are_bounded() {
        assert_eq!(CorsOrigins::parse([]), Ok(CorsOrigins::None));
        assert_eq!(CorsOrigins::parse(["*"]), Ok(CorsOrigins::Any));
        assert_eq!(CorsOrigins::parse(["http://a", "*"]), Err(CorsOriginsError));
        assert_eq!(CorsOrigins::parse(["http://a", "b"]), Err(CorsOriginsError));
        assert!(CorsOrigins::parse(vec!["http://a"; ORIGINS_MAX]).is_ok());
        assert_eq!(CorsOrigins::parse(vec!["http://a"; ORIGINS_MAX + 1]), Err(CorsOriginsError));
    }

    #[test]
    fn only_listed_pages_are_told_that_they_may_read() {
        let check = |origins: &[&str], origin: Option<&str>, expected: Option<&'static str>| {
            let origins = CorsOrigins::parse(origins.iter().copied()).unwrap();
            let origin = origin.map(|origin| HeaderValue::from_str(origin).unwrap());
            assert_eq!(origins.answer_to(origin.as_ref()), expected.map(HeaderValue::from_static), "{origin:?}");
        };
        check(&[], Some("https://a.example"), None);
        check(&["*"], Some("https://a.example"), Some("*"));
        check(&["*"], None, Some("*"));
        check(&["https://b.example", "https://a.example"], Some("https://a.example"), Some("https://a.example"));
        check(&["https://a.example"], Some("https://a.example:8443"), None);
        check(&["https://a.example"], Some("https://a.example.evil.example"), None);
        check(&["https://a.example"], Some("null"), None);
        check(&["https://a.example"], None, None);
    }
}
