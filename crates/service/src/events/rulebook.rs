//! The rules in force, as the log's rulings say them.

use std::sync::Arc;

use tombolo_core::Seq;
use tombolo_core::acl::{Rule, RuleList, Rules};
use tombolo_storage::{Entry, PageBounds, SpaceAddress};

use super::Events;
use crate::ServiceError;

/// Rulings that are read at a time: a start of a server with very many takes a few pages.
const PAGE: PageBounds = PageBounds { count_max: 1_000, bytes_max: 1 << 20 };

/// What one ruling says.
#[derive(Clone, Debug)]
pub enum Ruling {
    /// These rules are added, in this order.
    Add(Vec<Rule>),
    /// This list takes the place of the one before.
    List(RuleList),
}

/// The rules as of one ruling.
#[derive(Clone, Debug, Default)]
pub struct Rulebook {
    /// The last ruling that counts; zero for none.
    pub ruling: Seq,
    /// The rules.
    pub rules: Rules,
    /// The list that binds clients of the first generation, once one was put.
    pub list: Option<RuleList>,
}

impl Rulebook {
    /// Takes in what was ruled at `seq`, unless it was taken in before. A ruling that cannot be read changes nothing,
    /// and counts as read.
    fn take_in(&mut self, seq: Seq, ruling: Option<Ruling>) {
        if seq <= self.ruling {
            return;
        }
        self.ruling = seq;
        match ruling {
            Some(Ruling::Add(rules)) => rules.into_iter().for_each(|rule| self.rules.add(rule)),
            Some(Ruling::List(list)) => self.list = Some(list),
            None => {}
        }
    }
}

impl Events {
    /// The rules in force now.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn rulebook(&self) -> Result<Arc<Rulebook>, ServiceError> {
        match self.space().await? {
            Some(space) => self.rules_now(space).await,
            None => Ok(Arc::default()),
        }
    }

    /// The rules as they were when somebody last looked. Whoever keeps them while they change makes them be copied.
    pub(super) fn rules_then(&self) -> Arc<Rulebook> {
        self.rules.look(Arc::clone).1
    }

    /// The rules in force now: what was ruled since somebody last looked is read, and nothing else.
    pub(super) async fn rules_now(&self, space: SpaceAddress) -> Result<Arc<Rulebook>, ServiceError> {
        // Each round takes in a page, or finds that there is none; only being made to forget sets it back.
        loop {
            let (age, known) = self.rules.look(|rules| rules.ruling);
            let page = self.store.rulings(space, known, PAGE).await?;
            if page.first().is_some_and(|first| first.seq <= known) {
                return Err(ServiceError::Internal("a ruling was read twice".to_owned()));
            }
            let is_last = page.is_empty();
            let read = |entry: Entry| (entry.seq, (self.codec.ruling)(&entry.payload));
            let rulings: Vec<(Seq, Option<Ruling>)> = page.into_iter().map(read).collect();
            let rules = self.rules.change(age, |rules| {
                if !rulings.is_empty() {
                    let rules = Arc::make_mut(rules);
                    rulings.into_iter().for_each(|(seq, ruling)| rules.take_in(seq, ruling));
                }
                // Only a whole one is handed out: no other reference keeps the next page from being taken in.
                is_last.then(|| Arc::clone(rules))
            });
            if let Some(Some(rules)) = rules {
                return Ok(rules);
            }
        }
    }
}
