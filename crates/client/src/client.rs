//! What an app holds in its hands.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::background::{Background, Bell};
use crate::engine::{Engine, Report, Stopped};
use crate::fault::step;
use crate::files::{self, Files, Lock};
use crate::key::{ApiKey, KeyStore};
use crate::local::Local;
use crate::settings::{Configuration, Keep, Saved, Settings};
use crate::status::{History, SetAside, State, Status};
use crate::table::Table;
use crate::transport::{Failed, Transport};
use crate::{Error, platform};

/// A page of 8.5 MB over a line of half a megabit, and half a minute for the server.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(180);

/// How long whoever configures or switches off waits for a sync that is under way: it ends with its present request.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(30);
const LOCK_POLL: Duration = Duration::from_millis(20);

/// One new beginning for the key of another account, and one for the device's id, which follows from the same.
const BEGINNINGS_MAX: usize = 3;

/// The sync of one database.
///
/// It may be cloned and used from any thread; every call blocks until it is done, so an app with a window calls from
/// another thread than the window's. Several processes may attach to one database: one of them syncs at a time.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

/// What an app may choose when it attaches.
pub struct Options {
    /// Where the key is kept; `None` for the file beside the database, which only its owner may read.
    pub key_store: Option<Box<dyn KeyStore>>,
    /// What one request takes at most, from finding the host to the last byte of the answer.
    pub request_timeout: Duration,
}

/// What all clones and the background share.
pub(crate) struct Inner {
    local: Mutex<Local>,
    files: Files,
    keep: Keep,
    request_timeout: Duration,
    is_syncing: AtomicBool,
    /// How many wait for a sync under way to end.
    waiting: AtomicU64,
    pub(crate) bell: Bell,
}

impl Client {
    /// Attaches to the app's database at `path`, with the `tables` that are to be synced: makes the sync's own tables,
    /// whose names begin with `tombolo_`, and triggers. As long as sync is off, nothing is noted and nothing sent.
    ///
    /// The database is there, and so are its tables: call this at each start, after the app's own migrations.
    ///
    /// # Errors
    /// [`Error::Local`] when a table is not as it was declared, or the database is not usable; [`Error::Settings`] when
    /// its folder is not.
    pub fn attach(path: impl AsRef<Path>, tables: Vec<Table>) -> Result<Self, Error> {
        Self::attach_with(path, tables, Options::default())
    }

