//! The rows of one reading, of all kinds, as values.

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use tombolo_core::merge::State;
use tombolo_core::{
    CollectionName, Coverage, Digest, Generation, Instant, Policy, RecordKey, RecordName, ReplicaName, Seq, ServerTime,
    SpaceId, Stamp,
};

use super::connection::failed;
use super::generation::Run;
use super::loaded::{Content, LineGeneration, NameOwner, Remembered, SpaceRow};
use crate::StoreError;
use crate::columns::{checksum_of, decode_pages, from_millis, op_of, origin_of, seq_of, verdict_of};
use crate::ledger::{Alias, Change, End, HeadRow, IssuedCursor, RecordRow, Replica, ReplicaRow, Traffic, Upload};

/// Every part of the statement has the same columns: the kind of the row, then what that kind has of each type.
pub(super) const INTS: usize = 9;
pub(super) const TEXTS: usize = 3;
pub(super) const BYTES: usize = 4;
const TEXTS_AT: usize = 1 + INTS;
const BYTES_AT: usize = TEXTS_AT + TEXTS;

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum Kind {
    Space,
    Replica,
    Cursor,
    Record,
    Change,
    Traffic,
    Reference,
    Alias,
    Unique,
    Payload,
    Referrer,
    Head,
    HeadCount,
    Age,
    Owner,
    Generation,
    Erased,
}

pub(super) const KINDS: [Kind; 17] = [
    Kind::Space,
    Kind::Replica,
    Kind::Cursor,
    Kind::Record,
    Kind::Change,
    Kind::Traffic,
    Kind::Reference,
    Kind::Alias,
    Kind::Unique,
    Kind::Payload,
    Kind::Referrer,
    Kind::Head,
    Kind::HeadCount,
    Kind::Age,
    Kind::Owner,
    Kind::Generation,
    Kind::Erased,
];

/// A row that was read.
pub(super) enum Found {
    /// There need not be such a space.
    Space(Option<SpaceRow>, Run),
    Replica(ReplicaName, Replica, bool),
    Cursor(ReplicaRow, IssuedCursor),
    Record(RecordKey, RecordRow, Change),
    Change(Change),
    Traffic(ReplicaRow, RecordRow, Traffic),
    Reference(RecordRow, RecordRow),
    Alias(Alias, i64),
    Unique(RecordKey, RecordRow, Vec<u8>),
    Payload(Seq, Content),
    Referrer(RecordRow, RecordRow),
    Head(usize, HeadRow, Digest, bool),
    HeadCount(usize, usize),
    Age(ReplicaRow, Option<i64>, i64),
    Owner(ReplicaName, NameOwner),
    Generation(LineGeneration),
    Erased(SpaceId, Remembered),
}

/// A row as it comes.
pub(super) struct Read(pub(super) PgRow);

pub(super) fn bad(what: &str) -> StoreError {
    StoreError::Corrupt(format!("{what} is out of range"))
}

impl Read {
    fn int_opt(&self, place: usize) -> Result<Option<i64>, StoreError> {
        self.0.try_get(1 + place).map_err(failed)
    }

    fn int(&self, place: usize) -> Result<i64, StoreError> {
        self.int_opt(place)?.ok_or_else(|| bad("a number"))
    }

    fn seq(&self, place: usize) -> Result<Seq, StoreError> {
        seq_of(self.int(place)?).ok_or_else(|| bad("a sequence number"))
    }

    fn seq_opt(&self, place: usize) -> Result<Option<Seq>, StoreError> {
        self.int_opt(place)?.map(|seq| seq_of(seq).ok_or_else(|| bad("a sequence number"))).transpose()
    }

    fn millis(&self, place: usize) -> Result<Instant, StoreError> {
        from_millis(self.int(place)?).ok_or_else(|| bad("an instant"))
    }

    fn millis_opt(&self, place: usize) -> Result<Option<Instant>, StoreError> {
        self.int_opt(place)?.map(|_| self.millis(place)).transpose()
    }

    fn text(&self, place: usize) -> Result<Option<&str>, StoreError> {
        self.0.try_get(TEXTS_AT + place).map_err(failed)
    }

    pub(super) fn bytes(&self, place: usize) -> Result<Option<&[u8]>, StoreError> {
        self.0.try_get(BYTES_AT + place).map_err(failed)
    }

