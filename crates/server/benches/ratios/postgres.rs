//! PostgreSQL: one node and three, beside `pgbench` on the same server in the same run.
//!
//! The floor is what PostgreSQL commits when it is asked for nothing but one row at a time, by its own benchmark over
//! its own socket: no HTTP, no decision, one table. A push writes a change, a record and a cursor at least.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tombolo_testkit::postgres::{Cluster, Database, Durability};

use crate::Scale;
use crate::load::{self, Pushes};
use crate::process::Served;
use crate::table::Table;

/// A row of the size of a change.
const FLOOR_TABLE: &str =
    "CREATE TABLE floor (id BIGSERIAL PRIMARY KEY, space BIGINT NOT NULL, payload BYTEA NOT NULL)";
const FLOOR_SCRIPT: &str =
    "INSERT INTO floor (space, payload) VALUES (:client_id, convert_to(repeat('Buy milk ', 44), 'UTF8'));\n";
/// The pushes of one round: how they are called, clients, whether they share a space, nodes, the goal.
const ROUNDS: &[(usize, bool, usize, &str)] = &[
    (1, false, 1, ""),
    (16, false, 1, "≥ 0.40"),
    (16, true, 1, "≥ 1.00"),
    (64, false, 1, ""),
    (16, false, 3, ""),
    (16, true, 3, ""),
];

pub(crate) fn run(table: &mut Table, scale: Scale) {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    // Beside the build: a folder for temporary files may be in memory, where a commit costs nothing.
    let cluster = Cluster::start_in(parent, Durability::Real, &["max_connections=100", "max_wal_size=2GB"]);
    let cluster = match cluster {
        Ok(cluster) => cluster,
        Err(reason) => return eprintln!("*** NOT MEASURED ON POSTGRESQL: {reason} ***"),
    };
    for (clients, is_shared, nodes, goal) in ROUNDS.iter().copied() {
        let mut rounds: Vec<_> = (0..scale.rounds)
            .map(|_| {
                let floor = pgbench(&cluster, clients, scale.seconds);
                let database = cluster.database();
                let nodes: Vec<Served> = Served::nodes(&database, nodes, clients, is_shared);
                let pushes = Pushes { changes: 1, clients, seconds: scale.seconds };
                (floor, load::push_nodes(&nodes, pushes, is_shared))
            })
            .collect();
        rounds.sort_by(|(a, b), (c, d)| (b.per_second / a).total_cmp(&(d.per_second / c)));
        let (floor, ours) = rounds.swap_remove(rounds.len() / 2);
        let spaces = if is_shared { 1 } else { clients };
        let plural = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let what = format!(
            "PostgreSQL: push of 1, {} in {}, {}",
            plural(clients, "client"),
            plural(spaces, "space"),
            plural(nodes, "node")
        );
        eprintln!("{what}: {:.0} of {floor:.0} a second", ours.per_second);
        table.commits(&what, floor, &ours, goal);
    }
    pulls(table, scale, &cluster.database());
}

fn pulls(table: &mut Table, scale: Scale, database: &Database) {
    let node = Served::nodes(database, 1, 1, false).remove(0);
    let asked = idle(database);
    table.note(&format!("PostgreSQL: what an idle node asks in {} s", IDLE.as_secs()), &asked, "nothing");
    load::fill(&node, 100);
    let few = load::empty_pulls(&node, scale.seconds);
    load::fill(&node, scale.cold_records - 100);
    let many = load::empty_pulls(&node, scale.seconds);
    table.empty_on("PostgreSQL: ", scale.cold_records, &few, &many);
    let cold = load::cold_pull(&node);
    let floor = Served::floor();
    let memory = load::memory_pull(&floor, &cold.page_bytes);
    table.cold_on("PostgreSQL: ", &cold, &memory, "");
}

/// How long an idle node is watched.
const IDLE: Duration = Duration::from_secs(10);

/// What an idle node asks of the database, and what it keeps open there.
fn idle(database: &Database) -> String {
    let backends = "WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    // A statement changes when its connection's last one began.
    let last = || database.sql(&format!("SELECT pid, query_start FROM pg_stat_activity {backends} ORDER BY pid"));
    // What its start asked is over.
    std::thread::sleep(Duration::from_secs(2));
    let before = last();
    std::thread::sleep(IDLE);
    let asked = if last() == before { "nothing" } else { "something" };
    format!("{asked}, {} connections", before.lines().count())
}

/// Commits a second of one row each.
fn pgbench(cluster: &Cluster, clients: usize, seconds: Duration) -> f64 {
    let database = cluster.database();
    database.sql(FLOOR_TABLE);
    let script = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("pgbench-{}.sql", std::process::id()));
    std::fs::write(&script, FLOOR_SCRIPT).unwrap();
    let binary = Cluster::binary("pgbench").expect("PostgreSQL comes with its benchmark");
    let output = Command::new(binary)
        .args(["-n", "-M", "prepared", "-j", "1", "-c", &clients.to_string()])
        .args(["-T", &seconds.as_secs().max(1).to_string(), "-f"])
        .arg(&script)
        .arg(database.url())
        .output()
        .unwrap();
    std::fs::remove_file(&script).unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = said.lines().find_map(|line| line.strip_prefix("tps = "));
    let line = line.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)));
    line.split(' ').next().unwrap().parse().unwrap()
}
