//! A change's place in its log.

use std::fmt;

/// A change's place in its space's log: from 1, dense, never reused. Zero is the place before the first change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(u64);

impl Seq {
    /// The place before the first change.
    pub const ZERO: Self = Self(0);

    /// The place numbered `value`.
    ///
    /// # Panics
    /// Above `i64::MAX`: no store could keep it, and no log grows so far.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        assert!(value <= i64::MAX as u64, "a sequence number fits the stores' signed 64 bits");
        Self(value)
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The place after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self::new(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
