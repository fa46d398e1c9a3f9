//! A store of credentials that can be made to fail, and an environment whose clock is set by hand.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tombolo_core::{CredentialId, EmailAddress, Env, Name, Purpose, ServerTime, UserId};
use tombolo_service::{Keyring, Made, NewToken};
use tombolo_storage::{Accounts, Added, Credential, FoundCredential, NewCredential, Refusal, Reply, StoreError, User};

pub(crate) const START: ServerTime = ServerTime::from_micros(1_800_000_000_000_000);

pub(crate) struct HandEnv {
    now: Mutex<ServerTime>,
    random: AtomicU64,
}

impl HandEnv {
    pub(crate) fn set(&self, now: ServerTime) {
        *self.now.lock().unwrap() = now;
    }
}

impl Env for HandEnv {
    fn now(&self) -> ServerTime {
        *self.now.lock().unwrap()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        for byte in bytes {
            let next = self.random.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            *byte = next.to_be_bytes()[0];
        }
    }

    fn spawn(&self, name: &str, work: Box<dyn FnOnce() + Send>) {
        std::thread::Builder::new().name(name.to_owned()).spawn(work).unwrap();
    }
}

/// Credentials in memory, and how often they were asked for.
#[derive(Default)]
pub(crate) struct FakeAccounts {
    credentials: Mutex<Vec<(CredentialId, NewCredential)>>,
    pub(crate) touched: Mutex<Vec<(CredentialId, ServerTime)>>,
    pub(crate) failing: AtomicBool,
    /// Waited for on both sides of an answer to `find_credential`, when set.
    pub(crate) pause: Mutex<Option<Arc<tokio::sync::Barrier>>>,
    pub(crate) finds: AtomicUsize,
}

impl FakeAccounts {
    /// Revokes as another process would.
    pub(crate) fn revoke_all(&self) {
        self.credentials.lock().unwrap().clear();
    }

    /// Replaces every hash by one that no secret can be compared with: whoever asks again is found out.
    pub(crate) fn spoil_hashes(&self) {
        for (_, credential) in self.credentials.lock().unwrap().iter_mut() {
            credential.hash = "spoilt".to_owned();
        }
    }

    fn failure(&self) -> Result<(), StoreError> {
        if self.failing.load(Ordering::Relaxed) { Err(StoreError::Busy) } else { Ok(()) }
    }
}

impl Accounts for FakeAccounts {
    fn add_user<'a>(&'a self, _: &'a Name, _: Option<&'a EmailAddress>, _: ServerTime) -> Reply<'a, Added<UserId>> {
        unreachable!("a keyring adds no users")
    }

    fn user_by_id(&self, _: UserId) -> Reply<'_, Option<User>> {
        unreachable!("a keyring looks for no users")
    }

    fn user<'a>(&'a self, _: &'a Name) -> Reply<'a, Option<User>> {
        unreachable!("a keyring looks for no users")
    }

    fn users(&self) -> Reply<'_, Vec<User>> {
        unreachable!("a keyring lists no users")
    }

    fn disable_user<'a>(&'a self, _: &'a Name, _: ServerTime) -> Reply<'a, bool> {
        unreachable!("a keyring disables no users")
    }

    fn add_credential(&self, new: NewCredential) -> Reply<'_, Added<CredentialId>> {
        Box::pin(async move {
            self.failure()?;
            let mut credentials = self.credentials.lock().unwrap();
            if credentials.iter().any(|(_, known)| known.user == new.user && known.name == new.name) {
                return Ok(Added::NameTaken);
            }
            let id = CredentialId::new(i64::try_from(credentials.len()).unwrap() + 1);
            credentials.push((id, new));
            Ok(Added::New(id))
        })
    }

    fn credentials(&self, _: Option<UserId>) -> Reply<'_, Vec<Credential>> {
        unreachable!("a keyring lists no credentials")
    }

    fn revoke_credential<'a>(&'a self, _: UserId, _: &'a Name) -> Reply<'a, bool> {
        unreachable!("a keyring revokes no credentials")
    }

    fn revoke_credential_by_id(&self, _: UserId, _: CredentialId, _: Purpose) -> Reply<'_, bool> {
        unreachable!("a keyring revokes no credentials")
    }

    fn find_credential<'a>(&'a self, prefix: &'a str) -> Reply<'a, Option<FoundCredential>> {
        Box::pin(async move {
            self.failure()?;
            self.finds.fetch_add(1, Ordering::Relaxed);
            let found =
                self.credentials.lock().unwrap().iter().find(|(_, known)| known.prefix == prefix).map(|(id, known)| {
                    FoundCredential {
                        id: *id,
                        user: known.user,
                        purpose: known.purpose,
                        hash: known.hash.clone(),
                        expires_at: known.expires_at,
                    }
                });
            let pause = self.pause.lock().unwrap().take();
            if let Some(pause) = pause {
                pause.wait().await;
                pause.wait().await;
            }
            Ok(found)
        })
    }

    fn live_credentials<'a>(&'a self, ids: &'a [CredentialId]) -> Reply<'a, Vec<CredentialId>> {
        Box::pin(async move {
            self.failure()?;
            let credentials = self.credentials.lock().unwrap();
            Ok(ids.iter().filter(|id| credentials.iter().any(|(known, _)| known == *id)).copied().collect())
        })
    }

    fn touch_credentials<'a>(&'a self, used: &'a [(CredentialId, ServerTime)]) -> Reply<'a, ()> {
        Box::pin(async move {
            self.failure()?;
            self.touched.lock().unwrap().extend_from_slice(used);
            Ok(())
        })
    }

    fn refusals(&self, _: Option<UserId>) -> Reply<'_, Vec<Refusal>> {
        unreachable!("a keyring asks for no refusals")
    }
}

pub(crate) struct Bench {
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) store: Arc<FakeAccounts>,
    pub(crate) env: Arc<HandEnv>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let store = Arc::new(FakeAccounts::default());
        let env = Arc::new(HandEnv { now: Mutex::new(START), random: AtomicU64::new(1) });
        Self { keyring: Arc::new(Keyring::new(store.clone(), env.clone())), store, env }
    }

    /// The text of a new token of user 1.
    pub(crate) async fn token(&self, name: &str, expires_at: Option<ServerTime>) -> String {
        match self.keyring.make_token(new_token(name, expires_at)).await.unwrap() {
            Made::Token(token) => token.secret().reveal().to_owned(),
            Made::NameTaken => panic!("the name {name} was free"),
        }
    }
}

pub(crate) fn new_token(name: &str, expires_at: Option<ServerTime>) -> NewToken {
    NewToken { user: UserId::new(1), name: Name::parse(name).unwrap(), purpose: Purpose::Tickit, expires_at }
}
