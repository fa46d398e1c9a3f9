//! What the commands do, a file each.

mod acl;
mod check;
mod init;
mod login;
mod migrate;
mod password;
mod project;
mod refused;
mod room;
mod serve;
mod token;
mod user;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use tombolo_core::{Env, Name, Purpose, ServerTime};
use tombolo_service::{
    AccessChanges, Events, IdentityAdded, Keyring, NewIdentity, Participants, ROOT, Username, Watchers,
};
use tombolo_storage::postgres::{self, Postgres};
use tombolo_storage::sqlite::{Role, Sqlite};
use tombolo_storage::{Accounts, Store, StoreError, User};

use crate::cli::{Cli, Command, Global, UserCommand};
use crate::config::{Config, Database, Environment};
use crate::env::SystemEnv;
use crate::folder;

/// The user whose name need not be given: most servers have one person.
const OWNER: &str = "owner";

/// Does what the command line says.
///
/// # Errors
/// When nothing was done, in words that say what to do about it.
pub(crate) fn run(cli: Cli) -> anyhow::Result<()> {
    let serve = if let Command::Serve(args) = &cli.command { Some(args) } else { None };
    let config = Config::load(&Environment::of_process(), &cli.global.overrides(serve))?;
    let how = Answers { json: cli.global.json };
    if needs_database(&cli.command) && config.database().file().is_some_and(|file| !file.exists()) {
        bail!("there is no database {}; --data says where to look", config.database());
    }
    match cli.command {
        Command::Init => init::run(&config, how),
        Command::Serve(_) => serve::run(&config),
        Command::Token(args) => on_store(&config, async |desk| token::run(desk, args, how).await),
        Command::User { command } => on_store(&config, async |desk| user::run(desk, command, how).await),
        Command::Login { command } => {
            on_store(&config, async |desk| login::run(desk, command, &place(&cli.global, &config), how).await)
        }
        Command::Acl { command } => on_store(&config, async |desk| acl::run(desk, command, how).await),
        Command::Project { command } => on_store(&config, async |desk| project::run(desk, command, how).await),
        Command::Room { command } => on_store(&config, async |desk| room::run(desk, command, how).await),
        Command::Refused { user } => on_store(&config, async |desk| refused::run(desk, user, how).await),
        Command::Check => on_store(&config, async |desk| check::run(desk, how).await),
        Command::Migrate(args) => migrate::run(&config, &args, how),
    }
}

/// Whether a command is about what is there already. The others make the database, as the server does.
fn needs_database(command: &Command) -> bool {
    match command {
        Command::Init | Command::Serve(_) | Command::Migrate(_) => false,
        Command::Token(args) => args.list || args.revoke.is_some(),
        Command::User { command } => !matches!(command, UserCommand::Add { .. }),
        Command::Acl { .. }
        | Command::Login { .. }
        | Command::Project { .. }
        | Command::Room { .. }
        | Command::Refused { .. }
        | Command::Check => true,
    }
}

/// The flags that lead the next command to the same database: those that were given, each after a space. A database is
/// named without its password.
fn place(global: &Global, config: &Config) -> String {
    let data = global.data.iter().map(|folder| ("--data", folder.display().to_string()));
    let database = global.database.iter().map(|_| ("--database", config.database().to_string()));
    let file = global.config.iter().map(|file| ("--config", file.display().to_string()));
    data.chain(database).chain(file).map(|(flag, value)| format!(" {flag} {}", pasted(&value))).collect()
}

/// How the operator wants to be answered.
#[derive(Clone, Copy, Debug)]
struct Answers {
    json: bool,
}

/// What a command works with: the store, also beside a running server.
struct Desk<'a> {
    config: &'a Config,
    store: Arc<dyn Store>,
}

