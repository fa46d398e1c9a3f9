//! Who takes part: by password, by setup token, by ticket, each guessed at so often and no oftener.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

#[expect(dead_code, reason = "made for the tests of the log as well")]
mod shared;

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use shared::{Node, entry, name};
use tombolo_core::{CredentialId, Env, Purpose, Secret, ServerTime, UserId, limits};
use tombolo_service::{
    Admission, Effect, Form, IdentityChange, IdentityChanged, Keyring, Participants, PasswordUnfit, ROOT, ServiceError,
    SetupToken, SetupTokenFound, SignedIn, Submission, Submitted, Unfit, Weight,
};
use tombolo_storage::Added;
use tombolo_storage::memory::Memory;
use tombolo_testkit::{TestEnv, wait};

const RIGHT: &str = "correct horse";

fn node() -> Node {
    Node::new(Arc::new(Memory::new()), Arc::new(TestEnv::new(7)))
}

/// Another process on the same database.
fn beside(node: &Node) -> Node {
    Node::new(node.store.clone(), node.env.clone())
}

fn ip(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

fn sign_in(node: &Node, username: &str, password: &str, address: IpAddr) -> SignedIn {
    wait(node.participants.sign_in(username, Secret::new(password.to_owned()), address)).unwrap()
}

fn is_in(signed_in: &SignedIn, user: UserId) -> bool {
    matches!(signed_in, SignedIn::As(identity) if identity.user == user)
}

#[test]
fn a_username_and_its_password_let_in() {
    let node = node();
    let ann = node.add("ann", Some(RIGHT));
    node.add("bob", None);
    assert!(is_in(&sign_in(&node, "ann", RIGHT, ip(1)), ann));
    let wrong =
        [("ann", "wrong"), ("ann", ""), ("Ann", RIGHT), ("bob", RIGHT), ("bob", "x"), ("cat", RIGHT), ("", "x")];
    for (username, password) in wrong {
        assert_eq!(sign_in(&node, username, password, ip(1)), SignedIn::Wrong, "{username} {password}");
    }
    let renamed = IdentityChange { username: Some(name("anna")), password: None };
    assert_eq!(wait(node.participants.change(ann, renamed)).unwrap(), IdentityChanged::Done);
    assert_eq!(sign_in(&node, "ann", RIGHT, ip(1)), SignedIn::Wrong);
    let SignedIn::As(identity) = sign_in(&node, "anna", RIGHT, ip(1)) else { panic!("it is her new name") };
    assert_eq!((identity.user, identity.subject), (ann, name("ann")));
    wait(node.store.disable_user(&name("ann"), node.env.now())).unwrap();
    assert_eq!(sign_in(&node, "anna", RIGHT, ip(1)), SignedIn::Wrong);
    assert_eq!(wait(node.participants.known(&name("ann"))).unwrap(), None);
}

/// Wrong passwords for one username, or for many, from one address or from many.
fn guess(node: &Node, count: u32, at_one: bool, from_one: bool) {
    for n in 0..count {
        let username = if at_one { "ann".to_owned() } else { format!("nobody.{n}") };
        let address = if from_one { ip(1) } else { ip(100 + u8::try_from(n).unwrap()) };
        assert_eq!(sign_in(node, &username, "wrong", address), SignedIn::Wrong, "{n}");
    }
}

fn retry_after(signed_in: SignedIn) -> Duration {
    match signed_in {
        SignedIn::Limited { retry_after } => retry_after,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_address_may_be_wrong_twenty_times_a_minute() {
    let node = node();
    let ann = node.add("ann", Some(RIGHT));
    guess(&node, 1, false, true);
    node.env.advance(Duration::from_secs(40));
    guess(&node, limits::WRONG_PASSWORDS_PER_MINUTE - 1, false, true);
    // A right one is not looked at either: it would be a guess.
    assert_eq!(retry_after(sign_in(&node, "ann", RIGHT, ip(1))), Duration::from_secs(20));
    assert!(is_in(&sign_in(&node, "ann", RIGHT, ip(2)), ann));
    node.env.advance(Duration::from_secs(20));
    assert!(is_in(&sign_in(&node, "ann", RIGHT, ip(1)), ann));
}

#[test]
fn an_account_is_guessed_at_twenty_times_a_minute_whoever_guesses() {
    let node = node();
    let (ann, bob) = (node.add("ann", Some(RIGHT)), node.add("bob", Some(RIGHT)));
    guess(&node, limits::WRONG_PASSWORDS_PER_MINUTE, true, false);
    assert_eq!(retry_after(sign_in(&node, "ann", RIGHT, ip(1))), Duration::from_secs(60));
    assert!(is_in(&sign_in(&node, "bob", RIGHT, ip(1)), bob));
    // What was not looked at counts for nothing against its address.
    for _ in 0..limits::WRONG_PASSWORDS_PER_MINUTE {
        retry_after(sign_in(&node, "ann", "wrong", ip(1)));
    }
    assert!(is_in(&sign_in(&node, "bob", RIGHT, ip(1)), bob));
    node.env.advance(Duration::from_secs(60));
    assert!(is_in(&sign_in(&node, "ann", RIGHT, ip(1)), ann));
}

#[test]
fn right_passwords_never_count() {
    let node = node();
    let ann = node.add("ann", Some(RIGHT));
    for _ in 0..=limits::WRONG_PASSWORDS_PER_MINUTE {
        assert!(is_in(&sign_in(&node, "ann", RIGHT, ip(1)), ann));
    }
    guess(&node, limits::WRONG_PASSWORDS_PER_MINUTE, true, true);
}

type Work = Box<dyn FnOnce() + Send>;

/// A world in which nothing that is started ever runs: it is dropped, or kept where somebody keeps it.
struct Idle {
    env: TestEnv,
    kept: Option<Mutex<Vec<Work>>>,
}

impl Env for Idle {
    fn now(&self) -> ServerTime {
        self.env.now()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.env.fill_random(bytes);
    }

    fn spawn(&self, _: &str, work: Box<dyn FnOnce() + Send>) {
        if let Some(kept) = &self.kept {
            kept.lock().unwrap().push(work);
        }
    }
}

/// Those whose passwords nobody looks at: each is a failure at once, or waits for ever.
fn idle(node: &Node, waits: bool) -> Participants {
    let env = Arc::new(Idle { env: TestEnv::new(7), kept: waits.then(Mutex::default) });
    let keyring = Arc::new(Keyring::new(node.store.clone(), env.clone()));
    Participants::new(node.store.clone(), env, keyring, Purpose::SimpleSync)
}

#[test]
fn argon2_is_asked_for_unknown_names_as_for_known_ones_and_what_fails_is_not_wrong() {
    let node = node();
    node.add("ann", Some(RIGHT));
    node.add("bob", None);
    let participants = idle(&node, false);
    for username in ["ann", "bob", "nobody", "no\nname"] {
        for _ in 0..limits::WRONG_PASSWORDS_PER_MINUTE {
            let asked = wait(participants.sign_in(username, Secret::new("wrong".to_owned()), ip(1)));
            assert!(matches!(asked, Err(ServiceError::Internal(_))), "{username}");
        }
    }
}

#[test]
fn a_password_that_is_given_up_counts_as_wrong_and_beyond_the_limit_nobody_looks() {
    let node = node();
    let participants = idle(&node, true);
    let ask = || participants.sign_in("ann", Secret::new("wrong".to_owned()), ip(1)).now_or_never();
    for _ in 0..limits::WRONG_PASSWORDS_PER_MINUTE {
        assert!(ask().is_none());
    }
    assert!(matches!(ask(), Some(Ok(SignedIn::Limited { .. }))));
}

#[test]
fn what_can_be_a_password() {
    let check = |text: &str, expected| {
        assert_eq!(PasswordUnfit::check(&Secret::new(text.to_owned())), expected, "{text:?}");
    };
    check("", Err(PasswordUnfit::TooShort));
    for text in ["1", "é", " ", "1234567"] {
        check(text, Ok(()));
    }
    check(&"x".repeat(limits::PASSWORD_BYTES_MAX), Ok(()));
    check(&"x".repeat(limits::PASSWORD_BYTES_MAX + 1), Err(PasswordUnfit::TooLong));
}

#[test]
fn whoever_has_a_key_becomes_known_under_his_name_and_stays_so() {
    let node = node();
    let Added::New(user) = wait(node.store.add_user(&name("ann"), None, node.env.now())).unwrap() else {
        panic!("the name is free");
    };
    assert_eq!(wait(node.participants.known(&name("ann"))).unwrap(), None);
    assert_eq!(wait(node.participants.subject(user)).unwrap(), name("ann"));
    assert_eq!(wait(node.participants.known(&name("ann"))).unwrap().unwrap().user, user);
    assert_eq!(wait(beside(&node).participants.subject(user)).unwrap(), name("ann"));
    assert_eq!(wait(node.participants.subject(node.root())).unwrap(), name(ROOT));
    assert!(wait(node.participants.subject(UserId::new(99))).is_err());
}

#[test]
fn the_secret_of_sessions_is_the_same_for_all_and_not_asked_for_twice() {
    let node = node();
    let secret = wait(node.participants.session_secret()).unwrap();
    assert_eq!(secret.reveal().len(), 64);
    assert_eq!(wait(node.participants.session_secret()).unwrap(), secret);
    assert_eq!(wait(beside(&node).participants.session_secret()).unwrap(), secret);
    assert_eq!(wait(node.store.secret("simple_sync.jwt_secret", b"other")).unwrap(), secret.reveal().as_bytes());
}

/// Does something as `.root`, which is no repeat of anything.
fn act(node: &Node, effect: Effect) -> Submitted<()> {
    let mut random = [0; 8];
    node.env.fill_random(&mut random);
    let entries = vec![entry(&format!(".root .user.someone .user.action{random:?}"))];
    node.submit(node.root(), Submission { entries, weights: vec![Weight { is_ruling: false, effect: Some(effect) }] })
}

fn give(node: &Node, subject: &str) -> SetupToken {
    let token = node.participants.fresh_setup_token().unwrap();
    let effect = Effect::GiveSetupToken { subject: name(subject), token: token.hash, expires_at: token.expires_at };
    assert!(matches!(act(node, effect), Submitted::Done(_)));
    token
}

fn present(node: &Node, typed: &str, address: IpAddr) -> SetupTokenFound {
    wait(node.participants.setup_token(typed, address)).unwrap()
}

#[test]
fn a_setup_token_is_found_as_it_is_typed_until_it_is_used_or_ends() {
    let node = node();
    let ann = node.add("ann", None);
    let token = give(&node, "ann");
    let text = token.text.reveal();
    assert!(text.len() == 9 && text.as_bytes()[4] == b'-', "{text}");
    for typed in [text.to_owned(), text.to_lowercase(), text.replace('-', ""), format!(" {text}\n")] {
        let SetupTokenFound::For(identity, hash) = present(&node, &typed, ip(1)) else { panic!("{typed}") };
        assert_eq!((identity.user, hash), (ann, token.hash));
    }
    let (key, new_key) = node.participants.fresh_key(name("phone")).unwrap();
    assert!(key.reveal().starts_with("sk_") && key.reveal().len() == 46);
    let using = Effect::UseSetupToken { token: token.hash, key: new_key };
    assert!(matches!(act(&node, using.clone()), Submitted::Done(_)));
    let access = wait(node.keyring.authenticate(key.reveal(), Purpose::SimpleSync, ip(1))).unwrap();
    assert!(matches!(access, tombolo_service::Access::Granted(caller) if caller.user == ann));
    assert_eq!(present(&node, text, ip(1)), SetupTokenFound::None);
    assert_eq!(act(&node, using), Submitted::Unfit(0, Unfit::Spent));

    let token = give(&node, "ann");
    node.env.advance(limits::SETUP_TOKEN_SPAN);
    assert_eq!(present(&node, token.text.reveal(), ip(1)), SetupTokenFound::None);
}

#[test]
fn setup_tokens_are_guessed_at_so_often_by_one_address_and_by_all() {
    let node = node();
    node.add("ann", None);
    let token = give(&node, "ann");
    let is_good = |address| matches!(present(&node, token.text.reveal(), address), SetupTokenFound::For(..));
    for _ in 0..limits::WRONG_SETUP_TOKENS_PER_MINUTE {
        assert!(is_good(ip(1)), "right ones count for nothing");
        assert_eq!(present(&node, "AAAA-0000", ip(1)), SetupTokenFound::None);
    }
    assert!(matches!(present(&node, token.text.reveal(), ip(1)), SetupTokenFound::Limited { .. }));
    assert!(is_good(ip(2)));
    for n in limits::WRONG_SETUP_TOKENS_PER_MINUTE..limits::WRONG_SETUP_TOKENS_OF_ALL_PER_MINUTE {
        let address = IpAddr::from(n.to_be_bytes());
        assert_eq!(present(&node, "no token", address), SetupTokenFound::None, "{n}");
    }
    assert_eq!(
        present(&node, token.text.reveal(), ip(2)),
        SetupTokenFound::Limited { retry_after: Duration::from_secs(60) }
    );
    node.env.advance(Duration::from_secs(60));
    assert!(is_good(ip(1)) && is_good(ip(2)));
}

#[test]
fn a_ticket_stands_for_what_let_in_once_and_for_a_minute() {
    let node = node();
    let ann = node.add("ann", None);
    let ends_at = Some(node.env.now().plus(Duration::from_secs(3_600)));
    let by_password = Admission { user: ann, credential: None, ends_at };
    let give = |admission, form| wait(node.participants.give_ticket(admission, form)).unwrap();
    let take = |text: &str| wait(node.participants.use_ticket(text)).unwrap();
    for form in [Form::Today, Form::First] {
        let ticket = give(by_password, form);
        assert_eq!(ticket.expires_at, node.env.now().plus(limits::TICKET_SPAN));
        let text = ticket.text.reveal();
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "it stands in a query");
        assert_eq!(take(text), Some((by_password, form)));
        assert_eq!(take(text), None);
    }
    assert_ne!(give(by_password, Form::Today).text, give(by_password, Form::Today).text);
    let revoked = Admission { credential: Some(CredentialId::new(99)), ..by_password };
    assert_eq!(take(give(revoked, Form::Today).text.reveal()), None);
    let late = give(by_password, Form::Today);
    node.env.advance(limits::TICKET_SPAN);
    assert_eq!(take(late.text.reveal()), None);
    for text in ["", "x", &"A".repeat(43), &"é".repeat(43)] {
        assert_eq!(take(text), None, "{text}");
    }
}
