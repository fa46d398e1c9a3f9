//! What one field may say, and how it is written.

use crate::text::{quote, unescaped};
use crate::walk::compact;
use crate::{Instrument, Invalid, Timestamp};

/// What a field may say.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rule {
    /// A whole number, which may be written with a fraction of nothing.
    Integer { min: i64, max: i64 },
    /// The greatest mood: 5 or 7.
    Scale,
    /// `true` or `false`, or 1 or 0, as SQLite has them.
    Flag,
    /// A moment.
    Time,
    /// `HH:MM`.
    TimeOfDay,
    /// A UUID.
    Id,
    /// Up to [`IDS_MAX`] of them, as a set.
    Ids,
    /// From one character on, without space around.
    Name { chars_max: usize },
    /// Any text.
    Text { chars_max: usize },
    /// 1 to [`ICON_CHARS_MAX`] characters.
    Icon,
    /// `#RGB`, `#RRGGBB` or `#RRGGBBAA`.
    Colour,
    /// One of these, in any case, with or without underscores.
    Word(&'static [&'static str]),
    /// Letters and digits, [`TYPE_CHARS_MAX`] at most.
    AssessmentType,
    /// One of [`SEVERITIES`], as [`Self::Word`]; or, of an assessment that is not known, another short text.
    Severity,
    /// The answers: up to [`RESPONSES_MAX`] whole numbers.
    Responses,
}

/// The bands of all assessments that are known; `unknown` is that of a draft.
pub(crate) const SEVERITIES: [&str; 6] = ["minimal", "mild", "moderate", "moderately_severe", "severe", "unknown"];
/// Activities of one mood: more than anybody does in a day.
const IDS_MAX: usize = 1_000;
/// Answers of one assessment: the longest in use have a few hundred items.
const RESPONSES_MAX: usize = 1_000;
const ICON_CHARS_MAX: usize = 20;
const TYPE_CHARS_MAX: usize = 10;
/// A severity in another's words.
const SEVERITY_CHARS_MAX: usize = 50;

/// What a rule says to what breaks it: the rest of a sentence that begins with the field.
type Broken = String;

impl Rule {
    /// Appends the value `raw` of `field` in its normal form.
    ///
    /// # Errors
    /// [`Invalid`] when it breaks the rule.
    pub(crate) fn write(self, field: &'static str, raw: &str, out: &mut String) -> Result<(), Invalid> {
        self.apply(raw, out).map_err(|broken| Invalid::new(field, broken))
    }

    fn apply(self, raw: &str, out: &mut String) -> Result<(), Broken> {
        match self {
            Self::Integer { min, max } => push_integer(integer(raw, min, max)?, out),
            Self::Scale => push_integer(scale(raw)?, out),
            Self::Flag => out.push_str(flag(raw)?),
            Self::Time => quote(&time(raw)?.to_string(), out),
            Self::TimeOfDay => time_of_day(&string(raw)?, out)?,
            Self::Id => id(raw, out)?,
            Self::Ids => ids(raw, out)?,
            Self::Name { chars_max } => text(string(raw)?.trim(), 1, chars_max, out)?,
            Self::Text { chars_max } => text(&string(raw)?, 0, chars_max, out)?,
            Self::Icon => text(&string(raw)?, 1, ICON_CHARS_MAX, out)?,
            Self::Colour => colour(&string(raw)?, out)?,
            Self::Word(words) => {
                let word = word(&string(raw)?, words).ok_or_else(|| format!("must be one of {}", words.join(", ")))?;
                quote(word, out);
            }
            Self::AssessmentType => assessment_type(&string(raw)?, out)?,
            Self::Severity => {
                let said = string(raw)?;
                text(word(&said, &SEVERITIES).unwrap_or(&said), 1, SEVERITY_CHARS_MAX, out)?;
            }
            Self::Responses => responses(raw, out)?,
        }
        Ok(())
    }
}

/// What a JSON string says.
fn string(raw: &str) -> Result<std::borrow::Cow<'_, str>, Broken> {
    let inner = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')).ok_or("must be a text")?;
    Ok(unescaped(inner).ok_or("must be a text without halves of characters")?)
}

