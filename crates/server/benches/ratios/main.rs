//! The benchmark: the real binary beside floors that the same run measures on the same machine.
//!
//! ```text
//! cargo bench -p tombolo                    # everything, some minutes; prints the table of docs/performance.md
//! cargo bench -p tombolo -- --quick         # small counts, to see that it works
//! cargo bench -p tombolo -- --only 100x16   # one line of it: pushes of 100 changes from 16 clients
//! cargo bench -p tombolo -- --only pulls    # all but the pushes
//! cargo bench -p tombolo -- --only postgres # what is kept in PostgreSQL
//! cargo bench -p tombolo -- --only td       # pushes and pulls of td's events
//! cargo bench -p tombolo -- --only simple_sync # pushes into a long history
//! cargo bench -p tombolo -- --only rooms    # what is passed on in rooms
//! cargo bench -p tombolo -- --only wellbeing # first syncs of wellbeing apps
//! ```
//!
//! The floors are a bare axum server with a bare group-committing SQLite writer, which writes the same rows and indexes
//! as a push does and decides nothing, the same bytes from memory, and a bare WebSocket broadcast. Figures are ratios: absolute ones say more about
//! the machine.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its table")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock and starts threads")]
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a failed benchmark stops"
)]

mod client;
mod floor;
mod load;
mod postgres;
mod process;
mod rooms;
mod simple_sync;
mod table;
mod td;
mod wellbeing;

use std::time::Duration;

use load::{Measured, Pushes};
use process::Served;
use table::Table;

/// How much is done.
#[derive(Clone, Copy)]
struct Scale {
    /// Of each push measurement.
    seconds: Duration,
    /// Rounds of floor and binary in turn; the median round is shown.
    rounds: usize,
    cold_records: usize,
    many_records: usize,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, folder] = arguments.as_slice()
        && flag == "--floor"
    {
        floor::serve(std::path::Path::new(folder));
        return;
    }
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let scale = if quick {
        Scale { seconds: Duration::from_millis(500), rounds: 1, cold_records: 5_000, many_records: 10_000 }
    } else {
        Scale { seconds: Duration::from_secs(5), rounds: 3, cold_records: 100_000, many_records: 1_000_000 }
    };
    let mut table = Table::new(quick);
    let only = arguments.iter().skip_while(|argument| *argument != "--only").nth(1);
    pushes(&mut table, scale, only.map(String::as_str));
    if only.is_none_or(|only| only == "pulls") {
        pulls(&mut table, scale);
    }
    if only.is_none_or(|only| only == "td") {
        td::run(&mut table, scale);
    }
    if only.is_none_or(|only| only == "simple_sync") {
        simple_sync::run(&mut table, scale);
    }
    if only.is_none_or(|only| only == "rooms") {
        rooms::run(&mut table, scale);
    }
    if only.is_none_or(|only| only == "wellbeing") {
        wellbeing::run(&mut table, scale);
    }
    if only.is_none_or(|only| only == "postgres") {
        postgres::run(&mut table, scale);
    }
    table.print();
}

/// Floor and binary in turn, so that a machine that grows slower slows both.
fn pushes(table: &mut Table, scale: Scale, only: Option<&str>) {
    for changes in [1, 100] {
        for clients in [1, 16, 64] {
            if only.is_some_and(|only| only != format!("{changes}x{clients}")) {
                continue;
            }
            let pushes = Pushes { changes, clients, seconds: scale.seconds };
            let mut rounds: Vec<(Measured, Measured, u64)> = (0..scale.rounds)
                .map(|_| {
                    let floor = Served::floor();
                    let bare = load::push_floor(&floor, pushes);
                    drop(floor);
                    let tombolo = Served::tombolo(clients);
                    let ours = load::push_tombolo(&tombolo, pushes);
                    (bare, ours, tombolo.resident_kib())
                })
                .collect();
            rounds.sort_by(|(a, b, _), (c, d, _)| {
                (b.per_second / a.per_second).total_cmp(&(d.per_second / c.per_second))
            });
            let (bare, ours, resident) = rounds.swap_remove(rounds.len() / 2);
            eprintln!("push {changes} × {clients}: {:.0} of {:.0} a second", ours.per_second, bare.per_second);
            table.push(pushes, &bare, &ours, resident);
        }
    }
}

fn pulls(table: &mut Table, scale: Scale) {
    let mut tombolo = Served::tombolo(1);
    table.idle(tombolo.binary_bytes(), tombolo.started_in, tombolo.resident_kib());

    load::fill(&tombolo, 100);
    let few = load::empty_pulls(&tombolo, scale.seconds);
    load::fill(&tombolo, scale.cold_records - 100);
    let cold = load::cold_pull(&tombolo);
    let floor = Served::floor();
    let memory = load::memory_pull(&floor, &cold.page_bytes);
    drop(floor);
    table.cold(&cold, &memory, tombolo.resident_kib());

    load::fill(&tombolo, scale.many_records - scale.cold_records);
    let many = load::empty_pulls(&tombolo, scale.seconds);
    table.empty(scale.many_records, &few, &many);
    tombolo.stop();
    tombolo.start_again();
    table.started(scale.many_records, tombolo.started_in);
}
