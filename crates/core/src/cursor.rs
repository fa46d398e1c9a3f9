//! Where a replica resumes, and whether it may.

use std::fmt;

use crate::Seq;

/// One run of history: a random id made at each start of a server on its database.
///
/// A database that was set back to an older copy goes on under a new generation, so a cursor of the lost history is
/// noticed, whatever its number says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation([u8; 16]);

impl Generation {
    /// The generation made of `randomness`.
    #[must_use]
    pub const fn from_bytes(randomness: [u8; 16]) -> Self {
        Self(randomness)
    }

    /// The bytes to store.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a replica resumes: everything up to `seq` of this run of history is in its hands.
///
/// Opaque to clients. A cursor is never a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The run of history that the cursor was given out in.
    pub generation: Generation,
    /// The last change that the replica holds.
    pub seq: Seq,
}

/// A text that is no cursor of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no cursor that this server gave out")]
pub struct CursorError;

impl Cursor {
    /// Reads what `Display` wrote.
    ///
    /// # Errors
    /// [`CursorError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, CursorError> {
        let (generation, seq) = text.split_once('.').ok_or(CursorError)?;
        let plain = |text: &str, len: Option<usize>, allowed: fn(&u8) -> bool| {
            len.is_none_or(|len| text.len() == len) && !text.is_empty() && text.as_bytes().iter().all(allowed)
        };
        if !plain(generation, Some(32), |b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            || !plain(seq, None, u8::is_ascii_digit)
        {
            return Err(CursorError);
        }
        let wide = u128::from_str_radix(generation, 16).map_err(|_| CursorError)?;
        let seq = seq.parse::<i64>().ok().and_then(|seq| u64::try_from(seq).ok()).ok_or(CursorError)?;
        Ok(Self { generation: Generation(wide.to_be_bytes()), seq: Seq::new(seq) })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.generation, self.seq)
    }
}

/// The point of one space's log at which a generation took over from its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The generation that took over; generations of one database form one line.
    pub generation: Generation,
    /// The space's head at that moment.
    pub seq: Seq,
}

/// Whether a replica may go on from its cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// It may: everything after this is new to it.
    From(Seq),
    /// Its history is not ours: it was rolled back or restored. It has to start again.
    Reset,
}

/// Says whether `cursor` is good on a log that ends at `head`.
///
/// `line` holds the generations that led here, oldest first, each with the head at which it took over this space; a
/// generation under which nothing was written to the space may be given with the head it found. A cursor of an
/// ancestor is good at or below the point where its successor took over.
#[must_use]
pub fn resume(cursor: Cursor, line: &[Fork], head: Seq) -> Resume {
    let Some(place) = line.iter().position(|fork| fork.generation == cursor.generation) else {
        return Resume::Reset;
    };
    let end = line.get(place + 1).map_or(head, |successor| successor.seq);
    if cursor.seq <= end { Resume::From(cursor.seq) } else { Resume::Reset }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generation(n: u8) -> Generation {
        Generation::from_bytes([n; 16])
    }

    #[test]
    fn a_cursor_is_written_and_read() {
        let cursor = Cursor { generation: generation(0xa7), seq: Seq::new(42) };
        assert_eq!(Cursor::parse(&cursor.to_string()), Ok(cursor));
        for text in [
            "",
            "0",
            ".",
            "a7.42",
            "a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7.",
            "A7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7.1",
            "a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7.+1",
            "a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7.9223372036854775808",
        ] {
            assert_eq!(Cursor::parse(text), Err(CursorError), "{text}");
        }
    }

    #[test]
    fn a_cursor_of_an_ancestor_is_good_up_to_the_fork() {
        let line = [
            Fork { generation: generation(1), seq: Seq::ZERO },
            Fork { generation: generation(2), seq: Seq::new(10) },
            Fork { generation: generation(3), seq: Seq::new(10) },
        ];
        let check = |n, seq, expected| {
            let cursor = Cursor { generation: generation(n), seq: Seq::new(seq) };
            assert_eq!(resume(cursor, &line, Seq::new(20)), expected, "generation {n}, seq {seq}");
        };
        check(1, 10, Resume::From(Seq::new(10)));
        check(1, 11, Resume::Reset);
        check(2, 10, Resume::From(Seq::new(10)));
        check(2, 11, Resume::Reset);
        check(3, 20, Resume::From(Seq::new(20)));
        check(3, 21, Resume::Reset);
        check(9, 1, Resume::Reset);
    }
}
