//! Syncs an app's own `SQLite` database through Tombolo, and loses no edit.
//!
//! The app goes on reading and writing its tables as before. Triggers note what it edits; a sync sends that, takes what
//! other devices sent, and applies it in the same tables. There is no async runtime in it, and no thread unless
//! [`Client::start`] is called.
//!
//! It never sends anything before [`Client::configure_sync`], never sends the key or a row over a network without TLS,
//! never follows a redirect, never overwrites a row with an edit that was not sent yet, and never takes a row without
//! the cursor that belongs to it: both are one transaction.
//!
//! ```no_run
//! use std::time::Duration;
//! use tombolo_client::{ApiKey, Client, Column, Settings, Table};
//!
//! # fn main() -> Result<(), tombolo_client::Error> {
//! let moods = Table::new("moods", "MoodEntry")
//!     .column(Column::plain("value"))
//!     .column(Column::plain("note"))
//!     .column(Column::time("recorded_at"));
//! let client = Client::attach("diary.db", vec![moods])?;
//! // When the user switches sync on:
//! let api_key = ApiKey::parse("wb_...")?;
//! client.configure_sync(Settings { endpoint: "https://sync.example.org".to_owned(), api_key, device_id: None })?;
//! let report = client.sync_once()?;
//! assert_eq!(report.refused, 0);
//! // Or, for as long as the app runs:
//! let background = client.start(Duration::from_secs(300))?;
//! background.sync_now();
//! # Ok(())
//! # }
//! ```

mod background;
mod backoff;
mod client;
mod endpoint;
mod engine;
mod error;
#[doc(hidden)]
pub mod fault;
mod files;
mod key;
mod local;
mod platform;
mod retry_after;
mod settings;
mod status;
mod table;
mod transport;

pub use background::Background;
pub use client::{Client, Options};
pub use engine::Report;
pub use error::{Error, ErrorKind};
pub use key::{ApiKey, KeyStore, KeyStoreError};
pub use local::LocalError;
pub use settings::{Configuration, Settings};
pub use status::{LastError, SetAside, State, Status};
pub use table::{Column, Table};
pub use tombolo_wellbeing::{DeviceId, Timestamp};
