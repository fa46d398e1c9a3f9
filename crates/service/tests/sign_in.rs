//! Signing in, on the model: who is let in, who is not, and what nobody can tell apart.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tombolo_core::{EmailAddress, Env as _, Name, ProjectId, Purpose, Role, UserCode, UserId, limits};
use tombolo_service::{
    Access, AdmissionOptions, Admissions, CodeEntered, Exchange, GrantedKey, KeyWish, Keyring, LinkOpened, LinkToken,
    Mail, Outbox, OutgoingMail, OwnerApproval, Polled, SecretHash, WebRefused, WebState,
};
use tombolo_storage::memory::Memory;
use tombolo_storage::{Accounts as _, Added, NewProject, Projects as _, Who};
use tombolo_testkit::TestEnv;

const BASE: &str = "https://sync.example.org";
const CALLBACK: &str = "https://watch.example.org/callback";
/// The verifier and the challenge of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: [u8; 32] = [
    19, 211, 30, 150, 26, 26, 216, 236, 47, 22, 177, 12, 76, 152, 46, 8, 118, 168, 120, 173, 109, 241, 68, 86, 110,
    225, 137, 74, 203, 112, 249, 195,
];

struct Bench {
    admissions: Admissions,
    store: Arc<Memory>,
    env: Arc<TestEnv>,
    mails: OutgoingMail,
}

impl Bench {
    fn with(allow_signup: bool, web_callback_url: Option<&str>) -> Self {
        let (outbox, mails) = Outbox::open(Arc::new(|| {}));
        Self::on(outbox, mails, allow_signup, web_callback_url)
    }

    /// A server that sends no mail.
    fn without_mail() -> Self {
        let (_, mails) = Outbox::open(Arc::new(|| {}));
        Self::on(Outbox::closed(), mails, false, None)
    }

    fn on(outbox: Outbox, mails: OutgoingMail, allow_signup: bool, web_callback_url: Option<&str>) -> Self {
        let (store, env) = (Arc::new(Memory::new()), Arc::new(TestEnv::new(7)));
        let web_callback_url = web_callback_url.map(str::to_owned);
        let options =
            AdmissionOptions { base_url: BASE.to_owned(), approve_path: "/approve", allow_signup, web_callback_url };
        let admissions = Admissions::new(store.clone(), env.clone(), outbox, options);
        Self { admissions, store, env, mails }
    }

    /// Sign-up is closed, and Ann has an account.
    async fn new() -> Self {
        let bench = Self::with(false, Some(CALLBACK));
        bench.user("ann").await;
        bench
    }

    /// A user with the address NAME@example.org.
    async fn user(&self, name: &str) -> UserId {
        let email = address(&format!("{name}@example.org"));
        match self.store.add_user(&Name::parse(name).unwrap(), Some(&email), self.env.now()).await.unwrap() {
            Added::New(user) => user,
            taken => panic!("{taken:?}"),
        }
    }

    async fn disable(&self, name: &str) {
        assert!(self.store.disable_user(&Name::parse(name).unwrap(), self.env.now()).await.unwrap());
    }

    async fn start_device(&self, email: &str, device: &str) -> String {
        let started = self.admissions.start_verifier(address(email), SecretHash(CHALLENGE), device).await.unwrap();
        started.reveal().to_owned()
    }

    async fn start_code(&self, email: &str) -> (String, UserCode) {
        let started = self.admissions.start_code(address(email)).await.unwrap();
        (started.device_code.reveal().to_owned(), started.user_code)
    }

    async fn start_web(&self, email: &str, state: &str) -> Result<(), WebRefused> {
        self.admissions.start_web(address(email), CALLBACK, &web_state(state)).await.unwrap()
    }

    async fn poll_device(&self, device_code: &str) -> Polled {
        self.admissions.poll_verifier(device_code, VERIFIER, &wish()).await.unwrap()
    }

    async fn poll_code(&self, device_code: &str) -> Polled {
        self.admissions.poll_code(device_code, &wish()).await.unwrap()
    }

    async fn look(&self, token: &LinkToken) -> LinkOpened<String> {
        match self.admissions.look_at_link(token).await.unwrap() {
            LinkOpened::Good(request) => LinkOpened::Good(format!("{} {}", request.email.as_str(), request.device)),
            LinkOpened::Unknown => LinkOpened::Unknown,
            LinkOpened::Used => LinkOpened::Used,
            LinkOpened::Expired => LinkOpened::Expired,
            LinkOpened::NoAccount => LinkOpened::NoAccount,
        }
    }

