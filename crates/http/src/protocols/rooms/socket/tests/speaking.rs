//! A conversation, from its beginning to its end.

use std::time::Duration;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tombolo_service::Connection;

use super::*;
use crate::protocols::rooms::socket::{Arriving, Bounds, CLOSE_MAX, GONE_AFTER, PING_AFTER, WITHHELD_MAX, run, speak};

const BOUNDS: Bounds = Bounds { message_bytes_max: 1 << 20, arriving_bytes_max: 600_000 };

/// A client of a member that is spoken for in a task of its own.
struct Client {
    io: DuplexStream,
    member: Echo,
    ended: JoinHandle<()>,
    began: Instant,
}

fn meet(member: Echo) -> Client {
    meet_with(member, &Arriving::default())
}

fn meet_with(member: Echo, arriving: &Arriving) -> Client {
    let (io, server) = duplex(4 << 10);
    #[expect(clippy::disallowed_methods, reason = "the test ends with it")]
    let ended = tokio::spawn(speak(server, member.clone(), BOUNDS, arriving.clone()));
    Client { io, member, ended, began: Instant::now() }
}

impl Client {
    async fn send(&mut self, frames: &[Sent]) {
        self.io.write_all(&on_wire(frames)).await.unwrap();
    }

    /// The next frame.
    async fn receive(&mut self) -> (OpCode, Vec<u8>) {
        let mut bytes = vec![0; 2];
        self.io.read_exact(&mut bytes).await.unwrap();
        assert!(bytes[1] < 126, "tests have short frames");
        let mut payload = vec![0; bytes[1].into()];
        self.io.read_exact(&mut payload).await.unwrap();
        bytes.extend(payload);
        taken_apart(&bytes).remove(0)
    }

    /// What is left, up to the end, and when that is.
    async fn rest(mut self) -> (Vec<(OpCode, Vec<u8>)>, Duration) {
        let mut bytes = Vec::new();
        // A server that lets go of what was sent to it breaks the stream.
        let _ = self.io.read_to_end(&mut bytes).await;
        self.ended.await.unwrap();
        (taken_apart(&bytes), self.began.elapsed())
    }

    fn heard(&self) -> Vec<String> {
        self.member.heard.lock().unwrap().clone()
    }
}

fn text(text: &str) -> Sent {
    Sent::whole(TEXT, text)
}

#[tokio::test]
async fn texts_are_done_in_order_and_pings_are_answered() {
    let mut client = meet(Echo::default());
    client.send(&[text("one"), Sent::part(TEXT, "tw"), Sent::whole(PING, "here"), Sent::whole(CONTINUE, "o")]).await;
    client.send(&[Sent::whole(BINARY, "x"), text("three")]).await;
    let mut came = Vec::new();
    for _ in 0..4 {
        came.push(client.receive().await);
    }
    let pong = came.iter().position(|(opcode, _)| *opcode == PONG).map(|place| came.remove(place));
    assert_eq!(pong, Some((PONG, b"here".to_vec())));
    assert_eq!(came, [said("one"), said("two"), said("three")]);
}

#[tokio::test(start_paused = true)]
async fn a_close_of_the_client_is_answered_and_ends_it() {
    let mut client = meet(Echo::default());
    client.send(&[Sent::whole(CLOSE, 1000_u16.to_be_bytes()), text("too late")]).await;
    let member = client.member.clone();
    assert_eq!(client.rest().await, (vec![close_of(1000)], Duration::ZERO));
    assert_eq!(*member.heard.lock().unwrap(), Vec::<String>::new());
    let mut client = meet(Echo::default());
    client.send(&[Sent::whole(CLOSE, [])]).await;
    assert_eq!(client.rest().await.0, [(CLOSE, Vec::new())]);
}

