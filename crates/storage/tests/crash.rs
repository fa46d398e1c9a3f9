//! Faults inside the process: a bug in one protocol's policy is that push's failure, and nobody else's.

mod support;

use std::sync::Arc;

use support::{OnDisk, check};
use tombolo_core::{CollectionName, Digest, Fields, Policy, PolicyError, RecordKey, Unique};
use tombolo_storage::StoreError;
use tombolo_testkit::{Note, Notes, Peer, Place, at, put, wait};

/// Notes, until one has an `x` of "panic" or "unreadable".
struct Fragile;

impl Policy for Fragile {
    fn collections(&self) -> &'static [CollectionName] {
        Notes.collections()
    }
    fn rank(&self, collection: CollectionName) -> usize {
        Notes.rank(collection)
    }
    fn split<'a>(&self, collection: CollectionName, payload: &'a [u8]) -> Result<Fields<'a>, PolicyError> {
        Notes.split(collection, payload)
    }
    fn join(&self, collection: CollectionName, fields: &Fields<'_>) -> Option<Vec<u8>> {
        Notes.join(collection, fields)
    }
    fn same(&self, collection: CollectionName, field: &str, left: &[u8], right: &[u8]) -> bool {
        Notes.same(collection, field, left, right)
    }
    fn merge_set(&self, of: CollectionName, field: &str, was: &[u8], l: &[u8], r: &[u8]) -> Option<Vec<u8>> {
        Notes.merge_set(of, field, was, l, r)
    }
    fn digest(&self, collection: CollectionName, payload: &[u8]) -> Result<Digest, PolicyError> {
        Notes.digest(collection, payload)
    }
    /// Asked when the change is appended already.
    #[expect(clippy::panic_in_result_fn, reason = "the bug that is tried out")]
    fn references(&self, collection: CollectionName, payload: &[u8]) -> Result<Vec<RecordKey>, PolicyError> {
        assert!(!payload.starts_with(b"x=panic"), "a bug");
        if payload.starts_with(b"x=unreadable") {
            return Err(PolicyError { collection: collection.as_str(), reason: "of no reason".to_owned() });
        }
        Notes.references(collection, payload)
    }
    fn redirect(
        &self,
        collection: CollectionName,
        payload: &[u8],
        from: &RecordKey,
        to: Option<&RecordKey>,
    ) -> Result<Vec<u8>, PolicyError> {
        Notes.redirect(collection, payload, from, to)
    }
    fn attach(&self, of: CollectionName, payload: &[u8], target: &RecordKey) -> Result<Option<Vec<u8>>, PolicyError> {
        Notes.attach(of, payload, target)
    }
    fn unique(&self, collection: CollectionName, payload: &[u8]) -> Result<Option<Unique>, PolicyError> {
        Notes.unique(collection, payload)
    }
    fn clients_restamp(&self) -> bool {
        true
    }
    fn home(&self) -> Option<RecordKey> {
        Notes.home()
    }
}

#[test]
fn a_policy_that_fails_fails_its_own_push_and_the_writer_goes_on() {
    let stores = OnDisk::default();
    let place = Place { policy: Arc::new(Fragile), ..Place::new(&stores) };
    let mut a = Peer::new("a");
    a.sync(&place, vec![put("n", &Note::new("1", "1"), at(1))]);
    let head = place.head();
    for x in ["panic", "unreadable"] {
        // The first write of the request is good, and is undone with the second.
        let writes = vec![put("good", &Note::new("1", "1"), at(2)), put("bad", &Note::new(x, "1"), at(2))];
        let failed = place.send(place.request("a", a.cursor, writes));
        assert!(matches!(failed, Err(StoreError::Internal(_) | StoreError::Corrupt(_))), "{failed:?}");
        assert_eq!(place.head(), head, "all or nothing");
    }
    // In one group with others: only its own push fails.
    std::thread::scope(|scope| {
        for n in 0..8 {
            let place = &place;
            scope.spawn(move || {
                for m in 0..10 {
                    let x = if n % 4 == 0 { "panic" } else { "1" };
                    let writes = vec![put(&format!("n{n}-{m}"), &Note::new(x, "1"), at(3))];
                    let sent = place.send(place.request(&format!("d{n}"), None, writes));
                    assert_eq!(sent.is_ok(), x == "1", "{sent:?}");
                }
            });
        }
    });
    assert_eq!(place.live().len(), 1 + 6 * 10);
    let _dense = place.log();
    assert_eq!(check(&place).faults, Vec::<String>::new());
    wait(place.store.close()).expect("the store ends cleanly");
    assert!(matches!(
        place.send(place.request("a", None, vec![put("n", &Note::new("2", "2"), at(9))])),
        Err(StoreError::Closed)
    ));
}
