//! Who gets in, and what of whom.

use std::time::Duration;

use tombolo_testkit::eventually::eventually;
use tombolo_testkit::http::{Request, Response};
use tombolo_testkit::served::Served;
use tombolo_testkit::tickit::{Device, ago, task};
use tombolo_testkit::transcript::uuid;

use crate::{install, serve, stored};

/// What a change on the command line may take to count.
const SECOND: Duration = Duration::from_secs(1);

fn status(served: &Served, token: &str) -> u16 {
    Device::new("anne", token).send(served, &[]).status
}

#[test]
fn two_users_never_see_each_other() {
    let served = serve();
    let mut anne = Device::new("device", &served.install.token_for("anne", "phone"));
    // Another user's device may have the same id, and its records too.
    let mut bert = Device::new("device", &served.install.token_for("bert", "phone"));
    let (inbox, other) = (anne.inbox.clone(), bert.inbox.clone());
    anne.join(&served, &[task(&uuid("milk"), "Anne's", &inbox, &ago(600))]);
    let reply = bert.join(&served, &[task(&uuid("milk"), "Bert's", &other, &ago(500))]);
    let titles: Vec<_> = reply.of_type("task").map(|task| task["title"].clone()).collect();
    assert_eq!(titles, ["Bert's"]);
    assert_eq!(anne.sync(&served, &[]).changes.len(), 0);
    anne.last_sync = None;
    let reply = anne.sync(&served, &[]);
    let titles: Vec<_> = reply.of_type("task").map(|task| task["title"].clone()).collect();
    assert_eq!(titles, ["Anne's"]);
    let mut bad = task("no-id", "x", &other, &ago(1));
    bad["priority"] = "none".into();
    bert.sync(&served, &[bad]);
    let refused = served.install.json(&["refused", "--user", "bert"]);
    assert_eq!((refused.as_array().unwrap().len(), &refused[0]["user"]), (1, &"bert".into()));
    assert_eq!(served.install.json(&["refused", "--user", "anne"]), serde_json::json!([]));
}

#[test]
fn all_devices_of_one_user_share_whatever_their_tokens() {
    let served = serve();
    let mut one = Device::new("one", &served.install.token("one"));
    let mut two = Device::new("two", &served.install.token("two"));
    let inbox = one.inbox.clone();
    one.join(&served, &[task(&uuid("milk"), "Milk", &inbox, &ago(600))]);
    assert_eq!(two.join(&served, &[]).of_type("task").count(), 1);
}

/// Deleted beside the running server, which is killed as soon as that was said.
#[test]
fn a_deleted_users_token_ends_at_once_and_nothing_of_theirs_outlives_a_kill() {
    let mut served = serve();
    for user in ["anne", "bert"] {
        served.install.ok(&["user", "add", user]);
    }
    let [anne, bert] = ["anne", "bert"].map(|user| served.install.token_for(user, "phone"));
    for (user, token) in [("anne", &anne), ("bert", &bert)] {
        let mut device = Device::new("device", token);
        let inbox = device.inbox.clone();
        device.join(&served, &[task(&uuid("milk"), &format!("Milk of {user}"), &inbox, &ago(600))]);
    }
    served.install.ok(&["user", "delete", "anne", "--yes"]);
    eventually("a deleted user's token ends", SECOND, || (status(&served, &anne) == 401).then_some(()));
    assert_eq!(status(&served, &bert), 200);
    served.kill();
    // What PostgreSQL shows is what it holds: its rows, not its pages.
    let left = String::from_utf8_lossy(&stored(&served)).replace("\\x", "");
    let milk_of = |user: &str| {
        let title = format!("Milk of {user}");
        let hex: String = title.bytes().map(|byte| format!("{byte:02x}")).collect();
        left.contains(&title) || left.contains(&hex)
    };
    assert!(!milk_of("anne") && milk_of("bert"));
    served.start_again();
    assert_eq!((status(&served, &anne), status(&served, &bert)), (401, 200));
}

#[test]
fn a_token_counts_and_ends_within_a_second_on_a_running_server() {
    let served = serve();
    let token = served.install.token("phone");
    eventually("a new token counts", SECOND, || (status(&served, &token) == 200).then_some(()));
    served.install.ok(&["token", "--revoke", "phone"]);
    eventually("a revoked token ends", SECOND, || (status(&served, &token) == 401).then_some(()));
    let again = served.install.token("phone");
    eventually("a token of the same name counts", SECOND, || (status(&served, &again) == 200).then_some(()));
    assert_eq!(status(&served, &token), 401);
    served.install.ok(&["user", "disable", "owner"]);
    eventually("a disabled user is out", SECOND, || (status(&served, &again) == 401).then_some(()));
}

