//! One value, as the column holds it and as the record says it.

use rusqlite::types::Value;
use serde_json::value::RawValue;

use super::times;
use crate::table::Kind;

/// Why a value has no counterpart on the other side; a part of a sentence, without the value.
pub(super) type Unfit = &'static str;

/// What the record says of a column's value, as JSON.
pub(super) fn said(kind: Kind, value: &Value) -> Result<String, Unfit> {
    match (kind, value) {
        (_, Value::Null) => Ok("null".to_owned()),
        (_, Value::Blob(_)) => Err("holds bytes, which cannot be synced"),
        (Kind::Plain, Value::Integer(number)) => Ok(number.to_string()),
        (Kind::Plain, Value::Real(number)) if number.is_finite() => {
            serde_json::to_string(number).map_err(|_| "holds a number that cannot be written")
        }
        (Kind::Plain, Value::Real(_)) => Err("holds an infinite number, which cannot be synced"),
        (Kind::Plain, Value::Text(text)) => {
            serde_json::to_string(text).map_err(|_| "holds a text that cannot be written")
        }
        (Kind::Boolean, Value::Integer(number)) => Ok(if *number == 0 { "false" } else { "true" }.to_owned()),
        (Kind::Boolean, _) => Err("holds neither 0 nor 1"),
        (Kind::Json, Value::Text(text)) => match serde_json::from_str::<&RawValue>(text) {
            Ok(raw) => Ok(raw.get().to_owned()),
            Err(_) => Err("holds no JSON"),
        },
        (Kind::Json, _) => Err("holds no text of JSON"),
        (Kind::Time, Value::Text(text)) => match times::read(text) {
            Some(moment) => Ok(format!("\"{moment}\"")),
            None => Err("holds no time such as 2026-11-20 20:00:00"),
        },
        (Kind::Time, _) => Err("holds no time as text"),
    }
}

/// What goes into the column for what the record says.
pub(super) fn kept(kind: Kind, member: &str) -> Result<Value, Unfit> {
    if member == "null" {
        return Ok(Value::Null);
    }
    match kind {
        Kind::Json => Ok(Value::Text(member.to_owned())),
        Kind::Boolean => match member {
            "true" | "1" => Ok(Value::Integer(1)),
            "false" | "0" => Ok(Value::Integer(0)),
            _ => Err("is neither true nor false"),
        },
        Kind::Time => {
            let text = serde_json::from_str::<String>(member).map_err(|_| "is no time")?;
            times::read(&text).and_then(times::write).map(Value::Text).ok_or("is no time")
        }
        Kind::Plain => plain(member),
    }
}

fn plain(member: &str) -> Result<Value, Unfit> {
    match member.as_bytes().first() {
        Some(b'"') => serde_json::from_str(member).map(Value::Text).map_err(|_| "is a text that cannot be read"),
        Some(b't') => Ok(Value::Integer(1)),
        Some(b'f') => Ok(Value::Integer(0)),
        Some(b'[' | b'{') => Err("is a list or an object, where one value was expected"),
        _ => match (member.parse::<i64>(), member.parse::<f64>()) {
            (Ok(number), _) => Ok(Value::Integer(number)),
            (_, Ok(number)) if number.is_finite() => Ok(Value::Real(number)),
            _ => Err("is a number too large to keep"),
        },
    }
}

/// Whether the column holds what `member` says, so that the member can go back as it came, digit for digit.
pub(super) fn holds(kind: Kind, value: &Value, member: &str) -> bool {
    let Ok(expected) = kept(kind, member) else { return false };
    match (kind, value, &expected) {
        (Kind::Time, Value::Text(one), Value::Text(other)) => one == other || times::read(one) == times::read(other),
        (_, value, expected) => same(value, expected),
    }
}

/// Equal, as a column's affinity makes them so.
#[expect(clippy::cast_precision_loss, reason = "SQLite compares an integer with a real in this way")]
pub(super) fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Integer(one), Value::Real(other)) | (Value::Real(other), Value::Integer(one)) => *one as f64 == *other,
        (Value::Text(text), Value::Integer(number)) | (Value::Integer(number), Value::Text(text)) => {
            text.parse() == Ok(*number)
        }
        (Value::Text(text), Value::Real(number)) | (Value::Real(number), Value::Text(text)) => {
            text.parse() == Ok(*number)
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn values_are_said_and_kept() {
        let check = |kind, value: Value, member: &str| {
            assert_eq!(said(kind, &value).as_deref(), Ok(member));
            assert_eq!(kept(kind, member).as_ref(), Ok(&value), "{member}");
            assert!(holds(kind, &value, member), "{member}");
        };
        check(Kind::Plain, Value::Null, "null");
        check(Kind::Plain, Value::Integer(-7), "-7");
        check(Kind::Plain, Value::Integer(i64::MAX), "9223372036854775807");
        check(Kind::Plain, Value::Real(0.1), "0.1");
        check(Kind::Plain, text("a \"quoted\"\nline\0"), r#""a \"quoted\"\nline\u0000""#);
        check(Kind::Boolean, Value::Integer(1), "true");
        check(Kind::Boolean, Value::Integer(0), "false");
        check(Kind::Json, text("[1, {\"a\":null}]"), "[1, {\"a\":null}]");
        check(Kind::Json, Value::Null, "null");
    }

    #[test]
    fn a_time_is_one_moment_in_both_spellings() {
        let value = text("2026-11-20 20:00:00.120");
        let member = said(Kind::Time, &value).unwrap();
        assert_eq!(kept(Kind::Time, &member), Ok(value));
        assert!(holds(Kind::Time, &text("2026-11-20T20:00:00Z"), "\"2026-11-20T21:00:00.000+01:00\""));
        assert!(!holds(Kind::Time, &text("2026-11-20T20:00:01Z"), "\"2026-11-20T20:00:00Z\""));
    }

    #[test]
    fn what_affinity_changes_is_still_held() {
        assert!(holds(Kind::Plain, &Value::Real(5.0), "5"));
        assert!(holds(Kind::Plain, &Value::Integer(5), "5.0"));
        assert!(holds(Kind::Plain, &text("5"), "5"));
        assert!(holds(Kind::Plain, &Value::Real(1.8446744073709552e19), "18446744073709551615"));
        assert!(!holds(Kind::Plain, &Value::Integer(6), "5"));
        assert!(!holds(Kind::Plain, &Value::Null, "5"));
    }

    #[test]
    fn what_has_no_counterpart_is_said() {
        assert!(said(Kind::Plain, &Value::Blob(vec![1])).is_err());
        assert!(said(Kind::Plain, &Value::Real(f64::INFINITY)).is_err());
        assert!(said(Kind::Boolean, &text("yes")).is_err());
        assert!(said(Kind::Json, &text("{")).is_err());
        assert!(said(Kind::Time, &text("yesterday")).is_err());
        assert!(said(Kind::Time, &Value::Integer(1)).is_err());
        assert!(kept(Kind::Plain, "[1]").is_err());
        assert!(kept(Kind::Plain, "1e999").is_err());
        assert!(kept(Kind::Boolean, "\"yes\"").is_err());
        assert!(kept(Kind::Time, "\"yesterday\"").is_err());
    }
}
