//! Streams of server-sent events, read line by line.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use crate::eventually::spawn;
use crate::served::Served;

/// The longest that a stream is waited for: it says something every 15 s.
const STREAM_PATIENCE: Duration = Duration::from_secs(30);
/// Lines of a stream that wait to be read by the test.
const LINES_MAX: usize = 10_000;

/// A stream of server-sent events.
#[derive(Debug)]
pub struct Stream {
    lines: Receiver<String>,
}

impl Stream {
    /// Opens the stream at `path`.
    ///
    /// # Panics
    /// When the server cannot be reached.
    #[must_use]
    pub fn open(served: &Served, path: &str, headers: &[(&str, String)]) -> Self {
        let mut stream = TcpStream::connect(served.address()).expect("the server listens");
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).expect("the server reads");
        let (sender, lines) = sync_channel(LINES_MAX);
        spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { lines }
    }

    /// The next line that begins so, without its beginning; `None` when the stream ended before.
    ///
    /// # Panics
    /// When nothing is said for longer than a stream is ever silent.
    pub fn next(&self, beginning: &str) -> Option<String> {
        loop {
            match self.lines.recv_timeout(STREAM_PATIENCE) {
                Ok(line) => {
                    if let Some(rest) = line.strip_prefix(beginning) {
                        return Some(rest.trim().to_owned());
                    }
                    // The last chunk of a reply.
                    if line == "0" {
                        return None;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => panic!("the stream said nothing for {STREAM_PATIENCE:?}"),
            }
        }
    }

    /// The status of the reply.
    ///
    /// # Panics
    /// When there is none.
    pub fn status(&self) -> String {
        let status = self.next("HTTP/1.1 ").expect("a reply");
        status.chars().take(3).collect()
    }
}