/// A whole number, also written as `5.0` or `5e0`.
fn whole(raw: &str) -> Option<i64> {
    if let Ok(number) = raw.parse::<i64>() {
        return Some(number);
    }
    let number = raw.parse::<f64>().ok().filter(|_| raw.starts_with(|c: char| c.is_ascii_digit() || c == '-'))?;
    let is_whole = number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53 is one of i64")]
    let number = number as i64;
    is_whole.then_some(number)
}

fn integer(raw: &str, min: i64, max: i64) -> Result<i64, Broken> {
    let number = whole(raw).filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| match max {
        2_147_483_647 if min < 0 => "must be a whole number".to_owned(),
        2_147_483_647 => format!("must be a whole number from {min} on"),
        _ => format!("must be a whole number from {min} to {max}"),
    })
}

fn push_integer(number: i64, out: &mut String) {
    out.push_str(&number.to_string());
}

fn scale(raw: &str) -> Result<i64, Broken> {
    Ok(whole(raw).filter(|scale| matches!(scale, 5 | 7)).ok_or("must be 5 or 7")?)
}

fn flag(raw: &str) -> Result<&'static str, Broken> {
    match raw {
        "true" | "1" => Ok("true"),
        "false" | "0" => Ok("false"),
        _ => Err("must be true or false".to_owned()),
    }
}

fn time(raw: &str) -> Result<Timestamp, Broken> {
    let moment: Option<Timestamp> = match raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')) {
        Some(inner) if !inner.contains('\\') => inner.parse().ok(),
        // An array, or a text with escapes.
        _ => serde_json::from_str(raw).ok(),
    };
    Ok(moment.ok_or("must be a time such as 2026-11-20T20:00:00.123Z")?)
}

fn time_of_day(said: &str, out: &mut String) -> Result<(), Broken> {
    let is_time = match said.as_bytes() {
        [h, hh, b':', m, mm] if [h, hh, m, mm].iter().all(|digit| digit.is_ascii_digit()) => {
            let (hour, minute) = ((h - b'0') * 10 + (hh - b'0'), (m - b'0') * 10 + (mm - b'0'));
            hour < 24 && minute < 60
        }
        _ => false,
    };
    if !is_time {
        return Err("must be a time of day such as 09:30".to_owned());
    }
    quote(said, out);
    Ok(())
}

fn id(raw: &str, out: &mut String) -> Result<(), Broken> {
    let id = string(raw).ok().and_then(|said| uuid::Uuid::parse_str(&said).ok()).ok_or("must be a UUID")?;
    out.push('"');
    out.push_str(id.as_hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()));
    out.push('"');
    Ok(())
}

/// The items of a flat array, without space around; `None` when it is none.
fn items(raw: &str) -> Option<impl Iterator<Item = &str>> {
    let inner = raw.strip_prefix('[')?.strip_suffix(']')?.trim();
    Some(inner.split(',').map(str::trim).filter(move |_| !inner.is_empty()))
}

fn ids(raw: &str, out: &mut String) -> Result<(), Broken> {
    let mut set = Vec::new();
    for item in items(raw).ok_or("must be a list of UUIDs")? {
        if set.len() == IDS_MAX {
            return Err(format!("must be at most {IDS_MAX} UUIDs"));
        }
        let mut written = String::with_capacity(38);
        id(item, &mut written).map_err(|_| "must be a list of UUIDs")?;
        set.push(written);
    }
    push_set(set, out);
    Ok(())
}

/// Appends an array of items, sorted, each once.
fn push_set<T: AsRef<str> + Ord>(mut set: Vec<T>, out: &mut String) {
    set.sort_unstable();
    set.dedup();
    out.push('[');
    for (n, item) in set.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        out.push_str(item.as_ref());
    }
    out.push(']');
}

