//! The projects and sign-ins of all stores, by one suite each.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use support::suites::conforms;
use support::{OnDisk, OnPostgres};
use tombolo_core::{Act, Env, Name, ProjectId, Refusal, Role, Seq, UserId};
use tombolo_storage::memory::Memory;
use tombolo_storage::{Elsewhere, Listener, MemberChanged, Message, Projects as _, Store, StoreError, Upkeep};
use tombolo_testkit::eventually::{FOREVER, eventually};
use tombolo_testkit::projects_suite::{add_project, add_user, join, write_note};
use tombolo_testkit::{Stores as _, TestEnv, projects_suite, runtime, sign_ins_suite, wait};

fn env() -> Arc<dyn Env> {
    Arc::new(TestEnv::new(1))
}

conforms!(
    projects,
    projects_suite,
    [
        a_deleted_project_comes_back,
        a_disabled_owner_is_no_last_owner,
        a_number_means_only_who_is_known,
        an_unknown_address_makes_a_pending_account,
        each_may_do_what_the_table_says,
        each_project_has_a_log_of_its_own,
        invitations_are_answered_once,
        invitations_are_bounded,
        invitations_end,
        members_are_added_once,
        members_are_bounded,
        projects_are_bounded,
        projects_are_listed_for_their_members,
        projects_are_made_and_renamed,
        the_last_owner_stays,
    ],
    at_once [
        an_address_is_added_twice_at_once,
        an_invitation_is_accepted_twice_at_once,
        slugs_made_at_once_differ,
        two_add_each_other_at_once,
        two_owners_demote_each_other,
        two_owners_leave_at_once,
    ]
);

conforms!(
    sign_ins,
    sign_ins_suite,
    [
        a_key_is_given_out_once,
        a_pending_account_becomes_real,
        a_pending_account_ends_with_what_made_it,
        a_pending_account_is_adopted,
        a_sign_in_is_found_by_what_it_knows,
        a_user_code_means_the_newest_that_waits,
        an_approved_sign_in_is_not_pushed_out,
        an_approval_needs_an_account_or_makes_one,
        keys_are_bounded,
        keys_of_one_name_are_numbered,
        links_are_bounded,
        sign_ins_of_one_address_are_bounded,
        those_that_wait_are_listed,
        what_ended_is_swept_away,
    ],
    at_once [
        a_key_is_asked_for_twice_at_once,
        a_new_address_is_approved_twice_at_once,
        keys_made_at_once_differ,
        links_offered_at_once_are_counted,
    ]
);

/// The time at which the suites begin, and when their sign-ins end.
fn times() -> (i64, i64) {
    (TestEnv::START.micros(), projects_suite::later(900).micros())
}

#[test]
fn sign_ins_are_bounded_in_memory() {
    let store = Memory::new();
    wait(sign_ins_suite::sign_ins_are_bounded(&store, async |numbers| {
        sign_ins_suite::begin_many(&store, numbers).await;
    }));
}

#[test]
fn sign_ins_are_bounded_in_sqlite() {
    let disk = OnDisk::default();
    let store = disk.server(env());
    let (now, end) = times();
    wait(sign_ins_suite::sign_ins_are_bounded(&store, async |numbers| {
        let (first, last) = (numbers.start, numbers.end - 1);
        let fill = format!(
            "WITH RECURSIVE n(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM n WHERE n < {last})
             INSERT INTO sign_ins (request, flow, email, email_key, device, device_code, links, created_at, expires_at)
             SELECT printf('R%07d', n), 'code', 'm' || n || '@b', 'm' || n || '@b', '', randomblob(32), 0, {now}, {end}
             FROM n"
        );
        rusqlite::Connection::open(disk.file().unwrap()).unwrap().execute_batch(&fill).unwrap();
    }));
    wait(store.close()).unwrap();
}

