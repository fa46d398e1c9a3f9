//! The rules in force, as the log's rulings say them.

use tombolo_core::Seq;
use tombolo_core::acl::{RuleList, Rules};

/// What one ruling says.
#[derive(Clone, Debug)]
pub enum Ruling {
    /// These rules are added, in this order.
    Add(Vec<tombolo_core::acl::Rule>),
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
