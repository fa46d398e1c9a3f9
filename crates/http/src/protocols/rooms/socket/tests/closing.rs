//! What becomes of a member whose connection is closed while it reads slowly, or not at all.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tombolo_core::{Env as _, Name};
use tombolo_service::{Connection, Entrant, JoinWish, RoomFound, RoomOptions, RoomWish, Rooms};
use tombolo_storage::memory::Memory;
use tombolo_storage::{Accounts as _, Added};
use tombolo_testkit::TestEnv;

use super::*;
use crate::protocols::rooms::socket::{Arriving, Bounds, CLOSE_MAX, CUT_MAX, run};

const BOUNDS: Bounds = Bounds { message_bytes_max: 64 << 20, arriving_bytes_max: 1 << 30 };

/// A room with a host that is a test, and a guest whose socket is spoken on.
struct Scene {
    rooms: Arc<Rooms>,
    entrant: Entrant,
    host: Connection,
    io: DuplexStream,
    ended: JoinHandle<()>,
}

impl Scene {
    /// With a document of 20 MB, of which the guest has not read much.
    async fn open() -> Self {
        let (store, env) = (Arc::new(Memory::new()), Arc::new(TestEnv::new(1)));
        let Added::New(owner) = store.add_user(&Name::parse("owner").unwrap(), None, env.now()).await.unwrap() else {
            panic!("nobody is there yet");
        };
        let rooms = Rooms::new(store, env, Arc::default(), Arc::new(Codec), RoomOptions::default());
        let rooms = Arc::new(rooms);
        let entrant = Entrant { owner, credential: None, expires_at: None, address: HERE };
        let wish = RoomWish { code: Some("ROOM"), ..RoomWish::default() };
        rooms.make(entrant, wish).await.unwrap();
        let mut host = rooms.connect(entrant).unwrap();
        host.join(JoinWish { code: "ROOM", peer: "ann", claims_host: false, metadata: None }).await.unwrap();
        let connection = rooms.connect(entrant).unwrap();
        let (mut io, server) = duplex(4 << 10);
        #[expect(clippy::disallowed_methods, reason = "the test ends with it")]
        let ended = tokio::spawn(run(server, connection, BOUNDS, Arriving::default()));
        let join = r#"{"action":"join","room_code":"ROOM","peer_id":"bob","is_host":false}"#;
        io.write_all(&Sent::whole(TEXT, join).bytes()).await.unwrap();
        io.read_exact(&mut [0; 100]).await.unwrap();
        host.put_document(&"x".repeat(20 << 20));
        // The clock goes on when everybody waits.
        sleep(Duration::from_secs(1)).await;
        let _ = told(&host).await;
        Self { rooms, entrant, host, io, ended }
    }
}

/// What waits for a connection.
async fn told(connection: &Connection) -> String {
    let mut parcels = Vec::new();
    while tokio::time::timeout(Duration::from_millis(1), connection.outlet().take(&mut parcels)).await.is_ok() {}
    parcels.iter().map(|parcel| String::from_utf8_lossy(&parcel.bytes).into_owned()).collect()
}

async fn peers(rooms: &Rooms, entrant: Entrant) -> Vec<String> {
    let RoomFound::Room { peers, .. } = rooms.find(entrant, "ROOM").await.unwrap() else { panic!("it is there") };
    peers.iter().map(|peer| peer.id.as_str().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn who_is_closed_leaves_at_once_and_is_gone_soon_however_it_reads() {
    let check = async |reason: CloseReason, reads: bool, most: Duration| {
        let Scene { rooms, entrant, host: _host, mut io, mut ended } = Scene::open().await;
        let closed_at = Instant::now();
        assert_eq!(peers(&rooms, entrant).await, ["ann", "bob"]);
        rooms.close_all(reason, "");
        tokio::task::yield_now().await;
        assert_eq!(peers(&rooms, entrant).await, ["ann"]);
        assert_eq!(closed_at.elapsed(), Duration::ZERO);
        let mut chunk = [0; 100];
        // So slowly that it would take hours, and never stands still for long.
        while reads && !ended.is_finished() {
            let _ = io.read(&mut chunk).await;
            sleep(Duration::from_millis(100)).await;
            assert!(closed_at.elapsed() < 2 * most, "{reason:?}");
        }
        (&mut ended).await.unwrap();
        let took = closed_at.elapsed();
        assert!(took >= most && took <= most + Duration::from_millis(100), "{reason:?} {took:?}");
    };
    for reads in [false, true] {
        check(CloseReason::Revoked, reads, CUT_MAX).await;
        check(CloseReason::TooSlow, reads, CLOSE_MAX).await;
        check(CloseReason::Stopping, reads, CLOSE_MAX).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closes_and_reads_nothing_has_left_too() {
    let Scene { host, mut io, ended, .. } = Scene::open().await;
    let closed_at = Instant::now();
    io.write_all(&Sent::whole(CLOSE, 1000_u16.to_be_bytes()).bytes()).await.unwrap();
    tokio::task::yield_now().await;
    assert!(told(&host).await.contains(r#"{"type":"peer_left","peer_id":"bob"}"#));
    ended.await.unwrap();
    assert_eq!(closed_at.elapsed(), CLOSE_MAX);
}

#[tokio::test(start_paused = true)]
async fn who_is_closed_while_the_server_works_for_it_does_not_wait_for_that() {
    let (mut io, server) = duplex(4 << 10);
    let member = Echo::default();
    let queue = member.queue.clone();
    #[expect(clippy::disallowed_methods, reason = "the test ends with it")]
    let ended = tokio::spawn(crate::protocols::rooms::socket::speak(server, member, BOUNDS, Arriving::default()));
    io.write_all(&Sent::whole(TEXT, "work").bytes()).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let closed_at = Instant::now();
    queue.close(CloseReason::Limited, "Enough");
    ended.await.unwrap();
    assert_eq!(closed_at.elapsed(), CLOSE_MAX);
    let mut bytes = Vec::new();
    io.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(taken_apart(&bytes), [said("Enough"), close_of(1008)]);
}
