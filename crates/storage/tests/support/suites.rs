//! Suites of which each case is a function on `&dyn Store`, or on two nodes of one.

use super::*;
use tombolo_storage::Store;

fn env() -> Arc<dyn Env> {
    Arc::new(TestEnv::new(1))
}

pub fn memory(test: impl FnOnce([&dyn Store; 2])) {
    let store = Memory::new();
    test([&store, &store]);
}

pub fn sqlite(test: impl FnOnce([&dyn Store; 2])) {
    let disk = OnDisk::default();
    let store = disk.server(env());
    test([&store, &store]);
    wait(store.close()).expect("the store ends cleanly");
}

pub fn postgres(test: impl FnOnce([&dyn Store; 2])) {
    let Some(database) = OnPostgres::new() else { return };
    let store = database.node(env());
    test([&*store, &*store]);
    wait(store.close()).expect("the store ends cleanly");
}

pub fn two_nodes(test: impl FnOnce([&dyn Store; 2])) {
    let Some(database) = OnPostgres::new() else { return };
    let nodes = [database.node(env()), database.node(env())];
    test([&*nodes[0], &*nodes[1]]);
    for node in nodes {
        wait(node.close()).expect("the store ends cleanly");
    }
}

/// Makes of each named case of a suite a test on each store.
macro_rules! conforms {
    ($name:ident, $suite:ident, [$($case:ident),* $(,)?], at_once [$($race:ident),* $(,)?]) => {
        mod $name {
            use super::*;

            mod memory {
                use super::*;
                $(#[test]
                fn $case() {
                    crate::support::suites::memory(|[store, _]| wait($suite::$case(store)));
                })*
                $(#[test]
                fn $race() {
                    crate::support::suites::memory(|stores| wait($suite::$race(stores)));
                })*
            }

            mod sqlite {
                use super::*;
                $(#[test]
                fn $case() {
                    crate::support::suites::sqlite(|[store, _]| wait($suite::$case(store)));
                })*
                $(#[test]
                fn $race() {
                    crate::support::suites::sqlite(|stores| wait($suite::$race(stores)));
                })*
            }

            mod postgres {
                use super::*;
                $(#[test]
                fn $case() {
                    crate::support::suites::postgres(|[store, _]| wait($suite::$case(store)));
                })*
                $(#[test]
                fn $race() {
                    crate::support::suites::postgres(|stores| wait($suite::$race(stores)));
                })*
            }

            mod two_nodes {
                use super::*;
                $(#[test]
                fn $race() {
                    crate::support::suites::two_nodes(|stores| wait($suite::$race(stores)));
                })*
            }
        }
    };
}
pub(crate) use conforms;