    fn instant_opt(&self, place: usize) -> Result<Option<Instant>, StoreError> {
        let read = |bytes: &[u8]| {
            let bytes: Option<[u8; 12]> = bytes.try_into().ok();
            bytes.and_then(Instant::from_bytes).ok_or_else(|| bad("an instant"))
        };
        self.bytes(place)?.map(read).transpose()
    }

    fn instant(&self, place: usize) -> Result<Instant, StoreError> {
        self.instant_opt(place)?.ok_or_else(|| bad("an instant"))
    }

    fn digest(&self, place: usize) -> Result<Digest, StoreError> {
        let bytes: Option<[u8; 16]> = self.bytes(place)?.and_then(|bytes| bytes.try_into().ok());
        bytes.map(Digest::from_bytes).ok_or_else(|| bad("a digest"))
    }

    fn collection(&self, place: usize, policy: &dyn Policy) -> Result<CollectionName, StoreError> {
        let name = self.text(place)?.unwrap_or_default();
        let known = policy.collections().iter().find(|collection| collection.as_str() == name);
        known
            .copied()
            .ok_or_else(|| StoreError::Corrupt("a record is of a kind that its protocol does not know".to_owned()))
    }

    fn name(&self, place: usize) -> Result<RecordName, StoreError> {
        RecordName::parse(self.text(place)?.unwrap_or_default())
            .map_err(|_| StoreError::Corrupt("a record's name is no name".to_owned()))
    }

    pub(super) fn key(&self, collection: usize, name: usize, policy: &dyn Policy) -> Result<RecordKey, StoreError> {
        Ok(RecordKey::new(self.collection(collection, policy)?, self.name(name)?))
    }

    fn content(&self, checksum: usize, payload: usize) -> Result<Content, StoreError> {
        let payload = self.bytes(payload)?;
        let is_whole = self.int(checksum)? == i64::from(checksum_of(payload));
        Ok(if is_whole { Content::Is(payload.map(<[u8]>::to_vec)) } else { Content::Damaged })
    }

    pub(super) fn found(&self, kind: Kind, policy: &dyn Policy) -> Result<Found, StoreError> {
        Ok(match kind {
            Kind::Space => {
                let row = if self.int_opt(0)?.is_some() { Some(self.space()?) } else { None };
                Found::Space(row, Run::new(self.int(6)?, self.int(7)?))
            }
            Kind::Replica => {
                let name = self.replica_name()?;
                let home = self.text(1)?.map(RecordName::parse).transpose();
                let home = home.map_err(|_| StoreError::Corrupt("a replica's home is no name".to_owned()))?;
                let (row, floor) = (ReplicaRow(self.int(0)?), self.millis_opt(1)?);
                let replica = Replica { row, home, floor, acknowledged: self.seq(3)?, given: self.seq(4)? };
                Found::Replica(name, replica, self.int(2)? != 0)
            }
            Kind::Cursor => Found::Cursor(ReplicaRow(self.int(0)?), self.cursor()?),
            Kind::Record => Found::Record(self.key(1, 2, policy)?, RecordRow(self.int(8)?), self.change()?),
            Kind::Change => Found::Change(self.change()?),
            Kind::Traffic => Found::Traffic(ReplicaRow(self.int(0)?), RecordRow(self.int(1)?), self.traffic()?),
            Kind::Reference => Found::Reference(RecordRow(self.int(0)?), RecordRow(self.int(1)?)),
            Kind::Alias => Found::Alias(Alias { key: self.key(0, 1, policy)?, of: self.name(2)? }, self.int(0)?),
            Kind::Unique => {
                let value = self.bytes(0)?.unwrap_or_default().to_vec();
                Found::Unique(self.key(0, 1, policy)?, RecordRow(self.int(0)?), value)
            }
            Kind::Payload => Found::Payload(self.seq(0)?, self.content(1, 0)?),
            Kind::Referrer => Found::Referrer(RecordRow(self.int(0)?), RecordRow(self.int(1)?)),
            Kind::Head => self.head(policy)?,
            Kind::HeadCount => Found::HeadCount(self.rank(1)?, self.small(0)?),
            Kind::Age => Found::Age(ReplicaRow(self.int(0)?), self.int_opt(1)?, self.int(2)?),
            Kind::Owner => {
                let owner = if self.int(0)? == 0 { NameOwner::Own } else { NameOwner::Other };
                Found::Owner(self.replica_name()?, owner)
            }
            Kind::Generation => {
                let id: Option<[u8; 16]> = self.bytes(0)?.and_then(|bytes| bytes.try_into().ok());
                let id = id.map(Generation::from_bytes).ok_or_else(|| bad("a generation's id"))?;
                Found::Generation(LineGeneration { ordinal: self.int(0)?, id, fork: self.seq_opt(1)? })
            }
            Kind::Erased => {
                let how = if self.int(1)? == 0 { Remembered::AsOlder } else { Remembered::ByItself };
                Found::Erased(SpaceId::new(self.int(0)?), how)
            }
        })
    }

