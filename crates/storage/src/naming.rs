//! Names that are free: a slug among its creator's, a key's among its user's, a user's where only an address is known.

use std::collections::HashSet;

use tombolo_core::{EmailAddress, Name, UserId, limits};

use crate::StoreError;

/// Names that are tried for a user of whom only the address is known. Whoever has taken them all did it on purpose.
const ACCOUNT_NAMES_MAX: usize = 8;

/// `wished`, or the first of `wished-2`, `wished-3`, … that is not among `taken`.
pub(crate) fn free_slug(wished: &str, taken: &HashSet<String>) -> String {
    let numbered = (2..=taken.len() + 2).map(|n| format!("{wished}-{n}"));
    let mut all = std::iter::once(wished.to_owned()).chain(numbered);
    all.find(|slug| !taken.contains(slug)).expect("there are more numbers than taken slugs")
}

/// `wished`, or the first of `wished (2)`, `wished (3)`, … that is not among `taken`; cut where that would be too long.
pub(crate) fn free_name(wished: &Name, taken: &HashSet<Name>) -> Name {
    let numbered = (2..=taken.len() + 2).map(|n| {
        let number = format!(" ({n})");
        let stem = cut(wished.as_str(), limits::NAME_BYTES_MAX - number.len());
        Name::parse(&format!("{stem}{number}")).expect("a name that was cut and numbered is one")
    });
    let mut all = std::iter::once(wished.clone()).chain(numbered);
    all.find(|name| !taken.contains(name)).expect("there are more numbers than taken names")
}

/// The beginning of `text`, in at most `bytes_max` bytes, without space at its end.
fn cut(text: &str, bytes_max: usize) -> &str {
    text[..text.floor_char_boundary(bytes_max)].trim_end()
}

/// The names to try for `user`, of whom only the address is known, in this order: the address itself, where it is one.
pub(crate) fn account_names(email: &EmailAddress, user: UserId) -> impl Iterator<Item = Name> + use<> {
    let numbered = (1..ACCOUNT_NAMES_MAX).map(move |n| {
        let text = if n == 1 { format!("account-{user}") } else { format!("account-{user}-{n}") };
        Name::parse(&text).expect("a word and two numbers are a name")
    });
    Name::parse(email.as_str()).ok().into_iter().chain(numbered)
}

/// None of [`account_names`] was free.
pub(crate) fn no_account_name() -> StoreError {
    StoreError::Internal("no name is free for a new account".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_free_slug_is_taken() {
        let check = |taken: &[&str], expected: &str| {
            let taken = taken.iter().map(|slug| (*slug).to_owned()).collect();
            assert_eq!(free_slug("app", &taken), expected);
        };
        check(&[], "app");
        check(&["app-2", "apps"], "app");
        check(&["app"], "app-2");
        check(&["app", "app-2", "app-4"], "app-3");
    }

    #[test]
    fn the_first_free_name_is_taken_and_none_grows_too_long() {
        let check = |wished: &str, taken: &[&str], expected: &str| {
            let taken = taken.iter().map(|name| Name::parse(name).unwrap()).collect();
            assert_eq!(free_name(&Name::parse(wished).unwrap(), &taken).as_str(), expected);
        };
        check("laptop", &["desk"], "laptop");
        check("laptop", &["laptop"], "laptop (2)");
        check("laptop", &["laptop", "laptop (2)"], "laptop (3)");
        let long = "é".repeat(limits::NAME_BYTES_MAX / 2);
        check(&long, &[&long], &format!("{} (2)", "é".repeat(48)));
        let spaced = format!("{} {}", "x".repeat(95), "y".repeat(4));
        check(&spaced, &[&spaced], &format!("{} (2)", "x".repeat(95)));
    }

    #[test]
    fn an_account_is_named_as_its_address_where_that_is_a_name() {
        let names = |email: &str| -> Vec<String> {
            let email = EmailAddress::parse(email).unwrap();
            account_names(&email, UserId::new(7)).take(3).map(|name| name.to_string()).collect()
        };
        assert_eq!(names("Ann@example.org"), ["Ann@example.org", "account-7", "account-7-2"]);
        let long = format!("{}@{}.example", "a".repeat(60), "b".repeat(60));
        assert_eq!(names(&long), ["account-7", "account-7-2", "account-7-3"]);
    }
}
