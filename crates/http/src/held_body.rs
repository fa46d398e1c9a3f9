//! A reply's body that holds something for as long as it is on its way.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};

/// Bytes that are handed over at a time: a connection takes the next ones when most of those before are written, so the
/// last of them leave here only when the reader has nearly all.
const FRAME_BYTES: usize = 64 * 1024;

/// A body of known size. What it holds is dropped with it: when it was sent, or given up.
pub(crate) struct HeldBody<T> {
    left: Bytes,
    _held: T,
}

impl<T: Send + Unpin + 'static> HeldBody<T> {
    pub(crate) fn body(bytes: Vec<u8>, held: T) -> Body {
        Body::new(Self { left: bytes.into(), _held: held })
    }
}

impl<T: Unpin> HttpBody for HeldBody<T> {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        let count = self.left.len().min(FRAME_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.left.split_to(count)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn it_is_whole_and_holds_until_it_is_dropped() {
        let text: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let held = Arc::new(());
        let mut body = HeldBody { left: text.clone().into(), _held: Arc::clone(&held) };
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut came = Vec::new();
        assert_eq!(body.size_hint().exact(), Some(200_000));
        while let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut context) {
            let frame = frame.into_data().unwrap();
            assert!(frame.len() <= FRAME_BYTES);
            came.extend_from_slice(&frame);
            // Its end is not told before: a connection lets go of a body that has ended.
            assert_eq!(body.is_end_stream(), came.len() == text.len());
            assert_eq!(Arc::strong_count(&held), 2);
        }
        assert_eq!(came, text);
        drop(body);
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
