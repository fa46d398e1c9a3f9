//! Sessions of the first generation: JSON Web Tokens, signed with HMAC-SHA-256 and nothing else.
//!
//! The usual crate for them reads the machine's clock by itself and wants its cryptography installed for the whole
//! process; neither is done here, and one algorithm with one kind of claims is less than what it would be told to leave
//! out.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tombolo_core::{Secret, ServerTime};

use crate::json::Object;

use super::limits::{AHEAD_OF_CLOCK_MAX, SESSION_SPAN};

/// The one header that is written, `{"alg":"HS256","typ":"JWT"}`.
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
/// The one algorithm that is read.
const ALGORITHM: &str = "HS256";

/// What a session says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    /// Whose it is: what events bear.
    pub(super) user_uuid: String,
    /// What he signed in with.
    pub(super) username: String,
    /// When it began, in seconds since 1970.
    pub(super) iat: i64,
    /// When it ends, likewise.
    pub(super) exp: i64,
    pub(super) is_admin: bool,
}

impl Claims {
    /// When it ends: others may sign with the same secret, and what they say does not make it hold for longer.
    pub(super) fn ends_at(&self) -> ServerTime {
        at(self.exp.min(self.iat.saturating_add(seconds(SESSION_SPAN))))
    }

    fn holds(&self, now: ServerTime) -> bool {
        at(self.iat.saturating_sub(seconds(AHEAD_OF_CLOCK_MAX))) <= now && now < self.ends_at()
    }
}

const fn at(seconds: i64) -> ServerTime {
    ServerTime::from_micros(seconds.saturating_mul(1_000_000))
}

/// A span as sessions count.
pub(super) fn seconds(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}

/// A session's text.
pub(super) fn sign(claims: &Claims, secret: &Secret) -> String {
    let claims = serde_json::to_string(claims).expect("texts and numbers can be written as JSON");
    let signed = format!("{}.{}", BASE64.encode(HEADER), BASE64.encode(claims));
    let signature = mac(&signed, secret).finalize().into_bytes();
    format!("{signed}.{}", BASE64.encode(signature))
}

/// What a session says that was signed with `secret`, has begun, and has not ended; `None` for any other text.
pub(super) fn verify(text: &str, secret: &Secret, now: ServerTime) -> Option<Claims> {
    #[derive(Deserialize)]
    struct Header {
        alg: String,
    }
    let (signed, signature) = text.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let header: Header = decode(header)?;
    if header.alg != ALGORITHM {
        return None;
    }
    // In constant time, and before anything else is read.
    mac(signed, secret).verify_slice(&BASE64.decode(signature).ok()?).ok()?;
    let claims: Claims = decode(claims)?;
    claims.holds(now).then_some(claims)
}

fn decode<T: for<'a> Deserialize<'a>>(part: &str) -> Option<T> {
    serde_json::from_slice(&BASE64.decode(part).ok()?).ok().map(|Object(read)| read)
}

fn mac(signed: &str, secret: &Secret) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()).expect("a key of any length will do");
    mac.chain_update(signed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: ServerTime = ServerTime::from_micros(1_800_000_000_000_000);

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    fn claims() -> Claims {
        let (iat, exp) = (1_800_000_000, 1_800_086_400);
        Claims { user_uuid: "ann".to_owned(), username: "Ann".to_owned(), iat, exp, is_admin: false }
    }

    /// A text signed with the right secret, whatever it is.
    fn signed(header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
        let signature = mac(&signed, &secret("right")).finalize().into_bytes();
        format!("{signed}.{}", BASE64.encode(signature))
    }

    #[test]
    fn a_session_is_known_until_it_ends() {
        let text = sign(&claims(), &secret("right"));
        assert_eq!(verify(&text, &secret("right"), NOW), Some(claims()));
        assert_eq!(verify(&text, &secret("right"), ServerTime::from_micros(1_800_086_399_999_999)), Some(claims()));
        assert_eq!(verify(&text, &secret("right"), ServerTime::from_micros(1_800_086_400_000_000)), None);
        assert_eq!(verify(&text, &secret("wrong"), NOW), None);
    }

    #[test]
    fn a_session_holds_for_a_day_whatever_it_says_of_its_end() {
        let began = 1_800_000_000;
        let check = |iat: i64, exp: i64, ends: i64, is_one: bool| {
            let claims = Claims { iat, exp, ..claims() };
            assert_eq!(claims.ends_at(), ServerTime::from_micros(ends.saturating_mul(1_000_000)), "{iat} {exp}");
            let read = verify(&sign(&claims, &secret("right")), &secret("right"), NOW);
            assert_eq!(read.is_some(), is_one, "{iat} {exp}");
        };
        check(began, began + 60, began + 60, true);
        check(began, began + 864_000, began + 86_400, true);
        check(began, i64::MAX, began + 86_400, true);
        check(began - 86_399, i64::MAX, began + 1, true);
        check(began - 86_400, i64::MAX, began, false);
        check(0, i64::MAX, 86_400, false);
        check(i64::MIN, i64::MAX, i64::MIN + 86_400, false);
        // Clocks differ by a little, and not by more.
        check(began + 60, i64::MAX, began + 86_460, true);
        check(began + 61, i64::MAX, began + 86_461, false);
        check(i64::MAX, i64::MAX, i64::MAX, false);
    }

    #[test]
    fn it_is_signed_as_everybody_signs() {
        // RFC 7515, appendix A.1: its key is binary, so here is the same with a text, from another implementation.
        let text = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c";
        let (signed, signature) = text.rsplit_once('.').unwrap();
        let made = mac(signed, &secret("your-256-bit-secret")).finalize().into_bytes();
        assert_eq!(BASE64.encode(made), signature);
    }

    #[test]
    fn what_is_no_session() {
        let right = serde_json::to_string(&claims()).unwrap();
        let check = |text: &str, is_one: bool| {
            assert_eq!(verify(text, &secret("right"), NOW).is_some(), is_one, "{text}");
        };
        check(&signed(HEADER, &right), true);
        check(&signed(r#"{"typ":"JWT","alg":"HS256"}"#, &right), true);
        for header in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"HS384"}"#,
            r#"{"alg":"hs256"}"#,
            r#"{"typ":"JWT"}"#,
            "{}",
            "",
            "7",
            r#"["HS256"]"#,
        ] {
            check(&signed(header, &right), false);
        }
        for claims in ["{}", "[]", "", &right.replace("1800086400", "\"1800086400\""), &right.replace("exp", "EXP")] {
            check(&signed(HEADER, claims), false);
        }
        let good = signed(HEADER, &right);
        let (body, signature) = good.rsplit_once('.').unwrap();
        let none = format!("{}.{}.", BASE64.encode(r#"{"alg":"none"}"#), BASE64.encode(&right));
        for text in
            ["", ".", "..", "...", "a.b.c", body, &format!("{body}."), &none, &format!("{good}."), &format!("{good}=")]
        {
            check(text, false);
        }
        check(&format!("{body}.{}", &signature[..signature.len() - 2]), false);
        let other = signed(HEADER, &right.replace("\"ann\"", "\".root\""));
        check(&format!("{}.{signature}", other.rsplit_once('.').unwrap().0), false);
    }
}
