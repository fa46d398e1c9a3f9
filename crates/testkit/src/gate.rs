//! A gate between a server and its database, which can be shut, and through which what passes can be cut off.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::eventually::spawn;

/// A gate on a port of its own. It passes bytes on, and stops with the test's process.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    is_shut: Arc<AtomicBool>,
    is_stalled: Arc<AtomicBool>,
    passing: Arc<Mutex<Vec<TcpStream>>>,
}

impl Gate {
    /// Starts a gate in front of `server`.
    ///
    /// # Panics
    /// When there is no port for it.
    #[must_use]
    pub fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let gate = Self { address, is_shut: Arc::default(), is_stalled: Arc::default(), passing: Arc::default() };
        let (is_shut, is_stalled) = (Arc::clone(&gate.is_shut), Arc::clone(&gate.is_stalled));
        let passing = Arc::clone(&gate.passing);
        spawn(move || {
            for client in listener.incoming().flatten() {
                if is_shut.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(upstream) = TcpStream::connect(server) else { continue };
                let mut passing = passing.lock().unwrap_or_else(PoisonError::into_inner);
                for (from, to) in [(&client, &upstream), (&upstream, &client)] {
                    let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { continue };
                    let is_stalled = Arc::clone(&is_stalled);
                    spawn(move || pass(from, to, &is_stalled));
                }
                passing.extend([client, upstream]);
            }
        });
        gate
    }

    /// Where the server reaches it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts off every connection that passes through.
    pub fn cut(&self) {
        for stream in self.passing.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Cuts everything off, and lets nobody in until it is opened.
    pub fn shut(&self) {
        self.is_shut.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// Swallows what comes from now on, without a word, as a network does that drops packets. What was swallowed is
    /// gone: the connections have to be cut before they are of use again.
    pub fn stall(&self) {
        self.is_stalled.store(true, Ordering::SeqCst);
    }

    /// Lets everyone in, and nothing stalls.
    pub fn open(&self) {
        self.is_stalled.store(false, Ordering::SeqCst);
        self.is_shut.store(false, Ordering::SeqCst);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, is_stalled: &AtomicBool) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count) = from.read(&mut buffer) {
        if is_stalled.load(Ordering::SeqCst) && count > 0 {
            continue;
        }
        if count == 0 || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
