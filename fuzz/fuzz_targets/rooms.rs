//! The bytes of a client of rooms: its frames, and the messages in them.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tombolo_http::fuzz_room_socket(bytes));
