//! What is done twice at once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tombolo_core::Seq;
use tombolo_storage::{Effect, NewKey, NotAppended, Store, Unfit, Weight};

use super::{Shared, add, at, doing, give, key, plain, secret};
use crate::eventually::SetOnDrop;
use crate::identities_suite::{make_known, name};
use crate::team::ALL;
use crate::wait;

const ROUNDS: u8 = 8;

/// One setup token that is exchanged twice at once gives one key.
pub async fn a_setup_token_is_used_twice_at_once([one, two]: [&dyn Store; 2]) {
    let log = Shared::new(one).await;
    let ann = make_known(one, "ann").await;
    for n in 1..=ROUNDS {
        log.does(&format!("give {n}"), give("ann", n, 100)).await.unwrap();
        let request = |by: &str| {
            let prefix = format!("{by} {n}");
            let effect =
                Effect::UseSetupToken { token: secret(n), key: NewKey { name: name(&prefix), ..key(&prefix) } };
            log.request(log.root, 0, vec![doing(&prefix, effect)])
        };
        let (first, second) = tokio::join!(one.append(request("first")), two.append(request("second")));
        let answers = [first.unwrap(), second.unwrap()];
        assert!(answers.contains(&Err(NotAppended::Unfit(0, Unfit::Spent))), "{answers:?}");
        assert!(answers.iter().any(Result::is_ok), "{answers:?}");
        assert_eq!(log.keys_of(ann).await.len(), usize::from(n));
    }
    log.is_whole().await;
}

/// One user who is made twice at once is made once.
pub async fn a_user_is_made_twice_at_once([one, two]: [&dyn Store; 2]) {
    let log = Shared::new(one).await;
    for n in 1..=ROUNDS {
        let subject = format!("ann{n}");
        let request = |by: &str| log.request(log.root, 0, vec![plain(by), doing(&format!("{by} {n}"), add(&subject))]);
        let (first, second) = tokio::join!(one.append(request("first")), two.append(request("second")));
        let answers = [first.unwrap(), second.unwrap()];
        assert!(answers.contains(&Err(NotAppended::Unfit(1, Unfit::Known))), "{answers:?}");
        assert!(answers.iter().any(Result::is_ok), "{answers:?}");
        assert_eq!(one.users().await.unwrap().len(), usize::from(n) + 1);
    }
    log.is_whole().await;
}

/// Rulings while three change the rules at once with others who write.
const RULINGS: u64 = 30;

/// Many write while the rules are changed again and again: whatever is stored lies behind the ruling it was judged by,
/// and before the next.
pub async fn nothing_slips_in_under_rules_of_before([one, two]: [&dyn Store; 2]) {
    let log = Shared::new(one).await;
    let (done, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let (root, space) = (log.root, log.space);
    let last = |store: &dyn Store| {
        let rulings = wait(store.rulings(space, Seq::ZERO, ALL)).unwrap();
        rulings.last().map_or(Seq::ZERO, |entry| entry.seq).get()
    };
    // Judges, until it is stored; what it was judged by is its content.
    let push = |store: &dyn Store, key: &str, weight: Weight| loop {
        let judged_by = last(store);
        let kind = if weight.is_ruling { "r" } else { "" };
        let (entry, _) = at(key, 5, &format!("{kind}{judged_by}"));
        match wait(Shared::of(store, root).push(judged_by, vec![(entry, weight.clone())])) {
            Ok(_) => return,
            Err(why) => assert_eq!(why, NotAppended::Outdated),
        }
    };
    std::thread::scope(|scope| {
        let over = SetOnDrop(&done);
        let writers: Vec<_> = [one, two, one]
            .into_iter()
            .enumerate()
            .map(|(writer, store)| {
                let (done, written, push) = (&done, &written, &push);
                scope.spawn(move || {
                    for n in 0.. {
                        if done.load(Ordering::SeqCst) {
                            return;
                        }
                        push(store, &format!("{writer} {n}"), Weight::default());
                        written.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        // On a thread of its own like the others: this one drives the test's runtime.
        let ruler = scope.spawn(|| {
            for n in 0..RULINGS {
                let weight = Weight { is_ruling: true, effect: None };
                push([one, two][usize::from(n % 2 == 0)], &format!("ruling {n}"), weight);
            }
        });
        let ruled = ruler.join();
        drop(over);
        ruled.unwrap();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
    });
    let rulings: Vec<u64> =
        one.rulings(space, Seq::ZERO, ALL).await.unwrap().iter().map(|entry| entry.seq.get()).collect();
    assert_eq!(rulings.len() as u64, RULINGS);
    let entries = one.entries(space, Seq::ZERO, ALL).await.unwrap().entries;
    assert_eq!(entries.len() as u64, RULINGS + written.load(Ordering::SeqCst));
    for entry in entries {
        let in_force = rulings.iter().copied().filter(|ruling| *ruling < entry.seq.get()).max().unwrap_or(0);
        let judged_by = String::from_utf8(entry.payload).unwrap();
        assert_eq!(judged_by.trim_start_matches('r'), in_force.to_string(), "change {}", entry.seq);
    }
    log.is_whole().await;
}
