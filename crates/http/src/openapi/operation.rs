//! What a route takes and what it answers.

use serde_json::{Map, Value, json};

use super::schema::Schema;

/// One method of one path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    /// Such as `get`.
    pub(crate) method: &'static str,
    /// As the router spells it, with its parameters in braces.
    pub(crate) path: &'static str,
    /// For programs: what a generated client calls it. Never changes.
    pub(crate) id: &'static str,
    /// For people.
    pub(crate) summary: &'static str,
    /// The credential that it takes, by the name of its scheme; none for everybody.
    pub(crate) keys: &'static [&'static str],
    /// What it takes beside the path and the body.
    pub(crate) parameters: &'static [Parameter],
    /// What it takes as its body.
    pub(crate) body: Option<Body>,
    /// What it answers, from several lists: what it shares with others, and what is its own. The first of a status
    /// counts.
    pub(crate) answers: &'static [&'static [Answer]],
}

/// A parameter of a query, or a header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    pub(crate) meaning: &'static str,
    pub(crate) schema: Schema,
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    Query,
    /// Likewise, where it must be there.
    RequiredQuery,
    Header,
}

/// What a request brings.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body {
    Json(Schema),
    /// What a page's form sends.
    Form(Schema),
}

/// One answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) meaning: &'static str,
    pub(crate) content: Content,
}

/// What an answer brings.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Content {
    Nothing,
    Json(Schema),
    /// `application/problem+json`.
    Problem,
    /// Likewise, with members of its own, as described under this name.
    ProblemOf(&'static str),
    Page,
    Plain,
    /// Server-sent events.
    Events,
}

/// An answer in JSON.
pub(crate) const fn says(status: u16, meaning: &'static str, schema: Schema) -> Answer {
    Answer { status, meaning, content: Content::Json(schema) }
}

/// An answer of any kind.
pub(crate) const fn answers(status: u16, meaning: &'static str, content: Content) -> Answer {
    Answer { status, meaning, content }
}

impl Operation {
    /// It, as OpenAPI describes it. `path_parameters` says what the parameters of paths may be.
    pub(super) fn render(&self, tag: &str, path_parameters: &[(&str, Schema)]) -> Value {
        let in_path = path_parameters.iter().filter(|(name, _)| self.path.contains(&format!("{{{name}}}")));
        let in_path = in_path
            .map(|(name, schema)| json!({ "name": name, "in": "path", "required": true, "schema": schema.render() }));
        let parameters: Vec<Value> = in_path.chain(self.parameters.iter().map(Parameter::render)).collect();
        let keys: Vec<Value> = self.keys.iter().map(|key| json!({ *key: [] })).collect();
        let mut responses = Map::new();
        for answer in self.answers.iter().copied().flatten() {
            responses.entry(answer.status.to_string()).or_insert_with(|| answer.render());
        }
        let mut operation = json!({
            "operationId": self.id,
            "summary": self.summary,
            "tags": [tag],
            "security": keys,
            "parameters": parameters,
            "responses": responses,
        });
        if let Some(body) = &self.body {
            operation["requestBody"] = body.render();
        }
        operation
    }
}

impl Parameter {
    fn render(&self) -> Value {
        let place = match self.place {
            Place::Query | Place::RequiredQuery => "query",
            Place::Header => "header",
        };
        let is_required = matches!(self.place, Place::RequiredQuery);
        json!({
            "name": self.name, "in": place, "required": is_required, "description": self.meaning,
            "schema": self.schema.render()
        })
    }
}

impl Body {
    fn render(&self) -> Value {
        let (kind, schema) = match self {
            Self::Json(schema) => ("application/json", schema),
            Self::Form(schema) => ("application/x-www-form-urlencoded", schema),
        };
        json!({ "required": true, "content": { kind: { "schema": schema.render() } } })
    }
}

impl Answer {
    fn render(&self) -> Value {
        let (kind, schema) = match self.content {
            Content::Nothing => return json!({ "description": self.meaning }),
            Content::Json(schema) => ("application/json", schema),
            Content::Problem => ("application/problem+json", Schema::Named("Problem")),
            Content::ProblemOf(name) => ("application/problem+json", Schema::Named(name)),
            Content::Page => ("text/html", Schema::Text),
            Content::Plain => ("text/plain", Schema::Text),
            Content::Events => ("text/event-stream", Schema::Text),
        };
        json!({ "description": self.meaning, "content": { kind: { "schema": schema.render() } } })
    }
}
