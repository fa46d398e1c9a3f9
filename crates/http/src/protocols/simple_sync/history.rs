//! Answers that carry events: the whole history, or what is new in it.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tombolo_core::{Cursor, Seq};
use tombolo_service::{Asked, Encoding, Form, History, REPLIES_PER_USER_MAX, Seat, Shown, Since};

use super::caller::Caller;
use super::error::EventError;
use super::parts_body::PartsBody;
use super::query::{After, unknown};
use super::timestamp::Timestamp;
use super::wire::JSON;
use crate::App;
use crate::compression::Uncompressed;
use crate::metrics::LimitClass;

/// Where a log ended when an answer was made.
pub(super) const SYNC_CURSOR: HeaderName = HeaderName::from_static("sync-cursor");
/// What an answer follows from, beside its path.
const VARY: HeaderValue = HeaderValue::from_static("Authorization, X-API-Key, Accept-Encoding");
/// It is one user's, and good as long as the server says so.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("private, no-cache");

/// What a client is told to wait whose user has too many replies under way: one takes less, where it is read.
const UNDER_WAY_WAIT: Duration = Duration::from_secs(1);

/// What is compressed for one reader alone, in bytes: a page of what is new. A history is compressed for all, or sent as it
/// is until it was.
const COMPRESSED_ALONE_BYTES_MAX: u64 = 256 * 1024;

/// The whole history, or of it what was written at `from` or later; 304 for whoever has it, as `If-None-Match` among
/// `headers` says.
pub(super) async fn whole(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    from: Option<Timestamp>,
) -> Result<Response, EventError> {
    let form = caller.form();
    let suffix = suffix(form, from);
    let encoding = if takes_gzip(headers) { Encoding::Gzip } else { Encoding::Identity };
    let from_millis = from.map(|from| i64::try_from(from.millis()).unwrap_or(i64::MAX));
    let history = match has(headers, &suffix) {
        Has::Any => History::Unchanged(app.events.head().await?),
        Has::These(cursors) => {
            let known = newest(app, &cursors).await?;
            app.events.history(Asked { form, encoding, from_millis, known }).await?
        }
    };
    let (cursor, mut response) = match history {
        History::Unchanged(cursor) => (cursor, StatusCode::NOT_MODIFIED.into_response()),
        History::Shown(shown) => {
            // How many events a part of it has is not known.
            let before = from.map_or(Seq::ZERO, |_| shown.cursor.seq);
            (shown.cursor, shown_after(app, caller, shown, before)?)
        }
    };
    let etag = format!("W/\"{cursor}{suffix}\"");
    response.headers_mut().insert(header::ETAG, HeaderValue::try_from(etag).expect("digits and letters are a header"));
    stamp(response.headers_mut(), cursor);
    Ok(response)
}

/// What came after `after`, in the order of arrival.
pub(super) async fn news(app: &App, caller: &Caller, after: After) -> Result<Response, EventError> {
    let cursor = after.cursor();
    match app.events.since(cursor, caller.form()).await? {
        Since::News(shown) => {
            let end = shown.cursor;
            let mut response = shown_after(app, caller, shown, cursor.map_or(Seq::ZERO, |cursor| cursor.seq))?;
            stamp(response.headers_mut(), end);
            Ok(response)
        }
        Since::Unknown => Err(unknown()),
    }
}

/// Whether the caller may be sent one more reply that is read from the store meanwhile. To be asked before something is
/// stored that such a reply may follow.
pub(super) fn has_seat(app: &App, caller: &Caller) -> Result<(), EventError> {
    seat(app, caller).map(drop)
}

/// What a reply holds that takes much memory for whoever does not read it.
pub(super) fn seat(app: &App, caller: &Caller) -> Result<Seat, EventError> {
    app.events.reply_seat(caller.user()).ok_or_else(|| {
        app.metrics.limited(LimitClass::Pull);
        let message = format!("{REPLIES_PER_USER_MAX} long replies to this user are under way: read them first");
        EventError::too_many(message, UNDER_WAY_WAIT)
    })
}

