//! What was configured, as it is kept beside the database.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};
use tombolo_wellbeing::DeviceId;

use crate::endpoint::Endpoint;
use crate::files::{self, Files};
use crate::key::{ApiKey, KeyStore};
use crate::{Error, platform};

/// What to sync with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server's address: https, or http on this machine itself.
    pub endpoint: String,
    /// The key.
    pub api_key: ApiKey,
    /// The device's id, where the app has one of its own. Otherwise one is made, once.
    pub device_id: Option<DeviceId>,
}

/// What is configured, without the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Configuration {
    /// Whether sync is on.
    pub enabled: bool,
    /// The server's address.
    pub endpoint: String,
    /// How the server knows this device.
    pub device_id: DeviceId,
}

/// The file, which is written as a whole.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) enabled: bool,
    pub(crate) endpoint: String,
    pub(crate) device_id: DeviceId,
    /// Whether the app chose the id: then it is not for us to replace it.
    #[serde(default)]
    pub(crate) device_is_chosen: bool,
    /// Whether the database is still to be told that it begins without a cursor. Said here first, so that a crash between
    /// the two leaves the beginning to the next sync.
    #[serde(default)]
    pub(crate) begins_afresh: bool,
    /// Absent where the app has a store of its own, and while sync is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    api_key: Option<String>,
}

impl fmt::Debug for Saved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Saved")
            .field("enabled", &self.enabled)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// Where settings and key are kept. Whoever writes holds the lock.
pub(crate) struct Keep {
    /// `None`: in the file.
    pub(crate) keys: Option<Box<dyn KeyStore>>,
}

impl Keep {
    /// What was configured, on or off.
    pub(crate) fn saved(&self, files: &Files) -> Result<Option<Saved>, Error> {
        let Some(bytes) = files::read(&files.settings).map_err(Error::Settings)? else { return Ok(None) };
        // The parser's own words may quote what it read: the key.
        let broken = |_| Error::Settings(io::Error::other("the file is not readable: configure sync again"));
        serde_json::from_slice(&bytes).map(Some).map_err(broken)
    }

    /// The same, where sync is on; otherwise [`Error::NotConfigured`].
    pub(crate) fn enabled(&self, files: &Files) -> Result<(Saved, Endpoint, ApiKey), Error> {
        let saved = self.saved(files)?.filter(|saved| saved.enabled).ok_or(Error::NotConfigured)?;
        let key = match (&self.keys, &saved.api_key) {
            (Some(keys), _) => keys.load()?.ok_or(Error::NotConfigured)?,
            (None, Some(key)) => ApiKey::parse(key)?,
            (None, None) => return Err(Error::NotConfigured),
        };
        let endpoint = saved.endpoint.parse()?;
        Ok((saved, endpoint, key))
    }

    /// Whether exactly `settings` are on.
    pub(crate) fn has(&self, files: &Files, settings: &Settings) -> Result<bool, Error> {
        let wanted = settings.endpoint.parse::<Endpoint>()?.to_string();
        let Ok((saved, _, key)) = self.enabled(files) else { return Ok(false) };
        let is_device = settings.device_id.is_none_or(|device_id| device_id == saved.device_id);
        Ok(is_device && saved.endpoint == wanted && key == settings.api_key)
    }

    /// Configures `settings`. Answers what is on from now on: it begins afresh unless only the key is new.
    pub(crate) fn configure(&self, files: &Files, settings: Settings, was_erased: bool) -> Result<Saved, Error> {
        let endpoint = settings.endpoint.parse::<Endpoint>()?.to_string();
        // What cannot be read is what is to be replaced: only its device is lost.
        let old = self.saved(files).unwrap_or_default();
        let device_is_chosen = settings.device_id.is_some();
        let device_id = match (settings.device_id, &old) {
            (Some(device_id), _) => device_id,
            (None, Some(old)) => old.device_id,
            (None, None) => platform::new_device().map_err(Error::Settings)?,
        };
        let goes_on = old.is_some_and(|old| {
            old.enabled && !old.begins_afresh && old.endpoint == endpoint && old.device_id == device_id
        });
        let begins_afresh = was_erased || !goes_on;
        let mut saved = Saved { enabled: false, endpoint, device_id, device_is_chosen, begins_afresh, api_key: None };
        if let Some(keys) = &self.keys {
            // Off first: a crash in between must not leave the new key beside the old address.
            self.write(files, &saved)?;
            keys.keep(&settings.api_key)?;
        } else {
            saved.api_key = Some(settings.api_key.reveal().to_owned());
        }
        saved.enabled = true;
        self.write(files, &saved)?;
        Ok(saved)
    }

    /// Forgets the key, and remembers which device this is.
    pub(crate) fn disable(&self, files: &Files) -> Result<(), Error> {
        if let Some(keys) = &self.keys {
            keys.forget()?;
        }
        match self.saved(files) {
            Ok(Some(saved)) => self.write(files, &Saved { enabled: false, api_key: None, ..saved }),
            Ok(None) => Ok(()),
            // Whatever it is, a key may be in it.
            Err(_) => files::remove(&files.settings).map_err(Error::Settings),
        }
    }