    /// The same, with `options`.
    ///
    /// # Errors
    /// As [`Self::attach`].
    pub fn attach_with(path: impl AsRef<Path>, tables: Vec<Table>, options: Options) -> Result<Self, Error> {
        let local = Local::attach(path.as_ref(), tables)?;
        let files = Files::beside(path.as_ref()).map_err(Error::Settings)?;
        let inner = Inner {
            local: Mutex::new(local),
            files,
            keep: Keep { keys: options.key_store },
            request_timeout: options.request_timeout,
            is_syncing: AtomicBool::new(false),
            waiting: AtomicU64::new(0),
            bell: Bell::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Switches sync on. It stays on when the app ends, so this is for the moment in which the user decides, and not for
    /// each start.
    ///
    /// A new key for the same address and device goes on where the last one was. Anything else, and whatever comes after
    /// an erasure, begins afresh: what the tables hold is offered to the server, and what it holds comes down.
    ///
    /// # Errors
    /// [`Error::Endpoint`] for an address that is neither https nor this machine; [`Error::Busy`] when a sync under way
    /// does not end; [`Error::Settings`], [`Error::KeyStore`] or [`Error::Local`] when it cannot be noted: then call it
    /// again.
    pub fn configure_sync(&self, settings: Settings) -> Result<(), Error> {
        let inner = &self.inner;
        {
            let _lock = inner.wait_for_lock()?;
            let was_erased = inner.local().standing()?.erased;
            let mut saved = inner.keep.configure(&inner.files, settings, was_erased)?;
            if saved.begins_afresh {
                History::default().save(&inner.files)?;
            }
            inner.begin(&mut saved)?;
        }
        inner.bell.ring();
        Ok(())
    }

    /// Switches sync on with `settings`, unless exactly these are on: for an app that is told them at each start. So it
    /// begins nothing anew: after an erasure, that takes [`Self::configure_sync`].
    ///
    /// # Errors
    /// As [`Self::configure_sync`].
    pub fn ensure_configured(&self, settings: Settings) -> Result<(), Error> {
        if self.inner.keep.has(&self.inner.files, &settings)? { Ok(()) } else { self.configure_sync(settings) }
    }

    /// What is configured, without the key; `None` before the first time.
    ///
    /// # Errors
    /// [`Error::Settings`] when the file is not readable.
    pub fn configuration(&self) -> Result<Option<Configuration>, Error> {
        Ok(self.inner.keep.saved(&self.inner.files)?.as_ref().map(Configuration::from))
    }

    /// Sends what was edited and takes what is new, until there is neither.
    ///
    /// Ended anywhere, by an error or a crash, it leaves the app's rows as they were or with whole pages applied, and the
    /// next one goes on from there.
    ///
    /// # Errors
    /// Why it is not through: [`Error::kind`] tells what to do about it. [`Error::Busy`] when one is under way.
    pub fn sync_once(&self) -> Result<Report, Error> {
        self.inner.sync_while(&|| true)
    }

    /// Starts a thread that syncs at once, then every `interval`, sooner after a failure that may be over, and not at all
    /// while the key is refused or the data were erased. It ends when the answer is dropped.
    ///
    /// # Errors
    /// [`Error::Settings`] when the system gives no thread.
    pub fn start(&self, interval: Duration) -> Result<Background, Error> {
        Background::start(Arc::clone(&self.inner), interval).map_err(Error::Settings)
    }

    /// How the sync stands.
    ///
    /// # Errors
    /// [`Error::Local`] or [`Error::Settings`] when that is not readable.
    pub fn status(&self) -> Result<Status, Error> {
        let inner = &self.inner;
        let saved = inner.keep.saved(&inner.files)?;
        let History { last_attempt_at, last_success_at, last_error } = History::load(&inner.files)?;
        let local = inner.local();
        Ok(Status {
            enabled: saved.as_ref().is_some_and(|saved| saved.enabled),
            device_id: saved.as_ref().map(|saved| saved.device_id),
            endpoint: saved.map(|saved| saved.endpoint),
            state: if inner.is_syncing.load(Ordering::SeqCst) { State::InProgress } else { State::Idle },
            last_attempt_at,
            last_success_at,
            last_error,
            pending: local.pending_count()?,
            set_aside: local.set_aside_count()?,
        })
    }

    /// The rows that were set aside, with the reasons: the first 1000 of them; [`Status::set_aside`] counts them all.
    ///
    /// # Errors
    /// [`Error::Local`] when the database is not readable.
    pub fn set_aside(&self) -> Result<Vec<SetAside>, Error> {
        Ok(self.inner.local().set_aside()?)
    }

    /// Whether somebody waits for a sync under way to end, for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn is_somebody_waiting(&self) -> bool {
        self.inner.waiting.load(Ordering::SeqCst) > 0
    }

    /// Switches sync off: forgets the key, and keeps the app's rows. What the server holds stays there.
    ///
    /// # Errors
    /// [`Error::Busy`] when a sync under way does not end; otherwise what could not be forgotten: then call it again.
    pub fn disable_sync(&self) -> Result<(), Error> {
        let _lock = self.inner.wait_for_lock()?;
        self.inner.disable()
    }

    /// Erases everything that the server holds of the account, for all its devices, and switches sync off. The app's rows
    /// stay.
    ///
    /// # Errors
    /// As [`Self::sync_once`], when the server did not do it: then sync is on as before.
    pub fn wipe_remote(&self) -> Result<(), Error> {
        let inner = &self.inner;
        let _lock = inner.wait_for_lock()?;
        let (_, endpoint, key) = inner.keep.enabled(&inner.files)?;
        match inner.transport(endpoint, &key)?.wipe() {
            // Erased by another device a moment ago is erased.
            Ok(()) | Err(Failed::Erased) => {}
            Err(Failed::Error(error)) => return Err(error),
            Err(Failed::OthersDevice) => return Err(Error::DeviceRefused),
            Err(Failed::CursorReset(_) | Failed::TooLarge | Failed::AnswerTooLarge) => {
                return Err(Error::BadAnswer("it asked for no change"));
            }
        }
        step("the server erased everything");
        inner.disable()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("files", &self.inner.files).finish_non_exhaustive()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self { key_store: None, request_timeout: REQUEST_TIMEOUT }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("request_timeout", &self.request_timeout).finish_non_exhaustive()
    }
}

impl Inner {
    /// One sync, as long as `goes_on` says so and nobody waits to configure.
    pub(crate) fn sync_while(&self, goes_on: &dyn Fn() -> bool) -> Result<Report, Error> {
        let _lock = self.files.try_lock()?;
        let (saved, endpoint, key) = self.keep.enabled(&self.files)?;
        let _syncing = Raised::new(&self.is_syncing);
        let mut history = History::load(&self.files)?;
        history.last_attempt_at = Some(platform::now());
        history.save(&self.files)?;
        step("an attempt is noted");
        let transport = self.transport(endpoint, &key);
        let result = transport.and_then(|transport| {
            self.carry_out(saved, &transport, &|| goes_on() && self.waiting.load(Ordering::SeqCst) == 0)
        });
        history.ended(platform::now(), &result);
        let noted = history.save(&self.files);
        step("a result is noted");
        let report = result?;
        noted.map(|()| report)
    }

