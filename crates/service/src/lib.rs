//! What one can do with Tombolo.
//!
//! [`Keyring`] makes tokens and recognises them, [`Keys`] are those that a user has; [`Replication`] brings replicas'
//! writes to their logs, and the logs' news to them; [`Projects`] are what several people share, [`Journal`] appends to
//! their logs and reads them; [`Watchers`] tells who is connected that there is news, and [`Feeds`] what it is;
//! [`Events`] is a log that all users of a protocol share, guarded by rules that it holds itself, and [`Participants`]
//! are those who take part in it; [`Admissions`] lets devices sign in, with mails that leave through an [`Outbox`];
//! [`RateLimits`] counts who asks how often. The service knows no HTTP and no SQL: it is given a store and an
//! [`Env`](tombolo_core::Env), and answers in values. A refused token is a value ([`Access::Refused`]); that the store
//! cannot be asked is an error ([`ServiceError`]).
//!
//! This crate must never read a clock, make randomness or start a thread but through `Env`.

mod access_changes;
mod error;
mod events;
mod feeds;
mod follower;
mod guesses;
mod journal;
mod keyring;
mod keys;
mod known;
mod label;
mod outbox;
mod participants;
mod password;
mod projects;
mod rate_limits;
mod remembered;
mod replication;
mod rooms;
mod seats;
mod sign_in;
mod steady_clock;
mod watchers;
mod windows;
mod wrong_tokens;

pub use access_changes::{AccessChanges, AccessListener};
pub use error::ServiceError;
pub use events::{
    Admission, Asked, Encoding, EventCodec, EventStream, Events, EventsOpened, Form, History, Parts,
    REPLIES_PER_USER_MAX, ROOT, Rulebook, Ruling, STREAMS_EACH_MAX, Shown, Since, StreamFrom, Submission, Submitted,
};
pub use feeds::{FEEDS_PER_KEY_MAX, Feed, Feeds, Opened};
pub use journal::{Journal, PULLS_PER_KEY_MAX, Pull, PullAnswer, Pulled};
pub use keyring::{Access, Caller, Denial, Keyring, Made, NewToken};
pub use keys::{KeyMade, Keys};
pub use outbox::{Mail, Outbox, OutgoingMail};
pub use participants::{GivenTicket, Participants, PasswordUnfit, SetupToken, SetupTokenFound, SignedIn};
pub use projects::{InviteOutcome, Letter, Post, ProjectDraft, Projects};
pub use rate_limits::{AddressClass, Counted, KeyClass, RateLimitOptions, RateLimits};
pub use replication::{DownloadRequest, ExchangeRequest, Replication, ReplyBounds, UploadRequest};
pub use rooms::{
    CloseReason, Connection, Entrant, JoinWish, Joined, NotConnected, Notice, Outlet, Parcel, ParcelKind, PeerInfo,
    RENEW_EVERY, RoomCloses, RoomCodec, RoomCounts, RoomFound, RoomMade, RoomOptions, RoomWish, Rooms, SWEEP_EVERY,
    Taken,
};
pub use seats::Seat;
pub use sign_in::{
    AdmissionOptions, Admissions, CodeEntered, CodeStarted, Exchange, GrantedKey, KeyWish, LinkOpened, LinkToken,
    OwnerApproval, Polled, Request, StateError, WebRefused, WebState, to_minute,
};
pub use watchers::{WATCHERS_MAX, Watcher, Watchers};
// What a protocol reads and writes; it never names the store itself.
pub use tombolo_storage::{
    Action, Answer, Answered, Appended, CommitCounts, Credential, Delivery, Downloaded, Effect, Entry, Exchanged, Fate,
    Flow, Identity, IdentityAdded, IdentityChange, IdentityChanged, Invitation, InvitationStatus, LogEnd, Member,
    MemberAdded, MemberChanged, NamedBase, NewEntry, NewIdentity, NewKey, PageBounds, Present, Project, ProjectChange,
    Refused, Room, Ruled, SecretHash, Spread, Stale, StoreError, Totals, Unfit, Uploaded, Username, Weight, Who, Write,
};