    async fn approve(&self, token: &LinkToken) -> LinkOpened<()> {
        self.admissions.approve_by_link(token).await.unwrap()
    }

    async fn exchange(&self, token: &LinkToken, state: &str) -> Exchange {
        self.admissions.exchange(token, &web_state(state), &wish()).await.unwrap()
    }

    async fn owner(&self, code: &str) -> OwnerApproval {
        self.admissions.approve_for_owner(code).await.unwrap()
    }

    /// The mail that was just left; there is no other.
    async fn mail(&mut self) -> Mail {
        let mail = self.next_mail().await.expect("a mail was left");
        assert_eq!(self.next_mail().await, None, "and no second one");
        mail
    }

    async fn next_mail(&mut self) -> Option<Mail> {
        // What was left is there at once: nothing else is waited for.
        tokio::select! {
            biased;
            mail = self.mails.next() => mail,
            () = std::future::ready(()) => None,
        }
    }

    fn wait(&self, span: Duration) {
        self.env.advance(span);
    }
}

fn address(text: &str) -> EmailAddress {
    EmailAddress::parse(text).unwrap()
}

fn web_state(text: &str) -> WebState {
    WebState::parse(text).unwrap()
}

fn wish() -> KeyWish {
    KeyWish { purpose: Purpose::Td, name: Name::parse("td").unwrap(), span: Duration::from_secs(365 * 86_400) }
}

fn token_in(mail: &Mail) -> LinkToken {
    let (_, rest) = mail.text.split_once("token=").expect("a mail has a link");
    LinkToken::parse(rest.split(['&', '\n']).next().unwrap()).expect("its token reads")
}

fn key(polled: Polled) -> GrantedKey {
    match polled {
        Polled::Key(key) => key,
        other => panic!("no key: {other:?}"),
    }
}

#[tokio::test]
async fn a_device_with_a_verifier_comes_in_when_the_mailed_link_is_approved() {
    let mut bench = Bench::new().await;
    let device_code = bench.start_device("Ann@Example.org", "td-cli@laptop").await;
    let mail = bench.mail().await;
    assert_eq!(mail.to.as_str(), "Ann@Example.org");
    let link = format!("\n{BASE}/approve?token=");
    for part in ["td-cli@laptop", "Ann@Example.org", &link] {
        assert!(mail.text.contains(part), "{part} is missing in: {}", mail.text);
    }
    let token = token_in(&mail);
    // Looking, as a mail scanner does, changes nothing.
    assert_eq!(bench.look(&token).await, LinkOpened::Good("Ann@Example.org td-cli@laptop".to_owned()));
    assert_eq!(bench.poll_device(&device_code).await, Polled::Waiting);
    assert_eq!(bench.approve(&token).await, LinkOpened::Good(()));
    let granted = key(bench.poll_device(&device_code).await);
    assert_eq!((granted.user.get(), granted.email.as_str()), (1, "Ann@Example.org"));
    assert_eq!(granted.expires_at, bench.env.now().plus(wish().span));
    assert_eq!(bench.poll_device(&device_code).await, Polled::Used);
    assert_eq!((bench.look(&token).await, bench.approve(&token).await), (LinkOpened::Used, LinkOpened::Used));
}

#[tokio::test]
async fn a_key_opens_its_protocol_and_is_named_after_its_device() {
    let mut bench = Bench::new().await;
    let mut opened = Vec::new();
    for device in ["td-cli@laptop", "td-cli@laptop", ""] {
        let device_code = bench.start_device("ann@example.org", device).await;
        let token = token_in(&bench.mail().await);
        assert_eq!(bench.approve(&token).await, LinkOpened::Good(()));
        opened.push(key(bench.poll_device(&device_code).await));
    }
    let listed = bench.store.credentials(None).await.unwrap();
    let names: Vec<&str> = listed.iter().map(|credential| credential.name.as_str()).collect();
    assert_eq!(names, ["td", "td-cli@laptop", "td-cli@laptop (2)"]);
    let keyring = Keyring::new(bench.store.clone(), bench.env.clone());
    for granted in &opened {
        let text = granted.token.secret().reveal();
        let access = keyring.authenticate(text, Purpose::Td, IpAddr::from([192, 0, 2, 1])).await.unwrap();
        assert!(matches!(access, Access::Granted(caller) if caller.user == granted.user), "{access:?}");
        let access = keyring.authenticate(text, Purpose::Tickit, IpAddr::from([192, 0, 2, 1])).await.unwrap();
        assert!(matches!(access, Access::Refused(_)), "{access:?}");
    }
}

