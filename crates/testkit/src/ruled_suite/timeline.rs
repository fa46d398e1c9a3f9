//! The order of writing.

use tombolo_core::{Instant, Seq};
use tombolo_storage::{Entry, NewEntry, PageBounds, Place, Store};

use super::{Sent, Shared, at, plain, texts};
use crate::team::ALL;

/// The order of writing: by the millisecond, then by arrival; pages of any size joined are all of it, and what arrived
/// later than asked for is not in it.
pub async fn a_log_is_read_in_the_order_of_writing(store: &dyn Store) {
    let log = Shared::new(store).await;
    let nowhere = Place { millis: i64::MIN, seq: Seq::ZERO };
    assert_eq!(log.timeline(nowhere, 9, ALL).await, []);
    let times = [50, 10, 50, -7, 10, 0, i64::from(u32::MAX), 10, -8, 50];
    let (early, late) = times.split_at(6);
    let sent = |times: &[i64], from: usize| -> Vec<Sent> {
        let one = |(n, millis): (usize, &i64)| at(&format!("e{n}"), *millis, &format!("e{n}"));
        (from..).zip(times).map(one).collect()
    };
    log.push(0, sent(early, 0)).await.unwrap();
    log.push(0, sent(late, 6)).await.unwrap();
    let entries = store.entries(log.space, Seq::ZERO, ALL).await.unwrap().entries;
    let sorted = |upto: u64| {
        let mut places: Vec<(i64, Entry)> = times.into_iter().zip(entries.clone()).collect();
        places.retain(|(_, entry)| entry.seq.get() <= upto);
        places.sort_by_key(|(millis, entry)| (*millis, entry.seq));
        places
    };
    for upto in [0, 1, 6, 9, 10, 99] {
        let expected = sorted(upto);
        for (count_max, bytes_max) in [(1, 0), (2, 99), (3, 99), (99, 0), (99, 4), (99, 5), (99, 99)] {
            let (mut after, mut joined) = (nowhere, Vec::new());
            loop {
                let page = log.timeline(after, upto, PageBounds { count_max, bytes_max }).await;
                assert!(page.len() <= count_max && page.len() <= (bytes_max / 2).max(1));
                let Some(last) = page.last() else { break };
                let (millis, _) = expected[joined.len() + page.len() - 1];
                after = Place { millis, seq: last.seq };
                assert_eq!(last.place(), after);
                joined.extend(page);
            }
            assert!(joined.iter().eq(expected.iter().map(|(_, entry)| entry)), "{upto} {count_max} {bytes_max}");
        }
    }
    // A place in between, where there is nothing, is one too.
    let from = log.timeline(Place { millis: 49, seq: Seq::new(i64::MAX as u64) }, 99, ALL).await;
    assert_eq!(texts(from), ["e0", "e2", "e9", "e6"]);
    assert_eq!(log.timeline(nowhere, 99, PageBounds { count_max: 0, ..ALL }).await, []);
    log.is_whole().await;
}

/// Within one millisecond, the order of arrival decides, whatever was written more finely.
pub async fn times_are_told_apart_by_the_millisecond(store: &dyn Store) {
    let log = Shared::new(store).await;
    let nanos = |key: &str, nanos: i128| {
        let (entry, weight) = plain(key);
        (NewEntry { written_at: Instant::from_nanos(nanos).unwrap(), ..entry }, weight)
    };
    let sent = vec![nanos("a", 1_999_999), nanos("b", 1_000_000), nanos("c", 999_999), nanos("d", -1), nanos("e", 0)];
    log.push(0, sent).await.unwrap();
    let all = log.timeline(Place { millis: i64::MIN, seq: Seq::ZERO }, 9, ALL).await;
    assert_eq!(texts(all), ["d", "c", "e", "a", "b"]);
    let later = log.timeline(Place { millis: 0, seq: Seq::new(9) }, 9, ALL).await;
    assert_eq!(texts(later), ["a", "b"]);
    log.is_whole().await;
}
