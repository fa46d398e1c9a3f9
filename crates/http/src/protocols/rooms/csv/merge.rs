//! Two documents that were made of one, brought together row by row and value by value.

use std::collections::HashMap;

use super::parse::{Column, Document, Row, Table, TableName, meaning, parse, values};

/// Ids go up to what the web client's numbers hold exactly.
const ID_MAX: u64 = (1 << 53) - 1;

/// Brings together two documents that were both made of `base`; `None` when one of the three cannot be read.
///
/// A row is the same in all of them by its id, unless it says to have been made at another time. What one side alone
/// changed is taken from it; where both changed one value, `mine` wins. A row that one side deleted is gone, unless the
/// other changed it. Rows that both sides added under one id both stay: that of `mine` gets the next free id, and what
/// `mine` refers to by the old one follows.
pub(in super::super) fn merge(base: &str, theirs: &str, mine: &str) -> Option<String> {
    let documents = [parse(base)?, parse(theirs)?, parse(mine)?];
    if documents[1..].iter().any(|document| document.tables.is_empty()) {
        // Nothing is what a client says that has no data at all: it does not say that all were deleted.
        return None;
    }
    if theirs == base || theirs == mine {
        return Some(mine.to_owned());
    }
    if mine == base {
        return Some(theirs.to_owned());
    }
    combine(&documents)
}

