//! Errors that td's handlers did not make, in the shape that its clients read: JSON on its routes, a page on its pages.
//!
//! Not only what is around all routes answers by itself: so does the gate, which the pages share with the routes, and it
//! answers in JSON.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;

use super::auth::error_page;
use super::error::TdError;
use crate::{App, methods, shape};

/// Brings an error of a route or a page of td into the shape of td's own.
pub(crate) async fn in_own_shape(request: Request, next: Next) -> Response {
    let is_page = request.extensions().get::<MatchedPath>().is_some_and(|path| path.as_str().starts_with("/auth/"));
    shaped(next.run(request).await, is_page)
}

fn shaped(response: Response, is_page: bool) -> Response {
    let media_type = if is_page { "text/html" } else { "application/json" };
    let own = |status| if is_page { error_page(status) } else { error(status).into_response() };
    shape::shaped(response, media_type, own)
}

/// `methods`, and for every other one the answer that only those of `allow` are taken.
pub(super) fn only(methods: MethodRouter<Arc<App>>, allow: &'static str) -> MethodRouter<Arc<App>> {
    methods::only(methods, allow, |allow| {
        let message = format!("this path takes {allow}, and no other method");
        TdError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    })
}

fn error(status: StatusCode) -> TdError {
    let (code, message) = match status {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            ("unsupported_encoding", "the body's Content-Encoding is none that is read here: send it as gzip, or plain")
        }
        StatusCode::SERVICE_UNAVAILABLE => ("timeout", "the server did not get to it in time: try again in a moment"),
        status if status.is_server_error() => {
            ("internal_error", "the server met a bug; its log says more under this request's id")
        }
        _ => ("bad_request", "this request cannot be read"),
    };
    TdError::new(status, code, message)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::problem::Problem;

    fn text(response: Response) -> String {
        let mut reading = Box::pin(response.into_body().collect());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let std::task::Poll::Ready(read) = reading.as_mut().poll(&mut context) else { panic!("it is all there") };
        String::from_utf8(read.unwrap().to_bytes().to_vec()).unwrap()
    }

    fn problem(status: StatusCode) -> Response {
        Problem { status, code: "other", detail: "other", retry_after: Some(2) }.into_response()
    }

    #[test]
    fn what_others_answer_is_brought_into_both_shapes() {
        let check = |status: u16, code: &str| {
            let response = shaped(problem(StatusCode::from_u16(status).unwrap()), false);
            assert_eq!(
                (response.status().as_u16(), &response.headers()["retry-after"]),
                (status, &"2".parse().unwrap())
            );
            assert_eq!(response.headers()["content-type"], "application/json");
            let answer: serde_json::Value = serde_json::from_str(&text(response)).unwrap();
            assert_eq!((&answer["code"], &answer["error"]["code"]), (&code.into(), &code.into()));
            assert_eq!(answer["message"], answer["error"]["message"]);
        };
        check(415, "unsupported_encoding");
        check(500, "internal_error");
        check(503, "timeout");
        check(400, "bad_request");
    }

    #[test]
    fn a_page_answers_errors_as_a_page() {
        for status in [415, 429, 500, 503] {
            let response = shaped(problem(StatusCode::from_u16(status).unwrap()), true);
            assert_eq!(
                (response.status().as_u16(), &response.headers()["retry-after"]),
                (status, &"2".parse().unwrap())
            );
            assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
            assert!(text(response).contains("role=\"alert\""), "{status}");
        }
        let response = shaped(TdError::too_many("", std::time::Duration::from_secs(9)).into_response(), true);
        assert_eq!(response.headers()["retry-after"], "9");
        assert!(text(response).contains("Wait a minute"));
    }

    #[test]
    fn what_is_in_shape_stays_as_it_is() {
        let own = shaped(TdError::not_found("there is no such thing").into_response(), false);
        assert!(text(own).contains("there is no such thing"));
        let good = shaped((StatusCode::OK, "fine").into_response(), false);
        assert_eq!(text(good), "fine");
        let page = shaped(error_page(StatusCode::BAD_REQUEST), true);
        assert_eq!(page.status(), StatusCode::BAD_REQUEST);
    }
}
