//! The vocabulary and the decisions of Tombolo.
//!
//! Everything here is pure: no IO, no clock, no randomness, no serialisation framework. A store opens its
//! transaction, loads what a decision needs, calls the function in this crate, and writes what it says. So every rule
//! is tested in microseconds, and all stores decide alike.
//!
//! This crate must never depend on another crate of the workspace, and must never learn a protocol's words.
//!
//! ```
//! use tombolo_core::{Coverage, Seq};
//!
//! // A replica that holds everything up to change 7 has seen change 5 of a record, and not change 9.
//! let coverage = Coverage::complete(Seq::new(7));
//! assert!(coverage.holds(0, Seq::new(5), Some(Seq::new(9))));
//! assert!(!coverage.holds(0, Seq::new(9), None));
//! ```

mod access;
pub mod acl;
mod change;
mod codes;
mod coverage;
mod cursor;
mod digest;
mod email;
mod env;
mod ids;
mod instant;
pub mod limits;
pub mod merge;
mod policy;
mod record_version;
mod role;
mod room;
mod seq;
mod stamp;
pub mod versions;

pub use access::{Proof, Purpose, Secret, TokenText, UnknownPurpose};
pub use change::{Op, Origin, Verdict};
pub use codes::{FriendlyCode, RequestCode, UserCode};
pub use coverage::{Coverage, Page, RANKS};
pub use cursor::{Cursor, CursorError, Fork, Generation, ResetReason, Resume, SpaceCursor, resume, stand};
pub use digest::Digest;
pub use email::{EmailAddress, EmailError};
pub use env::Env;
pub use ids::{
    CollectionName, CredentialId, InvitationId, LeaseId, Name, NameError, NodeId, ProjectId, RecordKey, RecordName,
    ReplicaName, SignInId, SpaceId, SpaceNumber, UserId,
};
pub use instant::{Instant, InstantError, ServerTime};
pub use policy::{Fields, Policy, PolicyError, Unique};
pub use record_version::{RecordVersion, RecordVersionError};
pub use role::{Act, Refusal, Role, UnknownRole, allows};
pub use room::{MadeRoomCode, PeerName, RoomCode, RoomCodeError, RoomId};
pub use seq::Seq;
pub use stamp::Stamp;
