//! The whole of a log in the order of writing, encoded once, and shared by all who read it.

use bytes::Bytes;
use futures_util::stream::BoxStream;
use tombolo_core::Cursor;

use super::Form;
use crate::ServiceError;

/// How the bytes of a reply are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// As they are.
    Identity,
    /// As one member of gzip (RFC 1952).
    Gzip,
}

/// Which history is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// In which form.
    pub form: Form,
    /// How the reader takes it; what is streamed from the store comes as it is.
    pub encoding: Encoding,
    /// Only what was written then or later, in milliseconds since 1970.
    pub from_millis: Option<i64>,
    /// What the reader has already: if it is all, nothing is sent.
    pub known: Option<Cursor>,
}

/// The pieces of a JSON array, in order.
pub type Parts = BoxStream<'static, Result<Bytes, ServiceError>>;

/// An answer.
pub enum History {
    /// The reader has all of it.
    Unchanged(Cursor),
    /// Here it is.
    Shown(Shown),
}

/// A history on its way.
pub struct Shown {
    /// Where the log ended when it was taken: it holds all up to there, and nothing after it.
    pub cursor: Cursor,
    /// How the pieces are encoded.
    pub encoding: Encoding,
    /// How many bytes they are together, where that is known.
    pub bytes: Option<u64>,
    /// The pieces.
    pub parts: Parts,
}
