//! Which tables are synced, and how their columns are named to others.

/// A table of the app whose rows are synced.
#[derive(Clone, Debug)]
pub struct Table {
    pub(crate) name: String,
    pub(crate) entity_type: String,
    pub(crate) id: String,
    pub(crate) updated_at: String,
    pub(crate) deleted_at: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) unique_name: Option<String>,
}

/// A column that is synced, and the field of the record that it is.
#[derive(Clone, Debug)]
pub struct Column {
    pub(crate) name: String,
    pub(crate) field: String,
    pub(crate) kind: Kind,
}

/// How a column's values stand in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A number, a text or nothing, as it is.
    Plain,
    /// 0 or 1, which is false or true.
    Boolean,
    /// A text that is JSON.
    Json,
    /// A time, as SQLite writes it.
    Time,
}

impl Table {
    /// The table `name`, whose rows are records of `entity_type`. Its columns `id`, `updated_at` and `deleted_at` (times as text;
    /// a row whose `deleted_at` is not null is gone) are there unless said otherwise.
    ///
    /// The id is a UUID as text, in lower case and with hyphens: a row with any other is set aside.
    #[must_use]
    pub fn new(name: &str, entity_type: &str) -> Self {
        Self {
            name: name.to_owned(),
            entity_type: entity_type.to_owned(),
            id: "id".to_owned(),
            updated_at: "updated_at".to_owned(),
            deleted_at: "deleted_at".to_owned(),
            columns: Vec::new(),
            unique_name: None,
        }
    }

    /// Names the column of the id.
    #[must_use]
    pub fn id(mut self, column: &str) -> Self {
        column.clone_into(&mut self.id);
        self
    }

    /// Names the column of the time of the last edit.
    #[must_use]
    pub fn updated_at(mut self, column: &str) -> Self {
        column.clone_into(&mut self.updated_at);
        self
    }

    /// Names the column of the time of the deletion.
    #[must_use]
    pub fn deleted_at(mut self, column: &str) -> Self {
        column.clone_into(&mut self.deleted_at);
        self
    }

    /// Adds a column that is synced.
    #[must_use]
    pub fn column(mut self, column: Column) -> Self {
        self.columns.push(column);
        self
    }

    /// Says that no two live rows may have one value of `column`, a text: of two that were made on different devices,
    /// the one with the greater id is renamed.
    #[must_use]
    pub fn unique_name(mut self, column: &str) -> Self {
        self.unique_name = Some(column.to_owned());
        self
    }
}

impl Column {
    fn new(name: &str, kind: Kind) -> Self {
        Self { name: name.to_owned(), field: name.to_owned(), kind }
    }

    /// A number or a text, kept as it is.
    #[must_use]
    pub fn plain(name: &str) -> Self {
        Self::new(name, Kind::Plain)
    }

    /// 0 or 1, which others see as false or true.
    #[must_use]
    pub fn boolean(name: &str) -> Self {
        Self::new(name, Kind::Boolean)
    }

    /// A text of JSON, which others see as what it says.
    #[must_use]
    pub fn json(name: &str) -> Self {
        Self::new(name, Kind::Json)
    }

    /// A time in UTC, in any spelling that SQLite reads, which others see as RFC 3339.
    #[must_use]
    pub fn time(name: &str) -> Self {
        Self::new(name, Kind::Time)
    }

    /// Names the field of the record, where it is not called as the column is.
    ///
    /// `outer.inner` is the member `inner` of the object `outer`, whose other members are kept: `metadata.created_at` is
    /// when the record was made, which is its last edit where nobody says it.
    #[must_use]
    pub fn field(mut self, field: &str) -> Self {
        field.clone_into(&mut self.field);
        self
    }
}
