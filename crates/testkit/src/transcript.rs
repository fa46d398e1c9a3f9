//! Golden transcripts: dialogues with the server in a text file, played against the real binary.
//!
//! ```text
//! # A comment.
//! $ tombolo token --list --json
//! < 0
//! <
//! < []
//!
//! > POST /api/v1/sync
//! > Authorization: Bearer <token>
//! >
//! > {"device_id": "<uuid:a>", "last_sync": null, "changes": []}
//! < 200
//! < content-type: application/json
//! < !location
//! <
//! < {"server_time": "<time:first>", "changes": []}
//!
//! @ ann opens /k/<rk>/ws
//! @ ann > {"action":"ping"}
//! @ ann < {"type":"pong"}
//! @ ann < closed 1000
//!
//! * restart
//! ```
//!
//! `>` is sent and `<` has to come back: first the status (of a command: its exit code), then those headers that matter
//! (`!name` must be absent), and after an empty line the body, the whole of it. JSON is compared as JSON, with all keys.
//!
//! `@` is a peer of a room: what it sends (`>`), and what it is told next (`<`), letter for letter; `< nothing` says that
//! it was told nothing up to here, and `< closed` that the connection ends, with that code or without a word.
//!
//! | hole | stands for |
//! | --- | --- |
//! | `<token>`, `<token:ann>` | a token of the owner, of the user ann; made when it first occurs |
//! | `<key>`, `<key:ann>` | a key for td of the owner, of the user ann; made when it first occurs |
//! | `<sk>`, `<sk:ann>` | a key for simple-sync of `.root`, of the user ann; made when it first occurs |
//! | `<rk>`, `<rk:ann>` | a key for rooms of the owner, of the user ann; made when it first occurs |
//! | `<wb>`, `<wb:ann>` | a key for wellbeing of the owner, of the user ann; made when it first occurs |
//! | `<id:x>` | an id that the server gives (`u_`, `p_`, `ak_` or `inv_` and 16 hexadecimal digits), to be named `x`, or the one of that name |
//! | `<text:x>` | whatever text the server gives, to be named `x`, or the one of that name |
//! | `<uuid:x>` | an id made from its name; ids sort as their names do |
//! | `<time:x=now-10m>` | in what is sent: a time from now (s, m, h, d), to be named `x` |
//! | `<time:x>` | in what comes back: a time to be named `x`, or the same moment as `x` |
//! | `<after:x>` | a moment after `x` |
//! | `<later:x>` | the first whole millisecond that is at least a millisecond after `x` |
//! | `<time>` `<number>` `<hex32>` `<any>` | what it says |

mod peers;

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::http::Request;
use crate::peer::Peer;
use crate::served::Served;

/// Plays the transcript in `file` against `served`.
///
/// # Errors
/// Where it went another way than the transcript says: file and line, what differs, and what came.
pub fn play(file: &Path, served: &mut Served) -> Result<(), String> {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let text = std::fs::read_to_string(file).map_err(|error| format!("{name}: {error}"))?;
    let (tokens, keys) = (HashMap::new(), HashMap::new());
    let (ids, times, peers) = (HashMap::new(), HashMap::new(), HashMap::new());
    let mut player = Player { served, tokens, keys, ids, times, peers };
    for turn in turns(&text).map_err(|error| format!("{name}:{error}"))? {
        let line = turn.line;
        player.play(&turn).map_err(|error| format!("{name}:{line}: {}\n{error}\n", turn.said.join("\n  ")))?;
    }
    Ok(())
}

/// What is said, and what has to come back.
#[derive(Debug)]
struct Turn {
    line: usize,
    speaker: Speaker,
    said: Vec<String>,
    expected: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaker {
    Request,
    Command,
    Peer,
    Stage,
}

fn turns(text: &str) -> Result<Vec<Turn>, String> {
    let mut turns: Vec<Turn> = Vec::new();
    for (line, words) in text.lines().enumerate().map(|(n, line)| (n + 1, line.trim_end())) {
        let (mark, rest) = words.split_at(words.len().min(1));
        let rest = rest.strip_prefix(' ').unwrap_or(rest).to_owned();
        let speaker = match mark {
            "" | "#" => continue,
            ">" => Speaker::Request,
            "$" => Speaker::Command,
            "@" => Speaker::Peer,
            "*" => Speaker::Stage,
            "<" => {
                let turn = turns.last_mut().ok_or_else(|| format!("{line}: an answer to nothing"))?;
                turn.expected.push(rest);
                continue;
            }
            _ => return Err(format!("{line}: it begins with none of # > < $ @ *")),
        };
        match turns.last_mut() {
            Some(turn) if speaker == Speaker::Request && turn.speaker == speaker && turn.expected.is_empty() => {
                turn.said.push(rest);
            }
            _ => turns.push(Turn { line, speaker, said: vec![rest], expected: Vec::new() }),
        }
    }
    Ok(turns)
}

struct Player<'a> {
    served: &'a mut Served,
    tokens: HashMap<String, String>,
    keys: HashMap<String, String>,
    ids: HashMap<String, String>,
    times: HashMap<String, OffsetDateTime>,
    peers: HashMap<String, Peer>,
}

