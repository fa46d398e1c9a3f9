//! A fresh id for each request: 32 hexadecimal digits, in the reply's `X-Request-Id` and in the log. One that comes in
//! is not taken over: it would let a client write into the log.

use std::fmt::Write as _;

use axum::http::{HeaderName, HeaderValue};
use tombolo_core::Env;

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[derive(Clone, Debug)]
pub(crate) struct RequestId(String);

impl RequestId {
    pub(crate) fn fresh(env: &dyn Env) -> Self {
        let mut bytes = [0; 16];
        env.fill_random(&mut bytes);
        let mut text = String::with_capacity(32);
        for byte in bytes {
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}
