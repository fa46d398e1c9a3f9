//! What entries do beside being stored.

use tombolo_core::Seq;
use tombolo_storage::{
    Effect, IdentityAdded, Listener, Message, NewIdentity, NotAppended, Place, Store, Totals, Unfit, Username,
};

use super::{NOW, PURPOSE, Shared, add, at, doing, give, new, plain, redeem, repeats, revoke, ruling, secret, texts};
use crate::identities_suite::{known, name, new_identity};
use crate::team::ALL;

/// What an entry does is done once, with it, and what cannot be done keeps all of its request from being stored.
pub async fn what_entries_do_is_done_once(store: &dyn Store) {
    let log = Shared::new(store).await;
    assert_eq!(log.does("1", add("ann")).await, Ok(new([1])));
    let ann = known(store, "ann").await.unwrap();
    assert_eq!((ann.username, ann.password), (Some(name("ann")), None));
    // Sent again, it is the same entry, and does nothing.
    assert_eq!(log.does("1", add("ann")).await, Ok(repeats([1])));
    assert_eq!(log.does("2", add("ann")).await, Err(NotAppended::Unfit(0, Unfit::Known)));
    let named = NewIdentity { username: Username::Named(name("ann")), ..new_identity("bob") };
    let taken = log.does("2", Effect::AddIdentity(named)).await;
    assert_eq!(taken, Err(NotAppended::Unfit(0, Unfit::UsernameTaken)));
    // The first that cannot be decides, be it for what it does or for what it is; nothing of the others is done.
    for (sent, why) in [
        (vec![doing("2", add("bob")), doing("3", add("ann"))], NotAppended::Unfit(1, Unfit::Known)),
        (vec![doing("2", add("bob")), doing("3", add("bob"))], NotAppended::Unfit(1, Unfit::Known)),
        (vec![doing("2", add("bob")), at("1", 5, "other")], NotAppended::Clash(1)),
        (vec![doing("2", add("ann")), at("1", 5, "other")], NotAppended::Unfit(0, Unfit::Known)),
        (vec![at("1", 5, "other"), doing("2", add("ann"))], NotAppended::Clash(0)),
        (vec![plain("1"), doing("2", give("bob", 1, 9))], NotAppended::Unfit(1, Unfit::Unknown)),
    ] {
        assert_eq!(log.push(0, sent).await, Err(why));
        assert_eq!(known(store, "bob").await, None);
        assert!(store.user(&name("bob")).await.unwrap().is_none());
    }
    // An entry twice in one request, and what one does for the next.
    let sent = vec![doing("2", add("bob")), doing("2", add("bob")), doing("3", give("bob", 1, 9))];
    assert_eq!(log.push(0, sent).await, Ok([new([2]), repeats([2]), new([3])].concat()));
    assert!(store.setup_token(PURPOSE, secret(1), NOW).await.unwrap().is_some());
    assert_eq!(log.logged().await, ["1", "2", "3"]);
    assert_eq!(store.totals().await.unwrap(), Totals { spaces: 1, changes: 3 });
    log.is_whole().await;
}

/// Somebody who was there before is made known, given a key, and writes: beside whatever else a store holds.
pub async fn what_entries_do_beside_others(store: &dyn Store) {
    let log = Shared::new(store).await;
    let sent = vec![doing("1", add("ann")), ruling("r2"), doing("3", give("ann", 1, 100))];
    assert_eq!(log.push(0, sent).await, Ok(new(1..=3)));
    assert_eq!(log.push(2, vec![doing("4", redeem(1, "of ann"))]).await, Ok(new([4])));
    let ann = known(store, "ann").await.unwrap().user;
    assert_eq!(store.find_credential("of ann").await.unwrap().map(|key| key.user), Some(ann));
    let by_ann = log.request(ann, 2, vec![at("5", 1, "5")]);
    assert_eq!(log.send(by_ann).await, Ok(new([5])));
    let all = log.timeline(Place { millis: 0, seq: Seq::ZERO }, 5, ALL).await;
    assert_eq!(texts(all), ["5", "1", "r2", "3", "4"]);
}

/// A listener is told that the log grew, and of what changes who gets in; of what was refused or repeated, nothing.
///
/// # Panics
/// When something else is told.
pub async fn what_happens_in_the_log_is_told(store: &dyn Store, listener: &mut Listener) {
    let root = match store.add_identity(new_identity(".root"), NOW).await.unwrap() {
        IdentityAdded::New(root) | IdentityAdded::Known(root) => root,
        IdentityAdded::UsernameTaken => panic!("nobody else is .root"),
    };
    let log = Shared::of(store, root);
    let mut heard = async |count: usize| {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(crate::conformance::bus::next(listener).await);
        }
        all
    };
    assert_eq!(heard(1).await, [Message::Accounts], "one more is known");
    let grew = |head: u64| Message::Grew(log.space, Seq::new(head));
    log.push(0, vec![plain("a")]).await.unwrap();
    log.push(0, vec![plain("a")]).await.unwrap();
    log.push(9, vec![plain("b")]).await.unwrap_err();
    log.push(0, vec![at("a", 5, "other")]).await.unwrap_err();
    log.push(0, vec![doing("b", add("ann")), doing("c", add("ann"))]).await.unwrap_err();
    log.push(0, vec![plain("b")]).await.unwrap();
    assert_eq!(heard(2).await, [grew(1), grew(2)]);
    let mut head = 2;
    for (effect, is_told) in
        [(add("ann"), true), (give("ann", 1, 9), false), (redeem(1, "p"), true), (revoke("ann"), true)]
    {
        head += 1;
        let sent = || vec![doing(&format!("e{head}"), effect.clone())];
        log.push(0, sent()).await.unwrap();
        log.push(0, sent()).await.unwrap();
        let told = heard(1 + usize::from(is_told)).await;
        assert!(told.contains(&grew(head)), "{effect:?}: {told:?}");
        assert_eq!(told.contains(&Message::Accounts), is_told, "{effect:?}: {told:?}");
    }
}