/// Sends what comes after `after`.
fn shown_after(app: &App, caller: &Caller, shown: Shown, after: Seq) -> Result<Response, EventError> {
    let events = usize::try_from(shown.cursor.seq.get().saturating_sub(after.get())).unwrap_or(usize::MAX);
    // What is kept for all readers costs nothing more for one who does not read; what is read from the store does.
    let seat = if shown.bytes.is_none() { Some(seat(app, caller)?) } else { None };
    let is_small = shown.bytes.is_some_and(|bytes| bytes <= COMPRESSED_ALONE_BYTES_MAX);
    let encoding = shown.encoding;
    let body = PartsBody::body(shown, events, app.metrics.clone(), seat);
    let mut response = ([(header::CONTENT_TYPE, JSON)], body).into_response();
    if !is_small {
        response.extensions_mut().insert(Uncompressed);
    }
    if encoding == Encoding::Gzip {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

fn stamp(headers: &mut HeaderMap, cursor: Cursor) {
    let cursor = HeaderValue::try_from(cursor.to_string()).expect("digits and letters are a header");
    headers.extend([(SYNC_CURSOR, cursor), (header::VARY, VARY), (header::CACHE_CONTROL, CACHE_CONTROL)]);
}

/// What an entity tag ends in: it tells apart what is shown of the same log.
fn suffix(form: Form, from: Option<Timestamp>) -> String {
    let form = match form {
        Form::Today => "today",
        Form::First => "first",
    };
    from.map_or_else(|| format!("-{form}"), |from| format!("-{form}-{}", from.millis()))
}

/// What a reader says that he has.
#[derive(Debug, PartialEq, Eq)]
enum Has {
    /// Whatever there is.
    Any,
    /// What these tags, which this could have been given out with, were given out with.
    These(Vec<Cursor>),
}

fn has(headers: &HeaderMap, suffix: &str) -> Has {
    let values = || headers.get_all(header::IF_NONE_MATCH).into_iter().filter_map(|value| value.to_str().ok());
    let tags = || values().flat_map(|value| value.split(',')).map(str::trim);
    if tags().any(|tag| tag == "*") {
        return Has::Any;
    }
    let cursor = |tag: &str| {
        let quoted = tag.strip_prefix("W/").unwrap_or(tag);
        Cursor::parse(quoted.strip_prefix('"')?.strip_suffix('"')?.strip_suffix(suffix)?).ok()
    };
    Has::These(tags().filter_map(cursor).collect())
}

/// Of what a reader has, the one that may be all of it: where the log ends, or ended so many entries from the beginning
/// in an earlier run.
async fn newest(app: &App, cursors: &[Cursor]) -> Result<Option<Cursor>, EventError> {
    if cursors.len() <= 1 {
        return Ok(cursors.first().copied());
    }
    let head = app.events.head().await?;
    let is_as_long = |cursor: &&Cursor| cursor.seq == head.seq;
    Ok(cursors.iter().find(|cursor| **cursor == head).or_else(|| cursors.iter().find(is_as_long)).copied())
}

/// Whether the reader takes gzip.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let weight_of = |name: &str| {
        let values = headers.get_all(header::ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
        let mut codings = values.flat_map(|value| value.split(','));
        codings.find_map(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let is_it = parts.next()?.eq_ignore_ascii_case(name);
            let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse::<f32>().ok());
            is_it.then_some(weight.unwrap_or(0.0))
        })
    };
    weight_of("gzip").or_else(|| weight_of("*")).is_some_and(|weight| weight > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn who_takes_gzip() {
        let check = |value: &'static str, expected: bool| {
            assert_eq!(takes_gzip(&headers(header::ACCEPT_ENCODING, &[value])), expected, "{value}");
        };
        check("gzip", true);
        check("br, GZIP;q=0.5", true);
        check("gzip ; q=1.0", true);
        check("*", true);
        check("*;q=0.1", true);
        check("gzip;q=0", false);
        check("gzip;q=0, *", false);
        check("gzip;q=x", false);
        check("identity", false);
        check("x-gzip", false);
        check("", false);
        assert!(!takes_gzip(&HeaderMap::new()));
        assert!(takes_gzip(&headers(header::ACCEPT_ENCODING, &["br", "gzip"])));
    }

    #[test]
    fn what_a_reader_says_that_it_has() {
        let text = format!("{}.7", "a7".repeat(16));
        let cursor = Cursor::parse(&text).unwrap();
        let check = |tag: String, is_known: bool| {
            let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::try_from(&tag).unwrap())]);
            let expected = is_known.then_some(cursor).into_iter().collect();
            assert_eq!(has(&headers, "-today"), Has::These(expected), "{tag}");
        };
        check(format!("W/\"{text}-today\""), true);
        check(format!("\"{text}-today\""), true);
        check(format!("\"x\", W/\"{text}-first\" , W/\"{text}-today\""), true);
        check(format!("W/\"{text}-first\""), false);
        check(format!("W/\"{text}-today-1700000000000\""), false);
        check(format!("W/\"{text}\""), false);
        check(format!("{text}-today"), false);
        let several = [format!("\"{text}-today\", x, W/\"{text}1-today\""), format!("W/\"{text}2-today\"")];
        let cursors = ["", "1", "2"].map(|digit| Cursor::parse(&format!("{text}{digit}")).unwrap());
        let mut headers = HeaderMap::new();
        for tags in &several {
            headers.append(header::IF_NONE_MATCH, HeaderValue::try_from(tags).unwrap());
        }
        assert_eq!(has(&headers, "-today"), Has::These(cursors.to_vec()));
        headers.append(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
        assert_eq!(has(&headers, "-today"), Has::Any);
        assert_eq!(suffix(Form::First, Some(Timestamp(1_700_000_000))), "-first-1700000000000");
        assert_eq!((suffix(Form::Today, None), suffix(Form::First, None)), ("-today".to_owned(), "-first".to_owned()));
    }
}
