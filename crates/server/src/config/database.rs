//! Where the data is kept.

use std::fmt;
use std::path::{Path, PathBuf};

use tombolo_storage::postgres::Url;

/// A database as the operator names it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Database {
    /// A file of SQLite.
    Sqlite(PathBuf),
    /// A database of PostgreSQL, by its URL, which may hold a password.
    Postgres(Box<PostgresUrl>),
}

/// A URL that reads. It is compared and never shown whole.
#[derive(Clone)]
pub(crate) struct PostgresUrl {
    text: String,
    pub(crate) url: Url,
}

impl PostgresUrl {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(Self { text: text.to_owned(), url: Url::parse(text).ok()? })
    }
}

impl PartialEq for PostgresUrl {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for PostgresUrl {}

impl Database {
    /// Reads a path, `sqlite://PATH`, or the URL of a PostgreSQL database.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if Url::is_one(text) {
            return PostgresUrl::parse(text).map(|url| Self::Postgres(Box::new(url)));
        }
        let path = text.strip_prefix("sqlite://").unwrap_or(text);
        (!path.is_empty() && !path.contains("://")).then(|| Self::Sqlite(PathBuf::from(path)))
    }

    /// The same, a relative path starting at `folder`.
    pub(crate) fn within(&self, folder: &Path) -> Self {
        match self {
            Self::Sqlite(path) => Self::Sqlite(folder.join(path)),
            Self::Postgres(url) => Self::Postgres(url.clone()),
        }
    }

    /// The file, when it is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }
}

impl fmt::Display for Database {
    /// What may be shown: of a URL, host and database.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(url) => url.url.fmt(f),
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}
