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
        self.take_whole(WHOLE, now)
    }

    /// Takes what something costs that is as dear as `count`, beside the one that it came as; `false` when so many are not
    /// left. Never more than half of what may be sent at once, so that it can be done at all.
    pub(super) fn take_more(&mut self, count: u32, now: ServerTime) -> bool {
        let dear = (u64::from(count) * WHOLE).min(self.most / 2);
        self.take_whole(dear.saturating_sub(WHOLE), now)
    }

    fn take_whole(&mut self, cost: u64, now: ServerTime) -> bool {
        let passed = u64::try_from(now.since(self.at).as_micros()).unwrap_or(u64::MAX);
        self.at = now;
        self.left = self.left.saturating_add(passed.saturating_mul(self.per_second)).min(self.most);
        let is_left = self.left >= cost;
        self.left -= if is_left { cost } else { 0 };
        is_left
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
    fn what_is_dear_costs_more_and_can_always_be_done() {
        let check = |at_once: u32, cost: u32, left: usize| {
            let mut allowance = Allowance::new(1, at_once, START);
            assert!(allowance.take(START) && allowance.take_more(cost, START));
            assert_eq!(taken(&mut allowance, START), left, "{at_once} {cost}");
        };
        check(50, 20, 30);
        check(50, 1, 49);
        check(40, 20, 20);
        check(20, 20, 10);
        check(3, 20, 1);
        check(1, 20, 0);
        let mut allowance = Allowance::new(1, 50, START);
        assert_eq!(taken(&mut allowance, START), 50);
        assert!(!allowance.take_more(20, START.plus(Duration::from_secs(18))));
        assert!(allowance.take_more(20, START.plus(Duration::from_secs(19))));
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