#[test]
fn sign_ins_are_bounded_in_postgres() {
    let Some(database) = OnPostgres::new() else { return };
    let store = database.node(env());
    let (now, end) = times();
    wait(sign_ins_suite::sign_ins_are_bounded(&*store, async |numbers| {
        let (first, last) = (numbers.start, numbers.end - 1);
        database.database().sql(&format!(
            "INSERT INTO sign_ins (request, flow, email, email_key, device, device_code, links, created_at, expires_at)
             SELECT 'R' || lpad(n::text, 7, '0'), 'code', 'm' || n || '@b', 'm' || n || '@b', '', sha256(n::text::bytea),
                 0, {now}, {end}
             FROM generate_series({first}, {last}) n"
        ));
    }));
    wait(store.close()).unwrap();
}

/// What is told next; it comes at once, or something is wrong.
async fn hear(listener: &mut Listener) -> Option<Message> {
    tokio::time::timeout(Duration::from_secs(30), listener.next()).await.expect("something is told")
}

#[test]
fn the_log_of_a_project_grows_under_its_own_address_on_other_nodes() {
    let Some(database) = OnPostgres::new() else { return };
    // Nodes are told apart by what they drew.
    let [store, other] = [1, 2].map(|seed| database.node(Arc::new(TestEnv::new(seed))));
    let mut listener = Upkeep::bus(&*other).listen();
    let tending = [&store, &other].map(|node| {
        let node = Arc::clone(node);
        runtime().spawn(async move { Upkeep::tend(&*node).await })
    });
    wait(async {
        assert_eq!(hear(&mut listener).await, Some(Message::Gap), "it listens");
        let ann = add_user(&*store, "ann").await;
        let project = add_project(&*store, 77, ann).await;
        let space = store.project(project, ann, Act::Push).await.unwrap().unwrap().space();
        write_note(&*store, space, "a").await;
        assert_eq!(hear(&mut listener).await, Some(Message::Grew(space, Seq::new(2))));
    });
    tending.iter().for_each(tokio::task::JoinHandle::abort);
    for node in [store, other] {
        wait(node.close()).unwrap();
    }
}

/// What is asked for and not waited for is done all the same: then it is found, since nobody told it.
#[test]
fn what_nobody_waited_for_is_found() {
    let disk = OnDisk::default();
    let store = disk.server(env());
    wait(async {
        let (ann, bob) = (add_user(&store, "ann").await, add_user(&store, "bob").await);
        let project = add_project(&store, 1, ann).await;
        join(&store, project, ann, bob, Role::Writer).await;
        store.changed_elsewhere().await.unwrap();
        assert_eq!(store.changed_elsewhere().await.unwrap(), Elsewhere::Nothing);
        tokio::select! {
            biased;
            _ = store.remove_member(project, ann, bob) => {}
            () = std::future::ready(()) => {}
        }
        assert_eq!(store.changed_elsewhere().await.unwrap(), Elsewhere::Committed);
        assert_eq!(store.project(project, bob, Act::View).await.unwrap(), Err(Refusal::NotMember), "it was done");
        assert_eq!(store.changed_elsewhere().await.unwrap(), Elsewhere::Nothing);
        store.remove_member(project, ann, bob).await.unwrap().unwrap();
        assert_eq!(store.changed_elsewhere().await.unwrap(), Elsewhere::Nothing, "there was nothing to do");
    });
    wait(store.close()).unwrap();
}

/// Refuses a stranger, and finds nothing to do: none of it is heard.
async fn refusals_are_not_heard(store: &dyn Store, listener: &mut Listener) {
    let [owner, cem] = [add_user(store, "dan").await, add_user(store, "cem").await];
    let project = add_project(store, 2, owner).await;
    store.remove_member(project, cem, owner).await.unwrap().unwrap_err();
    store.delete_project(project, cem, TestEnv::START).await.unwrap().unwrap_err();
    assert_eq!(store.remove_member(project, owner, cem).await.unwrap(), Ok(MemberChanged::NotMember));
    assert_eq!(store.remove_member(project, owner, owner).await.unwrap(), Ok(MemberChanged::LastOwner));
    assert!(!store.remove_project(ProjectId::new(99), TestEnv::START).await.unwrap());
    assert!(!store.revoke_credential(owner, &Name::parse("none").unwrap()).await.unwrap());
    let heard = std::pin::pin!(listener.next());
    let nothing = std::future::ready(None);
    let heard = tokio::select! { biased; heard = heard => heard, nothing = nothing => nothing };
    assert_eq!(heard, None);
}

