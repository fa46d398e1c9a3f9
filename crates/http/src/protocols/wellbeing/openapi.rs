//! What the routes take and answer, for the OpenAPI document.

use tombolo_core::limits::NAME_BYTES_MAX;

use super::PROTOCOL;
use super::limits::{CHANGES_MAX, PAGE_RECORDS_MAX};
use crate::openapi::{Answer, Body, Content, Key, Operation, Part, Schema, always, answers, maybe, says};

pub(crate) const OPENAPI: Part = Part {
    tag: "wellbeing",
    meaning: "Records of an app in which people keep track of how they are: docs/protocols/wellbeing.md.",
    keys: &[
        ("wellbeing", Key::Bearer("An API key, wb_…, that 'tombolo token --for wellbeing' makes")),
        ("wellbeing_header", Key::Header("X-API-Key", "The same")),
    ],
    path_parameters: &[("id", Schema::Pattern("^ak_[0-7][0-9a-f]{15}$"))],
    operations: &[
        Operation {
            method: "post",
            path: "/v1/sync/upload",
            id: "wellbeing_upload",
            summary: "Takes what a device changed",
            body: Some(Body::Json(Schema::Named("WellbeingUpload"))),
            answers: &[
                &[says(200, "What became of it", Schema::Named("WellbeingUploaded"))],
                STALE,
                DEVICE_REFUSED,
                BODY_REFUSALS,
                KEY_REFUSALS,
                EVERYWHERE,
            ],
            ..KEYED
        },
        Operation {
            method: "post",
            path: "/v1/sync/download",
            id: "wellbeing_download",
            summary: "Gives a device what changed since a cursor",
            body: Some(Body::Json(Schema::Named("WellbeingDownload"))),
            answers: &[
                &[says(200, "A page of it", Schema::Named("WellbeingDownloaded"))],
                STALE,
                DEVICE_REFUSED,
                BODY_REFUSALS,
                KEY_REFUSALS,
                EVERYWHERE,
            ],
            ..KEYED
        },
        Operation {
            method: "delete",
            path: "/v1/sync/data",
            id: "wellbeing_erase",
            summary: "Erases the account's records, their history and its devices",
            answers: &[&[answers(204, "Nothing is stored any more", Content::Nothing)], KEY_REFUSALS, EVERYWHERE],
            ..KEYED
        },
        Operation {
            method: "get",
            path: "/v1/auth/api-keys",
            id: "wellbeing_keys",
            summary: "The caller's API keys",
            answers: &[&[says(200, "The keys", Schema::Named("WellbeingKeys"))], KEY_REFUSALS, EVERYWHERE],
            ..KEYED
        },
        Operation {
            method: "post",
            path: "/v1/auth/api-keys",
            id: "wellbeing_make_key",
            summary: "Makes another API key, which ends no later than the one that asks",
            body: Some(Body::Json(Schema::Open(&[always("name", Schema::Chars(1, NAME_BYTES_MAX))]))),
            answers: &[
                &[
                    says(201, "The key, shown this once", Schema::Named("WellbeingMadeKey")),
                    answers(409, "The name is taken, or there are too many keys", Content::Problem),
                ],
                BODY_REFUSALS,
                KEY_REFUSALS,
                EVERYWHERE,
            ],
            ..KEYED
        },
        Operation {
            method: "delete",
            path: "/v1/auth/api-keys/{id}",
            id: "wellbeing_revoke_key",
            summary: "Revokes an API key of the caller's",
            answers: &[
                &[
                    answers(204, "It opens nothing any more", Content::Nothing),
                    answers(404, "The caller has no such key", Content::Problem),
                ],
                KEY_REFUSALS,
                EVERYWHERE,
            ],
            ..KEYED
        },
        Operation {
            path: "/v1/meta",
            id: "wellbeing_meta",
            summary: "What this server is, and how much it takes at a time",
            keys: &[],
            answers: &[&[says(200, "What it is", Schema::Named("WellbeingMeta"))], EVERYWHERE],
            ..KEYED
        },
    ],
    schemas: &[
        ("WellbeingUpload", UPLOAD),
        ("WellbeingUploaded", UPLOADED),
        ("WellbeingDownload", DOWNLOAD),
        ("WellbeingDownloaded", DOWNLOADED),
        ("WellbeingChange", CHANGE),
        ("WellbeingRecord", RECORD),
        ("WellbeingReset", RESET),
        ("WellbeingKeys", Schema::Closed(&[always("api_keys", Schema::List(&KEY))])),
        ("WellbeingMadeKey", MADE_KEY),
        ("WellbeingMeta", META),
    ],
};

/// What most of these have in common.
const KEYED: Operation = Operation {
    method: "get",
    path: "",
    id: "",
    summary: "",
    keys: &["wellbeing", "wellbeing_header"],
    parameters: &[],
    body: None,
    answers: &[],
};

