//! The accounts of all stores, by one suite.

mod support;

use std::sync::Arc;

use support::{OnDisk, OnPostgres};
use tombolo_core::Env;
use tombolo_storage::memory::Memory;
use tombolo_storage::{Accounts as _, Elsewhere, Upkeep as _};
use tombolo_testkit::{TestEnv, accounts_suite, wait};

fn env() -> Arc<dyn Env> {
    Arc::new(TestEnv::new(1))
}

macro_rules! conforms {
    ($($case:ident),* $(,)?) => {
        mod memory {
            use super::*;
            $(#[test]
            fn $case() {
                wait(accounts_suite::$case(&Memory::new()));
            })*
        }

        mod sqlite {
            use super::*;
            $(#[test]
            fn $case() {
                let disk = OnDisk::default();
                let store = disk.server(env());
                wait(accounts_suite::$case(&store));
                wait(store.close()).unwrap();
            })*
        }

        mod postgres {
            use super::*;
            $(#[test]
            fn $case() {
                let Some(database) = OnPostgres::new() else { return };
                let store = database.node(env());
                wait(accounts_suite::$case(&*store));
                wait(store.close()).unwrap();
            })*
        }
    };
}

conforms!(
    users_have_unique_names,
    users_have_unique_addresses,
    a_credential_is_revoked_by_its_number,
    a_disabled_user_has_no_live_credentials,
    credentials_are_found_by_prefix,
    a_revoked_credential_is_gone,
    a_time_of_use_never_goes_back,
    no_refusals_at_first,
);

/// A question that stood behind a write in the writer's queue once got lost when the write's group ended.
#[test]
fn what_waits_behind_a_write_is_answered() {
    let disk = OnDisk::default();
    let store = disk.server(env());
    let name = tombolo_core::Name::parse("ann").unwrap();
    wait(async {
        for _ in 0..20 {
            let (added, changed) = tokio::join!(store.add_user(&name, None, TestEnv::START), store.changed_elsewhere());
            added.unwrap();
            assert_eq!(changed.unwrap(), Elsewhere::Nothing);
        }
    });
    wait(store.close()).unwrap();
}
