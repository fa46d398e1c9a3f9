use std::path::Path;

use tombolo_http::CorsOrigins;

use super::*;

struct Setting {
    environment: Environment,
    overrides: Overrides,
    folder: PathBuf,
}

impl Setting {
    /// A setting whose data folder is new, empty and called after the test.
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("tombolo-config-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut environment = Environment::default();
        environment.variables.insert("TOMBOLO_DATA".to_owned(), folder.to_str().unwrap().to_owned());
        Self { environment, overrides: Overrides::default(), folder }
    }

    fn file(self, text: &str) -> Self {
        std::fs::write(self.folder.join(Config::FILE_NAME), text).unwrap();
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    fn set(mut self, text: &str) -> Self {
        self.overrides.set.push(text.to_owned());
        self
    }

    fn load(&self) -> Result<Config, ConfigError> {
        Config::load(&self.environment, &self.overrides)
    }

    fn error(&self) -> String {
        self.load().unwrap_err().to_string()
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn nothing_said_means_the_defaults() {
    let setting = Setting::new("defaults");
    let config = setting.load().unwrap();
    assert_eq!(config.listen, [SocketAddr::from(([0, 0, 0, 0], 3030))]);
    assert_eq!(config.database().file(), Some(&*setting.folder.join("tombolo.db")));
    assert!(config.protocols.tickit && config.protocols.td && !config.td.exclude_client);
    assert_eq!(config.rate_limits, RateLimitOptions { auth: 10, push: 60, pull: 120, other: 300 });
}

#[test]
fn a_limit_is_a_number_of_requests_or_none() {
    let at = |text: &str| Setting::new("limits").set(text).load().map(|config| config.rate_limits);
    let defaults = RateLimitOptions::default();
    assert_eq!(at("rate_limit.auth=5"), Ok(RateLimitOptions { auth: 5, ..defaults }));
    assert_eq!(at("rate_limit.push=0"), Ok(RateLimitOptions { push: 0, ..defaults }));
    assert_eq!(at("rate_limit.pull=1000000"), Ok(RateLimitOptions { pull: 1_000_000, ..defaults }));
    assert_eq!(at("rate_limit.other= 7 "), Ok(RateLimitOptions { other: 7, ..defaults }));
    for bad in [
        "rate_limit.auth=1000001",
        "rate_limit.push=-1",
        "rate_limit.pull=1.5",
        "rate_limit.other=",
        "rate_limit.auth=ten",
    ] {
        let error = at(bad).unwrap_err().to_string();
        assert!(error.contains("a number from 0 to 1000000"), "{bad}: {error}");
    }
    let table =
        Setting::new("limits-table").file("[rate_limit]\nauth = 3\n[td]\nexclude_client = true\n").load().unwrap();
    assert_eq!((table.rate_limits.auth, table.td.exclude_client), (3, true));
}

#[test]
fn the_command_line_wins_over_the_environment_over_the_file() {
    let file = "listen = '127.0.0.1:1, [::1]:2'\n[log]\nlevel = 'warn'\nformat = 'json'\n";
    let setting = Setting::new("strength").file(file);
    assert_eq!(setting.load().unwrap().listen.len(), 2);
    assert_eq!(setting.load().unwrap().log.level, Some(tracing::Level::WARN));
    let setting = setting.variable("TOMBOLO_LOG_LEVEL", "error");
    assert_eq!(setting.load().unwrap().log.level, Some(tracing::Level::ERROR));
    let mut setting = setting.set("log.level=off").set("listen=127.0.0.1:3");
    assert_eq!(setting.load().unwrap().log, LogConfig { format: LogFormat::Json, level: None });
    assert_eq!(setting.load().unwrap().listen, [SocketAddr::from(([127, 0, 0, 1], 3))]);
    setting.overrides.flags.push(("--listen", "listen", "127.0.0.1:4".to_owned()));
    assert_eq!(setting.load().unwrap().listen, [SocketAddr::from(([127, 0, 0, 1], 4))]);
}

#[test]
fn lists_are_arrays_or_stand_between_commas() {
    let array = Setting::new("array").file("trusted_proxies = ['10.0.0.0/8', '::1']");
    let commas = Setting::new("commas").variable("TOMBOLO_TRUSTED_PROXIES", "10.0.0.0/8,::1,");
    assert_eq!(array.load().unwrap().trusted_proxies, commas.load().unwrap().trusted_proxies);
    assert_eq!(array.load().unwrap().trusted_proxies.len(), 2);
}

#[test]
fn pages_are_listed_by_origin_or_any_is_let_in() {
    let at = |text: &str| Setting::new("cors").set(&format!("cors.origins={text}")).load();
    let list = |origins: &[&str]| CorsOrigins::List(origins.iter().map(|&origin| origin.to_owned()).collect());
    assert_eq!(Setting::new("cors-none").load().unwrap().cors_origins, CorsOrigins::None);
    assert_eq!(at("").unwrap().cors_origins, CorsOrigins::None);
    assert_eq!(at("*").unwrap().cors_origins, CorsOrigins::Any);
    let two = at("https://app.example.org, HTTP://localhost:8081").unwrap();
    assert_eq!(two.cors_origins, list(&["https://app.example.org", "http://localhost:8081"]));
    let file = Setting::new("cors-file").file("[cors]\norigins = ['https://app.example.org']").load().unwrap();
    assert_eq!(file.cors_origins, list(&["https://app.example.org"]));
    for bad in ["app.example.org", "https://app.example.org/page", "*,https://app.example.org", "null"] {
        let error = at(bad).unwrap_err().to_string();
        assert!(error.contains("cors.origins") && error.contains("scheme://host[:port]"), "{bad}: {error}");
    }
}

#[test]
fn an_error_names_the_key_the_place_and_what_is_allowed() {
    let check = |setting: Setting, parts: &[&str]| {
        let error = setting.error();
        for part in parts {
            assert!(error.contains(part), "{part} is missing in: {error}");
        }
    };
    check(Setting::new("e1").file("lisen = ''"), &["unknown key lisen", "tombolo.toml", "listen"]);
    check(Setting::new("e2").file("[log]\nlevle = ''"), &["unknown key log.levle", "log.level"]);
    check(Setting::new("e3").file("[logs]\nlevel = ''"), &["unknown key logs"]);
    check(Setting::new("e4").file("listen = 3030"), &["listen", "tombolo.toml", "ADDRESS:PORT"]);
    check(Setting::new("e5").file("log = 'json'"), &["unknown key log"]);
    check(Setting::new("e6").file("listen = ["), &["tombolo.toml"]);
    check(Setting::new("e7").variable("TOMBOLO_LOG_LEVEL", "loud"), &["log.level", "TOMBOLO_LOG_LEVEL", "trace"]);
    check(Setting::new("e8").variable("TOMBOLO_PORT", "1"), &["TOMBOLO_PORT", "TOMBOLO_LISTEN"]);
    check(Setting::new("e9").set("allow_signup=yes"), &["allow_signup", "--set", "true or false"]);
    check(Setting::new("e10").set("nothing"), &["--set", "KEY=VALUE"]);
    check(Setting::new("e11").set("listen="), &["listen", "ADDRESS:PORT"]);
    check(Setting::new("e12").set("public_url=example.org"), &["public_url", "https://"]);
    check(Setting::new("e13").set("trusted_proxies=proxy"), &["trusted_proxies", "10.0.0.0/8"]);
    check(Setting::new("e14").file("data = ['a']"), &["data", "a folder"]);
    check(Setting::new("e15").variable("TOMBOLO_CONFIG", "/nowhere/tombolo.toml"), &["/nowhere/tombolo.toml"]);
}

#[test]
fn a_database_is_a_file_or_a_url_whose_password_is_not_shown() {
    let at = |text: &str| Setting::new("database").set(&format!("database={text}")).load().map(|c| c.database());
    assert_eq!(at("/srv/t.db").unwrap().file(), Some(Path::new("/srv/t.db")));
    assert_eq!(at("sqlite:///srv/t.db").unwrap().file(), Some(Path::new("/srv/t.db")));
    let url = at("postgres://me:hunter2@host:5433/db?sslmode=require").unwrap();
    assert!(matches!(url, Database::Postgres(_)) && url.to_string() == "postgres://host/db", "{url}");
    assert!(!format!("{url:?}").contains("hunter2"));
    for bad in ["mysql://me:hunter2@host/db", "postgres://me:hunter2@host/db?sslmod=require", "postgres://a b:hunter2@"]
    {
        let error = at(bad).unwrap_err().to_string();
        assert!(error.contains("postgres://USER:PASSWORD@HOST") && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_mail_servers_password_is_not_shown() {
    let at = |text: &str| Setting::new("mail").set(&format!("mail.smtp_url={text}")).load();
    let config = at("smtp://me:hunter2@mail.example.org").unwrap();
    assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
    assert_eq!(at("").unwrap().mail.smtp_url, None);
    for bad in ["smtp://me:hunter2@", "imap://me:hunter2@mail.example.org", "me:hunter2@mail.example.org"] {
        let error = at(bad).unwrap_err().to_string();
        assert!(error.contains("mail.smtp_url") && !error.contains("hunter2"), "{error}");
    }
    let from =
        |text: &str| Setting::new("from").set(&format!("mail.from={text}")).load().map(|config| config.mail.from);
    assert!(from("Tombolo <sync@example.org>").unwrap().is_some());
    assert!(from("sync").unwrap_err().to_string().contains("mail.from"));
}

#[test]
fn a_secret_that_signs_sessions_is_long_and_not_shown() {
    let at = |text: &str| Setting::new("jwt").set(&format!("simple_sync.jwt_secret={text}")).load();
    let secret = "hunter2-".repeat(4);
    let config = at(&secret).unwrap();
    assert_eq!(config.simple_sync.jwt_secret.as_ref().map(Secret::reveal), Some(&*secret));
    assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
    assert_eq!(at("").unwrap().simple_sync.jwt_secret, None);
    let error = at(&secret[1..]).unwrap_err().to_string();
    assert!(error.contains("simple_sync.jwt_secret") && error.contains("32 bytes") && !error.contains("hunter2"));
    let by_variable = Setting::new("jwt-variable").variable("TOMBOLO_SIMPLE_SYNC_JWT_SECRET", &secret).load().unwrap();
    assert_eq!(by_variable.simple_sync, config.simple_sync);
}

#[test]
fn how_simple_sync_is_served() {
    let config = Setting::new("simple-sync-defaults").load().unwrap();
    assert!(config.protocols.simple_sync && !config.simple_sync.strict);
    assert_eq!(config.simple_sync.cache_bytes, 67_108_864);
    let file = "[protocols]\nsimple_sync = false\n[simple_sync]\nstrict = true\ncache_bytes = 0\n";
    let config = Setting::new("simple-sync").file(file).load().unwrap();
    assert!(!config.protocols.simple_sync && config.simple_sync.strict);
    assert_eq!(config.simple_sync.cache_bytes, 0);
    for bad in ["-1", "1099511627777", "64M", ""] {
        let error = Setting::new("cache").set(&format!("simple_sync.cache_bytes={bad}")).error();
        assert!(error.contains("a number of bytes from 0 to 1099511627776"), "{bad}: {error}");
    }
}

#[test]
fn whether_wellbeing_is_served() {
    assert!(Setting::new("wellbeing-defaults").load().unwrap().protocols.wellbeing);
    assert!(!Setting::new("wellbeing").set("protocols.wellbeing=false").load().unwrap().protocols.wellbeing);
}

#[test]
fn how_rooms_are_served() {
    let config = Setting::new("rooms-defaults").load().unwrap();
    assert!(config.protocols.rooms && config.rooms.access == RoomAccess::Key);
    assert_eq!(config.rooms.options, RoomOptions::default());
    let file = "[rooms]\naccess = 'open'\nauto_create = true\nmerge = true\nversions = 5\nversions_minutes = 7\n\
                idle = 0\nidle_empty = '90m'\ndocument_bytes = 2048\nbroadcast_bytes = 100\nmessage_bytes = 4096\n\
                queue_count = 16\n";
    let config = Setting::new("rooms").file(file).load().unwrap();
    let options = config.rooms.options;
    assert!(config.rooms.access == RoomAccess::Open && options.auto_create && options.merge);
    assert_eq!((options.versions.newest, options.versions.minutes, options.versions.hours), (5, 7, 24));
    assert_eq!((options.idle.as_secs(), options.idle_empty.as_secs()), (0, 5_400));
    assert_eq!((options.document_bytes_max, options.message_bytes_max, options.queue_count_max), (2_048, 4_096, 16));
    for (bad, takes) in [
        ("access=off", "key or open"),
        ("versions=0", "a number from 1 to 100000"),
        ("broadcast_bytes=16777217", "from 16 to 16777216"),
        ("idle=1w", "a span such as 90d"),
        ("idle=h", "a span such as 90d"),
        ("idle_empty=36501d", "at most 36500d"),
        ("idle_empty=18446744073709551615d", "at most 36500d"),
        ("peers=0", "a number from 1"),
        ("merge=rows", "true or false"),
    ] {
        let error = Setting::new("rooms-bad").set(&format!("rooms.{bad}")).error();
        assert!(error.contains(takes), "{bad}: {error}");
    }
}

#[test]
fn what_may_come_can_be_sent() {
    let error = |text: &str| Setting::new("rooms-pairs").set(&format!("rooms.{text}")).error();
    assert!(
        error("document_bytes=104857600")
            .contains("rooms.message_bytes (75497472) must not be less than rooms.document_bytes (104857600)")
    );
    assert!(error("message_bytes=1024").contains("rooms.document_bytes"));
    assert!(
        error("arriving_bytes=1048576")
            .contains("rooms.arriving_bytes (1048576) must not be less than rooms.message_bytes")
    );
    let by_file = Setting::new("rooms-pairs-file").file("[rooms]\nmessage_bytes = 1024").error();
    assert!(by_file.contains("rooms.message_bytes (1024)"), "{by_file}");
    let small = Setting::new("rooms-small").set("rooms.message_bytes=2048").set("rooms.document_bytes=1024");
    assert_eq!(small.set("rooms.broadcast_bytes=1024").load().unwrap().rooms.options.message_bytes_max, 2_048);
}

#[test]
fn the_data_folder_follows_the_system() {
    let check = |variables: &[(&str, &str)], is_container: bool, expected: &str| {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let environment = Environment { variables, is_container };
        assert_eq!(environment.default_data(), Path::new(expected));
    };
    check(&[("HOME", "/home/ann")], false, "/home/ann/.local/share/tombolo");
    check(&[("HOME", "/home/ann"), ("XDG_DATA_HOME", "/x")], false, "/x/tombolo");
    check(&[("HOME", "/home/ann"), ("XDG_DATA_HOME", "relative")], false, "/home/ann/.local/share/tombolo");
    check(&[("HOME", "/root")], true, "/data");
    check(&[("HOME", "/root"), ("XDG_DATA_HOME", "/x")], true, "/x/tombolo");
}

#[test]
fn every_key_is_documented() {
    let document = include_str!("../../../../docs/configuration.md");
    for key in KEYS {
        let row = format!("| `{}` | `{}` | `{}` |", key.name, key.variable(), key.default);
        assert!(document.contains(&row), "docs/configuration.md lacks: {row}");
        assert!(document.contains(key.meaning), "docs/configuration.md lacks: {}", key.meaning);
    }
    let rows = document.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, KEYS.len(), "docs/configuration.md has a row for each key, and no other");
}

#[test]
fn the_public_url_says_what_stands_in_front_of_the_routes() {
    let check = |url: &str, expected: Option<&str>| {
        let config = Setting::new("public").set(&format!("public_url={url}")).load().unwrap();
        assert_eq!(config.path_prefix().as_deref(), expected, "{url}");
    };
    check("https://example.org/", None);
    check("https://example.org:8443/home/sync/", Some("/home/sync"));
    check("", None);
}
