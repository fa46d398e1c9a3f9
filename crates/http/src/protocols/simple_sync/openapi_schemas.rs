//! The bodies of requests and answers, for the OpenAPI document. In requests, null is as good as missing, and fields that
//! nobody knows are passed over.

use tombolo_core::limits::{ACL_TEXT_BYTES_MAX, ENTRIES_MAX, NAME_BYTES_MAX, PASSWORD_BYTES_MAX};

use super::limits::{DESCRIPTION_BYTES_MAX, LIST_RULES_MAX, PAYLOAD_BYTES_MAX, RULES_PER_REQUEST_MAX, UUID_BYTES_MAX};
use crate::openapi::{Schema, always, maybe};

pub(super) const SCHEMAS: &[(&str, Schema)] = &[
    ("SyncError", Schema::Closed(&[always("error", Schema::Text), maybe("eventUuid", Schema::Text)])),
    (
        "SyncHealth",
        Schema::Closed(&[
            always("status", Schema::OneOf(&["healthy"])),
            always("timestamp", Schema::Time),
            always("version", Schema::Text),
            always("uptime", Schema::COUNT),
        ]),
    ),
    ("SyncCredentials", Schema::Open(&[always("username", Schema::Text), always("password", Schema::Text)])),
    ("SyncSession", Schema::Closed(&[always("token", Schema::Text)])),
    ("SyncEvent", Schema::Either(&[EVENT_TODAY, EVENT_FIRST])),
    ("SyncPush", Schema::OrNull(&Schema::Bounded(&PUSHED, 0, ENTRIES_MAX))),
    ("SyncTicket", Schema::Closed(&[always("ticket", Schema::Text), always("expiresAt", Schema::Time)])),
    ("SyncRules", Schema::List(&RULE)),
    ("SyncRulesAdded", Schema::Bounded(&RULE_ADDED, 1, RULES_PER_REQUEST_MAX)),
    ("SyncRuleList", Schema::Open(&[always("rules", Schema::Bounded(&LIST_RULE, 0, LIST_RULES_MAX))])),
    (
        "SyncExplained",
        Schema::Closed(&[
            always("allowed", Schema::Flag),
            always("rule", Schema::OrNull(&Schema::Either(&[RULE, LIST_RULE]))),
            always("reason", Schema::Text),
        ]),
    ),
    ("SyncUser", Schema::Open(&[always("user", Schema::Chars(1, NAME_BYTES_MAX))])),
    ("SyncSetupToken", Schema::Closed(&[always("token", Schema::Text), always("expiresAt", Schema::Time)])),
    ("SyncMessage", Schema::Closed(&[always("message", Schema::Text)])),
    (
        "SyncExchange",
        Schema::Open(&[
            always("token", Schema::Text),
            maybe("description", Schema::OrNull(&Schema::Chars(0, DESCRIPTION_BYTES_MAX))),
        ]),
    ),
    (
        "SyncKey",
        Schema::Closed(&[
            always("keyUuid", Schema::Text),
            always("apiKey", Schema::Text),
            always("user", Schema::Text),
            always("description", Schema::Text),
        ]),
    ),
    (
        "SyncNewUser",
        Schema::Open(&[
            always("uuid", Schema::Chars(1, NAME_BYTES_MAX)),
            always("username", USERNAME),
            always("password", PASSWORD),
        ]),
    ),
    ("SyncUserMade", Schema::Closed(&[always("uuid", Schema::Text)])),
    (
        "SyncUserChange",
        Schema::Open(&[
            maybe("new_username", Schema::OrNull(&USERNAME)),
            maybe("new_password", Schema::OrNull(&PASSWORD)),
        ]),
    ),
];

const USERNAME: Schema = Schema::Pattern("^[A-Za-z0-9_-]{3,50}$");
const PASSWORD: Schema = Schema::Chars(1, PASSWORD_BYTES_MAX);
const NAMED: Schema = Schema::Chars(1, ACL_TEXT_BYTES_MAX);
/// Seconds, or milliseconds from 10^11 on.
const TIMESTAMP: Schema = Schema::Whole(1, i64::MAX);

/// What a key's answers hold; a session's have the first generation's names.
const EVENT_TODAY: Schema = Schema::Closed(&[
    always("uuid", Schema::Text),
    always("timestamp", TIMESTAMP),
    always("user", Schema::Text),
    always("item", Schema::Text),
    always("action", Schema::Text),
    always("payload", Schema::Text),
]);
const EVENT_FIRST: Schema = Schema::Closed(&[
    always("uuid", Schema::Text),
    always("timestamp", TIMESTAMP),
    always("userUuid", Schema::Text),
    always("itemUuid", Schema::Text),
    always("action", Schema::Text),
    always("payload", Schema::Text),
]);

/// Both spellings are taken from everybody.
const PUSHED: Schema = Schema::Either(&[
    Schema::Open(&[
        always("uuid", Schema::Chars(1, UUID_BYTES_MAX)),
        always("timestamp", TIMESTAMP),
        always("user", NAMED),
        always("item", NAMED),
        always("action", NAMED),
        maybe("payload", Schema::OrNull(&Schema::Chars(0, PAYLOAD_BYTES_MAX))),
    ]),
    Schema::Open(&[
        always("uuid", Schema::Chars(1, UUID_BYTES_MAX)),
        always("timestamp", TIMESTAMP),
        maybe("userUuid", Schema::OrNull(&NAMED)),
        always("itemUuid", NAMED),
        always("action", NAMED),
        maybe("payload", Schema::OrNull(&Schema::Chars(0, PAYLOAD_BYTES_MAX))),
    ]),
]);

const RULE: Schema = Schema::Closed(&[
    always("user", NAMED),
    always("item", NAMED),
    always("action", NAMED),
    always("type", Schema::OneOf(&["allow", "deny"])),
]);
const RULE_ADDED: Schema = Schema::Open(&[
    always("user", NAMED),
    always("item", NAMED),
    always("action", NAMED),
    always("type", Schema::OneOf(&["allow", "deny"])),
]);
const LIST_RULE: Schema = Schema::Open(&[
    always("user", NAMED),
    always("item", NAMED),
    always("action", NAMED),
    always("allow", Schema::Flag),
]);
