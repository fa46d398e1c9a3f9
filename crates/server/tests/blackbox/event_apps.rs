//! Apps that follow simple-sync's documented sync process, offline and on bad connections, against the real binary.

use std::collections::HashSet;

use serde_json::{Value, json};
use tombolo_testkit::event_app::{EventApp, uuid_of};
use tombolo_testkit::http::Request;
use tombolo_testkit::proxy::Proxy;
use tombolo_testkit::served::Served;
use tombolo_testkit::simple_sync::Participant;

use crate::serve;

/// A household: a server with a root, whose people may do anything with chores.
struct House {
    served: Served,
    root: Participant,
}

impl House {
    fn new() -> Self {
        let served = serve();
        let root = Participant::root(&served.install);
        let house = Self { served, root };
        house.rule("A *|chore.*|*");
        house
    }

    fn rule(&self, rule: &str) {
        assert_eq!(self.root.rule(&self.served, &[rule]).status, 200);
    }

    /// The app of somebody who is new here.
    fn app(&self, name: &str) -> EventApp {
        EventApp::new(self.root.welcome(&self.served, name), self.served.address())
    }

    /// One of the first generation, likewise.
    fn first_app(&self, name: &str) -> EventApp {
        EventApp::new(Participant::signed_in(&self.served, &self.root, name), self.served.address())
    }

    fn history(&self) -> Vec<Value> {
        self.root.history(&self.served)
    }
}

fn uuids(events: &[Value]) -> Vec<&str> {
    events.iter().map(uuid_of).collect()
}

/// Syncs all until what each brought is with each, and sees that they are equal.
fn settle(house: &House, apps: &mut [&mut EventApp]) {
    for _ in 0..2 {
        apps.iter_mut().for_each(|app| app.sync().unwrap());
    }
    let history = house.history();
    for app in apps {
        assert_eq!(app.events(), history, "{}", app.who.name);
    }
    assert_eq!(uuids(&history).len(), uuids(&history).into_iter().collect::<HashSet<_>>().len(), "each is there once");
}

#[test]
fn what_two_apps_recorded_offline_is_with_both() {
    let house = House::new();
    let (mut ada, mut bob) = (house.app("ada"), house.app("bob"));
    let mut recorded = Vec::new();
    for n in 0..20 {
        recorded.push(ada.record("chore.dishes", "done", &json!({ "n": n })));
        recorded.push(bob.record("chore.windows", "done", &json!({ "n": n, "note": "<b>\"&\u{1f9f9}" })));
    }
    settle(&house, &mut [&mut ada, &mut bob]);
    let history = house.history();
    let stored: HashSet<&str> = uuids(&history).into_iter().collect();
    assert!(recorded.iter().all(|uuid| stored.contains(uuid.as_str())));
    assert!(ada.refused().is_empty() && bob.refused().is_empty());
}

#[test]
fn a_lost_reply_holds_nobody_up_and_doubles_nothing() {
    let house = House::new();
    let (mut ada, mut bob) = (house.app("ada"), house.app("bob"));
    let proxy = Proxy::before(house.served.address());
    let before = house.history().len();
    ada.record("chore.dishes", "done", &json!({}));
    // Not the answer to the first request of a sync, but that to the push.
    let push = ada.who.request("POST", "/api/v1/events", &ada.batch());
    proxy.lose_replies(1);
    assert!(push.send(proxy.address()).is_err());
    assert_eq!((proxy.lost(), house.history().len()), (1, before + 1), "the server has it, and the app does not know");
    assert_eq!(push.send(proxy.address()).unwrap().status, 200, "the same push again");
    settle(&house, &mut [&mut ada, &mut bob]);
    assert_eq!(house.history().len(), before + 1);
}