/// Opens the store, works on it, and closes it. Where there is none, folder and database are made, as the server does.
fn on_store(config: &Config, work: impl AsyncFnOnce(&Desk<'_>) -> anyhow::Result<()>) -> anyhow::Result<()> {
    crate::telemetry::start(config.log);
    make_folder(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(async {
        let desk = Desk { config, store: open_store(config, Role::Tool).await? };
        let done = work(&desk).await;
        done.and(desk.store.close().await.map_err(explain))
    })
}

/// Makes the data folder, where the database is a file.
fn make_folder(config: &Config) -> anyhow::Result<()> {
    if config.database().file().is_some() { folder::make(&config.data) } else { Ok(()) }
}

/// Opens the store that the configuration names. What lives in a runtime, lives in the present one.
async fn open_store(config: &Config, role: Role) -> anyhow::Result<Arc<dyn Store>> {
    let (database, env) = (config.database(), Arc::new(SystemEnv));
    let store: Result<Arc<dyn Store>, StoreError> = match &database {
        Database::Sqlite(path) => Sqlite::open(path, role, env).map(|store| Arc::new(store) as _),
        Database::Postgres(url) => {
            let listen_url = config.postgres.listen_url.as_ref().map(|url| url.url.clone());
            let connections_max = config.postgres.connections_max;
            let options = postgres::Options { url: url.url.clone(), listen_url, connections_max };
            Postgres::open(options, env).await.map(|store| Arc::new(store) as _)
        }
    };
    store.with_context(|| format!("cannot open the database {database}"))
}

fn explain(error: StoreError) -> anyhow::Error {
    anyhow::Error::new(error).context("the database could not be used")
}

impl Desk<'_> {
    fn keyring(&self) -> Keyring {
        let store: Arc<dyn Accounts> = self.store.clone();
        Keyring::new(store, Arc::new(SystemEnv))
    }

    fn participants(&self) -> Participants {
        let (store, env): (Arc<dyn Store>, Arc<dyn Env>) = (self.store.clone(), Arc::new(SystemEnv));
        Participants::new(store, env, Arc::new(self.keyring()), Purpose::SimpleSync)
    }

    /// The log of simple-sync, of which a command keeps nothing.
    fn events(&self) -> Events {
        let (store, env): (Arc<dyn Store>, Arc<dyn Env>) = (self.store.clone(), Arc::new(SystemEnv));
        let (watchers, changes) = (Arc::new(Watchers::new(store.clone())), Arc::new(AccessChanges::default()));
        Events::new(store, env, Arc::new(self.keyring()), watchers, changes, tombolo_http::simple_sync_codec(), 0)
    }

    /// The user called `name`, who must exist.
    async fn user(&self, name: &str) -> anyhow::Result<User> {
        let name = parse_name("user", name)?;
        match self.store.user(&name).await.map_err(explain)? {
            Some(user) => Ok(user),
            None => bail!("there is no user {name}; add it with: tombolo user add {}", quoted(&name)),
        }
    }

    /// The user who may do everything in simple-sync, and is made on first use.
    async fn root(&self) -> anyhow::Result<User> {
        let new = NewIdentity {
            purpose: Purpose::SimpleSync,
            subject: parse_name("user", ROOT)?,
            username: Username::Subject,
            password: None,
        };
        let added = self.store.add_identity(new, SystemEnv.now()).await.map_err(explain)?;
        let (IdentityAdded::New(id) | IdentityAdded::Known(id)) = added else {
            bail!("{ROOT} could not be made");
        };
        self.store.user_by_id(id).await.map_err(explain)?.context("the user has just gone")
    }

    /// The user called `name`, or the owner, who is made on first use.
    async fn user_or_owner(&self, name: Option<&str>, now: ServerTime) -> anyhow::Result<User> {
        if let Some(name) = name.filter(|name| *name != OWNER) {
            return self.user(name).await;
        }
        let owner = parse_name("user", OWNER)?;
        if self.store.user(&owner).await.map_err(explain)?.is_none() {
            self.store.add_user(&owner, None, now).await.map_err(explain)?;
        }
        self.user(OWNER).await
    }
}

/// A name from the command line; `what` says whose.
fn parse_name(what: &str, text: &str) -> anyhow::Result<Name> {
    Name::parse(text).with_context(|| format!("\"{text}\" cannot be the name of a {what}"))
}

/// A name as it can be pasted into a shell.
fn quoted(name: &Name) -> String {
    pasted(name.as_str())
}

/// A text as it can be pasted into a shell.
fn pasted(text: &str) -> String {
    let is_plain =
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.@/".contains(&byte));
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// What stands for the address of a machine that listens on all that it has.
const THIS_MACHINE: &str = "ADDRESS-OF-THIS-MACHINE";

/// What devices should be told: the public URL, else the `first` address listened on, as far as it says anything.
fn server_url(config: &Config, first: Option<&SocketAddr>) -> String {
    config.public_url.clone().unwrap_or_else(|| match first {
        Some(address) if !address.ip().is_unspecified() => format!("http://{address}"),
        Some(address) => format!("http://{THIS_MACHINE}:{}", address.port()),
        None => format!("http://{THIS_MACHINE}:3030"),
    })
}

/// What a client sent, without what would move a terminal's cursor.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn show(time: Option<ServerTime>) -> String {
    time.map_or_else(|| "never".to_owned(), |time| time.to_string())
}
