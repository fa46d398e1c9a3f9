//! Downloads that take several pages.

use tombolo_core::{Op, Seq};
use tombolo_storage::{Downloaded, Present, Store};

use super::{Book, Pulled, anew, gone, on, says, told};

async fn all(book: &Book<'_>, device: &str, bounds: (usize, usize)) -> (Vec<Present>, Vec<usize>) {
    let (mut records, mut sizes, mut since) = (Vec::new(), Vec::new(), None);
    loop {
        let Downloaded::Page { records: some, cursor, more } = book.try_page(device, since, bounds).await else {
            panic!("it may download")
        };
        sizes.push(some.len());
        records.extend(some);
        since = Some(cursor);
        if !more {
            return (records, sizes);
        }
        assert_eq!(cursor.complete, Seq::ZERO, "it is complete when it has all");
    }
}

/// Pages joined are the whole, by count as by bytes, in the order in which records last changed, deletions too.
pub async fn pages_joined_are_the_whole(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    let mut versions = Vec::new();
    for n in 0..10 {
        versions.push(book.write("a", None, anew(says(&format!("n{n}"), "1", "1", 10))).await.version);
    }
    book.write("a", None, on(versions[3], says("n3", "2", "2", 20))).await;
    book.write("a", None, on(versions[5], gone("n5", 20))).await;
    let (whole, sizes) = all(&book, "b", (100, 1_000_000)).await;
    assert_eq!(sizes, [10]);
    let names: Vec<&str> = whole.iter().map(|record| record.key.name.as_str()).collect();
    assert_eq!(names, ["n0", "n1", "n2", "n4", "n6", "n7", "n8", "n9", "n3", "n5"]);
    assert_eq!((whole[9].op, whole[9].payload.len()), (Op::Delete, 0));
    for (count, expected) in [(3, vec![3, 3, 3, 1]), (5, vec![5, 5]), (1, vec![1; 10]), (10, vec![10])] {
        assert_eq!(all(&book, "b", (count, 1_000_000)).await, (whole.clone(), expected));
    }
    let one = whole[0].payload.len() + 2 + 10;
    assert_eq!(all(&book, "c", (100, 4 * one)).await, (whole.clone(), vec![4, 4, 2]));
    assert_eq!(all(&book, "c", (100, 4 * one - 1)).await, (whole.clone(), vec![3, 3, 4]));
    assert_eq!(all(&book, "c", (100, 1)).await, (whole, vec![1; 10]), "one always fits");
}

/// What is written while somebody takes pages reaches him, in its newest state.
pub async fn writes_between_pages_arrive(store: &dyn Store) {
    let book = Book::of(store, "ann").await;
    let mut versions = Vec::new();
    for n in 0..6 {
        versions.push(book.write("a", None, anew(says(&format!("n{n}"), "1", "1", 10))).await.version);
    }
    let first = book.page("b", None, 2).await;
    book.write("a", None, on(versions[0], says("n0", "2", "2", 20))).await;
    book.write("a", None, on(versions[4], says("n4", "2", "2", 20))).await;
    let second = book.page("b", Some(first.cursor), 2).await;
    // The page is lost, and comes again.
    assert_eq!(book.page("b", Some(first.cursor), 2).await, second);
    let third: Pulled = book.page("b", Some(second.cursor), 100).await;
    assert!(!third.more);
    let taken: Vec<_> = [first, second, third].into_iter().flat_map(|pulled| pulled.records).collect();
    let newest = |id: &str| taken.iter().rfind(|record| record.key == super::note(id)).cloned();
    for n in 0..6 {
        let id = format!("n{n}");
        assert_eq!(told(&[newest(&id).unwrap()], &id), book.note(&id).await);
    }
}
