//! A store that fails, or is slow, where a test wishes it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;
use tombolo_core::*;
use tombolo_storage::*;

/// How calls of one name fare.
#[derive(Clone)]
enum Hindrance {
    /// They fail.
    Fails,
    /// They wait until they are let through, before they are asked of the store.
    Waits(Arc<Semaphore>),
    /// They are done, and their answers wait until they are let through.
    Lags(Arc<Semaphore>),
    /// They are said to be done, and are not.
    Lies,
}

/// A store that passes everything on, except what is hindered.
pub(crate) struct Faulty {
    inner: Arc<dyn Store>,
    hindrances: Mutex<HashMap<&'static str, Hindrance>>,
    calls: Mutex<HashMap<&'static str, usize>>,
}

impl Faulty {
    pub(crate) fn new(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self { inner, hindrances: Mutex::default(), calls: Mutex::default() })
    }

    pub(crate) fn fail(&self, call: &'static str) {
        self.hindrances.lock().unwrap().insert(call, Hindrance::Fails);
    }

    /// Holds calls back; each permit that is added lets one through.
    pub(crate) fn hold(&self, call: &'static str) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.hindrances.lock().unwrap().insert(call, Hindrance::Waits(gate.clone()));
        gate
    }

    /// Holds answers back; each permit that is added lets one through.
    pub(crate) fn lag(&self, call: &'static str) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.hindrances.lock().unwrap().insert(call, Hindrance::Lags(gate.clone()));
        gate
    }

    /// Frames are said to be on their way, and get lost.
    pub(crate) fn lose_frames(&self) {
        self.hindrances.lock().unwrap().insert("publish", Hindrance::Lies);
    }

    pub(crate) fn heal(&self, call: &'static str) {
        self.hindrances.lock().unwrap().remove(call);
    }

    /// How often a call was made.
    pub(crate) fn calls(&self, call: &'static str) -> usize {
        self.calls.lock().unwrap().get(call).copied().unwrap_or_default()
    }

    fn hindrance(&self, call: &'static str) -> Option<Hindrance> {
        *self.calls.lock().unwrap().entry(call).or_default() += 1;
        self.hindrances.lock().unwrap().get(call).cloned()
    }
}

async fn pass(gate: &Semaphore) {
    gate.acquire().await.unwrap().forget();
}

macro_rules! passed_on {
    ($(fn $name:ident $(<$life:lifetime>)? (&$($own:lifetime)? $self:ident $(, $arg:ident : $ty:ty)*) -> $answer:ty;)*) => {
        $(fn $name $(<$life>)? (&$($own)? $self $(, $arg: $ty)*) -> $answer {
            $self.inner.$name($($arg),*)
        })*
    };
}

macro_rules! hindered {
    ($(fn $name:ident $(<$life:lifetime>)? (&$($own:lifetime)? $self:ident $(, $arg:ident : $ty:ty)*) -> $answer:ty;)*) => {
        $(fn $name $(<$life>)? (&$($own)? $self $(, $arg: $ty)*) -> $answer {
            Box::pin(async move {
                let hindrance = $self.hindrance(stringify!($name));
                match &hindrance {
                    Some(Hindrance::Fails) => return Err(StoreError::Busy),
                    Some(Hindrance::Waits(gate)) => pass(gate).await,
                    _ => {}
                }
                let answer = $self.inner.$name($($arg),*).await;
                if let Some(Hindrance::Lags(gate)) = &hindrance {
                    pass(gate).await;
                }
                answer
            })
        })*
    };
}

impl Entries for Faulty {
    passed_on! {
        fn append(&self, append: Append) -> Reply<'_, Result<Vec<Appended>, NotAppended>>;
        fn find_entries<'a>(&'a self, space: SpaceAddress, keys: &'a [Digest]) -> Reply<'a, Vec<Option<Entry>>>;
        fn rulings(&self, space: SpaceAddress, after: Seq, bounds: PageBounds) -> Reply<'_, Vec<Entry>>;
        fn timeline(&self, space: SpaceAddress, after: Place, upto: Seq, bounds: PageBounds) -> Reply<'_, Vec<Entry>>;
        fn entries(&self, space: SpaceAddress, after: Seq, bounds: PageBounds) -> Reply<'_, EntryPage>;
        fn log_end(&self, space: SpaceAddress) -> Reply<'_, LogEnd>;
        fn totals(&self) -> Reply<'_, Totals>;
    }
}

impl Replicas for Faulty {
    passed_on! {
        fn upload(&self, request: Upload) -> Reply<'_, Uploaded>;
        fn download(&self, request: Download) -> Reply<'_, Downloaded>;
    }
}

