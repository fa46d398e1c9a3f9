use proptest::prelude::*;

use super::merge::combine;
use super::parse::parse;
use super::{distance, merge, taken_in};

const TASKS: &str = "# TASKS\nid,title,project,duration_minutes,date,status,category,notes,assignee_id,assignee_ids,assignee_names,sprint_id,is_archived,checklist,created_at,updated_at,end_date";

/// A document with the columns that matter to a test.
fn tasks(rows: &[&str]) -> String {
    let lines = std::iter::once("# TASKS\nid,title,notes,created_at,updated_at").chain(rows.iter().copied());
    lines.collect::<Vec<_>>().join("\n")
}

fn check(base: &[&str], theirs: &[&str], mine: &[&str], expected: &[&str]) {
    let merged = merge(&tasks(base), &tasks(theirs), &tasks(mine));
    assert_eq!(merged, Some(tasks(expected)), "{base:?} | {theirs:?} | {mine:?}");
}

#[test]
fn what_one_side_did_alone_is_done() {
    let base = ["1,Milk,,c1,u1", "2,Eggs,,c2,u1"];
    check(
        &base,
        &["1,Milk,,c1,u1", "2,Eggs!,,c2,u2"],
        &["1,Milk!,,c1,u2", "2,Eggs,,c2,u1"],
        &["1,Milk!,,c1,u2", "2,Eggs!,,c2,u2"],
    );
    check(&base, &["1,Milk,,c1,u1"], &["1,Milk,x,c1,u1", "2,Eggs,,c2,u1"], &["1,Milk,x,c1,u1"]);
    check(&base, &["1,Milk,x,c1,u1", "2,Eggs,,c2,u1"], &["2,Eggs,,c2,u1"], &["1,Milk,x,c1,u1", "2,Eggs,,c2,u1"]);
    check(&base, &["1,Milk,x,c1,u1", "2,Eggs,,c2,u1"], &["1,Milk,,c1,u1"], &["1,Milk,x,c1,u1"]);
    check(
        &base,
        &["2,Eggs,,c2,u1", "1,Milk,,c1,u1", "3,Tea,,c3,u1"],
        &["1,Milk,,c1,u1", "2,Eggs,,c2,u1", "4,Rye,,c4,u1"],
        &["2,Eggs,,c2,u1", "1,Milk,,c1,u1", "3,Tea,,c3,u1", "4,Rye,,c4,u1"],
    );
    check(&base, &[], &["1,Milk,,c1,u1", "2,Eggs,,c2,u1", "3,Tea,,c3,u1"], &["3,Tea,,c3,u1"]);
}

#[test]
fn where_both_changed_one_row_each_value_is_looked_at_and_mine_wins() {
    let base = ["1,Milk,fresh,c1,u1"];
    check(&base, &["1,Soy,fresh,c1,u2"], &["1,Milk,cold,c1,u3"], &["1,Soy,cold,c1,u3"]);
    check(&base, &["1,Soy,fresh,c1,u3"], &["1,Oat,cold,c1,u2"], &["1,Oat,cold,c1,u3"]);
    check(&base, &["1,Soy,fresh,c1,u3"], &["1,,fresh,c1,u2"], &["1,,fresh,c1,u3"]);
}

#[test]
fn a_row_that_was_changed_on_one_side_outlives_its_deletion_on_the_other() {
    let base = ["1,Milk,,c1,u1", "2,Eggs,,c2,u1"];
    check(&base, &["2,Eggs,,c2,u1"], &["1,Soy,,c1,u2", "2,Eggs,,c2,u1"], &["2,Eggs,,c2,u1", "1,Soy,,c1,u2"]);
    check(&base, &["1,Soy,,c1,u2", "2,Eggs,,c2,u1"], &["2,Eggs!,,c2,u1"], &["1,Soy,,c1,u2", "2,Eggs!,,c2,u1"]);
}

#[test]
fn when_a_row_was_taken_in_is_no_change() {
    let base = ["1,Milk,,c1,u1", "2,Eggs,,c2,u1"];
    check(
        &base,
        &["1,Milk,,c1,u9", "2,Eggs,,c2,u9", "3,Tea,,c3,u9"],
        &["1,Milk,,c1,u5"],
        &["1,Milk,,c1,u9", "3,Tea,,c3,u9"],
    );
    check(
        &base,
        &["1,Milk,,c1,u5"],
        &["1,Milk,,c1,u9", "2,Eggs,,c2,u9", "3,Tea,,c3,u9"],
        &["1,Milk,,c1,u9", "3,Tea,,c3,u9"],
    );
}

