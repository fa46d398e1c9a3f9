//! The rules that a log holds, and who may append under them.

use tombolo_core::{Refusal, Seq, UserId, limits};
use tombolo_storage::{NotAppended, PageBounds, Store};

use super::{NOW, Shared, at, new, plain, repeats, ruling};
use crate::identities_suite::{make_known, name};
use crate::team::ALL;

/// A request under rules that are no longer in force is refused, whatever it brings; one under those that are is not.
pub async fn outdated_rules_are_refused(store: &dyn Store) {
    let log = Shared::new(store).await;
    assert_eq!(log.push(1, vec![plain("x")]).await, Err(NotAppended::Outdated), "there is none yet");
    assert_eq!(log.push(0, vec![plain("a"), ruling("r1"), plain("b")]).await, Ok(new(1..=3)));
    for judged_by in [0, 1, 3] {
        assert_eq!(log.push(judged_by, vec![plain("c")]).await, Err(NotAppended::Outdated));
        assert_eq!(log.push(judged_by, vec![plain("a")]).await, Err(NotAppended::Outdated), "also what is there");
        assert_eq!(log.push(judged_by, vec![]).await, Err(NotAppended::Outdated), "also nothing");
    }
    assert_eq!(log.push(2, vec![plain("a"), plain("c")]).await, Ok([repeats([1]), new([4])].concat()));
    // A ruling that is sent again rules nothing anew.
    assert_eq!(log.push(2, vec![ruling("r1")]).await, Ok(repeats([2])));
    assert_eq!(log.push(2, vec![ruling("r2"), ruling("r3")]).await, Ok(new([5, 6])));
    assert_eq!(log.push(5, vec![plain("d")]).await, Err(NotAppended::Outdated));
    assert_eq!(log.push(6, vec![plain("d")]).await, Ok(new([7])));
    // What is refused rules nothing either.
    assert_eq!(log.push(6, vec![ruling("r4"), at("a", 5, "other")]).await, Err(NotAppended::Clash(1)));
    assert_eq!(log.push(6, vec![]).await, Ok(vec![]));
    assert_eq!(log.logged().await, ["a", "r1", "b", "c", "r2", "r3", "d"]);
    log.is_whole().await;
}

/// The rulings come in their order, page by page, and nothing else.
pub async fn rulings_are_read_page_by_page(store: &dyn Store) {
    let log = Shared::new(store).await;
    let rulings = async |after: u64, bounds: PageBounds| {
        let page = store.rulings(log.space, Seq::new(after), bounds).await.unwrap();
        page.iter().map(|entry| entry.seq.get()).collect::<Vec<_>>()
    };
    assert_eq!(rulings(0, ALL).await, [0; 0]);
    log.push(0, vec![ruling("r1"), plain("a"), ruling("r2"), ruling("r333"), plain("b")]).await.unwrap();
    assert_eq!(rulings(0, ALL).await, [1, 3, 4]);
    assert_eq!(rulings(1, ALL).await, [3, 4]);
    assert_eq!(rulings(4, ALL).await, [0; 0]);
    assert_eq!(rulings(0, PageBounds { count_max: 2, ..ALL }).await, [1, 3]);
    assert_eq!(rulings(0, PageBounds { bytes_max: 4, ..ALL }).await, [1, 3]);
    assert_eq!(rulings(3, PageBounds { bytes_max: 0, ..ALL }).await, [4], "the first, whatever its size");
    assert_eq!(rulings(0, PageBounds { count_max: 0, ..ALL }).await, [0; 0]);
    let whole = store.rulings(log.space, Seq::new(3), ALL).await.unwrap();
    assert_eq!(whole, store.entries(log.space, Seq::new(3), PageBounds { count_max: 1, ..ALL }).await.unwrap().entries);
}

/// A request is as large as it may be, and each of its entries a ruling.
pub async fn many_rulings_come_at_once(store: &dyn Store) {
    let log = Shared::new(store).await;
    let sent = || (1..=limits::ENTRIES_MAX).map(|n| ruling(&format!("r{n:0200}"))).collect::<Vec<_>>();
    let places = || 1..=limits::ENTRIES_MAX as u64;
    assert_eq!(log.push(0, sent()).await, Ok(new(places())));
    let mut read = Vec::new();
    loop {
        let after = read.last().copied().unwrap_or(0);
        let page = store.rulings(log.space, Seq::new(after), ALL).await.unwrap();
        if page.is_empty() {
            break;
        }
        read.extend(page.iter().map(|entry| entry.seq.get()));
    }
    assert!(read.into_iter().eq(places()));
    let last = limits::ENTRIES_MAX as u64;
    assert_eq!(log.push(last - 1, vec![plain("a")]).await, Err(NotAppended::Outdated));
    assert_eq!(log.push(last, sent()).await, Ok(repeats(places())));
    assert_eq!(log.push(last, vec![plain("a")]).await, Ok(new([last + 1])));
    log.is_whole().await;
}

/// Whoever was let in is the one who must not be disabled; he need own nothing.
pub async fn who_may_append_under_rules(store: &dyn Store) {
    let log = Shared::new(store).await;
    let ann = make_known(store, "ann").await;
    let by = async |user, key: &str| log.send(log.request(user, 0, vec![plain(key)])).await;
    let refused = Err(NotAppended::Refused(Refusal::NotMember));
    assert_eq!(by(ann, "a").await, Ok(new([1])));
    assert_eq!(by(UserId::new(99_999), "b").await, refused);
    assert!(store.disable_user(&name("ann"), NOW).await.unwrap());
    assert_eq!(by(ann, "b").await, refused);
    assert_eq!(by(ann, "a").await, refused, "also what is there already");
    let outdated = log.request(ann, 7, vec![]);
    assert_eq!(log.send(outdated).await, refused, "before anything else");
    assert_eq!(by(log.root, "b").await, Ok(new([2])));
    assert_eq!(log.logged().await, ["a", "b"]);
}
