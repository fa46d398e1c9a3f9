//! The bounds of this protocol, each with its reason.

/// A request's body, after decompression: what td's own server takes. A batch of the command line is 500 events.
pub(super) const BODY_BYTES_MAX: usize = 10 << 20;
/// Events of a push, as td's own server takes them.
pub(super) const PUSH_EVENTS_MAX: usize = 1_000;
/// How deep a payload may be nested: td nests four levels, and every client's JSON reader must get through it.
pub(super) const PAYLOAD_DEPTH_MAX: usize = 100;
/// A device's or a session's id, or an entity's: td's are below 50 bytes. They are kept with every event.
pub(super) const ID_BYTES_MAX: usize = 200;

/// Events of one reply to a pull where the client asks for no number.
pub(super) const PULL_EVENTS_DEFAULT: usize = 1_000;
/// Events of one reply to a pull, whatever the client asks for.
pub(super) const PULL_EVENTS_MAX: usize = 10_000;
/// Bytes of the events of one reply to a pull: the client waits for five seconds while it syncs by itself, and keeps
/// the whole reply in memory. The first event is given whatever its size.
pub(super) const PULL_BYTES_MAX: usize = 8 << 20;

/// A project's name: a line of a list.
pub(super) const PROJECT_NAME_CHARS_MAX: usize = 200;
/// A project's description: a few pages, a list of a thousand projects stays readable.
pub(super) const DESCRIPTION_BYTES_MAX: usize = 10_000;

/// How much of a client's own words an answer repeats, in characters: enough to know them again.
pub(super) const ECHO_CHARS_MAX: usize = 100;