impl Erasure for Faulty {
    passed_on! {
        fn erase_space(&self, space: SpaceAddress, now: ServerTime) -> Reply<'_, bool>;
        fn delete_user<'a>(&'a self, name: &'a Name, now: ServerTime) -> Reply<'a, UserDeleted>;
    }
}

impl Accounts for Faulty {
    passed_on! {
        fn add_user<'a>(&'a self, name: &'a Name, email: Option<&'a EmailAddress>, now: ServerTime) -> Reply<'a, Added<UserId>>;
        fn user_by_id(&self, id: UserId) -> Reply<'_, Option<User>>;
        fn user<'a>(&'a self, name: &'a Name) -> Reply<'a, Option<User>>;
        fn users(&self) -> Reply<'_, Vec<User>>;
        fn disable_user<'a>(&'a self, name: &'a Name, now: ServerTime) -> Reply<'a, bool>;
        fn add_credential(&self, new: NewCredential) -> Reply<'_, Added<CredentialId>>;
        fn credentials(&self, user: Option<UserId>) -> Reply<'_, Vec<Credential>>;
        fn revoke_credential<'a>(&'a self, user: UserId, name: &'a Name) -> Reply<'a, bool>;
        fn revoke_credential_by_id(&self, user: UserId, id: CredentialId, purpose: Purpose) -> Reply<'_, bool>;
        fn find_credential<'a>(&'a self, prefix: &'a str) -> Reply<'a, Option<FoundCredential>>;
        fn touch_credentials<'a>(&'a self, used: &'a [(CredentialId, ServerTime)]) -> Reply<'a, ()>;
        fn refusals(&self, user: Option<UserId>) -> Reply<'_, Vec<tombolo_storage::Refusal>>;
    }
    hindered! {
        fn live_credentials<'a>(&'a self, ids: &'a [CredentialId]) -> Reply<'a, Vec<CredentialId>>;
    }
}

impl Identities for Faulty {
    passed_on! {
        fn identity(&self, purpose: Purpose, key: IdentityKey) -> Reply<'_, Option<Identity>>;
        fn add_identity(&self, new: NewIdentity, now: ServerTime) -> Reply<'_, IdentityAdded>;
        fn change_identity(&self, purpose: Purpose, user: UserId, change: IdentityChange) -> Reply<'_, IdentityChanged>;
        fn setup_token(&self, purpose: Purpose, token: SecretHash, now: ServerTime) -> Reply<'_, Option<Identity>>;
        fn keep_ticket(&self, hash: SecretHash, ticket: Ticket, now: ServerTime, expires_at: ServerTime) -> Reply<'_, ()>;
        fn use_ticket(&self, hash: SecretHash, now: ServerTime) -> Reply<'_, Option<Ticket>>;
        fn secret<'a>(&'a self, name: &'a str, fresh: &'a [u8]) -> Reply<'a, Vec<u8>>;
    }
}

impl Projects for Faulty {
    passed_on! {
        fn add_project(&self, new: NewProject) -> Reply<'_, Option<Project>>;
        fn projects_of(&self, user: UserId) -> Reply<'_, Vec<(Project, Role)>>;
        fn project(&self, project: ProjectId, by: UserId, act: Act) -> Reply<'_, Ruled<Project>>;
        fn change_project(&self, project: ProjectId, by: UserId, change: ProjectChange, now: ServerTime) -> Reply<'_, Ruled<Project>>;
        fn delete_project(&self, project: ProjectId, by: UserId, now: ServerTime) -> Reply<'_, Ruled<()>>;
        fn all_projects(&self) -> Reply<'_, Vec<ProjectOverview>>;
        fn remove_project(&self, project: ProjectId, now: ServerTime) -> Reply<'_, bool>;
        fn restore_project(&self, project: ProjectId, since: ServerTime, now: ServerTime) -> Reply<'_, Restored>;
        fn members(&self, project: ProjectId, by: UserId) -> Reply<'_, Ruled<Vec<Member>>>;
        fn add_member(&self, project: ProjectId, by: UserId, who: Who, role: Role, now: ServerTime) -> Reply<'_, Ruled<MemberAdded>>;
        fn change_role(&self, project: ProjectId, by: UserId, member: UserId, role: Role) -> Reply<'_, Ruled<MemberChanged>>;
        fn remove_member(&self, project: ProjectId, by: UserId, member: UserId) -> Reply<'_, Ruled<MemberChanged>>;
        fn invite(&self, new: NewInvitation) -> Reply<'_, Ruled<Invited>>;
        fn invitations(&self, project: ProjectId, by: UserId) -> Reply<'_, Ruled<Vec<Invitation>>>;
        fn withdraw_invitation(&self, project: ProjectId, by: UserId, invitation: InvitationId) -> Reply<'_, Ruled<bool>>;
        fn invitations_for(&self, user: UserId, now: ServerTime) -> Reply<'_, Vec<Invitation>>;
        fn answer_invitation(&self, invitation: InvitationId, user: UserId, accept: bool, now: ServerTime) -> Reply<'_, Answered>;
    }
}

