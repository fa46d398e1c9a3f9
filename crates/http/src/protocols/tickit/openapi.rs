//! What the route takes and answers, for the OpenAPI document.

use tombolo_core::limits::REPLICA_NAME_BYTES_MAX;

use super::limits::{CHANGES_MAX, CONFLICTS_MAX, REFUSED_MAX};
use crate::openapi::{Answer, Body, Content, Field, Key, Operation, Part, Schema, always, answers, maybe, says};

pub(crate) const OPENAPI: Part = Part {
    tag: "tickit",
    meaning: "Tickit, a personal task manager: docs/protocols/tickit.md.",
    keys: &[("tickit", Key::Bearer("A token, tks_…, that 'tombolo token --for tickit' makes"))],
    path_parameters: &[],
    operations: &[Operation {
        method: "post",
        path: "/api/v1/sync",
        id: "tickit_sync",
        summary: "Takes a device's changes and answers with what is new to it",
        keys: &["tickit"],
        parameters: &[],
        body: Some(Body::Json(Schema::Named("TickitSync"))),
        answers: &[&[says(200, "What is new", Schema::Named("TickitReply"))], REFUSALS],
    }],
    schemas: &[
        ("TickitSync", SYNC),
        ("TickitReply", REPLY),
        ("TickitTask", TASK),
        ("TickitList", LIST),
        ("TickitTag", TAG),
        ("TickitDeleted", DELETED),
        ("TickitTaskTag", TASK_TAG),
        ("TickitError", Schema::Closed(&[always("error", Schema::Text)])),
    ],
};

const REFUSED: Schema = Schema::Named("TickitError");

const REFUSALS: &[Answer] = &[
    says(400, "No JSON, or a body that did not arrive whole", REFUSED),
    says(401, "No token, or one that opens nothing", REFUSED),
    says(413, "The body is too large", REFUSED),
    says(415, "The body is not sent as JSON, or encoded as nothing that is read here", REFUSED),
    says(422, "JSON that is no sync", REFUSED),
    says(429, "Too many wrong tokens from this address", REFUSED),
    says(500, "Damage, or a bug", REFUSED),
    answers(503, "Busy, or the disk cannot be used: the same may be sent again", Content::Json(REFUSED)),
];

const NULLABLE_TEXT: Schema = Schema::OrNull(&Schema::Text);
const NULLABLE_TIME: Schema = Schema::OrNull(&Schema::Time);
/// In any case where it is read, in small letters where it is written.
const ID: Schema = Schema::Pattern("^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$");

/// A record that does not read is refused alone, so that anything may stand in the list.
const SYNC: Schema = Schema::Open(&[
    always("device_id", Schema::Chars(1, REPLICA_NAME_BYTES_MAX)),
    maybe("last_sync", NULLABLE_TIME),
    always("changes", Schema::Bounded(&Schema::Either(&[RECORD, Schema::Anything]), 0, CHANGES_MAX)),
]);

const REPLY: Schema = Schema::Closed(&[
    always("server_time", Schema::Time),
    always("changes", Schema::List(&WRITTEN)),
    always("conflicts", Schema::Bounded(&ID, 0, CONFLICTS_MAX)),
    always("refused", Schema::Bounded(&REFUSED_RECORD, 0, REFUSED_MAX)),
    always("more", Schema::Flag),
]);

const REFUSED_RECORD: Schema =
    Schema::Closed(&[always("id", Schema::Text), always("type", Schema::Text), always("reason", Schema::Text)]);

const WRITTEN: Schema = Schema::Either(&[
    Schema::Named("TickitTask"),
    Schema::Named("TickitList"),
    Schema::Named("TickitTag"),
    Schema::Named("TickitDeleted"),
]);

const RECORD: Schema = Schema::Either(&[
    Schema::Named("TickitTask"),
    Schema::Named("TickitList"),
    Schema::Named("TickitTag"),
    Schema::Named("TickitDeleted"),
    Schema::Named("TickitTaskTag"),
]);

const TASK: Schema = Schema::Open(&[
    always("type", Schema::OneOf(&["task"])),
    always("id", ID),
    always("title", Schema::Text),
    always("priority", Schema::OneOf(&["low", "medium", "high", "urgent"])),
    always("completed", Schema::Flag),
    always("list_id", Schema::Either(&[ID, Schema::OneOf(&[""])])),
    CREATED_AT,
    UPDATED_AT,
    maybe("description", NULLABLE_TEXT),
    maybe("url", NULLABLE_TEXT),
    maybe("completed_at", NULLABLE_TIME),
    maybe("due_date", NULLABLE_TEXT),
    maybe("tag_ids", Schema::OrNull(&Schema::List(&ID))),
]);

const LIST: Schema = Schema::Open(&[
    always("type", Schema::OneOf(&["list"])),
    always("id", ID),
    always("name", Schema::Text),
    CREATED_AT,
    UPDATED_AT,
    maybe("description", NULLABLE_TEXT),
    maybe("icon", NULLABLE_TEXT),
    maybe("color", NULLABLE_TEXT),
    maybe("is_inbox", Schema::OrNull(&Schema::Flag)),
    maybe("sort_order", Schema::OrNull(&Schema::Whole(i32::MIN as i64, i32::MAX as i64))),
]);

const TAG: Schema = Schema::Open(&[
    always("type", Schema::OneOf(&["tag"])),
    always("id", ID),
    always("name", Schema::Text),
    always("color", Schema::Text),
    CREATED_AT,
    maybe("updated_at", NULLABLE_TIME),
]);

const DELETED: Schema = Schema::Open(&[
    always("type", Schema::OneOf(&["deleted"])),
    always("id", ID),
    always("record_type", Schema::OneOf(&["task", "list", "tag"])),
    always("deleted_at", Schema::Time),
]);

const TASK_TAG: Schema = Schema::Open(&[
    always("type", Schema::OneOf(&["task_tag"])),
    always("task_id", ID),
    always("tag_id", ID),
    CREATED_AT,
]);

const CREATED_AT: Field = always("created_at", Schema::Time);
const UPDATED_AT: Field = always("updated_at", Schema::Time);
