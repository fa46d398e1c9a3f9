//! A proxy between a client and the server, which can lose a reply, and lead to another server.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::eventually::spawn;

/// A proxy on a port of its own. It passes bytes on, and stops with the test's process.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    server: Arc<Mutex<SocketAddr>>,
    to_lose: Arc<AtomicUsize>,
    lost: Arc<AtomicUsize>,
}

impl Proxy {
    /// Starts a proxy in front of `server`.
    ///
    /// # Panics
    /// When there is no port for it.
    #[must_use]
    pub fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let (to_lose, lost) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counts = (Arc::clone(&to_lose), Arc::clone(&lost));
        let server = Arc::new(Mutex::new(server));
        let present = Arc::clone(&server);
        spawn(move || {
            for client in listener.incoming().flatten() {
                let server = *present.lock().unwrap_or_else(PoisonError::into_inner);
                let counts = (Arc::clone(&counts.0), Arc::clone(&counts.1));
                spawn(move || pass(client, server, &counts));
            }
        });
        Self { address, server, to_lose, lost }
    }

    /// Leads those who connect from now on to another server.
    pub fn lead_to(&self, server: SocketAddr) {
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = server;
    }

    /// Where clients reach it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Loses the next `count` replies: the server gives them, the client sees a broken connection.
    pub fn lose_replies(&self, count: usize) {
        self.to_lose.store(count, Ordering::SeqCst);
    }

    /// How many replies it lost so far. A test that meant to lose one has to see one.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.lost.load(Ordering::SeqCst)
    }
}

fn pass(client: TcpStream, server: SocketAddr, (to_lose, lost): &(Arc<AtomicUsize>, Arc<AtomicUsize>)) {
    let Ok(upstream) = TcpStream::connect(server) else { return };
    let (Ok(mut from_client), Ok(mut to_server)) = (client.try_clone(), upstream.try_clone()) else { return };
    let requests = spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    pass_replies(upstream, client, to_lose, lost);
    let _ = requests.join();
}

fn pass_replies(mut upstream: TcpStream, mut client: TcpStream, to_lose: &AtomicUsize, lost: &AtomicUsize) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count) = upstream.read(&mut buffer) {
        // The first bytes of a reply say that the server has done its work.
        let is_lost =
            count > 0 && to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        if is_lost {
            lost.fetch_add(1, Ordering::SeqCst);
        }
        if count == 0 || is_lost || client.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = upstream.shutdown(Shutdown::Both);
}
