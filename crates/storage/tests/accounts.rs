//! The accounts of both stores, by one suite.

use std::sync::Arc;

use tombolo_storage::memory::Memory;
use tombolo_storage::sqlite::{Role, Sqlite};
use tombolo_storage::{Accounts as _, Upkeep as _};
use tombolo_testkit::{TestEnv, accounts_suite};

macro_rules! conforms {
    ($($case:ident),* $(,)?) => {
        mod memory {
            use super::*;
            $(#[tokio::test]
            async fn $case() {
                accounts_suite::$case(&Memory::new()).await;
            })*
        }

        mod sqlite {
            use super::*;
            $(#[tokio::test]
            async fn $case() {
                let folder = std::env::temp_dir()
                    .join(format!("tombolo-accounts-{}-{}", std::process::id(), stringify!($case)));
                std::fs::create_dir_all(&folder).unwrap();
                let store = Sqlite::open(&folder.join("test.db"), Role::Server, Arc::new(TestEnv::new(1))).unwrap();
                accounts_suite::$case(&store).await;
                store.close().await.unwrap();
                std::fs::remove_dir_all(&folder).unwrap();
            })*
        }
    };
}

conforms!(
    users_have_unique_names,
    a_disabled_user_has_no_live_credentials,
    credentials_are_found_by_prefix,
    a_revoked_credential_is_gone,
    a_time_of_use_never_goes_back,
    no_refusals_at_first,
);

/// A question that stood behind a write in the writer's queue once got lost when the write's group ended.
#[tokio::test]
async fn what_waits_behind_a_write_is_answered() {
    let folder = std::env::temp_dir().join(format!("tombolo-accounts-{}-behind", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let env = TestEnv::new(1);
    let store = Sqlite::open(&folder.join("test.db"), Role::Server, Arc::new(env)).unwrap();
    let name = tombolo_core::Name::parse("ann").unwrap();
    for _ in 0..20 {
        let (added, changed) = tokio::join!(store.add_user(&name, None, TestEnv::START), store.changed_elsewhere());
        added.unwrap();
        assert!(!changed.unwrap());
    }
    store.close().await.unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
}
