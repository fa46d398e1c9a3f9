//! Where a configuration comes from: a file, the environment, the command line.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::keys::Value;
use super::{Config, ConfigError, KEYS, Key};

/// The variable that names the configuration file. It is no key itself.
const FILE_VARIABLE: &str = "TOMBOLO_CONFIG";
/// A configuration has a page; a larger file is another one.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What the process was started in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// The environment variables that are text.
    pub(crate) variables: BTreeMap<String, String>,
    /// Whether it is a container, where data belongs on the volume `/data`.
    pub(crate) is_container: bool,
}

/// What the command line sets, over everything else.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    /// `--config`.
    pub(crate) file: Option<PathBuf>,
    /// `--set`, each `key=value`.
    pub(crate) set: Vec<String>,
    /// Flags that stand for a key: the flag, the key, the value.
    pub(crate) flags: Vec<(&'static str, &'static str, String)>,
}

/// One value for one key, and who said so.
pub(super) struct Assignment {
    key: &'static Key,
    value: Value,
    source: Source,
}

#[derive(Clone)]
enum Source {
    File(PathBuf),
    Variable(String),
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "in the file {}", path.display()),
            Self::Variable(name) => write!(f, "in the environment variable {name}"),
            Self::Flag(flag) => write!(f, "on the command line, {flag}"),
        }
    }
}

impl Environment {
    /// The environment of this process.
    pub(crate) fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        };
        let variables: BTreeMap<_, _> = std::env::vars_os().filter_map(text).collect();
        let is_container = variables.contains_key("container")
            || ["/.dockerenv", "/run/.containerenv"].iter().any(|mark| Path::new(mark).exists());
        Self { variables, is_container }
    }

    pub(super) fn default_data(&self) -> PathBuf {
        let absolute = |name: &str| self.variables.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let xdg = absolute("XDG_DATA_HOME");
        // Whoever says where data goes knows better than a guess from the kind of machine.
        if self.is_container && xdg.is_none() {
            return PathBuf::from("/data");
        }
        xdg.or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
            .map_or_else(|| PathBuf::from("tombolo-data"), |folder| folder.join("tombolo"))
    }

    pub(super) fn assignments(&self) -> Result<Vec<Assignment>, ConfigError> {
        let ours = self.variables.iter().filter(|(name, _)| name.starts_with("TOMBOLO_") && *name != FILE_VARIABLE);
        ours.map(|(name, value)| {
            let source = Source::Variable(name.clone());
            let key = KEYS.iter().find(|key| key.variable() == *name).ok_or_else(|| unknown(name, &source))?;
            Ok(Assignment { key, value: Value::Text(value.clone()), source })
        })
        .collect()
    }
}

impl Overrides {
    pub(super) fn assignments(&self, keys: &'static [Key]) -> Result<Vec<Assignment>, ConfigError> {
        let set = self.set.iter().map(|text| {
            let source = Source::Flag("--set");
            let (name, value) = text
                .split_once('=')
                .ok_or_else(|| ConfigError(format!("--set takes KEY=VALUE, and \"{text}\" has no equals sign")))?;
            let key = Key::find(name.trim()).ok_or_else(|| unknown(name, &source))?;
            Ok(Assignment { key, value: Value::Text(value.to_owned()), source })
        });
        let flags = self.flags.iter().map(|(flag, name, value)| {
            let key = keys.iter().find(|key| key.name == *name).expect("each flag stands for a key of the table");
            Ok(Assignment { key, value: Value::Text(value.clone()), source: Source::Flag(flag) })
        });
        set.chain(flags).collect()
    }
}

impl Assignment {
    /// Writes the value into `config`. The value itself is not shown: it may be a database's address with a password.
    pub(super) fn apply(&self, config: &mut Config) -> Result<(), ConfigError> {
        let Self { key, value, source } = self;
        key.set(config, value)
            .ok_or_else(|| ConfigError(format!("bad value for {} {source}: it takes {}", key.name, key.takes)))
    }
}

/// The file to read: the one named, else the one in the data folder if it exists.
pub(super) fn find_file(environment: &Environment, overrides: &Overrides, data: &Path) -> Option<PathBuf> {
    let named = environment.variables.get(FILE_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    overrides.file.clone().or(named).or_else(|| Some(data.join(Config::FILE_NAME)).filter(|path| path.exists()))
}

/// Reads the assignments of a file.
pub(super) fn read_file(path: &Path) -> Result<Vec<Assignment>, ConfigError> {
    let fault = |what: String| ConfigError(format!("cannot read the configuration file {}: {what}", path.display()));
    let bytes = std::fs::metadata(path).map_err(|error| fault(error.to_string()))?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(fault(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| fault(error.to_string()))?;
    let source = Source::File(path.to_owned());
    let mut assignments = Vec::new();
    flatten("", &table, &source, &mut assignments)?;
    Ok(assignments)
}

/// Names what a TOML table holds by the table's names. Sections are one deep, so the recursion ends.
fn flatten(
    section: &str,
    table: &toml::Table,
    source: &Source,
    assignments: &mut Vec<Assignment>,
) -> Result<(), ConfigError> {
    for (name, value) in table {
        let name = format!("{section}{name}");
        match value {
            toml::Value::Table(inner) if section.is_empty() && is_section(&name) => {
                flatten(&format!("{name}."), inner, source, assignments)?;
            }
            value => {
                let key = Key::find(&name).ok_or_else(|| unknown(&name, source))?;
                let value = read_value(value)
                    .ok_or_else(|| ConfigError(format!("bad value for {name} {source}: it takes {}", key.takes)))?;
                assignments.push(Assignment { key, value, source: source.clone() });
            }
        }
    }
    Ok(())
}

fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| key.name.split_once('.').is_some_and(|(section, _)| section == name))
}

fn read_value(value: &toml::Value) -> Option<Value> {
    match value {
        toml::Value::String(text) => Some(Value::Text(text.clone())),
        toml::Value::Boolean(switch) => Some(Value::Text(switch.to_string())),
        toml::Value::Integer(number) => Some(Value::Text(number.to_string())),
        toml::Value::Array(items) => {
            items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<_>>().map(Value::List)
        }
        _ => None,
    }
}

fn unknown(name: &str, source: &Source) -> ConfigError {
    let known: Vec<String> = match source {
        Source::Variable(_) => KEYS.iter().map(Key::variable).chain([FILE_VARIABLE.to_owned()]).collect(),
        _ => KEYS.iter().map(|key| key.name.to_owned()).collect(),
    };
    ConfigError(format!("unknown key {name} {source}; known are: {}", known.join(", ")))
}
