use super::*;

const ID: Uuid = Uuid::from_u128(0x0b5b_5cf2_5e2a_4c1d_8b7b_1f3e_6a1c_2d3e);
const OTHER: Uuid = Uuid::from_u128(0x1b5b_5cf2_5e2a_4c1d_8b7b_1f3e_6a1c_2d3e);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-11-20T20:00:00Z")
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

fn change(entity_type: &str, data: &str) -> SyncChange {
    SyncChange {
        entity_type: entity_type.parse().unwrap(),
        id: ID,
        updated_at: at("2026-11-21T20:00:00Z"),
        deleted: false,
        data: Some(raw(data)),
        base: Base::Unsaid,
        version: None,
    }
}

/// One of each kind, with everything that it may have.
fn full() -> Vec<Entity> {
    let mut extra = Extra::default();
    extra.set("zoom \"1\"", raw("1.50"));
    let mut metadata = Metadata::new(at("2025-01-01T00:00:00.000001Z"));
    metadata.updated_at = now();
    metadata.extra.set("by", raw("[1e400]"));
    let (activity, group) = (ActivityId(OTHER), ActivityGroupId(OTHER));
    vec![
        Entity::AssessmentEntry(AssessmentEntry {
            responses: Some(vec![1, 0, 1, 0, 1]),
            notes: Some("line\n\"two\" \\ ä😀".to_owned()),
            metadata: metadata.clone(),
            extra: extra.clone(),
            ..AssessmentEntry::new(AssessmentEntryId(ID), AssessmentType::OASIS, 3, now())
        }),
        Entity::MoodEntry(MoodEntry {
            scale: 5,
            activities: vec![activity],
            note: Some(String::new()),
            metadata: metadata.clone(),
            extra: extra.clone(),
            ..MoodEntry::new(MoodEntryId(ID), 5, now())
        }),
        Entity::Activity(Activity {
            color_hex: Some("#aBc".to_owned()),
            icon: Some("🚶".to_owned()),
            group_id: Some(group),
            metadata: metadata.clone(),
            extra: extra.clone(),
            ..Activity::new(ActivityId(ID), "Walk", now())
        }),
        Entity::ActivityGroup(ActivityGroup {
            description: Some("x".to_owned()),
            metadata: metadata.clone(),
            extra: extra.clone(),
            ..ActivityGroup::new(ActivityGroupId(ID), "Sport", now())
        }),
        Entity::ActivityLog(ActivityLog {
            notes: Some("x".to_owned()),
            metadata: metadata.clone(),
            extra: extra.clone(),
            ..ActivityLog::new(ActivityLogId(ID), activity, now())
        }),
        Entity::ActivityGoal(ActivityGoal {
            metadata: metadata.clone(),
            extra: extra.clone(),
            ..ActivityGoal::days_per_period(ActivityGoalId(ID), GoalOf::Group(group), 3, 7, now())
        }),
        Entity::Schedule(Schedule {
            day_of_week: Some(0),
            day_of_month: Some(31),
            time_of_day: Some("09:30".to_owned()),
            enabled: false,
            next_due_at: Some(now()),
            last_triggered_at: Some(now()),
            metadata,
            extra,
            ..Schedule::new(ScheduleId(ID), AssessmentType::PHQ9, Frequency::Biweekly, now())
        }),
    ]
}

/// One of each kind, with nothing but what it must have.
fn least() -> Vec<Entity> {
    let activity = ActivityId(OTHER);
    vec![
        Entity::AssessmentEntry(AssessmentEntry::new(AssessmentEntryId(ID), AssessmentType::PHQ9, 15, now())),
        Entity::AssessmentEntry(AssessmentEntry::draft(AssessmentEntryId(ID), AssessmentType::CESD, now())),
        Entity::MoodEntry(MoodEntry::new(MoodEntryId(ID), 7, now())),
        Entity::Activity(Activity::new(ActivityId(ID), "Walk", now())),
        Entity::ActivityGroup(ActivityGroup::new(ActivityGroupId(ID), "Sport", now())),
        Entity::ActivityLog(ActivityLog::new(ActivityLogId(ID), activity, now())),
        Entity::ActivityGoal(ActivityGoal::days_per_period(
            ActivityGoalId(ID),
            GoalOf::Activity(activity),
            3,
            7,
            now(),
        )),
        Entity::Schedule(Schedule::new(ScheduleId(ID), AssessmentType::GAD7, Frequency::Daily, now())),
    ]
}

