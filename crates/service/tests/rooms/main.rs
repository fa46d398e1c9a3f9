//! Rooms: joining and leaving, limits, storing, and several nodes on one store.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod access;
mod bench;
mod durable;
mod faulty;
mod joining;
mod leases;
mod limits;
mod nodes;
mod storing;
