//! Test support for Tombolo: an environment that tests decide, a small record protocol, devices that behave as real
//! clients do, and the suite that every store has to pass.
//!
//! A dev-dependency only, and used from `tests/` folders only: a crate's own unit tests would meet its types twice.

pub mod accounts_suite;
pub mod conformance;
mod device;
mod env;
mod notes;
mod space;

pub use device::{Device, Kind, Request, Snapshot};
pub use env::{TestEnv, at};
pub use notes::{FOLDER, INBOX, LABEL, NOTE, Note, Notes, delete, folder, home, key, label, put};
pub use space::{LogStore, Peer, Place, Stores, Told, wait};
