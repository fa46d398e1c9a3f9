//! Everything of Tombolo that speaks HTTP.
//!
//! [`router`] puts it together: one layer that brings paths into one form, request ids, one log line a request, CORS,
//! compression and limits, the document of what is served, and the folders of the protocols below `protocols/`. A protocol parses, calls the service
//! once, and answers; none imports another, and none knows the store.

mod body;
mod client_address;
mod compression;
mod cors;
mod credentials;
mod failure;
mod health;
mod held_body;
mod json;
mod live;
mod methods;
mod metrics;
mod network;
mod observe;
mod openapi;
mod path;
mod problem;
mod protocols;
mod request_id;
mod router;
mod shape;
mod takeover;

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;
use tombolo_core::{Env, Secret, UserId};
use tombolo_service::{
    Admissions, Events, Feeds, Journal, Keyring, Keys, Participants, Projects, RateLimits, Replication, Rooms,
};

pub use cors::{CorsOrigins, CorsOriginsError};
pub use metrics::{LimitClass, MailFate, Metrics, SignInStep, Taken, Volume};
pub use network::{Network, NetworkError};
pub use openapi::openapi;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub use protocols::rooms::fuzz_room_socket;
pub use protocols::rooms::{Arriving, room_codec};
pub use protocols::simple_sync::{
    Explained, ListRuleShown, RuleShown, explain, is_simple_sync_ruling, simple_sync_codec,
};
pub use protocols::td::{APPROVE_PATH, invitation_letter};
pub use protocols::tickit::TickitPolicy;
pub use protocols::wellbeing::WellbeingPolicy;
pub use router::{router, routes};
pub use takeover::{Afterwards, Takeover};

/// What the routes need.
pub struct App {
    /// Who may come in.
    pub keyring: Arc<Keyring>,
    /// What replicas do with their logs.
    pub replication: Replication,
    /// What several people share.
    pub projects: Projects,
    /// What they append to their logs.
    pub journal: Journal,
    /// What users do with their own keys.
    pub keys: Keys,
    /// Projects' logs as they grow.
    pub feeds: Feeds,
    /// The log of events that is guarded by rules.
    pub events: Events,
    /// Who takes part in it.
    pub participants: Participants,
    /// Rooms, and who is in them.
    pub rooms: Arc<Rooms>,
    /// What arrives on their sockets.
    pub arriving: Arriving,
    /// Becomes true when the server is ending: what stays connected ends then.
    pub stopping: watch::Receiver<bool>,
    /// How often they may ask.
    pub rate_limits: RateLimits,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// How devices sign in.
    pub admissions: Arc<Admissions>,
    /// Clock and randomness.
    pub env: Arc<dyn Env>,
    /// How it is served.
    pub options: Options,
}

/// How the routes are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whether Tickit is served.
    pub tickit: bool,
    /// Whether td is served.
    pub td: bool,
    /// Whether td's `exclude_client` leaves a client's own events out: replicas may then differ for ever.
    pub td_exclude_client: bool,
    /// Whether simple-sync is served.
    pub simple_sync: bool,
    /// Whether it takes only what its documents describe, and refuses what its original server takes beyond that.
    pub simple_sync_strict: bool,
    /// What signs its sessions, if its owner said so; else the server's own secret.
    pub jwt_secret: Option<Secret>,
    /// Whether rooms are served.
    pub rooms: bool,
    /// Whose rooms everybody reaches without a key; `None` where it takes one.
    pub rooms_open_to: Option<UserId>,
    /// Whether wellbeing is served.
    pub wellbeing: bool,
    /// Where devices reach the server, if its owner said so.
    pub public_url: Option<String>,
    /// A path that a proxy passes on in front of every route, such as `/sync`; without one, `/tickit` alone is taken.
    pub path_prefix: Option<String>,
    /// Proxies whose word on the client's address is taken.
    pub trusted_proxies: Vec<Network>,
    /// Which web pages may use the server.
    pub cors_origins: CorsOrigins,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tickit: true,
            td: true,
            td_exclude_client: false,
            simple_sync: true,
            simple_sync_strict: false,
            jwt_secret: None,
            rooms: true,
            rooms_open_to: None,
            wellbeing: true,
            public_url: None,
            path_prefix: None,
            trusted_proxies: Vec::new(),
            cors_origins: CorsOrigins::None,
        }
    }
}

/// The address that a request without a known peer is counted under: only tests have such requests.
const NO_ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
