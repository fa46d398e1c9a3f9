//! Which replies are compressed.

use axum::http::{Extensions, HeaderMap, StatusCode, Version};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, Predicate};

/// Stands among the extensions of a response whose body is sent as it is: one that is made while it is sent would keep a
/// compressor, some 600 KB, for as long as its reader takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Uncompressed;

/// Compresses what is worth it for whoever takes it.
pub(crate) fn compression() -> CompressionLayer<impl Predicate> {
    CompressionLayer::new().compress_when(DefaultPredicate::new().and(is_to_be_compressed))
}

fn is_to_be_compressed(_: StatusCode, _: Version, _: &HeaderMap, extensions: &Extensions) -> bool {
    extensions.get::<Uncompressed>().is_none()
}
