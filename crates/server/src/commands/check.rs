//! `tombolo check`

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::bail;
use serde::Serialize;
use tombolo_core::Purpose;
use tombolo_http::{TickitPolicy, WellbeingPolicy, is_simple_sync_ruling};
use tombolo_storage::{Progress, Reading};

use super::{Answers, Desk, explain};
use crate::output;

/// How often progress is told, in hundredths of all there is to do.
const PROGRESS_STEP_PERCENT: u64 = 10;

pub(super) async fn run(desk: &Desk<'_>, how: Answers) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Answer {
        ok: bool,
        spaces: u64,
        records: u64,
        changes: u64,
        faults: Vec<String>,
    }
    let report = desk.store.check(readings(), progress()).await.map_err(explain)?;
    let fault_count = report.faults.len();
    if how.json {
        let (spaces, records, changes) = (report.spaces, report.records, report.changes);
        output::say_json(&Answer { ok: fault_count == 0, spaces, records, changes, faults: report.faults })?;
    } else {
        output::say(format_args!(
            "Read {} changes of {} records in {} spaces.",
            report.changes, report.records, report.spaces
        ));
        report.faults.iter().for_each(output::say);
    }
    if fault_count > 0 {
        bail!("{fault_count} faults were found; restore a backup, or keep this database and ask for help");
    }
    if !how.json {
        output::say("Everything is as it should be.");
    }
    Ok(())
}

/// How what each protocol stores is read.
fn readings() -> Vec<Reading> {
    vec![
        Reading::of_records(Purpose::Tickit, Arc::new(TickitPolicy)),
        Reading::of_rules(Purpose::SimpleSync, is_simple_sync_ruling),
        Reading::of_versions(Purpose::Rooms),
        Reading::of_records(Purpose::Wellbeing, Arc::new(WellbeingPolicy)),
    ]
}

fn progress() -> Progress {
    let told = AtomicU64::new(0);
    Box::new(move |done, all| {
        let percent = done.saturating_mul(100).checked_div(all).unwrap_or(100);
        if percent < 100 && percent >= told.load(Ordering::Relaxed) + PROGRESS_STEP_PERCENT {
            told.store(percent, Ordering::Relaxed);
            output::remark(format_args!("{percent} % read"));
        }
    })
}
