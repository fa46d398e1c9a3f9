//! The bounds of this protocol, each with its reason.

use std::time::Duration;

/// A push, after decompression: ten thousand events of a kilobyte.
pub(super) const PUSH_BYTES_MAX: usize = 10 << 20;
/// A payload: it is kept for ever, and sent to everybody with every history.
pub(super) const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// Users that one push makes: each is several statements in the transaction that holds the log.
pub(super) const USERS_PER_PUSH_MAX: usize = 100;
/// An event's uuid. One is 45 bytes at most; the first generation took any text for one.
pub(super) const UUID_BYTES_MAX: usize = 200;

/// Rules of one request: each becomes an entry of the log.
pub(super) const RULES_PER_REQUEST_MAX: usize = tombolo_core::limits::ENTRIES_MAX;
/// Rules of the first generation's list: it is one event, which is sent to everybody with every history.
pub(super) const LIST_RULES_MAX: usize = 1_000;
/// Rules of one request, in bytes: ten thousand of a kilobyte.
pub(super) const RULES_BYTES_MAX: usize = 10 << 20;
/// Rules that are written at a time into the list of those in force: about a millisecond's work.
pub(super) const RULES_PER_PIECE: usize = 1_000;
/// How long a list of the rules in force may be that somebody may read as often as he likes at once: as long as the
/// pages of a history.
pub(super) const RULES_SHOWN_FREELY_BYTES: usize = 256 << 10;

/// Any other body: a name, a password, a setup token.
pub(super) const SMALL_BYTES_MAX: usize = 16 << 10;
/// What a client says of a key that it asks for: a line of a list.
pub(super) const DESCRIPTION_BYTES_MAX: usize = 1 << 10;

/// A username of the first generation, in characters.
pub(super) const USERNAME_CHARS: std::ops::RangeInclusive<usize> = 3..=50;

/// How far an event may lie in the future: clocks of clients are wrong, and a history is sorted by them.
pub(super) const AHEAD_MAX: Duration = Duration::from_secs(24 * 3_600);
/// How long a session holds.
pub(super) const SESSION_SPAN: Duration = Duration::from_secs(24 * 3_600);
/// How far ahead of this server's clock a session may have begun: another machine may have signed it.
pub(super) const AHEAD_OF_CLOCK_MAX: Duration = Duration::from_secs(60);
