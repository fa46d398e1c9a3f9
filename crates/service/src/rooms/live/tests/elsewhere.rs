//! Peers on other nodes.

use super::*;

#[test]
fn a_peer_on_two_nodes_comes_and_goes_once() {
    let scene = Scene::new(None);
    scene.enter(1, "host");
    scene.room.joined_at(THERE, there("guest", 5, "x"));
    assert_eq!(scene.read(1), ["joined guest@5(x)"]);
    scene.enter(2, "guest");
    assert_eq!(scene.read(1), [""; 0]);
    scene.room.left_at(THERE, &name("guest"));
    assert_eq!(scene.read(1), [""; 0]);
    scene.leave(2);
    assert_eq!(scene.read(1), ["left guest"]);
}

#[test]
fn a_list_replaces_what_was_known_of_a_node() {
    let scene = Scene::new(None);
    scene.enter(1, "host");
    assert!(scene.room.meet(THERE));
    assert!(!scene.room.meet(THERE));
    assert_eq!(scene.room.unanswered(), [THERE]);
    scene.room.joined_at(THERE, there("a", 5, ""));
    scene.room.joined_at(NodeId::new(8), there("b", 6, ""));
    scene.read(1);
    scene.room.here(THERE, vec![there("c", 7, ""), there("b", 6, "")]);
    assert_eq!(scene.read(1), ["left a", "joined c@7"]);
    assert_eq!(scene.room.unanswered(), [NodeId::new(8)]);
    scene.room.here(THERE, vec![]);
    assert_eq!(scene.read(1), ["left c"], "b is on the other node");
}

#[test]
fn a_node_that_is_gone_takes_its_peers_with_it() {
    let scene = Scene::new(None);
    scene.enter(1, "host");
    scene.room.here(THERE, vec![there("a", 5, ""), there("host", 6, "")]);
    scene.read(1);
    scene.room.forget(THERE);
    assert_eq!(scene.read(1), ["left a"]);
    assert_eq!((scene.room.others(), scene.peers()), (vec![], vec!["host".to_owned()]));
}

#[test]
fn peers_stand_in_the_order_in_which_they_joined_anywhere() {
    let scene = Scene::new(None);
    scene.env.set(at(9));
    scene.enter(1, "b");
    scene.enter(2, "c");
    scene.room.here(THERE, vec![there("d", 20, ""), there("a", 5, ""), there("c", 7, "")]);
    assert_eq!(scene.peers(), ["a", "c", "b", "d"]);
    assert_eq!(scene.room.own_peers(), [there("c", 7, ""), there("b", 10, "")]);
}

#[test]
fn what_a_node_says_again_is_no_news() {
    let scene = Scene::new(None);
    scene.room.here(THERE, vec![there("a", 5, "far")]);
    scene.enter(1, "a(near)");
    scene.room.here(THERE, vec![there("a", 5, "far")]);
    assert_eq!(scene.room.peers()[0].metadata.as_deref(), Some("near"));
    scene.room.joined_at(THERE, there("a", 5, "elsewhere"));
    assert_eq!(scene.room.peers()[0].metadata.as_deref(), Some("elsewhere"));
}

#[test]
fn data_of_other_nodes_goes_to_all() {
    let scene = Scene::new(None);
    scene.enter(1, "a");
    scene.enter(2, "*host");
    scene.read(1);
    scene.read(2);
    scene.room.data_from(&name("far"), "x");
    assert_eq!((scene.read(1), scene.read(2)), (vec!["data far: x".to_owned()], vec!["data far: x".to_owned()]));
}
