//! Which answers mean that somebody gets in who did not, or may less than before: what has to be told.

use crate::{Added, Answered, Effect, IdentityAdded, MemberAdded, MemberChanged, Redeemed, Restored, UserDeleted};

/// An answer to what may change who gets in.
pub(crate) trait Told {
    /// Whether it did.
    fn is_told(&self) -> bool;
}

impl Told for bool {
    fn is_told(&self) -> bool {
        *self
    }
}

impl Told for () {
    fn is_told(&self) -> bool {
        true
    }
}

impl<T: Told, E> Told for Result<T, E> {
    fn is_told(&self) -> bool {
        self.as_ref().is_ok_and(Told::is_told)
    }
}

impl<T> Told for Added<T> {
    fn is_told(&self) -> bool {
        matches!(self, Self::New(_))
    }
}

impl Told for Answered {
    fn is_told(&self) -> bool {
        matches!(self, Self::Accepted { .. })
    }
}

/// One that was made.
impl Told for Effect {
    fn is_told(&self) -> bool {
        match self {
            Self::AddIdentity(_) | Self::UseSetupToken { .. } | Self::RevokeKeys { .. } => true,
            Self::GiveSetupToken { .. } => false,
        }
    }
}

impl Told for IdentityAdded {
    fn is_told(&self) -> bool {
        matches!(self, Self::New(_))
    }
}

impl Told for MemberAdded {
    fn is_told(&self) -> bool {
        matches!(self, Self::Added(_))
    }
}

impl Told for MemberChanged {
    fn is_told(&self) -> bool {
        *self == Self::Done
    }
}

impl Told for Redeemed {
    fn is_told(&self) -> bool {
        matches!(self, Self::Key { .. })
    }
}

impl Told for Restored {
    fn is_told(&self) -> bool {
        *self == Self::Done
    }
}

impl Told for UserDeleted {
    fn is_told(&self) -> bool {
        *self == Self::Gone
    }
}
