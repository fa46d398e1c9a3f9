//! Every key of the configuration: its name, what it may be, what it means, and how it is taken in.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tombolo_core::Secret;
use tombolo_http::{CorsOrigins, Network};

use super::database::{Database, PostgresUrl};
use super::room_keys::ROOM_KEYS;
use super::{Config, LogFormat, Sender, SmtpUrl};

/// A key of the configuration.
#[derive(Clone, Copy)]
pub(crate) struct Key {
    /// Its name, `section.key` or `key`.
    pub(crate) name: &'static str,
    /// What it may be, as the end of the sentence "it takes …".
    pub(crate) takes: &'static str,
    /// Its default as it stands in a file.
    pub(crate) default: &'static str,
    /// What it decides.
    pub(crate) meaning: &'static str,
    /// Whether a list is taken.
    pub(crate) is_list: bool,
    pub(super) set: fn(&mut Config, &Value) -> Option<()>,
}

/// A value as it was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// One text; for a list its items stand between commas.
    Text(String),
    /// A TOML array.
    List(Vec<String>),
}

/// The highest limit of a minute that says anything: more than one key's requests that a server can answer.
const PER_MINUTE_MAX: u32 = 1_000_000;

/// What signs by HMAC-SHA-256 must have as many bytes as its outcome (RFC 7518, section 3.2).
const JWT_SECRET_BYTES_MIN: usize = 32;
/// A tebibyte: more memory than a node has.
const CACHE_BYTES_MAX: u64 = 1 << 40;

/// All keys, in the order in which they are documented.
pub(crate) const KEYS: &[Key] = &joined::<{ GENERAL_KEYS.len() + ROOM_KEYS.len() }>(GENERAL_KEYS, ROOM_KEYS);

const fn joined<const ALL: usize>(first: &[Key], second: &[Key]) -> [Key; ALL] {
    let mut all = [first[0]; ALL];
    let mut at = 0;
    while at < ALL {
        all[at] = if at < first.len() { first[at] } else { second[at - first.len()] };
        at += 1;
    }
    all
}

