//! That messages are read as the original server reads them.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

mod original {
    use super::*;

    /// What the original server reads messages as.
    #[derive(Debug, Deserialize)]
    #[serde(tag = "action", rename_all = "snake_case")]
    pub(super) enum ClientMessage {
        Join { room_code: String, peer_id: String, is_host: bool, metadata: Option<Value> },
        Leave,
        Broadcast { data: String },
        SyncDocument { document: String },
        RequestSync,
        Ping,
    }
}

/// What was read, without what differs in how it is kept.
#[derive(Debug, PartialEq)]
enum Read {
    Join(String, String, bool, Option<Value>),
    Text(&'static str, String),
    Bare(&'static str),
}

fn plain(text: &str) -> Result<Read, String> {
    use original::ClientMessage as Plain;
    let message = serde_json::from_str(text).map_err(|error| told(&error))?;
    Ok(match message {
        Plain::Join { room_code, peer_id, is_host, metadata } => Read::Join(room_code, peer_id, is_host, metadata),
        Plain::Leave => Read::Bare("leave"),
        Plain::Broadcast { data } => Read::Text("broadcast", data),
        Plain::SyncDocument { document } => Read::Text("sync", document),
        Plain::RequestSync => Read::Bare("request"),
        Plain::Ping => Read::Bare("ping"),
    })
}

fn ours(text: &str) -> Result<Read, String> {
    Ok(match parse(text)? {
        ClientMessage::Join { room_code, peer_id, is_host, metadata } => {
            let metadata = metadata.map(|text| serde_json::from_str(text).unwrap());
            Read::Join(room_code.into(), peer_id.into(), is_host, metadata)
        }
        ClientMessage::Leave => Read::Bare("leave"),
        ClientMessage::Broadcast { data } => Read::Text("broadcast", data.into()),
        ClientMessage::SyncDocument { document } => Read::Text("sync", document.into()),
        ClientMessage::RequestSync => Read::Bare("request"),
        ClientMessage::Ping => Read::Bare("ping"),
    })
}

#[test]
fn the_errors_are_those_that_clients_know() {
    let check = |text: &str, error: &str| assert_eq!(parse(text), Err(format!("{INVALID}{error}")), "{text}");
    check("not json", "expected ident at line 1 column 2");
    check("{}", "missing field `action` at line 1 column 2");
    check(
        r#"{"action":"nope"}"#,
        "unknown variant `nope`, expected one of `join`, `leave`, `broadcast`, `sync_document`, `request_sync`, \
         `ping` at line 1 column 16",
    );
    check(r#"{"action":"join","room_code":"A"}"#, "missing field `peer_id`");
    check(r#"{"action":"join","room_code":"A","peer_id":"p"}"#, "missing field `is_host`");
    check(
        r#"{"action":"join","room_code":"A","peer_id":5,"is_host":true}"#,
        "invalid type: integer `5`, expected a string",
    );
    check(r#"{"action":"broadcast"}"#, "missing field `data`");
    check(r#"{"action":"broadcast","data":{"a":1}}"#, "invalid type: map, expected a string");
    check(r#"{"action":"sync_document","document":null}"#, "invalid type: null, expected a string");
    check(
        r#""ping""#,
        "invalid type: string \"ping\", expected internally tagged enum ClientMessage at line 1 column 6",
    );
    check(r#"{"type":"ping"}"#, "missing field `action` at line 1 column 15");
    check(
        r#"{"action":"Ping"}"#,
        "unknown variant `Ping`, expected one of `join`, `leave`, `broadcast`, `sync_document`, `request_sync`, \
         `ping` at line 1 column 16",
    );
    check(r#"{"action":"ping","action":"leave"}"#, "duplicate field `action` at line 1 column 25");
}

#[test]
fn what_is_no_more_than_unusual_is_taken() {
    assert_eq!(parse(r#"{"action": "ping", "extra": 1}"#), Ok(ClientMessage::Ping));
    assert_eq!(parse(r#"["ping"]"#), Ok(ClientMessage::Ping));
    assert_eq!(parse(r#" {"document":"a\nb","action":"sync_document"} "#), Ok(document("a\nb")));
}

fn document(text: &str) -> ClientMessage<'_> {
    ClientMessage::SyncDocument { document: text.into() }
}

#[test]
fn what_a_peer_says_of_itself_is_kept_as_it_came() {
    let check = |sent: &str, kept: Option<&str>| {
        let text = format!(r#"{{"action":"join","room_code":"A","peer_id":"p","is_host":false{sent}}}"#);
        let Ok(ClientMessage::Join { metadata, .. }) = parse(&text) else { panic!("{text}") };
        assert_eq!(metadata, kept);
    };
    check("", None);
    check(r#","metadata":null"#, None);
    check(r#","metadata": "null""#, Some(r#""null""#));
    check(r#","metadata": {"z": 1.0, "a" :[1e2]} "#, Some(r#"{"z": 1.0, "a" :[1e2]}"#));
    check(r#","metadata": {"name":"ผู้ใช้ 42"}"#, Some(r#"{"name":"ผู้ใช้ 42"}"#));
}

#[test]
fn an_error_is_cut_between_two_characters() {
    let text = format!(r#"{{"action":"{}"}}"#, "ก".repeat(600));
    let error = parse(&text).unwrap_err();
    assert_eq!(error.chars().count(), ERROR_CHARS_MAX);
    assert!(error.starts_with("Invalid message format: unknown variant `กกก"));
}

#[test]
fn what_is_not_asked_for_costs_nothing() {
    // Each of these would be some gigabytes if it were kept until the action is known.
    let zeros = "0,".repeat(4 << 20);
    let members = r#""x":0,"#.repeat(1 << 20);
    let documents = r#""document":"","#.repeat(1 << 20);
    assert_eq!(parse(&format!(r#"{{"x":[{zeros}0],"action":"ping"}}"#)), Ok(ClientMessage::Ping));
    assert_eq!(parse(&format!(r#"{{{members}"action":"ping"}}"#)), Ok(ClientMessage::Ping));
    assert_eq!(parse(&format!(r#"{{{documents}"action":"ping"}}"#)), Ok(ClientMessage::Ping));
    let twice = format!(r#"{{{documents}"action":"sync_document"}}"#);
    assert_eq!(parse(&twice), Err(format!("{INVALID}duplicate field `document`")));
    assert!(parse(&format!(r#"["ping",{zeros}0]"#)).unwrap_err().starts_with(INVALID));
}

/// Values that a message may hold anywhere, right and wrong ones.
fn value() -> impl Strategy<Value = String> {
    let plain = prop_oneof![
        Just("null"),
        Just("true"),
        Just("-0"),
        Just("12"),
        Just("-7"),
        Just("1.5"),
        Just("1e999"),
        Just("18446744073709551616"),
        Just(r#""""#),
        Just(r#""x""#),
        Just(r#""a\n\"\u0e01""#),
        Just(r#""\ud800""#),
        Just("\"ก\""),
        Just("tru"),
        Just(""),
        Just(r#""join""#),
        Just(r#""broadcast""#),
        Just(r#""sync_document""#),
        Just(r#""ping""#),
    ]
    .prop_map(str::to_owned);
    plain.prop_recursive(3, 12, 4, |inner| {
        let members = prop::collection::vec((name(), inner.clone()), 0..4).prop_map(object);
        let deep = (100_usize..140, inner.clone())
            .prop_map(|(depth, inner)| format!("{}{inner}{}", "[".repeat(depth), "]".repeat(depth)));
        prop_oneof![4 => members, 4 => prop::collection::vec(inner, 0..4).prop_map(|all| format!("[{}]", all.join(","))), 1 => deep]
    })
}

fn name() -> impl Strategy<Value = String> {
    const NAMES: &[&str] =
        &["action", "room_code", "peer_id", "is_host", "metadata", "data", "document", "x", "\\u0061ction"];
    prop::sample::select(NAMES).prop_map(str::to_owned)
}

fn object(members: Vec<(String, String)>) -> String {
    let members: Vec<String> = members.into_iter().map(|(name, value)| format!(r#""{name}":{value}"#)).collect();
    format!("{{{}}}", members.join(","))
}

/// Whole messages, of which most are nearly right.
fn message() -> impl Strategy<Value = String> {
    let right = |name: &'static str| match name {
        "action" => prop::sample::select(
            &[r#""join""#, r#""broadcast""#, r#""sync_document""#, r#""leave""#, r#""request_sync""#][..],
        )
        .prop_map(str::to_owned)
        .boxed(),
        "is_host" => Just("true".to_owned()).boxed(),
        _ => Just(r#""A""#.to_owned()).boxed(),
    };
    let member = name().prop_flat_map(move |name| {
        let known = match name.as_str() {
            "action" => "action",
            "is_host" => "is_host",
            _ => "x",
        };
        let value = prop_oneof![3 => right(known), 1 => value()];
        (Just(name), value)
    });
    let members = prop::collection::vec(member, 0..9).prop_map(object);
    let elements = (right("action"), prop::collection::vec(value(), 0..7)).prop_map(|(action, mut rest)| {
        rest.insert(0, action);
        format!("[{}]", rest.join(" , "))
    });
    let joins = (value(), value()).prop_map(|(name, metadata)| {
        format!(r#"{{"action":"join","room_code":"A","peer_id":{name},"is_host":true,"metadata":{metadata}}}"#)
    });
    (prop_oneof![4 => members, 2 => elements, 2 => joins, 1 => value()], prop::option::weighted(0.2, 0_usize..80))
        .prop_map(|(text, cut)| match cut.and_then(|cut| text.char_indices().nth(cut)) {
            Some((end, _)) => text[..end].to_owned(),
            None => text,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn everything_is_read_as_the_original_reads_it(text in message()) {
        prop_assert_eq!(ours(&text), plain(&text));
    }
}
