//! Erasing while others write.

use tombolo_core::Role;
use tombolo_storage::{Downloaded, MemberChanged, Stale, Store, StoreError, Uploaded, UserDeleted};

use super::{add_user, all, bring, delete, diary, heads, later, take, try_bring, try_take, upload};
use crate::projects_suite::{add_project, join};

const ROUNDS: usize = 20;
/// What each does in a round in which all do the same again and again.
const BEGINS: usize = 4;

/// A device brings something while its log is erased: it is in the new log, or gone with the old one, and never in both.
pub async fn a_log_is_erased_while_a_device_writes([one, other]: [&dyn Store; 2]) {
    let ann = add_user(one, "ann").await;
    for round in 0..ROUNDS {
        let old = bring(one, diary(ann), "phone", &["before"]).await;
        let late = upload(diary(ann), "phone", None, &["late"]);
        let known = upload(diary(ann), "tablet", Some(old), &["known"]);
        let (erased, late, known) =
            tokio::join!(other.erase_space(diary(ann), later(9)), try_bring(one, late), try_bring(other, known));
        assert!(erased.unwrap(), "{round}");
        let is_in_new = match late {
            Ok(Uploaded::Done { cursor, .. }) => cursor.space != old.space,
            Err(StoreError::Busy) => false,
            other => panic!("{round}: {other:?}"),
        };
        assert!(matches!(known, Ok(Uploaded::Done { .. } | Uploaded::Stale(Stale::Erased)) | Err(StoreError::Busy)));
        let left = all(one, diary(ann), "phone").await;
        let names: Vec<_> = left.iter().map(|one| one.key.name.as_str()).collect();
        assert_eq!(names, if is_in_new { vec!["note-late"] } else { vec![] }, "{round}");
        assert_eq!(take(other, diary(ann), "phone", Some(old)).await, Downloaded::Stale(Stale::Erased), "{round}");
        one.erase_space(diary(ann), later(9)).await.unwrap();
    }
}

/// Devices begin while their log is erased again and again: each is given a page, or asked to come again.
pub async fn a_log_is_erased_while_devices_begin([one, other]: [&dyn Store; 2]) {
    let ann = add_user(one, "ann").await;
    for round in 0..ROUNDS {
        bring(one, diary(ann), "phone", &["before"]).await;
        let begin = async |device: &'static str| {
            for _ in 0..BEGINS {
                match try_take(one, diary(ann), device, None).await {
                    Ok(Downloaded::Page { .. }) | Err(StoreError::Busy) => {}
                    other => panic!("{round}, {device}: {other:?}"),
                }
            }
        };
        let erase = async || {
            for _ in 0..BEGINS {
                match other.erase_space(diary(ann), later(9)).await {
                    Ok(_) | Err(StoreError::Busy) => {}
                    other => panic!("{round}: {other:?}"),
                }
            }
        };
        tokio::join!(begin("a"), begin("b"), begin("c"), erase());
        one.erase_space(diary(ann), later(9)).await.unwrap();
    }
}

/// Two who erase one log at once: one of them does.
pub async fn a_log_is_erased_once([one, other]: [&dyn Store; 2]) {
    let ann = add_user(one, "ann").await;
    for round in 0..ROUNDS {
        bring(one, diary(ann), "phone", &["before"]).await;
        let (space, now) = (diary(ann), later(9));
        let (first, second) = tokio::join!(one.erase_space(space, now), other.erase_space(space, now));
        assert_eq!(usize::from(first.unwrap()) + usize::from(second.unwrap()), 1, "{round}");
    }
}

/// A user is deleted while his device writes: nothing of him is left.
pub async fn a_user_is_deleted_while_he_writes([one, other]: [&dyn Store; 2]) {
    for round in 0..ROUNDS {
        let ann = add_user(one, "ann").await;
        if round % 2 == 0 {
            bring(one, diary(ann), "phone", &["before"]).await;
        }
        let late = upload(diary(ann), "phone", None, &["late"]);
        let (deleted, late) = tokio::join!(delete(other, "ann"), try_bring(one, late));
        assert_eq!(deleted, UserDeleted::Gone, "{round}");
        assert!(matches!(late, Ok(Uploaded::Done { .. }) | Err(StoreError::NoSuchUser)), "{round}: {late:?}");
        assert_eq!(heads(other, &[diary(ann)]).await, [0], "{round}");
        assert_eq!(other.totals().await.unwrap().changes, 0, "{round}");
    }
}

/// Two owners go at once: one of them is the last, and stays.
pub async fn the_last_of_two_owners_stays([one, other]: [&dyn Store; 2]) {
    for round in 0..ROUNDS {
        let names = [format!("ann-{round}"), format!("bob-{round}")];
        let (ann, bob) = (add_user(one, &names[0]).await, add_user(one, &names[1]).await);
        let project = add_project(one, i64::try_from(round).unwrap() + 1, ann).await;
        join(one, project, ann, bob, Role::Owner).await;
        let (first, second) = tokio::join!(delete(one, &names[0]), other.remove_member(project, bob, bob));
        let has_left = second.unwrap() == Ok(MemberChanged::Done);
        let is_gone = first == UserDeleted::Gone;
        assert!(has_left != is_gone, "{round}: {first:?}");
        let stays = if is_gone { bob } else { ann };
        assert_eq!(one.members(project, stays).await.unwrap().unwrap().len(), 1, "{round}");
    }
}
