//! What is done in turn on one space, and how it is decided.

use std::sync::Arc;

use tombolo_core::Policy;

use super::draft::Draft;
use super::reader::INLINE_SPAN;
use super::wants::Wants;
use crate::exchange::{self as shared, Here, Judged, Page};
use crate::ledger::Ledger as _;
use crate::{Action, Download, Downloaded, Exchange, Exchanged, SpaceAddress, StoreError, Upload, Uploaded, Write};

/// What is done in turn on one space.
pub(super) enum Job {
    /// Judge the writes, and read the page if it is small.
    Push(Arc<Exchange>),
    /// Note a page that was read, without its deliveries, and give out the next cursor.
    Issue(Arc<Exchange>, Box<(Judged, Page)>),
    /// Judge the writes of a replica that takes nothing back.
    Upload(Arc<Upload>),
    /// Make a replica known that asks for something.
    Register(Arc<Download>),
}

/// What became of a job.
pub(super) enum Outcome {
    Whole(Exchanged),
    PageIsLarge(Box<Judged>),
    Uploaded(Uploaded),
    /// `None` when it is known now.
    Registered(Option<Downloaded>),
    /// There is no such space any more: it was erased.
    Gone,
}

impl Job {
    pub(super) fn space(&self) -> SpaceAddress {
        match self {
            Self::Push(request) | Self::Issue(request, ..) => request.space,
            Self::Upload(request) => request.space,
            Self::Register(request) => request.space,
        }
    }

    pub(super) fn policy(&self) -> &dyn Policy {
        match self {
            Self::Push(request) | Self::Issue(request, ..) => &*request.policy,
            Self::Upload(request) => &*request.policy,
            Self::Register(request) => &*request.policy,
        }
    }

    /// The request of a replica that resumes by a time.
    pub(super) fn exchange(&self) -> Option<&Exchange> {
        match self {
            Self::Push(request) | Self::Issue(request, ..) => Some(request),
            Self::Upload(_) | Self::Register(_) => None,
        }
    }

    pub(super) fn writes(&self) -> &[Write] {
        match self {
            Self::Push(request) | Self::Issue(request, ..) => &request.writes,
            Self::Upload(request) => &request.writes,
            Self::Register(_) => &[],
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let size = |action: &Action| if let Action::Put(payload) = action { payload.len() } else { 0 };
        self.writes().iter().map(|write| size(&write.action) + 64).sum()
    }

    /// Adds what it is going to ask for.
    pub(super) fn foresee(&self, wants: &mut Wants) {
        match self {
            Self::Push(request) => wants.foresee(request),
            Self::Issue(request, ..) => {
                wants.replicas.insert(request.replica.clone());
                wants.aliases = true;
            }
            Self::Upload(request) => wants.foresee_upload(request),
            Self::Register(request) => {
                wants.replicas.insert(request.replica.clone());
                wants.owners.insert(request.replica.clone());
                wants.ages = true;
                wants.foresee_stand(request.since);
            }
        }
    }

    /// Decides it on what was read.
    pub(super) fn decide(&self, draft: &mut Draft<'_>, here: Here) -> Result<Outcome, StoreError> {
        match self {
            Self::Push(request) => push(draft, request),
            Self::Issue(request, read) => {
                let (judged, page) = &**read;
                shared::issue(draft, request, judged.clone(), page.clone()).map(Outcome::Whole)
            }
            Self::Upload(request) => shared::upload(draft, here, request).map(Outcome::Uploaded),
            Self::Register(request) => shared::register(draft, request).map(Outcome::Registered),
        }
    }
}

fn push(draft: &mut Draft<'_>, request: &Exchange) -> Result<Outcome, StoreError> {
    let judged = shared::push(draft, request)?;
    // What comes before a page is read before it.
    draft.is_complete()?;
    let span = draft.end()?.seq.get().saturating_sub(judged.oldest_start().get());
    if span > INLINE_SPAN {
        return Ok(Outcome::PageIsLarge(Box::new(judged)));
    }
    let page = shared::read_page(draft, request, &judged)?;
    shared::issue(draft, request, judged, page).map(Outcome::Whole)
}
