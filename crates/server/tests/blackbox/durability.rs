//! What was acknowledged stays, however the process ends.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tombolo_testkit::eventually::{FOREVER, eventually, spawn};
use tombolo_testkit::http::Request;
use tombolo_testkit::tickit::{Device, SYNC, ago, read_strictly, task};
use tombolo_testkit::transcript::uuid;

use crate::serve;

#[test]
fn after_a_kill_in_the_middle_of_pushes_nothing_acknowledged_is_missing() {
    const ROUNDS: usize = 5;
    const CLIENTS: usize = 8;
    let mut served = serve();
    let tokens: Vec<String> = (0..CLIENTS).map(|n| served.install.token(&format!("device {n}"))).collect();
    let acknowledged = Arc::new(Mutex::new(HashSet::new()));
    for round in 0..ROUNDS {
        let address = served.address();
        let done = Arc::new(AtomicUsize::new(0));
        let clients: Vec<_> = tokens
            .iter()
            .enumerate()
            .map(|(client, token)| {
                let mut device = Device::new(&format!("d{client}"), token);
                let (acknowledged, done) = (Arc::clone(&acknowledged), Arc::clone(&done));
                spawn(move || {
                    for n in 0.. {
                        let ids: Vec<String> = (0..3).map(|k| uuid(&format!("{round}.{client}.{n}.{k}"))).collect();
                        let inbox = device.inbox.clone();
                        let tasks: Vec<_> = ids.iter().map(|id| task(id, "Milk", &inbox, &ago(60))).collect();
                        // The connection breaks when the server is killed: that ends it.
                        let Ok(response) = device.request(&tasks).send(address) else { return };
                        assert_eq!(response.status, 200, "{}", response.text());
                        let reply = read_strictly(&response.body).unwrap();
                        device.last_sync = Some(reply.server_time);
                        acknowledged.lock().unwrap().extend(ids);
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        // A different number each round, so that the kill meets different places.
        let enough = CLIENTS + round * 7;
        eventually("pushes", FOREVER, || (done.load(Ordering::SeqCst) >= enough).then_some(()));
        served.kill();
        for client in clients {
            client.join().unwrap();
        }
        served.start_again();
        let mut reader = Device::new("reader", &tokens[0]);
        let mut there = HashSet::new();
        loop {
            let reply = reader.sync(&served, &[]);
            there.extend(reply.of_type("task").map(|task| task["id"].as_str().unwrap().to_owned()));
            if !reply.more {
                break;
            }
        }
        let missing: Vec<_> = acknowledged.lock().unwrap().difference(&there).cloned().collect();
        assert!(missing.is_empty(), "round {round}: {} acknowledged tasks are missing: {missing:?}", missing.len());
        // All or nothing: of each request all three are there, or none.
        for client in 0..CLIENTS {
            for n in 0..500 {
                let count = (0..3).filter(|k| there.contains(&uuid(&format!("{round}.{client}.{n}.{k}")))).count();
                assert!(count == 0 || count == 3, "{count} of the three tasks of one request are there");
            }
        }
    }
    assert!(served.terminate().success());
    assert_eq!(served.install.json(&["check"])["ok"], true);
}

#[test]
fn sigterm_lets_requests_in_flight_end_and_exits_0() {
    let mut served = serve();
    let device = Device::new("anne", &served.install.token("phone"));
    let body = format!(
        r#"{{"device_id":"{}","last_sync":null,"changes":[{}]}}"#,
        device.id,
        task(&uuid("milk"), "Milk", &device.inbox, &ago(60))
    );
    let mut stream = TcpStream::connect(served.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let head = format!(
        "POST {SYNC} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\nExpect: 100-continue\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        device.token,
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The server asks for the body: so it is at work on the request.
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).unwrap();
    assert!(asked.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&asked));
    served.signal("TERM");
    served.logged(&["stopping"]);
    eventually("it takes no new requests", FOREVER, || TcpStream::connect(served.address()).is_err().then_some(()));
    stream.write_all(body.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    let status = served.ended();
    assert_eq!(status.code(), Some(0), "{}", served.log());
    assert!(crate::is_put_away(&served));
    served.start_again();
    let reply = Device::new("bert", &device.token).sync(&served, &[]);
    assert_eq!(reply.of_type("task").count(), 1);
}

#[test]
fn sigterm_does_not_wait_for_ever_for_a_client_that_does_not_send() {
    let mut served = serve();
    let mut idle = TcpStream::connect(served.address()).unwrap();
    idle.write_all(b"POST /api/v1/sync HTTP/1.1\r\nHost: x\r\n").unwrap();
    assert_eq!(served.send(&Request::get("/health")).status, 200);
    assert_eq!(served.terminate().code(), Some(0));
}
