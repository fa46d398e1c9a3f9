//! A server on a file, an empty database, and what the tests do with them.

use std::path::Path;
use std::sync::Arc;

use tombolo_core::versions::VersionsKept;
use tombolo_core::{
    Cursor, EmailAddress, Env, LeaseId, Name, NodeId, PeerName, ProjectId, Purpose, Role, RoomCode, RoomId, Seq,
    SpaceNumber, UserId,
};
use tombolo_storage::postgres::Url;
use tombolo_storage::sqlite::Sqlite;
use tombolo_storage::transfer::{self, Event, Report, Step, TransferError};
use tombolo_storage::{
    Accounts, Added, Append, Appended, DocumentPut, DocumentStored, Effect, Entries, Flow, Guard, Identities as _,
    IdentityAdded, IdleRooms, Lease, NewCredential, NewIdentity, NewInvitation, NewProject, NewRoom, NewSignIn,
    Projects as _, Refused, Room, RoomAdded, Rooms, SecretHash, SignIns as _, SignUp, SpaceAddress, StoreError, Ticket,
    Username, Weight, Who,
};
use tombolo_testkit::team::{ALL, entries, names};
use tombolo_testkit::{
    FOLDER, LogStore, NOTE, Note, Peer, Place, Stores as _, TestEnv, at, delete, folder, home, key, label, put, wait,
};

use crate::dump::{dump_postgres, dump_sqlite};
use crate::support::{OnDisk, OnPostgres, check};

pub(crate) const STEPS: [Step; 7] =
    [Step::Copy, Step::CatchUp, Step::Compare, Step::Pause, Step::Rest, Step::Finish, Step::CleanUp];

/// A server on a file, and an empty database.
pub(crate) struct Move {
    pub(crate) disk: OnDisk,
    pub(crate) database: OnPostgres,
    pub(crate) place: Place,
    pub(crate) sqlite: Arc<Sqlite>,
    pub(crate) peers: Vec<Peer>,
    /// The heads of earlier generations.
    pub(crate) cursors: Vec<Cursor>,
}

impl Move {
    /// A store with something of everything; `None` where there is no PostgreSQL, which was said loudly.
    pub(crate) fn new() -> Option<Self> {
        let (disk, database) = (OnDisk::default(), OnPostgres::new()?);
        let env = Arc::new(TestEnv::new(1));
        env.advance(std::time::Duration::from_secs(3_600));
        let mut cursors = Vec::new();
        let mut peers = Vec::new();
        for round in 0..3 {
            let place = Place::on(disk.open(&env), Arc::clone(&env));
            fill(&place, round, &mut peers);
            cursors.push(place.head());
            wait(place.store.close()).unwrap();
        }
        let sqlite = Arc::new(disk.server(Arc::clone(&env) as Arc<dyn Env>));
        let place = Place::on(Arc::clone(&sqlite) as Arc<dyn LogStore>, env);
        people(&sqlite);
        accounts(&*sqlite);
        fill(&place, 3, &mut peers);
        let _all_new = append(&*sqlite, "before", ENTRIES);
        identities(&sqlite);
        append_under_rules(&*sqlite, "ruled before");
        rooms(&*sqlite);
        erasing(disk.file().unwrap());
        Some(Self { disk, database, place, sqlite, peers, cursors })
    }

    pub(crate) fn file(&self) -> &Path {
        self.disk.file().unwrap()
    }

    pub(crate) fn url(&self) -> Url {
        Url::parse(self.database.database().url()).unwrap()
    }

    pub(crate) fn sql(&self, text: &str) -> String {
        self.database.database().sql(text)
    }

    pub(crate) fn run(&self) -> Result<Report, TransferError> {
        self.run_with(|_| ())
    }

    /// Migrates, and calls `at` when a step begins.
    pub(crate) fn run_with(&self, at: impl FnMut(Step)) -> Result<Report, TransferError> {
        run(self.file(), &self.url(), &*self.place.env, at)
    }

    pub(crate) fn is_moved(&self) -> bool {
        matches!(wait(self.place.store.ready()), Err(StoreError::Moved))
    }

    /// That the server of the file goes on, and that nothing of the migration is left in the file.
    pub(crate) fn goes_on(&self) {
        let _reply = Peer::new("anybody").sync(&self.place, vec![put("on", &Note::new("1", "1"), at(9_000))]);
        assert_eq!(left_behind(self.file()), Vec::<String>::new());
    }

    /// That all is on the other side, and nothing of the migration is left in the file.
    pub(crate) fn is_there(&self) {
        assert!(self.is_moved());
        assert_eq!(dump_sqlite(self.file()), dump_postgres(self));
        assert_eq!(left_behind(self.file()), Vec::<String>::new());
    }

