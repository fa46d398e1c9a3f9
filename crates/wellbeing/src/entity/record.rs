//! What all records have.

/// Gives a record what all have: reading, writing, validation, and a `Debug` without its content.
macro_rules! record {
    ($name:ident, $id:ident) => {
        impl $name {
            /// Reads it out of a record's data, in every spelling that is taken.
            ///
            /// # Errors
            /// [`Invalid`] names the field and the rule that it breaks.
            pub fn from_data(
                id: $id,
                updated_at: $crate::Timestamp,
                data: &serde_json::value::RawValue,
            ) -> Result<Self, $crate::Invalid> {
                if $crate::normal::is_encrypted(data.get()) {
                    return Err($crate::Invalid::new("data", "must not be encrypted, to be read"));
                }
                let normal = $crate::normal::normalise(&$crate::EntityType::$name, data)?;
                let reader = $crate::entity::data::Reader::new(&$crate::EntityType::$name, &normal, updated_at)
                    .expect("the kind has fields");
                Self::read(id, &reader)
            }

            /// Writes it as a record's data, with its id and its metadata.
            ///
            /// # Errors
            /// [`Invalid`] names the field and the rule that it breaks.
            pub fn to_data(&self) -> Result<Box<serde_json::value::RawValue>, $crate::Invalid> {
                let mut writer = $crate::entity::data::Writer::new();
                self.write(&mut writer);
                writer.end(&$crate::EntityType::$name, self.id.0, &self.metadata, &self.extra)
            }

            /// Looks whether it keeps all rules.
            ///
            /// # Errors
            /// [`Invalid`] names the field and the rule that it breaks.
            pub fn validate(&self) -> Result<(), $crate::Invalid> {
                self.to_data().map(drop)
            }
        }

        impl std::fmt::Debug for $name {
            /// The id alone: what it says is nobody's business but the person's.
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).field("id", &self.id).finish_non_exhaustive()
            }
        }
    };
}

pub(super) use record;
