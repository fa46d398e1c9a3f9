//! A listener and its connections: how many there are, and how long each may keep the server waiting.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::rt::Timer;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep};
use tombolo_http::Takeover;
use tower::ServiceExt as _;

/// Connections of all listeners together: some 20 KB each while they are idle, and half of that for one that is in a
/// room. Four full rooms and as many connections again. Beyond it new ones wait in the kernel's queue until another ends.
pub(crate) const CONNECTIONS_MAX: usize = 20_000;
/// How long the head of a request may take, from its first byte on, and that of the first one from the connection on:
/// a few kilobytes, also over a bad line.
const HEAD_MAX: Duration = Duration::from_secs(15);
/// How long a connection is kept between requests: longer than proxies keep theirs (nginx 60 s, most others less than
/// two minutes), so that it is they who close, and not the server just when a request is on its way.
const IDLE_MAX: Duration = Duration::from_secs(150);
/// How long a write may make no progress before the connection is given up, with the reply that nobody reads: as long
/// as a request may take. Whoever followed events comes back and says from where on.
const WRITE_MAX: Duration = Duration::from_secs(60);
/// How long is waited after a connection could not be taken, as when there are no more file descriptors: until some
/// have ended, and without being busy with it.
const ACCEPT_AGAIN: Duration = Duration::from_millis(500);

/// Answers what comes in until it is time to stop, then what is under way. May be dropped midway: it is then cut off.
pub(crate) async fn answer(
    listener: TcpListener,
    router: Router,
    places: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut connections = JoinSet::new();
    let mut stop = pin!(stopped(stopping.clone()));
    loop {
        let (place, stream, peer) = tokio::select! {
            () = &mut stop => break,
            // What has ended is let go of.
            Some(_) = connections.join_next() => continue,
            taken = take(&listener, &places) => taken,
        };
        // A reply is one write: waiting for more to send only delays it.
        drop(stream.set_nodelay(true));
        let (router, stopping) = (router.clone(), stopping.clone());
        connections.spawn(async move {
            converse(stream, router, peer, stopping).await;
            drop(place);
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    Ok(())
}

/// Waits until it is time to stop.
pub(crate) async fn stopped(mut stopping: watch::Receiver<bool>) {
    // The other end is gone only when the server is ending anyway.
    let _ = stopping.wait_for(|stop| *stop).await;
}

type Place = tokio::sync::OwnedSemaphorePermit;

/// The next connection, and its place among all.
async fn take(listener: &TcpListener, places: &Arc<Semaphore>) -> (Place, TcpStream, SocketAddr) {
    let place = Arc::clone(places).acquire_owned().await.expect("the places are never closed");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (place, stream, peer),
            // It went away while it waited: that is its affair.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken; it is tried again");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

/// Answers the requests of one connection, and then does with it what one of them left to be done. When it is time to
/// stop, an idle one ends, and another one after the request that is under way.
async fn converse<S>(stream: S, router: Router, peer: SocketAddr, stopping: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let takeover = Takeover::default();
    // On the heap, and gone when it has ended: what comes afterwards may go on for days, and needs nothing of it.
    let ended = Box::pin(speak_http(stream, router, peer, takeover.clone(), stopping)).await;
    match (ended, takeover.take()) {
        (Ok(()), Some(afterwards)) => afterwards.await,
        (Ok(()), None) => {}
        // What was left is dropped: the connection never became another one.
        (Err(error), _) => tracing::debug!(%error, "a connection broke"),
    }
}

/// Answers the requests of one connection.
async fn speak_http<S>(
    stream: S,
    router: Router,
    peer: SocketAddr,
    takeover: Takeover,
    stopping: watch::Receiver<bool>,
) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let heard = Arc::new(AtomicBool::new(true));
    let stream = Patient { stream, heard: Arc::clone(&heard), stalled: None };
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(takeover.clone());
        router.clone().oneshot(request)
    });
    let mut http = http1::Builder::new();
    // The timer waits for the head of the first request, and then for as long as that of the next one has not begun.
    http.timer(HeadTimer { heard, is_first: AtomicBool::new(true) }).header_read_timeout(IDLE_MAX);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service).with_upgrades());
    tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}

