//! A WebSocket, from its handshake to its end.
//!
//! Three things go on at the same time, in one task: it is read and what was sent is done, frame by frame
//! ([`reader`]); what the client is to be sent is written ([`writer`]); and it is watched whether the client is there.
//! So a client that does not read is heard, and one that sends much is written to.

mod arriving;
#[cfg(any(test, fuzzing))]
mod decoded;
mod decoder;
mod member;
mod reader;
mod signals;
mod writer;

#[cfg(test)]
mod tests;

use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tombolo_service::{CloseReason, Connection};

pub use arriving::Arriving;
#[cfg(any(test, fuzzing))]
pub(super) use decoded::Decoded;
pub(super) use decoder::Bounds;
use decoder::{Broken, Decoder, Item};
use member::{Heard, Member};
use reader::{Ended, Reader};
use signals::{Control, Signals};
use writer::{Frames, write};

/// After how long without a byte the client is asked whether it is there. Proxies cut what is silent for 60 s.
const PING_AFTER: Duration = Duration::from_secs(20);
/// After how long without a byte it is gone. The answer has had 25 s then, and nothing was lost but its connection.
const GONE_AFTER: Duration = Duration::from_secs(45);
/// How long a close takes at most: what still waits is written, why it is closed, the close, and the client's answer.
/// However slowly a client reads, it is gone then.
const CLOSE_MAX: Duration = Duration::from_secs(5);
/// The same for a client that may be told nothing more, or is not there.
const CUT_MAX: Duration = Duration::from_millis(500);
/// How long a document is withheld from a host that does not send its own: the web client does within 10 ms.
const WITHHELD_MAX: Duration = Duration::from_millis(1_500);

/// Speaks with a client on `io` for its connection, until one of them has closed, or the client is gone.
pub(super) fn run<S>(
    io: S,
    connection: Connection,
    bounds: Bounds,
    arriving: Arriving,
) -> impl Future<Output = ()> + Send
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    speak(io, connection, bounds, arriving)
}

async fn speak<S, M>(io: S, mut member: M, bounds: Bounds, arriving: Arriving)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    M: Member,
{
    let (read, written) = split(io);
    let (outlet, signals) = (member.outlet(), Signals::new());
    let is_gone = {
        let reader = Reader::new(read, Decoder::new(bounds, &arriving, member.address()));
        let reading = pin!(listen(reader, &mut member, &signals, bounds));
        let writing = pin!(write(written, &*outlet, &signals));
        tokio::select! {
            () = until_over(reading, writing, &signals) => false,
            () = until_silent(&signals) => true,
            () = until_overdue(&*outlet) => false,
        }
    };
    if is_gone {
        member.close(CloseReason::Gone, "");
    }
}

/// Waits until the client has closed or is gone, or cannot be written to.
async fn until_over(
    mut reading: Pin<&mut impl Future<Output = ()>>,
    writing: Pin<&mut impl Future<Output = io::Result<()>>>,
    signals: &Signals,
) {
    tokio::select! {
        () = reading.as_mut() => {}
        written = writing => {
            if written.is_ok() && !signals.has_client_closed() {
                reading.await;
            }
        }
    }
}

/// Waits until a close has taken as long as it may.
async fn until_overdue(outlet: &impl Frames) {
    let wait = match outlet.closing().await {
        CloseReason::Revoked | CloseReason::Gone => CUT_MAX,
        _ => CLOSE_MAX,
    };
    // Seldom needed: it is not to lie within each connection.
    Box::pin(sleep(wait)).await;
}

