mod assessments;

use super::*;

pub(super) fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

pub(super) fn kind(name: &str) -> EntityType {
    name.parse().unwrap()
}

fn normal(name: &str, data: &str) -> Result<String, String> {
    normalise(&kind(name), &raw(data)).map_err(|invalid| invalid.to_string())
}

/// That `data` are written as `expected`, and those as themselves.
fn check(name: &str, data: &str, expected: &str) {
    assert_eq!(normal(name, data).as_deref(), Ok(expected), "{name} {data}");
    assert_eq!(normal(name, expected).as_deref(), Ok(expected), "{name} {expected}");
}

const ID: &str = "0b5b5cf2-5e2a-4c1d-8b7b-1f3e6a1c2d3e";
const OTHER: &str = "1b5b5cf2-5e2a-4c1d-8b7b-1f3e6a1c2d3e";

/// Data of each kind with nothing but what it must have, but for `field`, which is `value`.
fn with(name: &str, field: &str, value: &str) -> String {
    let least: &[(&str, &str)] = match name {
        "AssessmentEntry" => &[
            ("assessment_type", "\"PHQ9\""),
            ("score", "7"),
            ("severity", "\"mild\""),
            ("taken_at", "\"2026-11-20T20:00:00Z\""),
        ],
        "MoodEntry" => &[("value", "4"), ("recorded_at", "\"2026-11-20T20:00:00Z\"")],
        "Activity" => &[("label", "\"Walk\"")],
        "ActivityGroup" => &[("name", "\"Sport\"")],
        "ActivityLog" => {
            &[("activity_id", "\"0b5b5cf2-5e2a-4c1d-8b7b-1f3e6a1c2d3e\""), ("logged_at", "\"2026-11-20T20:00:00Z\"")]
        }
        "ActivityGoal" => &[
            ("activity_id", "\"0b5b5cf2-5e2a-4c1d-8b7b-1f3e6a1c2d3e\""),
            ("goal_type", "\"days_per_period\""),
            ("target_value", "3"),
            ("period_days", "7"),
        ],
        _ => &[("assessment_type", "\"PHQ9\""), ("frequency", "\"daily\"")],
    };
    let plain = least.iter().filter(|(known, _)| *known != field).map(|(name, value)| format!("\"{name}\":{value}"));
    let given = (!value.is_empty()).then(|| format!("\"{field}\":{value}"));
    format!("{{{}}}", plain.chain(given).collect::<Vec<_>>().join(","))
}

/// That `field` may be each of `values`.
fn takes(name: &str, field: &str, values: &[&str]) {
    for value in values {
        let taken = normal(name, &with(name, field, value));
        assert!(taken.is_ok(), "{name} {field} {value} {taken:?}");
    }
}

/// That `field` may be none of `values`, and that what is said of it begins with its name and `rule`.
fn refuses(name: &str, field: &str, rule: &str, values: &[&str]) {
    for value in values {
        let refused = normal(name, &with(name, field, value)).expect_err(&format!("{name} {field} {value}"));
        assert!(refused.starts_with(&format!("{field} {rule}")), "{name} {field} {value} {refused}");
    }
}

fn text_of(letters: usize) -> String {
    format!("\"{}\"", "ä".repeat(letters))
}

