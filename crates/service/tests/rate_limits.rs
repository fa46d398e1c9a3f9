//! How many requests a minute, of whom.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tombolo_core::{CredentialId, limits};
use tombolo_service::{AddressClass, Counted, KeyClass, RateLimitOptions, RateLimits};
use tombolo_testkit::TestEnv;

fn limits_of(options: RateLimitOptions) -> (Arc<TestEnv>, RateLimits) {
    let env = Arc::new(TestEnv::new(1));
    (env.clone(), RateLimits::new(options, env))
}

fn set_secs(env: &TestEnv, secs: u64) {
    env.set(TestEnv::START.plus(Duration::from_secs(secs)));
}

fn key(n: i64) -> CredentialId {
    CredentialId::new(n)
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// How many of `tries` requests are let through.
fn passed(tries: usize, count: impl Fn() -> Option<Counted>) -> usize {
    (0..tries).filter(|_| !count().is_some_and(|counted| counted.is_over)).count()
}

#[test]
fn the_defaults_are_those_of_the_protocol() {
    let (_, limits) = limits_of(RateLimitOptions::default());
    let check = |expected: usize, count: &dyn Fn() -> Option<Counted>| assert_eq!(passed(1_000, count), expected);
    check(10, &|| limits.count_address(AddressClass::SignIn, address("192.0.2.1")));
    check(300, &|| limits.count_address(AddressClass::Poll, address("192.0.2.1")));
    check(60, &|| limits.count_key(KeyClass::Push, key(1)));
    check(120, &|| limits.count_key(KeyClass::Pull, key(1)));
    check(300, &|| limits.count_key(KeyClass::Other, key(1)));
}

#[test]
fn two_classes_never_share_a_count_nor_do_two_keys() {
    let (_, limits) = limits_of(RateLimitOptions { auth: 3, push: 3, pull: 3, other: 3 });
    for class in [KeyClass::Push, KeyClass::Pull, KeyClass::Other] {
        for n in 1..=2 {
            assert_eq!(passed(5, || limits.count_key(class, key(n))), 3, "{class:?} of {n}");
        }
    }
    for class in [AddressClass::SignIn, AddressClass::Poll] {
        for from in ["192.0.2.1", "192.0.2.2", "2001:db8::1"] {
            assert_eq!(passed(5, || limits.count_address(class, address(from))), 3, "{class:?} of {from}");
        }
        // What differs in its lower half is the same network.
        assert_eq!(passed(5, || limits.count_address(class, address("2001:db8::ffff:1"))), 0, "{class:?}");
        assert_eq!(passed(5, || limits.count_address(class, address("::ffff:192.0.2.1"))), 0, "{class:?}");
    }
}

#[test]
fn zero_is_no_limit() {
    let (_, limits) = limits_of(RateLimitOptions { auth: 0, push: 0, pull: 0, other: 0 });
    assert_eq!(limits.count_key(KeyClass::Push, key(1)), None);
    assert_eq!(limits.count_key(KeyClass::Pull, key(1)), None);
    assert_eq!(limits.count_key(KeyClass::Other, key(1)), None);
    assert_eq!(limits.count_address(AddressClass::SignIn, address("192.0.2.1")), None);
    assert_eq!(limits.count_address(AddressClass::Poll, address("192.0.2.1")), None);
}

#[test]
fn each_request_is_told_how_it_stands() {
    let (env, limits) = limits_of(RateLimitOptions { push: 3, ..RateLimitOptions::default() });
    let count = || {
        let Counted { limit, remaining, reset, is_over } = limits.count_key(KeyClass::Push, key(1)).unwrap();
        (limit, remaining, reset.as_secs(), is_over)
    };
    assert_eq!(count(), (3, 2, 60, false));
    set_secs(&env, 10);
    assert_eq!(count(), (3, 1, 50, false));
    assert_eq!(count(), (3, 0, 50, false));
    assert_eq!(count(), (3, 0, 50, true));
    // Asking on changes nothing.
    set_secs(&env, 59);
    assert_eq!(count(), (3, 0, 1, true));
    set_secs(&env, 60);
    assert_eq!(count(), (3, 2, 60, false));
}

#[test]
fn more_keys_than_are_counted_one_by_one_share_a_count_until_there_is_room() {
    let (env, limits) = limits_of(RateLimitOptions { push: 3, ..RateLimitOptions::default() });
    let max = i64::try_from(limits::COUNTED_KEYS_MAX).unwrap();
    for n in 1..=max {
        assert!(!limits.count_key(KeyClass::Push, key(n)).unwrap().is_over);
    }
    let further = (1..=10).filter(|n| !limits.count_key(KeyClass::Push, key(max + n)).unwrap().is_over).count();
    assert_eq!(further, 3, "of ten further keys together");
    assert_eq!(limits.count_key(KeyClass::Push, key(1)).unwrap().remaining, 1, "who has a count keeps it");
    set_secs(&env, 61);
    for n in 1..=10 {
        assert_eq!(limits.count_key(KeyClass::Push, key(max + n)).unwrap().remaining, 2, "{n}");
    }
}
