//! Every bound that does not belong to one protocol or one store, each with its reason.

use std::time::Duration;

/// A user's or a token's name: a line of a list.
pub const NAME_BYTES_MAX: usize = 100;
/// A device's name for itself: ids are 36 bytes, some clients add a host name.
pub const REPLICA_NAME_BYTES_MAX: usize = 128;
/// A record's id: a UUID is 36 bytes; protocols with composed ids need a few of them.
pub const RECORD_NAME_BYTES_MAX: usize = 200;

/// Devices of one space that the server remembers. The one unseen for longest is forgotten first; when it comes back
/// it is sent everything, as a new device is.
pub const REPLICAS_MAX: usize = 1_000;
/// Cursors remembered per replica: a device that was set back further is sent everything.
pub const CURSORS_MAX: usize = 1_024;
/// Pages of one unfinished download whose bounds are remembered. At 10 MB a page that is 5 GB.
pub const PAGES_MAX: usize = 512;

/// Changes of one record that are walked back to find a replica's base. A record edited more often than this while a
/// device was away is merged as a whole, by stamp.
pub const BASE_WALK_MAX: usize = 10_000;
/// Changes of one record that are read to tell which write set a field. Above it the head's stamp stands for all.
pub const TRACE_MAX: usize = 128;

/// Bytes of the records that one upload is told of beside what lost against them: they are for information, and a
/// request of small writes could ask for any number of large records.
pub const PRESENTS_BYTES_MAX: usize = 8_500_000;

/// How far ahead of the server's clock a client's may be and still be believed, where its instants are shown to other
/// devices: clocks that are set by the network differ by seconds.
pub const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(300);

/// How far behind the real clock a time that serves as a cursor is given out: clients compare it with their own
/// clocks, which may be slow by a little. Between one and five minutes by the Tickit protocol; the middle leaves a
/// device that syncs thousands of times a second room to count upwards.
pub const CURSOR_MARGIN: Duration = Duration::from_secs(180);
/// A cursor is never given out closer to the real clock than this because a client claimed a later one.
pub const CURSOR_MARGIN_MIN: Duration = Duration::from_secs(60);

/// Refused writes kept per user for the operator; the oldest go first.
pub const REFUSALS_MAX: usize = 1_000;

/// Verified tokens remembered in memory, about 150 bytes each: more devices than one process serves. The one unused
/// for longest is forgotten first and costs its next request one verification.
pub const RIGHT_TOKENS_MAX: usize = 10_000;
/// Wrong secrets under a known prefix that are remembered, so that a device with an old token costs one verification
/// and not one per request. Oldest first out.
pub const WRONG_TOKENS_MAX: usize = 1_000;
/// Secrets that wait for their verification. At some 20 ms each the last one waits for a little over a second.
pub const VERIFICATIONS_WAITING_MAX: usize = 64;
/// Wrong tokens that one address may present in a minute: a mistyped token on a handful of devices that retry.
pub const WRONG_TOKENS_PER_MINUTE: u32 = 30;
/// Addresses whose wrong tokens are counted one by one, about 50 bytes each; beyond it the rest share one count.
pub const COUNTED_ADDRESSES_MAX: usize = 10_000;
/// Keys whose requests are counted one by one in each class, about 40 bytes each; beyond it the rest share one count.
/// As many as tokens are remembered.
pub const COUNTED_KEYS_MAX: usize = RIGHT_TOKENS_MAX;

