//! Scores, bands and answers.

use super::{check, normal, refuses, takes, text_of};

/// An assessment of `code` with these.
fn assessed(code: &str, rest: &str) -> Result<String, String> {
    normal("AssessmentEntry", &format!(r#"{{"assessment_type":"{code}","taken_at":"2026-11-20 20:00:00",{rest}}}"#))
}

#[test]
fn scores_and_bands_are_those_of_the_assessment() {
    let every = ["minimal", "mild", "moderate", "moderately_severe", "severe", "unknown", "other"];
    for (code, bands) in [
        (
            "PHQ-9",
            &[
                (0, "minimal"),
                (4, "minimal"),
                (5, "mild"),
                (9, "mild"),
                (10, "moderate"),
                (14, "moderate"),
                (15, "moderately_severe"),
                (19, "moderately_severe"),
                (20, "severe"),
                (27, "severe"),
            ][..],
        ),
        (
            "GAD7",
            &[
                (0, "minimal"),
                (4, "minimal"),
                (5, "mild"),
                (9, "mild"),
                (10, "moderate"),
                (14, "moderate"),
                (15, "severe"),
                (21, "severe"),
            ],
        ),
        (
            "CES-D",
            &[
                (0, "minimal"),
                (15, "minimal"),
                (16, "mild"),
                (21, "mild"),
                (22, "moderate"),
                (36, "moderate"),
                (37, "severe"),
                (60, "severe"),
            ],
        ),
        ("oasis", &[(0, "minimal"), (7, "minimal"), (8, "moderate"), (14, "moderate"), (15, "severe"), (20, "severe")]),
    ] {
        for (score, band) in bands {
            for severity in every {
                let taken = assessed(code, &format!(r#""score":{score},"severity":"{severity}""#));
                assert_eq!(taken.is_ok(), severity == *band, "{code} {score} {severity} {taken:?}");
            }
        }
        let (score_max, _) = bands.last().unwrap();
        for score in [-1, score_max + 1] {
            let refused = assessed(code, &format!(r#""score":{score},"severity":"severe""#)).unwrap_err();
            assert_eq!(refused, format!("score must be a whole number from 0 to {score_max} for this assessment"));
        }
    }
}

#[test]
fn a_score_is_never_computed() {
    // A clinically right CES-D score turns four items round, and is not the sum of the answers.
    let answers = vec!["3"; 20].join(",");
    let taken = assessed("CESD", &format!(r#""score":48,"severity":"severe","responses":[{answers}]"#)).unwrap();
    assert!(taken.contains(r#""score":48"#), "{taken}");
}

#[test]
fn answers_are_as_many_and_as_great_as_the_questions_have() {
    for (code, items, item_max) in [("PHQ9", 9, 3), ("GAD7", 7, 3), ("CESD", 20, 3), ("OASIS", 5, 4)] {
        let answered = |count: usize, answer: i32, rest: &str| {
            let answers = vec![answer.to_string(); count].join(",");
            assessed(code, &format!(r#""score":0,"severity":"minimal","responses":[{answers}]{rest}"#))
        };
        assert!(answered(items, 0, "").is_ok() && answered(items, item_max, "").is_ok(), "{code}");
        for count in [0, items - 1, items + 1] {
            let refused = answered(count, 0, "").unwrap_err();
            assert_eq!(refused, format!("responses must be {items} for this assessment"));
        }
        let refused = answered(items, item_max + 1, "").unwrap_err();
        assert_eq!(refused, format!("responses must be whole numbers from 0 to {item_max} for this assessment"));
        assert_eq!(answered(items, -1, "").unwrap_err(), "responses must all be given where status is no draft");
        assert!(answered(items, -1, r#","status":"draft""#).is_ok(), "{code}");
        assert!(answered(items, -2, r#","status":"draft""#).is_err(), "{code}");
        assert!(answered(items - 1, -1, r#","status":"draft""#).is_err(), "{code}");
    }
    refuses(
        "AssessmentEntry",
        "responses",
        "must be a list of whole numbers",
        &["{}", "1", "[\"1\"]", "[[1]]", "[0.5]"],
    );
}

#[test]
fn only_a_draft_may_lack_its_result() {
    let missing = "severity must be known where status is no draft";
    assert_eq!(assessed("PHQ9", r#""score":3,"severity":"unknown""#).unwrap_err(), missing);
    assert_eq!(assessed("MINE", r#""score":3,"severity":"unknown""#).unwrap_err(), missing);
    for rest in [
        r#""status":"draft""#,
        r#""status":"draft","score":null,"severity":null"#,
        r#""status":"Draft","score":0,"severity":"unknown""#,
        r#""status":"draft","score":3,"severity":"minimal""#,
    ] {
        assert!(assessed("PHQ9", rest).is_ok(), "{rest}");
    }
    assert_eq!(
        assessed("PHQ9", r#""status":"draft","score":3,"severity":"severe""#).unwrap_err(),
        "severity must be that of the score"
    );
    assert_eq!(
        assessed("PHQ9", r#""status":"done","score":3,"severity":"minimal""#).unwrap_err(),
        "status must be one of draft, completed"
    );
}

#[test]
fn an_assessment_that_is_not_known_has_no_rules_of_its_own() {
    check(
        "AssessmentEntry",
        r#"{"assessment_type":"My-Own","score":-400,"severity":"Quite a lot","responses":[900,-2,-1],"taken_at":"2026-11-20 20:00:00"}"#,
        r#"{"assessment_type":"MyOwn","score":-400,"severity":"Quite a lot","status":"completed","responses":[900,-2,-1],"taken_at":"2026-11-20T20:00:00.000Z"}"#,
    );
    let many = |count: usize| {
        assessed("MINE", &format!(r#""score":0,"severity":"mild","responses":[{}]"#, vec!["0"; count].join(",")))
    };
    assert!(many(1_000).is_ok());
    assert_eq!(many(1_001).unwrap_err(), "responses must be at most 1000 whole numbers");
    takes("Schedule", "assessment_type", &["\"ABCDEFGHIJ\"", "\"A-B C_D\""]);
    let rule = "must be 1 to 10 letters and digits";
    refuses("Schedule", "assessment_type", rule, &["\"\"", "\"-\"", "\"ABCDEFGHIJK\"", "\"PHQ/9\"", "\"PHQ9ä\""]);
    refuses("AssessmentEntry", "score", "must be a whole number", &["0.5", "\"1\"", "2147483648"]);
    refuses("AssessmentEntry", "severity", "must be that of the score", &[&text_of(50)]);
    refuses("AssessmentEntry", "severity", "must be 1 to 50 characters long", &["\"\"", &text_of(51)]);
}