#[tokio::test]
async fn a_code_that_is_typed_has_the_link_mailed_and_approves_nothing() {
    let mut bench = Bench::new().await;
    let (device_code, user_code) = bench.start_code("ann@example.org").await;
    assert_eq!(bench.next_mail().await, None, "nothing is mailed before the code is typed");
    let typed = format!(" {}-{} ", &user_code.as_str()[..3].to_lowercase(), &user_code.as_str()[3..]);
    assert_eq!(bench.admissions.enter_code(&UserCode::parse(&typed).unwrap()).await.unwrap(), CodeEntered::Mailed);
    assert_eq!(bench.poll_code(&device_code).await, Polled::Waiting);
    let mail = bench.mail().await;
    assert!(mail.text.contains(&format!("Code:   {}", user_code.as_str())), "{}", mail.text);
    assert_eq!(bench.approve(&token_in(&mail)).await, LinkOpened::Good(()));
    assert_eq!(bench.admissions.enter_code(&user_code).await.unwrap(), CodeEntered::Unknown);
    key(bench.poll_code(&device_code).await);
    assert_eq!(bench.poll_code(&device_code).await, Polled::Used);
    assert_eq!(bench.admissions.enter_code(&user_code).await.unwrap(), CodeEntered::Unknown);
    let never = UserCode::parse("ABC234").unwrap();
    assert_eq!(bench.admissions.enter_code(&never).await.unwrap(), CodeEntered::Unknown);
}

#[tokio::test]
async fn only_the_device_that_asked_gets_the_key() {
    let mut bench = Bench::new().await;
    let device_code = bench.start_device("ann@example.org", "").await;
    let (other_code, _) = bench.start_code("ann@example.org").await;
    let wrong = async |code: &str| bench.admissions.poll_verifier(code, "wrong", &wish()).await.unwrap();
    assert_eq!(wrong(&device_code).await, Polled::WrongVerifier);
    // A code that nobody has, a code of the other kind, and what is no code.
    for code in ["0".repeat(64), other_code.clone(), device_code.to_uppercase(), String::new(), "é".repeat(32)] {
        assert_eq!(bench.poll_device(&code).await, Polled::Unknown, "{code}");
        assert_eq!(wrong(&code).await, Polled::Unknown, "{code}");
    }
    assert_eq!(bench.poll_code(&device_code).await, Polled::Unknown);
    assert_eq!(bench.poll_code(&"0".repeat(40)).await, Polled::Unknown);
    let token = token_in(&bench.mail().await);
    assert_eq!(bench.approve(&token).await, LinkOpened::Good(()));
    // Still nothing for others, who do not even learn that it was approved.
    let wrong = async |code: &str| bench.admissions.poll_verifier(code, "wrong", &wish()).await.unwrap();
    assert_eq!(wrong(&device_code).await, Polled::WrongVerifier);
    key(bench.poll_device(&device_code).await);
    assert_eq!(wrong(&device_code).await, Polled::WrongVerifier);
    assert_eq!(bench.poll_code(&other_code).await, Polled::Waiting);
}

#[tokio::test]
async fn a_key_is_given_out_once_also_to_two_that_ask_at_once() {
    let mut bench = Bench::new().await;
    let device_code = bench.start_device("ann@example.org", "").await;
    let token = token_in(&bench.mail().await);
    assert_eq!(bench.approve(&token).await, LinkOpened::Good(()));
    let polls = (0..8).map(|_| bench.poll_device(&device_code));
    let mut keys = 0;
    for polled in futures_in_turn(polls).await {
        match polled {
            Polled::Key(_) => keys += 1,
            other => assert_eq!(other, Polled::Used),
        }
    }
    assert_eq!(keys, 1);
    assert_eq!(bench.store.credentials(None).await.unwrap().len(), 1);
}

/// Polls all of them a step at a time.
async fn futures_in_turn<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.map(Box::pin).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|context| {
        waiting.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(value) => {
                done.push(value);
                false
            }
            std::task::Poll::Pending => true,
        });
        if waiting.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}

