//! Test support for Tombolo: an environment that tests decide, a small record protocol, devices that behave as real
//! clients do, and the suite that every store has to pass; the real binary as a process under test, and what plays
//! against it.
//!
//! A dev-dependency only, and used from `tests/` folders only: a crate's own unit tests would meet its types twice.

pub mod accounts_suite;
pub mod conformance;
mod device;
mod env;
pub mod erasure_suite;
pub mod event_app;
pub mod eventually;
pub mod gate;
pub mod http;
pub mod identities_suite;
mod notes;
pub mod pages;
pub mod peer;
pub mod postgres;
pub mod projects_suite;
pub mod proxy;
pub mod replicas_suite;
pub mod rooms_suite;
pub mod ruled_suite;
pub mod served;
pub mod sign_ins_suite;
pub mod simple_sync;
pub mod smtp;
mod space;
pub mod stream;
pub mod td;
pub mod team;
pub mod tickit;
pub mod transcript;
pub mod wellbeing;

pub use device::{Device, Kind, Request, Snapshot};
pub use env::{TestEnv, at};
pub use notes::{FOLDER, INBOX, LABEL, NOTE, Note, Notes, delete, folder, home, key, label, put};
pub use space::{LogStore, Peer, Place, Stores, Told, runtime, wait};
