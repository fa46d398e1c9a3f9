//! The requests to the server, and what its answers mean.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tombolo_wellbeing::{SyncDownloadRequest, SyncDownloadResponse, SyncUploadRequest, SyncUploadResponse};
use ureq::http::{HeaderValue, Response, StatusCode, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use crate::endpoint::Endpoint;
use crate::key::ApiKey;
use crate::{Error, retry_after};

/// A page holds 8.5 MB of data at most, and what wraps each record is no more than that again.
const ANSWER_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// A problem is a few sentences.
const PROBLEM_BYTES_MAX: u64 = 64 * 1024;

/// Finding the host, and reaching it: whoever is not there within this time is not there.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Which of the two it is, a resolver does not say.
const UNKNOWN: &str = "its name is not known, or there is no network";

/// The server, as somebody with a key reaches it.
pub(crate) struct Transport {
    agent: Agent,
    endpoint: Endpoint,
    authorization: HeaderValue,
}

/// Why there is no answer to work with.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The cursor does not count there any more, and why.
    CursorReset(CursorReset),
    /// The account's data were erased since the cursor was given out.
    Erased,
    /// The device's id is another user's there.
    OthersDevice,
    /// The request is larger than the server, or something on the way, takes.
    TooLarge,
    /// The answer is larger than we take.
    AnswerTooLarge,
    /// Anything else.
    Error(Error),
}

/// Why a cursor does not count any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CursorReset {
    /// The server was set back to an older copy.
    Restored,
    /// It belongs to another account.
    OtherAccount,
    /// Any other reason.
    Other,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Transport {
    /// A way to `endpoint` with `key`. Nothing is sent yet. One request takes `timeout` at most, all in all.
    pub(crate) fn new(endpoint: Endpoint, key: &ApiKey, timeout: Duration) -> Result<Self, Error> {
        let mut authorization =
            HeaderValue::try_from(format!("Bearer {}", key.reveal())).map_err(|_| Error::KeyMalformed)?;
        authorization.set_sensitive(true);
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .https_only(endpoint.is_https())
            // Wherever one leads, the key and the data do not follow.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("tombolo-client/", env!("CARGO_PKG_VERSION")))
            .accept("application/json")
            .timeout_global(Some(timeout))
            .timeout_resolve(Some(CONNECT_MAX.min(timeout)))
            .timeout_connect(Some(CONNECT_MAX.min(timeout)));
        if endpoint.is_loopback() {
            // What is for this machine is not for a proxy either: without TLS, it could read all of it.
            config = config.proxy(None);
        }
        if endpoint.is_https() {
            config = config.tls_config(tls());
        }
        Ok(Self { agent: config.build().new_agent(), endpoint, authorization })
    }

    pub(crate) fn upload(&self, request: &SyncUploadRequest) -> Result<SyncUploadResponse, Failed> {
        self.post("/v1/sync/upload", request)
    }

    pub(crate) fn download(&self, request: &SyncDownloadRequest) -> Result<SyncDownloadResponse, Failed> {
        self.post("/v1/sync/download", request)
    }

    /// Erases everything that the server holds of the account.
    pub(crate) fn wipe(&self) -> Result<(), Failed> {
        let request = self.agent.delete(self.endpoint.at("/v1/sync/data"));
        let answer = request.header(header::AUTHORIZATION, &self.authorization).call().map_err(unreachable)?;
        if answer.status().is_success() { Ok(()) } else { Err(refusal(answer)) }
    }

    fn post<T: DeserializeOwned>(&self, path: &str, request: &impl Serialize) -> Result<T, Failed> {
        let body = serde_json::to_vec(request).map_err(|_| Error::BadAnswer("the request cannot be written"))?;
        let request = self.agent.post(self.endpoint.at(path));
        let request = request.header(header::AUTHORIZATION, &self.authorization);
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let answer = request.send(&body[..]).map_err(unreachable)?;
        if !answer.status().is_success() {
            return Err(refusal(answer));
        }
        if !has_type(&answer, "application/json") {
            return Err(Error::BadAnswer("it is no JSON: is there a sync server at this address?").into());
        }
        let bytes = read(answer, ANSWER_BYTES_MAX)?;
        serde_json::from_slice(&bytes).map_err(|_| Error::BadAnswer("it lacks what an answer holds").into())
    }
}

/// TLS by the certificates that the platform trusts, so that a self-hosted authority is trusted where the system does.
fn tls() -> TlsConfig {
    let roots = rustls_native_certs::load_native_certs().certs;
    let roots: Vec<_> = roots.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
    TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&roots))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build()
}