    fn carry_out(&self, mut saved: Saved, transport: &Transport, goes_on: &dyn Fn() -> bool) -> Result<Report, Error> {
        for _ in 0..BEGINNINGS_MAX {
            self.begin(&mut saved)?;
            let was_refused = std::cell::Cell::new(false);
            let engine = Engine { local: &self.local, transport, device_id: saved.device_id, goes_on, was_refused };
            match engine.run() {
                Ok(report) => return Ok(report),
                Err(Stopped::Error(error)) => return Err(error),
                Err(Stopped::OtherAccount { needs_device }) => {
                    if needs_device && saved.device_is_chosen {
                        return Err(Error::DeviceRefused);
                    }
                    if needs_device {
                        saved.device_id = platform::new_device().map_err(Error::Settings)?;
                    }
                    saved.begins_afresh = true;
                    self.keep.write(&self.files, &saved)?;
                }
            }
        }
        Err(Error::StartedAgain)
    }

    /// Lets the database begin afresh, if that is still to be done, or it is another one than was configured.
    fn begin(&self, saved: &mut Saved) -> Result<(), Error> {
        if saved.begins_afresh || !self.local().is_tracking()? {
            step("a beginning is noted");
            self.local().begin_afresh()?;
            step("the database begins afresh");
            saved.begins_afresh = false;
            self.keep.write(&self.files, saved)?;
        }
        Ok(())
    }

    /// The key goes first: whatever happens then, nothing is sent any more.
    fn disable(&self) -> Result<(), Error> {
        self.keep.disable(&self.files)?;
        step("the key is forgotten");
        self.local().end()?;
        files::remove(&self.files.history).map_err(Error::Settings)
    }

    fn transport(&self, endpoint: crate::endpoint::Endpoint, key: &ApiKey) -> Result<Transport, Error> {
        Transport::new(endpoint, key, self.request_timeout)
    }

    /// Takes the lock from a sync under way, which ends with its present request.
    fn wait_for_lock(&self) -> Result<Lock, Error> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let begun = platform::instant();
        let lock = loop {
            match self.files.try_lock() {
                Err(Error::Busy) if begun.elapsed() < LOCK_WAIT_MAX => platform::pause(LOCK_POLL),
                done => break done,
            }
        };
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        lock
    }

    fn local(&self) -> MutexGuard<'_, Local> {
        // Whoever panicked with it left a transaction, which was rolled back.
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says that something is under way as long as it lives.
struct Raised<'a>(&'a AtomicBool);

impl<'a> Raised<'a> {
    fn new(flag: &'a AtomicBool) -> Self {
        flag.store(true, Ordering::SeqCst);
        Self(flag)
    }
}

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}
