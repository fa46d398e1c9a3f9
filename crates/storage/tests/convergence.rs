//! Whatever a few devices do, and whatever their clocks say: once all have synced, all are equal, nobody has anything
//! left to say, and no edit was lost but to another of the same field.
//!
//! A failure prints its schedule, which is all that there is to it: there is no other randomness.
//!
//! The lives are the same ones in every run, so that a change fails by its own fault. `TOMBOLO_RANDOM=1` asks for ones
//! that nobody tried yet, and `PROPTEST_CASES` for more of them; a schedule that fails then belongs in `histories.rs`.

mod schedule;
mod support;

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use schedule::{Schedule, World, ordinary, schedules, with_clones, with_restores};
use support::{InMemory, OnDisk, OnPostgres, OnTwoNodes, check, lives};
use tombolo_storage::{Exchanged, LoggedChange};
use tombolo_testkit::{Place, Stores, wait};

fn played<T>(stores: &dyn Stores, schedule: &Schedule, look: impl FnOnce(World<'_>) -> T) -> T {
    let mut place = Place::new(stores);
    place.page_bytes_max = schedule.page_bytes_max;
    let mut world = World::new(&place, schedule);
    for step in &schedule.steps {
        world.play(step);
    }
    look(world)
}

fn converges_and_keeps(schedule: &Schedule) -> TestCaseResult {
    played(&InMemory::default(), schedule, |mut world| {
        world.come_to_rest(false)?;
        world.check_equal()?;
        world.check_kept()
    })
}

fn answers(stores: &dyn Stores, schedule: &Schedule) -> Result<(Vec<Exchanged>, Vec<LoggedChange>), TestCaseError> {
    let mut place = Place::new(stores);
    place.page_bytes_max = schedule.page_bytes_max;
    let mut world = World::new(&place, schedule);
    for step in &schedule.steps {
        world.play(step);
    }
    world.come_to_rest(true)?;
    let replies = std::mem::take(&mut world.replies);
    prop_assert_eq!(check(&place).faults, Vec::<String>::new());
    let log = place.log();
    wait(place.store.close()).expect("the store ends cleanly");
    Ok((replies, log))
}

/// Reply by reply, and the logs at last.
fn answers_as_the_model(stores: &dyn Stores, schedule: &Schedule) -> TestCaseResult {
    let (model, real) = (answers(&InMemory::default(), schedule)?, answers(stores, schedule)?);
    prop_assert_eq!(model.0.len(), real.0.len());
    for (n, (model, real)) in model.0.iter().zip(&real.0).enumerate() {
        prop_assert_eq!(model, real, "reply {}", n);
    }
    prop_assert_eq!(model.1, real.1);
    Ok(())
}

proptest! {
    #![proptest_config(lives(300))]

    #[test]
    fn devices_converge_and_no_edit_is_lost(schedule in schedules(ordinary(), 40)) {
        converges_and_keeps(&schedule)?;
    }

    #[test]
    fn devices_that_are_set_back_revert_nothing(schedule in schedules(with_restores(), 40)) {
        converges_and_keeps(&schedule)?;
    }

    #[test]
    fn copied_devices_converge(schedule in schedules(with_clones(), 40)) {
        played(&InMemory::default(), &schedule, |mut world| {
            world.come_to_rest(true)?;
            world.check_equal()
        })?;
    }
}

proptest! {
    #![proptest_config(lives(16))]

    #[test]
    fn all_stores_answer_alike(schedule in schedules(with_clones(), 30)) {
        answers_as_the_model(&OnDisk::default(), &schedule)?;
        if let Some(postgres) = OnPostgres::new() {
            answers_as_the_model(&postgres, &schedule)?;
        }
    }

    #[test]
    fn two_nodes_in_turn_answer_as_one_store(schedule in schedules(with_clones(), 30)) {
        if let Some(postgres) = OnPostgres::new() {
            answers_as_the_model(&OnTwoNodes(postgres), &schedule)?;
        }
    }
}
