//! Argon2id, off the async threads and one at a time.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use tokio::sync::oneshot;
use tombolo_core::{Env, Secret, limits};

use crate::ServiceError;
use crate::remembered::{Epoch, Fingerprint, Recollection, Remembered, Right};

/// 19 MiB: the least memory that OWASP's password storage cheat sheet recommends for Argon2id with two passes.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// 128 bits: what RFC 9106 recommends.
const SALT_BYTES: usize = 16;

/// What a secret is compared with where there is none to compare it with, so that nobody hears the difference: the hash
/// of something that nobody knows who does not read this, and which lets nobody in who does.
pub(crate) const NOBODYS_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5J3MgcGFzc3dvcg$+LYuqBDlRsVH5aJTYaxJSBze+CGK0GD7wh1B1yYcQYI";

/// What became of a secret that was compared with its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verified {
    /// It is right, and remembered.
    Right,
    /// It is right, and was not remembered: since it was looked up another process wrote to the store.
    RightThen,
    /// It is wrong.
    Wrong,
}

/// A secret to be compared with the hash that its prefix found.
pub(crate) struct Verification {
    /// What was presented.
    pub(crate) secret: Secret,
    /// Its fingerprint.
    pub(crate) fingerprint: Fingerprint,
    /// In PHC form.
    pub(crate) hash: String,
    /// What it opens if it is right.
    pub(crate) right: Right,
    /// The epoch before the hash was looked up.
    pub(crate) epoch: Epoch,
}

enum Job {
    Verify(Verification, oneshot::Sender<Result<Verified, ServiceError>>),
    Compare(Secret, String, oneshot::Sender<Result<bool, ServiceError>>),
    Hash(Secret, [u8; SALT_BYTES], oneshot::Sender<Result<String, ServiceError>>),
}

/// The worker that runs Argon2: one thread, so that wrong tokens can fill one core at most, and one at a time, so that
/// they can take 19 MiB at most. It ends when this is dropped.
pub(crate) struct PasswordWorker {
    jobs: SyncSender<Job>,
}

impl PasswordWorker {
    /// Starts the worker. It keeps what it finds out in `remembered`, also when nobody waits for it any more.
    pub(crate) fn start(env: &dyn Env, remembered: Arc<Remembered>) -> Self {
        let (jobs, queue) = sync_channel(limits::VERIFICATIONS_WAITING_MAX);
        env.spawn("tombolo-argon2", Box::new(move || work(&queue, &remembered)));
        Self { jobs }
    }

    /// Compares a secret with its hash, unless another request found the answer out meanwhile.
    ///
    /// May be dropped midway: the work is then done for the next request.
    ///
    /// # Errors
    /// [`ServiceError::Busy`] above [`limits::VERIFICATIONS_WAITING_MAX`]; [`ServiceError::Internal`] when the hash
    /// is none.
    pub(crate) async fn verify(&self, verification: Verification) -> Result<Verified, ServiceError> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Verify(verification, reply))?;
        answer.await.unwrap_or_else(|_| Err(worker_ended()))
    }

    /// Whether a secret has a hash. Nothing is remembered of it. May be dropped midway.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub(crate) async fn compare(&self, secret: Secret, hash: String) -> Result<bool, ServiceError> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Compare(secret, hash, reply))?;
        answer.await.unwrap_or_else(|_| Err(worker_ended()))
    }

    /// The hash of `secret`, in PHC form, with a salt from `env`.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub(crate) async fn hash(&self, secret: Secret, env: &dyn Env) -> Result<String, ServiceError> {
        let mut salt = [0; SALT_BYTES];
        env.fill_random(&mut salt);
        let (reply, answer) = oneshot::channel();
        self.send(Job::Hash(secret, salt, reply))?;
        answer.await.unwrap_or_else(|_| Err(worker_ended()))
    }

    fn send(&self, job: Job) -> Result<(), ServiceError> {
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => ServiceError::Busy,
            TrySendError::Disconnected(_) => worker_ended(),
        })
    }
}

fn worker_ended() -> ServiceError {
    ServiceError::Internal("the password worker has ended".to_owned())
}

/// Works until the other end of `queue` is gone. Whoever no longer waits for an answer is passed over.
fn work(queue: &Receiver<Job>, remembered: &Remembered) {
    while let Ok(job) = queue.recv() {
        match job {
            Job::Verify(verification, reply) => drop(reply.send(find_out(verification, remembered))),
            // Who has gone away costs nothing: the queue is for those who wait.
            Job::Compare(_, _, reply) if reply.is_closed() => {}
            Job::Compare(secret, hash, reply) => drop(reply.send(matches(&secret, &hash))),
            Job::Hash(secret, salt, reply) => drop(reply.send(hash(&secret, salt))),
        }
    }
}

fn find_out(verification: Verification, remembered: &Remembered) -> Result<Verified, ServiceError> {
    let Verification { secret, fingerprint, hash, right, epoch } = verification;
    match remembered.recall(fingerprint) {
        Some(Recollection::Right(known)) if known.caller == right.caller => return Ok(Verified::Right),
        Some(Recollection::Wrong) => return Ok(Verified::Wrong),
        _ => {}
    }
    if !matches(&secret, &hash)? {
        remembered.keep_wrong(fingerprint);
        return Ok(Verified::Wrong);
    }
    Ok(if remembered.keep_right(fingerprint, right, epoch) { Verified::Right } else { Verified::RightThen })
}

fn hash(secret: &Secret, salt: [u8; SALT_BYTES]) -> Result<String, ServiceError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the parameters lie within Argon2's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_with_salt(secret.reveal().as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(|error| ServiceError::Internal(format!("Argon2 failed: {error}")))
}

/// Whether `secret` has the hash `phc`, whose own parameters count.
fn matches(secret: &Secret, phc: &str) -> Result<bool, ServiceError> {
    let bad = |error| ServiceError::Internal(format!("a stored hash cannot be used: {error}"));
    let hash = PasswordHash::new(phc).map_err(|error| bad(error.to_string()))?;
    match Argon2::default().verify_password(secret.reveal().as_bytes(), &hash) {
        Ok(()) => Ok(true),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(bad(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_has_the_promised_parameters_and_fits_its_secret_only() {
        let secret = Secret::new("tks_secret".to_owned());
        let phc = hash(&secret, [7; SALT_BYTES]).unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert!(matches(&secret, &phc).unwrap());
        assert!(!matches(&Secret::new("tks_Secret".to_owned()), &phc).unwrap());
    }

    #[test]
    fn nobodys_hash_costs_what_every_other_does() {
        let cost = |phc: &str| phc.rsplitn(3, '$').nth(2).unwrap().to_owned();
        let someones = hash(&Secret::new("x".to_owned()), [7; SALT_BYTES]).unwrap();
        assert_eq!(cost(NOBODYS_HASH), cost(&someones));
        assert!(!matches(&Secret::new("y".to_owned()), NOBODYS_HASH).unwrap());
    }

    #[test]
    fn a_damaged_hash_is_a_failure_and_no_wrong_token() {
        assert!(matches(&Secret::new(String::new()), "$argon2id$garbage").is_err());
    }
}
