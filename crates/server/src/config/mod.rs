//! What the operator decides, and where it was said.
//!
//! One table ([`KEYS`]) holds every key with its meaning. A key can be set in the configuration file, in the
//! environment and on the command line, in rising order of strength; whatever is unknown or unreadable is an error
//! that names the key and the place.

mod database;
mod keys;
mod mail;
mod room_keys;
mod sources;

use std::net::SocketAddr;
use std::path::PathBuf;

pub(crate) use database::{Database, PostgresUrl};
pub(crate) use keys::{KEYS, Key};
pub(crate) use mail::{MailConfig, Sender, SmtpUrl};
pub(crate) use sources::{Environment, Overrides};
use tombolo_core::Secret;
use tombolo_http::{CorsOrigins, Network};
use tombolo_service::{RateLimitOptions, RoomOptions};
use tombolo_storage::postgres;

/// The configuration, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// The data folder.
    pub(crate) data: PathBuf,
    /// The database as it was named.
    database: Database,
    /// How PostgreSQL is used.
    pub(crate) postgres: PostgresConfig,
    /// Where the server listens; never empty.
    pub(crate) listen: Vec<SocketAddr>,
    /// The address under which devices reach the server, without a slash at its end.
    pub(crate) public_url: Option<String>,
    /// Proxies whose word on the client's address counts.
    pub(crate) trusted_proxies: Vec<Network>,
    /// Which web pages may use the server.
    pub(crate) cors_origins: CorsOrigins,
    /// Whether people may add themselves.
    pub(crate) allow_signup: bool,
    /// How mail is sent.
    pub(crate) mail: MailConfig,
    /// How td is served.
    pub(crate) td: TdConfig,
    /// How simple-sync is served.
    pub(crate) simple_sync: SimpleSyncConfig,
    /// How rooms are served.
    pub(crate) rooms: RoomsConfig,
    /// How the log is written.
    pub(crate) log: LogConfig,
    /// Which protocols are served.
    pub(crate) protocols: Protocols,
    /// How often clients of td may ask.
    pub(crate) rate_limits: RateLimitOptions,
}

/// How PostgreSQL is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PostgresConfig {
    /// Connections of this node.
    pub(crate) connections_max: u32,
    /// Where notifications are heard, when it is not where everything else goes.
    pub(crate) listen_url: Option<PostgresUrl>,
}

/// How td is served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TdConfig {
    /// The page that signs in with a browser; without one, none does.
    pub(crate) web_callback_url: Option<String>,
    /// Whether a client's own events are left out of what it pulls, where it asks for that.
    pub(crate) exclude_client: bool,
}

/// How simple-sync is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SimpleSyncConfig {
    /// What signs its sessions; without one, the server makes and keeps its own.
    pub(crate) jwt_secret: Option<Secret>,
    /// Whether it takes only what its documents describe.
    pub(crate) strict: bool,
    /// What of the history is kept encoded.
    pub(crate) cache_bytes: usize,
}

impl SimpleSyncConfig {
    /// A history of some hundred thousand events, in both forms and compressed.
    const CACHE_BYTES: usize = 64 << 20;
}

impl Default for SimpleSyncConfig {
    fn default() -> Self {
        Self { jwt_secret: None, strict: false, cache_bytes: Self::CACHE_BYTES }
    }
}

/// How rooms are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RoomsConfig {
    /// Who reaches them.
    pub(crate) access: RoomAccess,
    /// How much of everything they may have.
    pub(crate) options: RoomOptions,
}

/// Who reaches rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RoomAccess {
    /// Whoever has a key.
    Key,
    /// Everybody who reaches the server.
    Open,
}