/// Has a member of a project made less and then removed on `store`, and hears of both.
async fn changes_are_heard(store: &dyn Store, listener: &mut Listener) {
    let (ann, bob) = (add_user(store, "ann").await, add_user(store, "bob").await);
    let project: ProjectId = add_project(store, 1, ann).await;
    join(store, project, ann, bob, Role::Writer).await;
    assert_eq!(hear(listener).await, Some(Message::Accounts), "who came in");
    store.change_role(project, ann, bob, Role::Reader).await.unwrap().unwrap();
    assert_eq!(hear(listener).await, Some(Message::Accounts), "who may do less");
    store.remove_member(project, ann, bob).await.unwrap().unwrap();
    assert_eq!(hear(listener).await, Some(Message::Accounts), "who went");
    store.delete_project(project, ann, TestEnv::START).await.unwrap().unwrap();
    assert_eq!(hear(listener).await, Some(Message::Accounts), "what is gone");
}

#[test]
fn who_may_get_in_is_told_in_this_process() {
    let store = Memory::new();
    wait(changes_are_heard(&store, &mut store.bus().listen()));
    wait(refusals_are_not_heard(&store, &mut store.bus().listen()));
    let disk = OnDisk::default();
    let store = disk.server(env());
    wait(changes_are_heard(&store, &mut store.bus().listen()));
    wait(refusals_are_not_heard(&store, &mut store.bus().listen()));
    wait(store.close()).unwrap();
}

#[test]
fn who_may_get_in_is_told_to_other_nodes_and_what_was_refused_is_not() {
    let Some(database) = OnPostgres::new() else { return };
    let (store, other) = (database.node(env()), database.node(env()));
    let mut listener = Upkeep::bus(&*other).listen();
    let tending = runtime().spawn({
        let other = Arc::clone(&other);
        async move { Upkeep::tend(&*other).await }
    });
    let told = || database.database().sql("SELECT value FROM facts WHERE name = 'accounts_version'");
    wait(async {
        assert_eq!(hear(&mut listener).await, Some(Message::Gap), "it listens");
        changes_are_heard(&*store, &mut listener).await;
        let before = told();
        let (project, ann) = (ProjectId::new(1), UserId::new(1));
        store.delete_project(project, ann, TestEnv::START).await.unwrap().unwrap_err();
        assert!(!store.remove_project(project, TestEnv::START).await.unwrap());
        store.remove_member(project, ann, ann).await.unwrap().unwrap_err();
        assert_eq!(told(), before);
    });
    tending.abort();
    for node in [store, other] {
        wait(node.close()).unwrap();
    }
}

/// Somebody who holds a project's row and does not move: who waits for it is told to come again.
#[test]
fn nobody_waits_for_ever_for_who_stands_still() {
    let Some(database) = OnPostgres::new() else { return };
    let store = database.node(env());
    let project = wait(async { add_project(&*store, 1, add_user(&*store, "ann").await).await });
    std::thread::scope(|scope| {
        // Its own connection, which is ended below.
        let hold = "BEGIN; SELECT FROM projects FOR UPDATE; SELECT pg_sleep(40)";
        let holder = scope.spawn(|| std::panic::catch_unwind(|| database.database().sql(hold)));
        let held = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_sleep(40)'
                    AND wait_event = 'PgSleep'";
        eventually("a lock that is held", FOREVER, || (!database.database().sql(held).is_empty()).then_some(()));
        let deleted = wait(store.delete_project(project, UserId::new(1), TestEnv::START));
        assert!(matches!(deleted, Err(StoreError::Busy)), "{deleted:?}");
        database.database().sql(&format!("SELECT pg_terminate_backend(pid) FROM ({held}) held"));
        holder.join().unwrap().unwrap_err();
    });
    wait(store.delete_project(project, UserId::new(1), TestEnv::START)).unwrap().unwrap();
    wait(store.close()).unwrap();
}
