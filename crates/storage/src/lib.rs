//! Where Tombolo's logs are kept.
//!
//! [`Store`] is what the service calls: coarse methods, one per use case, each atomic. Two stores implement it:
//! [`memory`], the model that tests compare with, and [`sqlite`], one file in one process. No transaction type and no
//! SQL crosses the trait; the rules that decide are in `tombolo-core`, and both stores call the same ones.

mod accounts;
mod bus;
mod check;
mod columns;
mod commits;
mod entries;
mod erasure;
mod error;
mod exchange;
mod identities;
mod ledger;
mod logs;
pub mod memory;
mod migrations;
mod naming;
pub mod postgres;
mod projects;
mod replicas;
mod rooms;
mod sign_ins;
pub mod sqlite;
mod told;
pub mod transfer;
mod upkeep;

use std::pin::Pin;

pub use accounts::{Accounts, Added, Credential, FoundCredential, NewCredential, Refusal, User};
pub use bus::{Bus, FRAME_BYTES_MAX, Frame, Listener, LocalBus, Message, Payload, TOPIC_BYTES_MAX};
pub use commits::{CommitCounts, Spread};
pub use entries::{
    Append, Appended, Effect, Entries, Entry, EntryPage, Guard, IsSame, LogEnd, NewEntry, NotAppended, PageBounds,
    Place, SAME_SLACK_BYTES, Totals, Unfit, Weight,
};
pub use erasure::{Erasure, UserDeleted};
pub use error::StoreError;
pub use identities::{
    Identities, Identity, IdentityAdded, IdentityChange, IdentityChanged, IdentityKey, NewIdentity, Ticket, Username,
};
pub use logs::{
    Action, Answer, Delivery, Exchange, Exchanged, LoggedChange, Logs, NamedBase, Refused, SpaceAddress, Write,
};
pub use projects::{
    Answered, Invitation, InvitationStatus, Invited, Member, MemberAdded, MemberChanged, NewInvitation, NewProject,
    Project, ProjectChange, ProjectOverview, Projects, Restored, Ruled, Who,
};
pub use replicas::{Download, Downloaded, Fate, Present, Replicas, Stale, Upload, Uploaded};
pub use rooms::{
    Document, DocumentPut, DocumentStored, IdleRooms, Lease, NewRoom, OpenedRoom, Room, RoomAdded, RoomOverview, Rooms,
    Version,
};
pub use sign_ins::{Approved, Flow, NewKey, NewSignIn, Redeemed, SecretHash, SignIn, SignInKey, SignIns, SignUp};
pub use upkeep::{CheckReport, Elsewhere, IsRuling, Progress, Reading, Store, Upkeep};

/// The answer of a store's method.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;
