//! How mail is sent.

use std::fmt;
use std::net::IpAddr;

use lettre::message::Mailbox;
use url::Url;

/// How mail is sent. Without a server none is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MailConfig {
    /// The mail server.
    pub(crate) smtp_url: Option<SmtpUrl>,
    /// Whom mails come from.
    pub(crate) from: Option<Sender>,
}

/// Whom mails come from: an address, perhaps with a name.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Sender(pub(crate) Mailbox);

/// A mail server, and how to speak to it. It may hold a password, and is never shown whole.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SmtpUrl {
    /// As lettre takes it.
    text: String,
    host: String,
}

impl SmtpUrl {
    /// Reads `smtp://…` or `smtps://…`.
    ///
    /// With `smtp://` the connection is encrypted by STARTTLS, and nothing is said without: a password or a link in the
    /// open lets in whoever reads along. A server on this machine, and one with `?tls=none`, is spoken to in the open.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut url = Url::parse(text).ok()?;
        let host = url.host_str().filter(|host| !host.is_empty())?.to_owned();
        if !matches!(url.scheme(), "smtp" | "smtps") || url.fragment().is_some() {
            return None;
        }
        let asked: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let tls = match asked.as_slice() {
            [] => None,
            [(key, value)] if key == "tls" => Some(value.as_str()),
            _ => return None,
        };
        match (url.scheme(), tls) {
            ("smtps", None) | ("smtp", Some("required" | "opportunistic")) => {}
            ("smtp", None) if !is_this_machine(&host) => url.set_query(Some("tls=required")),
            ("smtp", None | Some("none")) => url.set_query(None),
            _ => return None,
        }
        Some(Self { text: url.into(), host })
    }

    /// The whole, password included, for the one place that needs it.
    pub(crate) fn reveal(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for SmtpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "smtp://***@{}", self.host)
    }
}

impl Sender {
    /// Reads `sync@example.org` or `Tombolo <sync@example.org>`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***@***")
    }
}

fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_goes_over_the_wire_in_the_open_only_when_told_to() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(SmtpUrl::parse(text).as_ref().map(SmtpUrl::reveal), expected, "{text}");
        };
        check("smtp://me:pw@mail.example.org:587", Some("smtp://me:pw@mail.example.org:587?tls=required"));
        check("smtp://mail.example.org", Some("smtp://mail.example.org?tls=required"));
        check("smtp://mail.example.org?tls=none", Some("smtp://mail.example.org"));
        check("smtp://mail.example.org?tls=opportunistic", Some("smtp://mail.example.org?tls=opportunistic"));
        check("smtp://127.0.0.1:2525", Some("smtp://127.0.0.1:2525"));
        check("smtp://[::1]:2525", Some("smtp://[::1]:2525"));
        check("smtp://localhost", Some("smtp://localhost"));
        check("smtp://localhost?tls=required", Some("smtp://localhost?tls=required"));
        check("smtps://me:p%40w@mail.example.org", Some("smtps://me:p%40w@mail.example.org"));
        for text in ["", "mail.example.org", "http://mail.example.org", "smtp://", "smtp:mail", "smtp://h?tls=maybe"] {
            check(text, None);
        }
        for text in ["smtp://h?tls=none&tls=required", "smtp://h?x=1", "smtp://h#x", "smtps://h?tls=none"] {
            check(text, None);
        }
        let shown = format!("{:?}", SmtpUrl::parse("smtp://me:hunter2@mail.example.org"));
        assert_eq!(shown, "Some(smtp://***@mail.example.org)");
    }
}
