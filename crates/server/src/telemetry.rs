//! The log: to standard error, as text or JSON. It carries ids, counts and durations, never content.

use std::io::{IsTerminal as _, stderr};

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use crate::config::{LogConfig, LogFormat};

/// Starts the log. To be called once.
pub(crate) fn start(config: LogConfig) {
    let filter = filter(config.level);
    let registry = tracing_subscriber::registry().with(filter);
    match config.format {
        LogFormat::Text => {
            let layer = tracing_subscriber::fmt::layer().with_writer(stderr).with_ansi(stderr().is_terminal());
            registry.with(layer).init();
        }
        LogFormat::Json => {
            let layer = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(stderr);
            registry.with(layer).init();
        }
    }
}

/// Our own events from `level` up. Those of libraries only when they are at least warnings: below that some of them
/// write what they carry.
fn filter(level: Option<Level>) -> Targets {
    let ours = level.map_or(LevelFilter::OFF, LevelFilter::from_level);
    let libraries = ours.min(LevelFilter::WARN);
    // The database driver's warnings may hold a part of its URL.
    Targets::new().with_default(libraries).with_target("sqlx", LevelFilter::OFF).with_target("tombolo", ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_may_warn_and_no_more() {
        let check = |level, target: &str, event, expected: bool| {
            assert_eq!(filter(level).would_enable(target, &event), expected, "{event} of {target} at {level:?}");
        };
        check(Some(Level::TRACE), "tombolo_storage::sqlite", Level::TRACE, true);
        check(Some(Level::TRACE), "hyper", Level::DEBUG, false);
        check(Some(Level::INFO), "hyper", Level::WARN, true);
        check(Some(Level::ERROR), "hyper", Level::WARN, false);
        check(Some(Level::INFO), "tombolo_http", Level::DEBUG, false);
        check(None, "tombolo", Level::ERROR, false);
    }
}