#[tokio::test(start_paused = true)]
async fn a_close_of_ours_waits_for_the_answer_and_not_for_ever() {
    let mut client = meet(Echo::default());
    client.send(&[text("leave"), text("too late")]).await;
    assert_eq!(client.receive().await, close_of(1000));
    client.send(&[Sent::whole(CLOSE, 1000_u16.to_be_bytes())]).await;
    assert_eq!(client.heard(), ["leave"]);
    assert_eq!(client.rest().await, (Vec::new(), Duration::ZERO));

    let client = meet(Echo::default());
    client.member.queue.close(CloseReason::Stopping, "The server stops");
    let (frames, took) = client.rest().await;
    assert_eq!(frames, [said("The server stops"), close_of(1001)]);
    assert_eq!(took, CLOSE_MAX);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_gone_ends_it_at_once() {
    let client = meet(Echo::default());
    drop(client.io);
    client.ended.await.unwrap();
    assert_eq!(client.began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn who_is_silent_is_asked_and_who_stays_so_is_gone() {
    let mut client = meet(Echo::default());
    assert_eq!(client.receive().await, (PING, Vec::new()));
    assert_eq!(client.began.elapsed(), PING_AFTER);
    client.send(&[Sent::whole(PONG, [])]).await;
    assert_eq!(client.receive().await, (PING, Vec::new()));
    assert_eq!(client.began.elapsed(), 2 * PING_AFTER);
    let queue = client.member.queue.clone();
    assert_eq!(client.rest().await, (Vec::new(), PING_AFTER + GONE_AFTER));
    assert_eq!(queue.state.lock().unwrap().1, Some(CloseReason::Gone));
}

#[tokio::test(start_paused = true)]
async fn who_takes_a_large_frame_slowly_is_there() {
    let mut client = meet(Echo::default());
    let frame = vec![b'x'; 40 << 10];
    client.member.queue.push(frame.clone().into());
    let mut came = Vec::new();
    let mut some = [0; 2 << 10];
    while came.len() < frame.len() {
        sleep(Duration::from_secs(10)).await;
        let count = client.io.read(&mut some).await.unwrap();
        assert_ne!(count, 0, "it was given up after {} bytes", came.len());
        came.extend_from_slice(&some[..count]);
    }
    assert!(client.began.elapsed() > 2 * GONE_AFTER);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_gone_because_the_machine_stood_still() {
    let mut client = meet(Echo::default());
    assert_eq!(client.receive().await, (PING, Vec::new()));
    tokio::time::advance(10 * GONE_AFTER).await;
    tokio::task::yield_now().await;
    client.send(&[text("sent meanwhile")]).await;
    assert_eq!(client.receive().await, said("sent meanwhile"));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_server_is_not_gone() {
    let mut client = meet(Echo::default());
    client.send(&[text("work")]).await;
    // The clock goes on only when nothing else is left to be done.
    let mut frames = Vec::new();
    while frames.last() != Some(&said("work")) {
        frames.push(client.receive().await);
    }
    assert_eq!(client.began.elapsed(), Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn what_is_withheld_is_released_after_a_while() {
    let mut client = meet(Echo::default());
    client.send(&[text("withhold"), text("x")]).await;
    assert_eq!(client.receive().await, said("x"));
    assert!(String::from_utf8(client.receive().await.1).unwrap().contains("RELEASED"));
    assert_eq!(client.began.elapsed(), WITHHELD_MAX);
    client.send(&[text("y")]).await;
    assert_eq!(client.receive().await, said("y"));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_told_why_and_nothing_is_done_after_it() {
    let check = async |sent: Vec<Sent>, expected: &[(OpCode, Vec<u8>)]| {
        let mut client = meet(Echo::default());
        let member = client.member.clone();
        let writing = async |io: &mut DuplexStream| {
            let _ = io.write_all(&on_wire(&[&sent[..], &[text("too late")]].concat())).await;
        };
        // What is not read would hold the sender up, and break the stream before the reason has come.
        writing(&mut client.io).await;
        let (frames, took) = client.rest().await;
        assert_eq!(frames, expected);
        assert_eq!(took, CLOSE_MAX);
        assert_eq!(*member.heard.lock().unwrap(), Vec::<String>::new());
    };
    check(
        vec![Sent { mask: None, ..text("x") }],
        &[said("What was sent does not keep to WebSocket: reconnect"), close_of(1002)],
    )
    .await;
    check(vec![Sent::whole(TEXT, [0xff])], &[said("What was sent is no text: it must be UTF-8"), close_of(1007)]).await;
    let large = "A message is too large: it may have 1048576 bytes at most";
    check(vec![text(&"x".repeat(2 << 20))], &[said(large), close_of(1009)]).await;
    let crowded = "Too many large messages arrive at the moment: reconnect and send it again";
    check(vec![text(&"x".repeat(700_000))], &[said(crowded), close_of(1013)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_is_whole_in_time_or_ends_it() {
    let late = "A message took too long to arrive: reconnect and send it again";
    // Something comes all the time, and the message never ends.
    let mut client = meet(Echo::default());
    let began = client.began;
    client.send(&[Sent::part(TEXT, "x".repeat(130_000))]).await;
    for _ in 0..40 {
        let _ = client.io.write_all(&on_wire(&[Sent::whole(PONG, []), Sent::part(CONTINUE, "x")])).await;
        sleep(Duration::from_secs(2)).await;
        if client.member.queue.is_closing() {
            break;
        }
    }
    assert_eq!(began.elapsed(), Duration::from_secs(62), "a minute, and a second for the first 64 KiB");
    assert_eq!(client.rest().await.0, [said(late), close_of(1008)]);
    // However little has arrived, and if it is no text.
    let mut client = meet(Echo::default());
    client.send(&[Sent::part(BINARY, [])]).await;
    for _ in 0..3 {
        sleep(Duration::from_secs(19)).await;
        client.send(&[Sent::whole(PONG, [])]).await;
    }
    assert!(!client.member.queue.is_closing());
    assert_eq!(client.rest().await.0, [said(late), close_of(1008)]);
    // Slowly, and not too slowly; the next one has its own time.
    let mut client = meet(Echo::default());
    for count in 1..=2 {
        let began = Instant::now();
        client.send(&[Sent::part(TEXT, "")]).await;
        for _ in 0..10 {
            sleep(Duration::from_millis(6_500)).await;
            client.send(&[Sent::part(CONTINUE, "x".repeat(64 << 10))]).await;
        }
        assert_eq!(began.elapsed(), Duration::from_secs(65));
        client.send(&[Sent::whole(CONTINUE, "")]).await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(client.heard().len(), count);
    }
}

#[tokio::test(start_paused = true)]
async fn who_never_ends_a_message_does_not_keep_others_from_theirs() {
    let arriving = Arriving::default();
    let mut stuck = meet_with(Echo::default(), &arriving);
    stuck.send(&[Sent::part(TEXT, "x".repeat(400_000))]).await;
    sleep(Duration::from_secs(1)).await;
    let mut client = meet_with(Echo::default(), &arriving);
    client.send(&[Sent::part(TEXT, "x".repeat(500_000))]).await;
    sleep(Duration::from_secs(1)).await;
    // What it had is let go of, though its connection is still being closed.
    assert_eq!(arriving.bytes(), 500_000 - (64 << 10));
    assert!(stuck.member.queue.is_closing() && !stuck.ended.is_finished());
    client.send(&[Sent::whole(CONTINUE, "y")]).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(client.heard().len(), 1);
    let crowded = "Too many large messages arrive at the moment: reconnect and send it again";
    assert_eq!(stuck.rest().await.0, [said(crowded), close_of(1013)]);
    assert_eq!(arriving.bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_is_let_go_of_at_once() {
    let check = async |after: &[Sent]| {
        let arriving = Arriving::default();
        let mut client = meet_with(Echo::default(), &arriving);
        client.send(&[Sent::part(TEXT, "x".repeat(400_000))]).await;
        sleep(Duration::from_millis(1)).await;
        assert!(arriving.bytes() > 300_000);
        client.send(after).await;
        tokio::task::yield_now().await;
        assert_eq!(arriving.bytes(), 0, "{after:?}");
        drop(client);
    };
    check(&[Sent::whole(TEXT, "x")]).await;
    check(&[Sent::part(CONTINUE, "x".repeat(300_000))]).await;
    check(&[Sent::whole(CLOSE, [])]).await;
}

#[tokio::test(start_paused = true)]
async fn too_many_frames_end_it() {
    let mut client = meet(Echo { admitted_max: Some(2), ..Echo::default() });
    // Answers to what was asked are none of them.
    client.send(&[Sent::whole(PONG, "asked"), text("one"), Sent::whole(PONG, "asked")]).await;
    client.send(&[Sent::whole(PONG, ""), Sent::whole(PING, "x"), text("two")]).await;
    let member = client.member.clone();
    assert_eq!(client.rest().await.0, [said("one"), said("Too many"), close_of(1008)]);
    assert_eq!(*member.heard.lock().unwrap(), ["one"]);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_heard() {
    let mut client = meet(Echo::default());
    for _ in 0..1_000 {
        client.member.queue.push(Codec.encode(Notice::Error("Nobody reads this")));
    }
    for count in 1..=10 {
        client.send(&[text("still here")]).await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(client.heard().len(), count);
    }
    assert!(timeout(Duration::from_secs(1), &mut client.ended).await.is_err());
}

#[test]
fn an_idle_socket_takes_little() {
    fn bytes_of<A, F>(_: impl FnOnce(A) -> F) -> usize {
        size_of::<F>()
    }
    let bytes =
        bytes_of(|(io, connection): (TokioIo<Upgraded>, Connection)| run(io, connection, BOUNDS, Arriving::default()));
    assert!(bytes < 2_304, "{bytes}");
}
