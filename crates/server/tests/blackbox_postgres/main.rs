//! The real binary on a real PostgreSQL: what it says on the wire is what it says on SQLite, so the same tests are run;
//! and what only several nodes on one database can show.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

#[path = "../blackbox/commands.rs"]
mod commands;
#[path = "../blackbox/durability.rs"]
mod durability;
#[path = "../blackbox/event_apps.rs"]
mod event_apps;
mod failures;
#[path = "../blackbox/limits.rs"]
mod limits;
mod load;
#[path = "../blackbox/metrics.rs"]
mod metrics;
mod nodes;
#[path = "../blackbox/replies.rs"]
mod replies;
#[path = "../blackbox/requests.rs"]
mod requests;
#[path = "../blackbox/rooms.rs"]
mod rooms;
#[path = "../blackbox/rooms_bounds.rs"]
mod rooms_bounds;
mod rooms_nodes;
#[path = "../blackbox/sign_in.rs"]
mod sign_in;
#[path = "../blackbox/simple_sync.rs"]
mod simple_sync;
#[path = "../blackbox/simple_sync_commands.rs"]
mod simple_sync_commands;
#[path = "../blackbox/simple_sync_live.rs"]
mod simple_sync_live;
#[path = "../blackbox/simple_sync_people.rs"]
mod simple_sync_people;
#[path = "../blackbox/simple_sync_rules.rs"]
mod simple_sync_rules;
#[path = "../blackbox/td_bounds.rs"]
mod td_bounds;
#[path = "../blackbox/td_live.rs"]
mod td_live;
#[path = "../blackbox/td_projects.rs"]
mod td_projects;
#[path = "../blackbox/td_sync.rs"]
mod td_sync;
mod tls;
#[path = "../blackbox/tokens.rs"]
mod tokens;
#[path = "../blackbox/transcripts.rs"]
mod transcripts;
#[path = "../blackbox/wellbeing_app.rs"]
mod wellbeing_app;
#[path = "../blackbox/wellbeing_client.rs"]
mod wellbeing_client;
#[path = "../blackbox/wellbeing_devices.rs"]
mod wellbeing_devices;
#[path = "../blackbox/wellbeing_failures.rs"]
mod wellbeing_failures;

use std::sync::Arc;

use tombolo_testkit::postgres::{Cluster, Database};
use tombolo_testkit::served::{Install, Served};

/// A database of its own. Where there is no PostgreSQL, that was said loudly, and there is nothing else to be done in
/// this process.
#[expect(clippy::exit, reason = "a test harness knows no other way to leave everything out that is left")]
fn database() -> Arc<Database> {
    match Cluster::shared() {
        Some(cluster) => Arc::new(cluster.database()),
        None => std::process::exit(0),
    }
}

/// A node on `database`.
fn node(database: &Arc<Database>) -> Install {
    // Few connections each: many tests share one PostgreSQL.
    Install::new(env!("CARGO_BIN_EXE_tombolo")).on(database).set("postgres.connections_max=6")
}

/// The binary with a database of its own.
fn install() -> Install {
    node(&database())
}

/// A server with a database of its own.
fn serve() -> Served {
    install().serve()
}

/// What tells whether anything was written.
fn written(served: &Served) -> String {
    served.install.postgres().sql(
        "SELECT (SELECT sum(version) FROM spaces), (SELECT count(*) FROM cursors), (SELECT sum(polled) FROM cursors),
             (SELECT count(*) FROM traffic)",
    )
}

/// Whether a server that stopped left nothing behind: its connections are closed.
fn is_put_away(served: &Served) -> bool {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    served.install.postgres().sql(sql) == "0"
}

/// How soon what came in by a key is closed when that is revoked, on any node.
const CLOSED_WITHIN: std::time::Duration = std::time::Duration::from_secs(2);

/// The present, as the database tells it, in microseconds.
const NOW: &str = "(extract(epoch FROM now()) * 1000000)::int8";

/// Changes what is stored behind the server's back: one row.
fn alter(served: &Served, sql: &str) {
    assert_eq!(served.install.postgres().sql(&format!("{sql} RETURNING 1")).lines().next(), Some("1"), "{sql}");
}

/// Everything that is stored, to look for what must not be.
fn stored(served: &Served) -> Vec<u8> {
    let database = served.install.postgres();
    let tables = database.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'");
    tables.lines().flat_map(|table| database.sql(&format!("SELECT t::text FROM {table} t")).into_bytes()).collect()
}
