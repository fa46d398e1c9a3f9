//! The documented cases, and a comparison with rules that are looked through one by one.

use proptest::prelude::*;

use super::*;

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

/// A rule as the documentation writes it: `A user|item|action`, or `D …`.
fn rule(text: &str) -> Rule {
    let (effect, patterns) = text.split_once(' ').unwrap();
    let effect = if effect == "A" { Effect::Allow } else { Effect::Deny };
    let [user, item, action] = patterns.split('|').map(pattern).collect::<Vec<_>>().try_into().unwrap();
    Rule { user, item, action, effect }
}

fn rules(text: &str) -> Vec<Rule> {
    text.split(", ").filter(|text| !text.is_empty()).map(rule).collect()
}

fn request(text: &str) -> Request<'_> {
    let [user, item, action] = text.split(' ').collect::<Vec<_>>().try_into().unwrap();
    Request { user, item, action }
}

fn set(rules: Vec<Rule>) -> Rules {
    let mut set = Rules::default();
    rules.into_iter().for_each(|rule| set.add(rule));
    set
}

#[test]
fn the_most_specific_rule_decides() {
    let check = |written: &str, asked: &str, expected: bool| {
        let set = set(rules(written));
        assert_eq!(set.decide(request(asked)).is_allowed, expected, "[{written}] {asked}");
    };
    // The numbers are those of the protocol's own vectors.
    check("", "u i a", false); // 1
    check("A *|*|*", "u i a", true); // 4
    check("A *|*|*", "u .acl .acl.addRule", true); // 5
    check("A u|i|a", "u i a", true); // 6
    check("A u|i|a", "v i a", false); // 7
    check("A u|i|a", "u j a", false);
    check("A u|i|a", "u i b", false);
    check("A *|task.*|*", "u task.1 a", true); // 9
    check("A *|task.*|*", "u task. a", true); // 10
    check("A *|task.*|*", "u task a", false); // 11
    check("A *|*|*, A user.123|*|*, D *|task.*|*, A *|*|edit", "user.123 task.456 edit", false); // 13
    check("A *|task.*|edit, D *|*|edit", "user.123 task.456 edit", true); // 14
    check("D *|task.*|*, A admin.*|task.*|*", "admin.123 task.456 edit", true); // 15
    check("A user.123|*|edit, D *|task.*|*", "user.123 task.456 edit", false); // 17
    check("A *|task.456|edit, D user.*|task.456|*", "user.123 task.456 edit", false); // 18
    check("A *|task.1*|*, D *|task.*|*", "u task.12 a", true); // 19
    check("D u|i|a, A u|i|a", "u i a", true); // 22
    check("A u|i|a, D u|i|a", "u i a", false); // 23
    check("A admin.*|.acl|.acl.*", "admin.1 .acl .acl.addRule", true); // 27
    check("A admin|.user.*|.user.generateToken", "admin bob .user.generateToken", false); // 29
    check("A admin|*|.user.generateToken", "admin bob .user.generateToken", true); // 30
}

#[test]
fn the_latest_of_equals_wins_however_many_there_are() {
    // 25, and the original's error at thirteen.
    for count in [1, 2, 12, 13, 20, 100] {
        let (allow, deny) = (rule("A u|i|a"), rule("D u|i|a"));
        let denied_then_allowed: Vec<_> = std::iter::repeat_n(deny.clone(), count).chain([allow.clone()]).collect();
        assert!(set(denied_then_allowed).decide(request("u i a")).is_allowed, "{count}");
        let allowed_then_denied: Vec<_> = std::iter::repeat_n(allow, count).chain([deny]).collect();
        assert!(!set(allowed_then_denied).decide(request("u i a")).is_allowed, "{count}");
    }
}

