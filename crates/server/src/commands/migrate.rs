//! `tombolo migrate`

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use serde::Serialize;
use tombolo_core::{Env as _, ServerTime};
use tombolo_storage::postgres::Url;
use tombolo_storage::transfer::{self, Event, Report, Step, TransferError};

use super::Answers;
use crate::cli::MigrateArgs;
use crate::config::{Config, Database};
use crate::env::SystemEnv;
use crate::{output, telemetry};

/// How often progress is told where there is no terminal, in hundredths of all there is to do.
const PROGRESS_STEP_PERCENT: u64 = 10;
/// Characters of the bar.
const BAR_CHARS: u64 = 30;

pub(super) fn run(config: &Config, args: &MigrateArgs, how: Answers) -> anyhow::Result<()> {
    telemetry::start(config.log);
    let from = source(config, args)?;
    if args.undo {
        return undo(from, how);
    }
    let to = args.to.as_deref().unwrap_or_default();
    // What was given is not repeated: it may hold a password.
    let to = Url::parse(to).context("--to")?;
    // Nothing else runs here, so that reading the file between the database's answers keeps nobody waiting.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let mut meter = Meter::new();
    let report = runtime.block_on(transfer::run(&from, &to, &SystemEnv, &mut |event| meter.note(event)));
    meter.end();
    let report = report.map_err(|error| explain(error, &from))?;
    tell(&from, &to, report, how)
}

/// The file that is moved.
fn source(config: &Config, args: &MigrateArgs) -> anyhow::Result<PathBuf> {
    let database = match &args.from {
        Some(from) => Database::parse(from).context("--from is no path of a SQLite file")?,
        None => config.database(),
    };
    match database {
        Database::Sqlite(path) if path.is_file() => Ok(path),
        Database::Sqlite(path) => bail!("there is no file {}; --from says which to move", path.display()),
        Database::Postgres(_) => bail!("only a SQLite file can be moved; --from says which"),
    }
}

fn undo(from: PathBuf, how: Answers) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Answer {
        undone: bool,
    }
    let undone = transfer::undo(&from).with_context(|| format!("{} was not given back", from.display()))?;
    if how.json {
        return output::say_json(&Answer { undone });
    }
    let file = from.display();
    if undone {
        output::say(format_args!("{file} is served again. What was written to the new database is not in it."));
    } else {
        output::say(format_args!("{file} was not moved: there is nothing to undo."));
    }
    Ok(())
}

fn tell(from: &std::path::Path, to: &Url, report: Report, how: Answers) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Table {
        name: &'static str,
        rows: u64,
        digest: String,
    }
    #[derive(Serialize)]
    struct Answer {
        from: String,
        to: String,
        was_done_already: bool,
        pause_ms: u64,
        tables: Vec<Table>,
    }
    let Report { tables, pause, was_done_already } = report;
    let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    if how.json {
        let table = |table: transfer::TableReport| Table { name: table.name, rows: table.count, digest: table.digest };
        let tables = tables.into_iter().map(table).collect();
        let (from, to) = (from.display().to_string(), to.to_string());
        return output::say_json(&Answer { from, to, was_done_already, pause_ms, tables });
    }
    if was_done_already {
        output::say(format_args!("{} was moved to {to} already.", from.display()));
    } else {
        let row = |table: &transfer::TableReport| {
            [table.name.to_owned(), table.count.to_string(), table.digest.get(..16).unwrap_or_default().to_owned()]
        };
        output::say_table(["TABLE", "ROWS", "DIGEST"], &tables.iter().map(row).collect::<Vec<_>>(), "");
        output::say(format_args!(
            "All of it is in {to}, value by value. The server has paused for {pause_ms} ms so far."
        ));
    }
    output::say("Now:");
    output::say(format_args!("  1. Start the server with --database {to} (and its user and password)."));
    output::say("  2. Point the proxy at it, then stop the old server, which answers 503 until then.");
    output::say(format_args!("  3. Keep {} as a backup; nothing is written to it any more.", from.display()));
    Ok(())
}

fn explain(error: TransferError, from: &std::path::Path) -> anyhow::Error {
    let is_served = !matches!(error, TransferError::Unknown(_) | TransferError::StillMarked(_));
    let context = if is_served { "nothing was moved" } else { "the migration did not end" };
    anyhow::Error::new(error).context(format!("{}: {context}", from.display()))
}

/// Tells how far it is: a bar at a terminal, a line now and then elsewhere.
struct Meter {
    step: Step,
    began_at: ServerTime,
    told_percent: u64,
    is_drawn: bool,
}

impl Meter {
    fn new() -> Self {
        Self { step: Step::Copy, began_at: SystemEnv.now(), told_percent: 0, is_drawn: false }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Step(step) => {
                self.end();
                (self.step, self.began_at, self.told_percent) = (step, SystemEnv.now(), 0);
                if let Some(words) = words(step) {
                    output::remark(words);
                }
            }
            Event::Progress { done, all } => self.progress(done, all),
        }
    }

    fn progress(&mut self, done: u64, all: u64) {
        let percent = done.saturating_mul(100).checked_div(all).unwrap_or(100).min(100);
        // Catching up takes moments, and begins anew each time.
        if percent == self.told_percent || !matches!(self.step, Step::Copy | Step::Compare) {
            return;
        }
        let line = self.line(percent, done, all);
        if output::redraw(&line) {
            self.is_drawn = true;
        } else if percent < self.told_percent + PROGRESS_STEP_PERCENT {
            return;
        } else {
            output::remark(line);
        }
        self.told_percent = percent;
    }

    fn line(&self, percent: u64, done: u64, all: u64) -> String {
        let micros = SystemEnv.now().micros().saturating_sub(self.began_at.micros()).max(1);
        let seconds = u64::try_from(micros).unwrap_or(1).div_ceil(1_000_000);
        let rate = done / seconds;
        let left = all.saturating_sub(done);
        let bar: String = (0..BAR_CHARS).map(|at| if at * 100 < percent * BAR_CHARS { '#' } else { '.' }).collect();
        format!("[{bar}] {percent:>3} %  {rate} rows/s  {left} left, about {} s", left / rate.max(1))
    }

    /// Leaves the bar behind.
    fn end(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            output::remark("");
        }
    }
}

fn words(step: Step) -> Option<&'static str> {
    match step {
        Step::Copy => Some("copying; the server goes on"),
        Step::CatchUp => Some("copying what changed meanwhile"),
        Step::Compare => Some("comparing what was copied; the server goes on"),
        Step::Pause => Some("the server pauses: clients are told to come again"),
        Step::Rest => Some("copying and comparing the rest"),
        Step::Finish | Step::CleanUp => None,
    }
}
