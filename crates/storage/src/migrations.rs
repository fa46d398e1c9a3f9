//! Which migrations a database still lacks: numbered files, applied in order, never edited after release.

use crate::StoreError;

/// Those of `migrations` that a database of schema `found` lacks.
///
/// # Errors
/// [`StoreError::Newer`] when a later version wrote it.
pub(crate) fn pending<'m>(found: i64, migrations: &'m [&'static str]) -> Result<&'m [&'static str], StoreError> {
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    let done = usize::try_from(found).map_err(|_| StoreError::Corrupt("its schema version is negative".to_owned()))?;
    Ok(&migrations[done..])
}
