//! Where a replica resumes, and whether it may.

use std::fmt;

use crate::{Seq, SpaceId};

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
        let is_plain = generation.len() == 32 && generation.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let wide = u128::from_str_radix(generation, 16).ok().filter(|_| is_plain).ok_or(CursorError)?;
        Ok(Self { generation: Generation(wide.to_be_bytes()), seq: number(seq).map(Seq::new)? })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.generation, self.seq)
    }
}

/// Where a replica resumes, with everything that says so: no more than this needs to be remembered of it.
///
/// While a download in pages is unfinished, the replica holds everything up to `complete`, and of what follows up to
/// `resume` what was the present state when its page was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpaceCursor {
    /// The log. One that was erased comes back under another number.
    pub space: SpaceId,
    /// The run of history that the cursor was given out in.
    pub generation: Generation,
    /// Everything up to here is in the replica's hands, as it was here.
    pub complete: Seq,
    /// Where the next page begins; never before `complete`.
    pub resume: Seq,
}

impl SpaceCursor {
    /// Reads what `Display` wrote.
    ///
    /// # Errors
    /// [`CursorError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, CursorError> {
        let (space, rest) = text.split_once('.').ok_or(CursorError)?;
        let (rest, resume) = rest.split_once('-').map_or((rest, None), |(rest, resume)| (rest, Some(resume)));
        let Cursor { generation, seq: complete } = Cursor::parse(rest)?;
        let resume = resume.map_or(Ok(complete), |resume| number(resume).map(Seq::new))?;
        let space = number(space).and_then(|space| i64::try_from(space).map_err(|_| CursorError))?;
        let cursor = Self { space: SpaceId::new(space), generation, complete, resume };
        // One text for each: what is not written so was not given out.
        (resume >= complete && cursor.to_string() == text).then_some(cursor).ok_or(CursorError)
    }
}

impl fmt::Display for SpaceCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { space, generation, complete, resume } = self;
        write!(f, "{space}.{generation}.{complete}")?;
        if resume > complete { write!(f, "-{resume}") } else { Ok(()) }
    }
}

/// A number that a store can keep, in plain digits.
fn number(text: &str) -> Result<u64, CursorError> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse::<i64>().ok().filter(|_| is_plain).ok_or(CursorError)?;
    u64::try_from(number).map_err(|_| CursorError)
}

/// Why a replica has to start again from the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetReason {
    /// The history that it was in is not this one's: the server was set back, or is another. It may hold what the
    /// server lacks.
    Restored,
    /// Its cursor lies beyond the end of the log.
    Ahead,
    /// Its cursor is of another account's log.
    OtherAccount,
}

/// Says whether `cursor` is good on the log of `space`, with the `line` that [`resume`] takes, which ends at `head`.
///
/// # Errors
/// Why it is not.
pub fn stand(cursor: SpaceCursor, space: SpaceId, line: &[Fork], head: Seq) -> Result<(), ResetReason> {
    let SpaceCursor { generation, resume: seq, .. } = cursor;
    let is_present = line.last().is_some_and(|fork| fork.generation == generation);
    match resume(Cursor { generation, seq }, line, head) {
        // Numbers of spaces mean something in their own history only.
        _ if !line.iter().any(|fork| fork.generation == generation) => Err(ResetReason::Restored),
        _ if cursor.space != space => Err(ResetReason::OtherAccount),
        Resume::From(_) => Ok(()),
        Resume::Reset if is_present => Err(ResetReason::Ahead),
        Resume::Reset => Err(ResetReason::Restored),
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

    #[test]
    fn a_cursor_of_a_space_is_written_and_read() {
        let whole = SpaceCursor {
            space: SpaceId::new(7),
            generation: generation(0xa7),
            complete: Seq::new(42),
            resume: Seq::new(42),
        };
        let paging = SpaceCursor { resume: Seq::new(50), ..whole };
        assert_eq!(whole.to_string(), "7.a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7.42");
        assert_eq!(paging.to_string(), "7.a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7.42-50");
        for cursor in [whole, paging] {
            assert_eq!(SpaceCursor::parse(&cursor.to_string()), Ok(cursor));
        }
        for text in [
            "",
            "7",
            "7.42",
            "a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7.42",
            "07.a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7.42",
            "7.a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7.42-42",
            "7.a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7.42-41",
            "7.a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7.42-",
            "-7.a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7.42",
        ] {
            assert_eq!(SpaceCursor::parse(text), Err(CursorError), "{text}");
        }
    }

    #[test]
    fn why_a_cursor_is_not_good() {
        let line =
            [Fork { generation: generation(1), seq: Seq::ZERO }, Fork { generation: generation(2), seq: Seq::new(10) }];
        let check = |space, n, seq, expected| {
            let (generation, seq) = (generation(n), Seq::new(seq));
            let cursor = SpaceCursor { space: SpaceId::new(space), generation, complete: seq, resume: seq };
            assert_eq!(stand(cursor, SpaceId::new(7), &line, Seq::new(20)), expected, "{cursor}");
        };
        check(7, 1, 10, Ok(()));
        check(7, 2, 20, Ok(()));
        check(7, 1, 11, Err(ResetReason::Restored));
        check(7, 2, 21, Err(ResetReason::Ahead));
        check(7, 9, 1, Err(ResetReason::Restored));
        check(8, 2, 1, Err(ResetReason::OtherAccount));
        check(8, 9, 1, Err(ResetReason::Restored));
    }
}
