//! What one can do with Tombolo.
//!
//! [`Keyring`] makes tokens and recognises them; [`Replication`] brings replicas' writes to their logs, and the logs'
//! news to them; [`Watchers`] tells who is connected that there is news. The service knows no HTTP and no SQL: it is
//! given a store and an [`Env`](tombolo_core::Env), and answers in values. A refused token is a value
//! ([`Access::Refused`]); that the store cannot be asked is an error ([`ServiceError`]).
//!
//! This crate must never read a clock, make randomness or start a thread but through `Env`.

mod error;
mod keyring;
mod password;
mod remembered;
mod replication;
mod watchers;
mod wrong_tokens;

pub use error::ServiceError;
pub use keyring::{Access, Caller, Denial, Keyring, Made, NewToken};
pub use replication::{ExchangeRequest, Replication, ReplyBounds};
pub use watchers::{WATCHERS_MAX, Watcher, Watchers};
// What a protocol reads and writes; it never names the store itself.
pub use tombolo_storage::{Action, Answer, Delivery, Exchanged, Refused, StoreError, Write};
