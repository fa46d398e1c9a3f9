//! A document as its tables, and a table as its rows.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// Rows of one document: a task takes a hundred bytes, so more are none of the web client's, and would take far more
/// memory than they are long.
const ROWS_MAX: usize = 100_000;

/// A document.
pub(super) struct Document<'a> {
    /// Its tables, in their order.
    pub(super) tables: Vec<Table<'a>>,
    /// The line breaks after the last one.
    pub(super) tail: &'a str,
}

/// Which table of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TableName {
    Tasks,
    Projects,
    Assignees,
    Sprints,
}

/// A table.
pub(super) struct Table<'a> {
    pub(super) name: TableName,
    /// The line that names its columns.
    pub(super) header: &'a str,
    /// What those are.
    pub(super) columns: Vec<Column>,
    /// Its rows, in their order.
    pub(super) rows: Vec<Row<'a>>,
    /// Where each id stands.
    places: HashMap<&'a str, usize>,
}

/// What a column is, as far as it matters to merging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// What tells rows apart.
    Id,
    /// Tells rows apart that have one id: two devices made them at once.
    CreatedAt,
    /// Is written anew whenever a document is taken in.
    UpdatedAt,
    /// Ids of another table's rows.
    RefersTo(TableName),
    /// Anything else.
    Plain,
}

/// A row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    /// Its id, as it is written.
    pub(super) id: &'a str,
    /// All of it, as it is written.
    pub(super) text: &'a str,
}

/// A line of values, which may go over several lines where they stand in quotes.
struct Line<'a> {
    text: &'a str,
    /// What comes after the line's end.
    rest: &'a str,
}

/// Reads a document; `None` when it is none of the web client's. The empty one has no tables.
pub(super) fn parse(text: &str) -> Option<Document<'_>> {
    let body = text.trim_end_matches('\n');
    let mut tables: Vec<Table<'_>> = Vec::new();
    let (mut rest, mut rows_left) = (body, ROWS_MAX);
    while !rest.is_empty() {
        let (table, after) = Table::parse(rest, rows_left)?;
        if tables.iter().any(|known| known.name == table.name) {
            return None;
        }
        rows_left -= table.rows.len();
        rest = after.trim_start_matches('\n');
        tables.push(table);
    }
    Some(Document { tables, tail: &text[body.len()..] })
}

impl<'a> Document<'a> {
    /// The table of this name, if it is there.
    pub(super) fn table(&self, name: TableName) -> Option<&Table<'a>> {
        self.tables.iter().find(|table| table.name == name)
    }
}

impl TableName {
    /// All tables that a document may have.
    pub(super) const ALL: [Self; 4] = [Self::Tasks, Self::Projects, Self::Assignees, Self::Sprints];

    /// The line that stands above the table.
    pub(super) const fn line(self) -> &'static str {
        match self {
            Self::Tasks => "# TASKS",
            Self::Projects => "# PROJECTS",
            Self::Assignees => "# ASSIGNEES",
            Self::Sprints => "# SPRINTS",
        }
    }

    /// What a column of the table is. Projects are referred to by their names, which do not change here.
    fn column(self, name: &str) -> Column {
        match (self, name) {
            (_, "id") => Column::Id,
            (_, "created_at") => Column::CreatedAt,
            (_, "updated_at") => Column::UpdatedAt,
            (Self::Tasks, "assignee_id" | "assignee_ids") => Column::RefersTo(Self::Assignees),
            (Self::Tasks, "sprint_id") => Column::RefersTo(Self::Sprints),
            _ => Column::Plain,
        }
    }
}

impl<'a> Table<'a> {
    /// Reads the table that `text` begins with, up to an empty line, and says what comes then.
    fn parse(text: &'a str, rows_max: usize) -> Option<(Self, &'a str)> {
        let (first, rest) = text.split_once('\n')?;
        let name = TableName::ALL.into_iter().find(|name| name.line() == first)?;
        let Line { text: header, mut rest } = Line::take(rest)?;
        let mut names = HashSet::new();
        let is_new = |value: &'a str| names.insert(meaning(value));
        if !values(header).all(is_new) {
            return None;
        }
        let columns: Vec<Column> = values(header).map(|value| name.column(&meaning(value))).collect();
        let id_at = columns.iter().position(|column| *column == Column::Id)?;
        let mut table = Self { name, header, columns, rows: Vec::new(), places: HashMap::new() };
        while !rest.is_empty() && !rest.starts_with('\n') {
            let line = Line::take(rest)?;
            rest = line.rest;
            let is_one_more = table.rows.len() < rows_max && table.push(line.text, id_at);
            if !is_one_more {
                return None;
            }
        }
        Some((table, rest))
    }

    /// Adds a row; `false` when it does not fit the columns, or its id is none or is there already.
    fn push(&mut self, text: &'a str, id_at: usize) -> bool {
        let (mut id, mut count) = ("", 0);
        for value in values(text) {
            if count == id_at {
                id = value;
            }
            count += 1;
        }
        let fits = count == self.columns.len() && !meaning(id).is_empty();
        let is_new = fits && self.places.insert(id, self.rows.len()).is_none();
        self.rows.push(Row { id, text });
        is_new
    }

    /// The row with this id.
    pub(super) fn row(&self, id: &str) -> Option<Row<'a>> {
        self.places.get(id).map(|place| self.rows[*place])
    }
}

impl<'a> Line<'a> {
    /// The line that `text` begins with; `None` when it is not written as one.
    fn take(text: &'a str) -> Option<Self> {
        let mut end = end_of_value(text)?;
        while text[end..].starts_with(',') {
            end += 1;
            end += end_of_value(&text[end..])?;
        }
        let rest = &text[end..];
        Some(Self { text: &text[..end], rest: rest.strip_prefix('\n').unwrap_or(rest) })
    }
}

/// Where the value ends that `text` begins with: at a comma, at a line break, or with the text. `None` when it has a
/// quote where none may stand.
fn end_of_value(text: &str) -> Option<usize> {
    let ends_at = |at: usize| matches!(text.as_bytes().get(at), None | Some(b',' | b'\n')).then_some(at);
    if !text.starts_with('"') {
        return ends_at(text.find([',', '\n', '"']).unwrap_or(text.len()));
    }
    let mut at = 1;
    loop {
        let after = at + text[at..].find('"')? + 1;
        if !text[after..].starts_with('"') {
            return ends_at(after);
        }
        at = after + 1;
    }
}

/// The values of a line that was taken, as they are written.
pub(super) fn values(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = end_of_value(text).unwrap_or(text.len());
        rest = text[end..].strip_prefix(',');
        Some(&text[..end])
    })
}

/// What a value says.
pub(super) fn meaning(value: &str) -> Cow<'_, str> {
    match value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) if inner.contains('"') => Cow::Owned(inner.replace("\"\"", "\"")),
        Some(inner) => Cow::Borrowed(inner),
        None => Cow::Borrowed(value),
    }
}
