//! Test support for Tombolo.
//!
//! Used from `tests/` folders only, never from `#[cfg(test)]`: a crate would be compiled twice, and its types would
//! not match.

pub mod accounts_suite;
mod env;

pub use env::TestEnv;