/// Merges two sets of the normal form, element by element, against `base`; an empty text is an empty set.
pub(crate) fn merged_set(base: &str, left: &str, right: &str) -> String {
    let all = |set| items(set).into_iter().flatten().collect::<std::collections::BTreeSet<&str>>();
    let (base, left, right) = (all(base), all(left), all(right));
    let is_kept = |item: &&str| !base.contains(item) || (left.contains(item) && right.contains(item));
    let mut out = String::new();
    push_set(left.union(&right).copied().filter(is_kept).collect(), &mut out);
    out
}

fn responses(raw: &str, out: &mut String) -> Result<(), Broken> {
    out.push('[');
    for (n, item) in items(raw).ok_or("must be a list of whole numbers")?.enumerate() {
        if n == RESPONSES_MAX {
            return Err(format!("must be at most {RESPONSES_MAX} whole numbers"));
        }
        let answer = integer(item, -2_147_483_648, 2_147_483_647).map_err(|_| "must be a list of whole numbers")?;
        if n > 0 {
            out.push(',');
        }
        push_integer(answer, out);
    }
    out.push(']');
    Ok(())
}

/// The app's own rule: a note has lines and tabs, and nothing else that is not seen.
fn is_unseen(letter: char) -> bool {
    letter.is_control() && !matches!(letter, '\n' | '\r' | '\t')
}

/// Whether a byte may belong to a letter that [`is_unseen`]: those above U+007F begin with 0xC2. Looking at letters takes
/// longer.
fn may_be_unseen(byte: u8) -> bool {
    byte < b' ' || byte == 0x7f || byte == 0xc2
}

fn text(said: &str, chars_min: usize, chars_max: usize, out: &mut String) -> Result<(), Broken> {
    // Counting takes longer than the bound that no character is shorter than a byte.
    let is_short = said.len() <= chars_max || said.chars().count() <= chars_max;
    if !is_short || said.len() < chars_min {
        return Err(match chars_min {
            0 => format!("must be at most {chars_max} characters long"),
            _ => format!("must be {chars_min} to {chars_max} characters long"),
        });
    }
    if said.bytes().any(may_be_unseen) && said.contains(is_unseen) {
        return Err("must hold no control characters but ends of lines and tabs".to_owned());
    }
    quote(said, out);
    Ok(())
}

fn colour(said: &str, out: &mut String) -> Result<(), Broken> {
    let is_colour = said.strip_prefix('#').is_some_and(|digits| {
        matches!(digits.len(), 3 | 6 | 8) && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    });
    if !is_colour {
        return Err("must be a colour such as #RGB, #RRGGBB or #RRGGBBAA".to_owned());
    }
    quote(said, out);
    Ok(())
}

/// The one of `words` that is said, whatever its case, and with or without what lies between its parts.
pub(crate) fn word(said: &str, words: &[&'static str]) -> Option<&'static str> {
    let plain = |text: &str| {
        let letters = text.bytes().filter(|byte| !matches!(byte, b'_' | b'-' | b' '));
        letters.map(|byte| byte.to_ascii_lowercase()).collect::<Vec<_>>()
    };
    if let Some(exact) = words.iter().find(|word| **word == said) {
        return Some(exact);
    }
    words.iter().copied().find(|word| plain(word) == plain(said))
}

/// `PHQ-9` is `PHQ9`, and so is `phq9`; a code that is not known keeps its case.
fn assessment_type(said: &str, out: &mut String) -> Result<(), Broken> {
    let code: String =
        said.chars().filter(|letter| !matches!(letter, '-' | '_' | ' ')).take(TYPE_CHARS_MAX + 1).collect();
    if code.is_empty() || code.len() > TYPE_CHARS_MAX || !code.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(format!("must be 1 to {TYPE_CHARS_MAX} letters and digits, such as PHQ9"));
    }
    let capital = code.to_ascii_uppercase();
    quote(if Instrument::of(&capital).is_some() { &capital } else { &code }, out);
    Ok(())
}

/// Appends whatever it is, as [`compact`] does.
///
/// # Errors
/// [`Invalid`] when it is not JSON.
pub(crate) fn write_unknown(raw: &str, out: &mut String) -> Result<(), Invalid> {
    compact(raw, out).ok_or_else(|| Invalid::new("data", "must be JSON"))
}
