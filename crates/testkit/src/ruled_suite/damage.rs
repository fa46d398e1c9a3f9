//! A log that is damaged.

use tombolo_core::Seq;
use tombolo_storage::{Entry, PageBounds, Place, Store, StoreError, Weight};

use super::{Shared, at, new, plain};
use crate::identities_suite::known;
use crate::team::ALL;

/// A log of seven entries, of which the second and the fifth are rulings: all that a store has in its only space.
///
/// # Panics
/// When the store does not take them.
pub async fn seven_entries(store: &dyn Store) {
    let log = Shared::new(store).await;
    let sent = |(n, millis): (usize, i64)| {
        let is_ruling = n == 2 || n == 5;
        let payload = if is_ruling { format!("ruling {n}") } else { format!("entry {n}") };
        let (entry, weight) = at(&format!("e{n}"), millis, &payload);
        (entry, Weight { is_ruling, ..weight })
    };
    let times = [50, 10, 50, -7, 10, 0, 50];
    assert_eq!(log.push(0, (1..).zip(times).map(sent).collect()).await, Ok(new(1..=7)));
}

/// That the fifth of [`seven_entries`] is damaged is told by whatever would give it out.
///
/// # Panics
/// When it is not.
pub async fn damage_is_told(store: &dyn Store) {
    let root = known(store, ".root").await.unwrap().user;
    let log = Shared::of(store, root);
    let is_corrupt =
        |read: Result<Vec<Entry>, StoreError>| assert!(matches!(read, Err(StoreError::Corrupt(_))), "{read:?}");
    let nowhere = Place { millis: i64::MIN, seq: Seq::ZERO };
    is_corrupt(store.rulings(log.space, Seq::ZERO, ALL).await);
    is_corrupt(store.timeline(log.space, nowhere, Seq::new(7), ALL).await);
    is_corrupt(store.find_entries(log.space, &[plain("e5").0.key]).await.map(|_| Vec::new()));
    let again = store.append(log.request(root, 5, vec![at("e5", 10, "ruling 5")])).await;
    assert!(matches!(again, Err(StoreError::Corrupt(_))), "{again:?}");
    // What is whole is read.
    assert_eq!(store.timeline(log.space, nowhere, Seq::new(4), ALL).await.unwrap().len(), 4);
    assert_eq!(store.rulings(log.space, Seq::ZERO, PageBounds { count_max: 1, ..ALL }).await.unwrap().len(), 1);
}