/// What came back: a status or an exit code, headers, a body.
struct Came {
    status: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Player<'_> {
    fn play(&mut self, turn: &Turn) -> Result<(), String> {
        if turn.speaker == Speaker::Peer {
            return self.peer(&turn.said[0]);
        }
        let mut said = Vec::with_capacity(turn.said.len());
        for line in &turn.said {
            said.push(self.fill(line)?);
        }
        let came = match turn.speaker {
            Speaker::Request => self.request(&said)?,
            Speaker::Command => self.command(&said[0])?,
            Speaker::Stage | Speaker::Peer => return self.stage(&said[0]),
        };
        let mut differences = Vec::new();
        self.compare(&turn.expected, &came, &mut differences);
        if differences.is_empty() {
            return Ok(());
        }
        let headers: String = came.headers.iter().map(|(name, value)| format!("    {name}: {value}\n")).collect();
        let shown = serde_json::from_str::<Value>(&came.body);
        let shown = shown.map_or_else(|_| came.body.clone(), |body| format!("{body:#}"));
        Err(format!("  {}\n  what came: {}\n{headers}{shown}", differences.join("\n  "), came.status))
    }

    fn stage(&mut self, direction: &str) -> Result<(), String> {
        match direction {
            "restart" => {
                let status = self.served.terminate();
                if !status.success() {
                    return Err(format!("  the server ended with {status}"));
                }
            }
            "kill" => self.served.kill(),
            _ => return Err("  no such direction: restart or kill".to_owned()),
        }
        self.served.start_again();
        Ok(())
    }

