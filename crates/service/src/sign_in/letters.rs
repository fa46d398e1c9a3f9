//! What is mailed for a sign-in: short, in plain text, and with what to do if one did not ask.

use tombolo_core::{EmailAddress, ServerTime, UserCode};
use tombolo_storage::SignIn;

use crate::Mail;

/// Who asks for what, as far as a mail says it.
pub(super) struct Asked<'a> {
    pub(super) email: &'a EmailAddress,
    pub(super) device: &'a str,
    pub(super) code: Option<&'a UserCode>,
    pub(super) at: ServerTime,
    pub(super) expires_at: ServerTime,
}

impl<'a> Asked<'a> {
    /// What `sign_in` asks for; `code` is what was just typed for it.
    pub(super) fn of(sign_in: &'a SignIn, code: &'a UserCode) -> Self {
        let SignIn { email, device, created_at, expires_at, .. } = sign_in;
        Self { email, device, code: Some(code), at: *created_at, expires_at: *expires_at }
    }
}

/// The mail with the link that approves a device.
pub(super) fn approve_device(base_url: &str, link: &str, asked: &Asked<'_>) -> Mail {
    let Asked { email, device, code, at, expires_at } = asked;
    let mut facts = String::new();
    if !device.is_empty() {
        facts.push_str(&format!("  Device: {device}\n"));
    }
    if let Some(code) = code {
        facts.push_str(&format!("  Code:   {}\n", code.as_str()));
    }
    let text = format!(
        "Somebody asks to sign in a device at {base_url}
as {who}:

{facts}  Asked:  {asked}

If that was you, a moment ago, open this link and press the button:

{link}

It works once, until {until}.

Approve only what you started yourself. If it was not you, do nothing:
nobody gets in without that button, and this mail can be deleted.
",
        who = email.as_str(),
        asked = to_minute(*at),
        until = to_minute(*expires_at),
    );
    let subject = format!("Sign in a device at {}", host(base_url));
    Mail { to: EmailAddress::clone(email), subject, text, until: *expires_at }
}

/// The mail with the link that signs in a page.
pub(super) fn open_page(base_url: &str, link: &str, asked: &Asked<'_>) -> Mail {
    let Asked { email, expires_at, .. } = asked;
    let text = format!(
        "Somebody asks to sign in with a browser at {base_url}
as {who}.

If that was you, a moment ago, open this link in the same browser:

{link}

It works once, until {until}.

If it was not you, do not open it, and delete this mail: nobody gets in
without it.
",
        who = email.as_str(),
        until = to_minute(*expires_at),
    );
    let subject = format!("Sign in at {}", host(base_url));
    Mail { to: EmailAddress::clone(email), subject, text, until: *expires_at }
}

/// The host and port of a URL.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// A time for people, to the minute: `2026-11-21 14:12 UTC`.
#[must_use]
pub fn to_minute(time: ServerTime) -> String {
    let text = time.to_string();
    format!("{} UTC", text.get(..16).unwrap_or(&text).replace('T', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_says_who_asks_for_what_and_what_to_do() {
        let email = EmailAddress::parse("Ann@example.org").unwrap();
        let code = UserCode::parse("ABC234");
        let at = ServerTime::from_micros(1_800_000_000_000_000);
        let expires_at = ServerTime::from_micros(1_800_000_900_000_000);
        let asked = Asked { email: &email, device: "td-cli@laptop", code: code.as_ref(), at, expires_at };
        let mail = approve_device("https://sync.example.org/td", "LINK", &asked);
        assert_eq!(mail.subject, "Sign in a device at sync.example.org");
        for part in ["Ann@example.org", "Device: td-cli@laptop", "Code:   ABC234", "\nLINK\n", "2027-01-15 08:15 UTC"] {
            assert!(mail.text.contains(part), "{part} is missing in: {}", mail.text);
        }
        let bare = Asked { device: "", code: None, ..asked };
        let mail = approve_device("https://sync.example.org", "LINK", &bare);
        assert!(!mail.text.contains("Device:") && !mail.text.contains("Code:"), "{}", mail.text);
        assert!(open_page("https://sync.example.org", "LINK", &bare).text.contains("\nLINK\n"));
    }
}
