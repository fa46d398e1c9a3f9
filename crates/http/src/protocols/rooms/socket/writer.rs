//! Writing what a client is to be sent.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tombolo_service::{CloseReason, Outlet, Parcel, Taken};

use super::signals::{Control, Signals};

/// Frames that go out in one write: as many as are taken at once.
const SLICES_MAX: usize = 64;
/// Places for frames that are kept while there is nothing to write: who is sent little needs no more, and what a burst
/// needed must not stay with each of ten thousand connections.
const PLACES_KEPT_MAX: usize = 4;

/// Whole frames that are to be written.
pub(super) trait Frames: Send + Sync {
    /// What holds one.
    type Frame: Send + Sync;

    /// Its bytes.
    fn bytes(frame: &Self::Frame) -> &[u8];

    /// Waits until there is something to write, and moves it to the end of `into`. May be dropped midway.
    fn take(&self, into: &mut Vec<Self::Frame>) -> impl Future<Output = Taken> + Send;

    /// Waits until the connection is being closed, and says why. May be dropped midway.
    fn closing(&self) -> impl Future<Output = CloseReason> + Send;

    /// Whether what the client still sends does not matter any more.
    fn is_closing(&self) -> bool;

    /// What the client is to be asked to give back, after all that was taken is written.
    fn to_ask(&self) -> Option<u64>;
}

impl Frames for Outlet {
    type Frame = Parcel;

    fn bytes(parcel: &Parcel) -> &[u8] {
        &parcel.bytes
    }

    fn take(&self, into: &mut Vec<Parcel>) -> impl Future<Output = Taken> + Send {
        Self::take(self, into)
    }

    fn closing(&self) -> impl Future<Output = CloseReason> + Send {
        Self::closing(self)
    }

    fn is_closing(&self) -> bool {
        Self::is_closing(self)
    }

    fn to_ask(&self) -> Option<u64> {
        Self::to_ask(self)
    }
}

/// Writes what `frames` has, and what `signals` say between whole frames, until a close is written.
///
/// # Errors
/// Of the stream, which is of no use then.
pub(super) async fn write<W, F>(mut io: W, frames: &F, signals: &Signals) -> io::Result<()>
where
    W: AsyncWrite + Unpin,
    F: Frames,
{
    let mut taken = Vec::new();
    loop {
        let next = tokio::select! {
            biased;
            control = signals.next() => Next::Control(control),
            next = frames.take(&mut taken) => Next::Frames(next),
        };
        let control = match next {
            Next::Control(control) => Some(control),
            Next::Frames(which) => {
                write_frames::<W, F>(&mut io, &taken, signals).await?;
                taken.clear();
                taken.shrink_to(PLACES_KEPT_MAX);
                match which {
                    Taken::Some => {
                        if let Some(ordinal) = frames.to_ask() {
                            io.write_all(&asking(ordinal)).await?;
                            io.flush().await?;
                        }
                        None
                    }
                    Taken::Last(CloseReason::Gone) => return Ok(()),
                    Taken::Last(reason) => Some(Control::Close(Some(code_of(reason)))),
                }
            }
        };
        if let Some(control) = control {
            io.write_all(&frame_of(&control)).await?;
            io.flush().await?;
            if let Control::Close(_) = control {
                signals.server_closed();
                return Ok(());
            }
        }
    }
}

enum Next {
    Control(Control),
    Frames(Taken),
}

/// Writes `frames` in as few writes as the stream allows.
async fn write_frames<W, F>(io: &mut W, frames: &[F::Frame], signals: &Signals) -> io::Result<()>
where
    W: AsyncWrite + Unpin,
    F: Frames,
{
    let (mut index, mut offset) = (0, 0);
    let mut has_waited = false;
    while index < frames.len() {
        let mut count = poll_fn(|cx| {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let places = slices.iter_mut().zip(&frames[index..]);
            let count = places.map(|(slice, frame)| *slice = IoSlice::new(F::bytes(frame))).count();
            slices[0].advance(offset);
            let written = Pin::new(&mut *io).poll_write_vectored(cx, &slices[..count]);
            has_waited |= written.is_pending();
            written
        })
        .await?;
        if std::mem::take(&mut has_waited) {
            // What was full has room again: the client took something. One that is busy with a large document cannot
            // say so otherwise.
            signals.heard();
        }
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while let Some(frame) = frames.get(index) {
            let left = F::bytes(frame).len() - offset;
            if count < left {
                offset += count;
                break;
            }
            (count, index, offset) = (count - left, index + 1, 0);
        }
    }
    io.flush().await
}

/// A frame that is no message, as it goes over the wire. It is final, and not masked.
fn frame_of(control: &Control) -> Vec<u8> {
    let mut frame = match control {
        Control::Close(_) => vec![0x88, 0],
        Control::Ping => vec![0x89, 0],
        Control::Pong(_) => vec![0x8a, 0],
    };
    match control {
        Control::Close(Some(code)) => frame.extend_from_slice(&code.to_be_bytes()),
        Control::Pong(payload) => frame.extend_from_slice(payload),
        Control::Close(None) | Control::Ping => {}
    }
    frame[1] = u8::try_from(frame.len() - 2).expect("what a ping holds was read from a frame as short");
    frame
}

/// A ping that asks for `ordinal` back.
fn asking(ordinal: u64) -> [u8; 10] {
    let mut frame = [0x89, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    frame[2..].copy_from_slice(&ordinal.to_be_bytes());
    frame
}

/// With which code a connection is closed (RFC 6455, section 7.4, and IANA's list for 1013).
const fn code_of(reason: CloseReason) -> u16 {
    match reason {
        CloseReason::Left | CloseReason::Gone => 1000,
        CloseReason::Stopping => 1001,
        CloseReason::Protocol => 1002,
        CloseReason::NotText => 1007,
        CloseReason::Revoked | CloseReason::Limited => 1008,
        CloseReason::TooBig => 1009,
        CloseReason::TooSlow | CloseReason::Busy => 1013,
    }
}
