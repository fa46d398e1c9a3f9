//! What is read of bytes that are there, for those who compare.

use super::arriving::Arriving;
use super::decoder::{Bounds, Broken, Decoder, Item};

/// What was read, and what ended it.
#[derive(Debug, PartialEq)]
pub(in super::super) struct Decoded {
    items: Vec<Shown>,
    broken: Option<Broken>,
}

#[derive(Debug, PartialEq)]
enum Shown {
    Text(String),
    Other(String),
}

impl Decoded {
    /// Reads `portions` one after the other.
    pub(in super::super) fn of<'a>(portions: impl Iterator<Item = &'a [u8]>, bounds: Bounds) -> Self {
        let mut decoder = Decoder::new(bounds, &Arriving::default(), [0, 0, 0, 0].into());
        let (mut items, mut broken) = (Vec::new(), None);
        'all: for mut portion in portions {
            loop {
                match decoder.feed(&mut portion) {
                    Ok(Some(Item::Text(text))) => items.push(Shown::Text(text.text)),
                    Ok(Some(item)) => items.push(Shown::Other(format!("{item:?}"))),
                    Ok(None) => break,
                    Err(error) => {
                        broken = Some(error);
                        break 'all;
                    }
                }
            }
        }
        Self { items, broken }
    }

    /// The texts among it.
    pub(in super::super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.items.iter().filter_map(|item| match item {
            Shown::Text(text) => Some(text.as_str()),
            Shown::Other(_) => None,
        })
    }
}
