//! How many messages a connection may send.

use tombolo_core::ServerTime;

/// Millionths of a message, so that what comes in a microsecond is a whole number.
const WHOLE: u64 = 1_000_000;

/// Messages that may be sent at once, and so many more with each second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    per_second: u64,
    most: u64,
    /// Millionths that are left, as of `at`.
    left: u64,
    at: ServerTime,
}

impl Allowance {
    /// As many as may be sent at once are there from the beginning. One always comes through now and then.
    pub(super) fn new(per_second: u32, at_once: u32, now: ServerTime) -> Self {
        let most = u64::from(at_once.max(1)) * WHOLE;
        Self { per_second: u64::from(per_second.max(1)), most, left: most, at: now }
    }

    /// Takes one; `false` when none is left. A clock that is set back gives nothing, and takes nothing.
    pub(super) fn take(&mut self, now: ServerTime) -> bool {
        let passed = u64::try_from(now.since(self.at).as_micros()).unwrap_or(u64::MAX);
        self.at = now;
        self.left = self.left.saturating_add(passed.saturating_mul(self.per_second)).min(self.most);
        let has_one = self.left >= WHOLE;
        self.left -= if has_one { WHOLE } else { 0 };
        has_one
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const START: ServerTime = ServerTime::from_micros(1_800_000_000_000_000);

    fn taken(allowance: &mut Allowance, now: ServerTime) -> usize {
        (0..100).take_while(|_| allowance.take(now)).count()
    }

    #[test]
    fn a_burst_and_then_so_many_a_second() {
        let mut allowance = Allowance::new(2, 5, START);
        assert_eq!(taken(&mut allowance, START), 5);
        assert_eq!(taken(&mut allowance, START.plus(Duration::from_millis(400))), 0);
        assert_eq!(taken(&mut allowance, START.plus(Duration::from_millis(500))), 1);
        assert_eq!(taken(&mut allowance, START.plus(Duration::from_millis(1_500))), 2);
        assert_eq!(taken(&mut allowance, START.plus(Duration::from_secs(3_600))), 5);
    }

    #[test]
    fn a_clock_set_back_neither_gives_nor_takes() {
        let mut allowance = Allowance::new(1, 1, START);
        assert!(allowance.take(START));
        let back = START.minus(Duration::from_secs(60));
        assert!(!allowance.take(back));
        assert!(allowance.take(back.plus(Duration::from_secs(1))));
    }
}
