//! `tombolo init`

use std::path::Path;

use serde::Serialize;
use tombolo_storage::sqlite::Role;

use super::{Answers, explain, open_store};
use crate::config::{Config, KEYS};
use crate::{folder, output};

pub(super) fn run(config: &Config, how: Answers) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Answer<'a> {
        data: &'a Path,
        database: String,
        config: &'a Path,
        made: Vec<&'a Path>,
    }
    let (data, database, file) = (&config.data, config.database(), config.data.join(Config::FILE_NAME));
    let mut made: Vec<&Path> = Vec::new();
    let database_file = database.file();
    if !data.exists() {
        made.push(data);
    }
    folder::make(data)?;
    made.extend(database_file.filter(|file| !file.exists()));
    make_database(config)?;
    if folder::write_new(&file, &commented(config))? {
        made.push(&file);
    }
    if how.json {
        return output::say_json(&Answer { data, database: database.to_string(), config: &file, made });
    }
    let all =
        [("data folder", Some(data.as_path())), ("database", database_file), ("configuration file", Some(&*file))];
    for (what, path) in all.into_iter().filter_map(|(what, path)| Some((what, path?))) {
        let word = if made.contains(&path) { "Made" } else { "Kept" };
        let why = if word == "Made" { "" } else { " (it exists)" };
        output::say(format_args!("{word} the {what} {}{why}", path.display()));
    }
    if database_file.is_none() {
        output::say(format_args!("The database {database} is ready."));
    }
    output::say(
        "\nNext steps:\n  1. tombolo token --name laptop   makes a token for a device, and says where to paste it",
    );
    output::say("  2. tombolo serve                 runs the server");
    Ok(())
}

fn make_database(config: &Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { open_store(config, Role::Tool).await?.close().await.map_err(explain) })
}

/// A configuration file in which every key is explained and commented out.
fn commented(config: &Config) -> String {
    let mut text = "# Tombolo's configuration. What is commented out has its default.\n".to_owned();
    let mut section = "";
    for key in KEYS {
        let (of, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if of != section {
            section = of;
            text.push_str(&format!("\n[{section}]"));
        }
        // The folder's default depends on the system: what it is here says more.
        let folder = toml::Value::String(config.data.to_string_lossy().into_owned()).to_string();
        let default = if key.name == "data" { folder.as_str() } else { key.default };
        text.push_str(&format!("\n# {}\n# It takes {}.\n#{name} = {default}\n", key.meaning, key.takes));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Overrides};

    #[test]
    fn the_file_holds_every_key_and_means_the_defaults_when_uncommented() {
        let folder = std::env::temp_dir().join(format!("tombolo-init-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut environment = Environment::default();
        environment.variables.insert("XDG_DATA_HOME".to_owned(), folder.to_str().unwrap().to_owned());
        let default = Config::load(&environment, &Overrides::default()).unwrap();
        let text: String = commented(&default)
            .lines()
            .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).to_owned() + "\n")
            .collect();
        let file = folder.join("all.toml");
        std::fs::write(&file, &text).unwrap();
        let overrides = Overrides { file: Some(file), ..Overrides::default() };
        let read = Config::load(&environment, &overrides);
        std::fs::remove_dir_all(&folder).unwrap();
        let read = read.unwrap();
        assert_eq!(read.database(), default.database());
        assert_eq!((read.listen, read.log, read.protocols), (default.listen, default.log, default.protocols));
        assert_eq!(read.rooms, default.rooms);
        assert!(KEYS.iter().all(|key| text.contains(key.name.rsplit('.').next().unwrap())));
    }
}
