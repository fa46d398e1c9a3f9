//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::Overrides;

/// Tombolo: the sync server you can trust with offline writes.
#[derive(Debug, Parser)]
#[command(name = "tombolo", version)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The data folder
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The database: the path of a SQLite file, or postgres://… [default: tombolo.db in the data folder]
    #[arg(long, global = true, value_name = "PATH|URL")]
    pub(crate) database: Option<String>,
    /// The configuration file [default: tombolo.toml in the data folder, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Sets one key of the configuration, over file and environment
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Answers in JSON, on one line
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What there is to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Makes the data folder, the database and a configuration file; overwrites nothing
    Init,
    /// Runs the server
    Serve(ServeArgs),
    /// Makes, lists and revokes the tokens that let devices in
    Token(TokenArgs),
    /// Adds, lists, disables and deletes users
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Lists and approves sign-ins that wait: on a server without mail, you let devices in
    Login {
        #[command(subcommand)]
        command: LoginCommand,
    },
    /// Lists, deletes and restores projects, whoever's they are
    Project {
        #[command(subcommand)]
        command: ProjectCommand,
    },
    /// Lists rooms, and shows and restores what their documents said before
    Room {
        #[command(subcommand)]
        command: RoomCommand,
    },
    /// Shows the rules of simple-sync, and explains what they decide
    Acl {
        #[command(subcommand)]
        command: AclCommand,
    },
    /// Lists the writes that were refused, newest first
    Refused {
        /// Only those of this user
        #[arg(long)]
        user: Option<String>,
    },
    /// Reads everything that is stored, and names what is damaged
    Check,
    /// Moves everything from a SQLite file to PostgreSQL, while the server goes on until the last moment
    ///
    /// It may be interrupted at any time, and run again. The password need not be in the URL: PGPASSWORD and ~/.pgpass
    /// count too.
    Migrate(MigrateArgs),
}

/// How to serve.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to listen; may be given several times. Port 0 takes a free port
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Vec<String>,
    /// The origin of web pages that may use the server, with its scheme; may be given several times, * for any
    #[arg(long, value_name = "URL")]
    pub(crate) cors_origin: Vec<String>,
    /// Who reaches rooms: whoever has a key, everybody, or nobody [default: as configured, else key]
    #[arg(long, value_name = "key|open|off")]
    pub(crate) rooms: Option<RoomsFlag>,
}

/// Who reaches rooms.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RoomsFlag {
    /// Whoever has a key.
    Key,
    /// Everybody who reaches the server.
    Open,
    /// Nobody: they are not served.
    Off,
}

/// What to move.
#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// The SQLite file, as a path or sqlite://PATH [default: the configured database]
    #[arg(long, value_name = "PATH")]
    pub(crate) from: Option<String>,
    /// The empty PostgreSQL database, as postgres://…
    #[arg(long, value_name = "URL", required_unless_present = "undo")]
    pub(crate) to: Option<String>,
    /// Gives the file back to its server instead: only as long as nothing was written to the new database
    #[arg(long, conflicts_with = "to")]
    pub(crate) undo: bool,
}

/// What to do with tokens: make one, list them, or revoke one.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("action").required(true).multiple(true).args(["name", "purpose", "list", "revoke"]))]
#[command(group = clap::ArgGroup::new("making").multiple(true).args(["name", "purpose"]).conflicts_with_all(["list", "revoke"]))]
pub(crate) struct TokenArgs {
    /// Makes a token of this name, for one device
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Prints nothing but the new token, for scripts; for rooms, nothing but the URL with it
    #[arg(long, requires = "making", conflicts_with = "json")]
    pub(crate) quiet: bool,
    /// Lists the tokens, of all users unless --user is given
    #[arg(long, conflicts_with = "revoke")]
    pub(crate) list: bool,
    /// Revokes the token of this name, at once
    #[arg(long, value_name = "NAME")]
    pub(crate) revoke: Option<String>,
    /// Whose it is [default: owner]
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// Makes a token that opens this protocol: tickit, td, simple-sync, rooms or wellbeing [default: tickit]; without --name it gets one
    #[arg(long = "for", value_name = "PROTOCOL")]
    pub(crate) purpose: Option<String>,
    /// Days until it ends [default: 365 for td, else it does not end]
    #[arg(long, value_name = "DAYS", requires = "making", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub(crate) expires: Option<u32>,
}

/// What to do with users.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Adds a user
    Add {
        /// The user's name
        name: String,
        /// The user's e-mail address
        #[arg(long)]
        email: Option<String>,
        /// Reads a line of standard input: the password with which they sign in to simple-sync
        #[arg(long)]
        password_stdin: bool,
    },
    /// Sets the password with which a user signs in to simple-sync: a line of standard input
    Password {
        /// What they sign in with, or the user's name
        name: String,
    },
    /// Lists the users
    List,
    /// Disables a user: its tokens open nothing any more, at once
    Disable {
        /// The user's name
        name: String,
    },
    /// Deletes a user, with all that is theirs alone; what they shared with others stays
    ///
    /// The last owner of a project is not deleted. It cannot be undone.
    Delete {
        /// The user's name
        name: String,
        /// Does not ask
        #[arg(long)]
        yes: bool,
    },
}

