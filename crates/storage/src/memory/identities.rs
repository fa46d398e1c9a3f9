//! Identities, setup tokens, tickets and secrets: not built yet.

use tombolo_core::{Purpose, ServerTime, UserId};

use super::Memory;
use crate::{
    Identities, Identity, IdentityAdded, IdentityChange, IdentityChanged, IdentityKey, NewIdentity, Reply, SecretHash,
    StoreError, Ticket,
};

impl Identities for Memory {
    fn identity(&self, _: Purpose, _: IdentityKey) -> Reply<'_, Option<Identity>> {
        Box::pin(async { unbuilt() })
    }

    fn add_identity(&self, _: NewIdentity, _: ServerTime) -> Reply<'_, IdentityAdded> {
        Box::pin(async { unbuilt() })
    }

    fn change_identity(&self, _: Purpose, _: UserId, _: IdentityChange) -> Reply<'_, IdentityChanged> {
        Box::pin(async { unbuilt() })
    }

    fn setup_token(&self, _: Purpose, _: SecretHash, _: ServerTime) -> Reply<'_, Option<Identity>> {
        Box::pin(async { unbuilt() })
    }

    fn keep_ticket(&self, _: SecretHash, _: Ticket, _: ServerTime, _: ServerTime) -> Reply<'_, ()> {
        Box::pin(async { unbuilt() })
    }

    fn use_ticket(&self, _: SecretHash, _: ServerTime) -> Reply<'_, Option<Ticket>> {
        Box::pin(async { unbuilt() })
    }

    fn secret<'a>(&'a self, _: &'a str, _: &'a [u8]) -> Reply<'a, Vec<u8>> {
        Box::pin(async { unbuilt() })
    }
}

/// Not built yet.
fn unbuilt<T>() -> Result<T, StoreError> {
    Err(StoreError::Internal("not built yet".to_owned()))
}
