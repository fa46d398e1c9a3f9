//! The table, in Markdown.

use std::time::Duration;

use crate::load::{ColdPull, Measured, Pushes};
use crate::rooms::Passed;

pub(crate) struct Table {
    lines: Vec<String>,
    notes: Vec<String>,
}

fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

fn mib(kib: u64) -> String {
    format!("{:.1} MiB", kib as f64 / 1024.0)
}

impl Table {
    pub(crate) fn new(quick: bool) -> Self {
        let notes = if quick { vec!["A quick run: the figures mean nothing.".to_owned()] } else { Vec::new() };
        Self { lines: Vec::new(), notes }
    }

    fn line(&mut self, what: &str, ours: &str, floor: &str, ratio: &str, goal: &str) {
        self.lines.push(format!("| {what} | {ours} | {floor} | {ratio} | {goal} |"));
    }

    pub(crate) fn push(&mut self, pushes: Pushes, bare: &Measured, ours: &Measured, resident_kib: u64) {
        let Pushes { changes, clients, .. } = pushes;
        let goal = match (changes, clients) {
            (1, 1) => "≥ 0.80",
            (1, _) => "≥ 0.55",
            (_, 64) => "",
            _ => "≥ 0.60",
        };
        let what = format!("push of {changes}, {clients} client{}", if clients == 1 { "" } else { "s" });
        let show =
            |m: &Measured| format!("{:.0}/s, p50 {}, p99 {}, cpu {}", m.per_second, ms(m.p50), ms(m.p99), ms(m.cpu));
        self.line(&what, &show(ours), &show(bare), &format!("{:.2}", ours.per_second / bare.per_second), goal);
        if changes == 1 && clients > 1 {
            let ratio = ours.p99.as_secs_f64() / bare.p99.as_secs_f64();
            self.line(&format!("{what}: p99"), &ms(ours.p99), &ms(bare.p99), &format!("{ratio:.2}"), "≤ 2.00");
        }
        if clients == 64 {
            self.line(
                &format!("resident after {what}"),
                &mib(resident_kib),
                "",
                "",
                if changes == 1 { "≤ 30 MiB" } else { "" },
            );
        }
    }

    pub(crate) fn cold(&mut self, cold: &ColdPull, memory: &Duration, resident_kib: u64) {
        self.cold_on("", cold, memory, "≥ 0.40");
        self.line("resident after it", &mib(resident_kib), "", "", "");
    }

    pub(crate) fn cold_on(&mut self, store: &str, cold: &ColdPull, memory: &Duration, goal: &str) {
        let bytes: usize = cold.page_bytes.iter().sum();
        let ratio = memory.as_secs_f64() / cold.took.as_secs_f64();
        let what = format!(
            "{store}cold pull of {} records, {:.0} MB in {} replies",
            cold.records,
            bytes as f64 / 1e6,
            cold.page_bytes.len()
        );
        self.line(&what, &ms(cold.took), &ms(*memory), &format!("{ratio:.2}"), goal);
    }

    pub(crate) fn empty(&mut self, many: usize, few: &Measured, then: &Measured) {
        self.empty_on("", many, few, then);
    }

    pub(crate) fn empty_on(&mut self, store: &str, many: usize, few: &Measured, then: &Measured) {
        let ratio = then.p50.as_secs_f64() / few.p50.as_secs_f64();
        let what = format!("{store}empty pull at {many} records, beside at 100");
        let show = |m: &Measured| format!("p50 {}, p99 {}", ms(m.p50), ms(m.p99));
        self.line(&what, &show(then), &show(few), &format!("{ratio:.2}"), "1");
    }

    pub(crate) fn idle(&mut self, binary_bytes: u64, started_in: Duration, resident_kib: u64) {
        self.line("binary", &format!("{:.1} MiB", binary_bytes as f64 / f64::from(1 << 20)), "", "", "< 15 MiB");
        self.line("start, empty database", &ms(started_in), "", "", "≤ 20 ms");
        self.line("resident when idle", &mib(resident_kib), "", "", "≤ 12 MiB");
    }

    pub(crate) fn started(&mut self, many: usize, started_in: Duration) {
        self.line(&format!("start at {many} records, after a clean stop"), &ms(started_in), "", "", "≤ 20 ms");
    }

    /// Pushes beside PostgreSQL's own commits.
    pub(crate) fn commits(&mut self, what: &str, floor: f64, ours: &Measured, goal: &str) {
        let Measured { per_second, p50, p99, cpu } = ours;
        let show = format!("{per_second:.0}/s, p50 {}, p99 {}, cpu {}", ms(*p50), ms(*p99), ms(*cpu));
        self.line(what, &show, &format!("{floor:.0}/s"), &format!("{:.2}", per_second / floor), goal);
    }

    /// Pushes of td's events beside the bare writer.
    pub(crate) fn events(&mut self, pushes: Pushes, bare: &Measured, ours: &Measured) {
        self.batches("td push", "events", pushes, bare, ours);
    }

    /// Uploads of wellbeing's entries beside the bare writer.
    pub(crate) fn uploads(&mut self, pushes: Pushes, bare: &Measured, ours: &Measured) {
        self.batches("wellbeing upload", "entries", pushes, bare, ours);
    }

    /// What the client library takes, beside bare inserts.
    pub(crate) fn library(&mut self, what: &str, took: Duration, floor: Duration) {
        let ratio = floor.as_secs_f64() / took.as_secs_f64();
        self.line(what, &ms(took), &ms(floor), &format!("{ratio:.2}"), "");
    }

    fn batches(&mut self, kind: &str, parts: &str, pushes: Pushes, bare: &Measured, ours: &Measured) {
        let Pushes { changes, clients, .. } = pushes;
        let what = format!("{kind} of {changes}, {clients} client{}", if clients == 1 { "" } else { "s" });
        let show = |m: &Measured| {
            let each = m.per_second * changes as f64;
            format!(
                "{:.1}/s ({each:.0} {parts}/s), p50 {}, p99 {}, cpu {}",
                m.per_second,
                ms(m.p50),
                ms(m.p99),
                ms(m.cpu)
            )
        };
        self.line(&what, &show(ours), &show(bare), &format!("{:.2}", ours.per_second / bare.per_second), "≥ 0.60");
    }

    /// What a request into a long history takes, beside an empty push into an empty one.
    pub(crate) fn history(&mut self, what: &str, bytes: usize, ours: &Measured, empty: &Measured) {
        let show = |m: &Measured| format!("p50 {}, p99 {}, cpu {}", ms(m.p50), ms(m.p99), ms(m.cpu));
        let ratio = ours.p50.as_secs_f64() / empty.p50.as_secs_f64();
        self.line(what, &format!("{bytes} bytes, {}", show(ours)), &show(empty), &format!("{ratio:.2}"), "");
    }

    /// What was passed on to many.
    pub(crate) fn passed(&mut self, what: &str, ours: &Passed, beside: &Passed, goal: &str) {
        let show = |p: &Passed| format!("{:.0} deliveries/s, p50 {}, p99 {}", p.per_second, ms(p.p50), ms(p.p99));
        let ratio = ours.per_second / beside.per_second;
        self.line(what, &show(ours), &show(beside), &format!("{ratio:.2}"), goal);
    }

    pub(crate) fn note(&mut self, what: &str, ours: &str, goal: &str) {
        self.line(what, ours, "", "", goal);
    }

    pub(crate) fn print(&self) {
        println!("| what | tombolo | floor | ratio | goal |\n| --- | --- | --- | --- | --- |");
        for line in self.lines.iter().chain(&self.notes) {
            println!("{line}");
        }
    }
}
