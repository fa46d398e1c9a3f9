//! Errors that this protocol's handlers did not make, in the shape that its clients read.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;

use super::error::RoomError;
use crate::shape::shaped;
use crate::{App, methods};

/// Brings an error of one of these routes into the shape of their own.
pub(crate) async fn in_own_shape(request: Request, next: Next) -> Response {
    shaped(next.run(request).await, "application/json", error)
}

/// `methods`, and for every other one the answer that only those of `allow` are taken.
pub(super) fn only(methods: MethodRouter<Arc<App>>, allow: &'static str) -> MethodRouter<Arc<App>> {
    methods::only(methods, allow, |allow| {
        RoomError::new(StatusCode::METHOD_NOT_ALLOWED, format!("This address takes {allow}, and no other method"))
    })
}

/// A path below a key that leads nowhere. Whether the key is one is not looked at.
pub(super) async fn unknown() -> Response {
    RoomError::new(StatusCode::NOT_FOUND, "There is nothing at this address").into_response()
}

fn error(status: StatusCode) -> Response {
    let message = match status {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            "The body's Content-Encoding is none that is read here: send it as gzip, or plain"
        }
        StatusCode::SERVICE_UNAVAILABLE => "The server did not get to it in time: try again in a moment",
        status if status.is_server_error() => "The server met a bug; its log says more under this request's id",
        _ => "This request cannot be read",
    };
    RoomError::new(status, message).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Problem;

    #[test]
    fn what_others_answer_is_brought_into_shape() {
        for status in [400, 415, 500, 503] {
            let status = StatusCode::from_u16(status).unwrap();
            let problem = Problem { status, code: "other", detail: "other", retry_after: Some(2) }.into_response();
            let response = shaped(problem, "application/json", error);
            assert_eq!((response.status(), &response.headers()["retry-after"]), (status, &"2".parse().unwrap()));
            assert_eq!(response.headers()["content-type"], "application/json");
        }
        let own = RoomError::bad_request("own").into_response();
        assert_eq!(shaped(own, "application/json", |_| unreachable!("it is in shape")).status().as_u16(), 400);
    }
}
