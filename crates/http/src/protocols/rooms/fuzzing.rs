//! What is fuzzed: the bytes of a client, read as those of a socket are, and its texts as messages.

use super::message::parse;
use super::socket::{Bounds, Decoded};

/// Small, so that what is beyond them is found.
const BOUNDS: Bounds = Bounds { message_bytes_max: 300, arriving_bytes_max: 1_000 };

/// Reads `bytes` as the first of them that a client sends. The same must be read when they come one by one.
///
/// # Panics
/// When it is not, or when something in it is wrong.
pub fn fuzz_room_socket(bytes: &[u8]) {
    let whole = Decoded::of(std::iter::once(bytes), BOUNDS);
    let single = Decoded::of(bytes.chunks(1), BOUNDS);
    assert_eq!(whole, single);
    for text in whole.texts() {
        // Whether it is a message does not matter.
        let _ = parse(text);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = parse(text);
    }
}
