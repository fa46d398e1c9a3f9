//! JSON for tests, and other spellings of the same value.

use proptest::prelude::*;
use serde_json::Value;

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// An object, with others in it.
pub(super) fn object() -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[a-e]{1,3}", json(), 0..8)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
}

/// Another spelling of a value: keys turned round, space everywhere, letters escaped.
pub(super) fn respelt(value: &Value, seed: usize, out: &mut String) {
    let space = [" ", "", "\n", "\t \r"][seed % 4];
    out.push_str(space);
    match value {
        Value::Array(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                out.push_str(if n > 0 { "," } else { "" });
                respelt(item, seed + n, out);
            }
            out.push_str(space);
            out.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.reverse();
            let middle = seed % members.len().max(1);
            members.rotate_left(middle);
            out.push('{');
            for (n, (key, value)) in members.into_iter().enumerate() {
                out.push_str(if n > 0 { "," } else { "" });
                escaped(key, seed + n, out);
                out.push_str(space);
                out.push(':');
                respelt(value, seed + n + 1, out);
            }
            out.push('}');
        }
        Value::String(text) => escaped(text, seed, out),
        other => out.push_str(&other.to_string()),
    }
    out.push_str(space);
}

fn escaped(text: &str, seed: usize, out: &mut String) {
    out.push('"');
    for (n, unit) in text.encode_utf16().enumerate() {
        let plain = char::from_u32(unit.into()).filter(|c| c.is_ascii_alphanumeric() && !(n + seed).is_multiple_of(3));
        match plain {
            Some(letter) => out.push(letter),
            None => out.push_str(&format!("\\u{unit:04X}")),
        }
    }
    out.push('"');
}
