//! Whose key is no more is closed.

use std::time::Duration;

use tombolo_core::{CredentialId, Env as _, Name, Purpose, ServerTime};
use tombolo_service::{Access, CloseReason, Entrant, Keyring, Made, NewToken};

use crate::bench::{HOME, Node, Peer, World, settle};

async fn key(world: &World, name: &str) -> CredentialId {
    let keyring = Keyring::new(world.memory.clone(), world.env.clone());
    let new =
        NewToken { user: world.owner, name: Name::parse(name).unwrap(), purpose: Purpose::Rooms, expires_at: None };
    let Made::Token(token) = keyring.make_token(new).await.unwrap() else { panic!("the name is free") };
    let access = keyring.authenticate(token.secret().reveal(), Purpose::Rooms, HOME.parse().unwrap());
    let Access::Granted(caller) = access.await.unwrap() else { panic!("the key is good") };
    caller.credential
}

fn connect(node: &Node, credential: CredentialId, expires_at: Option<ServerTime>) -> Peer {
    let entrant = Entrant { credential: Some(credential), expires_at, ..node.entrant(HOME) };
    Peer(node.rooms.connect(entrant).unwrap())
}

async fn revoke(world: &World, credential: CredentialId) {
    assert!(world.memory.revoke_credential_by_id(world.owner, credential, Purpose::Rooms).await.unwrap());
}

fn assert_revoked(peer: &Peer) {
    let (lines, reason) = peer.read();
    assert_eq!(reason, Some(CloseReason::Revoked));
    assert_eq!(lines.last().unwrap(), "error This link was revoked");
}

#[tokio::test(start_paused = true)]
async fn who_came_with_a_key_that_is_revoked_is_closed_and_nobody_else() {
    let world = World::new().await;
    let node = world.node();
    let (good, bad) = (key(&world, "good").await, key(&world, "bad").await);
    let (stays, goes, open) = (connect(&node, good, None), connect(&node, bad, None), node.connect());
    settle().await;
    revoke(&world, bad).await;
    assert_eq!(goes.read().1, None, "nobody told of it yet");
    node.changes.tell();
    settle().await;
    assert_revoked(&goes);
    assert_eq!((stays.read().1, open.read().1), (None, None));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_revoked_while_its_connection_came_in_is_found_out() {
    let world = World::new().await;
    let node = world.node();
    let bad = key(&world, "bad").await;
    revoke(&world, bad).await;
    node.changes.tell();
    settle().await;
    // It was let in before, and is known only now.
    let goes = connect(&node, bad, None);
    settle().await;
    assert_revoked(&goes);
}

#[tokio::test(start_paused = true)]
async fn while_the_store_cannot_say_who_may_stay_all_do_and_then_not() {
    let world = World::new().await;
    let node = world.node();
    let bad = key(&world, "bad").await;
    let goes = connect(&node, bad, None);
    settle().await;
    node.store.fail("live_credentials");
    revoke(&world, bad).await;
    node.changes.tell();
    world.pass(Duration::from_secs(2)).await;
    assert_eq!(goes.read().1, None);
    node.store.heal("live_credentials");
    world.pass(Duration::from_secs(1)).await;
    assert_revoked(&goes);
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_with_its_key() {
    let world = World::new().await;
    let node = world.node();
    let key = key(&world, "key").await;
    let soon = world.env.now().plus(Duration::from_secs(30));
    let (first, later) =
        (connect(&node, key, Some(soon)), connect(&node, key, Some(soon.plus(Duration::from_secs(5)))));
    world.pass(Duration::from_secs(29)).await;
    assert_eq!(first.read().1, None);
    world.pass(Duration::from_secs(1)).await;
    assert_revoked(&first);
    assert_eq!(later.read().1, None);
    world.pass(Duration::from_secs(5)).await;
    assert_revoked(&later);
}

#[tokio::test(start_paused = true)]
async fn where_nobody_came_with_a_key_nothing_is_asked() {
    let world = World::new().await;
    let node = world.node();
    let _open = node.connect();
    node.changes.tell();
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(node.store.calls("live_credentials"), 0);
}
