//! The way to the database over a network: TLS, and whose word on the server's name is taken.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use tombolo_testkit::http::Request;
use tombolo_testkit::postgres::{Cluster, Durability};
use tombolo_testkit::served::Folder;

use crate::node;

/// An authority of its own, and a certificate by it for `localhost` and no other name.
const CERTIFICATES: &str = r#"
cd "$1"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=authority \
    -keyout authority.key -out authority.pem
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -keyout server.key -out server.csr
printf 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n' >extensions
openssl x509 -req -in server.csr -CA authority.pem -CAkey authority.key -CAcreateserial -days 2 -extfile extensions \
    -out server.pem
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=stranger \
    -keyout stranger.key -out stranger.pem
chmod 0600 server.key
[ "$(id -u)" != 0 ] || chown postgres server.key server.pem .
"#;

fn run(script: &str, folder: &Path) {
    let output = Command::new("sh").args(["-euc", script, "sh"]).arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_database_over_tls_has_to_prove_its_name() {
    if Cluster::shared().is_none() {
        return;
    }
    let folder = Folder::new();
    run(CERTIFICATES, folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let settings = [
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", file("server.pem")),
        format!("ssl_key_file={}", file("server.key")),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let cluster = Cluster::start_tcp(Durability::Unsynced, &settings).unwrap();
    let database = Arc::new(cluster.database());
    let port = cluster.tcp_address().port();
    let install = |host: &str, authority: &str| {
        let url = format!(
            "postgres://tombolo:hunter2@{host}:{port}/{}?sslmode=verify-full&sslrootcert={}",
            database.name(),
            file(authority)
        );
        node(&database).variable("TOMBOLO_DATABASE", &url)
    };
    let served = install("localhost", "authority.pem").serve();
    assert_eq!(served.send(&Request::get("/ready")).status, 200);
    let encrypted = "SELECT bool_and(s.ssl) AND count(*) > 0 FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
                     WHERE a.datname = current_database() AND a.client_addr IS NOT NULL";
    assert_eq!(database.sql(encrypted), "t");
    for (host, authority) in [("localhost", "stranger.pem"), ("127.0.0.1", "authority.pem")] {
        let complaint = install(host, authority).refused(&["token", "--list"]);
        assert!(
            complaint.contains("certificate") && !complaint.contains("hunter2"),
            "{host}, {authority}: {complaint}"
        );
    }
}
