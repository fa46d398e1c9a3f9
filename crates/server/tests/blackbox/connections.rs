//! Connections that keep the server waiting.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use tombolo_testkit::eventually::{FOREVER, eventually};
use tombolo_testkit::http::Request;

use crate::install;

#[test]
fn half_sent_heads_are_given_up_so_that_they_shut_nobody_out() {
    // With fewer files than connections the server cannot take the last ones, until it lets go of others.
    let served = install().through(["prlimit", "--nofile=64"]).serve();
    let open = || {
        let mut stream = TcpStream::connect(served.address()).unwrap();
        stream.write_all(b"GET /health HTTP/1.1\r\nHost:").unwrap();
        stream
    };
    let mut half_sent: Vec<TcpStream> = (0..70).map(|_| open()).collect();
    served.logged(&["WARN", "could not be taken"]);
    eventually("an answer", FOREVER, || {
        Request::get("/health").send(served.address()).ok().filter(|response| response.status == 200)
    });
    half_sent[0].set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    assert_eq!(half_sent[0].read(&mut [0; 1]).unwrap(), 0, "the first one was given up");
}