#[test]
fn rows_that_were_added_under_one_id_both_stay() {
    let base = ["1,Milk,,c1,u1"];
    let check_added = |theirs: &[&str], mine: &[&str], expected: &[&str]| {
        let all = |rows: &[&str]| tasks(&[&base[..], rows].concat());
        assert_eq!(merge(&all(&[]), &all(theirs), &all(mine)), Some(all(expected)), "{theirs:?} | {mine:?}");
    };
    check_added(&["2,Tea,,c2,u1"], &["2,Rye,,c3,u1"], &["2,Tea,,c2,u1", "3,Rye,,c3,u1"]);
    check_added(
        &["2,Tea,,c2,u1"],
        &["2,Rye,,c3,u1", "7,Oil,,c4,u1"],
        &["2,Tea,,c2,u1", "8,Rye,,c3,u1", "7,Oil,,c4,u1"],
    );
    // One row, which reached the server in two documents.
    check_added(&["2,Tea,,c2,u1"], &["2,Green tea,,c2,u2"], &["2,Green tea,,c2,u2"]);
    check_added(&["2,Tea,hot,c2,u1"], &["2,Green tea,,c2,u2"], &["2,Green tea,hot,c2,u2"]);
    // Nothing says when they were made: what is not the same is kept twice rather than lost.
    check_added(&["2,Tea,,,u1"], &["2,Tea,,,u2"], &["2,Tea,,,u2"]);
    check_added(&["2,Tea,,,u1"], &["2,Rye,,,u1"], &["2,Tea,,,u1", "3,Rye,,,u1"]);
}

#[test]
fn a_row_whose_id_was_given_to_another_one_meanwhile_is_not_mixed_with_it() {
    // What mine added as 2 is 3 on their side, and mine has not heard of it yet.
    check(
        &["2,Rye,,c3,u1"],
        &["2,Tea,,c2,u1", "3,Rye,,c3,u1"],
        &["2,Rye bread,,c3,u2"],
        &["2,Tea,,c2,u1", "3,Rye,,c3,u1", "4,Rye bread,,c3,u2"],
    );
    check(
        &["2,Rye,,c3,u1"],
        &["2,Tea,,c2,u1", "3,Rye,,c3,u1"],
        &["2,Rye,,c3,u2", "5,Oil,,c5,u1"],
        &["2,Tea,,c2,u1", "3,Rye,,c3,u1", "5,Oil,,c5,u1"],
    );
    check(&["2,Rye,,c3,u1"], &["2,Rye,,c3,u2"], &["2,Oil,,c5,u1"], &["2,Oil,,c5,u1"]);
}

#[test]
fn ids_may_be_any_text_until_one_is_to_be_made() {
    check(&["a,Milk,,c1,u1"], &["a,Soy,,c1,u1"], &["a,Milk,,c1,u1", "b,Tea,,c2,u1"], &["a,Soy,,c1,u1", "b,Tea,,c2,u1"]);
    for odd in ["a", "01", "9007199254740991", "-1", "1.5"] {
        let odd = format!("{odd},Milk,,c1,u1");
        let all = |row| tasks(&[&odd, row]);
        assert_eq!(merge(&tasks(&[&odd]), &all("2,Tea,,c2,u1"), &all("2,Rye,,c3,u1")), None, "{odd}");
    }
}

#[test]
fn what_mine_refers_to_follows_its_new_id() {
    let document = |tasks: &str, assignees: &str, sprints: &str| {
        format!(
            "# TASKS\nid,assignee_id,assignee_ids,sprint_id,duration_minutes,created_at{tasks}\n\n# ASSIGNEES\nid,name,created_at\n1,Ann,c1{assignees}\n\n# SPRINTS\nid,name,created_at{sprints}"
        )
    };
    let base = document("\n1,1,[1],,2,c1\n2,1,,,2,c2", "", "");
    let theirs = document("\n1,1,[1],,2,c1\n2,2,,,2,c2\n3,2,\"[1,2]\",1,2,c3", "\n2,Bob,c2", "\n1,May,c1");
    let mine = document("\n1,2,\"[1,2]\",1,2,c1\n2,1,,,2,c2\n4,1,12|2,1,2,c4", "\n2,Cid,c3", "\n1,June,c2");
    let expected = document(
        "\n1,3,\"[1,3]\",2,2,c1\n2,2,,,2,c2\n3,2,\"[1,2]\",1,2,c3\n4,1,12|3,2,2,c4",
        "\n2,Bob,c2\n3,Cid,c3",
        "\n1,May,c1\n2,June,c2",
    );
    assert_eq!(merge(&base, &theirs, &mine), Some(expected));
}

