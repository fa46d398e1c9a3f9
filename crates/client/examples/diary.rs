//! A mood diary on the command line, which syncs between the devices of its owner.
//!
//! The server's address and a key (`tombolo token --for wellbeing` makes one) are needed once, with any command, as
//! options or in `TOMBOLO_URL` and `TOMBOLO_KEY`. It ends with 0 only when it is done, and with 2 when asked wrongly.

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use rusqlite::{Connection, params};
use serde_json::{json, to_string_pretty, to_value};
use tombolo_client::{ApiKey, Client, Column, Error as SyncError, SetAside, Settings, Table};

const USAGE: &str = "usage: diary --db FILE [--server URL] [--key KEY]
    add VALUE [NOTE] | list [--json] | sync [--again] | status [--json]
VALUE is 1 (terrible) to 7 (excellent); a NOTE that begins with -- comes after a -- of its own
--server switches to that server, for good; --again sends everything up anew, after all was erased there";

const LABELS: [&str; 7] = ["Terrible", "Very Bad", "Bad", "Ok", "Good", "Very Good", "Excellent"];

/// An ordinary table of an app: the id, a random UUID, and the times are all that syncing asks of it.
const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS moods (
    id TEXT PRIMARY KEY DEFAULT (lower(printf('%s-%s-4%.3s-a%.3s-%s', hex(randomblob(4)), hex(randomblob(2)),
        hex(randomblob(2)), hex(randomblob(2)), hex(randomblob(6))))), note TEXT CHECK (length(note) <= 5000),
    value INTEGER NOT NULL CHECK (value BETWEEN 1 AND 7), scale INTEGER NOT NULL DEFAULT 7,
    activities TEXT NOT NULL DEFAULT '[]', created_at TEXT NOT NULL DEFAULT (datetime('now')),
    recorded_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')), deleted_at TEXT)";

#[derive(Default)]
struct Arguments {
    db: String,
    server: Option<String>,
    key: Option<String>,
    json: bool,
    again: bool,
    words: Vec<String>,
}

fn main() -> ExitCode {
    let Err(error) = run() else { return ExitCode::SUCCESS };
    let is_misuse = error.to_string() == USAGE;
    // With nowhere to complain to, the code says it.
    let hint = if matches!(error.downcast_ref(), Some(SyncError::Erased)) { ", with sync --again" } else { "" };
    let _ = writeln!(std::io::stderr(), "{}{error}{hint}", if is_misuse { "" } else { "diary: " });
    ExitCode::from(if is_misuse { 2 } else { 1 })
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments = parse(std::env::args().skip(1)).filter(|arguments| !arguments.db.is_empty()).ok_or(USAGE)?;
    let words: Vec<&str> = arguments.words.iter().map(String::as_str).collect();
    match words[..] {
        ["add", value, ref note @ ..] if note.len() < 2 => add(&arguments, value, note.first().copied()),
        ["list"] => list(&arguments),
        ["sync"] => sync(&arguments),
        ["status"] => status(&arguments),
        _ => Err(USAGE.into()),
    }
}

fn parse(mut given: impl Iterator<Item = String>) -> Option<Arguments> {
    let [server, key] = ["TOMBOLO_URL", "TOMBOLO_KEY"].map(|name| std::env::var(name).ok());
    let mut arguments = Arguments { server, key, ..Arguments::default() };
    while let Some(word) = given.next() {
        match word.as_str() {
            "--db" => arguments.db = given.next()?,
            "--server" => arguments.server = Some(given.next()?),
            "--key" => arguments.key = Some(given.next()?),
            "--json" => arguments.json = true,
            "--again" => arguments.again = true,
            "--" => arguments.words.extend(given.by_ref()),
            option if option.starts_with("--") => return None,
            _ => arguments.words.push(word),
        }
    }
    Some(arguments)
}

/// The diary, which is made where `may_make` and for its owner only, and its sync: once on, that is told what is added.
fn open(arguments: &Arguments, may_make: bool) -> Result<(Connection, Client), Box<dyn Error>> {
    let mut options = std::fs::OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.write(true).create(may_make).open(&arguments.db).map_err(|error| format!("{}: {error}", arguments.db))?;
    let database = Connection::open(&arguments.db)?;
    database.execute_batch(SCHEMA)?;
    let moods = Table::new("moods", "MoodEntry").column(Column::plain("value")).column(Column::plain("scale"));
    let moods = moods.column(Column::plain("note")).column(Column::json("activities"));
    let moods = moods.column(Column::time("recorded_at"));
    let moods = moods.column(Column::time("created_at").field("metadata.created_at"));
    let client = Client::attach(&arguments.db, vec![moods])?;
    if let (Some(endpoint), Some(key)) = (arguments.server.clone(), &arguments.key) {
        let settings = Settings { endpoint, api_key: ApiKey::parse(key)?, device_id: None };
        if arguments.again { client.configure_sync(settings)? } else { client.ensure_configured(settings)? }
    }
    Ok((database, client))
}

fn add(arguments: &Arguments, value: &str, note: Option<&str>) -> Result<(), Box<dyn Error>> {
    let value = value.parse::<u8>().ok().filter(|value| (1..=7).contains(value)).ok_or(USAGE)?;
    let (database, _client) = open(arguments, true)?;
    Ok(database.execute("INSERT INTO moods (value, note) VALUES (?1, ?2)", params![value, note]).map(|_| ())?)
}

fn list(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let (database, _client) = open(arguments, false)?;
    let sql = "SELECT id, value, scale, note, recorded_at FROM moods WHERE deleted_at IS NULL ORDER BY 5, 1";
    let (mut statement, mut all) = (database.prepare(sql)?, Vec::new());
    let (mut rows, mut out) = (statement.query(())?, std::io::stdout().lock());
    while let Some(row) = rows.next()? {
        let (id, value, scale): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (note, at): (Option<String>, String) = (row.get(3)?, row.get(4)?);
        let label = usize::try_from(value - 1).ok().and_then(|index| LABELS.get(index)).filter(|_| scale == 7);
        let mood = json!({"id": id, "value": value, "scale": scale, "label": label, "note": note, "recorded_at": at});
        if arguments.json {
            all.push(mood);
        } else {
            writeln!(out, "{at:.19}  {value} {:<9}  {}", label.unwrap_or(&"?"), note.unwrap_or_default())?;
        }
    }
    if arguments.json { Ok(writeln!(out, "{}", to_string_pretty(&all)?)?) } else { Ok(()) }
}

fn sync(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let (_database, client) = open(arguments, true)?;
    client.configuration()?.ok_or("name the server and give the key: --server URL --key KEY")?;
    let report = client.sync_once()?;
    if report.set_aside + report.pending > 0 {
        return Err(format!("{} refused, {} still to be sent", report.set_aside, report.pending).into());
    }
    Ok(writeln!(std::io::stdout(), "{} sent, {} received", report.uploaded, report.downloaded)?)
}

fn status(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let (_database, client) = open(arguments, false)?;
    let (status, aside) = (client.status()?, client.set_aside()?);
    if arguments.json {
        let mut told = to_value(&status)?;
        told["set_aside_rows"] = json!(aside);
        return Ok(writeln!(std::io::stdout(), "{}", to_string_pretty(&told)?)?);
    }
    let (at, server) = (status.last_success_at.map(|at| at.to_string()), status.endpoint.filter(|_| status.enabled));
    let (server, at) = (server.unwrap_or("nothing: it is off".to_owned()), at.unwrap_or("never".to_owned()));
    let error = status.last_error.map(|error| format!("\nlast error: {}", error.message)).unwrap_or_default();
    let row = |row: &SetAside| format!("\n  {}: {}", row.id.as_deref().unwrap_or("a row"), row.reason);
    let (pending, set_aside, rows) = (status.pending, status.set_aside, aside.iter().map(row).collect::<String>());
    let text = format!("syncs with {server}\nlast synced: {at}\nto send: {pending}, refused: {set_aside}{rows}{error}");
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
