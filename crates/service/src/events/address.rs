//! Where the shared log is.

use tombolo_core::Name;
use tombolo_storage::{IdentityAdded, IdentityKey, NewIdentity, SpaceAddress, Username};

use super::Events;
use crate::ServiceError;

/// Whose the log is: the one who may do everything.
pub const ROOT: &str = ".root";

impl Events {
    /// Where the log is; `None` while nobody wrote to it or watches it. Once there, it stays where it is.
    pub(super) async fn space(&self) -> Result<Option<SpaceAddress>, ServiceError> {
        let (age, known) = self.address.look(|address| *address);
        if known.is_some() {
            return Ok(known);
        }
        let found = self.store.identity(self.codec.purpose, IdentityKey::Subject(root())).await?;
        let space = found.map(|root| SpaceAddress::only(root.user, self.codec.purpose));
        self.address.change(age, |address| *address = space);
        Ok(space)
    }

    /// Where the log is. It is made where there is none.
    pub(super) async fn space_or_new(&self) -> Result<SpaceAddress, ServiceError> {
        if let Some(space) = self.space().await? {
            return Ok(space);
        }
        let purpose = self.codec.purpose;
        let new = NewIdentity { purpose, subject: root(), username: Username::Subject, password: None };
        match self.store.add_identity(new, self.env.now()).await? {
            IdentityAdded::New(user) | IdentityAdded::Known(user) => Ok(SpaceAddress::only(user, purpose)),
            IdentityAdded::UsernameTaken => Err(ServiceError::Internal("no username was asked for".to_owned())),
        }
    }
}

fn root() -> Name {
    Name::parse(ROOT).expect("it is short and has no strange letters")
}