#[test]
fn a_document_of_the_client_is_read() {
    let whole = format!(
        "{TASKS}\n1,งานแรก,Home,30,2026-11-21,todo,อื่นๆ,\"two\nlines, and \"\"quotes\"\"\",1,\"[1,2]\",\"Ann, Bob\",,0,,2026-11-21 10:00:00,2026-11-21 10:00:00,\n\n\
         # PROJECTS\nid,name,repo_url,created_at\n1,Home,,2026-11-21 10:00:00\n\n\
         # ASSIGNEES\nid,name,color,discord_id,created_at\n\n\
         # SPRINTS\nid,name,start_date,end_date,status,created_at"
    );
    let document = parse(&whole).unwrap();
    assert_eq!(document.tables.iter().map(|table| table.rows.len()).collect::<Vec<_>>(), [1, 1, 0, 0]);
    let changed = whole.replace("งานแรก", "งาน");
    let read = || [parse(&whole).unwrap(), parse(&changed).unwrap(), parse(&whole).unwrap()];
    assert_eq!(combine(&read()), Some(changed.clone()));
    // As tests and people write it: with a line break at the end.
    assert!(parse("# TASKS\nid,title\n1,งานแรก\n").is_some());
    assert!(parse("").is_some_and(|document| document.tables.is_empty()));
}

#[test]
fn what_is_not_exactly_that_is_not_read() {
    for text in [
        "{}",
        "# TASKS",
        "# TASKS\n",
        "# TASKS\n\n# PROJECTS\nid,name",
        "# TASKS\ntitle\n1",
        "# TASKS\nid,title,title\n1,a,b",
        "# THINGS\nid\n1",
        "# TASKS\nid,title\n1",
        "# TASKS\nid,title\n1,a,b",
        "# TASKS\nid,title\n1,a\n1,b",
        "# TASKS\nid,title\n,a",
        "# TASKS\nid,title\n\"\",a",
        "# TASKS\nid,title\n1,a\"b",
        "# TASKS\nid,title\n1,\"a",
        "# TASKS\nid,title\n1,\"a\"b",
        "# TASKS\nid,title\n1,a\n# PROJECTS\nid,name",
        "# TASKS\nid,title\n1,a\n\n2,b",
        "# TASKS\nid\n1\n\n# TASKS\nid\n2",
        "# TASKS\r\nid,title\r\n1,a",
        "\n# TASKS\nid,title\n1,a",
    ] {
        let good = "# TASKS\nid,title\n1,a";
        assert!(parse(text).is_none(), "{text:?}");
        assert_eq!(merge(text, good, good), None, "{text:?}");
        assert_eq!((distance(text, text), distance(text, good), distance(good, text)), (None, None, None), "{text:?}");
    }
    let many: String = (0..100_001).map(|id| format!("\n{id}")).collect();
    assert!(parse(&format!("# TASKS\nid{many}")).is_none());
}

#[test]
fn tables_of_other_columns_and_clients_without_data_are_not_merged() {
    let (base, other) = (tasks(&["1,Milk,,c1,u1"]), "# TASKS\nid,title\n1,Milk");
    assert_eq!(merge(&base, other, &tasks(&[])), None);
    assert_eq!(merge(other, &base, &tasks(&[])), None);
    assert_eq!(merge(&base, "", &base), None);
    assert_eq!(merge(&base, &base, ""), None);
    assert_eq!(merge("", &base, &base).as_deref(), Some(&*base));
}

#[test]
fn a_table_that_one_side_lacks_is_empty_there() {
    let sprints = |rows: &str| format!("# SPRINTS\nid,name{rows}");
    let both = |rows: &str| format!("{}\n\n{}", tasks(&["1,Milk,,c1,u1"]), sprints(rows));
    let alone = tasks(&["1,Milk,,c1,u1"]);
    assert_eq!(
        merge(&alone, &tasks(&["1,Soy,,c1,u1"]), &both("\n1,May")),
        Some(both("\n1,May").replace("Milk", "Soy"))
    );
    assert_eq!(merge(&both("\n1,May"), &both("\n1,May\n2,June"), &alone), Some(both("\n2,June")));
    // Tables are in the order of theirs.
    let turned = format!("{}\n\n{}", sprints("\n1,May"), tasks(&["1,Soy,,c1,u1"]));
    assert_eq!(merge(&both(""), &turned, &both("\n2,July")), Some(turned.replace("1,May", "1,May\n2,July")));
}

