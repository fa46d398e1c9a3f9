//! What happens at the very moment at which something else does, held there by a lock that it needs.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tombolo_core::{Env as _, Name, NodeId, RoomCode, UserId};
use tombolo_storage::memory::Memory;
use tombolo_storage::{Accounts as _, Added};
use tombolo_testkit::TestEnv;

use crate::AccessChanges;
use crate::rooms::Rooms;
use crate::rooms::connection::{Connection, Entrant, JoinWish};
use crate::rooms::hub::{OpenRoom, room_key};
use crate::rooms::lines::Lines;
use crate::rooms::lock::lock;
use crate::rooms::lookups::RoomWish;
use crate::rooms::options::RoomOptions;

struct Scene {
    rooms: Arc<Rooms>,
    env: Arc<TestEnv>,
    owner: UserId,
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

impl Scene {
    async fn new() -> Self {
        let (memory, env) = (Arc::new(Memory::new()), Arc::new(TestEnv::new(1)));
        let added = memory.add_user(&Name::parse("owner").unwrap(), None, env.now()).await.unwrap();
        let Added::New(owner) = added else { panic!("the name is free") };
        let changes = Arc::new(AccessChanges::default());
        let rooms = Arc::new(Rooms::new(memory, env.clone(), changes, Arc::new(Lines), RoomOptions::default()));
        Self { rooms, env, owner }
    }

    /// Makes a room that somebody is in.
    async fn open(&self, code: &str) -> (Arc<OpenRoom>, Connection) {
        let address = "192.0.2.1".parse().unwrap();
        let entrant = Entrant { owner: self.owner, credential: None, expires_at: None, address };
        self.rooms.make(entrant, RoomWish { code: Some(code), host: None }).await.unwrap();
        let mut connection = self.rooms.connect(entrant).unwrap();
        connection.join(JoinWish { code, peer: "ann", claims_host: false, metadata: None }).await.unwrap();
        let room = self.rooms.hub.find(&room_key(self.owner, &RoomCode::parse(code).unwrap())).unwrap();
        (room, connection)
    }
}

#[test]
fn nobody_opens_a_room_anew_before_others_are_told_that_it_is_closed() {
    let runtime = runtime();
    let scene = runtime.block_on(Scene::new());
    let (room, connection) = runtime.block_on(scene.open("ROOM"));
    room.live.meet(NodeId::new(7));
    drop(connection);
    scene.env.advance(Duration::from_secs(5));
    thread::scope(|scope| {
        let held = scene.rooms.crossing.pump.hold();
        scope.spawn(|| runtime.block_on(scene.rooms.sweep()).unwrap());
        // Until it is about to tell them. Whoever joins takes this lock, too.
        while room.telling.try_lock().is_ok() {
            assert!(scene.rooms.hub.at(room.space).is_some(), "it can be opened anew, and they were not told");
            thread::yield_now();
        }
        assert!(scene.rooms.hub.at(room.space).is_some(), "whoever joins meanwhile waits before it");
        drop(held);
    });
    assert!(scene.rooms.hub.at(room.space).is_none());
}

#[test]
fn what_falls_due_while_somebody_begins_to_store_is_stored() {
    let runtime = runtime();
    let scene = runtime.block_on(Scene::new());
    let (room, mut connection) = runtime.block_on(scene.open("ROOM"));
    let (late, _late) = runtime.block_on(scene.open("LATE"));
    connection.put_document("left");
    // As whoever was about to store it leaves it.
    lock(&scene.rooms.due.rooms).clear();
    room.is_due.store(false, SeqCst);
    thread::scope(|scope| {
        let mut waiting = lock(&scene.rooms.due.rooms);
        let begun = scope.spawn(|| {
            let is_due = || room.is_due.load(SeqCst) || late.is_due.load(SeqCst);
            let both = async {
                while is_due() {
                    tokio::task::yield_now().await;
                }
            };
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = scene.rooms.keep_storing() => false,
                    () = both => true,
                    () = tokio::time::sleep(Duration::from_secs(20)) => false,
                }
            })
        });
        // It has looked for what is left.
        while !room.is_due.load(SeqCst) {
            thread::yield_now();
        }
        late.is_due.store(true, SeqCst);
        waiting.push_back(late.clone());
        drop(waiting);
        assert!(begun.join().unwrap(), "it comes to both of them");
    });
}