#[test]
fn what_follows_from_the_scores() {
    let check = |written: &str, asked: &str, expected: bool| {
        let set = set(rules(written));
        assert_eq!(set.decide(request(asked)).is_allowed, expected, "[{written}] {asked}");
    };
    // 6.5 is more than 6: a beginning that is the whole text outranks the text, whichever came first.
    check("D *|task.1|*, A *|task.1*|*", "u task.1 a", true);
    check("A *|task.1*|*, D *|task.1|*", "u task.1 a", true);
    check("A *|task.1|*, D *|task.*|*", "u task.1 a", true);
    check("A u*|i|a, D u|i|a", "u i a", true);
    check("A u|i|a*, D u|i|a", "u i a", true);
    // A beginning needs no dot.
    check("A *|task*|*", "u task a", true);
    check("A *|task*|*", "u tasks.9 a", true);
    check("A *|task*|*", "u Task a", false);
    // Half a point is less than any letter.
    check("A *|*|*, D *|t*|*", "u task a", false);
    // The item comes before both others, the user before the action.
    check("A *|i|*, D u|*|a", "u i a", true);
    check("A u|*|*, D *|*|a", "u i a", true);
    // Bytes count, and are compared: é is two of them, and not the other é.
    check("A *|é*|*, D *|*|*", "u été a", true);
    check("A *|é*|*", "u e\u{301}t a", false);
    check("A *|aé|*, D *|aé*|*", "u aé a", false);
    // A star in what is asked about is a letter as any other.
    check("A *|task.*|*", "u task.* a", true);
    check("D *|*|*, A *|task.|*", "u task.* a", false);
    // It matches nothing, too.
    check("A *|*|*", "  ", true);
}

#[test]
fn a_rule_takes_the_place_of_one_of_the_same_patterns_and_becomes_the_newest() {
    let mut rules = set(rules("A a|i|x, A b|i|x, A c|i|x"));
    rules.add(rule("D a|i|x"));
    let shown: Vec<_> = rules.iter().map(|rule| (rule.user.as_str().to_owned(), rule.effect)).collect();
    let expected = [("b", Effect::Allow), ("c", Effect::Allow), ("a", Effect::Deny)]
        .map(|(user, effect)| (user.to_owned(), effect));
    assert_eq!(shown, expected);
    assert_eq!((rules.len(), rules.is_empty(), Rules::default().is_empty()), (3, false, true));
    assert_eq!(rules.decide(request("a i x")).rule, Some(&rule("D a|i|x")));
    assert_eq!(rules.decide(request("d i x")), Decision { is_allowed: false, rule: None });
}

#[test]
fn what_is_a_pattern() {
    let check = |text: &str, expected: Result<(), PatternError>| {
        assert_eq!(Pattern::parse(text).map(|_| ()), expected, "{text:?}");
    };
    for good in ["*", "user*", "item*", "read", "task.*", "é*", ".acl.*", " ", "a b"] {
        check(good, Ok(()));
        assert_eq!(pattern(good).as_str(), good);
    }
    check("", Err(PatternError::Empty));
    for bad in ["user*test*", "item*test", "read*write*", "**", "*a", "task.**"] {
        check(bad, Err(PatternError::Wildcard));
    }
    for bad in ["a\nb", "\0", "a\u{1f}", "\u{7f}", "a\u{7f}*"] {
        check(bad, Err(PatternError::Control));
    }
    check("*é", Err(PatternError::Wildcard));
    check("é", Ok(()));
    check(&"x".repeat(limits::ACL_TEXT_BYTES_MAX), Ok(()));
    check(&"x".repeat(limits::ACL_TEXT_BYTES_MAX + 1), Err(PatternError::TooLong));
    // The first that applies.
    check("*\n*", Err(PatternError::Control));
    check(&format!("*{}", "x".repeat(limits::ACL_TEXT_BYTES_MAX)), Err(PatternError::Wildcard));
}

