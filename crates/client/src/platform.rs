//! What the operating system gives: the time, randomness, a thread, a pause.
//!
//! A library inside an app has nobody to hand these in, so this is the one place that asks for them.

use std::time::{Duration, Instant};

use time::OffsetDateTime;
use tombolo_wellbeing::{DeviceId, Timestamp};

const NANOS_PER_MS: i128 = 1_000_000;

/// Now, to the millisecond.
///
/// # Panics
/// When the clock shows a year outside 1 to 9998: nothing that is noted could be read again.
pub(crate) fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "the app's own clock is what its user goes by")]
    let nanos = OffsetDateTime::now_utc().unix_timestamp_nanos();
    Timestamp::from_nanos(nanos - nanos.rem_euclid(NANOS_PER_MS)).expect("a clock between the years 1 and 9998")
}

/// A moment to measure from.
pub(crate) fn instant() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a wait is measured, and decides nothing")]
    Instant::now()
}

/// A number between 0 and 1, anywhere. 0.5 where the system has no randomness: it spreads retries, and guards nothing.
pub(crate) fn fraction() -> f64 {
    let mut bytes = [0; 4];
    #[expect(clippy::disallowed_methods, reason = "the app's devices are to be spread")]
    let filled = getrandom::fill(&mut bytes);
    filled.map_or(0.5, |()| f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
}

/// A new device.
///
/// # Errors
/// When the system has no randomness: an id that another device has too would mix the two up.
pub(crate) fn new_device() -> Result<DeviceId, std::io::Error> {
    let mut bytes = [0; 16];
    #[expect(clippy::disallowed_methods, reason = "a device has no other name than a random one")]
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(DeviceId(uuid::Builder::from_random_bytes(bytes).into_uuid()))
}

/// Waits, with nothing held.
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Starts a named thread.
///
/// # Errors
/// When the system has none left.
pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_random_and_times_end_with_a_millisecond() {
        let (one, two) = (new_device().unwrap(), new_device().unwrap());
        assert_ne!(one, two);
        assert_eq!(one.0.get_version_num(), 4);
        assert_ne!(one.0, uuid::Uuid::nil());
        assert_eq!(now().nanos() % NANOS_PER_MS, 0);
        assert!((0.0..=1.0).contains(&fraction()));
    }
}
