//! What a token opens, until when, and what a wrong one costs.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use support::{Bench, START, new_token};
use tombolo_core::{Purpose, limits};
use tombolo_service::{Access, Denial, Made, ServiceError};

const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

async fn present(bench: &Bench, token: &str) -> Result<Access, ServiceError> {
    bench.keyring.authenticate(token, Purpose::Tickit, HOME).await
}

async fn is_granted(bench: &Bench, token: &str) -> bool {
    matches!(present(bench, token).await.unwrap(), Access::Granted(_))
}

/// The token with its last letter exchanged: a known prefix, a wrong secret.
fn spoilt(token: &str) -> String {
    let (start, last) = token.split_at(token.len() - 1);
    format!("{start}{}", if last == "A" { "B" } else { "A" })
}

#[tokio::test]
async fn a_new_token_lets_its_user_in() {
    let bench = Bench::new();
    let token = bench.token("laptop", None).await;
    let Access::Granted(caller) = present(&bench, &token).await.unwrap() else { panic!("refused") };
    assert_eq!(caller.user.get(), 1);
    assert_eq!(bench.keyring.make_token(new_token("laptop", None)).await.unwrap(), Made::NameTaken);
}

#[tokio::test]
async fn a_token_is_verified_once_per_process() {
    let bench = Bench::new();
    let token = bench.token("laptop", None).await;
    assert!(is_granted(&bench, &token).await);
    bench.store.spoil_hashes();
    bench.store.failing.store(true, Ordering::Relaxed);
    assert!(is_granted(&bench, &token).await);
    assert_eq!(bench.store.finds.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_is_no_token_never_reaches_a_hash() {
    let bench = Bench::new();
    let token = bench.token("laptop", None).await;
    // A comparison with any of these hashes would be an error.
    bench.store.spoil_hashes();
    let long = "x".repeat(100_000);
    for text in ["", "tks_", "Bearer", &token[..35], "tks_00000000000000000000000000000000", &long] {
        assert_eq!(present(&bench, text).await.unwrap(), Access::Refused(Denial::Unknown), "{text:.40}");
    }
    assert!(matches!(present(&bench, &token).await, Err(ServiceError::Internal(_))));
}

#[tokio::test]
async fn a_wrong_secret_is_compared_once() {
    let bench = Bench::new();
    let token = bench.token("laptop", None).await;
    assert!(!is_granted(&bench, &spoilt(&token)).await);
    bench.store.failing.store(true, Ordering::Relaxed);
    assert!(!is_granted(&bench, &spoilt(&token)).await);
}

#[tokio::test]
async fn too_many_wrong_tokens_are_told_to_wait_and_keep_no_right_one_out() {
    let bench = Bench::new();
    let (used, unused) = (bench.token("laptop", None).await, bench.token("phone", None).await);
    assert!(is_granted(&bench, &used).await);
    for _ in 0..limits::WRONG_TOKENS_PER_MINUTE {
        assert_eq!(present(&bench, "wrong").await.unwrap(), Access::Refused(Denial::Unknown));
    }
    for wrong in ["wrong", &spoilt(&unused)] {
        let refused = Access::Refused(Denial::Limited { retry_after: Duration::from_secs(60) });
        assert_eq!(present(&bench, wrong).await.unwrap(), refused);
    }
    assert!(is_granted(&bench, &used).await);
    assert!(is_granted(&bench, &unused).await);
    let elsewhere = bench.keyring.authenticate("wrong", Purpose::Tickit, [192, 0, 2, 2].into()).await.unwrap();
    assert_eq!(elsewhere, Access::Refused(Denial::Unknown));
}

#[tokio::test]
async fn a_token_ends_when_it_was_said_to() {
    let bench = Bench::new();
    let end = START.plus(Duration::from_secs(60));
    let token = bench.token("guest", Some(end)).await;
    assert!(is_granted(&bench, &token).await);
    bench.env.set(end);
    // An expired token is a right one: it is not counted among the wrong.
    for _ in 0..=limits::WRONG_TOKENS_PER_MINUTE {
        assert_eq!(present(&bench, &token).await.unwrap(), Access::Refused(Denial::Expired { at: end }));
    }
}

#[tokio::test]
async fn a_revoked_token_is_out_after_a_refresh() {
    let bench = Bench::new();
    let token = bench.token("laptop", None).await;
    assert!(is_granted(&bench, &token).await);
    bench.keyring.refresh().await.unwrap();
    assert!(is_granted(&bench, &token).await);
    bench.store.revoke_all();
    bench.keyring.refresh().await.unwrap();
    assert!(!is_granted(&bench, &token).await);
}

#[tokio::test]
async fn a_token_that_was_revoked_here_is_out_at_once_and_no_other_is_looked_up_again() {
    let bench = Bench::new();
    let (lost, kept) = (bench.token("laptop", None).await, bench.token("phone", None).await);
    let Access::Granted(caller) = present(&bench, &lost).await.unwrap() else { panic!("refused") };
    assert!(is_granted(&bench, &kept).await);
    bench.store.revoke_all();
    bench.keyring.forget_one(caller.credential);
    assert!(!is_granted(&bench, &lost).await);
    bench.store.failing.store(true, Ordering::Relaxed);
    assert!(is_granted(&bench, &kept).await);
}

#[tokio::test]
async fn a_refresh_that_fails_forgets_everything() {
    let bench = Bench::new();
    let token = bench.token("laptop", None).await;
    assert!(is_granted(&bench, &token).await);
    bench.store.revoke_all();
    bench.store.failing.store(true, Ordering::Relaxed);
    assert!(bench.keyring.refresh().await.is_err());
    assert!(present(&bench, &token).await.is_err());
    bench.store.failing.store(false, Ordering::Relaxed);
    assert!(!is_granted(&bench, &token).await);
}

#[tokio::test]
async fn a_token_revoked_while_it_is_verified_is_not_remembered() {
    let bench = Arc::new(Bench::new());
    let token = bench.token("laptop", None).await;
    let pause = Arc::new(tokio::sync::Barrier::new(2));
    *bench.store.pause.lock().unwrap() = Some(pause.clone());
    let revoking = async {
        pause.wait().await;
        bench.store.revoke_all();
        bench.keyring.refresh().await.unwrap();
        pause.wait().await;
    };
    let (access, ()) = tokio::join!(present(&bench, &token), revoking);
    assert_eq!(access.unwrap(), Access::Refused(Denial::Unknown));
    assert!(!is_granted(&bench, &token).await);
}

#[tokio::test]
async fn a_flood_of_guesses_at_one_prefix_is_bounded() {
    let bench = Arc::new(Bench::new());
    let token = bench.token("laptop", None).await;
    let (start, _) = token.split_at(token.len() - 3);
    let mut guesses = tokio::task::JoinSet::new();
    for n in 0..limits::VERIFICATIONS_WAITING_MAX + 20 {
        let (bench, guess) = (bench.clone(), format!("{start}{n:03}"));
        guesses.spawn(async move { present(&bench, &guess).await });
    }
    let answers = guesses.join_all().await;
    assert!(answers.iter().any(|answer| matches!(answer, Err(ServiceError::Busy))));
    assert!(answers.iter().all(|answer| !matches!(answer, Ok(Access::Granted(_)))));
    assert!(is_granted(&bench, &token).await);
}

#[tokio::test]
async fn uses_are_written_down_to_the_minute_and_survive_a_failing_store() {
    let bench = Bench::new();
    let token = bench.token("laptop", None).await;
    bench.env.set(START.plus(Duration::from_secs(90)));
    assert!(is_granted(&bench, &token).await);
    bench.store.failing.store(true, Ordering::Relaxed);
    assert!(bench.keyring.flush_last_used().await.is_err());
    bench.store.failing.store(false, Ordering::Relaxed);
    bench.keyring.flush_last_used().await.unwrap();
    bench.keyring.flush_last_used().await.unwrap();
    let touched = bench.store.touched.lock().unwrap();
    assert_eq!(touched.iter().map(|(_, at)| *at).collect::<Vec<_>>(), [START.plus(Duration::from_secs(60))]);
}