#[tokio::test]
async fn an_address_without_an_account_is_answered_as_any_other_and_gets_no_mail() {
    let mut bench = Bench::new().await;
    bench.user("bob").await;
    bench.disable("bob").await;
    for email in ["stranger@example.org", "bob@example.org"] {
        let device_code = bench.start_device(email, "td-cli@laptop").await;
        assert_eq!(device_code.len(), 64);
        assert_eq!(bench.poll_device(&device_code).await, Polled::Waiting, "{email}");
        let (device_code, user_code) = bench.start_code(email).await;
        assert_eq!(bench.admissions.enter_code(&user_code).await.unwrap(), CodeEntered::Mailed, "{email}");
        assert_eq!(bench.poll_code(&device_code).await, Polled::Waiting, "{email}");
        assert_eq!(bench.start_web(email, "state").await, Ok(()));
        assert_eq!(bench.next_mail().await, None, "{email}");
    }
    assert_eq!(bench.store.users().await.unwrap().len(), 2);
}

#[tokio::test]
async fn where_sign_up_is_open_an_approved_address_gets_an_account() {
    let mut bench = Bench::with(true, None);
    let device_code = bench.start_device("new@example.org", "").await;
    let token = token_in(&bench.mail().await);
    assert!(bench.store.users().await.unwrap().is_empty(), "whoever asks makes no account");
    assert_eq!(bench.approve(&token).await, LinkOpened::Good(()));
    let granted = key(bench.poll_device(&device_code).await);
    let user = bench.store.user_by_id(granted.user).await.unwrap().unwrap();
    assert_eq!(user.email.as_deref(), Some("new@example.org"));
    assert!(user.confirmed_at.is_some());
}