    fn space(&self) -> Result<SpaceRow, StoreError> {
        Ok(SpaceRow {
            end: End { seq: self.seq(0)?, committed_at: ServerTime::from_micros(self.int(1)?) },
            generation: self.int(2)?,
            version: self.int(3)?,
            last_record: self.int(4)?,
            last_replica: self.int(5)?,
        })
    }

    fn replica_name(&self) -> Result<ReplicaName, StoreError> {
        ReplicaName::parse(self.text(0)?.unwrap_or_default())
            .map_err(|_| StoreError::Corrupt("a replica's name is no name".to_owned()))
    }

    fn small(&self, place: usize) -> Result<usize, StoreError> {
        usize::try_from(self.int(place)?).map_err(|_| bad("a number"))
    }

    fn rank(&self, place: usize) -> Result<usize, StoreError> {
        self.small(place).ok().filter(|rank| *rank < tombolo_core::RANKS).ok_or_else(|| bad("a rank"))
    }

    pub(super) fn change(&self) -> Result<Change, StoreError> {
        let digest = self.digest(1)?;
        let replica = self.text(0)?.and_then(|name| ReplicaName::parse(name).ok());
        let at = Instant::from_nanos(self.int(2)?.into()).ok_or_else(|| bad("a stamp"))?;
        let state = State {
            seq: self.seq(0)?,
            op: op_of(self.int(1)?).ok_or_else(|| bad("an operation"))?,
            stamp: Stamp { at, replica, digest },
            written_at: self.instant(0)?,
            public_at: self.millis(3)?,
            digest,
        };
        Ok(Change {
            record: RecordRow(self.int(8)?),
            state,
            prev: self.seq_opt(4)?,
            base: self.seq_opt(5)?,
            origin: origin_of(self.int(6)?).ok_or_else(|| bad("an origin"))?,
            verdict: verdict_of(self.int(7)?).ok_or_else(|| bad("a verdict"))?,
        })
    }

    fn cursor(&self) -> Result<IssuedCursor, StoreError> {
        let pages = self.bytes(1)?.map_or_else(|| Some(Vec::new()), decode_pages).ok_or_else(|| bad("a page"))?;
        Ok(IssuedCursor {
            token: self.millis(1)?,
            parent: self.millis_opt(2)?,
            alias: self.instant_opt(0)?,
            polled: self.int(3)? != 0,
            coverage: Coverage::with_pages(self.seq(4)?, pages),
        })
    }

    fn traffic(&self) -> Result<Traffic, StoreError> {
        let under = self.millis_opt(4)?;
        Ok(Traffic {
            greatest: self.instant(0)?,
            last: self.instant(1)?,
            held: self.instant_opt(2)?,
            held_under: self.millis_opt(2)?,
            tombstone: self.instant_opt(3)?,
            upload: self.seq_opt(3)?.map(|seq| Upload { seq, under }),
        })
    }

    fn head(&self, policy: &dyn Policy) -> Result<Found, StoreError> {
        let content = self.content(3, 1)?;
        let is_damaged = matches!(content, Content::Damaged);
        let payload = if let Content::Is(payload) = content { payload.unwrap_or_default() } else { Vec::new() };
        let head = HeadRow {
            record: RecordRow(self.int(5)?),
            key: self.key(0, 1, policy)?,
            seq: self.seq(0)?,
            op: op_of(self.int(1)?).ok_or_else(|| bad("an operation"))?,
            written_at: self.instant(2)?,
            public_at: self.millis(2)?,
            digest: self.digest(0)?,
            is_first: self.int_opt(4)?.is_none(),
            payload,
        };
        Ok(Found::Head(self.rank(6)?, head, self.digest(0)?, is_damaged))
    }
}
