//! The bodies of requests and answers, for the OpenAPI document. In requests, null is as good as missing, and fields that
//! nobody knows are passed over; answers have no other fields than these.

use tombolo_core::limits::MEMBERS_MAX;

use super::limits::{ID_BYTES_MAX, PROJECT_NAME_CHARS_MAX, PULL_EVENTS_MAX, PUSH_EVENTS_MAX};
use crate::openapi::{Field, Schema, always, maybe};

pub(super) const SCHEMAS: &[(&str, Schema)] = &[
    ("TdError", ERROR),
    // Projects and people.
    ("TdProject", PROJECT),
    ("TdProjects", Schema::List(&PROJECT_REF)),
    ("TdNewProject", Schema::Open(&[always("name", NAME), maybe("description", NULLABLE_TEXT)])),
    ("TdProjectChange", Schema::Open(&[maybe("name", Schema::OrNull(&NAME)), maybe("description", NULLABLE_TEXT)])),
    ("TdMember", MEMBER),
    ("TdMembers", Schema::Bounded(&MEMBER_REF, 1, MEMBERS_MAX)),
    (
        "TdNewMember",
        Schema::Open(&[maybe("email", NULLABLE_TEXT), maybe("user_id", NULLABLE_TEXT), always("role", ROLE)]),
    ),
    ("TdRoleChange", Schema::Open(&[always("role", ROLE)])),
    ("TdUpdated", Schema::Closed(&[always("status", Schema::OneOf(&["updated"]))])),
    ("TdInvitation", INVITATION),
    // Those without an answer are bounded; of the others there may be any number.
    ("TdInvitations", Schema::List(&INVITATION_REF)),
    ("TdNewInvitation", Schema::Open(&[always("email", EMAIL), always("role", ROLE)])),
    ("TdDeclined", Schema::Closed(&[always("status", Schema::OneOf(&["declined"]))])),
    // The log.
    ("TdPush", PUSH),
    ("TdPushed", PUSHED),
    ("TdPulled", PULLED),
    (
        "TdStatus",
        Schema::Closed(&[
            always("event_count", Schema::COUNT),
            always("last_server_seq", Schema::COUNT),
            maybe("last_event_time", Schema::Time),
        ]),
    ),
    // Keys.
    ("TdKeys", Schema::List(&KEY)),
    // Signing in.
    ("TdLoginStart", Schema::Open(&[always("email", EMAIL)])),
    (
        "TdLoginStarted",
        Schema::Closed(&[
            always("device_code", Schema::Text),
            always("user_code", Schema::Text),
            always("verification_uri", Schema::Text),
            EXPIRES_IN,
            INTERVAL,
        ]),
    ),
    ("TdLoginPoll", Schema::Open(&[always("device_code", Schema::Text)])),
    (
        "TdDeviceStart",
        Schema::Open(&[
            always("email", EMAIL),
            always("code_challenge", Schema::Pattern("^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$")),
            always("code_challenge_method", Schema::OneOf(&["S256"])),
            maybe("device_name", NULLABLE_TEXT),
        ]),
    ),
    (
        "TdDeviceStarted",
        Schema::Closed(&[
            always("device_code", Schema::Text),
            EXPIRES_IN,
            INTERVAL,
            always("email_sent", Schema::Flag),
        ]),
    ),
    ("TdDevicePoll", Schema::Open(&[always("device_code", Schema::Text), always("code_verifier", Schema::Text)])),
    (
        "TdPolled",
        Schema::Either(&[
            Schema::Closed(&[always("status", Schema::OneOf(&["pending"]))]),
            Schema::Named("TdComplete"),
        ]),
    ),
    ("TdComplete", COMPLETE),
    (
        "TdWebStart",
        Schema::Open(&[always("email", EMAIL), always("redirect_uri", Schema::Text), always("state", Schema::Text)]),
    ),
    (
        "TdWebStarted",
        Schema::Closed(&[
            always("status", Schema::OneOf(&["email_sent_if_allowed"])),
            EXPIRES_IN,
            always("retry_after", Schema::COUNT),
        ]),
    ),
    ("TdWebExchange", Schema::Open(&[always("token", Schema::Text), always("state", Schema::Text)])),
    ("TdCodeForm", Schema::Open(&[always("user_code", Schema::Text)])),
    ("TdTokenForm", Schema::Open(&[always("token", Schema::Text)])),
];

const NULLABLE_TEXT: Schema = Schema::OrNull(&Schema::Text);
const NULLABLE_TIME: Schema = Schema::OrNull(&Schema::Time);
const WHOLE: Schema = Schema::Whole(i64::MIN, i64::MAX);
const ROLE: Schema = Schema::OneOf(&["owner", "writer", "reader"]);
const NAME: Schema = Schema::Chars(1, PROJECT_NAME_CHARS_MAX);
const EMAIL: Schema = Schema::Email;
const PROJECT_ID: Schema = Schema::Pattern("^p_[0-7][0-9a-f]{15}$");
const USER_ID: Schema = Schema::Pattern("^u_[0-7][0-9a-f]{15}$");