#[test]
fn a_retry_is_answered_although_the_rules_changed_meanwhile() {
    let house = House::new();
    let ada = house.app("ada").who;
    let chore = ada.event("chore.dishes", "done");
    assert_eq!(ada.push(&house.served, std::slice::from_ref(&chore)).status, 200);
    house.rule("D ada|chore.*|*");
    assert_eq!(ada.push(&house.served, std::slice::from_ref(&chore)).status, 200, "it is stored already");
    let another = ada.event("chore.dishes", "done");
    let answer = ada.push(&house.served, &[chore, another.clone()]);
    assert_eq!((answer.status, &answer.json()["eventUuid"]), (403, &another["uuid"]));
}

#[test]
fn what_a_new_rule_refuses_is_named_and_the_rest_arrives() {
    let house = House::new();
    let (mut ada, mut bob) = (house.app("ada"), house.app("bob"));
    ada.record("chore.dishes", "done", &json!({}));
    let lost = ada.record("chore.windows", "done", &json!({}));
    ada.record("chore.stairs", "done", &json!({}));
    house.rule("D ada|chore.windows|*");
    settle(&house, &mut [&mut ada, &mut bob]);
    assert_eq!(ada.refused(), [(lost.clone(), "Insufficient permissions".to_owned())]);
    let history = house.history();
    assert!(!uuids(&history).contains(&lost.as_str()));
    house.rule("A ada|chore.windows|*");
    let found = ada.record("chore.windows", "done", &json!({}));
    settle(&house, &mut [&mut ada, &mut bob]);
    assert!(uuids(&house.history()).contains(&found.as_str()));
}

#[test]
fn the_first_generation_and_todays_see_the_same() {
    let house = House::new();
    let (mut ada, mut bob) = (house.first_app("ada"), house.app("bob"));
    assert!(ada.who.has_session() && !bob.who.has_session());
    for n in 0..5 {
        ada.record("chore.dishes", "done", &json!(n));
        bob.record("chore.windows", "done", &json!(n));
    }
    settle(&house, &mut [&mut ada, &mut bob]);
}

/// Small numbers that look random, the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

#[test]
fn whatever_happens_apps_end_equal_and_nothing_allowed_is_lost() {
    for seed in 0..3 {
        let mut house = House::new();
        let proxy = Proxy::before(house.served.address());
        let ada = house.app("ada");
        let mut apps = [ada.clone(), ada, house.first_app("bob")];
        apps.iter_mut().for_each(|app| app.server = proxy.address());
        let mut dice = Dice(seed);
        let mut recorded = Vec::new();
        for step in 0..60 {
            let at = usize::try_from(dice.roll(3)).unwrap();
            match dice.roll(8) {
                0..=3 => {
                    let item =
                        ["chore.dishes", "chore.windows", "chore.stairs"][usize::try_from(dice.roll(3)).unwrap()];
                    recorded.push(apps[at].record(item, "done", &json!({ "step": step })));
                }
                4 | 5 => drop(apps[at].sync()),
                6 => {
                    proxy.lose_replies(usize::try_from(dice.roll(2)).unwrap() + 1);
                    drop(apps[at].sync());
                    proxy.lose_replies(0);
                }
                _ if dice.roll(3) == 0 => {
                    house.served.kill();
                    house.served.start_again();
                    proxy.lead_to(house.served.address());
                }
                _ => {
                    let effect = ["A", "D"][usize::try_from(dice.roll(2)).unwrap()];
                    house.rule(&format!("{effect} ada|chore.windows|*"));
                }
            }
        }
        let [one, other, third] = &mut apps;
        settle(&house, &mut [one, other, third]);
        let history = house.history();
        let stored: HashSet<&str> = uuids(&history).into_iter().collect();
        let refused: HashSet<String> = apps.iter().flat_map(EventApp::refused).map(|(uuid, _)| uuid).collect();
        for uuid in &recorded {
            assert_ne!(
                stored.contains(uuid.as_str()),
                refused.contains(uuid),
                "seed {seed}: {uuid} is one or the other"
            );
        }
    }
}

#[test]
fn a_server_that_nobody_wrote_to_has_an_empty_history() {
    let served = serve();
    let (name, value) = Participant::root(&served.install).header();
    let answer = served.send(&Request::get("/api/v1/events").header(name, &value));
    assert_eq!((answer.status, answer.text().as_str()), (200, "[]"));
}
