//! A blocking HTTP/1.1 client that sends exactly what it is told, also what no honest client would.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

/// Longer than the server's own longest request, so that it is the server that gives up.
const PATIENCE: Duration = Duration::from_secs(90);
/// Bytes of one chunk of a chunked request.
const CHUNK_BYTES: usize = 64 * 1024;
/// A reply's head is some hundred bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// A request, sent on a connection of its own.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    chunked: bool,
}

impl Request {
    /// A request of `method` for `path`, without a body.
    #[must_use]
    pub fn new(method: &str, path: &str) -> Self {
        let (method, path) = (method.to_owned(), path.to_owned());
        Self { method, path, headers: Vec::new(), body: None, chunked: false }
    }

    /// A GET of `path`.
    #[must_use]
    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// A POST of `body` as JSON.
    #[must_use]
    pub fn post(path: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", path).header("Content-Type", "application/json").body(body)
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without the headers of this name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self
    }

    /// With a token.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// With a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// With its body in chunks instead of under a length.
    #[must_use]
    pub fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// With its body compressed.
    #[must_use]
    pub fn gzipped(mut self) -> Self {
        self.body = self.body.map(|body| gzip(&body));
        self.header("Content-Encoding", "gzip")
    }

    /// Sends it, and reads the whole reply.
    ///
    /// # Errors
    /// When there is no whole reply: the connection was refused, broke, or carried something that is no HTTP.
    pub fn send(&self, to: SocketAddr) -> io::Result<Response> {
        let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let written = self.write(&mut stream, to);
        // A server may answer before it has read everything, and then close: the answer is what counts.
        match Response::read(&mut stream, self.method != "HEAD") {
            Ok(response) => Ok(response),
            Err(error) => Err(written.err().unwrap_or(error)),
        }
    }

    fn write(&self, stream: &mut TcpStream, to: SocketAddr) -> io::Result<()> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match &self.body {
            Some(_) if self.chunked => head.push_str("Transfer-Encoding: chunked\r\n\r\n"),
            Some(body) => head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len())),
            None => head.push_str("\r\n"),
        }
        stream.write_all(head.as_bytes())?;
        match &self.body {
            Some(body) if self.chunked => {
                for chunk in body.chunks(CHUNK_BYTES) {
                    stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes())?;
                    stream.write_all(chunk)?;
                    stream.write_all(b"\r\n")?;
                }
                stream.write_all(b"0\r\n\r\n")
            }
            Some(body) => stream.write_all(body),
            None => Ok(()),
        }
    }
}

/// Compresses `plain`.
///
/// # Panics
/// Never: memory takes all that is written.
#[must_use]
pub fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).and_then(|()| encoder.finish()).expect("memory takes all that is written")
}

/// A whole reply.
#[derive(Clone, Debug)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body, decompressed.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header called `name`.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let read = serde_json::from_slice(&self.body);
        read.unwrap_or_else(|error| panic!("status {}, body is no JSON ({error}): {}", self.status, self.text()))
    }

    /// `has_body` is false for an answer to a HEAD, which tells a length and sends nothing.
    fn read(stream: &mut TcpStream, has_body: bool) -> io::Result<Self> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            if bytes.len() > HEAD_BYTES_MAX || read_some(stream, &mut bytes)? == 0 {
                return Err(invalid("the reply has no head"));
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut rest = bytes.split_off(end + 4);
        let (first, lines) = head.split_once("\r\n").unwrap_or((&head, ""));
        let status = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| invalid(first))?;
        let headers = lines.lines().filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        let mut response = Self { status, headers, body: Vec::new() };
        if !has_body {
            return Ok(response);
        }
        if let Some(length) = response.header("content-length") {
            let length: usize = length.parse().map_err(|_| invalid(length))?;
            while rest.len() < length {
                if read_some(stream, &mut rest)? == 0 {
                    return Err(invalid("the reply ended early"));
                }
            }
        } else {
            while read_some(stream, &mut rest)? > 0 {}
        }
        if response.header("transfer-encoding") == Some("chunked") {
            rest = unchunk(&rest)?;
        }
        if response.header("content-encoding") == Some("gzip") {
            let mut plain = Vec::new();
            GzDecoder::new(rest.as_slice()).read_to_end(&mut plain)?;
            rest = plain;
        }
        response.body = rest;
        Ok(response)
    }
}

fn read_some(stream: &mut TcpStream, into: &mut Vec<u8>) -> io::Result<usize> {
    let mut buffer = [0; 16 * 1024];
    let count = stream.read(&mut buffer)?;
    into.extend_from_slice(&buffer[..count]);
    Ok(count)
}

fn unchunk(mut rest: &[u8]) -> io::Result<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n").ok_or_else(|| invalid("a chunk has no size"))?;
        let size = std::str::from_utf8(&rest[..end]).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
        let size = size.ok_or_else(|| invalid("a chunk's size is no number"))?;
        let chunk = rest.get(end + 2..end + 2 + size).ok_or_else(|| invalid("a chunk ended early"))?;
        if size == 0 {
            return Ok(whole);
        }
        whole.extend_from_slice(chunk);
        rest = rest.get(end + 4 + size..).ok_or_else(|| invalid("a chunk has no end"))?;
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