    pub(crate) fn write(&self, files: &Files, saved: &Saved) -> Result<(), Error> {
        let bytes = serde_json::to_vec_pretty(saved).map_err(|error| Error::Settings(error.into()))?;
        files::write(&files.settings, &bytes).map_err(Error::Settings)
    }
}

impl From<&Saved> for Configuration {
    fn from(saved: &Saved) -> Self {
        Self { enabled: saved.enabled, endpoint: saved.endpoint.clone(), device_id: saved.device_id }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::KeyStoreError;

    fn files() -> (tempfile::TempDir, Files) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("app.db"), "").unwrap();
        let files = Files::beside(&folder.path().join("app.db")).unwrap();
        (folder, files)
    }

    fn settings(endpoint: &str, key: &str) -> Settings {
        Settings { endpoint: endpoint.to_owned(), api_key: ApiKey::parse(key).unwrap(), device_id: None }
    }

    #[test]
    fn only_a_new_key_goes_on() {
        let (_folder, files) = files();
        let keep = Keep { keys: None };
        let configure = |endpoint: &str, key: &str, was_erased| {
            let saved = keep.configure(&files, settings(endpoint, key), was_erased).unwrap();
            keep.write(&files, &Saved { begins_afresh: false, ..saved.clone() }).unwrap();
            (saved.begins_afresh, saved.device_id)
        };
        let (afresh, device) = configure("https://one.example", "k1", false);
        assert!(afresh);
        assert_eq!(configure("https://one.example/", "k2", false), (false, device));
        assert_eq!(keep.enabled(&files).unwrap().2.reveal(), "k2");
        assert_eq!(configure("https://one.example", "k2", true), (true, device));
        assert_eq!(configure("https://two.example", "k2", false), (true, device));
        keep.disable(&files).unwrap();
        assert!(matches!(keep.enabled(&files), Err(Error::NotConfigured)));
        assert!(!std::fs::read_to_string(&files.settings).unwrap().contains("k2"));
        assert_eq!(configure("https://two.example", "k2", false), (true, device));
    }

    #[test]
    fn what_is_on_is_known_by_all_that_it_is() {
        let (_folder, files) = files();
        let keep = Keep { keys: None };
        let has = |endpoint: &str, key: &str| keep.has(&files, &settings(endpoint, key)).unwrap();
        assert!(!has("https://one.example", "k"));
        let saved = keep.configure(&files, settings("https://one.example", "k"), false).unwrap();
        assert!(has("https://one.example/", "k"));
        assert!(!has("https://two.example", "k") && !has("https://one.example", "other"));
        let with_device = |device_id| Settings { device_id: Some(device_id), ..settings("https://one.example", "k") };
        assert!(keep.has(&files, &with_device(saved.device_id)).unwrap());
        assert!(!keep.has(&files, &with_device(platform::new_device().unwrap())).unwrap());
        keep.disable(&files).unwrap();
        assert!(!has("https://one.example", "k"));
    }

    #[test]
    fn a_beginning_that_was_cut_short_is_not_forgotten() {
        let (_folder, files) = files();
        let keep = Keep { keys: None };
        assert!(keep.configure(&files, settings("https://one.example", "k"), false).unwrap().begins_afresh);
        assert!(keep.configure(&files, settings("https://one.example", "k"), false).unwrap().begins_afresh);
    }

    #[test]
    fn a_broken_file_is_said_without_its_words_and_can_be_replaced() {
        let (_folder, files) = files();
        let keep = Keep { keys: None };
        std::fs::write(&files.settings, r#"{"api_key":"wb_secret","enabled":"wb_secret"}"#).unwrap();
        let error = keep.saved(&files).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"));
        keep.disable(&files).unwrap();
        assert_eq!(keep.saved(&files).unwrap(), None);
        std::fs::write(&files.settings, "{").unwrap();
        keep.configure(&files, settings("https://one.example", "k"), false).unwrap();
        assert!(keep.enabled(&files).is_ok());
    }

    #[test]
    fn the_apps_own_store_of_keys_keeps_the_key_out_of_the_file() {
        struct Ring(std::sync::Arc<Mutex<Option<ApiKey>>>);
        impl KeyStore for Ring {
            fn keep(&self, key: &ApiKey) -> Result<(), KeyStoreError> {
                *self.0.lock().unwrap() = Some(key.clone());
                Ok(())
            }
            fn load(&self) -> Result<Option<ApiKey>, KeyStoreError> {
                Ok(self.0.lock().unwrap().clone())
            }
            fn forget(&self) -> Result<(), KeyStoreError> {
                *self.0.lock().unwrap() = None;
                Ok(())
            }
        }
        let (_folder, files) = files();
        let ring = std::sync::Arc::default();
        let keep = Keep { keys: Some(Box::new(Ring(std::sync::Arc::clone(&ring)))) };
        let saved = keep.configure(&files, settings("https://one.example", "wb_secret"), false).unwrap();
        assert!(!format!("{saved:?}").contains("secret"));
        assert!(!std::fs::read_to_string(&files.settings).unwrap().contains("secret"));
        assert_eq!(keep.enabled(&files).unwrap().2.reveal(), "wb_secret");
        keep.disable(&files).unwrap();
        assert_eq!(*ring.lock().unwrap(), None);
    }
}
