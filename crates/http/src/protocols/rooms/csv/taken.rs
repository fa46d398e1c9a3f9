//! What the web client takes in of a document.

use super::parse::parse;

/// A document without the rows that have a line break within a value, which the web client skips when it takes one in:
/// it looks for lines before it looks for quotes. `None` when there are none, or it cannot be read.
pub(in super::super) fn taken_in(sent: &str) -> Option<String> {
    let is_whole = |line: &str| line.bytes().filter(|byte| *byte == b'"').count() % 2 == 0;
    if sent.split('\n').all(is_whole) {
        return None;
    }
    let document = parse(sent)?;
    let mut text = String::with_capacity(sent.len());
    for table in &document.tables {
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        text.push_str(table.name.line());
        text.push('\n');
        text.push_str(table.header);
        for row in table.rows.iter().filter(|row| !row.text.contains('\n')) {
            text.push('\n');
            text.push_str(row.text);
        }
    }
    text.push_str(document.tail);
    Some(text)
}