    /// The same space, served from PostgreSQL.
    pub(crate) fn there(&self) -> Place {
        let place = Place::on(self.database.open(&self.place.env), Arc::clone(&self.place.env));
        let _dense = place.log();
        assert_eq!(check(&place).faults, Vec::<String>::new());
        place
    }
}

pub(crate) fn run(file: &Path, url: &Url, env: &dyn Env, mut at: impl FnMut(Step)) -> Result<Report, TransferError> {
    let mut progress = |event| {
        if let Event::Step(step) = event {
            at(step);
        }
    };
    wait(transfer::run(file, url, env, &mut progress))
}

/// Does something of the running server, from within the runtime.
pub(crate) fn meanwhile<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().unwrap())
}

/// Of everything that people share, something: the user 2, a project with a pending account, an invitation, and
/// sign-ins in each state.
pub(crate) fn people(store: &Sqlite) {
    let now = TestEnv::START;
    let later = now.plus(std::time::Duration::from_secs(900));
    let email = |text: &str| EmailAddress::parse(text).unwrap();
    let eve = wait(store.add_user(&Name::parse("eve").unwrap(), Some(&email("Eve@example.org")), now)).unwrap();
    let eve = if let Added::New(eve) = eve { eve } else { panic!("eve was added before") };
    let project = PROJECT;
    let new = NewProject {
        id: project,
        purpose: Purpose::Td,
        name: "App\0".to_owned(),
        description: String::new(),
        slug: "app".to_owned(),
        created_by: eve,
        now,
    };
    assert!(wait(store.add_project(new)).unwrap().is_some());
    let who = Who::Address(email("new@example.org"));
    let _added = wait(store.add_member(project, eve, who, Role::Writer, now)).unwrap().unwrap();
    let invitation =
        NewInvitation { project, email: email("Zoe@example.org"), role: Role::Reader, by: eve, now, expires_at: later };
    let _invited = wait(store.invite(invitation)).unwrap().unwrap();
    for n in 1..=2 {
        let secret = |kind: u8| SecretHash([10 * kind + n; 32]);
        let new = NewSignIn {
            request: format!("REQUEST{n}"),
            flow: Flow::Code,
            email: email("Eve@example.org"),
            device: "phone".to_owned(),
            device_code: secret(1),
            user_code: Some(secret(2)),
            challenge: (n == 1).then(|| secret(3)),
            link: (n == 2).then(|| secret(4)),
            now,
            expires_at: later,
        };
        let sign_in = wait(store.begin_sign_in(new)).unwrap();
        if n == 2 {
            let _approved = wait(store.approve_sign_in(sign_in, SignUp::Closed, now)).unwrap();
        }
    }
}

pub(crate) fn accounts(store: &dyn Accounts) {
    let (ada, bob) = (Name::parse("ada").unwrap(), Name::parse("bob").unwrap());
    let address = EmailAddress::parse("Bob@example.org").unwrap();
    wait(store.add_user(&bob, Some(&address), TestEnv::START)).unwrap();
    for n in 0..3 {
        let new = NewCredential {
            user: UserId::new(1),
            name: Name::parse(&format!("phone {n}")).unwrap(),
            purpose: Purpose::Tickit,
            prefix: format!("prefix-{n}"),
            hash: format!("hash-{n}"),
            created_at: TestEnv::START,
            expires_at: (n == 1).then_some(TestEnv::START),
        };
        wait(store.add_credential(new)).unwrap();
    }
    assert!(wait(store.revoke_credential(UserId::new(1), &Name::parse("phone 2").unwrap())).unwrap());
    assert!(wait(store.disable_user(&bob, TestEnv::START)).unwrap());
    assert!(wait(store.user(&ada)).unwrap().is_some());
}

