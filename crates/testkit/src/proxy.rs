//! A proxy between a client and the server, which can lose a reply, be cut for a while, and lead to another server.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::eventually::spawn;

/// A proxy on a port of its own. It passes bytes on, and stops with the test's process.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    server: Arc<Mutex<SocketAddr>>,
    to_lose: Arc<AtomicUsize>,
    lost: Arc<AtomicUsize>,
    line: Arc<Line>,
}

/// Whether anything gets through, and what is getting through now.
#[derive(Debug, Default)]
struct Line {
    is_cut: AtomicBool,
    clients: Mutex<Vec<TcpStream>>,
}

impl Line {
    /// Takes in a client; `false` while it is cut.
    fn takes(&self, client: &TcpStream) -> bool {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.extend(client.try_clone());
        !self.is_cut.load(Ordering::SeqCst)
    }
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
        let line = Arc::new(Line::default());
        let own_line = Arc::clone(&line);
        spawn(move || {
            for client in listener.incoming().flatten() {
                if !own_line.takes(&client) {
                    let _ = client.shutdown(Shutdown::Both);
                    continue;
                }
                let server = *present.lock().unwrap_or_else(PoisonError::into_inner);
                let counts = (Arc::clone(&counts.0), Arc::clone(&counts.1));
                spawn(move || pass(client, server, &counts));
            }
        });
        Self { address, server, to_lose, lost, line }
    }

    /// Leads those who connect from now on to another server.
    pub fn lead_to(&self, server: SocketAddr) {
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = server;
    }

    /// Cuts every connection, and those that are made until it is mended.
    pub fn cut(&self) {
        let mut clients = self.line.clients.lock().unwrap_or_else(PoisonError::into_inner);
        self.line.is_cut.store(true, Ordering::SeqCst);
        for client in clients.drain(..) {
            let _ = client.shutdown(Shutdown::Both);
        }
    }

    /// Lets connections through again.
    pub fn mend(&self) {
        self.line.is_cut.store(false, Ordering::SeqCst);
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
    let Ok(upstream) = TcpStream::connect(server) else {
        // Whoever cuts the line holds it open beside this.
        let _ = client.shutdown(Shutdown::Both);
        return;
    };
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