#[test]
fn the_first_rule_of_a_list_decides() {
    let check = |written: &str, asked: &str, expected: bool| {
        let list = RuleList::new(rules(written));
        assert_eq!(list.decide(request(asked)).is_allowed, expected, "[{written}] {asked}");
    };
    let documented = "A *|item123|view, A user456|*|edit, A *|task-*|view";
    check(documented, "any item123 view", true);
    check(documented, "user456 x edit", true);
    check(documented, "user1 x edit", false);
    check(documented, "u task-9 view", true);
    check(documented, "u task-9 edit", false);
    check("D *|*|*, A u|i|a", "u i a", false);
    check("A u|i|a, D u|i|a", "u i a", true);
    check("D u|i|a, A u|i|a", "u i a", false);
    check("A u|i|a, D *|*|*", "u i a", true);
    check("", "u i a", false);
    let list = RuleList::new(rules("A u|i|a, D u|i|a"));
    assert_eq!((list.rules().len(), list.decide(request("u i a")).rule), (2, Some(&rule("A u|i|a"))));
}

/// What a rule's pattern says of a text, and what it scores, twice, so that it is whole.
fn naive_match(pattern: &Pattern, text: &str) -> Option<usize> {
    let written = pattern.as_str();
    match written.strip_suffix('*') {
        Some(stem) => text.starts_with(stem).then_some(2 * written.len() - 1),
        None => (text == written).then_some(2 * written.len()),
    }
}

/// As the document says it, one rule after the other.
fn naive_decision<'r>(rules: &'r [Rule], asked: Request<'_>) -> Option<&'r Rule> {
    let scores = |rule: &Rule| {
        let item = naive_match(&rule.item, asked.item)?;
        Some((item, naive_match(&rule.user, asked.user)?, naive_match(&rule.action, asked.action)?))
    };
    let applying = rules.iter().enumerate().filter_map(|(place, rule)| Some((scores(rule)?, place)));
    applying.max().map(|(_, place)| &rules[place])
}

fn naive_first<'r>(rules: &'r [Rule], asked: Request<'_>) -> Option<&'r Rule> {
    let applies = |rule: &&Rule| {
        naive_match(&rule.item, asked.item).is_some()
            && naive_match(&rule.user, asked.user).is_some()
            && naive_match(&rule.action, asked.action).is_some()
    };
    rules.iter().find(applies)
}

/// Few letters, one of them of two bytes, so that texts often begin alike.
fn some_pattern() -> impl Strategy<Value = Pattern> {
    ("[abé]{0,3}", any::<bool>()).prop_map(|(text, is_open)| {
        let is_open = is_open || text.is_empty();
        pattern(&format!("{text}{}", if is_open { "*" } else { "" }))
    })
}

fn some_rule() -> impl Strategy<Value = Rule> {
    let effect = prop_oneof![Just(Effect::Allow), Just(Effect::Deny)];
    (some_pattern(), some_pattern(), some_pattern(), effect).prop_map(|(user, item, action, effect)| Rule {
        user,
        item,
        action,
        effect,
    })
}

proptest! {
    #[test]
    fn the_index_decides_as_whoever_looks_at_every_rule(
        rules in proptest::collection::vec(some_rule(), 0..200),
        asked in proptest::collection::vec(("[abé*]{0,4}", "[abé*]{0,4}", "[abé*]{0,4}"), 1..50),
    ) {
        let (set, list) = (set(rules.clone()), RuleList::new(rules.clone()));
        for (user, item, action) in &asked {
            let request = Request { user, item, action };
            prop_assert_eq!(set.decide(request), Decision::of(naive_decision(&rules, request)), "{:?}", request);
            prop_assert_eq!(list.decide(request), Decision::of(naive_first(&rules, request)), "{:?}", request);
        }
        // What is shown as in force decides alike.
        let shown: Vec<Rule> = set.iter().cloned().collect();
        prop_assert!(shown.len() <= rules.len());
        for (user, item, action) in &asked {
            let request = Request { user, item, action };
            prop_assert_eq!(naive_decision(&shown, request), naive_decision(&rules, request), "{:?}", request);
        }
    }
}
