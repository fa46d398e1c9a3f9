//! The text that Prometheus reads.

/// Brings OpenMetrics, which the library writes, into the older format, which every scraper and every person reads: a
/// counter's description bears the name of its samples there, and nothing marks the end.
pub(super) fn classic(open: &str) -> String {
    let mut text = String::with_capacity(open.len());
    let mut help = None;
    for line in open.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
            continue;
        }
        let Some(rest) = line.strip_prefix("# TYPE ") else {
            if !line.starts_with("# EOF") {
                text.push_str(line);
                text.push('\n');
            }
            continue;
        };
        let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
        let suffix = if kind == "counter" { "_total" } else { "" };
        if let Some((_, help)) = help.take() {
            text.push_str(&format!("# HELP {name}{suffix} {help}\n"));
        }
        text.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
    }
    text
}
