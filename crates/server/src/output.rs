//! What people and scripts read: the only place that writes to standard output and standard error by itself.

use std::io::{IsTerminal as _, Write as _};

use serde::Serialize;

/// Prints one line. Whoever closed the other end, as `head` does, does not want it.
pub(crate) fn say(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints a text as it is, without a line's end of its own.
///
/// # Errors
/// When it could not be written whole: the text is somebody's data.
pub(crate) fn hand_over(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
}

/// Prints a line for people who read along, where scripts do not look.
pub(crate) fn remark(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Prints a line for people who read along over the one before, where they are at a terminal; `false` elsewhere.
pub(crate) fn redraw(line: impl std::fmt::Display) -> bool {
    let mut stderr = std::io::stderr();
    let is_terminal = stderr.is_terminal();
    if is_terminal {
        // To the line's start, and without what was longer.
        let _ = write!(stderr, "\r\x1b[K{line}").and_then(|()| stderr.flush());
    }
    is_terminal
}

/// Prints why a command did nothing, with its causes on the same line.
pub(crate) fn complain(error: &anyhow::Error) {
    remark(format_args!("tombolo: {error:#}"));
}

/// Prints a value as one line of JSON.
///
/// # Errors
/// None for the values that the commands print.
pub(crate) fn say_json(value: &impl Serialize) -> anyhow::Result<()> {
    say(serde_json::to_string(value)?);
    Ok(())
}

/// Prints rows as aligned columns under their titles, or `otherwise` when there are none.
pub(crate) fn say_table<const N: usize>(titles: [&str; N], rows: &[[String; N]], otherwise: &str) {
    if rows.is_empty() {
        return say(otherwise);
    }
    for line in table(titles, rows) {
        say(line);
    }
}

fn table<const N: usize>(titles: [&str; N], rows: &[[String; N]]) -> Vec<String> {
    let titles = titles.map(str::to_owned);
    let lines = || std::iter::once(&titles).chain(rows);
    let widths: [usize; N] =
        std::array::from_fn(|column| lines().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let write = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines().map(write).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [["phone".to_owned(), "ann".to_owned()], ["Großmutter".to_owned(), String::new()]];
        assert_eq!(table(["NAME", "USER"], &rows), ["NAME        USER", "phone       ann", "Großmutter"]);
    }
}
