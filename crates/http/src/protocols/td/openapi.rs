//! What the routes take and answer, for the OpenAPI document: the routes here, their bodies in `openapi_schemas.rs`.

use super::openapi_schemas::SCHEMAS;
use crate::openapi::{Answer, Body, Content, Key, Operation, Parameter, Part, Place, Schema, answers, says};

pub(crate) const OPENAPI: Part = Part {
    tag: "td",
    meaning: "td, a command line for the tasks of a team: docs/protocols/td.md.",
    keys: &[("td", Key::Bearer("A key, td_live_…, that signing in gives, or 'tombolo token --for td' makes"))],
    path_parameters: &[
        ("id", Schema::Pattern("^p_[0-7][0-9a-f]{15}$")),
        ("user", Schema::Pattern("^u_[0-7][0-9a-f]{15}$")),
        ("invitation", Schema::Pattern("^inv_[0-7][0-9a-f]{15}$")),
        ("key", Schema::Pattern("^ak_[0-7][0-9a-f]{15}$")),
    ],
    operations: &[
        // Projects.
        route("get", "/v1/projects", "td_projects", "Lists one's projects", &[&[ok("TdProjects")], KEYED]),
        sends(
            route(
                "post",
                "/v1/projects",
                "td_project_new",
                "Makes a project",
                &[&[made("TdProject")], BODY, CONFLICT, KEYED],
            ),
            "TdNewProject",
        ),
        route("get", "/v1/projects/{id}", "td_project", "Shows a project", &[&[ok("TdProject")], OF_PROJECT, KEYED]),
        sends(
            route(
                "patch",
                "/v1/projects/{id}",
                "td_project_change",
                "Changes a project's name and description",
                &[&[ok("TdProject")], BODY, OF_PROJECT, KEYED],
            ),
            "TdProjectChange",
        ),
        route("delete", "/v1/projects/{id}", "td_project_delete", "Deletes a project", &[&[DONE], OF_PROJECT, KEYED]),
        // Members.
        route(
            "get",
            "/v1/projects/{id}/members",
            "td_members",
            "Lists a project's members",
            &[&[ok("TdMembers")], OF_PROJECT, KEYED],
        ),
        sends(
            route(
                "post",
                "/v1/projects/{id}/members",
                "td_member_new",
                "Adds a member",
                &[&[made("TdMember")], BODY, CONFLICT, OF_PROJECT, KEYED],
            ),
            "TdNewMember",
        ),
        sends(
            route(
                "patch",
                "/v1/projects/{id}/members/{user}",
                "td_member_change",
                "Changes a member's role",
                &[&[ok("TdUpdated")], BODY, CONFLICT, OF_PROJECT, KEYED],
            ),
            "TdRoleChange",
        ),
        route(
            "delete",
            "/v1/projects/{id}/members/{user}",
            "td_member_remove",
            "Removes a member, or leaves",
            &[&[DONE], CONFLICT, OF_PROJECT, KEYED],
        ),
        // Invitations.
        route(
            "get",
            "/v1/projects/{id}/invitations",
            "td_project_invitations",
            "Lists a project's invitations",
            &[&[ok("TdInvitations")], OF_PROJECT, KEYED],
        ),
        sends(
            route(
                "post",
                "/v1/projects/{id}/invitations",
                "td_invite",
                "Invites somebody by an address",
                &[&[made("TdInvitation")], BODY, CONFLICT, OF_PROJECT, KEYED],
            ),
            "TdNewInvitation",
        ),
        route(
            "delete",
            "/v1/projects/{id}/invitations/{invitation}",
            "td_invitation_withdraw",
            "Takes an invitation back",
            &[&[DONE], OF_PROJECT, KEYED],
        ),
        route(
            "get",
            "/v1/invitations",
            "td_invitations",
            "Lists the invitations to one's own address",
            &[&[ok("TdInvitations")], KEYED],
        ),
        route(
            "post",
            "/v1/invitations/{invitation}/accept",
            "td_invitation_accept",
            "Accepts an invitation",
            &[&[ok("TdMember")], ANSWERED, KEYED],
        ),
        route(
            "post",
            "/v1/invitations/{invitation}/decline",
            "td_invitation_decline",
            "Declines an invitation",
            &[&[ok("TdDeclined")], ANSWERED, KEYED],
        ),
        // The log.
        sends(
            route(
                "post",
                "/v1/projects/{id}/sync/push",
                "td_push",
                "Appends events to a project's log",
                &[&[ok("TdPushed")], BODY, OF_PROJECT, KEYED],
            ),
            "TdPush",
        ),
        Operation {
            parameters: &[
                query("after_server_seq", "What one has", NUMBER),
                query("limit", "Events at most; 10,000 whatever is said", Schema::Whole(1, i64::MAX)),
                query("exclude_client", "A device whose events are left out, where the server does that", Schema::Text),
            ],
            ..route(
                "get",
                "/v1/projects/{id}/sync/pull",
                "td_pull",
                "Reads a project's log",
                &[&[ok("TdPulled")], ASKED, OF_PROJECT, KEYED],
            )
        },
        route(
            "get",
            "/v1/projects/{id}/sync/status",
            "td_status",
            "Says how far a project's log goes",
            &[&[ok("TdStatus")], OF_PROJECT, KEYED],
        ),
        route(
            "get",
            "/v1/projects/{id}/sync/snapshot",
            "td_snapshot",
            "There is none: clients pull from the start",
            &[OF_PROJECT, KEYED],
        ),
        Operation {
            parameters: &[Parameter {
                name: "Last-Event-ID",
                place: Place::Header,
                meaning: "The id of the last event that was read",
                schema: Schema::Pattern("^[0-9]{1,18}$"),
            }],
            ..route(
                "get",
                "/v1/projects/{id}/events",
                "td_events",
                "Streams what happens in a project, without an end",
                &[&[answers(200, "A stream of events", Content::Events)], ASKED, OF_PROJECT, KEYED],
            )
        },
        // Keys.
        route("get", "/v1/keys", "td_keys", "Lists one's keys", &[&[ok("TdKeys")], KEYED]),
        route("delete", "/v1/keys/{key}", "td_key_revoke", "Revokes one of one's keys", &[&[DONE], NOT_FOUND, KEYED]),
        // Signing in.
        open(sends(
            route(
                "post",
                "/v1/auth/login/start",
                "td_login_start",
                "Begins a sign-in with a code (td up to 0.48)",
                &[&[ok("TdLoginStarted")], BODY, EVERYWHERE],
            ),
            "TdLoginStart",
        )),
        open(sends(
            route(
                "post",
                "/v1/auth/login/poll",
                "td_login_poll",
                "Asks whether it is approved",
                &[&[ok("TdPolled")], BODY, NOT_FOUND, GONE, EVERYWHERE],
            ),
            "TdLoginPoll",
        )),
        open(sends(
            route(
                "post",
                "/v1/auth/device/start",
                "td_device_start",
                "Begins a sign-in with a verifier (td since 0.49)",
                &[&[ok("TdDeviceStarted")], BODY, EVERYWHERE],
            ),
            "TdDeviceStart",
        )),
        open(sends(
            route(
                "post",
                "/v1/auth/device/poll",
                "td_device_poll",
                "Asks whether it is approved",
                &[&[ok("TdPolled")], BODY, NOT_LET_IN, GONE, EVERYWHERE],
            ),
            "TdDevicePoll",
        )),
        open(sends(
            route(
                "post",
                "/v1/auth/web/start",
                "td_web_start",
                "Begins a sign-in of a page",
                &[&[ok("TdWebStarted")], BODY, EVERYWHERE],
            ),
            "TdWebStart",
        )),
        open(sends(
            route(
                "post",
                "/v1/auth/web/exchange",
                "td_web_exchange",
                "Brings what was mailed for a key",
                &[&[ok("TdComplete")], BODY, NOT_LET_IN, EVERYWHERE],
            ),
            "TdWebExchange",
        )),
        // Pages.
        open(route("get", "/auth/verify", "td_verify_page", "The page on which a code is typed", &[PAGES])),
        Operation {
            body: Some(Body::Form(Schema::Named("TdCodeForm"))),
            ..open(route("post", "/auth/verify", "td_verify", "Takes the code, and has a link mailed", &[PAGES]))
        },
        Operation {
            parameters: &[query("token", "What the link was mailed with", Schema::Text)],
            ..open(route("get", "/auth/device/approve", "td_approve_page", "Where the mailed link leads", &[PAGES]))
        },
        Operation {
            body: Some(Body::Form(Schema::Named("TdTokenForm"))),
            ..open(route("post", "/auth/device/approve", "td_approve", "Approves a sign-in", &[PAGES]))
        },
    ],
    schemas: SCHEMAS,
};

