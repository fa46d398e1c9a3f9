//! Downloads that take several replies.

use std::collections::BTreeMap;

use tombolo_core::{Op, RecordKey};
use tombolo_storage::Delivery;

use super::peers;
use crate::{FOLDER, NOTE, Note, Peer, Place, at, delete, folder, key, label, put};

fn pages(place: &Place, peer: &mut Peer) -> Vec<Vec<Delivery>> {
    let mut pages = Vec::new();
    for _ in 0..1_000 {
        let reply = peer.sync(place, Vec::new());
        let bytes = |delivery: &Delivery| delivery.payload.len() + delivery.key.name.as_str().len() + 10;
        assert!(reply.deliveries.iter().map(bytes).sum::<usize>() <= place.page_bytes_max, "a page is bounded");
        assert!(!reply.deliveries.is_empty() || !reply.more, "each page brings something");
        pages.push(reply.deliveries);
        if !reply.more {
            return pages;
        }
    }
    panic!("the download never ends");
}

fn joined(pages: Vec<Vec<Delivery>>) -> BTreeMap<RecordKey, Vec<u8>> {
    let mut rows = BTreeMap::new();
    for delivery in pages.into_iter().flatten() {
        match delivery.op {
            Op::Put => drop(rows.insert(delivery.key, delivery.payload)),
            Op::Delete => drop(rows.remove(&delivery.key)),
        }
    }
    rows
}

fn fill(place: &Place, a: &mut Peer) {
    let mut writes = vec![label("red", "Red", 1, at(1))];
    for n in 0..12 {
        writes.push(put(&format!("n{n}"), &Note::new("1", "1").within("f").labelled(["red"]), at(n)));
        writes.push(folder(&format!("f{n}"), "a folder", at(n)));
    }
    writes.push(folder("f", "a folder", at(1)));
    // As a protocol hands them down: what is referred to first.
    writes.sort_by_key(|write| write.key.collection == NOTE);
    a.sync(place, writes);
}

/// The pages joined are the whole, lists before tasks, each within its bound.
pub fn pages_joined_are_the_whole(place: &Place) {
    let [mut a] = peers();
    fill(place, &mut a);
    let whole = joined(pages(place, &mut Peer::new("whole")));
    for page_bytes_max in [80, 130, 250] {
        let narrow = Place { page_bytes_max, ..place.clone() };
        let parts = pages(&narrow, &mut Peer::new(&format!("narrow-{page_bytes_max}")));
        assert!(parts.len() > 3);
        let ranks: Vec<bool> = parts.iter().flatten().map(|delivery| delivery.key.collection == NOTE).collect();
        assert!(ranks.is_sorted(), "what is referred to comes first");
        assert_eq!(joined(parts), whole);
    }
}

/// What is written between two pages arrives as well, whether it lies before or behind them.
pub fn writes_between_pages_arrive(place: &Place) {
    let [mut a] = peers();
    fill(place, &mut a);
    let narrow = Place { page_bytes_max: 130, ..place.clone() };
    let mut b = Peer::new("b");
    let mut rows = Vec::new();
    for n in 0..40 {
        let reply = b.sync(&narrow, Vec::new());
        rows.push(reply.deliveries);
        if n < 10 {
            let changed = Note::new(&n.to_string(), "2");
            a.sync(
                place,
                vec![put(&format!("n{n}"), &changed, at(100 + n)), folder(&format!("f{n}"), "renamed", at(100 + n))],
            );
            a.sync(place, vec![delete(key(FOLDER, &format!("f{}", n + 1)), at(200 + n))]);
        } else if !reply.more {
            break;
        }
    }
    let whole = joined(pages(place, &mut Peer::new("whole")));
    assert_eq!(joined(rows), whole);
    assert!(b.sync(place, Vec::new()).deliveries.is_empty());
}

/// A page whose reply was lost comes again.
pub fn lost_pages_come_again(place: &Place) {
    let [mut a] = peers();
    fill(place, &mut a);
    let narrow = Place { page_bytes_max: 130, ..place.clone() };
    let mut b = Peer::new("b");
    let mut rows = Vec::new();
    loop {
        let _lost = b.lost(&narrow, Vec::new());
        let reply = b.sync(&narrow, Vec::new());
        rows.push(reply.deliveries);
        if !reply.more {
            break;
        }
    }
    assert_eq!(joined(rows), joined(pages(place, &mut Peer::new("whole"))));
}

fn fill_plainly(place: &Place, a: &mut Peer) {
    a.sync(place, (0..12).map(|n| put(&format!("n{n}"), &Note::new("1", "1"), at(n))).collect());
}

/// A download that is begun anew forgets nothing of what it gave before: an edit of that is merged against it.
pub fn a_download_begun_anew_keeps_its_pages(place: &Place) {
    let [mut a] = peers();
    fill_plainly(place, &mut a);
    let narrow = Place { page_bytes_max: 130, ..place.clone() };
    let mut b = Peer::new("b");
    let mut given: Vec<Delivery> = Vec::new();
    while !given.iter().any(|delivery| delivery.key == key(NOTE, "n3")) {
        given.extend(b.sync(&narrow, Vec::new()).deliveries);
    }
    // It presents the time of the page with n3, and begins anew.
    assert!(b.sync(&narrow, Vec::new()).more);
    let anew = b.forced(&narrow, Vec::new());
    assert!(anew.more && !anew.deliveries.iter().any(|delivery| delivery.key == key(NOTE, "n3")));
    a.sync(place, vec![put("n3", &Note::new("2", "1"), at(100))]);
    b.sync(&narrow, vec![put("n3", &Note::new("1", "2"), at(200))]);
    assert_eq!(place.note("n3"), Some(Note::new("2", "2")));
}