impl SignIns for Faulty {
    passed_on! {
        fn begin_sign_in(&self, new: NewSignIn) -> Reply<'_, SignInId>;
        fn find_sign_in(&self, key: SignInKey) -> Reply<'_, Option<SignIn>>;
        fn sign_ins(&self, now: ServerTime) -> Reply<'_, Vec<SignIn>>;
        fn offer_link(&self, sign_in: SignInId, link: SecretHash, links_max: u64, since: ServerTime, now: ServerTime) -> Reply<'_, bool>;
        fn has_account<'a>(&'a self, email: &'a EmailAddress, now: ServerTime) -> Reply<'a, bool>;
        fn approve_sign_in(&self, sign_in: SignInId, sign_up: SignUp, now: ServerTime) -> Reply<'_, Approved>;
        fn redeem_sign_in(&self, sign_in: SignInId, key: NewKey, now: ServerTime) -> Reply<'_, Redeemed>;
    }
}

impl Logs for Faulty {
    passed_on! {
        fn exchange(&self, request: Exchange) -> Reply<'_, Exchanged>;
        fn changes<'a>(&'a self, space: SpaceAddress, policy: &'a Arc<dyn Policy>, after: Seq, count_max: usize) -> Reply<'a, Vec<LoggedChange>>;
        fn head(&self, space: SpaceAddress) -> Reply<'_, Cursor>;
        fn resume(&self, space: SpaceAddress, cursor: Cursor) -> Reply<'_, Resume>;
    }
    hindered! {
        fn heads<'a>(&'a self, spaces: &'a [SpaceAddress]) -> Reply<'a, Vec<Seq>>;
    }
}

impl Upkeep for Faulty {
    passed_on! {
        fn ready(&self) -> Reply<'_, ()>;
        fn commits(&self) -> CommitCounts;
        fn changed_elsewhere(&self) -> Reply<'_, Elsewhere>;
        fn tend(&self) -> Reply<'_, ()>;
        fn check(&self, readings: Vec<Reading>, progress: Progress) -> Reply<'_, CheckReport>;
        fn close(&self) -> Reply<'_, ()>;
    }
    fn bus(&self) -> &dyn Bus {
        self
    }
}

impl Rooms for Faulty {
    passed_on! {
        fn rooms(&self, owner: Option<UserId>) -> Reply<'_, Vec<RoomOverview>>;
        fn room_count(&self, owner: Option<UserId>) -> Reply<'_, u64>;
        fn versions(&self, space: SpaceAddress) -> Reply<'_, Vec<Version>>;
    }
    hindered! {
        fn add_room(&self, new: NewRoom) -> Reply<'_, RoomAdded>;
        fn room<'a>(&'a self, owner: UserId, code: &'a RoomCode) -> Reply<'a, Option<(Room, Vec<NodeId>)>>;
        fn open_room<'a>(&'a self, owner: UserId, code: &'a RoomCode, lease: Lease, now: ServerTime) -> Reply<'a, Option<OpenedRoom>>;
        fn renew_leases<'a>(&'a self, leases: &'a [(SpaceAddress, Lease)], now: ServerTime) -> Reply<'a, Vec<Option<Vec<NodeId>>>>;
        fn close_rooms<'a>(&'a self, closed: &'a [(SpaceAddress, LeaseId, ServerTime)]) -> Reply<'a, ()>;
        fn put_document(&self, put: DocumentPut) -> Reply<'_, DocumentStored>;
        fn document(&self, space: SpaceAddress, version: Option<Seq>) -> Reply<'_, Option<Document>>;
        fn end_rooms(&self, idle: IdleRooms) -> Reply<'_, u64>;
    }
}

impl Bus for Faulty {
    fn publish(&self, frame: Frame) -> Reply<'_, ()> {
        Box::pin(async move {
            match self.hindrance("publish") {
                Some(Hindrance::Fails) => return Err(StoreError::Busy),
                Some(Hindrance::Lies) => return Ok(()),
                Some(Hindrance::Waits(gate) | Hindrance::Lags(gate)) => pass(&gate).await,
                None => {}
            }
            self.inner.bus().publish(frame).await
        })
    }

    fn listen(&self) -> Listener {
        self.inner.bus().listen()
    }
}
