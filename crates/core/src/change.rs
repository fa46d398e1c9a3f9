//! One acknowledged write, and what became of it.

/// What a change does to its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// The record is as the payload says.
    Put,
    /// The record is gone. What lies under its tombstone stays in the log.
    Delete,
}

/// Who made a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A replica sent it.
    Replica,
    /// The server wrote the outcome of a merge.
    Outcome,
    /// The server derived it: a cascade of a deletion, a name that two records shared. It loses to a replica's edit.
    Derived,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It is the record's new head as it came.
    Applied,
    /// It was merged with another's write, and all that it said survived. The outcome follows it in the log.
    Merged,
    /// It lost, or a part of it did. It stays in the log, readable; the outcome follows it.
    Superseded,
    /// It said nothing new: an echo or a repeat. Nothing was stored.
    Unchanged,
}