const PROJECT_REF: Schema = Schema::Named("TdProject");
const MEMBER_REF: Schema = Schema::Named("TdMember");
const INVITATION_REF: Schema = Schema::Named("TdInvitation");

const EXPIRES_IN: Field = always("expires_in", Schema::COUNT);
const INTERVAL: Field = always("interval", Schema::COUNT);

const ERROR: Schema = Schema::Closed(&[
    always("error", Schema::Closed(&[always("code", CODE), always("message", Schema::Text)])),
    always("code", CODE),
    always("message", Schema::Text),
]);

const CODE: Schema = Schema::OneOf(&[
    "bad_request",
    "unauthorized",
    "forbidden",
    "not_found",
    "snapshot_unavailable",
    "method_not_allowed",
    "conflict",
    "last_owner",
    "expired",
    "already_used",
    "invalid_verifier",
    "invalid_token",
    "invalid_state",
    "token_replayed",
    "token_expired",
    "too_large",
    "unsupported_encoding",
    "rate_limited",
    "internal_error",
    "timeout",
]);

const PROJECT: Schema = Schema::Closed(&[
    always("id", PROJECT_ID),
    always("name", Schema::Text),
    always("description", Schema::Text),
    always("slug", Schema::Text),
    always("created_at", Schema::Time),
    always("updated_at", Schema::Time),
    maybe("deleted_at", Schema::Time),
]);

const MEMBER: Schema = Schema::Closed(&[
    always("project_id", PROJECT_ID),
    always("user_id", USER_ID),
    always("email", Schema::Text),
    always("role", ROLE),
    // Empty for the creator.
    always("invited_by", Schema::Text),
    always("created_at", Schema::Time),
]);

const INVITATION: Schema = Schema::Closed(&[
    always("id", Schema::Pattern("^inv_[0-7][0-9a-f]{15}$")),
    always("project_id", PROJECT_ID),
    always("email", Schema::Text),
    always("role", ROLE),
    always("invited_by", USER_ID),
    always("status", Schema::OneOf(&["pending", "expired", "accepted", "declined"])),
    always("created_at", Schema::Time),
    always("expires_at", Schema::Time),
    maybe("accepted_at", Schema::Time),
]);

/// Names are taken in more spellings than these, and come back in these: docs/protocols/td.md.
const PUSH: Schema = Schema::Open(&[
    always("device_id", Schema::Chars(1, ID_BYTES_MAX)),
    always("session_id", Schema::Chars(1, ID_BYTES_MAX)),
    always(
        "events",
        Schema::Bounded(
            &Schema::Open(&[
                always("client_action_id", WHOLE),
                always("action_type", Schema::Text),
                always("entity_type", ENTITY_TYPE),
                always("entity_id", Schema::Chars(1, ID_BYTES_MAX)),
                always("payload", Schema::Open(&[])),
                always("client_timestamp", Schema::Time),
            ]),
            1,
            PUSH_EVENTS_MAX,
        ),
    ),
]);

const ENTITY_TYPE: Schema = Schema::OneOf(&super::normal::ENTITY_TYPE_NAMES);

const PUSHED: Schema = Schema::Closed(&[
    always("accepted", Schema::Whole(0, PUSH_EVENTS_MAX as i64)),
    always(
        "acks",
        Schema::OrNull(&Schema::Bounded(
            &Schema::Closed(&[always("client_action_id", WHOLE), always("server_seq", Schema::COUNT)]),
            1,
            PUSH_EVENTS_MAX,
        )),
    ),
    maybe(
        "rejected",
        Schema::Bounded(
            &Schema::Closed(&[
                always("client_action_id", WHOLE),
                always("reason", Schema::Text),
                maybe("server_seq", Schema::COUNT),
            ]),
            1,
            PUSH_EVENTS_MAX,
        ),
    ),
]);

const PULLED: Schema = Schema::Closed(&[
    always("events", Schema::Bounded(&EVENT, 0, PULL_EVENTS_MAX)),
    // What was presented is repeated where nothing follows it, whatever it was.
    always("last_server_seq", WHOLE),
    always("has_more", Schema::Flag),
]);

const EVENT: Schema = Schema::Closed(&[
    always("server_seq", Schema::COUNT),
    always("device_id", Schema::Text),
    always("session_id", Schema::Text),
    always("client_action_id", WHOLE),
    always("action_type", Schema::OneOf(&["create", "update", "delete", "soft_delete", "restore"])),
    always("entity_type", ENTITY_TYPE),
    always("entity_id", Schema::Text),
    always("payload", Schema::Open(&[])),
    always("client_timestamp", Schema::Time),
]);

const KEY: Schema = Schema::Closed(&[
    always("id", Schema::Pattern("^ak_[0-7][0-9a-f]{15}$")),
    always("name", Schema::Text),
    always("created_at", Schema::Time),
    always("last_used_at", NULLABLE_TIME),
    always("expires_at", NULLABLE_TIME),
]);

const COMPLETE: Schema = Schema::Closed(&[
    always("status", Schema::OneOf(&["complete"])),
    always("api_key", Schema::Text),
    always("user_id", USER_ID),
    always("email", Schema::Text),
    always("expires_at", Schema::Time),
]);