    fn request(&self, said: &[String]) -> Result<Came, String> {
        let (method, path) = said[0].split_once(' ').ok_or("  a request begins with a method and a path")?;
        let mut request = Request::new(method, path);
        let mut lines = said[1..].iter();
        for line in lines.by_ref().take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").ok_or_else(|| format!("  no header: {line}"))?;
            request = request.header(name, value);
        }
        let body: Vec<&str> = lines.map(String::as_str).collect();
        if !body.is_empty() {
            request = request.body(body.join("\n"));
        }
        let response = request.send(self.served.address()).map_err(|error| format!("  no reply: {error}"))?;
        Ok(Came { status: response.status.to_string(), body: response.text(), headers: response.headers })
    }

    fn command(&self, said: &str) -> Result<Came, String> {
        let mut words = said.split_whitespace();
        if words.next() != Some("tombolo") {
            return Err("  a command begins with tombolo".to_owned());
        }
        let output = self.served.install.run(&words.collect::<Vec<_>>());
        let status = output.status.code().map_or_else(|| output.status.to_string(), |code| code.to_string());
        let text = [output.stdout, output.stderr].concat();
        Ok(Came { status, headers: Vec::new(), body: String::from_utf8_lossy(&text).trim_end().to_owned() })
    }

    fn compare(&mut self, expected: &[String], came: &Came, differences: &mut Vec<String>) {
        let Some(status) = expected.first() else {
            return differences.push("nothing is said of the answer".to_owned());
        };
        if *status != came.status {
            differences.push(format!("status: {status} was expected, {} came", came.status));
        }
        let mut lines = expected[1..].iter();
        for line in lines.by_ref().take_while(|line| !line.is_empty()) {
            self.compare_header(line, came, differences);
        }
        let body: Vec<&str> = lines.map(String::as_str).collect();
        if body.is_empty() {
            return;
        }
        let body = match self.fill_ids(&body.join("\n")) {
            Ok(body) => body,
            Err(error) => return differences.push(error),
        };
        match (serde_json::from_str::<Value>(&body), serde_json::from_str::<Value>(&came.body)) {
            (Ok(expected), Ok(came)) => self.compare_json("body", &expected, &came, differences),
            (Ok(_), Err(error)) => differences.push(format!("body: JSON was expected: {error}")),
            (Err(_), _) => self.compare_text("body", &body, &came.body, differences),
        }
    }

    fn compare_header(&mut self, line: &str, came: &Came, differences: &mut Vec<String>) {
        let (name, expected) = line.split_once(": ").map_or((line, None), |(name, value)| (name, Some(value)));
        let absent = name.strip_prefix('!');
        let wanted = absent.unwrap_or(name);
        let found = came.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(wanted));
        match (absent, expected, found) {
            (Some(_), _, Some((name, value))) => {
                differences.push(format!("header {name}: {value} should not be there"))
            }
            (Some(_), _, None) | (None, None, Some(_)) => {}
            (None, _, None) => differences.push(format!("header {name} is missing")),
            (None, Some(expected), Some((name, value))) => {
                self.compare_text(&format!("header {name}"), expected, value, differences);
            }
        }
    }

    fn compare_json(&mut self, place: &str, expected: &Value, came: &Value, differences: &mut Vec<String>) {
        match (expected, came) {
            (Value::Object(expected), Value::Object(came)) => {
                for (key, value) in expected {
                    match came.get(key) {
                        Some(came) => self.compare_json(&format!("{place}.{key}"), value, came, differences),
                        None => differences.push(format!("{place}.{key} is missing")),
                    }
                }
                for (key, value) in came.iter().filter(|(key, _)| !expected.contains_key(*key)) {
                    differences.push(format!("{place}.{key} was not expected: {value}"));
                }
            }
            (Value::Array(expected), Value::Array(came)) => {
                if expected.len() != came.len() {
                    let (wanted, found) = (expected.len(), came.len());
                    differences.push(format!("{place}: {wanted} items were expected, {found} came"));
                }
                for (n, (expected, came)) in expected.iter().zip(came).enumerate() {
                    self.compare_json(&format!("{place}[{n}]"), expected, came, differences);
                }
            }
            (Value::String(expected), Value::Number(_)) if expected == "<number>" => {}
            (Value::String(expected), Value::String(came)) => self.compare_text(place, expected, came, differences),
            (Value::String(expected), _) if expected == "<any>" => {}
            _ if expected == came => {}
            _ => differences.push(format!("{place}: {expected} was expected, {came} came")),
        }
    }

    fn compare_text(&mut self, place: &str, expected: &str, came: &str, differences: &mut Vec<String>) {
        let mut report = |why: String| {
            differences.push(format!("{place}: {expected:?} was expected, {came:?} came{why}"));
        };
        let mut left = came;
        let mut rest = expected;
        while let Some((literal, hole, after)) = next_hole(rest) {
            let Some(value) = left.strip_prefix(literal) else { return report(String::new()) };
            let next = next_hole(after).map_or(after, |(literal, ..)| literal);
            let end = if next.is_empty() { Some(value.len()) } else { value.find(next) };
            let Some(end) = end else { return report(String::new()) };
            if let Err(why) = self.fits(hole, &value[..end]) {
                return report(format!(": {why}"));
            }
            (left, rest) = (&value[end..], after);
        }
        if left != rest {
            report(String::new());
        }
    }

    fn fits(&mut self, hole: &str, came: &str) -> Result<(), String> {
        let time = || OffsetDateTime::parse(came, &Rfc3339).map_err(|_| format!("{came:?} is no time"));
        let known = |name: &str| self.times.get(name).copied().ok_or_else(|| format!("{name} is no known time"));
        let fits = match hole.split_once(':') {
            None => match hole {
                "time" => time().is_ok(),
                "number" => came.parse::<f64>().is_ok(),
                "hex32" => came.len() == 32 && came.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')),
                "any" => true,
                _ => return Err(format!("<{hole}> is no hole")),
            },
            Some(("time", name)) => {
                let found = time()?;
                *self.times.entry(name.to_owned()).or_insert(found) == found
            }
            Some(("id", name)) => {
                if !is_id(came) {
                    return Err(format!("{came:?} is no id"));
                }
                self.ids.entry(name.to_owned()).or_insert_with(|| came.to_owned()) == came
            }
            Some(("text", name)) => {
                !came.is_empty() && self.ids.entry(name.to_owned()).or_insert_with(|| came.to_owned()) == came
            }
            Some(("after", name)) => time()? > known(name)?,
            Some(("later", name)) => time()? == millisecond_later(known(name)?),
            _ => return Err(format!("<{hole}> is no hole")),
        };
        if fits { Ok(()) } else { Err(format!("{came:?} is no <{hole}>")) }
    }

    /// Fills the holes of what is sent.
    fn fill(&mut self, text: &str) -> Result<String, String> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((literal, hole, after)) = next_hole(rest) {
            filled.push_str(literal);
            filled.push_str(&self.value(hole)?);
            rest = after;
        }
        Ok(filled + rest)
    }

    fn value(&mut self, hole: &str) -> Result<String, String> {
        let (kind, name) = hole.split_once(':').unwrap_or((hole, "owner"));
        match (kind, name.split_once('=')) {
            ("token", None) => {
                let install = &self.served.install;
                let make = || if name == "owner" { install.token("it") } else { install.token_for(name, "it") };
                Ok(self.tokens.entry(name.to_owned()).or_insert_with(make).clone())
            }
            ("key", None) => {
                let install = &self.served.install;
                Ok(self.keys.entry(name.to_owned()).or_insert_with(|| install.key_for(name, "td")).clone())
            }
            ("sk", None) => {
                let (install, user) = (&self.served.install, if name == "owner" { ".root" } else { name });
                Ok(self.keys.entry(format!("sk:{user}")).or_insert_with(|| install.sk_for(user)).clone())
            }
            ("rk", None) => {
                let install = &self.served.install;
                Ok(self.keys.entry(format!("rk:{name}")).or_insert_with(|| install.rk_for(name)).clone())
            }
            ("wb", None) => {
                let install = &self.served.install;
                Ok(self.keys.entry(format!("wb:{name}")).or_insert_with(|| install.wb_for(name)).clone())
            }
            ("id" | "text", None) => self.ids.get(name).cloned().ok_or_else(|| format!("  {name} was not said before")),
            ("uuid", None) => Ok(uuid(name)),
            ("time", Some((name, offset))) => {
                let time = from_now(offset).ok_or_else(|| format!("  {offset} is no time from now"))?;
                self.times.insert(name.to_owned(), time);
                Ok(written(time))
            }
            ("time", None) => {
                self.times.get(name).map(|time| written(*time)).ok_or_else(|| format!("  {name} is no known time"))
            }
            _ => Err(format!("  <{hole}> is no hole of what is sent")),
        }
    }

    /// Fills the ids of what is expected, and leaves the other holes.
    fn fill_ids(&mut self, text: &str) -> Result<String, String> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((literal, hole, after)) = next_hole(rest) {
            filled.push_str(literal);
            match hole.strip_prefix("uuid:") {
                Some(name) => filled.push_str(&uuid(name)),
                None => filled.push_str(&format!("<{hole}>")),
            }
            rest = after;
        }
        Ok(filled + rest)
    }
}

