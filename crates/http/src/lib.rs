//! Everything of Tombolo that speaks HTTP.

mod network;

pub use network::{Network, NetworkError};
