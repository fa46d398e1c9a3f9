//! What the routes take and answer, for the OpenAPI document. What is there under two paths is listed under both.

use tombolo_core::limits::{ACL_TEXT_BYTES_MAX, NAME_BYTES_MAX};

use super::openapi_schemas::SCHEMAS;
use crate::openapi::{Answer, Body, Content, Key, Operation, Parameter, Part, Place, Schema, answers, says};

pub(crate) const OPENAPI: Part = Part {
    tag: "simple-sync",
    meaning: "simple-sync, histories of events guarded by rules: docs/protocols/simple-sync.md.",
    keys: &[
        (KEY, Key::Header("X-API-Key", "A key, sk_…, that a setup token is exchanged for, or 'tombolo token' makes")),
        (BEARER, Key::Bearer("A session of /auth/token, whose answers are the first generation's; or a key, sk_…")),
        (TICKET, Key::Query("ticket", "A ticket of /api/v1/events/ticket, which opens one stream")),
    ],
    path_parameters: &[("uuid", Schema::Chars(1, NAME_BYTES_MAX))],
    operations: &[
        Operation { keys: &[], ..HEALTH },
        // Signing in.
        at(SIGN_IN, "/auth/token", "sync_first_sign_in"),
        at(SIGN_IN, "/api/v1/auth/token", "sync_sign_in"),
        // The history.
        at(READ, "/events", "sync_first_events"),
        at(READ, "/api/v1/events", "sync_events"),
        at(PUSH, "/events", "sync_first_push"),
        at(PUSH, "/api/v1/events", "sync_push"),
        Operation {
            keys: &[KEY, BEARER, TICKET],
            parameters: &[
                AFTER,
                Parameter {
                    name: "Last-Event-ID",
                    place: Place::Header,
                    meaning: "The id of the last event that was read",
                    schema: CURSOR,
                },
            ],
            ..route(
                "get",
                "/api/v1/events/stream",
                "sync_stream",
                "Streams what is new, without an end",
                &[&[answers(200, "A stream of events", Content::Events)], REFUSALS],
            )
        },
        route(
            "post",
            "/api/v1/events/ticket",
            "sync_ticket",
            "Gives a ticket for one stream, for a minute",
            &[&[ok("SyncTicket")], REFUSALS],
        ),
        // The rules.
        route(
            "get",
            "/acl",
            "sync_first_rules",
            "Shows the first generation's list",
            &[&[ok("SyncRuleList")], REFUSALS],
        ),
        route(
            "get",
            "/api/v1/acl",
            "sync_rules",
            "Shows the rules in force, oldest first",
            &[&[ok("SyncRules")], REFUSALS],
        ),
        at(ADD, "/acl", "sync_first_rules_add"),
        at(ADD, "/api/v1/acl", "sync_rules_add"),
        at(PUT, "/acl", "sync_first_rules_put"),
        at(PUT, "/api/v1/acl", "sync_rules_put"),
        Operation {
            parameters: &[needed("user", "Who"), needed("item", "With what"), needed("action", "Does what")],
            ..route(
                "get",
                "/api/v1/acl/explain",
                "sync_explain",
                "Says whether somebody may do something, and why",
                &[&[ok("SyncExplained")], REFUSALS],
            )
        },
        // Users and keys.
        sends(
            route(
                "post",
                "/api/v1/user/generateToken",
                "sync_setup_token",
                "Gives a setup token for a user",
                &[&[ok("SyncSetupToken")], WRITES, REFUSALS],
            ),
            "SyncUser",
        ),
        sends(
            route(
                "post",
                "/api/v1/user/resetKey",
                "sync_reset_keys",
                "Revokes a user's keys",
                &[&[ok("SyncMessage")], WRITES, REFUSALS],
            ),
            "SyncUser",
        ),
        at(EXCHANGE, "/api/v1/user/exchangeToken", "sync_exchange"),
        at(EXCHANGE, "/api/v1/setup/exchangeToken", "sync_exchange_before"),
        // The first generation's users.
        at(MAKE_USER, "/admin/users", "sync_first_user_new"),
        at(MAKE_USER, "/api/v1/admin/users", "sync_user_new"),
        at(CHANGE_USER, "/admin/users/{uuid}", "sync_first_user_change"),
        at(CHANGE_USER, "/api/v1/admin/users/{uuid}", "sync_user_change"),
    ],
    schemas: SCHEMAS,
};

const KEY: &str = "simple_sync_key";
const BEARER: &str = "simple_sync_bearer";
const TICKET: &str = "simple_sync_ticket";