/// The three documents' rows, brought together; `None` when their columns differ, or an id is wanted that none is like.
pub(super) fn combine([of_base, of_theirs, of_mine]: &[Document<'_>; 3]) -> Option<String> {
    let only_mine = of_mine.tables.iter().filter(|table| of_theirs.table(table.name).is_none());
    let names = of_theirs.tables.iter().chain(only_mine).map(|table| table.name);
    let sides = names.map(|name| Sides::of(name, of_base, of_theirs, of_mine)).collect::<Option<Vec<_>>>()?;
    let kept = sides.iter().map(Sides::keep).collect::<Option<Vec<_>>>()?;
    let renumbered = sides.iter().zip(&kept).map(|(sides, kept)| renumbered(sides.name, kept)).collect();
    let mut merged = Writer { text: String::new(), renumbered };
    for (sides, kept) in sides.iter().zip(&kept) {
        merged.table(sides, kept);
    }
    merged.text.push_str(of_mine.tail);
    Some(merged.text)
}

/// How many rows two documents do not have in common; `None` when one of them cannot be read.
pub(in super::super) fn distance(one: &str, other: &str) -> Option<usize> {
    let one_read = parse(one)?;
    if one == other {
        return Some(0);
    }
    let other_read = parse(other)?;
    let rows = |table: Option<&Table<'_>>| table.map_or(0, |table| table.rows.len());
    let of_table = |name: TableName| match (one_read.table(name), other_read.table(name)) {
        (Some(one), Some(other)) if one.header == other.header => {
            let pairs = one.rows.iter().filter_map(|row| Some((*row, other.row(row.id)?)));
            let (mut shared, mut equal) = (0, 0);
            for (row, its_like) in pairs {
                shared += 1;
                equal += usize::from(!is_changed(&one.columns, row, its_like));
            }
            one.rows.len() + other.rows.len() - shared - equal
        }
        (one, other) => rows(one) + rows(other),
    };
    Some(TableName::ALL.into_iter().map(of_table).sum())
}

/// One table in all three documents; where one lacks it, it has no rows there.
struct Sides<'d, 'a> {
    name: TableName,
    header: &'a str,
    columns: &'d [Column],
    base: Option<&'d Table<'a>>,
    theirs: Option<&'d Table<'a>>,
    mine: Option<&'d Table<'a>>,
}

/// A row that stays.
enum Kept<'a> {
    /// As it is on their side.
    Theirs(Row<'a>),
    /// What both sides have, made of what was there before them, if it was.
    Both { base: Option<Row<'a>>, theirs: Row<'a>, mine: Row<'a> },
    /// As it is on my side; under another id, where theirs keeps a row of its own.
    Mine { base: Option<Row<'a>>, row: Row<'a>, new_id: Option<String> },
}

impl<'d, 'a> Sides<'d, 'a> {
    /// The table called `name`; `None` when its columns differ.
    fn of(name: TableName, base: &'d Document<'a>, theirs: &'d Document<'a>, mine: &'d Document<'a>) -> Option<Self> {
        let (base, theirs, mine) = (base.table(name), theirs.table(name), mine.table(name));
        let any = theirs.or(mine)?;
        let is_one = [base, theirs, mine].into_iter().flatten().all(|table| table.header == any.header);
        is_one.then_some(Self { name, header: any.header, columns: &any.columns, base, theirs, mine })
    }

    /// Decides which rows stay, in their order: theirs first. `None` when one needs another id and ids are no numbers.
    fn keep(&self) -> Option<Vec<Kept<'a>>> {
        let stay = rows(self.theirs).iter().filter(|theirs| self.stays(**theirs));
        let of_theirs = stay.map(|&theirs| match self.in_mine(theirs) {
            Some(mine) => Kept::Both { base: self.in_base(theirs), theirs, mine },
            None => Kept::Theirs(theirs),
        });
        let mut kept: Vec<Kept<'a>> = of_theirs.collect();
        let mut next_id = None;
        for &row in rows(self.mine) {
            let base = self.in_base(row);
            let is_deleted = base.is_some_and(|base| !is_changed(self.columns, base, row));
            if is_deleted || self.in_theirs(row).is_some() {
                continue;
            }
            let is_taken = row_of(self.theirs, row.id).is_some_and(|theirs| self.stays(theirs));
            let new_id = if is_taken { Some(self.take_id(&mut next_id)?) } else { None };
            kept.push(Kept::Mine { base, row, new_id });
        }
        Some(kept)
    }

    /// Whether a row of theirs stays: my side has it too, or it is new or changed.
    fn stays(&self, theirs: Row<'a>) -> bool {
        let is_changed = |base| is_changed(self.columns, base, theirs);
        self.in_mine(theirs).is_some() || self.in_base(theirs).is_none_or(is_changed)
    }

    fn in_base(&self, row: Row<'a>) -> Option<Row<'a>> {
        row_of(self.base, row.id).filter(|base| made_at_once(self.columns, *base, row) != Some(false))
    }

    fn in_theirs(&self, mine: Row<'a>) -> Option<Row<'a>> {
        row_of(self.theirs, mine.id).filter(|theirs| self.is_one(*theirs, mine))
    }

    fn in_mine(&self, theirs: Row<'a>) -> Option<Row<'a>> {
        row_of(self.mine, theirs.id).filter(|mine| self.is_one(theirs, *mine))
    }

    /// Whether two rows of one id are one row: they were made at one time, or, where they do not say when, they come
    /// from one row, or say the same.
    fn is_one(&self, theirs: Row<'a>, mine: Row<'a>) -> bool {
        made_at_once(self.columns, theirs, mine)
            .unwrap_or_else(|| row_of(self.base, mine.id).is_some() || !is_changed(self.columns, theirs, mine))
    }

    /// An id that no side has: `next`, or the first of them.
    fn take_id(&self, next: &mut Option<u64>) -> Option<String> {
        let highest = || {
            let mut ids = [self.base, self.theirs, self.mine].into_iter().flat_map(rows).map(|row| number(row.id));
            ids.try_fold(0, |highest, id| Some(id?.max(highest)))
        };
        let id = next.or_else(|| Some(highest()? + 1)).filter(|id| *id <= ID_MAX)?;
        *next = Some(id + 1);
        Some(id.to_string())
    }
}

/// The ids of my side that are others now, by table.
type Renumbered<'k> = Vec<(TableName, HashMap<&'k str, &'k str>)>;

fn renumbered<'k>(name: TableName, kept: &'k [Kept<'_>]) -> (TableName, HashMap<&'k str, &'k str>) {
    let new_id = |kept: &'k Kept<'_>| match kept {
        Kept::Mine { row, new_id: Some(new_id), .. } => Some((row.id, new_id.as_str())),
        Kept::Mine { .. } | Kept::Theirs(_) | Kept::Both { .. } => None,
    };
    (name, kept.iter().filter_map(new_id).collect())
}

/// The merged document, as far as it is written.
struct Writer<'k> {
    text: String,
    renumbered: Renumbered<'k>,
}

impl Writer<'_> {
    fn table(&mut self, sides: &Sides<'_, '_>, kept: &[Kept<'_>]) {
        if !self.text.is_empty() {
            self.text.push_str("\n\n");
        }
        self.text.push_str(sides.name.line());
        self.text.push('\n');
        self.text.push_str(sides.header);
        for row in kept {
            self.text.push('\n');
            match row {
                Kept::Theirs(row) => self.text.push_str(row.text),
                Kept::Both { base, theirs, mine } => self.both(sides.columns, *base, *theirs, *mine),
                Kept::Mine { base, row, new_id } => self.mine(sides.columns, *base, *row, new_id.as_deref()),
            }
        }
    }

    fn both(&mut self, columns: &[Column], base: Option<Row<'_>>, theirs: Row<'_>, mine: Row<'_>) {
        let mut before = values_of(base);
        for (index, (column, (theirs, mine))) in
            columns.iter().zip(values(theirs.text).zip(values(mine.text))).enumerate()
        {
            let before = before.next().unwrap_or_default();
            self.comma(index);
            match column {
                Column::UpdatedAt if meaning(theirs) > meaning(mine) => self.text.push_str(theirs),
                Column::UpdatedAt => self.text.push_str(mine),
                _ if says_the_same(before, mine) => self.text.push_str(theirs),
                column => self.value(*column, mine),
            }
        }
    }

    fn mine(&mut self, columns: &[Column], base: Option<Row<'_>>, row: Row<'_>, new_id: Option<&str>) {
        let mut before = values_of(base);
        for (index, (column, mine)) in columns.iter().zip(values(row.text)).enumerate() {
            let before = before.next().unwrap_or_default();
            self.comma(index);
            match (column, new_id) {
                (Column::Id, Some(new_id)) => self.text.push_str(new_id),
                _ if says_the_same(before, mine) => self.text.push_str(mine),
                (column, _) => self.value(*column, mine),
            }
        }
    }

    fn comma(&mut self, index: usize) {
        if index > 0 {
            self.text.push(',');
        }
    }

    /// Writes what my side says. What it refers to may have another id now; ids are numbers then, so that a list of
    /// them needs no other quotes than it had.
    fn value(&mut self, column: Column, mine: &str) {
        let new_ids = |name| self.renumbered.iter().find(|(table, new)| *table == name && !new.is_empty());
        let Column::RefersTo(name) = column else { return self.text.push_str(mine) };
        let Some((_, new_ids)) = new_ids(name) else { return self.text.push_str(mine) };
        for piece in mine.split_inclusive(|c: char| !c.is_alphanumeric()) {
            let word = piece.trim_end_matches(|c: char| !c.is_alphanumeric());
            self.text.push_str(new_ids.get(word).copied().unwrap_or(word));
            self.text.push_str(&piece[word.len()..]);
        }
    }
}

fn rows<'d, 'a>(table: Option<&'d Table<'a>>) -> &'d [Row<'a>] {
    table.map_or(&[], |table| &table.rows)
}

fn row_of<'a>(table: Option<&Table<'a>>, id: &str) -> Option<Row<'a>> {
    table?.row(id)
}

