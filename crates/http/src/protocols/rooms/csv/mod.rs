//! The documents of the web client: tables of rows, which can be merged.
//!
//! A document is four tables, each under a line with its name; a table is a line that names its columns, and a row on
//! each of the others, in values between commas. What is not exactly that is not merged: whoever guesses at the meaning
//! of somebody's data loses it. Values are never written anew: each goes out as it stands in one of the documents, so
//! that nobody's quotes change.

mod merge;
mod parse;
mod taken;

pub(super) use merge::{distance, merge};
pub(super) use taken::taken_in;

#[cfg(test)]
mod tests;