const HEALTH: Operation = route("get", "/api/v1/health", "sync_health", "Is the process alive", &[&[ok("SyncHealth")]]);

const fn route(
    method: &'static str,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    answers: &'static [&'static [Answer]],
) -> Operation {
    Operation { method, path, id, summary, keys: &[KEY, BEARER], parameters: &[], body: None, answers }
}

const SIGN_IN: Operation = {
    let summary = "A session for a username and a password";
    let route = route("post", "", "", summary, &[&[ok("SyncSession")], REFUSALS]);
    Operation { keys: &[], ..sends(route, "SyncCredentials") }
};

const READ: Operation = Operation {
    parameters: &[
        AFTER,
        query("fromTimestamp", "Events that are not older; not with X-API-Key", Schema::Whole(1, i64::MAX)),
    ],
    ..route(
        "get",
        "",
        "",
        "The whole history, or what came after a cursor",
        &[&[HISTORY, answers(304, "The reader has it, as If-None-Match says", Content::Nothing)], REFUSALS],
    )
};

const PUSH: Operation = {
    let summary = "Stores events, all or none; answers with the whole history, or what came after a cursor";
    let route = route("post", "", "", summary, &[&[HISTORY], WRITES, REFUSALS]);
    Operation { parameters: &[AFTER], ..sends(route, "SyncPush") }
};

const ADD: Operation = {
    let summary = "Adds rules, which are in force with the answer";
    sends(route("post", "", "", summary, &[&[ok("SyncMessage")], WRITES, REFUSALS]), "SyncRulesAdded")
};

const PUT: Operation = {
    let summary = "Puts the first generation's list";
    sends(route("put", "", "", summary, &[&[DONE], WRITES, REFUSALS]), "SyncRuleList")
};

const EXCHANGE: Operation = {
    let route = route("post", "", "", "Exchanges a setup token for a key", &[&[ok("SyncKey")], WRITES, REFUSALS]);
    Operation { keys: &[], ..sends(route, "SyncExchange") }
};

const MAKE_USER: Operation = {
    let summary = "Makes a user with a password";
    sends(route("post", "", "", summary, &[&[MADE], WRITES, REFUSALS]), "SyncNewUser")
};

const CHANGE_USER: Operation = {
    let summary = "Changes a user's username, password or both";
    sends(route("put", "", "", summary, &[&[DONE], WRITES, REFUSALS]), "SyncUserChange")
};

/// The same, at a path and under a name: what is there twice is written once.
const fn at(operation: Operation, path: &'static str, id: &'static str) -> Operation {
    Operation { path, id, ..operation }
}

const fn sends(operation: Operation, schema: &'static str) -> Operation {
    Operation { body: Some(Body::Json(Schema::Named(schema))), ..operation }
}

const fn query(name: &'static str, meaning: &'static str, schema: Schema) -> Parameter {
    Parameter { name, place: Place::Query, meaning, schema }
}

const fn needed(name: &'static str, meaning: &'static str) -> Parameter {
    Parameter { name, place: Place::RequiredQuery, meaning, schema: Schema::Chars(1, ACL_TEXT_BYTES_MAX) }
}

const fn ok(schema: &'static str) -> Answer {
    says(200, "Done, or as asked", Schema::Named(schema))
}

const fn error(status: u16, meaning: &'static str) -> Answer {
    says(status, meaning, Schema::Named("SyncError"))
}

const DONE: Answer = answers(204, "Done", Content::Nothing);
const MADE: Answer = says(201, "Made", Schema::Named("SyncUserMade"));
const HISTORY: Answer =
    says(200, "Events; Sync-Cursor says how far they go", Schema::List(&Schema::Named("SyncEvent")));
const CURSOR: Schema = Schema::Pattern("^([0-9a-f]{32}\\.[0-9]{1,19})?$");
const AFTER: Parameter = query("after", "A cursor: only what is new since then, in the order of arrival", CURSOR);

/// What any route may answer.
const REFUSALS: &[Answer] = &[
    error(400, "What was sent does not read, or cannot be"),
    error(401, "No credential, or one that opens nothing"),
    error(403, "The rules do not let the caller, or nobody may"),
    error(413, "The body is too large"),
    error(415, "The body is encoded as nothing that is read here"),
    error(429, "Too often: Retry-After says how long to wait"),
    error(500, "Damage, or a bug"),
    error(503, "Busy, or the disk cannot be used: the same may be sent again"),
];
/// What a route that writes may answer besides.
const WRITES: &[Answer] = &[
    error(404, "There is no such user"),
    error(409, "Another event, user or username is there already, or a limit is reached"),
];
