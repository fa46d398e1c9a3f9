//! What the routes take and answer, for the OpenAPI document. What is there below a key and without one is written
//! once, and listed under both.

use crate::Options;
use crate::openapi::{Answer, Body, Content, Key, Operation, Part, Schema, always, answers, maybe, says};

/// What is said of the routes as they are served.
pub(crate) const fn part(options: &Options) -> &'static Part {
    if super::is_open(options) { &OPEN } else { &KEYED }
}

const KEYED: Part = Part {
    keys: &[
        (KEY, Key::Header("X-API-Key", "A key, rk_…, that 'tombolo token --for rooms' makes")),
        (BEARER, Key::Bearer("The same key")),
    ],
    operations: &[
        BELOW_KEY[0],
        BELOW_KEY[1],
        BELOW_KEY[2],
        BELOW_KEY[3],
        BELOW_KEY[4],
        keyed(at(MAKE, "/api/rooms", "room_make")),
        keyed(at(FIND, "/api/rooms/{code}", "room_find")),
        keyed(at(SOCKET, "/ws", "room_socket")),
    ],
    ..OPEN
};

const OPEN: Part = Part {
    tag: "rooms",
    meaning: "Rooms, as the Khun Phaen task tracker speaks of them: docs/protocols/rooms.md.",
    keys: &[],
    path_parameters: &[
        ("key", Schema::Pattern("^rk_[A-Za-z0-9]{32}$")),
        ("code", Schema::Pattern("^[A-Za-z0-9-]{4,64}$")),
    ],
    operations: &[
        BELOW_KEY[0],
        BELOW_KEY[1],
        BELOW_KEY[2],
        BELOW_KEY[3],
        BELOW_KEY[4],
        Operation { answers: &[&[INFORMED]], ..at(INFO, "/", "room_server") },
        at(MAKE, "/api/rooms", "room_make"),
        at(FIND, "/api/rooms/{code}", "room_find"),
        at(SOCKET, "/ws", "room_socket"),
    ],
    schemas: SCHEMAS,
};

const KEY: &str = "rooms_key";
const BEARER: &str = "rooms_bearer";

/// The key stands in the path, which OpenAPI does not take for a credential.
const BELOW_KEY: [Operation; 5] = [
    at(INFO, "/k/{key}", "room_server_by_key"),
    at(HEALTH, "/k/{key}/health", "room_health_by_key"),
    at(MAKE, "/k/{key}/api/rooms", "room_make_by_key"),
    at(FIND, "/k/{key}/api/rooms/{code}", "room_find_by_key"),
    at(SOCKET, "/k/{key}/ws", "room_socket_by_key"),
];

const INFO: Operation = route("get", "Says what the server is", &[&[INFORMED], EVERYWHERE]);
const INFORMED: Answer = ok("RoomServer");
const HEALTH: Operation = route("get", "Says how many rooms there are", &[&[ok("RoomHealth")], EVERYWHERE]);

const MAKE: Operation = Operation {
    body: Some(Body::Json(Schema::Named("RoomWish"))),
    ..route(
        "post",
        "Makes a room, or finds the one that is there for whoever names its host",
        &[
            &[
                says(
                    200,
                    "The room; or that its code is in use",
                    Schema::Either(&[Schema::Named("RoomMade"), Schema::Named("RoomError")]),
                ),
                error(400, "The code is none, or the name is too long"),
                error(403, "There are as many rooms as there may be"),
                error(413, "The body is too large"),
            ],
            EVERYWHERE,
        ],
    )
};

const FIND: Operation = route(
    "get",
    "Says who is in a room",
    &[
        &[
            says(
                200,
                "The room; or that there is none of this code",
                Schema::Either(&[Schema::Named("RoomFound"), Schema::Named("RoomError")]),
            ),
            error(400, "The code is none"),
        ],
        EVERYWHERE,
    ],
);

const SOCKET: Operation = route(
    "get",
    "Becomes a socket (RFC 6455)",
    &[
        &[
            answers(101, "It is one from here on", Content::Nothing),
            error(400, "What was sent does not begin a socket"),
            error(426, "No socket was asked for, or one of another version"),
        ],
        EVERYWHERE,
    ],
);

const fn route(method: &'static str, summary: &'static str, answers: &'static [&'static [Answer]]) -> Operation {
    Operation { method, path: "", id: "", summary, keys: &[], parameters: &[], body: None, answers }
}

const fn at(operation: Operation, path: &'static str, id: &'static str) -> Operation {
    Operation { path, id, ..operation }
}

const fn keyed(operation: Operation) -> Operation {
    Operation { keys: &[KEY, BEARER], ..operation }
}

const fn ok(schema: &'static str) -> Answer {
    says(200, "As asked", Schema::Named(schema))
}

const fn error(status: u16, meaning: &'static str) -> Answer {
    says(status, meaning, Schema::Named("RoomError"))
}

/// What any route may answer that somebody has to be let in to.
const EVERYWHERE: &[Answer] = &[
    error(401, "No key, or one that opens nothing"),
    error(415, "The body is encoded as nothing that is read here"),
    error(429, "Too often, or too many wrong keys or codes: Retry-After says how long to wait"),
    error(500, "Damage, or a bug"),
    error(503, "Busy, or the disk cannot be used: the same may be sent again"),
];

const CODE: Schema = Schema::Pattern("^[A-Za-z0-9-]{4,64}$");

const SCHEMAS: &[(&str, Schema)] = &[
    ("RoomError", Schema::Closed(&[always("success", Schema::False), always("error", Schema::Text)])),
    (
        "RoomWish",
        Schema::Open(&[
            maybe("desired_room_code", Schema::OrNull(&CODE)),
            maybe("desired_host_id", Schema::OrNull(&Schema::Text)),
        ]),
    ),
    (
        "RoomMade",
        Schema::Closed(&[
            always("success", Schema::True),
            always("room_code", CODE),
            always("room_id", Schema::Text),
            always("host_id", Schema::Text),
            always("websocket_url", Schema::Text),
            maybe("restored", Schema::True),
        ]),
    ),
    (
        "RoomFound",
        Schema::Closed(&[
            always("success", Schema::True),
            always("room_code", CODE),
            always("host_id", Schema::OneOf(&[""])),
            always("peers", Schema::List(&Schema::Named("RoomPeer"))),
            always("created_at", Schema::Time),
            always("peer_count", Schema::COUNT),
        ]),
    ),
    (
        "RoomPeer",
        Schema::Closed(&[
            always("id", Schema::Text),
            always("joined_at", Schema::Time),
            always("is_host", Schema::Flag),
            always("metadata", Schema::Anything),
        ]),
    ),
    (
        "RoomServer",
        Schema::Closed(&[
            always("name", Schema::Text),
            always("version", Schema::Text),
            always("status", Schema::OneOf(&["running"])),
            always("websocket", Schema::OneOf(&["/ws"])),
            always("api", Schema::Closed(&[always("create_room", Schema::Text), always("room_info", Schema::Text)])),
            always("server", Schema::OneOf(&["tombolo"])),
        ]),
    ),
    (
        "RoomHealth",
        Schema::Closed(&[
            always("status", Schema::OneOf(&["healthy"])),
            always("rooms", Schema::COUNT),
            always("timestamp", Schema::Time),
        ]),
    ),
];
