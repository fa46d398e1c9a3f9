//! A web server of one page, on an origin of its own, to which the page reports what it sees.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use serde_json::Value;

use crate::eventually::spawn;

/// A browser on a busy machine takes some seconds to start; a stream says something every fifteen.
const REPORT_PATIENCE: Duration = Duration::from_secs(60);
/// Reports that wait to be read by the test.
const REPORTS_MAX: usize = 1_000;
/// A report is a few hundred bytes.
const REQUEST_BYTES_MAX: usize = 1 << 20;

/// A page that is being served.
#[derive(Debug)]
pub struct Page {
    address: SocketAddr,
    reports: Receiver<Value>,
}

impl Page {
    /// Serves `html` on a free port. What it sends to `/report` as JSON is read by [`Self::report`].
    ///
    /// # Panics
    /// When there is no port for it.
    #[must_use]
    pub fn serve(html: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let (sender, reports) = sync_channel(REPORTS_MAX);
        let html = html.to_owned();
        spawn(move || {
            for stream in listener.incoming().flatten() {
                let (html, sender) = (html.clone(), sender.clone());
                spawn(move || answer(stream, &html, &sender));
            }
        });
        Self { address, reports }
    }

    /// The origin of the page.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next thing that the page reports.
    ///
    /// # Panics
    /// When it reports nothing.
    pub fn report(&self) -> Value {
        self.reports.recv_timeout(REPORT_PATIENCE).expect("the page reports something")
    }
}

fn answer(mut stream: TcpStream, html: &str, reports: &SyncSender<Value>) {
    let Some((path, body)) = read(&mut stream) else { return };
    let (status, page) = match path.as_str() {
        "/" => ("200 OK", html),
        "/report" => {
            let report = serde_json::from_slice(&body);
            let _ = reports.try_send(report.unwrap_or_else(|error| Value::from(format!("no JSON: {error}"))));
            ("200 OK", "")
        }
        // A browser asks for an icon by itself.
        _ => ("404 Not Found", ""),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        page.len()
    );
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(page.as_bytes()));
}

/// The path and the body of a request.
fn read(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.map_or(Some(0), |length| length.trim().parse().ok())?;
            if bytes.len() >= end + 4 + length {
                let path = head.split(' ').nth(1)?.to_owned();
                return Some((path, bytes[end + 4..end + 4 + length].to_vec()));
            }
        }
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
        if bytes.len() > REQUEST_BYTES_MAX {
            return None;
        }
    }
}