#[test]
fn rows_with_a_line_break_are_not_taken_in() {
    let check = |sent: &str, expected: Option<&str>| assert_eq!(taken_in(sent).as_deref(), expected, "{sent}");
    let rows =
        ["1,Milk,\"a, \"\"b\"\"\",c1,u1", "2,Eggs,\"a\nb\",c2,u1", "3,Tea,\"\n# PROJECTS\n\n\",c3,u1", "4,Rye,,c4,u1"];
    check(&tasks(&rows), Some(&tasks(&[rows[0], rows[3]])));
    check(&tasks(&[rows[0], rows[3]]), None);
    check(&tasks(&[rows[1]]), Some(&tasks(&[])));
    let projects = "\n\n# PROJECTS\nid,name\n1,\"a\n\nb\"\n2,c\n";
    check(&(tasks(&rows) + projects), Some(&(tasks(&[rows[0], rows[3]]) + "\n\n# PROJECTS\nid,name\n2,c\n")));
    check("", None);
    check("\"", None);
    // Who deletes another row keeps these.
    let (base, mine) = (taken_in(&tasks(&rows)).unwrap(), tasks(&[rows[3]]));
    assert_eq!(merge(&base, &tasks(&rows), &mine), Some(tasks(&rows[1..])));
}

#[test]
fn a_distance_counts_rows() {
    let check = |one: &[&str], other: &[&str], expected: usize| {
        assert_eq!(distance(&tasks(one), &tasks(other)), Some(expected), "{one:?} | {other:?}");
        assert_eq!(distance(&tasks(other), &tasks(one)), Some(expected), "{other:?} | {one:?}");
    };
    check(&["1,Milk,,c1,u1"], &["1,Milk,,c1,u1"], 0);
    check(&["1,Milk,,c1,u1"], &["1,Milk,,c1,u2"], 0);
    check(&["1,Milk,,c1,u1"], &["1,\"Milk\",,c1,u2"], 0);
    check(&["1,Milk,,c1,u1"], &["1,Soy,,c1,u2"], 1);
    check(&["1,Milk,,c1,u1"], &[], 1);
    check(&["1,Milk,,c1,u1", "2,Tea,,c2,u1"], &["1,Soy,,c1,u1", "3,Rye,,c2,u1"], 3);
    assert_eq!(distance("", &tasks(&["1,Milk,,c1,u1"])), Some(1));
    assert_eq!(distance("# TASKS\nid,title\n1,Milk", &tasks(&["1,Milk,,c1,u1"])), Some(2));
}

/// What a side does to the document that both have.
#[derive(Clone, Debug)]
enum Deed {
    Title(usize, String),
    Notes(usize, String),
    Delete(usize),
    Add(String),
}

/// A row: id, title, notes, and when it was made, which tells it apart from all others.
type Entry = (u64, String, String, String);

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let text = || proptest::string::string_regex("[ab,\"\n#ก]{0,4}").unwrap();
    let deed = prop_oneof![
        (0usize..6, text()).prop_map(|(at, text)| Deed::Title(at, text)),
        (0usize..6, text()).prop_map(|(at, text)| Deed::Notes(at, text)),
        (0usize..6).prop_map(Deed::Delete),
        text().prop_map(Deed::Add),
    ];
    proptest::collection::vec(deed, 0..6)
}

fn done(base: &[Entry], deeds: &[Deed], who: &str) -> Vec<Entry> {
    let mut rows = base.to_vec();
    for (number, deed) in deeds.iter().enumerate() {
        let place = |at: &usize, rows: &Vec<Entry>| (*at < rows.len()).then_some(*at);
        match deed {
            Deed::Title(at, text) => place(at, &rows).into_iter().for_each(|at| rows[at].1.clone_from(text)),
            Deed::Notes(at, text) => place(at, &rows).into_iter().for_each(|at| rows[at].2.clone_from(text)),
            Deed::Delete(at) => place(at, &rows).into_iter().for_each(|at| drop(rows.remove(at))),
            Deed::Add(text) => {
                let id = rows.iter().map(|row| row.0).chain([6]).max().unwrap() + 1;
                rows.push((id, text.clone(), String::new(), format!("{who}{number}")));
            }
        }
    }
    rows
}

