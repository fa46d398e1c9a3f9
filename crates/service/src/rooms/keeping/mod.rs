//! Storing what rooms hold, holding their leases, and ending those that were left.

mod leases;
mod storing;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub(super) use leases::Returned;
pub(super) use storing::{AT_ONCE_MAX, Due, NOT_FOUND};

/// How often leases are renewed.
pub const RENEW_EVERY: Duration = Duration::from_secs(15);
/// How long a lease is good for: three renewals may fail.
pub(super) const LEASE_SPAN: Duration = Duration::from_secs(50);
/// How often it is looked for rooms that were left. One that is kept for a second only goes soon after it.
pub const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// The store is asked for rooms to end so many times in the shortest time that one is kept: a room is kept by a twelfth
/// longer at most, and a node that does nothing asks its database every five minutes.
pub(super) const ENDS_PER_IDLE: u32 = 12;
