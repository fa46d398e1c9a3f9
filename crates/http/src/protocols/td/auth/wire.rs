//! What sign-ins say in JSON, in and out.

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde_json::{Value, json as value};
use tombolo_core::EmailAddress;
use tombolo_service::{GrantedKey, SecretHash};

use crate::protocols::td::error::TdError;
use crate::protocols::td::timestamp::seconds;
use crate::protocols::td::wire::{self, body_within, json};

/// A body or a form of a sign-in: an address and some codes take a few hundred bytes.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// A verifier by RFC 7636.
const VERIFIER_BYTES_MAX: usize = 128;

pub(super) async fn read_bytes(body: Body) -> Result<Vec<u8>, TdError> {
    body_within(body, BODY_BYTES_MAX, || format!("the request is larger than {} KiB", BODY_BYTES_MAX >> 10)).await
}

/// Reads the first JSON value of a body, an object.
pub(super) async fn read_json<T: DeserializeOwned>(body: Body) -> Result<T, TdError> {
    json(&read_bytes(body).await?)
}

pub(super) fn email(text: Option<&str>) -> Result<EmailAddress, TdError> {
    wire::email(text.unwrap_or_default())
}

/// A text that must be there.
pub(super) fn required<'a>(name: &str, text: Option<&'a str>) -> Result<&'a str, TdError> {
    text.filter(|text| !text.is_empty()).ok_or_else(|| TdError::bad_request(format!("{name} is required")))
}

/// The SHA-256 of a verifier, by the method that is the only one.
pub(super) fn challenge(text: Option<&str>, method: Option<&str>) -> Result<SecretHash, TdError> {
    let text = required("code_challenge", text)?;
    if method != Some("S256") {
        return Err(TdError::bad_request("code_challenge_method must be S256"));
    }
    let digest = BASE64_URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let message = "code_challenge must be the SHA-256 of the verifier in 43 characters of base64url";
    digest.map(SecretHash).ok_or_else(|| TdError::bad_request(message))
}

pub(super) fn verifier(text: Option<&str>) -> Result<&str, TdError> {
    let text = required("code_verifier", text)?;
    let message = format!("code_verifier is longer than {VERIFIER_BYTES_MAX} bytes");
    if text.len() > VERIFIER_BYTES_MAX { Err(TdError::bad_request(message)) } else { Ok(text) }
}

/// An answer that nobody on the way keeps.
pub(super) fn answer(value: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (headers, value.to_string()).into_response()
}

pub(super) fn pending() -> Response {
    answer(&value!({ "status": "pending" }))
}

/// The key, the only time that it is shown.
pub(super) fn complete(key: &GrantedKey) -> Response {
    answer(&value!({
        "status": "complete",
        "api_key": key.token.secret().reveal(),
        "user_id": key.user.public(),
        "email": key.email.as_str(),
        "expires_at": seconds(key.expires_at),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_challenge() {
        let check = |text: Option<&str>, method: Option<&str>, is_one: bool| {
            assert_eq!(challenge(text, method).is_ok(), is_one, "{text:?} {method:?}");
        };
        // The example of RFC 7636, appendix B.
        let good = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        check(Some(good), Some("S256"), true);
        check(Some(good), Some("plain"), false);
        check(Some(good), None, false);
        check(None, Some("S256"), false);
        check(Some(&good[..42]), Some("S256"), false);
        check(Some(&format!("{good}A")), Some("S256"), false);
        check(Some(&good.replace('-', "+")), Some("S256"), false);
        check(Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cN"), Some("S256"), false);
    }

    #[test]
    fn a_verifier_is_bounded() {
        assert!(verifier(Some(&"x".repeat(128))).is_ok());
        for text in [None, Some(""), Some(&*"x".repeat(129))] {
            assert!(verifier(text).is_err(), "{text:?}");
        }
    }
}