#[test]
fn every_field_is_written_in_one_order_and_spelling() {
    check(
        "AssessmentEntry",
        r#"{ "note" : "a\u0009b", "taken_at" : "2026-11-20 20:00:00" , "answers" : [ 1, 1,1,1,1,1,1.0,0,0 ],
            "status" : "Completed", "severity" : "Mild" , "score" : 7.0, "assessment_type" : "phq-9" }"#,
        r#"{"assessment_type":"PHQ9","score":7,"severity":"mild","status":"completed","responses":[1,1,1,1,1,1,1,0,0],"taken_at":"2026-11-20T20:00:00.000Z","notes":"a\tb"}"#,
    );
    check(
        "MoodEntry",
        &format!(
            r#"{{"recorded_at":[2025,314,12,0,0,0,0,0,0],"notes":null,"score":4,"activities":["{OTHER}","{}","{OTHER}"]}}"#,
            ID.to_uppercase()
        ),
        &format!(
            r#"{{"value":4,"scale":7,"activities":["{ID}","{OTHER}"],"note":null,"recorded_at":"2025-11-10T12:00:00.000Z"}}"#
        ),
    );
    check(
        "Activity",
        &format!(r##"{{"group_id":"{ID}","icon":"🚶","color":"#aBc","name":"  Walk\t"}}"##),
        &format!(r##"{{"label":"Walk","color_hex":"#aBc","icon":"🚶","group_id":"{ID}"}}"##),
    );
    check("ActivityGroup", r#"{"description":"","label":" Sport "}"#, r#"{"name":"Sport","description":""}"#);
    check(
        "ActivityLog",
        &format!(r#"{{"note":"x","logged_at":"2025-11-10 12:00:00.0 +00:00:00","activity_id":"{ID}"}}"#),
        &format!(r#"{{"activity_id":"{ID}","logged_at":"2025-11-10T12:00:00.000Z","notes":"x"}}"#),
    );
    check(
        "ActivityGoal",
        &format!(
            r#"{{"period_days":7,"target_value":3,"goal_type":"DaysPerPeriod","group_id":"{ID}","activity_id":null}}"#
        ),
        &format!(
            r#"{{"activity_id":null,"group_id":"{ID}","goal_type":"days_per_period","target_value":3,"period_days":7}}"#
        ),
    );
    check(
        "Schedule",
        r#"{"next_due":"2026-11-21 09:00:00","cadence":"Weekly","day_of_week":0,"time_of_day":"09:00","enabled":1,"assessment_type":"GAD-7"}"#,
        r#"{"frequency":"weekly","day_of_week":0,"assessment_type":"GAD7","time_of_day":"09:00","enabled":true,"next_due_at":"2026-11-21T09:00:00.000Z"}"#,
    );
}

#[test]
fn the_shapes_of_the_plan_are_taken() {
    takes("Schedule", "next_due_at", &["null", "\"2026-11-21T09:00:00Z\"", "[2026,1,0,0,0,0,0,0,0]"]);
    takes("Schedule", "frequency", &["\"Daily\"", "\"Weekly\"", "\"Biweekly\"", "\"Monthly\"", "\"BI-WEEKLY\""]);
    takes("AssessmentEntry", "id", &["\"no id at all\"", "null"]);
    check(
        "Activity",
        r#"{"id":"0b5b5cf2-5e2a-4c1d-8b7b-1f3e6a1c2d3e","label":"a","metadata":{"created_at":[2025,314,12,0,0,0,0,0,0],"updated_at":"?","deleted_at":null}}"#,
        r#"{"label":"a","metadata":{"created_at":"2025-11-10T12:00:00.000Z"}}"#,
    );
    check("Activity", r#"{"label":"a","metadata":{"created_at":null,"updated_at":"?"}}"#, r#"{"label":"a"}"#);
    check("Activity", r#"{"label":"a","metadata":null}"#, r#"{"label":"a"}"#);
    check("Activity", r#"{"label":"a","metadata":{}}"#, r#"{"label":"a"}"#);
}

#[test]
fn what_is_missing_is_named() {
    for (name, field) in [
        ("AssessmentEntry", "assessment_type"),
        ("AssessmentEntry", "score"),
        ("AssessmentEntry", "severity"),
        ("AssessmentEntry", "taken_at"),
        ("MoodEntry", "value"),
        ("MoodEntry", "recorded_at"),
        ("Activity", "label"),
        ("ActivityGroup", "name"),
        ("ActivityLog", "activity_id"),
        ("ActivityLog", "logged_at"),
        ("ActivityGoal", "goal_type"),
        ("ActivityGoal", "target_value"),
        ("ActivityGoal", "period_days"),
        ("Schedule", "assessment_type"),
        ("Schedule", "frequency"),
    ] {
        refuses(name, field, "is missing", &["", "null"]);
    }
    for (name, field) in [
        ("AssessmentEntry", "status"),
        ("AssessmentEntry", "responses"),
        ("AssessmentEntry", "notes"),
        ("MoodEntry", "scale"),
        ("MoodEntry", "activities"),
        ("MoodEntry", "note"),
        ("Activity", "color_hex"),
        ("Activity", "icon"),
        ("Activity", "group_id"),
        ("ActivityGroup", "description"),
        ("ActivityLog", "notes"),
        ("Schedule", "day_of_week"),
        ("Schedule", "day_of_month"),
        ("Schedule", "time_of_day"),
        ("Schedule", "enabled"),
        ("Schedule", "next_due_at"),
        ("Schedule", "last_triggered_at"),
    ] {
        takes(name, field, &["", "null"]);
    }
}

#[test]
fn moods_go_from_one_to_their_scale() {
    takes("MoodEntry", "value", &["1", "7", "5.0", "1e0"]);
    let rule = "must be a whole number from 1 to 7";
    refuses(
        "MoodEntry",
        "value",
        rule,
        &["0", "8", "-1", "4.5", "\"4\"", "true", "[]", "1e999", "99999999999999999999"],
    );
    takes("MoodEntry", "scale", &["5", "7", "null"]);
    refuses("MoodEntry", "scale", "must be 5 or 7", &["0", "6", "10", "\"7\"", "7.5"]);
    let of_five = |value: u8| normal("MoodEntry", &with("MoodEntry", "value", &format!("{value},\"scale\":5")));
    assert!(of_five(5).is_ok());
    assert_eq!(of_five(6).unwrap_err(), "value must be a whole number from 1 to its scale");
}

#[test]
fn activities_of_a_mood_are_a_set() {
    let many = |count: usize| format!("[{}]", vec![format!("\"{ID}\""); count].join(","));
    takes("MoodEntry", "activities", &["[]", "[ ]", &many(1), &many(1_000)]);
    refuses("MoodEntry", "activities", "must be at most 1000 UUIDs", &[&many(1_001)]);
    let rule = "must be a list of UUIDs";
    refuses(
        "MoodEntry",
        "activities",
        rule,
        &["{}", "\"\"", "[1]", "[null]", "[\"x\"]", &format!("[[\"{ID}\"]]"), "[\"a,b\"]"],
    );
}

#[test]
fn texts_have_a_length_and_no_unseen_characters() {
    for (name, field, chars_max) in [
        ("AssessmentEntry", "notes", 10_000),
        ("MoodEntry", "note", 5_000),
        ("ActivityLog", "notes", 500),
        ("ActivityGroup", "description", 500),
    ] {
        takes(name, field, &["\"\"", &text_of(chars_max), r#""a\n\r\tb""#, r#"" ""#]);
        let too_long = format!("must be at most {chars_max} characters long");
        refuses(name, field, &too_long, &[&text_of(chars_max + 1)]);
        refuses(
            name,
            field,
            "must hold no control characters",
            &[r#""\u0000""#, r#""a\u001b""#, "\"\u{7f}\"", r#""\u0085""#],
        );
        refuses(name, field, "must be a text without halves", &[r#""\ud83d""#]);
        refuses(name, field, "must be a text", &["1", "true", "[]", "{}"]);
    }
}

#[test]
fn names_have_a_length_without_the_space_around() {
    for (name, field, chars_max) in [("Activity", "label", 50), ("ActivityGroup", "name", 100)] {
        let padded = format!("\"  {} \\n\"", "ä".repeat(chars_max));
        takes(name, field, &["\"a\"", "\" a \"", &text_of(chars_max), &padded]);
        let rule = format!("must be 1 to {chars_max} characters long");
        refuses(name, field, &rule, &["\"\"", "\" \"", "\"\\n\\t\"", &text_of(chars_max + 1)]);
        refuses(name, field, "must hold no control characters", &[r#""a\u0007b""#]);
        refuses(name, field, "must be a text", &["1", "[]"]);
    }
}

#[test]
fn icons_and_colours() {
    takes("Activity", "icon", &["\"a\"", "\"🚶🏽‍♀️\"", &text_of(20)]);
    refuses("Activity", "icon", "must be 1 to 20 characters long", &["\"\"", &text_of(21)]);
    takes("Activity", "color_hex", &["\"#abc\"", "\"#aBcDeF\"", "\"#01234567\""]);
    let bad = [
        "\"\"",
        "\"#\"",
        "\"abc\"",
        "\"#ab\"",
        "\"#abcd\"",
        "\"#abcde\"",
        "\"#abcdefa\"",
        "\"#abcdefabc\"",
        "\"#ggg\"",
        "\"#äb\"",
        "\" #abc\"",
    ];
    refuses("Activity", "color_hex", "must be a colour such as", &bad);
}

#[test]
fn times_of_day_and_days() {
    takes("Schedule", "time_of_day", &["\"00:00\"", "\"09:30\"", "\"23:59\""]);
    let bad = [
        "\"24:00\"",
        "\"12:60\"",
        "\"9:30\"",
        "\"09:3\"",
        "\"0930\"",
        "\"09:30:00\"",
        "\"-1:30\"",
        "\"aa:bb\"",
        "\"\"",
    ];
    refuses("Schedule", "time_of_day", "must be a time of day such as 09:30", &bad);
    takes("Schedule", "day_of_week", &["0", "6"]);
    refuses("Schedule", "day_of_week", "must be a whole number from 0 to 6", &["-1", "7", "\"0\""]);
    takes("Schedule", "day_of_month", &["1", "31"]);
    refuses("Schedule", "day_of_month", "must be a whole number from 1 to 31", &["0", "32"]);
    refuses("Schedule", "frequency", "must be one of daily, weekly, biweekly, monthly", &["\"yearly\"", "\"\""]);
    takes("Schedule", "enabled", &["true", "false", "0", "1"]);
    refuses("Schedule", "enabled", "must be true or false", &["2", "\"true\"", "[]"]);
    for frequency in ["weekly", "biweekly", "monthly"] {
        takes("Schedule", "frequency", &[&format!("\"{frequency}\"")]);
    }
}

#[test]
fn a_goal_is_of_one_thing() {
    let both = format!("\"{ID}\",\"group_id\":\"{OTHER}\"");
    let rule = "must be there, or group_id, and not both";
    refuses("ActivityGoal", "activity_id", rule, &["", "null", &both, "null,\"group_id\":null"]);
    takes("ActivityGoal", "activity_id", &[&format!("null,\"group_id\":\"{OTHER}\"")]);
    refuses("ActivityGoal", "activity_id", "must be a UUID", &["\"x\"", "1", "\"\""]);
    takes("ActivityGoal", "goal_type", &["\"days_per_period\"", "\"percent_improvement\"", "\"PercentImprovement\""]);
    refuses("ActivityGoal", "goal_type", "must be one of days_per_period, percent_improvement", &["\"x\""]);
    for field in ["target_value", "period_days"] {
        takes("ActivityGoal", field, &["1", "100", "2147483647"]);
        refuses("ActivityGoal", field, "must be a whole number from 1 on", &["0", "-1", "1.5", "2147483648"]);
    }
}

#[test]
fn times_are_times() {
    for (name, field) in [
        ("AssessmentEntry", "taken_at"),
        ("MoodEntry", "recorded_at"),
        ("ActivityLog", "logged_at"),
        ("Schedule", "next_due_at"),
        ("Schedule", "last_triggered_at"),
    ] {
        takes(name, field, &["\"2026-11-20T20:00:00+01:00\"", "\"2026-11-20 20:00:00\""]);
        takes(name, field, &[r#""2026-11-20\u002020:00:00""#]);
        refuses(name, field, "must be a time such as", &["\"\"", "\"now\"", "0", "[]", "{}", "true", r#""\ud83d""#]);
    }
    let created = r#"{"label":"a","metadata":{"created_at":"x"}}"#;
    assert!(normal("Activity", created).unwrap_err().starts_with("created_at must be a time such as"));
}

#[test]
fn what_is_not_known_stays_as_it_was_written() {
    check(
        "Activity",
        r#"{"zoom":1.50, "label":"a", "later" : { "b":1e400, "a":[ -0.0,123456789012345678901234567890 ] },"\u0061ge":"\ud83d\/","metadata":{"z":1, "by":"x","created_at":"2026-11-20T20:00:00Z"}}"#,
        r#"{"label":"a","age":"\ud83d/","later":{"b":1e400,"a":[-0.0,123456789012345678901234567890]},"zoom":1.50,"metadata":{"created_at":"2026-11-20T20:00:00.000Z","by":"x","z":1}}"#,
    );
    check(
        "SleepLog",
        "{ \"metadata\" : 1, \"id\":2.0,\"b\":[ 1 , \"\\ud83d\" ],\n\"a\":{\"a\":1,\"a\":2} }",
        r#"{"a":{"a":1,"a":2},"b":[1,"\ud83d"],"id":2.0,"metadata":1}"#,
    );
    check("SleepLog", "{}", "{}");
}

#[test]
fn encrypted_data_pass_unread() {
    for data in [
        r#"{"enc":"v1","n":"AA==", "value":99}"#,
        r#"{ "metadata":{"z":1}, "\u0065nc" : null }"#,
        r#"{"a":1,"a":2,"enc":{}}"#,
    ] {
        for name in ["MoodEntry", "SleepLog"] {
            check(name, data, data);
            assert!(is_encrypted(data));
        }
    }
    for data in [r#"{"a":"enc"}"#, r#"{"a":{"enc":1}}"#, "1", r#"["enc"]"#] {
        assert!(!is_encrypted(data), "{data}");
    }
}

#[test]
fn what_is_said_twice_is_refused() {
    let refused =
        |name: &str, data: &str, expected: &str| assert_eq!(normal(name, data).unwrap_err(), expected, "{data}");
    refused("Activity", r#"{"label":"a","label":"a"}"#, "label is there twice, perhaps under two names");
    refused("Activity", r#"{"label":"a","n\u0061me":"a"}"#, "label is there twice, perhaps under two names");
    refused("Activity", r#"{"label":"a","secret":1,"secre\u0074":2}"#, "data must not have a member twice");
    refused("SleepLog", r#"{"secret":1,"secret":1}"#, "data must not have a member twice");
    refused("Activity", r#"{"label":"a","metadata":{"secret":1,"secret":1}}"#, "data must not have a member twice");
    refused(
        "Activity",
        r#"{"label":"a","metadata":{"created_at":null,"created_at":null}}"#,
        "created_at is there twice",
    );
    refused(
        "Activity",
        r#"{"label":"a","metadata":{},"metadata":{}}"#,
        "metadata is there twice, perhaps under two names",
    );
}

#[test]
fn what_is_no_object_or_too_deep() {
    for data in ["1", "null", "\"a\"", "[]", "true"] {
        for name in ["Activity", "SleepLog"] {
            assert_eq!(normal(name, data).unwrap_err(), "data must be an object");
        }
    }
    assert_eq!(normal("Activity", r#"{"label":"a","metadata":1}"#).unwrap_err(), "metadata must be an object");
    let nested = |depth: usize, enc: &str| {
        format!("{{{enc}\"label\":\"a\",\"x\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1))
    };
    for enc in ["", "\"enc\":1,"] {
        assert!(normal("Activity", &nested(64, enc)).is_ok());
        assert_eq!(normal("Activity", &nested(65, enc)).unwrap_err(), "data must not be nested deeper than 64");
        assert!(normal("Activity", &nested(100_000, enc)).is_err());
    }
}

#[test]
fn a_refusal_says_nothing_of_the_content() {
    for name in EntityType::KNOWN {
        let shape = Shape::of(&name).unwrap();
        for field in shape.fields {
            for value in ["\"geheim\\u0000\"", "[\"geheim\"]", "{\"geheim\":1}"] {
                if let Err(refused) = normal(name.as_str(), &with(name.as_str(), field.name, value)) {
                    assert!(!refused.contains("geheim"), "{refused}");
                }
            }
        }
    }
}
