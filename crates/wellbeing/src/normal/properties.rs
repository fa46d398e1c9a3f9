//! What holds of every record, and how single ones are taken apart, put together and shown.

use proptest::prelude::*;

use super::tests::{kind, raw};
use super::*;
use crate::Instrument;

const ID: &str = "0b5b5cf2-5e2a-4c1d-8b7b-1f3e6a1c2d3e";
const NOW: &str = "2026-11-22T10:00:00.000Z";

fn envelope() -> Envelope<'static> {
    Envelope { id: ID, updated_at: NOW }
}

fn taken_apart(name: &str, normal: &str) -> Vec<(String, String)> {
    let fields = fields(&kind(name), normal).unwrap();
    fields.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

fn together(name: &str, fields: &[(String, String)]) -> Option<String> {
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    join(&kind(name), &fields)
}

fn check_fields(name: &str, data: &str, expected: &[(&str, &str)]) {
    let normal = normalise(&kind(name), &raw(data)).unwrap();
    let parts = taken_apart(name, &normal);
    let read: Vec<(&str, &str)> = parts.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(read, expected, "{data}");
    assert_eq!(together(name, &parts), Some(normal), "{data}");
}

#[test]
fn what_belongs_together_is_one_field() {
    check_fields(
        "AssessmentEntry",
        r#"{"assessment_type":"OASIS","score":3,"severity":"minimal","responses":[1,1,1,0,0],"taken_at":"2026-11-20 20:00:00","notes":"x","goal_of":1}"#,
        &[
            (
                "answers",
                r#""assessment_type":"OASIS","score":3,"severity":"minimal","status":"completed","responses":[1,1,1,0,0]"#,
            ),
            ("taken_at", r#""2026-11-20T20:00:00.000Z""#),
            ("notes", r#""x""#),
            (r#""goal_of""#, "1"),
        ],
    );
    check_fields(
        "MoodEntry",
        r#"{"value":4,"recorded_at":"2026-11-20 20:00:00","answers":[1],"metadata":{"created_at":"2026-11-20 20:00:00","by":"x"}}"#,
        &[
            ("value", r#""value":4,"scale":7"#),
            ("activities", "[]"),
            ("recorded_at", r#""2026-11-20T20:00:00.000Z""#),
            (r#""answers""#, "[1]"),
            ("created_at", r#""2026-11-20T20:00:00.000Z""#),
            ("metadata", r#"{"by":"x"}"#),
        ],
    );
    check_fields(
        "ActivityGoal",
        &format!(r#"{{"group_id":"{ID}","goal_type":"days_per_period","target_value":3,"period_days":7}}"#),
        &[
            ("goal_of", &format!(r#""group_id":"{ID}""#)),
            ("goal_type", r#""goal_type":"days_per_period","target_value":3"#),
            ("period_days", "7"),
        ],
    );
    check_fields(
        "Schedule",
        r#"{"assessment_type":"PHQ9","frequency":"monthly","day_of_month":3,"day_of_week":null,"time_of_day":"09:00"}"#,
        &[
            ("frequency", r#""frequency":"monthly","day_of_week":null,"day_of_month":3"#),
            ("assessment_type", r#""PHQ9""#),
            ("time_of_day", r#""09:00""#),
            ("enabled", "true"),
        ],
    );
    check_fields(
        "SleepLog",
        r#"{"value":4,"created_at":1,"metadata":{"created_at":2},"a\"b":{}}"#,
        &[(r#""a\"b""#, "{}"), (r#""created_at""#, "1"), (r#""metadata""#, r#"{"created_at":2}"#), (r#""value""#, "4")],
    );
    let data = r#"{"enc":"v1","value":4}"#;
    check_fields("MoodEntry", data, &[("enc", data)]);
    check_fields("SleepLog", data, &[("enc", data)]);
}

#[test]
fn what_cannot_be_is_not_put_together() {
    let refused =
        |name: &str, fields: &[(&str, &str)]| assert_eq!(join(&kind(name), fields), None, "{name} {fields:?}");
    let time = r#""2026-11-20T20:00:00.000Z""#;
    let mood = r#""value":4,"scale":7"#;
    let whole = join(&kind("MoodEntry"), &[("recorded_at", time), ("value", mood), ("note", ""), ("enc", "")]);
    assert_eq!(
        whole.as_deref(),
        Some(r#"{"value":4,"scale":7,"activities":[],"recorded_at":"2026-11-20T20:00:00.000Z"}"#)
    );
    refused("MoodEntry", &[("value", mood)]);
    refused("MoodEntry", &[("value", r#""value":7,"scale":5"#), ("recorded_at", time)]);
    refused("MoodEntry", &[("value", mood), ("recorded_at", time), ("colour", "1")]);
    refused("MoodEntry", &[("value", mood), ("recorded_at", time), ("\"score\"", "1")]);
    refused("MoodEntry", &[("value", mood), ("recorded_at", time), ("\"enc\"", "1")]);
    refused("MoodEntry", &[("value", mood), ("recorded_at", time), ("enc", r#"{"enc":1}"#)]);
    refused("MoodEntry", &[("value", mood), ("recorded_at", time), ("\"x\"", "1 2")]);
    refused("MoodEntry", &[("value", mood), ("recorded_at", time), ("\"x\"", "1}")]);
    refused("MoodEntry", &[("enc", r#"{"value":4,"scale":7,"recorded_at":"2026-11-20T20:00:00.000Z"}"#)]);
    refused("MoodEntry", &[]);
    refused("SleepLog", &[("value", "4")]);
    assert_eq!(join(&kind("SleepLog"), &[("\"value\"", "4")]).as_deref(), Some(r#"{"value":4}"#));
    assert_eq!(join(&kind("SleepLog"), &[]).as_deref(), Some("{}"));
}

#[test]
fn activities_are_merged_one_by_one() {
    let [a, b, c] = ["\"a\"", "\"b\"", "\"c\""];
    let merged = |base: &[&str], left: &[&str], right: &[&str]| {
        let set = |items: &[&str]| if items.is_empty() { String::new() } else { format!("[{}]", items.join(",")) };
        merge_set(&kind("MoodEntry"), "activities", &set(base), &set(left), &set(right)).unwrap()
    };
    assert_eq!(merged(&[], &[c, a], &[b]), r#"["a","b","c"]"#);
    assert_eq!(merged(&[a, b], &[a], &[b, c]), r#"["c"]"#);
    assert_eq!(merged(&[a], &[a], &[a]), r#"["a"]"#);
    assert_eq!(merged(&[a], &[], &[a, b]), r#"["b"]"#);
    for (name, field) in [("MoodEntry", "note"), ("AssessmentEntry", "responses"), ("SleepLog", "activities")] {
        assert_eq!(merge_set(&kind(name), field, "[]", "[]", "[]"), None, "{name} {field}");
    }
}

#[test]
fn data_go_out_with_what_the_envelope_says() {
    let check = |name: &str, normal: &str, expected: &str| {
        assert_eq!(present(&kind(name), normal, envelope()), expected, "{normal}");
        let mut out = b"before".to_vec();
        present_to(&mut out, &kind(name), normal, envelope());
        assert_eq!(out, format!("before{expected}").into_bytes());
    };
    check(
        "Activity",
        r#"{"label":"a"}"#,
        r#"{"id":"0b5b5cf2-5e2a-4c1d-8b7b-1f3e6a1c2d3e","label":"a","metadata":{"created_at":"2026-11-22T10:00:00.000Z","updated_at":"2026-11-22T10:00:00.000Z"}}"#,
    );
    check(
        "Activity",
        r#"{"label":"a","x":{"metadata":{"created_at":"no"}},"metadata":{"created_at":"2026-11-20T20:00:00.000Z"}}"#,
        r#"{"id":"0b5b5cf2-5e2a-4c1d-8b7b-1f3e6a1c2d3e","label":"a","x":{"metadata":{"created_at":"no"}},"metadata":{"created_at":"2026-11-20T20:00:00.000Z","updated_at":"2026-11-22T10:00:00.000Z"}}"#,
    );
    check(
        "Activity",
        r#"{"label":"a","metadata":{"created_at":"2026-11-20T20:00:00.000Z","by":"x","metadata":{}}}"#,
        r#"{"id":"0b5b5cf2-5e2a-4c1d-8b7b-1f3e6a1c2d3e","label":"a","metadata":{"created_at":"2026-11-20T20:00:00.000Z","updated_at":"2026-11-22T10:00:00.000Z","by":"x","metadata":{}}}"#,
    );
    check(
        "Activity",
        r#"{"label":"a","metadata":{"by":"x"}}"#,
        r#"{"id":"0b5b5cf2-5e2a-4c1d-8b7b-1f3e6a1c2d3e","label":"a","metadata":{"created_at":"2026-11-22T10:00:00.000Z","updated_at":"2026-11-22T10:00:00.000Z","by":"x"}}"#,
    );
    for normal in [
        r#"{"enc":"v1"}"#,
        r#"{"enc":"v1","metadata":{"z":1}}"#,
        r#"{"\u0065nc":"v1","metadata":{"z":1}}"#,
        r#"{"metadata":{"z":1},"label":"not in the normal form"}"#,
        r#"{ "metadata":{}, "\u0065nc":1}"#,
        r#"{"metadata":{"z":1},"label":"a","enc":1}"#,
        "no JSON",
        "",
        "{",
    ] {
        check("Activity", normal, normal);
    }
    check("SleepLog", r#"{"a":1,"metadata":{}}"#, r#"{"a":1,"metadata":{}}"#);
}

#[test]
fn the_time_of_creation_tells_nothing_apart() {
    let identity = |data: &'static str| without_created_at(&kind("Activity"), data);
    let created = identity(r#"{"label":"a","metadata":{"created_at":"2026-11-20T20:00:00.000Z"}}"#);
    assert_eq!(created, identity(r#"{"label":"a"}"#));
    assert_eq!(created, identity(r#"{"label":"a","metadata":{"created_at":"2025-11-20T20:00:00.000Z"}}"#));
    let more = identity(r#"{"label":"a","metadata":{"created_at":"2026-11-20T20:00:00.000Z","by":1}}"#);
    assert_eq!(more, identity(r#"{"label":"a","metadata":{"by":1}}"#));
    assert_ne!(created, more);
    assert_ne!(created, identity(r#"{"label":"b"}"#));
    assert_ne!(more, identity(r#"{"label":"a","by":1}"#));
    let data = r#"{"metadata":{"created_at":1}}"#;
    assert_eq!(without_created_at(&kind("SleepLog"), data), (data, ""));
}

/// Any JSON, as text with space in it.
fn json() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        "-?[1-9][0-9]{0,30}\\.[0-9]{1,5}(e[+-]?[0-9]{1,3})?",
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just(r#""\ud83d \u00E4\/""#.to_owned()),
    ];
    word.prop_recursive(3, 24, 4, |inner| {
        let item = (inner, "[ \n]{0,2}").prop_map(|(value, space)| format!("{space}{value}{space}"));
        let member = ("[a-c]{1,2}", item.clone()).prop_map(|(name, value)| format!("\"{name}\" :{value}"));
        prop_oneof![
            prop::collection::vec(item, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(member, 0..4).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

/// Members that no kind knows, under names that something else is called by, each once.
fn others() -> impl Strategy<Value = Vec<String>> {
    let name = prop_oneof![
        "[a-z\"\\\\ä]{1,3}",
        prop::sample::select(vec!["created_at", "answers", "goal_of", "updated_at", "tag", "\u{7}"])
            .prop_map(str::to_owned),
    ];
    prop::collection::btree_map(name, json(), 0..5).prop_map(|members| {
        let member = |(name, value): (String, String)| format!("{} : {value}", serde_json::to_string(&name).unwrap());
        members.into_iter().filter(|(name, _)| name != "enc" && name != "id").map(member).collect()
    })
}

fn times() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "\"2026-11-20T20:00:00Z\"",
        "\"2026-11-20 20:00:00.25\"",
        "[2026,1,0,0,0,0,0,0,0]",
        "\"2026-11-20T20:00:00.123456789+01:00\"",
    ])
}

fn optional(name: &'static str, values: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
    prop::option::of(prop::sample::select(values))
        .prop_map(move |value| value.map(|value| format!("\"{name}\":{value}")))
}

/// What a record must have, and some of what it may.
fn plain() -> impl Strategy<Value = (&'static str, Vec<Option<String>>)> {
    let notes: &[&str] = &["null", "\"\"", r#""a\u00e4\n\/ä""#];
    let mood = (
        1_u8..8,
        times(),
        optional("notes", notes),
        optional("activities", &["[]", "[\"0B5B5CF2-5E2A-4C1D-8B7B-1F3E6A1C2D3E\"]"]),
    )
        .prop_map(|(value, time, note, activities)| {
            let must = format!("\"score\":{value},\"recorded_at\":{time}");
            ("MoodEntry", vec![Some(must), note, activities])
        });
    let assessment = (
        0_i64..28,
        times(),
        optional("note", notes),
        optional("status", &["null", "\"Draft\""]),
        optional("answers", &["null", "[0,0,0,0,0,0,0,0,3]"]),
    )
        .prop_map(|(score, time, notes, status, answers)| {
            let severity = Instrument::of("PHQ9").unwrap().severity(score).unwrap();
            let must =
                format!(r#""taken_at":{time},"severity":"{severity}","assessment_type":"phq-9","score":{score}"#);
            ("AssessmentEntry", vec![status, Some(must), notes, answers])
        });
    let schedule = (
        times(),
        optional("day_of_week", &["3", "null"]),
        optional("day_of_month", &["31"]),
        optional("enabled", &["0", "true", "null"]),
    )
        .prop_map(|(time, week, month, enabled)| {
            let must = format!(r#""next_due":{time},"cadence":"Weekly","assessment_type":"MyOwn""#);
            ("Schedule", vec![month, enabled, Some(must), week])
        });
    let goal = (any::<bool>(), 1_u16.., optional("period_days", &["7", "7.0"])).prop_map(|(group, target, days)| {
        let of = if group { "group_id" } else { "activity_id" };
        let must = format!(r#""{of}":"{ID}","target_value":{target},"goal_type":"PercentImprovement""#);
        ("ActivityGoal", vec![Some(days.unwrap_or_else(|| "\"period_days\":1".to_owned())), Some(must)])
    });
    prop_oneof![mood, assessment, schedule, goal, Just(("SleepLog", Vec::new()))]
}

/// A kind, and data of it that are valid, in no order.
fn record() -> impl Strategy<Value = (&'static str, String)> {
    let metadata = prop::option::of((others(), prop::option::of(times())));
    (plain(), others(), metadata).prop_flat_map(|((name, members), others, metadata)| {
        let metadata = metadata.map(|(others, time)| {
            let created = time.map(|time| format!("\"created_at\":{time}"));
            let kept = others.into_iter().filter(|other| !other.starts_with("\"created_at\""));
            format!("\"metadata\":{{{}}}", kept.chain(created).collect::<Vec<_>>().join(" ,\n"))
        });
        let others = others.into_iter().filter(|other| name != "AssessmentEntry" || !other.starts_with("\"answers\""));
        let all: Vec<String> = members.into_iter().flatten().chain(others).chain(metadata).collect();
        Just(all).prop_shuffle().prop_map(move |all| (name, format!("{{ {} }}", all.join(","))))
    })
}

proptest! {
    #[test]
    fn the_normal_form_is_that_of_itself((name, data) in record()) {
        let normal = normalise(&kind(name), &raw(&data)).map_err(|invalid| TestCaseError::fail(invalid.to_string()))?;
        prop_assert_eq!(normalise(&kind(name), &raw(&normal)), Ok(normal.clone()));
    }

    #[test]
    fn what_is_taken_apart_is_put_together((name, data) in record(), turn in 0_usize..10) {
        let normal = normalise(&kind(name), &raw(&data)).unwrap();
        let mut parts = taken_apart(name, &normal);
        let names: std::collections::BTreeSet<_> = parts.iter().map(|(name, _)| name.clone()).collect();
        prop_assert_eq!(names.len(), parts.len());
        let middle = turn % parts.len().max(1);
        parts.rotate_left(middle);
        prop_assert_eq!(together(name, &parts), Some(normal));
    }

    #[test]
    fn what_goes_out_comes_back_the_same((name, data) in record()) {
        let normal = normalise(&kind(name), &raw(&data)).unwrap();
        let shown = present(&kind(name), &normal, envelope());
        let again = normalise(&kind(name), &raw(&shown)).unwrap();
        let identity = |normal| without_created_at(&kind(name), normal);
        prop_assert_eq!(identity(&again), identity(&normal));
        prop_assert_eq!(present(&kind(name), &again, envelope()), shown);
    }

    #[test]
    fn what_is_not_known_survives(value in json(), (name, data) in record()) {
        let sent = data.replacen('{', if data.trim_matches(['{', '}', ' ']).is_empty() { "{\"~\":?" } else { "{\"~\":?," }, 1).replacen('?', &value, 1);
        let normal = normalise(&kind(name), &raw(&sent)).unwrap();
        let mut compact = String::new();
        crate::walk::compact(&value, &mut compact).unwrap();
        let members = members(&normal).unwrap();
        let (_, kept) = members.iter().find(|(name, _)| *name == "~").unwrap();
        prop_assert_eq!(*kept, compact.as_str());
        // No word of it changed, whatever became of the space between and the spelling of letters.
        let plain = |text: &str| text.replace([' ', '\n'], "");
        if !value.contains('\\') {
            prop_assert_eq!(plain(kept), plain(&value));
        }
    }

    #[test]
    fn no_json_breaks_it(value in json(), n in 0_usize..8, field in "[a-z_]{1,4}") {
        let kinds = [&EntityType::KNOWN[..], &[kind("SleepLog")]].concat();
        let known = Shape::of(&kinds[n]).map_or("x", |shape| shape.fields[field.len() % shape.fields.len()].name);
        for text in [format!("{{\"{known}\":{value}}}"), format!("{{\"{field}\":{value}}}"), value] {
            if let Ok(normal) = normalise(&kinds[n], &raw(&text)) {
                prop_assert!(fields(&kinds[n], &normal).is_some());
            }
        }
    }

    #[test]
    fn no_text_breaks_it(text in "[\\[\\]{}\",:\\\\ u0-9a-dä]{0,40}", name in "\"?[a-z]{0,5}\"?") {
        for kind in EntityType::KNOWN {
            let _ = (members(&text), fields(&kind, &text), without_created_at(&kind, &text), is_encrypted(&text));
            let _ = (present(&kind, &text, envelope()), join(&kind, &[(&name, &text)]), normal_of(&kind, &text));
            let _ = (join(&kind, &[("metadata", &text)]), merge_set(&kind, "activities", &text, &text, &text));
        }
    }
}