/// The keys of all but rooms.
const GENERAL_KEYS: &[Key] = &[
    Key {
        name: "data",
        takes: "a folder, written out (~ is left to the shell)",
        default: "\"~/.local/share/tombolo\"",
        meaning: "The data folder. The default is `tombolo` in the XDG data folder; in a container without `XDG_DATA_HOME` it is `/data`.",
        is_list: false,
        set: |config, value| {
            let folder = value.text().filter(|folder| !folder.is_empty() && !folder.starts_with('~'))?;
            config.data = PathBuf::from(folder);
            Some(())
        },
    },
    Key {
        name: "database",
        takes: "the path of a SQLite file, sqlite://PATH, or postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full",
        default: "\"tombolo.db\"",
        meaning: "The database: a SQLite file, a relative path starting at the data folder; or PostgreSQL, which several nodes may share. Of its URL, what is left out is taken from the variables that PostgreSQL's own programs read, such as `PGPASSWORD`, and from `~/.pgpass`.",
        is_list: false,
        set: |config, value| {
            config.database = Database::parse(value.text()?)?;
            Some(())
        },
    },
    Key {
        name: "listen",
        takes: "one or more of ADDRESS:PORT, such as 127.0.0.1:3030 or [::]:3030",
        default: "[\"0.0.0.0:3030\"]",
        meaning: "Where the server listens. Port 0 takes a free port.",
        is_list: true,
        set: |config, value| {
            config.listen = value.items(|item| item.parse::<SocketAddr>().ok())?;
            (!config.listen.is_empty()).then_some(())
        },
    },
    Key {
        name: "public_url",
        takes: "a URL that begins with http:// or https://",
        default: "\"\"",
        meaning: "The address under which devices reach the server, as `tombolo token` prints it and links in mails begin. A path in it is stripped from requests.",
        is_list: false,
        set: |config, value| {
            let url = value.text()?.trim_end_matches('/');
            let good = is_http_url(url);
            config.public_url = good.then(|| url.to_owned());
            (good || url.is_empty()).then_some(())
        },
    },
    Key {
        name: "trusted_proxies",
        takes: "addresses or networks, such as 127.0.0.1 or 10.0.0.0/8",
        default: "[]",
        meaning: "Proxies whose `X-Forwarded-For` is believed. From any other address it is ignored.",
        is_list: true,
        set: |config, value| {
            config.trusted_proxies = value.items(|item| Network::parse(item).ok())?;
            Some(())
        },
    },
    Key {
        name: "allow_signup",
        takes: "true or false",
        default: "false",
        meaning: "Whether an address without an account gets one when it signs in. If not, the server's owner adds people: `tombolo user add`, `tombolo login approve`, or the owner of a project by adding them to it.",
        is_list: false,
        set: |config, value| {
            config.allow_signup = value.switch()?;
            Some(())
        },
    },
    Key {
        name: "postgres.connections_max",
        takes: "a number from 2 to 1000",
        default: "16",
        meaning: "Connections that this node opens to PostgreSQL at most, one for notifications besides. All nodes together must stay below its `max_connections`.",
        is_list: false,
        set: |config, value| {
            config.postgres.connections_max = value.text()?.parse().ok().filter(|count| (2..=1_000).contains(count))?;
            Some(())
        },
    },
    Key {
        name: "postgres.listen_url",
        takes: "postgres://USER:PASSWORD@HOST:PORT/DATABASE, or nothing",
        default: "\"\"",
        meaning: "Where this node listens for notifications, when `database` leads through a pooler that passes none on (PgBouncer in transaction mode). Without it, `database`.",
        is_list: false,
        set: |config, value| {
            let text = value.text()?;
            config.postgres.listen_url = if text.is_empty() { None } else { Some(PostgresUrl::parse(text)?) };
            Some(())
        },
    },
    Key {
        name: "mail.smtp_url",
        takes: "smtp://USER:PASSWORD@HOST:PORT or smtps://USER:PASSWORD@HOST:PORT, or nothing",
        default: "\"\"",
        meaning: "The mail server through which sign-in links and invitations are sent; letters in its password that a URL cannot hold are written as `%40`. `smtp://` insists on STARTTLS, but on this machine; `?tls=none` does without. When it is not set, no mail is sent, and the owner approves sign-ins: `tombolo login`.",
        is_list: false,
        set: |config, value| {
            let text = value.text()?;
            config.mail.smtp_url = if text.is_empty() { None } else { Some(SmtpUrl::parse(text)?) };
            Some(())
        },
    },
    Key {
        name: "mail.from",
        takes: "an e-mail address, such as sync@example.org or Tombolo <sync@example.org>, or nothing",
        default: "\"\"",
        meaning: "Whom mails come from. It and `public_url` are needed where `mail.smtp_url` is set.",
        is_list: false,
        set: |config, value| {
            let text = value.text()?;
            config.mail.from = if text.is_empty() { None } else { Some(Sender::parse(text)?) };
            Some(())
        },
    },
    Key {
        name: "cors.origins",
        takes: "origins of web pages as scheme://host[:port] without a path, such as https://app.example.org, at most 64; or * alone for any",
        default: "[]",
        meaning: "Web pages that may use the server from a browser, by their origin; `*` for any page. A page that is served from elsewhere cannot sync unless it is named here.",
        is_list: true,
        set: |config, value| {
            let origins = value.items(|item| Some(item.to_owned()))?;
            config.cors_origins = CorsOrigins::parse(origins.iter().map(String::as_str)).ok()?;
            Some(())
        },
    },
    Key {
        name: "log.format",
        takes: "text or json",
        default: "\"text\"",
        meaning: "The form of the log, which goes to standard error.",
        is_list: false,
        set: |config, value| {
            config.log.format = match value.text()? {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                _ => return None,
            };
            Some(())
        },
    },
    Key {
        name: "log.level",
        takes: "off, error, warn, info, debug or trace",
        default: "\"info\"",
        meaning: "The least that is logged.",
        is_list: false,
        set: |config, value| {
            config.log.level = match value.text()? {
                "off" => None,
                "error" => Some(tracing::Level::ERROR),
                "warn" => Some(tracing::Level::WARN),
                "info" => Some(tracing::Level::INFO),
                "debug" => Some(tracing::Level::DEBUG),
                "trace" => Some(tracing::Level::TRACE),
                _ => return None,
            };
            Some(())
        },
    },
    Key {
        name: "protocols.tickit",
        takes: "true or false",
        default: "true",
        meaning: "Whether the Tickit task manager is served.",
        is_list: false,
        set: |config, value| {
            config.protocols.tickit = value.switch()?;
            Some(())
        },
    },
    Key {
        name: "protocols.td",
        takes: "true or false",
        default: "true",
        meaning: "Whether the td task manager is served.",
        is_list: false,
        set: |config, value| {
            config.protocols.td = value.switch()?;
            Some(())
        },
    },
    Key {
        name: "protocols.simple_sync",
        takes: "true or false",
        default: "true",
        meaning: "Whether simple-sync, the protocol of apps that keep histories of events, is served.",
        is_list: false,
        set: |config, value| {
            config.protocols.simple_sync = value.switch()?;
            Some(())
        },
    },
    Key {
        name: "protocols.rooms",
        takes: "true or false",
        default: "true",
        meaning: "Whether rooms, the protocol of the Khun Phaen task tracker, are served.",
        is_list: false,
        set: |config, value| {
            config.protocols.rooms = value.switch()?;
            Some(())
        },
    },
    Key {
        name: "protocols.wellbeing",
        takes: "true or false",
        default: "true",
        meaning: "Whether wellbeing, the protocol of apps in which people keep track of how they are, is served.",
        is_list: false,
        set: |config, value| {
            config.protocols.wellbeing = value.switch()?;
            Some(())
        },
    },
    Key {
        name: "td.exclude_client",
        takes: "true or false",
        default: "false",
        meaning: "Whether a td client's own events are left out of what it pulls, where it asks for that, as the original server does. Two devices that edit the same field then stay different for good.",
        is_list: false,
        set: |config, value| {
            config.td.exclude_client = value.switch()?;
            Some(())
        },
    },
    Key {
        name: "td.web_callback_url",
        takes: "a URL that begins with http:// or https://, or nothing",
        default: "\"\"",
        meaning: "The page that may sign people in with a browser, and to which the mailed link then leads. Any other page is refused; when it is not set, all are.",
        is_list: false,
        set: |config, value| {
            let url = value.text()?;
            let good = is_http_url(url) && !url.contains('#');
            config.td.web_callback_url = good.then(|| url.to_owned());
            (good || url.is_empty()).then_some(())
        },
    },
    Key {
        name: "simple_sync.jwt_secret",
        takes: "a text of at least 32 bytes, or nothing",
        default: "\"\"",
        meaning: "What signs the sessions of simple-sync's users who sign in with a password. When it is not set, the server makes a secret once and keeps it in the database. Another secret ends all sessions.",
        is_list: false,
        set: |config, value| {
            let text = value.text()?;
            let good = text.len() >= JWT_SECRET_BYTES_MIN;
            config.simple_sync.jwt_secret = good.then(|| Secret::new(text.to_owned()));
            (good || text.is_empty()).then_some(())
        },
    },
    Key {
        name: "simple_sync.strict",
        takes: "true or false",
        default: "false",
        meaning: "Whether simple-sync takes only events as its documents describe them: UUIDs of version 7, payloads that are JSON objects, users, items and actions of letters, digits and `._:-`. The original server takes more.",
        is_list: false,
        set: |config, value| {
            config.simple_sync.strict = value.switch()?;
            Some(())
        },
    },
    Key {
        name: "simple_sync.cache_bytes",
        takes: "a number of bytes from 0 to 1099511627776",
        default: "67108864",
        meaning: "How much of simple-sync's history is kept in memory, ready to be sent. A history that is larger is read from the database each time.",
        is_list: false,
        set: |config, value| {
            let bytes = value.text()?.parse::<u64>().ok().filter(|bytes| *bytes <= CACHE_BYTES_MAX)?;
            config.simple_sync.cache_bytes = usize::try_from(bytes).ok()?;
            Some(())
        },
    },
    Key {
        name: "rate_limit.auth",
        takes: "a number from 0 to 1000000",
        default: "10",
        meaning: "How often one address may sign in to td in a minute; an IPv6 network of 64 bits counts as one address. 0 for any number. Behind a proxy, set `trusted_proxies`, or all clients are one address.",
        is_list: false,
        set: |config, value| {
            config.rate_limits.auth = value.per_minute()?;
            Some(())
        },
    },
    Key {
        name: "rate_limit.push",
        takes: "a number from 0 to 1000000",
        default: "60",
        meaning: "Pushes that one key of td may send in a minute; 0 for any number.",
        is_list: false,
        set: |config, value| {
            config.rate_limits.push = value.per_minute()?;
            Some(())
        },
    },
    Key {
        name: "rate_limit.pull",
        takes: "a number from 0 to 1000000",
        default: "120",
        meaning: "Pulls that one key of td may send in a minute; 0 for any number.",
        is_list: false,
        set: |config, value| {
            config.rate_limits.pull = value.per_minute()?;
            Some(())
        },
    },
    Key {
        name: "rate_limit.other",
        takes: "a number from 0 to 1000000",
        default: "300",
        meaning: "Other requests that one key of td may send in a minute, and how often one address may ask how its sign-in is getting on; 0 for any number.",
        is_list: false,
        set: |config, value| {
            config.rate_limits.other = value.per_minute()?;
            Some(())
        },
    },
];