/// Folders, labels, homes, deletions, conflicts, refusals, and devices that got a part of it.
pub(crate) fn fill(place: &Place, round: i64, peers: &mut Vec<Peer>) {
    let now = 100 * round;
    let id = |name: &str| format!("{name}{round}");
    let mut a = Peer::new(&id("a"));
    let mut b = Peer::new(&id("b"));
    let _made = a.sync(
        place,
        vec![
            home(&id("inbox-a"), at(now)),
            folder(&id("work"), "Work", at(now)),
            label(&id("long"), &format!("{round}{}", "x".repeat(3_000)), now, at(now)),
            label(&id("soon"), &format!("Soon {round}"), now, at(now)),
            put(&id("n"), &Note::new("1", "1").within(&id("work")).labelled([&id("long"), &id("soon")]), at(now)),
            put(&id("gone"), &Note::new("1", "1"), at(now)),
        ],
    );
    // A label of the same name, which becomes one with the other; a home of its own.
    let _merged = b.sync(
        place,
        vec![home(&id("inbox-b"), at(now)), label(&id("soon-b"), &format!("soon {round}"), now + 1, at(now + 1))],
    );
    // Edits at once of both devices: of different fields, and of one.
    let _edit = a.sync(place, vec![put(&id("n"), &Note::new("2", "1").within(&id("work")), at(now + 10))]);
    let _edit = b.sync(place, vec![put(&id("n"), &Note::new("3", "2").within(&id("work")), at(now + 11))]);
    let _deleted = a.sync(place, vec![delete(key(NOTE, &id("gone")), at(now + 12))]);
    let _cascade = b.sync(place, vec![delete(key(FOLDER, &id("work")), at(now + 13))]);
    let refused =
        |record: &str| Refused { record: record.to_owned(), kind: "note".to_owned(), reason: "no".to_owned() };
    let _refused = place.refuse(&a.name, a.cursor, vec![refused("x"), refused("y\0z"), refused("y\u{fffd}z")]);
    // Replies that were lost, and pages.
    let _lost = a.lost(place, vec![put(&id("lost"), &Note::new("1", "1"), at(now + 20))]);
    let mut paged = Peer::new(&id("paged"));
    let small = Place { page_bytes_max: 300, ..place.clone() };
    let _page = paged.sync(&small, Vec::new());
    let _page = paged.sync(&small, Vec::new());
    peers.extend([a, b, paged]);
    for n in 0..10 {
        let mut other = Peer::new(&format!("other-{round}-{n}"));
        let _reply = other.sync(place, vec![put(&format!("o{round}-{n}"), &Note::new("1", "1"), at(now + 30))]);
        peers.push(other);
    }
}

/// Entries in the log of the project.
pub(crate) const ENTRIES: usize = 30;
/// The project of the user 2, and where its log is.
const PROJECT: ProjectId = ProjectId::new(1 << 62);
pub(crate) const SPACE: SpaceAddress =
    SpaceAddress { owner: UserId::new(2), purpose: Purpose::Td, number: SpaceNumber::new(PROJECT.get()) };

/// Appends entries to it, and says where they are.
pub(crate) fn append(store: &dyn Entries, name: &str, count: usize) -> Vec<Appended> {
    let guard = Guard::Member { project: PROJECT, user: UserId::new(2) };
    let entries = entries(&names(name, count));
    let append = Append { guard, entries, weights: Vec::new(), is_same: None, now: TestEnv::START };
    wait(store.append(append)).unwrap().unwrap()
}

/// Of everything that lets somebody in under an identity, something: of eve, who is the user 2, and of [`ROOT`], whom
/// it makes.
pub(crate) fn identities(store: &Sqlite) {
    let purpose = Purpose::SimpleSync;
    let new = |subject: &str, username: Username, password: Option<&str>| NewIdentity {
        purpose,
        subject: Name::parse(subject).unwrap(),
        username,
        password: password.map(str::to_owned),
    };
    let root = wait(store.add_identity(new(".root", Username::Subject, None), TestEnv::START)).unwrap();
    assert_eq!(root, IdentityAdded::New(ROOT));
    let named = Username::Named(Name::parse("evita").unwrap());
    let _eve = wait(store.add_identity(new("eve", named, Some("$argon2id$x")), TestEnv::START)).unwrap();
    let later = TestEnv::START.plus(std::time::Duration::from_secs(60));
    for (n, credential) in [(1, Some(tombolo_core::CredentialId::new(1))), (2, None)] {
        let ticket = Ticket { user: UserId::new(2), credential, ends_at: credential.map(|_| later), form: 1 };
        wait(store.keep_ticket(SecretHash([n; 32]), ticket, TestEnv::START, later)).unwrap();
    }
    assert_eq!(wait(store.secret("signing", b"secret\0")).unwrap(), b"secret\0");
}

/// The user `.root`, and the log that is his.
pub(crate) const ROOT: UserId = UserId::new(6);
pub(crate) const RULED: SpaceAddress = SpaceAddress::only(ROOT, Purpose::SimpleSync);
/// Entries of [`append_under_rules`].
pub(crate) const RULED_ENTRIES: usize = 5;