/// What stands before the next hole, the hole, and what follows.
fn next_hole(text: &str) -> Option<(&str, &str, &str)> {
    let begin = text.find('<')?;
    let end = begin + text[begin..].find('>')?;
    Some((&text[..begin], &text[begin + 1..end], &text[end + 1..]))
}

/// Whether `text` is an id as td's clients see them.
fn is_id(text: &str) -> bool {
    let digits = ["u_", "p_", "ak_", "inv_"].iter().find_map(|mark| text.strip_prefix(mark));
    digits.is_some_and(|digits| digits.len() == 16 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

fn from_now(offset: &str) -> Option<OffsetDateTime> {
    #[expect(clippy::disallowed_methods, reason = "the process under test runs on the machine's clock")]
    let now = OffsetDateTime::now_utc();
    // To the millisecond, as phones write.
    let now = now.replace_millisecond(now.millisecond()).ok()?;
    let offset = offset.strip_prefix("now")?;
    if offset.is_empty() {
        return Some(now);
    }
    let (number, unit) = offset.split_at_checked(offset.len() - 1)?;
    let number: i64 = number.parse().ok()?;
    let seconds = number * [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)].iter().find(|(u, _)| *u == unit)?.1;
    now.checked_add(Duration::seconds(seconds))
}

fn written(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).expect("a time that was parsed can be written")
}

fn millisecond_later(time: OffsetDateTime) -> OffsetDateTime {
    let past = i64::from(time.nanosecond() % 1_000_000);
    time + Duration::nanoseconds((1_000_000 - past) % 1_000_000) + Duration::milliseconds(1)
}

/// A UUID made from a name: the first four bytes of the name, then its hash. Ids sort as their names do.
///
/// # Panics
/// Never.
#[must_use]
pub fn uuid(name: &str) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in name.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let mut first = [b'0'; 4];
    for (to, from) in first.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    let first = u32::from_be_bytes(first);
    let (high, low) = (hash >> 48, hash & 0xffff_ffff_ffff);
    format!("{first:08x}-{high:04x}-4000-8000-{low:012x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialogue_is_taken_apart() {
        let turns =
            turns("# x\n> GET /a\n> H: v\n>\n> body\n< 200\n< a: b\n\n$ tombolo check\n< 0\n* restart\n").unwrap();
        let shown: Vec<_> = turns.iter().map(|turn| (turn.line, turn.said.len(), turn.expected.len())).collect();
        assert_eq!(shown, [(2, 4, 2), (9, 1, 1), (11, 1, 0)]);
        assert!(super::turns("< 200").is_err());
        assert!(super::turns("GET /").is_err());
    }

    #[test]
    fn ids_sort_as_their_names_do_and_differ() {
        assert!(uuid("a") < uuid("b") && uuid("milk") < uuid("salt"));
        assert_ne!(uuid("task1"), uuid("task2"));
        assert_eq!(uuid("a").len(), 36);
    }

    #[test]
    fn a_hole_has_two_ends() {
        assert_eq!(next_hole("a<time:x>b"), Some(("a", "time:x", "b")));
        assert_eq!(next_hole("a < b"), None);
    }
}