/// Does what the client sends, in order, until it has closed or is gone. It leaves its room as soon as it is closed, from
/// either side: it may not be gone for a while.
async fn listen<R, M>(mut reader: Reader<R>, member: &mut M, signals: &Signals, bounds: Bounds)
where
    R: AsyncRead + Unpin + Send,
    M: Member,
{
    let outlet = member.outlet();
    let mut withheld: Option<Pin<Box<Sleep>>> = None;
    let mut has_parted = false;
    loop {
        let item = tokio::select! {
            biased;
            _ = outlet.closing(), if !has_parted => {
                member.part();
                has_parted = true;
                continue;
            }
            item = reader.next(signals) => item,
            () = over(&mut withheld) => {
                member.release();
                continue;
            }
        };
        match item {
            Ok(Item::Close(_)) if signals.has_server_closed() => return,
            Ok(Item::Close(code)) => {
                reader.forget();
                member.part();
                signals.client_closed();
                signals.write(Control::Close(code));
                // It ends with the answer, unless that cannot be written.
                return Box::pin(sleep(CLOSE_MAX)).await;
            }
            // It is our own doing that it sends it.
            Ok(Item::Pong(payload)) if member.has_read(&payload) => {}
            Ok(_) if outlet.is_closing() || !member.admits() => {}
            Ok(Item::Ping(payload)) => signals.write(Control::Pong(payload)),
            Ok(Item::Text(text)) => {
                signals.set_busy(true);
                let heard = tokio::select! {
                    biased;
                    heard = member.hear(&text.text) => heard,
                    _ = outlet.closing() => Heard::Done,
                };
                if heard == Heard::Withheld {
                    withheld = Some(Box::pin(sleep(WITHHELD_MAX)));
                }
                signals.set_busy(false);
            }
            Ok(Item::Binary | Item::Pong(_)) => {}
            Err(Ended::Gone) => return,
            Err(Ended::Broken(broken)) => {
                refuse(broken, member, bounds);
                member.part();
                return reader.drain(signals).await;
            }
        }
    }
}

/// Waits until what is waited for is over, if anything is.
async fn over(waiting: &mut Option<Pin<Box<Sleep>>>) {
    match waiting {
        Some(sleep) => sleep.await,
        None => std::future::pending().await,
    }
    *waiting = None;
}

/// Closes a connection on which nothing can be read any more.
fn refuse(broken: Broken, member: &mut impl Member, bounds: Bounds) {
    match broken {
        Broken::Protocol => member.close(CloseReason::Protocol, "What was sent does not keep to WebSocket: reconnect"),
        Broken::NotText => member.close(CloseReason::NotText, "What was sent is no text: it must be UTF-8"),
        Broken::TooBig => {
            let bytes = bounds.message_bytes_max;
            member.close(CloseReason::TooBig, &format!("A message is too large: it may have {bytes} bytes at most"));
        }
        Broken::TooLate => {
            member.close(CloseReason::Limited, "A message took too long to arrive: reconnect and send it again");
        }
        Broken::NoRoom => {
            let text = "Too many large messages arrive at the moment: reconnect and send it again";
            member.close(CloseReason::Busy, text);
        }
    }
}

/// By how much a look at the clock may be late before it is taken for a machine that stood still: then what clients sent
/// meanwhile is still to be read, and none of them is gone.
const STOOD_STILL: Duration = Duration::from_secs(5);

/// Waits until the client has been silent for so long that it must be gone; asks it before that.
async fn until_silent(signals: &Signals) {
    let mut asked_at = None;
    loop {
        let (heard_at, now) = (signals.heard_at(), Instant::now());
        if now >= heard_at + GONE_AFTER {
            return;
        }
        if now >= heard_at + PING_AFTER && asked_at != Some(heard_at) {
            signals.write(Control::Ping);
            asked_at = Some(heard_at);
        }
        let is_asked = asked_at == Some(heard_at);
        // Whoever answers is to be asked again as long after that as anybody.
        let next = if is_asked { (heard_at + GONE_AFTER).min(now + PING_AFTER) } else { heard_at + PING_AFTER };
        sleep_until(next).await;
        if next.elapsed() > STOOD_STILL {
            signals.heard();
        }
    }
}
