//! Finding the rules that apply without looking at the others.

use std::collections::{BTreeMap, HashMap};

use super::{Pattern, Request, Rule};

/// A value for each triple of patterns.
#[derive(Clone, Debug)]
pub(super) struct Index<T>(Level<Level<Level<T>>>);

impl<T> Default for Index<T> {
    fn default() -> Self {
        Self(Level::default())
    }
}

impl<T> Index<T> {
    /// Keeps `value` under the rule's patterns, and returns what was there.
    pub(super) fn insert(&mut self, rule: &Rule, value: T) -> Option<T> {
        let users = self.0.entry(&rule.item);
        let actions = users.entry(&rule.user);
        actions.insert(&rule.action, value)
    }

    /// What is kept under the patterns that match, the most specific item first, of those the most specific user, then
    /// action.
    pub(super) fn matching<'i>(&'i self, request: Request<'i>) -> impl Iterator<Item = &'i T> {
        let users = self.0.matching(request.item);
        let actions = users.flat_map(move |users| users.matching(request.user));
        actions.flat_map(move |actions| actions.matching(request.action))
    }
}

/// A value for each pattern.
#[derive(Clone, Debug)]
struct Level<T> {
    literals: HashMap<Box<str>, T>,
    /// By the length of what stands before the `*`, and by that: a text is looked up once for each length.
    stems: BTreeMap<usize, HashMap<Box<[u8]>, T>>,
}

impl<T> Default for Level<T> {
    fn default() -> Self {
        Self { literals: HashMap::new(), stems: BTreeMap::new() }
    }
}

impl<T> Level<T> {
    fn insert(&mut self, pattern: &Pattern, value: T) -> Option<T> {
        match pattern.stem() {
            Some(stem) => self.stems.entry(stem.len()).or_default().insert(stem.as_bytes().into(), value),
            None => self.literals.insert(pattern.as_str().into(), value),
        }
    }

    fn entry(&mut self, pattern: &Pattern) -> &mut T
    where
        T: Default,
    {
        match pattern.stem() {
            Some(stem) => self.stems.entry(stem.len()).or_default().entry(stem.as_bytes().into()).or_default(),
            None => self.literals.entry(pattern.as_str().into()).or_default(),
        }
    }

    /// The values of the patterns that match `text`, by falling score: one with a `*` behind the whole text, then the
    /// text itself, then shorter and shorter beginnings.
    fn matching<'i>(&'i self, text: &'i str) -> impl Iterator<Item = &'i T> {
        let text_bytes = text.as_bytes();
        let whole = self.stems.get(&text.len()).and_then(|stems| look_up(stems, text_bytes));
        let literal = look_up(&self.literals, text);
        let shorter = self.stems.range(..text.len()).rev();
        let shorter = shorter.filter_map(move |(len, stems)| look_up(stems, &text_bytes[..*len]));
        whole.into_iter().chain(literal).chain(shorter)
    }
}

/// One step of a decision.
fn look_up<'m, K, T>(map: &'m HashMap<Box<K>, T>, key: &K) -> Option<&'m T>
where
    K: ?Sized + Eq + std::hash::Hash,
    Box<K>: Eq + std::hash::Hash + std::borrow::Borrow<K>,
{
    #[cfg(test)]
    tests::STEPS.with(|steps| steps.set(steps.get() + 1));
    map.get(key)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use crate::acl::{Effect, Pattern, Request, Rule, RuleList, Rules};

    thread_local! {
        /// What the decisions of this thread looked up.
        pub(super) static STEPS: Cell<usize> = const { Cell::new(0) };
    }

    fn steps<T>(decide: impl FnOnce() -> T) -> (usize, T) {
        STEPS.with(|steps| steps.set(0));
        let decided = decide();
        (STEPS.with(Cell::get), decided)
    }

    /// As apps have them: one for each item, for each user, and for each beginning of items.
    fn ten_thousand() -> Vec<Rule> {
        let rule = |n: usize| {
            let [user, item] = match n % 3 {
                0 => ["*".to_owned(), format!("task.{n:05}")],
                1 => [format!("user.{n:05}"), "*".to_owned()],
                _ => ["*".to_owned(), format!("list.{n:05}.*")],
            };
            let parse = |text: &str| Pattern::parse(text).unwrap();
            Rule { user: parse(&user), item: parse(&item), action: parse("edit"), effect: Effect::Allow }
        };
        (0..10_000).map(rule).collect()
    }

    #[test]
    fn a_decision_among_ten_thousand_rules_looks_at_a_few() {
        let mut rules = Rules::default();
        ten_thousand().into_iter().for_each(|rule| rules.add(rule));
        let list = RuleList::new(ten_thousand());
        let check = |user, item, action, is_allowed| {
            let request = Request { user, item, action };
            let (of_rules, decision) = steps(|| rules.decide(request).is_allowed);
            assert_eq!(decision, is_allowed, "{request:?}");
            assert!(of_rules > 0 && of_rules < 20, "{of_rules} steps for {request:?}");
            let (of_list, decision) = steps(|| list.decide(request).is_allowed);
            assert_eq!(decision, is_allowed, "{request:?}");
            assert!(of_list > 0 && of_list < 20, "{of_list} steps for {request:?}");
        };
        check("nobody", "task.00003", "edit", true);
        check("user.00004", "task.00003", "edit", true);
        check("user.00004", "task.00004", "edit", true);
        check("nobody", "list.00005.item.7", "edit", true);
        check("nobody", "task.00004", "edit", false);
        check("user.00004", "list.00005.item.7", "read", false);
    }
}