/// Reads a body whole, up to `bytes_max` once it is unpacked: a small one may unpack to gigabytes.
fn read(answer: Response<Body>, bytes_max: u64) -> Result<Vec<u8>, Failed> {
    let mut bytes = Vec::new();
    let reader = answer.into_body().into_reader();
    reader.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|error| unreachable(error.into()))?;
    if bytes.len() as u64 > bytes_max { Err(Failed::AnswerTooLarge) } else { Ok(bytes) }
}

fn has_type(answer: &Response<Body>, expected: &str) -> bool {
    let value = answer.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.and_then(|value| value.split(';').next()).is_some_and(|value| value.trim().eq_ignore_ascii_case(expected))
}

/// The part of a problem that a program reads.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    code: String,
    reason: String,
}

/// What an answer that is no success means. Only a problem of a server of ours says that data are gone, or a cursor:
/// a proxy on the way may answer any status.
fn refusal(answer: Response<Body>) -> Failed {
    let status = answer.status();
    let retry_after = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(retry_after::read);
    let problem = problem(answer);
    match (status, problem.code.as_str()) {
        (StatusCode::FORBIDDEN, "device_of_another_user") => Failed::OthersDevice,
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => Error::KeyRefused.into(),
        (StatusCode::CONFLICT, "cursor_reset") => Failed::CursorReset(match problem.reason.as_str() {
            "restored" => CursorReset::Restored,
            "other_account" => CursorReset::OtherAccount,
            _ => CursorReset::Other,
        }),
        (StatusCode::GONE, "erased") => Failed::Erased,
        (StatusCode::PAYLOAD_TOO_LARGE, _) => Failed::TooLarge,
        (StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS, _) => {
            Error::NotNow { status: status.as_u16(), retry_after }.into()
        }
        _ if status.is_server_error() => Error::NotNow { status: status.as_u16(), retry_after }.into(),
        _ if status.is_redirection() => Error::Redirected.into(),
        (_, code) => Error::Refused { status: status.as_u16(), code: plain(code) }.into(),
    }
}

fn problem(answer: Response<Body>) -> Problem {
    if !has_type(&answer, "application/problem+json") && !has_type(&answer, "application/json") {
        return Problem::default();
    }
    let bytes = read(answer, PROBLEM_BYTES_MAX).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// A code that may be shown: nothing that a stranger's server wrote into it.
fn plain(code: &str) -> Option<String> {
    let is_plain = code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    (is_plain && (1..=64).contains(&code.len())).then(|| code.to_owned())
}

/// What kept the request from the server, or the answer from us. An address stands in none of these words.
fn unreachable(error: ureq::Error) -> Failed {
    let error = match error {
        ureq::Error::Timeout(_) => Error::TimedOut,
        ureq::Error::HostNotFound => Error::Unreachable(UNKNOWN.to_owned()),
        ureq::Error::Tls(what) => Error::Unreachable(what.to_owned()),
        ureq::Error::Rustls(error) => Error::Unreachable(error.to_string()),
        ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) => Error::BadAnswer("it is no HTTP"),
        ureq::Error::Decompress(..) => Error::BadAnswer("it does not unpack"),
        ureq::Error::Io(error) => broken(error),
        ureq::Error::ConnectProxyFailed(_) | ureq::Error::InvalidProxyUrl => {
            Error::Unreachable("the proxy does not let through".to_owned())
        }
        _ => Error::Unreachable("the connection failed".to_owned()),
    };
    Failed::Error(error)
}

fn broken(error: io::Error) -> Error {
    // A reader of a body wraps what it has to say.
    match error.downcast::<ureq::Error>() {
        Ok(inner) => match unreachable(inner) {
            Failed::Error(error) => error,
            _ => Error::Unreachable("the connection failed".to_owned()),
        },
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Error::TimedOut,
        Err(error) if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
            Error::Unreachable(error.to_string())
        }
        // The system's resolver has no kind of its own, and no number; without either, the words are all there is.
        Err(error) if error.raw_os_error().is_none() && error.to_string().contains("lookup address") => {
            Error::Unreachable(UNKNOWN.to_owned())
        }
        Err(error) => Error::Unreachable(error.kind().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::ToSocketAddrs;

    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_name_that_is_not_known_is_said() {
        // No name, so that nobody on the network is asked.
        let error = ("no..name", 443).to_socket_addrs().unwrap_err();
        let Failed::Error(error) = unreachable(error.into()) else { panic!("it is an error") };
        let said = "the server cannot be reached: its name is not known, or there is no network";
        assert_eq!(error.to_string(), said);
    }
}
