//! E-mail addresses: what people are found by when they sign in.

use std::fmt;
use std::sync::Arc;

/// The longest address that mail can be sent to, in bytes (RFC 5321).
const BYTES_MAX: usize = 254;
/// The longest part before the `@`, in bytes (RFC 5321).
const LOCAL_BYTES_MAX: usize = 64;

/// An e-mail address, as it was typed.
///
/// Two that differ in the case of ASCII letters only are one person's: compare their [`Self::key`]s. It is never
/// logged, and its `Debug` prints stars.
#[derive(Clone, PartialEq, Eq)]
pub struct EmailAddress(Arc<str>);

/// A text that is no address mail could be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no e-mail address, such as ann@example.org")]
pub struct EmailError;

impl EmailAddress {
    /// The address spelt `text`, space around it left out.
    ///
    /// It takes what mail systems take in practice: `local@domain` in printable characters, no quoted forms, no
    /// display names, no comments. More is known only by sending a mail.
    ///
    /// # Errors
    /// [`EmailError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        let text = text.trim();
        let (local, domain) = text.rsplit_once('@').ok_or(EmailError)?;
        let is_local = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
        let is_label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.chars().all(|c| c.is_alphanumeric() || c == '-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let good = text.len() <= BYTES_MAX
            && !local.is_empty()
            && local.len() <= LOCAL_BYTES_MAX
            && local.chars().all(is_local)
            && !local.starts_with('.')
            && !local.ends_with('.')
            && !local.contains("..")
            && domain.split('.').all(is_label);
        good.then(|| Self(text.into())).ok_or(EmailError)
    }

    /// The address as it was typed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it is found by: ASCII letters in lower case.
    #[must_use]
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***@***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_an_email_address() {
        let check = |text: &str, expected: bool| assert_eq!(EmailAddress::parse(text).is_ok(), expected, "{text}");
        check("ann@example.org", true);
        check("  ann@example.org ", true);
        check("ann@localhost", true);
        check("ann.b+td@mail.example.org", true);
        check("jürgen@exämple.org", true);
        check("o'neil@example.org", true);
        check("", false);
        check("ann", false);
        check("not an email", false);
        check("@example.org", false);
        check("ann@", false);
        check("a@b@c", false);
        check("ann b@example.org", false);
        check("Ann <ann@example.org>", false);
        check("ann@example..org", false);
        check("ann@-example.org", false);
        check(".ann@example.org", false);
        check("an..n@example.org", false);
        check("ann@example.org\r\nBcc: all@example.org", false);
        check("ann@example.org\0", false);
        check(&format!("{}@example.org", "a".repeat(65)), false);
        check(&format!("ann@{}org", "a.".repeat(150)), false);
    }

    #[test]
    fn case_is_kept_and_does_not_count() {
        let address = EmailAddress::parse("Ann@Example.org").unwrap();
        assert_eq!(address.as_str(), "Ann@Example.org");
        assert_eq!(address.key(), "ann@example.org");
        assert_eq!(format!("{address:?}"), "***@***");
    }
}
