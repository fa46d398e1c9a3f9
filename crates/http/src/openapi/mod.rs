//! The OpenAPI document of all routes that are served, at `/openapi.json`.
//!
//! Each protocol's folder has a table of its routes beside them (`openapi.rs`), from which the document is written. It
//! is a table, and no macros on types, since requests are read by hand: what is taken and what is refused is in no
//! type. That the table says what is true is seen by tests: it names every route that there is and no other, and
//! schemathesis holds the real binary to it.

mod operation;
mod schema;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::routing::get;
use serde_json::{Map, Value, json};

pub(crate) use operation::{Answer, Body, Content, Operation, Parameter, Place, answers, says};
pub(crate) use schema::{Field, Schema, always, maybe};

use crate::{App, Options, health, protocols};

/// What one protocol, or the server itself, says of its routes.
pub(crate) struct Part {
    /// What it is called.
    pub(crate) tag: &'static str,
    /// What it is.
    pub(crate) meaning: &'static str,
    /// Its credentials: the name of the scheme, and the scheme as OpenAPI describes it.
    pub(crate) keys: &'static [(&'static str, Key)],
    /// What the parameters of its paths may be.
    pub(crate) path_parameters: &'static [(&'static str, Schema)],
    /// Its routes.
    pub(crate) operations: &'static [Operation],
    /// What its routes take and answer, by names that no other part uses.
    pub(crate) schemas: &'static [(&'static str, Schema)],
}

/// How a credential is sent, and what it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Key {
    /// `Authorization: Bearer …`.
    Bearer(&'static str),
    /// A header of this name.
    Header(&'static str, &'static str),
    /// A parameter of the query of this name.
    Query(&'static str, &'static str),
}

/// The document of what is served under `options`.
#[must_use]
pub fn openapi(options: &Options) -> Value {
    let parts = [
        Some(&OPENAPI),
        Some(&health::OPENAPI),
        options.tickit.then_some(&protocols::tickit::OPENAPI),
        options.td.then_some(&protocols::td::OPENAPI),
        options.simple_sync.then_some(&protocols::simple_sync::OPENAPI),
        options.rooms.then(|| protocols::rooms::part(options)),
        options.wellbeing.then_some(&protocols::wellbeing::OPENAPI),
    ];
    let (mut paths, mut schemas, mut keys, mut tags) = (Map::new(), Map::new(), Map::new(), Vec::new());
    for part in parts.into_iter().flatten() {
        tags.push(json!({ "name": part.tag, "description": part.meaning }));
        for operation in part.operations {
            let path = paths.entry(operation.path).or_insert_with(|| json!({}));
            path[operation.method] = operation.render(part.tag, part.path_parameters);
        }
        schemas.extend(part.schemas.iter().map(|(name, schema)| ((*name).to_owned(), schema.render())));
        keys.extend(part.keys.iter().map(|(name, key)| ((*name).to_owned(), key.render())));
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tombolo",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "tags": tags,
        "paths": paths,
        "components": { "schemas": schemas, "securitySchemes": keys },
    });
    if let Some(url) = &options.public_url {
        document["servers"] = json!([{ "url": url }]);
    }
    document
}

/// The route of the document. It is written once, when somebody first asks for it: it does not change while the server
/// runs, and most never do.
pub(crate) fn routes() -> Router<Arc<App>> {
    let text = Arc::new(OnceLock::new());
    let document = async move |State(app): State<Arc<App>>| {
        let text: &Bytes = text.get_or_init(|| Bytes::from(openapi(&app.options).to_string()));
        ([(header::CONTENT_TYPE, "application/json")], text.clone()).into_response()
    };
    Router::new().route("/openapi.json", get(document).fallback(health::only_get))
}

const OPENAPI: Part = Part {
    tag: "document",
    meaning: "This document.",
    keys: &[],
    path_parameters: &[],
    operations: &[Operation {
        method: "get",
        path: "/openapi.json",
        id: "openapi",
        summary: "What the routes take and answer",
        keys: &[],
        parameters: &[],
        body: None,
        answers: &[&[says(200, "An OpenAPI document", Schema::Open(&[always("openapi", Schema::Text)]))]],
    }],
    schemas: &[],
};

impl Key {
    fn render(self) -> Value {
        match self {
            Self::Bearer(meaning) => json!({ "type": "http", "scheme": "bearer", "description": meaning }),
            Self::Header(name, meaning) => {
                json!({ "type": "apiKey", "in": "header", "name": name, "description": meaning })
            }
            Self::Query(name, meaning) => {
                json!({ "type": "apiKey", "in": "query", "name": name, "description": meaning })
            }
        }
    }
}
