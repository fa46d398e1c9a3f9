//! Whatever the devices of a diary do, and whatever their clocks say: once all have synced, all are equal, nobody has
//! anything left to say, and no edit was lost but to another of the same field.
//!
//! A failure prints its life, which is all that there is to it. `TOMBOLO_RANDOM=1` asks for lives that nobody tried yet.

mod support;

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use support::{OnDisk, lives};
use tombolo_core::Env;
use tombolo_storage::memory::Memory;
use tombolo_storage::{LoggedChange, Store, Upkeep as _};
use tombolo_testkit::replicas_suite::{App, Book, settle};
use tombolo_testkit::{TestEnv, wait};

/// Two take the cursors of their uploads, two do not.
const DEVICES: [&str; 4] = ["a", "bu", "c", "du"];
const NOTES: [&str; 2] = ["m", "n"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Field {
    X,
    Y,
    /// Two lines that go as one.
    Repeat,
}

#[derive(Clone, Debug)]
enum Act {
    Edit(Field, usize),
    Delete(usize),
    Upload,
    /// Its answer is lost.
    UploadInVain,
    /// One page, of so many records.
    Page(usize),
    Sync,
    SetClock(i64),
    /// It is copied now, and the copy takes its place later.
    Copy,
    SetBack,
}

/// So many seconds later, a device does something.
type Step = (u64, usize, Act);

fn acts(deletes: bool, copies: bool) -> impl Strategy<Value = Act> {
    let field = prop_oneof![Just(Field::X), Just(Field::Y), Just(Field::Repeat)];
    let secs = prop_oneof![Just(0_i64), -100..100_i64, Just(-365 * 86_400), Just(973 * 365 * 86_400)];
    prop_oneof![
        8 => (field, 0..NOTES.len()).prop_map(|(field, note)| Act::Edit(field, note)),
        u32::from(deletes) * 2 => (0..NOTES.len()).prop_map(Act::Delete),
        3 => Just(Act::Upload),
        2 => Just(Act::UploadInVain),
        2 => (1..3_usize).prop_map(Act::Page),
        4 => Just(Act::Sync),
        1 => secs.prop_map(Act::SetClock),
        u32::from(copies) => Just(Act::Copy),
        u32::from(copies) => Just(Act::SetBack),
    ]
}

fn lives_of(deletes: bool, copies: bool) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0..5_u64, 0..DEVICES.len(), acts(deletes, copies)), 1..50)
}

/// What became of a life.
struct Played {
    log: Vec<LoggedChange>,
    notes: Vec<BTreeMap<String, String>>,
    is_one: bool,
    /// What each device wrote last to each field.
    last: HashMap<(usize, Field), BTreeMap<usize, String>>,
}

async fn play(store: &dyn Store, life: &[Step]) -> Played {
    let book = Book::of(store, "ann").await;
    let mut apps: Vec<App> = DEVICES.into_iter().map(|name| App::new(name, 0)).collect();
    for id in NOTES {
        apps[0].edit(&book, id, |_| {});
    }
    settle(&book, &mut apps).await;
    let mut copies = apps.clone();
    let mut last: HashMap<(usize, Field), BTreeMap<usize, String>> = HashMap::new();
    for (n, (secs, who, act)) in life.iter().enumerate() {
        book.wait(*secs);
        let app = &mut apps[*who];
        match act {
            Act::Edit(field, place) => {
                let value = format!("{who}-{n}");
                app.edit(&book, NOTES[*place], |note| match field {
                    Field::X => note.x.clone_from(&value),
                    Field::Y => note.y.clone_from(&value),
                    Field::Repeat => (note.every, note.days) = (value.clone(), value.clone()),
                });
                last.entry((*place, *field)).or_default().insert(*who, value);
            }
            Act::Delete(place) => app.delete(&book, NOTES[*place]),
            Act::Upload => app.upload(&book).await,
            Act::UploadInVain => app.upload_in_vain(&book).await,
            Act::Page(count) => app.download(&book, *count, true).await,
            Act::Sync => app.sync(&book).await,
            Act::SetClock(ahead) => app.set_clock(*ahead),
            Act::Copy => copies[*who] = app.clone(),
            Act::SetBack => *app = copies[*who].clone(),
        }
    }
    book.wait(10);
    let is_one = settle(&book, &mut apps).await;
    let shown = |app: &App| {
        app.notes()
            .into_iter()
            .map(|(id, note)| (id.to_owned(), String::from_utf8_lossy(&note.to_payload()).into()))
            .collect()
    };
    book.is_whole().await;
    Played { log: book.log().await, notes: apps.iter().map(shown).collect(), is_one, last }
}

fn converges(played: &Played) -> TestCaseResult {
    prop_assert!(played.is_one, "{:#?}", played.notes);
    Ok(())
}

/// What a note says in a field is what somebody wrote there last.
fn keeps(played: &Played) -> TestCaseResult {
    for ((place, field), last) in &played.last {
        let shown = &played.notes[0][NOTES[*place]];
        let line = match field {
            Field::X => "x=",
            Field::Y => "y=",
            Field::Repeat => "every=",
        };
        let value = shown.lines().find_map(|shown| shown.strip_prefix(line)).unwrap_or_default();
        prop_assert!(last.values().any(|last| last == value), "{place} {field:?} {last:?}: {shown}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(lives(300))]

    #[test]
    fn devices_converge_and_no_edit_is_lost(life in lives_of(false, false)) {
        let played = wait(play(&Memory::new(), &life));
        converges(&played)?;
        keeps(&played)?;
    }

    #[test]
    fn devices_converge_whatever_they_delete(life in lives_of(true, false)) {
        converges(&wait(play(&Memory::new(), &life)))?;
    }

    #[test]
    fn devices_that_are_set_back_converge(life in lives_of(true, true)) {
        converges(&wait(play(&Memory::new(), &life)))?;
    }
}

proptest! {
    #![proptest_config(lives(16))]

    #[test]
    fn all_stores_answer_alike(life in lives_of(true, true)) {
        let model = wait(play(&Memory::new(), &life));
        let env = || std::sync::Arc::new(TestEnv::new(1)) as std::sync::Arc<dyn Env>;
        let disk = OnDisk::default();
        let store = disk.server(env());
        let real = wait(play(&store, &life));
        wait(store.close()).expect("the store ends cleanly");
        prop_assert_eq!(&model.log, &real.log);
        prop_assert_eq!(&model.notes, &real.notes);
        if let Some(database) = support::OnPostgres::new() {
            let node = database.node(env());
            let real = wait(play(&*node, &life));
            wait(node.close()).expect("the store ends cleanly");
            prop_assert_eq!(&model.log, &real.log);
            prop_assert_eq!(&model.notes, &real.notes);
        }
    }
}