/// Whether `text` is a URL that a browser could open.
fn is_http_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    !rest.is_empty() && !rest.contains(|c: char| c.is_whitespace() || c.is_control())
}

impl Key {
    /// The key called `name`.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// The environment variable that sets it.
    pub(crate) fn variable(&self) -> String {
        format!("TOMBOLO_{}", self.name.replace('.', "_").to_uppercase())
    }

    /// Takes `value` in; `None`, when it is not what the key takes.
    pub(super) fn set(&self, config: &mut Config, value: &Value) -> Option<()> {
        if !self.is_list && matches!(value, Value::List(_)) {
            return None;
        }
        (self.set)(config, value)
    }
}

impl Value {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.trim()),
            Self::List(_) => None,
        }
    }

    pub(super) fn switch(&self) -> Option<bool> {
        self.text()?.parse().ok()
    }

    /// A number within bounds.
    pub(super) fn number<T: FromStr + PartialOrd>(&self, bounds: RangeInclusive<T>) -> Option<T> {
        self.text()?.parse().ok().filter(|number| bounds.contains(number))
    }

    /// A span of time: a number and its unit; without one, seconds.
    pub(super) fn span(&self, max: Duration) -> Option<Duration> {
        let text = self.text()?;
        let seconds_of = |unit: &str| match unit {
            "" | "s" => Some(1),
            "m" => Some(60),
            "h" => Some(3_600),
            "d" => Some(86_400),
            _ => None,
        };
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let seconds = number.parse::<u64>().ok()?.checked_mul(seconds_of(unit)?)?;
        Some(Duration::from_secs(seconds)).filter(|span| *span <= max)
    }

    fn per_minute(&self) -> Option<u32> {
        self.text()?.parse().ok().filter(|number| *number <= PER_MINUTE_MAX)
    }

    /// The items of a list, each read by `read`; `None` when one cannot be read.
    fn items<T>(&self, read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
        match self {
            Self::Text(text) => text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(read).collect(),
            Self::List(items) => items.iter().map(|item| read(item.trim())).collect(),
        }
    }
}