const fn route(
    method: &'static str,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    answers: &'static [&'static [Answer]],
) -> Operation {
    Operation { method, path, id, summary, keys: &["td"], parameters: &[], body: None, answers }
}

/// Of a route that takes JSON.
const fn sends(operation: Operation, schema: &'static str) -> Operation {
    Operation { body: Some(Body::Json(Schema::Named(schema))), ..operation }
}

/// Of a route that takes no key.
const fn open(operation: Operation) -> Operation {
    Operation { keys: &[], ..operation }
}

const fn query(name: &'static str, meaning: &'static str, schema: Schema) -> Parameter {
    Parameter { name, place: Place::Query, meaning, schema }
}

const fn ok(schema: &'static str) -> Answer {
    says(200, "Done, or as asked", Schema::Named(schema))
}

const fn made(schema: &'static str) -> Answer {
    says(201, "Made", Schema::Named(schema))
}

const fn error(status: u16, meaning: &'static str) -> Answer {
    says(status, meaning, Schema::Named("TdError"))
}

const fn page(status: u16, meaning: &'static str) -> Answer {
    answers(status, meaning, Content::Page)
}

const NUMBER: Schema = Schema::Whole(i64::MIN, i64::MAX);
const DONE: Answer = answers(204, "Done", Content::Nothing);

/// What any route may answer.
const EVERYWHERE: &[Answer] = &[
    error(415, "The body is encoded as nothing that is read here"),
    error(429, "Too often: Retry-After says how long to wait"),
    error(500, "Damage, or a bug"),
    error(503, "Busy, or the disk cannot be used: the same may be sent again"),
];
/// What a route that takes a key may answer.
const KEYED: &[Answer] = &[
    error(401, "No key, or one that opens nothing"),
    error(415, "The body is encoded as nothing that is read here"),
    error(429, "Too often: Retry-After says how long to wait"),
    error(500, "Damage, or a bug"),
    error(503, "Busy, or the disk cannot be used: the same may be sent again"),
];
const OF_PROJECT: &[Answer] = &[
    error(403, "Not a member, or one whose role does not suffice"),
    error(404, "The project was deleted, or what the path names beside it is not there"),
];
const BODY: &[Answer] = &[ASKED[0], error(413, "The body is too large")];
const ASKED: &[Answer] = &[error(400, "What was sent does not read, or cannot be; the message names it")];
const CONFLICT: &[Answer] =
    &[error(409, "It is so already, a limit is reached, or a project would lose its last owner")];
const ANSWERED: &[Answer] = &[
    error(404, "There is no such invitation"),
    error(409, "It was answered already, or there is no room"),
    error(410, "The invitation ended"),
];
const NOT_FOUND: &[Answer] = &[error(404, "There is no such thing")];
const NOT_LET_IN: &[Answer] = &[error(401, "What was brought is not what the sign-in began with, or mailed")];
const GONE: &[Answer] = &[error(410, "The sign-in ended, or was used up")];

const PAGES: &[Answer] = &[
    page(200, "A page, which may say what is wrong"),
    page(400, "A link or a form that is none"),
    page(415, "The body is encoded as nothing that is read here"),
    page(429, "Too often"),
    page(500, "Damage, or a bug"),
    page(503, "Busy, or the disk cannot be used"),
];
