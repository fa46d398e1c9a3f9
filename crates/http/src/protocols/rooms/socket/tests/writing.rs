//! What is written, and how.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncReadExt as _, AsyncWrite, duplex};

use super::*;
use crate::protocols::rooms::socket::signals::{Control, Signals};
use crate::protocols::rooms::socket::writer::write;

fn frame(text: &str) -> Bytes {
    Codec.encode(Notice::Error(text))
}

/// Takes all, and notes how much each time.
#[derive(Default)]
struct Noting(Arc<Mutex<Vec<usize>>>);

impl AsyncWrite for Noting {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.lock().unwrap().push(bytes.len());
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        self.poll_write(cx, &all)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn what_waits_goes_out_in_one_write() {
    let (queue, noting) = (Queue::default(), Noting::default());
    let writes = noting.0.clone();
    for _ in 0..50 {
        queue.push(frame("Milk"));
    }
    queue.close(CloseReason::Left, "");
    write(noting, &queue, &Signals::new()).await.unwrap();
    assert_eq!(*writes.lock().unwrap(), [50 * frame("Milk").len(), 4]);
}

#[tokio::test]
async fn a_writer_that_stalls_within_a_frame_stays_valid_however_it_ends() {
    for width in [1, 3, 64, 1_000] {
        let (mut client, server) = duplex(width);
        let (queue, signals) = (Queue::default(), Signals::new());
        for text in ["one", &"ก".repeat(5_000), "", "two"] {
            queue.push(frame(text));
        }
        let writing = write(server, &queue, &signals);
        let reading = async {
            let mut bytes = vec![0; 20];
            client.read_exact(&mut bytes).await.unwrap();
            // It stands within the second frame now, or before it; all this comes meanwhile.
            queue.push(frame("three"));
            signals.write(Control::Pong(b"back".to_vec()));
            signals.write(Control::Ping);
            queue.close(CloseReason::TooSlow, "You are too slow");
            client.read_to_end(&mut bytes).await.unwrap();
            bytes
        };
        let (written, bytes) = tokio::join!(writing, reading);
        written.unwrap();
        let frames = taken_apart(&bytes);
        let texts: Vec<_> = frames.iter().filter(|(opcode, _)| *opcode == TEXT).cloned().collect();
        let all =
            [said("one"), said(&"ก".repeat(5_000)), said(""), said("two"), said("three"), said("You are too slow")];
        assert_eq!(texts, all);
        assert!(frames.contains(&(PONG, b"back".to_vec())) && frames.contains(&(PING, Vec::new())));
        assert_eq!(frames.last(), Some(&close_of(1013)));
    }
}

#[tokio::test]
async fn what_was_read_is_asked_after_it() {
    let (mut client, server) = duplex(1_000);
    let queue = Queue::default();
    queue.asks.store(true, Relaxed);
    queue.push(frame("Milk"));
    let (signals, mut bytes) = (Signals::new(), vec![0; frame("Milk").len() + 10]);
    tokio::select! {
        _ = write(server, &queue, &signals) => panic!("it waits for more"),
        read = client.read_exact(&mut bytes) => drop(read.unwrap()),
    }
    assert_eq!(taken_apart(&bytes), [said("Milk"), (PING, vec![0, 0, 0, 0, 0, 0, 1, 2])]);
}

#[tokio::test]
async fn reasons_have_codes() {
    let check = async |reason: CloseReason, expected: &[(OpCode, Vec<u8>)]| {
        let (mut client, server) = duplex(1_000);
        let queue = Queue::default();
        queue.close(reason, "Why");
        write(server, &queue, &Signals::new()).await.unwrap();
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(taken_apart(&bytes), [&[said("Why")][..], expected].concat(), "{reason:?}");
    };
    check(CloseReason::Left, &[close_of(1000)]).await;
    check(CloseReason::Revoked, &[close_of(1008)]).await;
    check(CloseReason::Limited, &[close_of(1008)]).await;
    check(CloseReason::Protocol, &[close_of(1002)]).await;
    check(CloseReason::NotText, &[close_of(1007)]).await;
    check(CloseReason::TooBig, &[close_of(1009)]).await;
    check(CloseReason::TooSlow, &[close_of(1013)]).await;
    check(CloseReason::Busy, &[close_of(1013)]).await;
    check(CloseReason::Stopping, &[close_of(1001)]).await;
    check(CloseReason::Gone, &[]).await;
}

#[tokio::test]
async fn of_several_pings_the_last_is_answered_and_a_close_goes_before_all() {
    let signals = Signals::new();
    for payload in [b"1", b"2"] {
        signals.write(Control::Pong(payload.to_vec()));
    }
    assert_eq!(signals.next().await, Control::Pong(b"2".to_vec()));
    signals.write(Control::Ping);
    signals.write(Control::Close(None));
    assert_eq!(signals.next().await, Control::Close(None));
    assert_eq!(signals.next().await, Control::Ping);
}
