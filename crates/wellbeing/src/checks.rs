//! The rules that hold between the fields of one record.

use crate::{EntityType, Instrument, Invalid};

/// Checks what no field can be asked alone. `value` finds a field's value in its normal form; `None` where it is not
/// there, or `null`.
///
/// # Errors
/// [`Invalid`] names the field that does not go with the others.
pub(crate) fn check<'a>(kind: &EntityType, value: impl Fn(&str) -> Option<&'a str>) -> Result<(), Invalid> {
    match kind {
        EntityType::AssessmentEntry => assessment(value),
        EntityType::MoodEntry => {
            let number = |name| value(name).and_then(|text| text.parse::<i64>().ok());
            if number("value") > number("scale") {
                return Err(Invalid::new("value", "must be a whole number from 1 to its scale"));
            }
            Ok(())
        }
        EntityType::ActivityGoal if value("activity_id").is_some() == value("group_id").is_some() => {
            Err(Invalid::new("activity_id", "must be there, or group_id, and not both"))
        }
        _ => Ok(()),
    }
}

fn assessment<'a>(value: impl Fn(&str) -> Option<&'a str>) -> Result<(), Invalid> {
    let bare = |name| value(name).map(|text| text.trim_matches('"'));
    let is_draft = bare("status") == Some("draft");
    let severity = bare("severity");
    let score = value("score").and_then(|text| text.parse::<i64>().ok());
    if !is_draft {
        match (score, severity) {
            (None, _) => return Err(Invalid::new("score", "is missing")),
            (_, None) => return Err(Invalid::new("severity", "is missing")),
            (_, Some("unknown")) => return Err(Invalid::new("severity", "must be known where status is no draft")),
            _ => {}
        }
    }
    let Some(instrument) = bare("assessment_type").and_then(Instrument::of) else {
        return Ok(());
    };
    if score.is_some_and(|score| !(0..=instrument.score_max).contains(&score)) {
        let rule = format!("must be a whole number from 0 to {} for this assessment", instrument.score_max);
        return Err(Invalid::new("score", rule));
    }
    let band = score.and_then(|score| instrument.severity(score));
    if severity.is_some_and(|said| said != "unknown" && band.is_some_and(|band| band != said)) {
        return Err(Invalid::new("severity", "must be that of the score"));
    }
    value("responses").map_or(Ok(()), |list| responses(list, instrument, is_draft))
}

fn responses(list: &str, instrument: &Instrument, is_draft: bool) -> Result<(), Invalid> {
    let items = list.trim_matches(['[', ']']).split(',');
    let answers: Vec<i64> = items.filter_map(|text| text.parse().ok()).collect();
    if answers.len() != instrument.item_count {
        return Err(Invalid::new("responses", format!("must be {} for this assessment", instrument.item_count)));
    }
    if !is_draft && answers.contains(&-1) {
        return Err(Invalid::new("responses", "must all be given where status is no draft"));
    }
    if answers.iter().any(|answer| !(-1..=instrument.item_max).contains(answer)) {
        let rule = format!("must be whole numbers from 0 to {} for this assessment", instrument.item_max);
        return Err(Invalid::new("responses", rule));
    }
    Ok(())
}
