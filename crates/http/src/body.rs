//! Reading a request's body, within a bound.

use axum::body::Body;
use http_body_util::BodyExt;

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// It is larger than the bound.
    TooLarge,
    /// It ended early, or its compression is broken.
    Broken,
}

/// How often its bound a body that is too large is read on, and thrown away, so that the client gets to read the answer
/// instead of a broken connection.
const DRAIN_FACTOR: usize = 2;

/// Reads `body`, after decompression, up to `bytes_max`.
pub(crate) async fn read_body(mut body: Body, bytes_max: usize) -> Result<Vec<u8>, BodyError> {
    let mut read = Vec::new();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
        bytes += data.len();
        if bytes > bytes_max.saturating_mul(DRAIN_FACTOR) {
            break;
        }
        if bytes <= bytes_max {
            read.extend_from_slice(&data);
        } else {
            read = Vec::new();
        }
    }
    if bytes > bytes_max { Err(BodyError::TooLarge) } else { Ok(read) }
}

/// Reads `body` up to `bytes_max`, and throws it away.
pub(crate) async fn drain(mut body: Body, bytes_max: usize) {
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, |data| data.len());
        if bytes > bytes_max {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_bounded() {
        let check = |len: usize, expected: Result<usize, BodyError>| {
            let mut reading = Box::pin(read_body(Body::from(vec![b' '; len]), 10));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            let std::task::Poll::Ready(read) = reading.as_mut().poll(&mut context) else { panic!("it is all there") };
            assert_eq!(read.map(|read| read.len()), expected, "{len} bytes");
        };
        check(0, Ok(0));
        check(10, Ok(10));
        check(11, Err(BodyError::TooLarge));
        check(1_000, Err(BodyError::TooLarge));
    }
}
