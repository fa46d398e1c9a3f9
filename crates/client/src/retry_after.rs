//! `Retry-After`: how long a server asks to be left alone.

use std::time::Duration;

use time::PrimitiveDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tombolo_wellbeing::Timestamp;

use crate::backoff::RETRY_AFTER_MAX;
use crate::platform;

/// The spelling that senders must use; the two older ones are not sent by any server that says when to come back.
const HTTP_DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

const NANOS_PER_SEC: i128 = 1_000_000_000;

/// The wait that `value` asks for, an hour at most; `None` where it is not understood.
pub(crate) fn read(value: &str) -> Option<Duration> {
    read_at(value, platform::now())
}

fn read_at(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number holds are more than an hour too.
        return Some(value.parse().map_or(RETRY_AFTER_MAX, Duration::from_secs).min(RETRY_AFTER_MAX));
    }
    let then = PrimitiveDateTime::parse(value, HTTP_DATE).ok()?.assume_utc().unix_timestamp_nanos();
    let secs = u64::try_from((then - now.nanos()).div_euclid(NANOS_PER_SEC) + 1).unwrap_or(0);
    Some(Duration::from_secs(secs).min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read_and_bounded() {
        let now = "2026-11-20T20:00:00Z".parse().unwrap();
        let check = |value: &str, secs: Option<u64>| assert_eq!(read_at(value, now).map(|wait| wait.as_secs()), secs);
        check("0", Some(0));
        check(" 120 ", Some(120));
        check("86400", Some(3_600));
        check("99999999999999999999999999", Some(3_600));
        check("Fri, 20 Nov 2026 20:01:00 GMT", Some(61));
        check("Fri, 20 Nov 2026 19:00:00 GMT", Some(0));
        check("Sat, 21 Nov 2026 20:00:00 GMT", Some(3_600));
        check("", None);
        check("-1", None);
        check("1.5", None);
        check("soon", None);
    }
}
