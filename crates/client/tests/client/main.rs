//! The client as an app has it, against a server that does as it is told.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod background;
mod failures;
mod kill;
mod support;
mod sync;