/// A stream that breaks when a write makes no progress, and notes that something was read.
struct Patient<S> {
    stream: S,
    heard: Arc<AtomicBool>,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    /// What became of a write, unless it waits for too long.
    fn within<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(WRITE_MAX)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.heard.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.within(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.within(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.within(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.within(cx, shut)
    }
}

/// Makes the one timer that hyper has for a head, which it starts as soon as the last request is done: with it alone a
/// connection that is idle could be kept no longer than a head may take.
struct HeadTimer {
    /// Whether anything was read since the present timer was started.
    heard: Arc<AtomicBool>,
    is_first: AtomicBool,
}

impl Timer for HeadTimer {
    fn sleep(&self, _idle: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.heard.store(self.is_first.swap(false, Ordering::Relaxed), Ordering::Relaxed);
        Box::pin(HeadWait { heard: Arc::clone(&self.heard), idle: Box::pin(sleep(IDLE_MAX)), head: None })
    }

    fn sleep_until(&self, _deadline: std::time::Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep(IDLE_MAX)
    }
}

/// Ends when a head, or its first byte, has been waited for long enough.
struct HeadWait {
    heard: Arc<AtomicBool>,
    idle: Pin<Box<Sleep>>,
    /// Runs from the first byte on.
    head: Option<Pin<Box<Sleep>>>,
}

impl hyper::rt::Sleep for HeadWait {}

impl Future for HeadWait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.heard.load(Ordering::Relaxed) {
            return self.idle.as_mut().poll(cx);
        }
        self.head.get_or_insert_with(|| Box::pin(sleep(HEAD_MAX))).as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::task::yield_now;
    use tokio::time::{Instant, timeout};

    use super::*;

    fn router() -> Router {
        let large = || async { "x".repeat(1 << 20) };
        Router::new().route("/small", get(|| async { "Milk" })).route("/large", get(large)).route("/greet", get(greet))
    }

    /// The two ends of what these are asked through, and who says when to stop.
    fn connect() -> (DuplexStream, watch::Sender<bool>, tokio::task::JoinHandle<()>) {
        let (client, server) = duplex(16 << 10);
        let (stop, stopping) = watch::channel(false);
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut tasks = JoinSet::new();
        tasks.spawn(converse(server, router(), peer, stopping));
        #[expect(clippy::disallowed_methods, reason = "the test ends with it")]
        let ended = tokio::spawn(async move { while tasks.join_next().await.is_some() {} });
        (client, stop, ended)
    }

    async fn ask_for_small(client: &mut DuplexStream) {
        client.write_all(b"GET /small HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut reply = Vec::new();
        while !reply.ends_with(b"Milk") {
            assert_ne!(client.read_buf(&mut reply).await.unwrap(), 0, "{}", String::from_utf8_lossy(&reply));
        }
    }

    /// How long it takes, on a clock that jumps to whatever is waited for, until the server has closed.
    async fn closed_after(mut client: DuplexStream) -> Duration {
        let began = Instant::now();
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest).await;
        began.elapsed()
    }

    fn about(expected: Duration) -> std::ops::Range<Duration> {
        expected..expected + Duration::from_secs(1)
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_is_not_sent_whole_is_given_up() {
        for begun in [&b""[..], b"GET /small HTTP/1.1\r\nHost:"] {
            let (mut client, _stop, _ended) = connect();
            client.write_all(begun).await.unwrap();
            assert!(about(HEAD_MAX).contains(&closed_after(client).await), "{}", String::from_utf8_lossy(begun));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_comes_byte_by_byte_has_no_longer() {
        let (mut client, _stop, _ended) = connect();
        ask_for_small(&mut client).await;
        let began = Instant::now();
        while client.write_all(b"G").await.is_ok() {
            sleep(Duration::from_secs(1)).await;
            assert!(began.elapsed() < 2 * HEAD_MAX);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_kept_for_longer_than_proxies_keep_theirs_and_not_for_ever() {
        let (mut client, _stop, _ended) = connect();
        ask_for_small(&mut client).await;
        sleep(Duration::from_secs(120)).await;
        ask_for_small(&mut client).await;
        assert!(about(IDLE_MAX).contains(&closed_after(client).await));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_that_nobody_reads_is_given_up_and_a_slow_reader_is_not() {
        let (mut client, _stop, ended) = connect();
        client.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut some = [0; 64 << 10];
        for _ in 0..5 {
            client.read_exact(&mut some).await.unwrap();
            sleep(WRITE_MAX - Duration::from_secs(1)).await;
        }
        let began = Instant::now();
        timeout(2 * WRITE_MAX, ended).await.unwrap().unwrap();
        assert!(began.elapsed() <= WRITE_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn when_it_is_time_to_stop_an_idle_connection_ends_at_once() {
        let (mut client, stop, _ended) = connect();
        ask_for_small(&mut client).await;
        stop.send_replace(true);
        assert!(closed_after(client).await < Duration::from_secs(1));
    }

    /// Upgrades to a connection that greets, and then lasts until the client has gone.
    async fn greet(mut request: axum::extract::Request) -> axum::http::Response<axum::body::Body> {
        let upgraded = hyper::upgrade::on(&mut request);
        let takeover: Takeover = request.extensions_mut().remove().unwrap();
        takeover.leave(Box::pin(async move {
            let mut io = TokioIo::new(upgraded.await.unwrap());
            // Many small frames can go out in one write.
            assert!(io.is_write_vectored());
            io.write_all(b"Hello").await.unwrap();
            let _ = io.read_to_end(&mut Vec::new()).await;
        }));
        let response = axum::http::Response::builder().status(101).header("connection", "upgrade");
        response.header("upgrade", "greeting").body(axum::body::Body::empty()).unwrap()
    }

    /// Upgrades, and reads up to the greeting.
    async fn be_greeted<S: AsyncRead + AsyncWrite + Unpin>(client: &mut S) {
        client
            .write_all(b"GET /greet HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: greeting\r\n\r\n")
            .await
            .unwrap();
        let mut reply = Vec::new();
        while !reply.ends_with(b"Hello") {
            assert_ne!(client.read_buf(&mut reply).await.unwrap(), 0, "{}", String::from_utf8_lossy(&reply));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_left_goes_on_and_is_waited_for_when_it_is_time_to_stop() {
        let (mut client, stop, mut ended) = connect();
        ask_for_small(&mut client).await;
        be_greeted(&mut client).await;
        // Whatever ends an idle connection of HTTP does not end it.
        sleep(2 * IDLE_MAX).await;
        stop.send_replace(true);
        assert!(timeout(IDLE_MAX, &mut ended).await.is_err());
        drop(client);
        ended.await.unwrap();
    }

    #[tokio::test]
    async fn what_was_left_keeps_the_place_of_its_connection() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (places, (stop, stopping)) = (Arc::new(Semaphore::new(2)), watch::channel(false));
        let mut servers = JoinSet::new();
        servers.spawn(answer(listener, router(), places.clone(), stopping));
        let mut client = TcpStream::connect(address).await.unwrap();
        be_greeted(&mut client).await;
        // One is held by this one, and one by whoever waits for the next.
        for _ in 0..100 {
            yield_now().await;
        }
        assert_eq!(places.available_permits(), 0);
        drop(client);
        drop(places.acquire().await.unwrap());
        stop.send_replace(true);
        servers.join_next().await.unwrap().unwrap().unwrap();
    }
}