fn values_of<'a>(row: Option<Row<'a>>) -> impl Iterator<Item = &'a str> {
    row.into_iter().flat_map(|row| values(row.text))
}

/// Whether two rows were made at one time; `None` where one does not say when.
fn made_at_once(columns: &[Column], one: Row<'_>, other: Row<'_>) -> Option<bool> {
    let at = columns.iter().position(|column| *column == Column::CreatedAt)?;
    let (one, other) = (meaning(values(one.text).nth(at)?), meaning(values(other.text).nth(at)?));
    (!one.is_empty() && !other.is_empty()).then(|| one == other)
}

/// Whether somebody changed a row, and did not only take it in.
fn is_changed(columns: &[Column], before: Row<'_>, after: Row<'_>) -> bool {
    let differs = |(column, (before, after)): (&Column, (&str, &str))| {
        *column != Column::UpdatedAt && !says_the_same(before, after)
    };
    before.text != after.text && columns.iter().zip(values(before.text).zip(values(after.text))).any(differs)
}

fn says_the_same(one: &str, other: &str) -> bool {
    one == other || meaning(one) == meaning(other)
}

/// An id as a number, if that is how the web client would write it.
fn number(id: &str) -> Option<u64> {
    let is_one = id.bytes().all(|byte| byte.is_ascii_digit()) && !id.starts_with('0');
    id.parse().ok().filter(|number| is_one && *number < ID_MAX)
}
