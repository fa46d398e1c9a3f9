//! The keys of rooms.

use std::time::Duration;

use super::RoomAccess;
use super::keys::Key;

/// A tebibyte: more than a node has of anything.
const BYTES_MAX: u64 = 1 << 40;
/// A hundred years.
const SPAN_MAX: Duration = Duration::from_secs(36_500 * 86_400);

/// Their keys, in the order in which they are documented.
pub(super) const ROOM_KEYS: &[Key] = &[
    Key {
        name: "rooms.access",
        takes: "key or open",
        default: "\"key\"",
        meaning: "Who reaches rooms: `key` for whoever has a link with a key in it, which `tombolo token --for rooms` makes; `open` for everybody who reaches the server, as on the original one: those rooms belong to the user `owner`.",
        is_list: false,
        set: |config, value| {
            config.rooms.access = match value.text()? {
                "key" => RoomAccess::Key,
                "open" => RoomAccess::Open,
                _ => return None,
            };
            Some(())
        },
    },
    Key {
        name: "rooms.auto_create",
        takes: "true or false",
        default: "false",
        meaning: "Whether joining a room that is not there makes it, as Khun Phaen's later web client expects. Its earlier one does not: it is told that a room is gone, and brings it back with all that it holds.",
        is_list: false,
        set: |config, value| {
            config.rooms.options.auto_create = value.switch()?;
            Some(())
        },
    },
    Key {
        name: "rooms.merge",
        takes: "true or false",
        default: "false",
        meaning: "Whether two peers' edits at the same moment are brought together, row by row and value by value, where documents are tables of Khun Phaen. If not, and for any other document, the later one is the document.",
        is_list: false,
        set: |config, value| {
            config.rooms.options.merge = value.switch()?;
            Some(())
        },
    },
    Key {
        name: "rooms.versions",
        takes: "a number from 1 to 100000",
        default: "100",
        meaning: "Versions of a document that are kept, whatever their age.",
        is_list: false,
        set: |config, value| {
            config.rooms.options.versions.newest = value.number(1..=100_000)?;
            Some(())
        },
    },
    Key {
        name: "rooms.versions_minutes",
        takes: "a number from 0 to 100000",
        default: "60",
        meaning: "Of so many minutes that had any, the last version is kept beyond those.",
        is_list: false,
        set: |config, value| {
            config.rooms.options.versions.minutes = value.number(0..=100_000)?;
            Some(())
        },
    },
    Key {
        name: "rooms.versions_hours",
        takes: "a number from 0 to 100000",
        default: "24",
        meaning: "Of so many hours that had any, the last version is kept beyond those.",
        is_list: false,
        set: |config, value| {
            config.rooms.options.versions.hours = value.number(0..=100_000)?;
            Some(())
        },
    },
    Key {
        name: "rooms.versions_days",
        takes: "a number from 0 to 100000",
        default: "30",
        meaning: "Of so many days that had any, the last version is kept beyond those.",
        is_list: false,
        set: |config, value| {
            config.rooms.options.versions.days = value.number(0..=100_000)?;
            Some(())
        },
    },
    Key {
        name: "rooms.versions_bytes",
        takes: "a number of bytes from 0 to 1099511627776",
        default: "268435456",
        meaning: "What all versions of one document take at most: above it the oldest go. The newest always stays.",
        is_list: false,
        set: |config, value| {
            config.rooms.options.versions.bytes_max = value.number(0..=BYTES_MAX)?;
            Some(())
        },
    },
    Key {
        name: "rooms.idle",
        takes: "a span such as 90d, 12h, 30m or 45s, at most 36500d; or 0",
        default: "\"90d\"",
        meaning: "How long a room with a document is kept that nobody is in; 0 for ever.",
        is_list: false,
        set: |config, value| {
            config.rooms.options.idle = value.span(SPAN_MAX)?;
            Some(())
        },
    },
    Key {
        name: "rooms.idle_empty",
        takes: "a span such as 90d, 12h, 30m or 45s, at most 36500d; or 0",
        default: "\"1h\"",
        meaning: "How long a room without a document is kept that nobody is in; 0 for ever.",
        is_list: false,
        set: |config, value| {
            config.rooms.options.idle_empty = value.span(SPAN_MAX)?;
            Some(())
        },
    },
    Key {
        name: "rooms.rooms",
        takes: "a number from 1 to 1000000",
        default: "10000",
        meaning: "Rooms that one user may have. All holders of keys of one user make them together.",
        is_list: false,
        set: |config, value| {
            config.rooms.options.rooms_max = value.number(1..=1_000_000)?;
            Some(())
        },
    },
    Key {
        name: "rooms.peers",
        takes: "a number from 1 to 100000",
        default: "2000",
        meaning: "Connections that may be in one room on one node.",
        is_list: false,
        set: |config, value| {
            config.rooms.options.peers_max = value.number(1..=100_000)?;
            Some(())
        },
    },
    Key {
        name: "rooms.sockets_per_address",
        takes: "a number from 1 to 100000",
        default: "5000",
        meaning: "Connections to rooms that one address may have; an IPv6 network of 64 bits counts as one address. Behind a proxy, set `trusted_proxies`, or all clients are one address.",
        is_list: false,
        set: |config, value| {
            config.rooms.options.sockets_per_address_max = value.number(1..=100_000)?;
            Some(())
        },
    },
    Key {
        name: "rooms.peer_name_bytes",
        takes: "a number of bytes from 16 to 1024",
        default: "128",
        meaning: "What a peer may call itself: a text of so many bytes.",
        is_list: false,
        set: |config, value| {
            config.rooms.options.peer_name_bytes_max = value.number(16..=1024)?;
            Some(())
        },
    },
    Key {
        name: "rooms.metadata_bytes",
        takes: "a number of bytes from 16 to 65536",
        default: "4096",
        meaning: "What a peer may say of itself: JSON of so many bytes.",
        is_list: false,
        set: |config, value| {
            config.rooms.options.metadata_bytes_max = value.number(16..=65_536)?;
            Some(())
        },
    },
    Key {
        name: "rooms.document_bytes",
        takes: "a number of bytes from 16 to 268435456",
        default: "33554432",
        meaning: "How long a document may be.",
        is_list: false,
        set: |config, value| {
            config.rooms.options.document_bytes_max = value.number(16..=268_435_456)?;
            Some(())
        },
    },
    Key {
        name: "rooms.broadcast_bytes",
        takes: "a number of bytes from 16 to 16777216",
        default: "1048576",
        meaning: "How long a message from peer to peers may be that is not kept.",
        is_list: false,
        set: |config, value| {
            config.rooms.options.broadcast_bytes_max = value.number(16..=16_777_216)?;
            Some(())
        },
    },
    Key {
        name: "rooms.message_bytes",
        takes: "a number of bytes from 16 to 1073741824",
        default: "75497472",
        meaning: "How long one message of a client may be. At least `rooms.document_bytes` and `rooms.broadcast_bytes`, and more, since quotes and line breaks take more in a message than in a document.",
        is_list: false,
        set: |config, value| {
            config.rooms.options.message_bytes_max = value.number(16..=1_073_741_824)?;
            Some(())
        },
    },
    Key {
        name: "rooms.messages_per_second",
        takes: "a number from 1 to 1000000",
        default: "200",
        meaning: "Messages a second that one connection may go on sending.",
        is_list: false,
        set: |config, value| {
            config.rooms.options.messages_per_second = value.number(1..=1_000_000)?;
            Some(())
        },
    },
    Key {
        name: "rooms.messages_burst",
        takes: "a number from 1 to 1000000",
        default: "4000",
        meaning: "Messages that one connection may send at once before that. Joining counts as 20, or half of this where that is less.",
        is_list: false,
        set: |config, value| {
            config.rooms.options.messages_burst = value.number(1..=1_000_000)?;
            Some(())
        },
    },
    Key {
        name: "rooms.queue_count",
        takes: "a number from 16 to 1000000",
        default: "4096",
        meaning: "Messages that may wait for one connection that does not read as fast as it is written to. Beyond it documents that a later one replaces are left out, and then the connection is closed.",
        is_list: false,
        set: |config, value| {
            config.rooms.options.queue_count_max = value.number(16..=1_000_000)?;
            Some(())
        },
    },
    Key {
        name: "rooms.queue_bytes",
        takes: "a number of bytes from 65536 to 4294967296",
        default: "100663296",
        meaning: "What those may take. A document that is longer, in a message, closes the connection.",
        is_list: false,
        set: |config, value| {
            config.rooms.options.queue_bytes_max =
                usize::try_from(value.number::<u64>(65_536..=4_294_967_296)?).ok()?;
            Some(())
        },
    },
    Key {
        name: "rooms.waiting_bytes",
        takes: "a number of bytes from 1048576 to 1099511627776",
        default: "1073741824",
        meaning: "What waits for all connections of a node together may take, each message counted once. Above it, connections that much waits for are closed.",
        is_list: false,
        set: |config, value| {
            config.rooms.options.waiting_bytes_max = usize::try_from(value.number(1_048_576..=BYTES_MAX)?).ok()?;
            Some(())
        },
    },
    Key {
        name: "rooms.held_bytes",
        takes: "a number of bytes from 1048576 to 1099511627776",
        default: "2147483648",
        meaning: "What the documents of all rooms that are open on a node may take together. Above it, no room with a document is opened, and no document grows.",
        is_list: false,
        set: |config, value| {
            config.rooms.options.held_bytes_max = usize::try_from(value.number(1_048_576..=BYTES_MAX)?).ok()?;
            Some(())
        },
    },
    Key {
        name: "rooms.arriving_bytes",
        takes: "a number of bytes from 1048576 to 1099511627776",
        default: "1073741824",
        meaning: "What messages that have begun to arrive may take on a node, all connections together. At least `rooms.message_bytes`.",
        is_list: false,
        set: |config, value| {
            config.rooms.options.arriving_bytes_max = usize::try_from(value.number(1_048_576..=BYTES_MAX)?).ok()?;
            Some(())
        },
    },
    Key {
        name: "rooms.wrong_codes_per_minute",
        takes: "a number from 1 to 1000000",
        default: "100",
        meaning: "Codes of no room that one address may ask for in a minute, over all its connections and keys: codes are found by trying.",
        is_list: false,
        set: |config, value| {
            config.rooms.options.wrong_codes_per_minute = value.number(1..=1_000_000)?;
            Some(())
        },
    },
    Key {
        name: "rooms.made_per_minute",
        takes: "a number from 1 to 1000000",
        default: "600",
        meaning: "Rooms that one address may make in a minute.",
        is_list: false,
        set: |config, value| {
            config.rooms.options.made_per_minute = value.number(1..=1_000_000)?;
            Some(())
        },
    },
];
