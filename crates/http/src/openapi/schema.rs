//! What a value in a body or a parameter may be: JSON Schema as far as the routes need it.

use serde_json::{Map, Value, json};

/// What a value may be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Schema {
    /// Anything.
    Anything,
    /// What stands in the document's components under this name.
    Named(&'static str),
    /// A text.
    Text,
    /// A text of so many characters at least and at most.
    Chars(usize, usize),
    /// An e-mail address.
    Email,
    /// A text that this regular expression describes.
    Pattern(&'static str),
    /// A time as RFC 3339 writes it.
    Time,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A whole number within these bounds.
    Whole(i64, i64),
    /// Any number.
    Number,
    /// True or false.
    Flag,
    /// True.
    True,
    /// False.
    False,
    /// A list.
    List(&'static Schema),
    /// A list with so many items at least and at most.
    Bounded(&'static Schema, usize, usize),
    /// An object with these fields, and any others.
    Open(&'static [Field]),
    /// An object with these fields and no others: what the server answers.
    Closed(&'static [Field]),
    /// What one of these describes.
    Either(&'static [Schema]),
    /// This, or null.
    OrNull(&'static Schema),
}

/// A field of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    name: &'static str,
    schema: Schema,
    is_required: bool,
}

/// A field that must be there, or always is.
pub(crate) const fn always(name: &'static str, schema: Schema) -> Field {
    Field { name, schema, is_required: true }
}

/// A field that may be missing.
pub(crate) const fn maybe(name: &'static str, schema: Schema) -> Field {
    Field { name, schema, is_required: false }
}

impl Schema {
    /// A whole number that is never negative.
    pub(crate) const COUNT: Self = Self::Whole(0, i64::MAX);

    /// It, as JSON Schema.
    pub(crate) fn render(&self) -> Value {
        match self {
            Self::Anything => json!({}),
            Self::Named(name) => json!({ "$ref": format!("#/components/schemas/{name}") }),
            Self::Text => json!({ "type": "string" }),
            Self::Chars(least, most) => json!({ "type": "string", "minLength": least, "maxLength": most }),
            Self::Email => json!({ "type": "string", "format": "email" }),
            Self::Pattern(pattern) => json!({ "type": "string", "pattern": pattern }),
            Self::Time => json!({ "type": "string", "format": "date-time" }),
            Self::OneOf(texts) => json!({ "type": "string", "enum": texts }),
            Self::Whole(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
            Self::Number => json!({ "type": "number" }),
            Self::True => json!({ "const": true }),
            Self::False => json!({ "const": false }),
            Self::Flag => json!({ "type": "boolean" }),
            Self::List(items) => json!({ "type": "array", "items": items.render() }),
            Self::Bounded(items, least, most) => {
                json!({ "type": "array", "items": items.render(), "minItems": least, "maxItems": most })
            }
            Self::Open(fields) => object(fields),
            Self::Closed(fields) => {
                let mut object = object(fields);
                object["additionalProperties"] = Value::Bool(false);
                object
            }
            Self::Either(schemas) => json!({ "anyOf": schemas.iter().map(Self::render).collect::<Vec<_>>() }),
            Self::OrNull(schema) => json!({ "anyOf": [schema.render(), { "type": "null" }] }),
        }
    }
}

fn object(fields: &[Field]) -> Value {
    let required: Vec<&str> = fields.iter().filter(|field| field.is_required).map(|field| field.name).collect();
    let properties: Map<String, Value> =
        fields.iter().map(|field| (field.name.to_owned(), field.schema.render())).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}
