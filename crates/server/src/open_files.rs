//! How many files the process may have open: each connection is one.

use crate::listener::CONNECTIONS_MAX;

/// Files besides connections: the database's, listeners, and connections to PostgreSQL and to mail servers.
const OTHERS: u64 = 1_200;

/// Lets the process open as many files as the system allows it: what it begins with, often 1,024, is meant for programs
/// that could not deal with more.
#[cfg(unix)]
pub(crate) fn allow_all() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limits = getrlimit(Resource::Nofile);
    let wanted = CONNECTIONS_MAX as u64 + OTHERS;
    let raise = |current| setrlimit(Resource::Nofile, Rlimit { current, maximum: limits.maximum }).is_ok();
    let is_less = |current: Option<u64>, than| current.is_some_and(|current| current < than);
    // Some systems take no more than a limit of their own for an answer, and say that there is none.
    if !raise(limits.maximum) && is_less(limits.current, wanted) {
        raise(Some(wanted));
    }
    let allowed = getrlimit(Resource::Nofile).current;
    if is_less(allowed, wanted) {
        tracing::info!(?allowed, wanted, "few files may be open at once: with many connections new ones have to wait");
    }
}

/// Nothing limits them here.
#[cfg(not(unix))]
pub(crate) const fn allow_all() {
    let _ = (CONNECTIONS_MAX, OTHERS);
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_the_system_allows() {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let before = getrlimit(Resource::Nofile);
        // Enough for the other tests of this process.
        let low = before.maximum.map_or(512, |maximum| maximum.min(512));
        setrlimit(Resource::Nofile, Rlimit { current: Some(low), maximum: before.maximum }).unwrap();
        allow_all();
        let after = getrlimit(Resource::Nofile);
        assert_eq!((after.current, after.maximum), (before.maximum, before.maximum));
    }
}
