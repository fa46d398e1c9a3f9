//! A log that is erased at the wish of its owner.

use tombolo_core::{Generation, Purpose, ResetReason, SpaceCursor, SpaceId};
use tombolo_storage::{Downloaded, SpaceAddress, Stale, Store, Uploaded};

use super::{add_user, all, bring, diary, heads, later, refuse, take, try_bring, upload};

async fn erase(store: &dyn Store, space: SpaceAddress) -> bool {
    store.erase_space(space, later(9)).await.unwrap()
}

/// Nothing is left of it, and nothing else is touched: other users' logs, and the owner's of other protocols.
pub async fn a_log_is_erased_with_all_that_belongs_to_it(store: &dyn Store) {
    let (ann, bob) = (add_user(store, "ann").await, add_user(store, "bob").await);
    let of_tickit = SpaceAddress::only(ann, Purpose::Tickit);
    bring(store, diary(ann), "phone", &["a", "b"]).await;
    bring(store, diary(bob), "laptop", &["c"]).await;
    store.exchange(super::exchange(of_tickit, "task")).await.unwrap();
    let others = heads(store, &[diary(bob), of_tickit]).await;
    refuse(store, diary(ann), "phone").await;
    refuse(store, diary(bob), "laptop").await;
    let before = store.totals().await.unwrap();
    let erased = heads(store, &[diary(ann)]).await[0];

    assert!(erase(store, diary(ann)).await);
    assert_eq!(heads(store, &[diary(ann)]).await, [0]);
    assert_eq!(heads(store, &[diary(bob), of_tickit]).await, others);
    let after = store.totals().await.unwrap();
    assert_eq!(after.changes, before.changes - erased);
    let refused = store.refusals(None).await.unwrap();
    assert_eq!(refused.iter().map(|refusal| refusal.device.as_str()).collect::<Vec<_>>(), ["laptop"]);
    assert_eq!(all(store, diary(bob), "laptop").await.len(), 1);
    assert_eq!(store.users().await.unwrap().len(), 2, "he keeps his account");
}

/// A cursor from before is told what became of its log, wherever it is presented, and stores nothing. Whoever begins
/// again finds an empty log, which is another one.
pub async fn a_cursor_of_an_erased_log_is_told(store: &dyn Store) {
    let (ann, bob) = (add_user(store, "ann").await, add_user(store, "bob").await);
    let old = bring(store, diary(ann), "phone", &["a"]).await;
    assert!(erase(store, diary(ann)).await);
    let is_told = async || {
        assert_eq!(take(store, diary(ann), "phone", Some(old)).await, Downloaded::Stale(Stale::Erased));
        let late = upload(diary(ann), "phone", Some(old), &["late"]);
        assert_eq!(try_bring(store, late).await.unwrap(), Uploaded::Stale(Stale::Erased));
    };
    is_told().await;
    assert_eq!(heads(store, &[diary(ann)]).await, [0]);
    assert!(all(store, diary(ann), "phone").await.is_empty());
    is_told().await;
    let new = bring(store, diary(ann), "phone", &["b"]).await;
    assert_ne!(new.space, old.space);
    assert_eq!(all(store, diary(ann), "phone").await.len(), 1, "what was erased does not come back");
    is_told().await;
    // Erased again, both are told.
    assert!(erase(store, diary(ann)).await);
    is_told().await;
    assert_eq!(take(store, diary(ann), "phone", Some(new)).await, Downloaded::Stale(Stale::Erased));
    // Of another user's log nothing is said but that it is not his.
    bring(store, diary(bob), "tablet", &["c"]).await;
    let not_his = Downloaded::Stale(Stale::Reset(ResetReason::OtherAccount));
    assert_eq!(take(store, diary(bob), "tablet", Some(old)).await, not_his);
}

/// Where there is nothing, nothing is erased, which is no fault.
pub async fn what_is_not_there_is_erased(store: &dyn Store) {
    let ann = add_user(store, "ann").await;
    assert!(!erase(store, diary(ann)).await);
    bring(store, diary(ann), "phone", &["a"]).await;
    assert!(erase(store, diary(ann)).await);
    assert!(!erase(store, diary(ann)).await);
}

/// A device is bound to the log, and free once that is erased: it may be handed on.
pub async fn devices_are_free_once_their_log_is_erased(store: &dyn Store) {
    let (ann, bob) = (add_user(store, "ann").await, add_user(store, "bob").await);
    bring(store, diary(ann), "phone", &["a"]).await;
    assert_eq!(take(store, diary(bob), "phone", None).await, Downloaded::OthersReplica);
    assert!(erase(store, diary(ann)).await);
    bring(store, diary(bob), "phone", &["b"]).await;
    assert_eq!(take(store, diary(ann), "phone", None).await, Downloaded::OthersReplica);
}

/// What is remembered of erased logs does not grow without end, and yet each device is told, however often its owner erased
/// everything since.
pub async fn every_erasure_is_remembered(store: &dyn Store) {
    const ERASED_KEPT: usize = 100;
    let (ann, bob) = (add_user(store, "ann").await, add_user(store, "bob").await);
    let others = bring(store, diary(bob), "tablet", &["c"]).await;
    let mut cursors = Vec::new();
    for n in 0..ERASED_KEPT + 2 {
        cursors.push(bring(store, diary(ann), "phone", &[&format!("n{n}")]).await);
        assert!(erase(store, diary(ann)).await);
    }
    let first = cursors[0];
    let is_told = async || {
        for (n, cursor) in cursors.iter().enumerate().filter(|(n, _)| [0, 1, 2, 101].contains(n)) {
            assert_eq!(take(store, diary(ann), "phone", Some(*cursor)).await, Downloaded::Stale(Stale::Erased), "{n}");
        }
        // What there is, what there never was, and what another database said.
        let unknown = SpaceCursor { space: SpaceId::new(1_000_000), ..first };
        let foreign = SpaceCursor { generation: Generation::from_bytes([7; 16]), ..first };
        for (cursor, reason) in [
            (others, ResetReason::OtherAccount),
            (unknown, ResetReason::OtherAccount),
            (foreign, ResetReason::Restored),
        ] {
            let expected = Downloaded::Stale(Stale::Reset(reason));
            assert_eq!(take(store, diary(ann), "phone", Some(cursor)).await, expected);
        }
        let is_bobs = Downloaded::Stale(Stale::Reset(ResetReason::OtherAccount));
        assert_eq!(take(store, diary(bob), "tablet", Some(first)).await, is_bobs, "he erased nothing");
    };
    is_told().await;
    bring(store, diary(ann), "phone", &["again"]).await;
    is_told().await;
}
