//! A reply's body that is sent as it comes, piece by piece.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use tombolo_core::Purpose;
use tombolo_service::{Parts, Seat, ServiceError, Shown};

use crate::metrics::{Metrics, Volume};

/// Pieces that are shared with others who read the same: none is copied. What was sent is counted at its end.
pub(super) struct PartsBody {
    /// None at the end: whoever compresses asks once more.
    parts: Option<Parts>,
    /// How many bytes are still to come, where that is known.
    left: Option<u64>,
    sent: Volume,
    metrics: Arc<Metrics>,
    /// What one who reads slowly has few of; for pieces that are in memory once for each reader.
    _seat: Option<Seat>,
}

impl PartsBody {
    /// The body of `shown`, that brings so many events. It holds `seat` until it is dropped.
    pub(super) fn body(shown: Shown, events: usize, metrics: Arc<Metrics>, seat: Option<Seat>) -> Body {
        let (parts, left, sent) = (Some(shown.parts), shown.bytes, Volume { events, bytes: 0 });
        Body::new(Self { parts, left, sent, metrics, _seat: seat })
    }
}

impl HttpBody for PartsBody {
    type Data = Bytes;
    type Error = ServiceError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ServiceError>>> {
        let Some(parts) = &mut self.parts else { return Poll::Ready(None) };
        match std::task::ready!(parts.as_mut().poll_next(context)) {
            Some(Ok(part)) => {
                self.sent.bytes += part.len();
                self.left = self.left.map(|left| left.saturating_sub(part.len() as u64));
                Poll::Ready(Some(Ok(Frame::data(part))))
            }
            Some(Err(error)) => {
                // The connection breaks: the reader sees that it is not all.
                tracing::warn!(%error, "a history could not be read to its end");
                self.parts = None;
                Poll::Ready(Some(Err(error)))
            }
            None => {
                self.parts = None;
                self.metrics.pulled(Purpose::SimpleSync, self.sent);
                Poll::Ready(None)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, stream};
    use tombolo_core::{Cursor, ServerTime};
    use tombolo_service::Encoding;

    use super::*;

    #[test]
    fn pieces_are_sent_as_they_are_and_counted() {
        let pieces = [Bytes::from_static(b"[1"), Bytes::from_static(b",2]")];
        let metrics = Arc::new(Metrics::new(ServerTime::from_micros(0)));
        // It bears to be asked at its end once only.
        let parts =
            stream::unfold(
                pieces.clone().to_vec().into_iter(),
                |mut rest| async move { Some((Ok(rest.next()?), rest)) },
            );
        let cursor = Cursor::parse(&format!("{}.2", "a7".repeat(16))).unwrap();
        let shown = Shown { cursor, encoding: Encoding::Identity, bytes: Some(5), parts: parts.boxed() };
        let mut body = PartsBody::body(shown, 2, Arc::clone(&metrics), None);
        let mut context = Context::from_waker(std::task::Waker::noop());
        for (piece, left) in pieces.iter().zip([5, 3]) {
            assert_eq!(body.size_hint().exact(), Some(left));
            let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut context) else { panic!("a piece") };
            assert_eq!(frame.into_data().unwrap().as_ptr(), piece.as_ptr());
        }
        assert_eq!(body.size_hint().exact(), Some(0));
        for _ in 0..2 {
            assert!(matches!(Pin::new(&mut body).poll_frame(&mut context), Poll::Ready(None)));
        }
        let text = metrics.text(ServerTime::from_micros(0), Default::default(), &Default::default());
        assert!(text.contains("tombolo_pull_size_bytes_sum{protocol=\"simple-sync\"} 5"), "{text}");
        assert!(text.contains("tombolo_pull_size_events_sum{protocol=\"simple-sync\"} 2"), "{text}");
    }
}