const EVERYWHERE: &[Answer] = &[
    answers(415, "The body is encoded as nothing that is read here", Content::Problem),
    answers(500, "Damage, or a bug", Content::Problem),
    answers(503, "Busy, or the disk cannot be used: the same may be sent again", Content::Problem),
];

const KEY_REFUSALS: &[Answer] = &[
    answers(401, "No key, or one that opens nothing", Content::Problem),
    answers(429, "Too many wrong keys from this address", Content::Problem),
];

const BODY_REFUSALS: &[Answer] = &[
    answers(400, "No JSON, or a body that did not arrive whole", Content::Problem),
    answers(413, "The body is too large, or brings too many changes", Content::Problem),
    answers(422, "JSON that is not what is wanted", Content::Problem),
];

const DEVICE_REFUSED: &[Answer] = &[answers(403, "The device is another user's", Content::Problem)];

const STALE: &[Answer] = &[
    answers(409, "The cursor is no good: start again from the beginning", Content::ProblemOf("WellbeingReset")),
    answers(410, "What the cursor is of was erased at the wish of its owner", Content::Problem),
];

/// In any case where it is read, in small letters where it is written.
const ID: Schema = Schema::Pattern("^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$");
const NULLABLE_CURSOR: Schema = Schema::OrNull(&Schema::Text);
const KIND: Schema = Schema::Pattern("^[A-Za-z][A-Za-z0-9_]{0,63}$");

/// A change that does not read is refused alone, so that anything may stand in the list.
const UPLOAD: Schema = Schema::Open(&[
    always("device_id", ID),
    maybe("client_cursor", NULLABLE_CURSOR),
    always(
        "changes",
        Schema::Bounded(&Schema::Either(&[Schema::Named("WellbeingChange"), Schema::Anything]), 0, CHANGES_MAX),
    ),
]);

const CHANGE: Schema = Schema::Open(&[
    always("entity_type", KIND),
    always("id", ID),
    always("updated_at", Schema::Time),
    maybe("deleted", Schema::Flag),
    maybe("data", Schema::OrNull(&Schema::Open(&[]))),
    maybe("base", Schema::OrNull(&Schema::Text)),
]);

const UPLOADED: Schema = Schema::Closed(&[
    always("server_cursor", Schema::Text),
    always("applied_ids", Schema::List(&ID)),
    always("applied", Schema::List(&ID)),
    always("versions", Schema::Open(&[])),
    always("conflicts", Schema::List(&CONFLICT)),
]);

const CONFLICT: Schema = Schema::Closed(&[
    always("entity_type", Schema::Text),
    always("id", Schema::Text),
    always("reason", Schema::Text),
    maybe("server", Schema::Named("WellbeingRecord")),
]);

/// A number outside of the bounds of a page is taken for the nearest within.
const DOWNLOAD: Schema = Schema::Open(&[
    always("device_id", ID),
    maybe("since", NULLABLE_CURSOR),
    maybe("limit", Schema::OrNull(&Schema::Whole(1, PAGE_RECORDS_MAX as i64))),
]);

const DOWNLOADED: Schema = Schema::Closed(&[
    always("server_cursor", Schema::Text),
    always("changes", Schema::List(&Schema::Named("WellbeingRecord"))),
    always("has_more", Schema::Flag),
]);

const RECORD: Schema = Schema::Closed(&[
    always("entity_type", KIND),
    always("id", ID),
    always("updated_at", Schema::Time),
    always("deleted", Schema::Flag),
    always("data", Schema::OrNull(&Schema::Open(&[]))),
    always("version", Schema::Text),
]);

const RESET: Schema = Schema::Open(&[
    always("status", Schema::Whole(409, 409)),
    always("code", Schema::OneOf(&["cursor_reset"])),
    always("reason", Schema::OneOf(&["restored", "ahead", "other_account", "unreadable"])),
    always("detail", Schema::Text),
]);

const KEY: Schema = Schema::Closed(&[
    always("id", Schema::Text),
    always("name", Schema::Text),
    always("created_at", Schema::Time),
    always("last_used_at", Schema::OrNull(&Schema::Time)),
    always("expires_at", Schema::OrNull(&Schema::Time)),
]);

const MADE_KEY: Schema =
    Schema::Closed(&[always("id", Schema::Text), always("name", Schema::Text), always("token", Schema::Text)]);

const META: Schema = Schema::Closed(&[
    always("server", Schema::OneOf(&["tombolo"])),
    always("version", Schema::Text),
    always("protocol", Schema::OneOf(&[PROTOCOL])),
    always(
        "limits",
        Schema::Closed(&[
            always("upload_bytes", Schema::COUNT),
            always("upload_changes", Schema::COUNT),
            always("record_bytes", Schema::COUNT),
            always("download_changes_default", Schema::COUNT),
            always("download_changes_max", Schema::COUNT),
        ]),
    ),
]);