#[tokio::test]
async fn a_link_that_was_mailed_makes_no_account_once_sign_up_is_closed() {
    let mut bench = Bench::with(true, None);
    let device_code = bench.start_device("new@example.org", "").await;
    let token = token_in(&bench.mail().await);
    let options = AdmissionOptions {
        base_url: BASE.to_owned(),
        approve_path: "/approve",
        allow_signup: false,
        web_callback_url: None,
    };
    bench.admissions =
        Admissions::new(bench.store.clone(), bench.env.clone(), Outbox::open(Arc::new(|| {})).0, options);
    assert_eq!(bench.approve(&token).await, LinkOpened::NoAccount);
    assert_eq!(bench.poll_device(&device_code).await, Polled::Waiting);
    assert!(bench.store.users().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_pending_account_becomes_real_also_where_sign_up_is_closed() {
    let mut bench = Bench::new().await;
    let (id, now) = (ProjectId::new(1), bench.env.now());
    let [name, description, slug] = ["P", "", "p"].map(str::to_owned);
    let project = NewProject { id, purpose: Purpose::Td, name, description, slug, created_by: UserId::new(1), now };
    bench.store.add_project(project).await.unwrap().expect("Ann may");
    let who = Who::Address(address("Carol@example.org"));
    bench.store.add_member(id, UserId::new(1), who, Role::Writer, now).await.unwrap().expect("Ann owns it");
    let device_code = bench.start_device("carol@example.org", "").await;
    let token = token_in(&bench.mail().await);
    assert_eq!(bench.approve(&token).await, LinkOpened::Good(()));
    let granted = key(bench.poll_device(&device_code).await);
    assert!(bench.store.user_by_id(granted.user).await.unwrap().unwrap().confirmed_at.is_some());
}

#[tokio::test]
async fn a_sign_in_ends_after_a_quarter_of_an_hour() {
    let mut bench = Bench::new().await;
    let device_code = bench.start_device("ann@example.org", "").await;
    let token = token_in(&bench.mail().await);
    let (legacy_code, user_code) = bench.start_code("ann@example.org").await;
    let waiting = bench.admissions.waiting().await.unwrap();
    bench.wait(limits::SIGN_IN_SPAN - Duration::from_secs(1));
    assert_eq!(bench.poll_device(&device_code).await, Polled::Waiting);
    assert!(matches!(bench.look(&token).await, LinkOpened::Good(_)));
    bench.wait(Duration::from_secs(1));
    assert_eq!(bench.poll_device(&device_code).await, Polled::Expired);
    assert_eq!(bench.poll_code(&legacy_code).await, Polled::Expired);
    assert_eq!((bench.look(&token).await, bench.approve(&token).await), (LinkOpened::Expired, LinkOpened::Expired));
    assert_eq!(bench.admissions.enter_code(&user_code).await.unwrap(), CodeEntered::Unknown);
    for request in waiting {
        assert_eq!(bench.owner(&request.code).await, OwnerApproval::Expired);
    }
    assert!(bench.admissions.waiting().await.unwrap().is_empty());
    assert_eq!(bench.next_mail().await, None);
    assert!(bench.store.credentials(None).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_approval_that_nobody_fetches_ends_with_the_sign_in() {
    let mut bench = Bench::new().await;
    let device_code = bench.start_device("ann@example.org", "").await;
    let token = token_in(&bench.mail().await);
    assert_eq!(bench.approve(&token).await, LinkOpened::Good(()));
    bench.wait(limits::SIGN_IN_SPAN);
    assert_eq!(bench.poll_device(&device_code).await, Polled::Expired);
    assert_eq!(bench.approve(&token).await, LinkOpened::Used);
}

#[tokio::test]
async fn an_address_gets_a_few_mails_and_no_flood() {
    let mut bench = Bench::new().await;
    for n in 1..=limits::LINKS_MAX {
        bench.start_device(if n % 2 == 0 { "ann@example.org" } else { "ANN@example.org" }, "").await;
        assert!(bench.next_mail().await.is_some(), "mail {n}");
    }
    let device_code = bench.start_device("ann@example.org", "").await;
    assert_eq!(bench.poll_device(&device_code).await, Polled::Waiting);
    let (_, user_code) = bench.start_code("ann@example.org").await;
    assert_eq!(bench.admissions.enter_code(&user_code).await.unwrap(), CodeEntered::Mailed);
    assert_eq!(bench.next_mail().await, None);
    // Others are not concerned, and it ends.
    bench.user("bob").await;
    bench.start_device("bob@example.org", "").await;
    assert!(bench.next_mail().await.is_some());
    bench.wait(limits::SIGN_IN_SPAN + Duration::from_secs(1));
    bench.start_device("ann@example.org", "").await;
    assert!(bench.next_mail().await.is_some());
}

#[tokio::test]
async fn of_two_links_for_one_sign_in_the_newer_counts() {
    let mut bench = Bench::new().await;
    let (device_code, user_code) = bench.start_code("ann@example.org").await;
    bench.admissions.enter_code(&user_code).await.unwrap();
    let older = token_in(&bench.mail().await);
    bench.admissions.enter_code(&user_code).await.unwrap();
    let newer = token_in(&bench.mail().await);
    assert_eq!((bench.look(&older).await, bench.approve(&older).await), (LinkOpened::Unknown, LinkOpened::Unknown));
    assert_eq!(bench.poll_code(&device_code).await, Polled::Waiting);
    assert_eq!(bench.approve(&newer).await, LinkOpened::Good(()));
}

#[tokio::test]
async fn an_account_that_is_disabled_meanwhile_lets_nobody_in() {
    let mut bench = Bench::new().await;
    let before = bench.start_device("ann@example.org", "").await;
    let approved = token_in(&bench.mail().await);
    bench.start_device("ann@example.org", "").await;
    let late = token_in(&bench.mail().await);
    assert_eq!(bench.approve(&approved).await, LinkOpened::Good(()));
    bench.disable("ann").await;
    assert_eq!(bench.poll_device(&before).await, Polled::Expired);
    assert_eq!(bench.approve(&late).await, LinkOpened::NoAccount);
}

#[tokio::test]
async fn mail_that_nobody_sends_changes_no_answer() {
    let bench = Bench::new().await;
    // Nobody fetches: the outbox fills up, and what is too much is dropped.
    for n in 0..=limits::MAILS_WAITING_MAX {
        let name = format!("user-{n}");
        bench.user(&name).await;
        let device_code = bench.start_device(&format!("{name}@example.org"), "").await;
        assert_eq!(bench.poll_device(&device_code).await, Polled::Waiting);
    }
}

#[tokio::test]
async fn without_mail_the_owner_approves() {
    let mut bench = Bench::without_mail();
    bench.user("ann").await;
    let device_code = bench.start_device("ann@example.org", "td-cli@laptop").await;
    let (legacy_code, user_code) = bench.start_code("new@example.org").await;
    let entered = bench.admissions.enter_code(&user_code).await.unwrap();
    assert_eq!(entered, CodeEntered::LeftToOwner(user_code.clone()));
    assert_eq!(bench.poll_code(&legacy_code).await, Polled::Waiting);
    let waiting = bench.admissions.waiting().await.unwrap();
    let listed: Vec<_> = waiting.iter().map(|request| (request.email.as_str(), request.device.as_str())).collect();
    assert_eq!(listed, [("ann@example.org", "td-cli@laptop"), ("new@example.org", "")]);
    let code = &waiting[0].code;
    let typed = format!("{}-{}", code[..4].to_lowercase(), &code[4..]);
    assert!(matches!(bench.owner(&typed).await, OwnerApproval::Done { is_new: false, .. }));
    assert_eq!(bench.owner(code).await, OwnerApproval::Already);
    key(bench.poll_device(&device_code).await);
    assert_eq!(bench.owner(code).await, OwnerApproval::Already);
    // The owner vouches for an address that has no account, also where sign-up is closed.
    let approval = bench.owner(&user_code.as_str().to_lowercase()).await;
    assert!(matches!(approval, OwnerApproval::Done { is_new: true, .. }), "{approval:?}");
    key(bench.poll_code(&legacy_code).await);
    for unknown in ["", "ABC234", "ABCD2345", "nothing", "ABC23\u{e9}"] {
        assert_eq!(bench.owner(unknown).await, OwnerApproval::Unknown, "{unknown}");
    }
    assert_eq!(bench.next_mail().await, None);
}

#[tokio::test]
async fn the_owner_lets_no_disabled_user_in() {
    let bench = Bench::without_mail();
    bench.user("ann").await;
    bench.disable("ann").await;
    let device_code = bench.start_device("ann@example.org", "").await;
    let waiting = bench.admissions.waiting().await.unwrap();
    assert_eq!(bench.owner(&waiting[0].code).await, OwnerApproval::Disabled);
    assert_eq!(bench.poll_device(&device_code).await, Polled::Waiting);
}

#[tokio::test]
async fn a_page_comes_in_with_what_was_mailed_and_its_own_state() {
    let mut bench = Bench::new().await;
    assert_eq!(bench.start_web("ann@example.org", "a b&c=d#é").await, Ok(()));
    let mail = bench.mail().await;
    let token = token_in(&mail);
    let link = format!("\n{CALLBACK}?token={}&state=a+b%26c%3Dd%23%C3%A9\n", token.reveal());
    assert!(mail.text.contains(&link), "{}", mail.text);
    // Another door knows nothing of it, nor does the owner.
    assert_eq!((bench.look(&token).await, bench.approve(&token).await), (LinkOpened::Unknown, LinkOpened::Unknown));
    assert!(bench.admissions.waiting().await.unwrap().is_empty());
    assert_eq!(bench.exchange(&token, "other").await, Exchange::WrongState);
    let Exchange::Key(granted) = bench.exchange(&token, "a b&c=d#é").await else { panic!("it may come in") };
    assert_eq!(granted.email.as_str(), "ann@example.org");
    assert_eq!(bench.exchange(&token, "a b&c=d#é").await, Exchange::Used);
    assert_eq!(bench.exchange(&token, "other").await, Exchange::WrongState);
    let never = LinkToken::parse(&format!("{}.{}", "a".repeat(32), "b".repeat(64))).unwrap();
    assert_eq!(bench.exchange(&never, "a b&c=d#é").await, Exchange::UnknownToken);
}

#[tokio::test]
async fn a_page_comes_in_only_in_time_and_with_its_own_kind_of_link() {
    let mut bench = Bench::new().await;
    bench.start_device("ann@example.org", "").await;
    let of_a_device = token_in(&bench.mail().await);
    assert_eq!(bench.exchange(&of_a_device, "state").await, Exchange::UnknownToken);
    assert_eq!(bench.start_web("ann@example.org", "state").await, Ok(()));
    let token = token_in(&bench.mail().await);
    bench.wait(limits::SIGN_IN_SPAN);
    assert_eq!(bench.exchange(&token, "state").await, Exchange::Expired);
    assert_eq!(bench.start_web("ann@example.org", "state").await, Ok(()));
    let token = token_in(&bench.mail().await);
    bench.disable("ann").await;
    assert_eq!(bench.exchange(&token, "state").await, Exchange::NoAccount);
}

#[tokio::test]
async fn no_page_signs_in_but_the_one_that_is_configured() {
    let mut bench = Bench::new().await;
    for page in ["", "https://evil.example/callback", &CALLBACK[..CALLBACK.len() - 1], &format!("{CALLBACK}/")] {
        let started = bench.admissions.start_web(address("ann@example.org"), page, &web_state("s")).await.unwrap();
        assert_eq!(started, Err(WebRefused::OtherPage), "{page}");
    }
    assert_eq!(bench.next_mail().await, None);
    let bench = Bench::with(true, None);
    assert_eq!(bench.start_web("ann@example.org", "s").await, Err(WebRefused::Off));
    assert!(WebState::parse("").is_err());
    assert!(WebState::parse(&"x".repeat(limits::STATE_BYTES_MAX + 1)).is_err());
}
