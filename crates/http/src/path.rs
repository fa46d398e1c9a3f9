//! One form for every path: clients are configured by people, who add slashes and prefixes.

use axum::http::Uri;
use axum::http::uri::PathAndQuery;

/// The prefix that is always taken: people put the app's name into the URL.
const APP_PREFIX: &str = "/tickit";

/// How a path begins in which a key stands, which is never taken for a prefix: whatever a proxy stripped before, the
/// key is not lost.
const KEY_START: &str = "/k/rk_";

/// Folds doubled slashes, drops one at the end, and strips `/tickit` or the configured prefix. Never a redirect: those
/// lose the body of a POST.
pub(crate) fn normalise(uri: &Uri, prefix: Option<&str>) -> Option<Uri> {
    let path = uri.path();
    let mut folded = String::with_capacity(path.len());
    for part in path.split('/').filter(|part| !part.is_empty()) {
        folded.push('/');
        folded.push_str(part);
    }
    let mut rest = folded.as_str();
    for prefix in prefix.into_iter().chain([APP_PREFIX]) {
        if rest.starts_with(KEY_START) {
            break;
        }
        rest = rest.strip_prefix(prefix.trim_end_matches('/')).filter(|rest| rest.starts_with('/')).unwrap_or(rest);
    }
    let rest = if rest.is_empty() { "/" } else { rest };
    if rest == path {
        return None;
    }
    let text = uri.query().map_or_else(|| rest.to_owned(), |query| format!("{rest}?{query}"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_path_is_one() {
        let check = |path: &str, prefix: Option<&str>, expected: &str| {
            let uri: Uri = path.parse().unwrap();
            assert_eq!(normalise(&uri, prefix).unwrap_or(uri).to_string(), expected, "{path} under {prefix:?}");
        };
        check("/api/v1/sync", None, "/api/v1/sync");
        check("//api/v1/sync", None, "/api/v1/sync");
        check("/tickit/api/v1/sync", None, "/api/v1/sync");
        check("/tickit//api/v1/sync/", None, "/api/v1/sync");
        check("/tickit//health?x=1", None, "/health?x=1");
        check("/sync/api/v1/sync", Some("/sync"), "/api/v1/sync");
        check("/sync/tickit/api/v1/sync", Some("/sync/"), "/api/v1/sync");
        check("/k/rk_a/ws", None, "/k/rk_a/ws");
        check("//sync//k//rk_a//api/rooms/", Some("/sync"), "/k/rk_a/api/rooms");
        check("/tickit/k/rk_a/", None, "/k/rk_a");
        check("/k/k/rk_a/ws", Some("/k"), "/k/rk_a/ws");
        check("/k/rk_a/ws", Some("/k"), "/k/rk_a/ws");
        check("/k/health", Some("/k"), "/health");
        check("/tickitly/api", None, "/tickitly/api");
        check("/tickit", None, "/tickit");
        check("/", None, "/");
        check("///", None, "/");
    }
}
