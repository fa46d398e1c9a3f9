//! Values as columns, and columns as values: how every store keeps what SQL has no type for.

use tombolo_core::{
    EmailAddress, Instant, Op, Origin, Page, PeerName, Purpose, RANKS, Role, RoomCode, RoomId, Seq, Verdict,
};

use crate::{Flow, InvitationStatus, SecretHash, StoreError};

/// What finds damage of a payload, wherever it came from.
pub(crate) fn checksum_of(payload: Option<&[u8]>) -> u32 {
    payload.map_or(0, crc32fast::hash)
}

pub(crate) fn int(seq: Seq) -> i64 {
    i64::try_from(seq.get()).unwrap_or(i64::MAX)
}

pub(crate) fn seq_of(value: i64) -> Option<Seq> {
    u64::try_from(value).ok().map(Seq::new)
}

pub(crate) fn small(rank: usize) -> i64 {
    debug_assert!(rank < RANKS);
    i64::try_from(rank).unwrap_or(i64::MAX)
}

pub(crate) fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(crate) fn from_millis(millis: i64) -> Option<Instant> {
    Instant::from_nanos(i128::from(millis) * 1_000_000)
}

/// `None` when it is not in whole milliseconds.
pub(crate) fn to_millis(instant: Instant) -> Option<i64> {
    (instant == instant.ceil_to_millis()).then(|| whole_millis(instant))
}

/// The millisecond that it lies in, since 1970.
pub(crate) fn whole_millis(instant: Instant) -> i64 {
    i64::try_from(instant.nanos().div_euclid(1_000_000)).expect("the milliseconds of some ten thousand years")
}

pub(crate) fn op_code(op: Op) -> i64 {
    match op {
        Op::Put => 0,
        Op::Delete => 1,
    }
}

pub(crate) fn op_of(code: i64) -> Option<Op> {
    match code {
        0 => Some(Op::Put),
        1 => Some(Op::Delete),
        _ => None,
    }
}

pub(crate) fn origin_code(origin: Origin) -> i64 {
    match origin {
        Origin::Replica => 0,
        Origin::Outcome => 1,
        Origin::Derived => 2,
    }
}

pub(crate) fn origin_of(code: i64) -> Option<Origin> {
    match code {
        0 => Some(Origin::Replica),
        1 => Some(Origin::Outcome),
        2 => Some(Origin::Derived),
        _ => None,
    }
}

pub(crate) fn verdict_code(verdict: Verdict) -> i64 {
    match verdict {
        Verdict::Applied => 0,
        Verdict::Merged => 1,
        Verdict::Superseded => 2,
        Verdict::Unchanged => 3,
    }
}

/// No change is stored as unchanged.
pub(crate) fn verdict_of(code: i64) -> Option<Verdict> {
    match code {
        0 => Some(Verdict::Applied),
        1 => Some(Verdict::Merged),
        2 => Some(Verdict::Superseded),
        _ => None,
    }
}

/// Five numbers a page: its snapshot, then each rank's bounds.
const PAGE_NUMBERS: usize = 1 + 2 * RANKS;

pub(crate) fn encode_pages(pages: &[Page]) -> Vec<u8> {
    let numbers = |page: &Page| {
        let mut numbers = vec![page.snapshot];
        numbers.extend(page.spans.iter().flat_map(|(from, to)| [*from, *to]));
        numbers
    };
    pages.iter().flat_map(numbers).flat_map(|seq| seq.get().to_be_bytes()).collect()
}

pub(crate) fn decode_pages(bytes: &[u8]) -> Option<Vec<Page>> {
    let number = |bytes: &[u8]| {
        let number = u64::from_be_bytes(bytes.try_into().ok()?);
        (i64::try_from(number).is_ok()).then(|| Seq::new(number))
    };
    let page = |bytes: &[u8]| {
        let numbers = bytes.chunks(8).map(number).collect::<Option<Vec<Seq>>>()?;
        let spans = std::array::from_fn(|rank| (numbers[1 + 2 * rank], numbers[2 + 2 * rank]));
        Some(Page { snapshot: numbers[0], spans })
    };
    let whole = bytes.len().is_multiple_of(8 * PAGE_NUMBERS);
    whole.then(|| bytes.chunks(8 * PAGE_NUMBERS).map(page).collect())?
}

pub(crate) fn purpose_of(text: &str) -> Result<Purpose, StoreError> {
    Purpose::parse(text).map_err(|error| StoreError::Corrupt(format!("a stored purpose: {error}")))
}

pub(crate) fn role_of(text: &str) -> Result<Role, StoreError> {
    Role::parse(text).map_err(|error| StoreError::Corrupt(format!("a stored role: {error}")))
}

pub(crate) fn email_of(text: &str) -> Result<EmailAddress, StoreError> {
    EmailAddress::parse(text).map_err(|error| StoreError::Corrupt(format!("a stored address: {error}")))
}

pub(crate) fn secret_of(bytes: &[u8]) -> Result<SecretHash, StoreError> {
    let hash = bytes.try_into().map_err(|_| StoreError::Corrupt("a secret's hash has not 32 bytes".to_owned()))?;
    Ok(SecretHash(hash))
}

pub(crate) fn room_code_of(text: &str) -> Result<RoomCode, StoreError> {
    RoomCode::parse(text).map_err(|_| StoreError::Corrupt("a stored room's code is none".to_owned()))
}

pub(crate) fn room_id_of(bytes: &[u8]) -> Result<RoomId, StoreError> {
    let id = bytes.try_into().map_err(|_| StoreError::Corrupt("a room's id has not 16 bytes".to_owned()))?;
    Ok(RoomId::from_bytes(id))
}

/// How long it may be was decided when it came in.
pub(crate) fn peer_of(text: &str) -> Result<PeerName, StoreError> {
    PeerName::parse(text, usize::MAX).ok_or_else(|| StoreError::Corrupt("a room's host has no name".to_owned()))
}

/// The text of a document, of the change that is shown in `place`, if it is what was written.
pub(crate) fn document_of(
    payload: Vec<u8>,
    checksum: i64,
    place: impl FnOnce() -> String,
) -> Result<String, StoreError> {
    if checksum != i64::from(checksum_of(Some(&payload))) {
        return Err(StoreError::Corrupt(format!("{}: its content is not what was written", place())));
    }
    String::from_utf8(payload).map_err(|_| StoreError::Corrupt(format!("{}: its content is no text", place())))
}

pub(crate) const fn status_code(status: InvitationStatus) -> &'static str {
    match status {
        InvitationStatus::Pending => "pending",
        InvitationStatus::Accepted => "accepted",
        InvitationStatus::Declined => "declined",
    }
}

pub(crate) fn status_of(text: &str) -> Result<InvitationStatus, StoreError> {
    let all = [InvitationStatus::Pending, InvitationStatus::Accepted, InvitationStatus::Declined];
    let unknown = || StoreError::Corrupt("an invitation's status is none".to_owned());
    all.into_iter().find(|status| status_code(*status) == text).ok_or_else(unknown)
}

pub(crate) const fn flow_code(flow: Flow) -> &'static str {
    match flow {
        Flow::Code => "code",
        Flow::Verifier => "verifier",
        Flow::Web => "web",
    }
}

pub(crate) fn flow_of(text: &str) -> Result<Flow, StoreError> {
    let unknown = || StoreError::Corrupt("a sign-in's flow is none".to_owned());
    [Flow::Code, Flow::Verifier, Flow::Web].into_iter().find(|flow| flow_code(*flow) == text).ok_or_else(unknown)
}
