//! The suite that every store has to pass: what `Logs` and `Bus` promise, method by method.
//!
//! Each check takes a fresh place; those in [`durable`] need a store whose data is one file.

pub mod bus;
pub mod concurrency;
pub mod cursors;
pub mod durable;
pub mod entries;
pub mod paging;
pub mod records;

use crate::{Peer, Place};

/// Peers called a, b, c and so on, that were never here.
fn peers<const N: usize>() -> [Peer; N] {
    std::array::from_fn(|n| Peer::new(&["a", "b", "c", "d"][n % 4].repeat(1 + n / 4)))
}

/// The payloads of the log, for comparing what was written.
fn log_len(place: &Place) -> usize {
    place.log().len()
}
