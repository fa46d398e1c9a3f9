//! What has to be read of a space before a request can be decided.

use std::collections::{BTreeMap, BTreeSet};

use tombolo_core::{CollectionName, Digest, Instant, Policy, RANKS, RecordKey, ReplicaName, Seq, SpaceCursor, SpaceId};

use crate::ledger::{RecordRow, ReplicaRow};
use crate::{Action, Download, Exchange, Upload, Write};

/// What is to be read. A request says most of it beforehand; what only its decision shows to be needed is noted by the
/// draft that met the gap, read, and the decision is made again from the beginning: it is pure, and takes microseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Wants {
    /// Replicas, each with its newest cursor.
    pub(super) replicas: BTreeSet<ReplicaName>,
    /// Cursors by the time that was given out, by the replica's name.
    pub(super) presented: BTreeSet<(ReplicaName, i64)>,
    /// Records with their heads and what they refer to.
    pub(super) keys: BTreeSet<RecordKey>,
    /// What was exchanged with a replica for a record, by their names.
    pub(super) exchanged: BTreeSet<(ReplicaName, RecordKey)>,
    /// The other names of records: all of them.
    pub(super) aliases: bool,
    /// Who holds a value that only one record may have.
    pub(super) uniques: BTreeSet<(CollectionName, Vec<u8>)>,
    /// Cursors by the time that was given out.
    pub(super) tokens: BTreeSet<(ReplicaRow, i64)>,
    /// Cursors by what the replica's clock made of that time.
    pub(super) cursor_aliases: BTreeSet<(ReplicaRow, Instant)>,
    /// All cursors of a replica.
    pub(super) all_cursors: BTreeSet<ReplicaRow>,
    /// What was exchanged, by rows.
    pub(super) traffic: BTreeSet<(ReplicaRow, RecordRow)>,
    /// Changes, each with some of its record's preceding ones.
    pub(super) chains: BTreeSet<Seq>,
    /// Contents of changes, each with those of some preceding ones.
    pub(super) payloads: BTreeSet<Seq>,
    /// What refers to a record, with its heads and contents.
    pub(super) referrers: BTreeSet<RecordRow>,
    /// Heads of a rank after a place.
    pub(super) heads: BTreeMap<usize, Seq>,
    /// To whom heads go: what was exchanged with them for these is read too. By itself it is no reason to read.
    pub(super) readers: BTreeSet<ReplicaRow>,
    /// Which replicas were unseen for longest.
    pub(super) ages: bool,
    /// Whose replicas' names are.
    pub(super) owners: BTreeSet<ReplicaName>,
    /// The generations that led to the space's log.
    pub(super) line: bool,
    /// Whether spaces were erased that were the owner's.
    pub(super) erased: BTreeSet<SpaceId>,
}

impl Wants {
    pub(super) fn is_empty(&self) -> bool {
        let Self {
            replicas,
            presented,
            keys,
            exchanged,
            aliases,
            uniques,
            tokens,
            cursor_aliases,
            all_cursors,
            traffic,
            chains,
            payloads,
            referrers,
            heads,
            readers: _,
            ages,
            owners,
            line,
            erased,
        } = self;
        let names = replicas.is_empty() && presented.is_empty() && keys.is_empty() && exchanged.is_empty();
        let rows = tokens.is_empty() && cursor_aliases.is_empty() && all_cursors.is_empty() && traffic.is_empty();
        let log = chains.is_empty() && payloads.is_empty() && referrers.is_empty() && heads.is_empty();
        let stand = owners.is_empty() && !line && erased.is_empty();
        names && rows && log && stand && uniques.is_empty() && !aliases && !ages
    }

    /// How much of it a request may have for each of its records.
    pub(super) fn of_records(&self) -> usize {
        let Self { keys, uniques, traffic, chains, payloads, referrers, .. } = self;
        keys.len() + uniques.len() + traffic.len() + chains.len() + payloads.len() + referrers.len()
    }

    /// Adds what `request` is going to ask for. A payload that does not read is met again when it is judged.
    pub(super) fn foresee(&mut self, request: &Exchange) {
        let policy = &*request.policy;
        self.replicas.insert(request.replica.clone());
        if let Some(token) = request.presented.and_then(crate::columns::to_millis) {
            self.presented.insert((request.replica.clone(), token));
        }
        if request.writes.is_empty() {
            return;
        }
        self.aliases = true;
        self.keys.extend(policy.home());
        for write in &request.writes {
            let key =
                if write.is_home { policy.home().unwrap_or_else(|| write.key.clone()) } else { write.key.clone() };
            self.exchanged.insert((request.replica.clone(), key));
            self.foresee_write(policy, write);
        }
    }

    fn foresee_write(&mut self, policy: &dyn Policy, write: &Write) {
        self.keys.insert(write.key.clone());
        match &write.action {
            Action::Put(payload) => self.foresee_content(policy, write.key.collection, payload),
            Action::Attach { target, .. } => drop(self.keys.insert(target.clone())),
            Action::Delete => {}
        }
    }

    /// Adds what an upload is going to ask for.
    pub(super) fn foresee_upload(&mut self, request: &Upload) {
        self.replicas.insert(request.replica.clone());
        self.foresee_stand(request.presented);
        self.aliases |= !request.writes.is_empty();
        request.writes.iter().for_each(|write| self.foresee_write(&*request.policy, write));
    }

    /// Adds what a download is going to ask for.
    pub(super) fn foresee_download(&mut self, request: &Download) {
        self.replicas.insert(request.replica.clone());
        self.foresee_stand(request.since);
        let after = request.since.map_or(Seq::ZERO, |cursor| cursor.resume);
        let policy = &*request.policy;
        let ranks = policy.collections().iter().map(|collection| policy.rank(*collection));
        self.heads.extend(ranks.filter(|rank| *rank < RANKS).map(|rank| (rank, after)));
    }

    /// Adds what says whether a cursor is good.
    pub(super) fn foresee_stand(&mut self, presented: Option<SpaceCursor>) {
        self.line |= presented.is_some();
        self.erased.extend(presented.map(|cursor| cursor.space));
    }

    /// Adds what a content leads to.
    pub(super) fn foresee_content(&mut self, policy: &dyn Policy, collection: CollectionName, payload: &[u8]) {
        self.keys.extend(policy.references(collection, payload).unwrap_or_default());
        let unique = policy.unique(collection, payload).ok().flatten();
        self.uniques.extend(unique.map(|unique| (collection, unique_key(&unique.key))));
    }
}

/// A longer value is known by its digest: a row of an index has 2,700 bytes at most.
const UNIQUE_BYTES_MAX: usize = 1_024;

/// How a value that only one record may have is kept.
pub(crate) fn unique_key(value: &[u8]) -> Vec<u8> {
    if value.len() > UNIQUE_BYTES_MAX { Digest::of(value).to_bytes().to_vec() } else { value.to_vec() }
}
