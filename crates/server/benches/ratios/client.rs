//! A client that costs little: one connection, one request at a time, no more HTTP than is needed.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

pub(crate) struct Client {
    stream: TcpStream,
    path: String,
    token: String,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr, path: &str, token: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, path: path.to_owned(), token: token.to_owned(), buffer: vec![0; 1 << 16] }
    }

    /// Sends `body` and returns the reply's body.
    pub(crate) fn post(&mut self, body: &[u8]) -> Vec<u8> {
        let path = self.path.clone();
        self.send("POST", &path, body)
    }

    /// What is at another path than the usual one.
    pub(crate) fn get(&mut self, path: &str) -> Vec<u8> {
        self.send("GET", path, b"")
    }

    fn send(&mut self, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        self.exchange(method, path, "", body).1
    }

    /// Sends a request with more header lines, each with its end, and returns the reply's head, in small letters, and
    /// its body.
    pub(crate) fn exchange(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> (String, Vec<u8>) {
        let (token, length) = (&self.token, body.len());
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n{headers}Content-Length: {length}\r\n\r\n"
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.stream.write_all(&request).unwrap();
        let mut reply = Vec::new();
        let end = loop {
            self.more(&mut reply);
            if let Some(end) = reply.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let head = String::from_utf8_lossy(&reply[..end]).to_ascii_lowercase();
        if head.starts_with("http/1.1 304") {
            return (head, reply.split_off(end));
        }
        assert!(head.starts_with("http/1.1 20"), "{head}{}", String::from_utf8_lossy(&reply[end..]));
        let length: usize = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .expect("a sized reply")
            .parse()
            .unwrap();
        reply.reserve(length);
        while reply.len() < end + length {
            self.more(&mut reply);
        }
        let body = reply.split_off(end);
        (head, body)
    }

    fn more(&mut self, reply: &mut Vec<u8>) {
        let read = self.stream.read(&mut self.buffer).unwrap();
        assert!(read > 0, "the server closed the connection");
        reply.extend_from_slice(&self.buffer[..read]);
    }
}