#[test]
fn a_record_comes_back_as_it_was_sent() {
    for record in full().into_iter().chain(least()) {
        let change = record.to_change(Base::Nothing).unwrap();
        assert_eq!((change.id, change.updated_at, change.deleted), (ID, now(), false));
        assert_eq!(change.entity_type, record.entity_type());
        let wire = serde_json::to_string(&change).unwrap();
        let read = Entity::from_change(&serde_json::from_str(&wire).unwrap()).unwrap();
        assert!(read == record, "{wire}");
        assert_eq!(read.to_data().unwrap().get(), record.to_data().unwrap().get());
        assert_eq!(record.validate(), Ok(()));
    }
}

#[test]
fn data_say_who_they_are_of_and_when_they_were_written() {
    let data = least()[2].to_data().unwrap();
    assert_eq!(
        data.get(),
        r#"{"id":"0b5b5cf2-5e2a-4c1d-8b7b-1f3e6a1c2d3e","value":7,"scale":7,"activities":[],"recorded_at":"2026-11-20T20:00:00.000Z","metadata":{"created_at":"2026-11-20T20:00:00.000Z","updated_at":"2026-11-20T20:00:00.000Z"}}"#
    );
}

#[test]
fn the_envelope_counts() {
    let data = r#"{"id":"x","score":3,"recorded_at":"2026-11-20 20:00:00","metadata":{"created_at":"2026-11-19 20:00:00","updated_at":"2031-01-01 00:00:00"},"a":1}"#;
    let Ok(Entity::MoodEntry(mood)) = Entity::from_change(&change("mood_entry", data)) else { panic!("it is a mood") };
    assert_eq!((mood.id.0, mood.value, mood.scale, mood.recorded_at), (ID, 3, 7, now()));
    assert_eq!(mood.metadata.updated_at, at("2026-11-21T20:00:00Z"));
    assert_eq!(mood.metadata.created_at, at("2026-11-19T20:00:00Z"));
    assert_eq!(mood.extra.get("a").map(RawValue::get), Some("1"));
    let data = r#"{"label":"a"}"#;
    let Ok(Entity::Activity(activity)) = Entity::from_change(&change("Activity", data)) else { panic!("an activity") };
    assert_eq!(activity.metadata.created_at, at("2026-11-21T20:00:00Z"));
}

#[test]
fn what_breaks_a_rule_is_not_sent() {
    let mut mood = MoodEntry::new(MoodEntryId(ID), 8, now());
    assert_eq!(mood.validate().unwrap_err().field, "value");
    mood.value = 7;
    assert_eq!(mood.validate(), Ok(()));
    mood.note = Some("x".repeat(5_001));
    assert_eq!(mood.to_data().unwrap_err().field, "note");
    mood.note = None;
    for name in ["enc", "id", "metadata", "score", "value"] {
        let mut mood = mood.clone();
        mood.extra.set(name, raw("1"));
        assert!(mood.validate().is_err(), "{name}");
    }
    let wrong = AssessmentEntry::new(AssessmentEntryId(ID), AssessmentType::PHQ9, 28, now());
    assert_eq!(wrong.validate().unwrap_err().field, "severity");
}