#[test]
fn wrong_tokens_are_limited_and_never_keep_a_right_one_out() {
    let served = serve();
    let token = served.install.token("phone");
    let wrong: Vec<Response> = (0..40).map(|_| Device::new("anne", "tks_wrong").send(&served, &[])).collect();
    let statuses: Vec<u16> = wrong.iter().map(|response| response.status).collect();
    assert_eq!(statuses[..30], [401; 30]);
    let limited = wrong.iter().find(|response| response.status == 429).expect("above 30 in a minute");
    let wait: u64 = limited.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait} s");
    assert!(limited.json()["error"].is_string());
    assert_eq!(status(&served, &token), 200);
    // Nor does it keep out one that was made since, and is not known yet.
    let fresh = served.install.token("tablet");
    assert_eq!(status(&served, &fresh), 200);
    // A token with a known beginning and a wrong end is a wrong token.
    let (start, last) = token.split_at(token.len() - 1);
    let almost = status(&served, &format!("{start}{}", if last == "x" { "y" } else { "x" }));
    assert!([401, 429].contains(&almost), "{almost}");
}

/// How the last of 40 wrong tokens fares, each with another forwarded address.
fn flood(served: &Served) -> u16 {
    let wrong = |n: usize| {
        let request = Device::new("anne", "tks_wrong").request(&[]);
        served.send(&request.header("X-Forwarded-For", &format!("198.51.100.{n}"))).status
    };
    let statuses: Vec<u16> = (1..=40).map(wrong).collect();
    statuses[39]
}

#[test]
fn forwarded_addresses_count_only_from_trusted_proxies() {
    assert_eq!(flood(&serve()), 429, "a client cannot give itself another address");
    let proxied = install().set("trusted_proxies=127.0.0.0/8").serve();
    assert_eq!(flood(&proxied), 401, "clients behind a proxy are told apart");
    let limited = |address: &str| {
        let request = Device::new("anne", "tks_wrong").request(&[]).header("X-Forwarded-For", address);
        let statuses: Vec<u16> = (0..40).map(|_| proxied.send(&request).status).collect();
        statuses[39] == 429
    };
    assert!(limited("203.0.113.7"));
    // What a client writes to the left of what the proxy writes is worth nothing.
    assert!(limited("198.51.100.1, 203.0.113.7"));
}

#[test]
fn a_token_opens_only_what_is_its_own() {
    let served = serve();
    let token = served.install.token("phone");
    for header in [format!("Basic {token}"), token.clone(), format!("Bearer{token}"), "Bearer ".to_owned()] {
        let request = Device::new("anne", "x").request(&[]).without("Authorization").header("Authorization", &header);
        assert_eq!(served.send(&request).status, 401, "{}", header.replace(&token, "TOKEN"));
    }
    for scheme in ["bearer", "BEARER", "BeArEr"] {
        let request = Device::new("anne", "x").request(&[]).without("Authorization");
        assert_eq!(served.send(&request.header("Authorization", &format!("{scheme} {token}"))).status, 200);
    }
    let cased =
        token[4..].chars().map(|c| if c.is_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() });
    let cased: String = "tks_".chars().chain(cased).collect();
    assert_eq!(status(&served, &cased), 401);
    assert_eq!(served.send(&Request::get("/ready")).status, 200);
}

#[test]
fn the_list_says_when_a_token_was_last_used_and_never_what_it_is() {
    let mut served = serve();
    let token = served.install.token("phone");
    assert_eq!(status(&served, &token), 200);
    assert!(served.terminate().success());
    let listed = served.install.ok(&["token", "--list", "--json"]);
    assert!(!listed.contains(&token[4..12]), "{listed}");
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert!(listed[0]["last_used_at"].is_string(), "{listed}");
    let bytes = crate::stored(&served);
    assert!(bytes.windows(5).any(|window| window == b"phone"), "what is stored is looked through");
    assert!(!bytes.windows(token.len()).any(|window| window == token.as_bytes()), "the token is stored");
}