impl RoomsConfig {
    /// That what must hold what else may come does hold it: else it would be allowed, and could never be sent.
    fn check(&self) -> Result<(), ConfigError> {
        let RoomOptions { document_bytes_max, broadcast_bytes_max, message_bytes_max, arriving_bytes_max, .. } =
            self.options;
        let pairs = [
            (("message_bytes", message_bytes_max), ("document_bytes", document_bytes_max)),
            (("message_bytes", message_bytes_max), ("broadcast_bytes", broadcast_bytes_max)),
            (("arriving_bytes", arriving_bytes_max), ("message_bytes", message_bytes_max)),
        ];
        for ((outer, outer_bytes), (inner, inner_bytes)) in pairs {
            if outer_bytes < inner_bytes {
                return Err(ConfigError(format!(
                    "rooms.{outer} ({outer_bytes}) must not be less than rooms.{inner} ({inner_bytes})"
                )));
            }
        }
        Ok(())
    }
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogConfig {
    /// Its form.
    pub(crate) format: LogFormat,
    /// The least that is written; `None` for nothing.
    pub(crate) level: Option<tracing::Level>,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Which protocols are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Protocols {
    /// The Tickit task manager's.
    pub(crate) tickit: bool,
    /// The td task manager's.
    pub(crate) td: bool,
    /// That of apps which keep histories of events.
    pub(crate) simple_sync: bool,
    /// That of rooms, the Khun Phaen task tracker's.
    pub(crate) rooms: bool,
    /// That of wellbeing apps.
    pub(crate) wellbeing: bool,
}

/// Why the configuration cannot be used: which key, said where, and what is allowed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ConfigError(String);

impl Config {
    /// The file in the data folder that is read when no other is named.
    pub(crate) const FILE_NAME: &'static str = "tombolo.toml";

    /// Reads the configuration from the file, the environment and the command line.
    ///
    /// The file is the one that the command line names, else the one in `TOMBOLO_CONFIG`, else `tombolo.toml` in the
    /// data folder if there is one.
    ///
    /// # Errors
    /// [`ConfigError`] when a named file is missing or no TOML, a key is unknown, or a value is not allowed, or not beside
    /// another one.
    pub(crate) fn load(environment: &Environment, overrides: &Overrides) -> Result<Self, ConfigError> {
        let stronger: Vec<_> = environment.assignments()?.into_iter().chain(overrides.assignments(KEYS)?).collect();
        let mut config = Self::defaults(environment);
        // Applied a first time to learn the data folder, in which the file may lie.
        for assignment in &stronger {
            assignment.apply(&mut config)?;
        }
        if let Some(file) = sources::find_file(environment, overrides, &config.data) {
            config = Self::defaults(environment);
            for assignment in sources::read_file(&file)?.iter().chain(&stronger) {
                assignment.apply(&mut config)?;
            }
        }
        config.rooms.check()?;
        Ok(config)
    }

    /// The database.
    pub(crate) fn database(&self) -> Database {
        self.database.within(&self.data)
    }

    /// The path of the public URL, which a proxy may pass on in front of every route.
    pub(crate) fn path_prefix(&self) -> Option<String> {
        let (_, rest) = self.public_url.as_deref()?.split_once("://")?;
        rest.find('/').map(|at| rest[at..].to_owned())
    }

    fn defaults(environment: &Environment) -> Self {
        Self {
            data: environment.default_data(),
            database: Database::Sqlite(PathBuf::from("tombolo.db")),
            postgres: PostgresConfig { connections_max: postgres::Options::CONNECTIONS, listen_url: None },
            listen: vec![SocketAddr::from(([0, 0, 0, 0], 3030))],
            public_url: None,
            trusted_proxies: Vec::new(),
            cors_origins: CorsOrigins::None,
            allow_signup: false,
            mail: MailConfig::default(),
            td: TdConfig::default(),
            simple_sync: SimpleSyncConfig::default(),
            log: LogConfig { format: LogFormat::Text, level: Some(tracing::Level::INFO) },
            rooms: RoomsConfig { access: RoomAccess::Key, options: RoomOptions::default() },
            protocols: Protocols { tickit: true, td: true, simple_sync: true, rooms: true, wellbeing: true },
            rate_limits: RateLimitOptions::default(),
        }
    }
}

#[cfg(test)]
mod tests;
