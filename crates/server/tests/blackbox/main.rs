//! The real binary, seen from outside: what it says on the wire, what it keeps, how its commands answer.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod commands;
mod damage;
mod disk;
mod durability;
mod migrate;
mod replies;
mod requests;
mod tokens;
mod transcripts;

use tombolo_testkit::served::{Install, Served};

/// The binary with a data folder of its own.
fn install() -> Install {
    Install::new(env!("CARGO_BIN_EXE_tombolo"))
}

/// A server with a data folder of its own.
fn serve() -> Served {
    install().serve()
}