/// Appends to it: a ruling, a setup token for eve, and others, written before what is there already.
pub(crate) fn append_under_rules(store: &dyn Entries, name: &str) {
    let rulings = wait(store.rulings(RULED, Seq::ZERO, ALL)).unwrap();
    let ruling = rulings.last().map_or(Seq::ZERO, |entry| entry.seq);
    let end = wait(store.log_end(RULED)).unwrap().head.get();
    let mut entries = entries(&names(name, RULED_ENTRIES));
    entries.iter_mut().for_each(|entry| entry.written_at = at(-i64::try_from(end).unwrap()));
    let token = tombolo_core::Digest::of(name.as_bytes()).to_bytes();
    let subject = Name::parse("eve").unwrap();
    let token = SecretHash([token, token].concat().try_into().unwrap());
    let effect = Effect::GiveSetupToken { subject, token, expires_at: TestEnv::START };
    let weights = vec![
        Weight::default(),
        Weight { is_ruling: true, effect: None },
        Weight { is_ruling: false, effect: Some(effect) },
    ];
    let guard = Guard::Rules { space: RULED, user: ROOT, ruling };
    let append = Append { guard, entries, weights, is_same: Some(|a, b| a == b), now: TestEnv::START };
    wait(store.append(append)).unwrap().unwrap();
}

/// Versions of documents that [`rooms`] leaves.
pub(crate) const VERSIONS: usize = 2;

/// A room of eve: everything that tells it apart follows from `number`.
pub(crate) fn room(number: u8) -> Room {
    Room {
        owner: UserId::new(2),
        number: SpaceNumber::new(i64::MIN + i64::from(number)),
        code: RoomCode::parse(&format!("Board-{number}")).unwrap(),
        id: RoomId::make([number; 16]),
        host: PeerName::parse("ผู้สร้าง", 64).unwrap(),
        created_at: TestEnv::START,
    }
}

pub(crate) fn add_room(store: &dyn Rooms, number: u8) -> Room {
    let room = room(number);
    let new = NewRoom { room: room.clone(), of_owner_max: 100 };
    assert_eq!(wait(store.add_room(new)).unwrap(), RoomAdded::New);
    room
}

/// Stores a document, of which as many versions are kept as are asked for.
pub(crate) fn write(store: &dyn Rooms, number: u8, text: &str, newest: usize) -> DocumentStored {
    let kept = VersionsKept { newest, minutes: 0, hours: 0, days: 0, bytes_max: u64::MAX };
    let put =
        DocumentPut { space: room(number).space(), text: text.to_owned(), after: None, kept, now: TestEnv::START };
    wait(store.put_document(put)).unwrap()
}

/// Ends rooms that nobody has open and of which so many seconds have gone by since they were used.
pub(crate) fn end_rooms(store: &dyn Rooms, secs: u64) -> u64 {
    let now = TestEnv::START.plus(std::time::Duration::from_secs(1_000));
    let since = Some(now.minus(std::time::Duration::from_secs(secs)));
    wait(store.end_rooms(IdleRooms { empty_since: since, since, now, count_max: 100 })).unwrap()
}

/// Five rooms were made; of the document of the first, which somebody has open, [`VERSIONS`] stayed, and the second
/// ended. The others have none.
pub(crate) fn rooms(store: &dyn Rooms) {
    (1..=5).for_each(|number| drop(add_room(store, number)));
    let used_at = |number: u8, secs: u64| {
        let at = TestEnv::START.plus(std::time::Duration::from_secs(secs));
        wait(store.close_rooms(&[(room(number).space(), LeaseId::new(9), at)])).unwrap();
    };
    [1, 3, 4, 5].into_iter().for_each(|number| used_at(number, 100));
    write(store, 2, "of a room that ends", 9);
    (1..=4).for_each(|n| drop(write(store, 1, &format!("งาน {n}"), VERSIONS)));
    assert_eq!(end_rooms(store, 1_000), 1);
    let until = TestEnv::START.plus(std::time::Duration::from_secs(1_000));
    let lease = Lease { id: LeaseId::new(1), node: NodeId::new(1), until };
    let opened = wait(store.open_room(room(1).owner, &room(1).code, lease, TestEnv::START)).unwrap();
    assert_eq!(opened.unwrap().document.unwrap().text, "งาน 4");
}

/// What only protocols have that erase: a device that is bound to its log, and a log that is gone.
fn erasing(file: &Path) {
    let connection = rusqlite::Connection::open(file).unwrap();
    connection.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
    let sql = "INSERT INTO replica_spaces VALUES ('wellbeing', 'phone', 98);
        INSERT INTO erased_spaces VALUES (99, 1, 'wellbeing', 5);
        UPDATE replicas SET acknowledged = id, given = id + 1 WHERE id < 5";
    connection.execute_batch(sql).unwrap();
}

/// What a migration leaves in the schema.
pub(crate) fn left_behind(file: &Path) -> Vec<String> {
    let connection = rusqlite::Connection::open(file).unwrap();
    let mut names = connection.prepare("SELECT name FROM sqlite_schema WHERE name LIKE 'moving%'").unwrap();
    names.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
}
