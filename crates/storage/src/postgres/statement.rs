//! A statement that is put together from parts, with its values.

use sqlx::postgres::{PgArguments, PgConnection, PgHasArrayType, PgRow};
use sqlx::{Arguments as _, AssertSqlSafe, Encode, Postgres, Type};

use super::connection::failed;
use crate::StoreError;

/// SQL with numbered places, and what stands in them. What depends on a value is bound; only the choice of parts
/// depends on what there is to do, so that a connection comes to know some dozens of texts, and keeps them prepared.
#[derive(Default)]
pub(crate) struct Statement {
    pub(super) sql: String,
    pub(super) arguments: PgArguments,
}

impl Statement {
    /// Adds text.
    pub(crate) fn push(&mut self, sql: &str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    /// Adds a value, and returns what stands for it in the text.
    ///
    /// # Errors
    /// [`StoreError::Internal`] when the value cannot be written down, which no value of ours is.
    pub(crate) fn bind<'v, T>(&mut self, value: T) -> Result<String, StoreError>
    where
        T: 'v + Encode<'v, Postgres> + Type<Postgres>,
    {
        self.arguments.add(value).map_err(|error| StoreError::Internal(format!("a value cannot be bound: {error}")))?;
        Ok(format!("${}", self.arguments.len()))
    }

    /// Runs it, and gives every row to `read`.
    pub(crate) async fn rows<T>(
        self,
        connection: &mut PgConnection,
        read: impl FnMut(PgRow) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let query = sqlx::query_with(AssertSqlSafe(self.sql), self.arguments);
        let rows = query.fetch_all(connection).await.map_err(failed)?;
        rows.into_iter().map(read).collect()
    }

    /// Runs it, and says how many rows its last part wrote or found.
    pub(crate) async fn execute(self, connection: &mut PgConnection) -> Result<u64, StoreError> {
        let query = sqlx::query_with(AssertSqlSafe(self.sql), self.arguments);
        Ok(query.execute(connection).await.map_err(failed)?.rows_affected())
    }
}

/// The columns of some rows of values, all of one length.
///
/// Many rows are bound as an array a column; few are written out, since to unpack an array costs PostgreSQL more than to
/// look up what is in it.
pub(super) struct Rows {
    count: usize,
    columns: Vec<Vec<String>>,
}

/// Rows that are written out. Each number of them makes another text.
const WRITTEN_OUT_MAX: usize = 4;

impl Rows {
    pub(super) fn new() -> Self {
        Self { count: 0, columns: Vec::new() }
    }

    /// Adds a column.
    ///
    /// # Errors
    /// As [`Statement::bind`].
    pub(super) fn column<'v, T>(mut self, statement: &mut Statement, values: Vec<T>) -> Result<Self, StoreError>
    where
        T: 'v + Encode<'v, Postgres> + Type<Postgres> + PgHasArrayType,
        Vec<T>: Encode<'v, Postgres>,
    {
        debug_assert!(self.columns.is_empty() || self.count == values.len());
        self.count = values.len();
        let places = if self.is_written_out() {
            values.into_iter().map(|value| statement.bind(value)).collect::<Result<_, _>>()?
        } else {
            vec![statement.bind(values)?]
        };
        self.columns.push(places);
        Ok(self)
    }

    fn is_written_out(&self) -> bool {
        (1..=WRITTEN_OUT_MAX).contains(&self.count)
    }

    /// The rows as something to select from, called `name` with its columns' names.
    pub(super) fn from(&self, name: &str) -> String {
        if !self.is_written_out() {
            let arrays: Vec<&str> = self.columns.iter().map(|column| column[0].as_str()).collect();
            return format!("unnest({}) {name}", arrays.join(", "));
        }
        let row = |at: usize| {
            let values: Vec<&str> = self.columns.iter().map(|column| column[at].as_str()).collect();
            format!("({})", values.join(", "))
        };
        let rows: Vec<String> = (0..self.count).map(row).collect();
        format!("(VALUES {}) {name}", rows.join(", "))
    }
}