/// What to do with sign-ins.
#[derive(Debug, Subcommand)]
pub(crate) enum LoginCommand {
    /// Lists the sign-ins that wait for their approval
    List,
    /// Approves a sign-in, and makes its address an account if it has none
    ///
    /// Approve only one that you know of: whoever started it comes in.
    Approve {
        /// Its code, as 'tombolo login list' or the device shows it
        code: String,
    },
}

/// What to know of simple-sync's rules.
#[derive(Debug, Subcommand)]
pub(crate) enum AclCommand {
    /// Lists the rules in force, oldest first
    List,
    /// Says whether somebody may do something, and which rule says so
    Explain {
        /// Who
        user: String,
        /// To what
        item: String,
        /// What
        action: String,
        /// As for one who signs in with a password: the ordered list binds them, once one was put
        #[arg(long)]
        first_generation: bool,
    },
}

/// What to do with projects.
#[derive(Debug, Subcommand)]
pub(crate) enum ProjectCommand {
    /// Lists the projects, deleted ones too
    List,
    /// Deletes a project: its members do not reach it any more, at once
    Delete {
        /// The project's id, as the list shows it
        id: String,
    },
    /// Brings a deleted project back, within 30 days
    Restore {
        /// The project's id, as the list shows it
        id: String,
    },
}

/// What to do with rooms.
#[derive(Debug, Subcommand)]
pub(crate) enum RoomCommand {
    /// Lists the rooms of a user
    List {
        #[command(flatten)]
        whose: Whose,
    },
    /// Lists the versions of a room's document that are kept, newest first
    History {
        /// The room's code
        code: String,
        #[command(flatten)]
        whose: Whose,
    },
    /// Writes a room's document to standard output, as it is
    Show {
        /// The room's code
        code: String,
        /// The version's number, as the history shows it [default: the newest]
        version: Option<String>,
        #[command(flatten)]
        whose: Whose,
    },
    /// Makes what a version says the document again: as a new version, which whoever is in the room is sent at once
    Restore {
        /// The room's code
        code: String,
        /// The version's number, as the history shows it
        version: String,
        #[command(flatten)]
        whose: Whose,
    },
}

/// Whose rooms are meant.
#[derive(Debug, Args)]
pub(crate) struct Whose {
    /// Whose it is [default: owner]
    #[arg(long)]
    pub(crate) user: Option<String>,
}

impl Global {
    /// What the command line says of the configuration, the flags of `serve` included where it is that command.
    pub(crate) fn overrides(&self, serve: Option<&ServeArgs>) -> Overrides {
        let data = self.data.iter().map(|folder| ("--data", "data", folder.to_string_lossy().into_owned()));
        let database = self.database.iter().map(|database| ("--database", "database", database.clone()));
        let list = |items: &Vec<String>| (!items.is_empty()).then(|| items.join(","));
        let listen = serve.and_then(|serve| list(&serve.listen)).map(|listen| ("--listen", "listen", listen));
        let origins = serve.and_then(|serve| list(&serve.cors_origin));
        let origins = origins.map(|origins| ("--cors-origin", "cors.origins", origins));
        let rooms = serve.and_then(|serve| serve.rooms).map_or(&[][..], RoomsFlag::keys);
        let rooms = rooms.iter().map(|(key, value)| ("--rooms", *key, (*value).to_owned()));
        Overrides {
            file: self.config.clone(),
            set: self.set.clone(),
            flags: data.chain(database).chain(listen).chain(origins).chain(rooms).collect(),
        }
    }
}

impl RoomsFlag {
    /// What it says of the configuration.
    const fn keys(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Key => &[("protocols.rooms", "true"), ("rooms.access", "key")],
            Self::Open => &[("protocols.rooms", "true"), ("rooms.access", "open")],
            Self::Off => &[("protocols.rooms", "false")],
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_of_serve_that_are_given_several_times_are_one_list() {
        let words = ["tombolo", "serve", "--cors-origin", "https://a.example", "--cors-origin", "https://b.example"];
        let cli = Cli::parse_from(words);
        let Command::Serve(args) = &cli.command else { panic!("it is serve") };
        let both = ("--cors-origin", "cors.origins", "https://a.example,https://b.example".to_owned());
        assert_eq!(cli.global.overrides(Some(args)).flags, [both]);
        assert_eq!(cli.global.overrides(None).flags, []);
    }

    #[test]
    fn who_reaches_rooms_is_one_flag_over_two_keys() {
        let check = |flag: &str, expected: &[(&str, &str)]| {
            let cli = Cli::parse_from(["tombolo", "serve", "--rooms", flag]);
            let Command::Serve(args) = &cli.command else { panic!("it is serve") };
            let said = cli.global.overrides(Some(args)).flags;
            let said: Vec<_> = said.iter().map(|(flag, key, value)| (*flag, *key, value.as_str())).collect();
            let expected: Vec<_> = expected.iter().map(|(key, value)| ("--rooms", *key, *value)).collect();
            assert_eq!(said, expected);
        };
        check("key", &[("protocols.rooms", "true"), ("rooms.access", "key")]);
        check("open", &[("protocols.rooms", "true"), ("rooms.access", "open")]);
        check("off", &[("protocols.rooms", "false")]);
        assert!(Cli::try_parse_from(["tombolo", "serve", "--rooms", "on"]).is_err());
    }
}
