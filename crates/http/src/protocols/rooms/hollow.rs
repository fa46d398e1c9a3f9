//! JSON without the insides that nobody asks for.
//!
//! A message says what it is somewhere among its members, so serde keeps them all until it has seen that: each in some
//! 32 bytes and more, which makes of 72 MiB of zeros more than a gigabyte. Between it and serde_json, this hands on no
//! more than any message asks for: the members that some message has, each at most twice, and of lists and objects,
//! which no message has, only that they are one. What is left out is read nevertheless, so that errors are found where
//! they are, in the same order and with the same texts.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::{BorrowedStrDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{
    self, DeserializeSeed, Deserializer, Error as _, IntoDeserializer as _, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::value::RawValue;

/// The member that says what a message is.
const ACTION: &str = "action";
/// The member of which the text is kept.
const METADATA: &str = "metadata";
/// The members that some message has.
const MEMBERS: [&str; 7] = [ACTION, "room_code", "peer_id", "is_host", METADATA, "data", "document"];
/// Where the metadata stands in a message that is written as a list.
const METADATA_INDEX: usize = 4;
/// Elements of such a list: no message has more than five, and the error for one too many says how many there are.
const ELEMENTS_MAX: usize = 64;

/// How the value of the member that is kept as text is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Metadata {
    /// As everything else: an empty text stands for it.
    LookedInto,
    /// As it stands.
    AsItStands,
}

/// JSON from `D`, without the insides that nobody asks for.
pub(super) struct Hollow<D> {
    json: D,
    metadata: Metadata,
}

impl<D> Hollow<D> {
    pub(super) const fn new(json: D, metadata: Metadata) -> Self {
        Self { json, metadata }
    }
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Hollow<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.json.deserialize_any(Whole { visitor, metadata: self.metadata })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// Hands on what has no inside.
macro_rules! visit_plain {
    () => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.visitor.expecting(f)
        }

        fn visit_unit<E: de::Error>(self) -> Result<V::Value, E> {
            self.visitor.visit_unit()
        }

        fn visit_bool<E: de::Error>(self, value: bool) -> Result<V::Value, E> {
            self.visitor.visit_bool(value)
        }

        fn visit_i64<E: de::Error>(self, value: i64) -> Result<V::Value, E> {
            self.visitor.visit_i64(value)
        }

        fn visit_u64<E: de::Error>(self, value: u64) -> Result<V::Value, E> {
            self.visitor.visit_u64(value)
        }

        fn visit_f64<E: de::Error>(self, value: f64) -> Result<V::Value, E> {
            self.visitor.visit_f64(value)
        }

        fn visit_str<E: de::Error>(self, value: &str) -> Result<V::Value, E> {
            self.visitor.visit_str(value)
        }

        fn visit_borrowed_str<E: de::Error>(self, value: &'de str) -> Result<V::Value, E> {
            self.visitor.visit_borrowed_str(value)
        }
    };
}

/// Visits a whole message for `V`.
struct Whole<V> {
    visitor: V,
    metadata: Metadata,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Whole<V> {
    type Value = V::Value;

    visit_plain!();

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_seq(Elements { elements, metadata: self.metadata, index: 0 })
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(Members { members, metadata: self.metadata, name: ACTION, seen: [0; MEMBERS.len()] })
    }
}

/// The members of a message that some message has.
struct Members<A> {
    members: A,
    metadata: Metadata,
    /// Of the member that is read.
    name: &'static str,
    /// How often each was there.
    seen: [u8; MEMBERS.len()],
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Members<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        loop {
            let Some(Name(index)) = self.members.next_key()? else { return Ok(None) };
            // Two of a kind are an error, or not asked for: a third says nothing more.
            match index.filter(|index| self.seen[*index] < 2) {
                Some(index) => {
                    self.seen[index] += 1;
                    self.name = MEMBERS[index];
                    return seed.deserialize(self.name.into_deserializer()).map(Some);
                }
                None => self.members.next_value::<LookedInto>()?,
            };
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        match (self.name, self.metadata) {
            (ACTION, _) => self.members.next_value_seed(seed),
            (METADATA, Metadata::AsItStands) => text(self.members.next_value()?, seed),
            (METADATA, Metadata::LookedInto) => {
                self.members.next_value::<LookedInto>()?;
                seed.deserialize(BorrowedStrDeserializer::new(""))
            }
            _ => self.members.next_value_seed(Emptied(seed)),
        }
    }
}

/// The elements of a message that is written as a list.
struct Elements<A> {
    elements: A,
    metadata: Metadata,
    /// Of the next one.
    index: usize,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Elements<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let index = self.index;
        self.index += 1;
        match (index, self.metadata) {
            (0, _) => self.elements.next_element_seed(seed),
            (METADATA_INDEX, Metadata::AsItStands) => {
                self.elements.next_element()?.map(|value| text(value, seed)).transpose()
            }
            (METADATA_INDEX, Metadata::LookedInto) => {
                let Some(LookedInto) = self.elements.next_element()? else { return Ok(None) };
                seed.deserialize(BorrowedStrDeserializer::new("")).map(Some)
            }
            (ELEMENTS_MAX.., _) => Err(A::Error::custom("a list is too long for any message")),
            _ => self.elements.next_element_seed(Emptied(seed)),
        }
    }
}

/// Hands on a value as the text that it was written as.
fn text<'de, S: DeserializeSeed<'de>, E: de::Error>(value: &'de RawValue, seed: S) -> Result<S::Value, E> {
    seed.deserialize(BorrowedStrDeserializer::new(value.get()))
}

/// Which of [`MEMBERS`] is named; `None` for another one.
struct Name(Option<usize>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Which;
        impl Visitor<'_> for Which {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Name, E> {
                Ok(Name(MEMBERS.iter().position(|known| *known == name)))
            }
        }
        json.deserialize_str(Which)
    }
}

/// A value of which `S` is told that it is a list or an object, if it is one, and not what is in it.
struct Emptied<S>(S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Emptied<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(EmptiedJson(json))
    }
}

struct EmptiedJson<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for EmptiedJson<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(EmptiedValue { visitor, _de: PhantomData })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct EmptiedValue<'de, V> {
    visitor: V,
    _de: PhantomData<&'de ()>,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for EmptiedValue<'de, V> {
    type Value = V::Value;

    visit_plain!();

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<V::Value, A::Error> {
        LookedInto.visit_seq(elements)?;
        self.visitor.visit_seq(SeqDeserializer::new(std::iter::empty::<u8>()))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<V::Value, A::Error> {
        LookedInto.visit_map(members)?;
        self.visitor.visit_map(MapDeserializer::new(std::iter::empty::<(u8, u8)>()))
    }
}

/// A value that was read, and of which nothing is kept.
///
/// [`de::IgnoredAny`] would not do: for it serde_json skips over what it would find wrong otherwise.
#[derive(Clone, Copy)]
struct LookedInto;

impl<'de> Deserialize<'de> for LookedInto {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for LookedInto {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self, A::Error> {
        while elements.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        while members.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}
