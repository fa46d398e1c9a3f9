//! A statement that is put together from parts, with its values.

use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::{Arguments as _, AssertSqlSafe, Encode, Postgres, Type};

use super::connection::failed;
use crate::StoreError;

/// SQL with numbered places, and what stands in them. What depends on a value is bound; only the choice of parts
/// depends on what there is to do, so that a connection comes to know some dozens of texts, and keeps them prepared.
#[derive(Default)]
pub(crate) struct Statement {
    sql: String,
    arguments: PgArguments,
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