#[test]
fn what_does_not_read_is_passed_on_as_it_is() {
    for (kind, data, is_encrypted) in [
        ("MoodEntry", r#"{"enc" : "v1", "value":99}"#, true),
        ("SleepLog", r#"{ "hours":7.50 }"#, false),
        ("SleepLog", r#"{"enc":1}"#, true),
    ] {
        let change = change(kind, data);
        let read = Entity::from_change(&change).unwrap();
        let Entity::Opaque(opaque) = &read else { panic!("{data}") };
        assert_eq!(opaque.is_encrypted(), is_encrypted, "{data}");
        assert_eq!(read.to_data().unwrap().get(), data);
        assert_eq!((read.entity_type(), read.id(), read.updated_at()), (change.entity_type, ID, change.updated_at));
    }
    assert!(Entity::from_change(&change("SleepLog", "[]")).is_err());
    let encrypted = MoodEntry::from_data(MoodEntryId(ID), now(), &raw(r#"{"enc":1}"#)).unwrap_err();
    assert_eq!(encrypted.to_string(), "data must not be encrypted, to be read");
}

#[test]
fn a_deletion_says_nothing() {
    let gone = SyncChange { deleted: true, ..change("Activity", r#"{"label":"a"}"#) };
    assert_eq!(Entity::from_change(&gone).unwrap_err().to_string(), "data is missing");
    let empty = SyncChange { data: None, ..change("Activity", "{}") };
    assert!(Entity::from_change(&empty).is_err());
}

#[test]
fn nothing_of_the_content_is_printed() {
    let mut mood = MoodEntry::new(MoodEntryId(ID), 7, now());
    mood.note = Some("geheim".to_owned());
    mood.extra.set("geheim", raw("\"geheim\""));
    let opaque = Entity::from_change(&change("SleepLog", r#"{"geheim":1}"#)).unwrap();
    let printed = format!("{mood:?} {:?} {:?} {opaque:?}", mood.extra, Entity::MoodEntry(mood.clone()));
    assert!(printed.contains("MoodEntry") && !printed.contains("geheim"), "{printed}");
}

#[test]
fn members_that_are_not_known_are_found_by_name() {
    let mut extra = Extra::default();
    assert!(extra.is_empty());
    extra.set("a\"ä\n", raw("1"));
    extra.set("b", raw("2"));
    extra.set("a\"ä\n", raw("3"));
    assert_eq!(extra.get("a\"ä\n").map(RawValue::get), Some("3"));
    let listed: Vec<_> = extra.iter().map(|(name, value)| (name, value.get())).collect();
    assert_eq!(listed, [("b".to_owned(), "2"), ("a\"ä\n".to_owned(), "3")]);
    let mut turned = Extra::default();
    turned.set("a\"ä\n", raw("3"));
    assert_ne!(turned, extra);
    turned.set("b", raw("2"));
    assert_eq!(turned, extra);
    assert_eq!(extra.remove("b").map(|value| value.get().to_owned()).as_deref(), Some("2"));
    assert!(extra.get("b").is_none());
}

#[test]
fn words_are_read_in_every_spelling() {
    assert_eq!("Days-Per Period".parse(), Ok(GoalType::DaysPerPeriod));
    assert_eq!("PercentImprovement".parse(), Ok(GoalType::PercentImprovement));
    assert_eq!("BIWEEKLY".parse(), Ok(Frequency::Biweekly));
    assert_eq!("Draft".parse(), Ok(AssessmentStatus::Draft));
    let error = "geheim".parse::<Frequency>().unwrap_err().to_string();
    assert_eq!(error, "frequency must be one of daily, weekly, biweekly, monthly");
    for word in crate::rule::SEVERITIES {
        let severity = Severity::from(word);
        assert!(severity.as_str() == word && !matches!(severity, Severity::Other(_)), "{word}");
    }
    assert_eq!(Severity::from("ModeratelySevere"), Severity::ModeratelySevere);
    assert_eq!(Severity::from("Quite"), Severity::Other("Quite".to_owned()));
    assert_eq!("phq-9".parse(), Ok(AssessmentType::PHQ9));
    assert_eq!("My Own".parse::<AssessmentType>().unwrap().as_str(), "MyOwn");
    assert!("PHQ\"9".parse::<AssessmentType>().is_err());
    let known = [AssessmentType::PHQ9, AssessmentType::GAD7, AssessmentType::CESD, AssessmentType::OASIS];
    for (code, known) in known.iter().zip(crate::Instrument::KNOWN) {
        assert_eq!(code.instrument(), Some(&known));
    }
}
