//! Ten thousand rows cost ten thousand times what one does: work is counted, not time.

use super::*;

/// Steps of SQLite's machine that `work` takes.
fn cost(device: &mut Device, work: impl FnOnce(&mut Device)) -> u64 {
    let count = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counter = std::sync::Arc::clone(&count);
    let tick = move || {
        counter.fetch_add(100, std::sync::atomic::Ordering::Relaxed);
        false
    };
    device.local.db.progress_handler(100, Some(tick)).unwrap();
    work(device);
    device.local.db.progress_handler(0, None::<fn() -> bool>).unwrap();
    count.load(std::sync::atomic::Ordering::Relaxed)
}

fn page(rows: std::ops::Range<u32>) -> Vec<SyncChange> {
    rows.map(|number| mood_told(number, "v1", r#"{"value":5,"note":"x"}"#)).collect()
}

#[test]
fn a_page_costs_what_it_holds_not_what_is_there() {
    let mut device = Device::new();
    let first = cost(&mut device, |device| device.take(&page(0..1_000)));
    device.take(&page(1_000..10_000));
    let last = cost(&mut device, |device| device.take(&page(10_000..11_000)));
    assert_eq!(device.read("SELECT count(*) FROM moods"), ["11000"]);
    assert!(last < first * 2, "{first} steps at first, {last} with ten times the rows");
}

#[test]
fn batches_cost_what_they_hold_not_what_is_pending() {
    let mut device = Device::new();
    let made = "WITH n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 10000)
        INSERT INTO moods (id, value) SELECT printf('00000000-0000-4000-8000-%012d', n), 5 FROM n";
    device.run(made, []);
    let bounds = BatchBounds { changes_max: 1_000, ..BOUNDS };
    let mut costs = Vec::new();
    let mut sent = 0;
    while device.pending() > 0 {
        costs.push(cost(&mut device, |device| {
            let batch = device.local.next_batch(bounds).unwrap();
            sent += batch.len();
            device.local.settle_batch(&stored(&batch, "1")).unwrap();
        }));
    }
    assert_eq!((sent, costs.len()), (10_000, 10));
    assert!(costs.iter().all(|cost| *cost < costs[9] * 2), "{costs:?}");
}