fn written(rows: &[Entry], updated_at: &str) -> String {
    let quoted = |text: &str| {
        let is_plain = !text.contains([',', '"', '\n']);
        if is_plain { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
    };
    let lines = rows
        .iter()
        .map(|(id, title, notes, made)| format!("{id},{},{},{made},{updated_at}", quoted(title), quoted(notes)));
    tasks(&lines.collect::<Vec<_>>().iter().map(String::as_str).collect::<Vec<_>>())
}

fn read(text: &str) -> Vec<Entry> {
    let document = parse(text).unwrap();
    let entry = |row: &super::parse::Row<'_>| {
        let mut values = super::parse::values(row.text).map(|value| super::parse::meaning(value).into_owned());
        let mut next = || values.next().unwrap();
        (next().parse().unwrap(), next(), next(), next())
    };
    document.tables[0].rows.iter().map(entry).collect()
}

fn find<'a>(rows: &'a [Entry], made: &str) -> Option<&'a Entry> {
    rows.iter().find(|row| row.3 == made)
}

proptest! {
    #[test]
    fn nothing_is_lost_that_nobody_deleted_and_all_that_one_side_did_alone_is_done(
        ours in deeds(),
        others in deeds(),
    ) {
        let base: Vec<Entry> = (1..=6).map(|id| (id, format!("t{id}"), format!("n{id}"), format!("c{id}"))).collect();
        let (theirs, mine) = (done(&base, &others, "t"), done(&base, &ours, "m"));
        let merged = merge(&written(&base, "u1"), &written(&theirs, "u2"), &written(&mine, "u3")).unwrap();
        let merged = read(&merged);
        let mut ids: Vec<u64> = merged.iter().map(|row| row.0).collect();
        ids.sort_unstable();
        ids.dedup();
        prop_assert_eq!(ids.len(), merged.len());
        let everything = base.iter().chain(&theirs).chain(&mine).map(|row| &row.3);
        for made in everything {
            let sides = [&base, &theirs, &mine].map(|rows| find(rows, made));
            let row = find(&merged, made);
            match sides {
                [Some(before), Some(theirs), Some(mine)] => {
                    let expected = |before: &String, theirs: &String, mine: &String| if mine == before { theirs.clone() } else { mine.clone() };
                    let row = row.expect("nobody deleted it");
                    prop_assert_eq!(&row.1, &expected(&before.1, &theirs.1, &mine.1));
                    prop_assert_eq!(&row.2, &expected(&before.2, &theirs.2, &mine.2));
                    prop_assert_eq!(row.0, before.0);
                }
                [Some(before), Some(after), None] | [Some(before), None, Some(after)] => {
                    prop_assert_eq!(row, (before != after).then_some(after));
                }
                [None, Some(added), None] => prop_assert_eq!(row, Some(added)),
                [None, None, Some(added)] => {
                    let row = row.expect("it was added");
                    prop_assert_eq!((&row.1, &row.2), (&added.1, &added.2));
                }
                [Some(_), None, None] => prop_assert_eq!(row, None),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }

    #[test]
    fn what_one_side_alone_wrote_goes_out_as_it_was_written(deeds in deeds()) {
        let base: Vec<Entry> = (1..=6).map(|id| (id, format!("t{id}"), String::new(), format!("c{id}"))).collect();
        let (before, after) = (written(&base, "u1"), written(&done(&base, &deeds, "t"), "u2"));
        prop_assert_eq!(merge(&before, &before, &after), Some(after.clone()));
        prop_assert_eq!(merge(&before, &after, &before), Some(after.clone()));
        prop_assert_eq!(merge(&before, &after, &after), Some(after.clone()));
        prop_assert_eq!(combine(&[parse(&before).unwrap(), parse(&after).unwrap(), parse(&before).unwrap()]), Some(after));
    }

    #[test]
    fn any_text_is_read_or_not_and_nothing_else(text in "(# TASKS\n)?[a-z,\"\n#ก]{0,40}", other in "(# TASKS\nid\n)?[1-3,\"\n]{0,12}") {
        let _ = (merge(&text, &other, &other), merge(&other, &text, &text), merge("", &other, &text));
        prop_assert_eq!(distance(&text, &other), distance(&other, &text));
    }
}