/// How long a deleted project can be brought back: long enough to come home from a holiday and notice.
pub const PROJECT_KEPT: Duration = Duration::from_secs(30 * 24 * 3_600);
/// Projects that one user belongs to: a list that is answered in one piece. Those that he deleted count for as long as
/// they can be brought back.
pub const PROJECTS_MAX: usize = 1_000;
/// Members of one project: likewise.
pub const MEMBERS_MAX: usize = 1_000;
/// Pending invitations of one project: likewise.
pub const INVITATIONS_MAX: usize = 1_000;
/// Keys that one user has for one protocol through sign-ins; the one longest unused goes first.
pub const KEYS_MAX: usize = 100;
/// How long a key lets a device in, unless somebody said otherwise: long enough to be forgotten, and not for ever.
pub const KEY_SPAN: Duration = Duration::from_secs(365 * 24 * 3_600);
/// How long before its end a key's holder, and whoever lists keys, is told of it: time for a person to sign in again.
pub const KEY_NOTICE: Duration = Duration::from_secs(30 * 24 * 3_600);
/// Sign-ins that are remembered, about 500 bytes each. Beyond it the oldest goes.
pub const SIGN_INS_MAX: usize = 10_000;
/// Sign-ins of one address that are remembered: somebody else who starts them must not be able to push out the one
/// that its user is about to approve, at ten a minute and address of the network.
pub const SIGN_INS_PER_ADDRESS_MAX: usize = 50;
/// Entries of one request: a history that somebody brings along comes in a few, and the transaction that stores them
/// holds others up for less than a second.
pub const ENTRIES_MAX: usize = 10_000;

/// How long a sign-in waits for its approval, and what was mailed for it holds: time to find a mail, and too short to
/// find one again a day later.
pub const SIGN_IN_SPAN: Duration = Duration::from_secs(900);
/// Mails to one address in that time, for whatever sign-in: a few tries, and no flood for whoever did not ask.
pub const LINKS_MAX: u64 = 5;
/// What a device calls itself at a sign-in: it becomes the name of its key.
pub const DEVICE_BYTES_MAX: usize = NAME_BYTES_MAX;
/// What a page keeps of a sign-in, and is given back with the mailed link.
pub const STATE_BYTES_MAX: usize = 512;
/// Mails that wait to be sent, about 1 KB each. More are dropped: whoever waits may ask again.
pub const MAILS_WAITING_MAX: usize = 256;

/// A text that a rule's pattern, or what it is matched with, may be, in bytes: ids of items are a few UUIDs at most.
pub const ACL_TEXT_BYTES_MAX: usize = 1_024;
/// Rules in force at once, about 300 bytes each in memory.
pub const RULES_MAX: usize = 100_000;
/// How long a setup token can be exchanged for a key.
pub const SETUP_TOKEN_SPAN: Duration = Duration::from_secs(24 * 3_600);
/// How long a ticket for a stream of events can be used: the page that asked for it connects at once.
pub const TICKET_SPAN: Duration = Duration::from_secs(60);
/// Tickets of one user that wait to be used: a page asks for one when it connects. Beyond it the oldest goes.
pub const TICKETS_MAX: usize = 32;
/// How often a push is judged anew because the rules were changed while it was judged.
pub const JUDGED_MAX: usize = 16;
/// What a password should have at least, in letters: shorter ones are guessed at the rate that is let through. They are
/// taken nevertheless, since people have them.
pub const PASSWORD_CHARS_ADVISED: usize = 8;
/// What a password has at most, in bytes: the longest that a password manager makes is a tenth of it.
pub const PASSWORD_BYTES_MAX: usize = 1_024;
/// Wrong passwords of one address, and for one account, in a minute: somebody who tries those that he remembers.
pub const WRONG_PASSWORDS_PER_MINUTE: u32 = 20;
/// Wrong setup tokens of one address in a minute.
pub const WRONG_SETUP_TOKENS_PER_MINUTE: u32 = 20;
/// Wrong setup tokens of all addresses in a minute: at 36^8 tokens, of which a thousand are good, somebody with all
/// addresses of the world finds one in five years.
pub const WRONG_SETUP_TOKENS_OF_ALL_PER_MINUTE: u32 = 1_000;
/// Users whose subjects are remembered, about 150 bytes each: as many as tokens are.
pub const SUBJECTS_MAX: usize = RIGHT_TOKENS_MAX;
