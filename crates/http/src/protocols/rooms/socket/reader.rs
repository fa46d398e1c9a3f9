//! Reading what a client sends.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, sleep_until};

use super::decoder::{Broken, Decoder, Item};
use super::signals::Signals;

/// Bytes that are read at once. They lie on the stack, so that who sends nothing has no buffer.
const CHUNK_BYTES: usize = 16 << 10;

/// Why no more is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The client is gone.
    Gone,
    /// What it sends cannot be read.
    Broken(Broken),
}

impl From<Broken> for Ended {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// Reads from `R`.
pub(super) struct Reader<R> {
    io: R,
    decoder: Decoder,
    /// What was read and belongs to later items.
    rest: Vec<u8>,
    /// Bytes of it that are done with.
    done: usize,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(super) const fn new(io: R, decoder: Decoder) -> Self {
        Self { io, decoder, rest: Vec::new(), done: 0 }
    }

    /// The next item. May be dropped midway: nothing is lost by it.
    ///
    /// # Errors
    /// [`Ended`]; it is not to be asked again then, but for [`Self::drain`].
    pub(super) async fn next(&mut self, signals: &Signals) -> Result<Item, Ended> {
        loop {
            if let Some(item) = self.next_of_rest()? {
                return Ok(item);
            }
            let item = match self.decoder.due() {
                None => poll_fn(|cx| self.poll_some(cx, signals)).await?,
                Some(due) => self.next_before(due, signals).await?,
            };
            if let Some(item) = item {
                return Ok(item);
            }
        }
    }

    /// Reads once of what has begun and must be whole when it is `due`, unless it has to give way.
    async fn next_before(&mut self, due: Instant, signals: &Signals) -> Result<Option<Item>, Ended> {
        if Instant::now() >= due {
            return Err(Broken::TooLate.into());
        }
        let gives_way = self.decoder.gives_way();
        // Most of the time nothing has begun: it is not to lie within each connection.
        let mut over = Box::pin(async move {
            tokio::select! {
                () = gives_way => Broken::NoRoom,
                () = sleep_until(due) => Broken::TooLate,
            }
        });
        poll_fn(|cx| match self.poll_some(cx, signals) {
            Poll::Ready(read) => Poll::Ready(read),
            Poll::Pending => over.as_mut().poll(cx).map(|broken| Err(broken.into())),
        })
        .await
    }

    /// Lets go of what has arrived of messages: only [`Self::drain`] may follow.
    pub(super) fn forget(&mut self) {
        self.rest = Vec::new();
        self.decoder.forget();
    }

    /// Reads on and looks at nothing, until the client is gone: if it were closed with something unread, what was
    /// written to it last might not arrive.
    pub(super) async fn drain(&mut self, signals: &Signals) {
        self.forget();
        let ignore = |_: &mut Self, _: &[u8]| ();
        while poll_fn(|cx| self.poll_read(cx, signals, ignore)).await.is_ok() {}
    }

    /// The next item, if it was read already.
    fn next_of_rest(&mut self) -> Result<Option<Item>, Broken> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let mut bytes = &self.rest[self.done..];
        let item = self.decoder.feed(&mut bytes)?;
        self.done = self.rest.len() - bytes.len();
        if bytes.is_empty() {
            (self.rest, self.done) = (Vec::new(), 0);
        }
        Ok(item)
    }

    fn poll_some(&mut self, cx: &mut Context<'_>, signals: &Signals) -> Poll<Result<Option<Item>, Ended>> {
        self.poll_read(cx, signals, |this, mut bytes| {
            let item = this.decoder.feed(&mut bytes)?;
            this.rest.extend_from_slice(bytes);
            Ok(item)
        })
        .map(Result::flatten)
    }

    /// Does `what` with the bytes that are read.
    fn poll_read<T>(
        &mut self,
        cx: &mut Context<'_>,
        signals: &Signals,
        what: impl FnOnce(&mut Self, &[u8]) -> T,
    ) -> Poll<Result<T, Ended>> {
        let mut chunk = [const { MaybeUninit::uninit() }; CHUNK_BYTES];
        let mut buffer = ReadBuf::uninit(&mut chunk);
        let read = ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer));
        if read.is_err() || buffer.filled().is_empty() {
            return Poll::Ready(Err(Ended::Gone));
        }
        signals.heard();
        Poll::Ready(Ok(what(self, buffer.filled())))
    }
}
