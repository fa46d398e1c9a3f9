//! Two pages in one room, of which one is cut off for a while.

use serde_json::{Value, json};
use tombolo_testkit::eventually::{FOREVER, eventually};
use tombolo_testkit::pages::Page;
use tombolo_testkit::proxy::Proxy;
use tombolo_testkit::served::Served;

use super::{Browser, install};

/// What a page needs to know.
struct Board<'a> {
    server: &'a str,
    socket_server: &'a str,
    room: &'a str,
    peer: &'a str,
    is_host: bool,
}

fn page(board: &Board<'_>) -> Page {
    let html = include_str!("room.html")
        .replace("{server}", board.server)
        .replace("{socket_server}", board.socket_server)
        .replace("{room}", board.room)
        .replace("{peer}", board.peer)
        .replace("{is_host}", &board.is_host.to_string());
    Page::serve(&html)
}

/// What the page reports under this name next; what else it reports is passed over.
fn reported(page: &Page, what: &str) -> Value {
    loop {
        let report = page.report();
        if report["what"] == what {
            return report["detail"].clone();
        }
    }
}

fn stored(served: &Served, room: &str) -> String {
    served.install.ok(&["room", "show", room])
}

#[test]
fn an_edit_made_while_the_connection_was_cut_reaches_the_other_page() {
    let Some(program) = Browser::find() else { return };
    let install = install();
    let key = install.rk_for("owner");
    let served = install.serve();
    let proxy = Proxy::before(served.address());
    let direct = format!("http://{}/k/{key}", served.address());
    let cut = format!("http://{}/k/{key}", proxy.address());

    let host = page(&Board { server: &direct, socket_server: &cut, room: "", peer: "", is_host: true });
    let _host_browser = Browser::open(&program, &host.origin());
    let joined = reported(&host, "joined");
    let room = joined["room"].as_str().unwrap();
    let guest = page(&Board { server: &direct, socket_server: &direct, room, peer: "peer_abc123", is_host: false });
    let _guest_browser = Browser::open(&program, &guest.origin());
    assert_eq!(reported(&guest, "joined"), json!({ "room": room, "me": "peer_abc123" }));
    while reported(&guest, "document") != "first\n" {}

    proxy.cut();
    assert_eq!(reported(&host, "edited"), "first\nedited while away\n");
    proxy.mend();
    assert_eq!(reported(&host, "error"), "Room not found", "it opened another connection, and did not join");
    assert_eq!(reported(&host, "joined")["room"], room, "it made its room again, which was there");
    while reported(&guest, "document") != "first\nedited while away\n" {}
    eventually("the document is stored", FOREVER, || {
        (stored(&served, room) == "first\nedited while away\n").then_some(())
    });
}
