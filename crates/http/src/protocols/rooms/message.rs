//! What clients of rooms send: JSON texts that name an action.

use std::borrow::Cow;

use serde::Deserialize;

use super::hollow::{Hollow, Metadata};

/// What the text of an error begins with.
const INVALID: &str = "Invalid message format: ";
/// Characters of an error's text: it repeats what the client sent.
const ERROR_CHARS_MAX: usize = 500;

/// What a client asks for.
///
/// serde's own way to read what is tagged so gives the errors that clients know, word for word.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(tag = "action", rename_all = "snake_case")]
pub(super) enum ClientMessage<'a> {
    /// To join a room.
    Join {
        /// Which.
        #[serde(borrow)]
        room_code: Cow<'a, str>,
        /// What it calls itself.
        #[serde(borrow)]
        peer_id: Cow<'a, str>,
        /// Whether it says that it made the room.
        is_host: bool,
        /// What it says of itself: JSON, as it came.
        #[serde(borrow)]
        metadata: Option<&'a str>,
    },
    /// To leave the room that it is in.
    Leave,
    /// To pass something on to the others.
    Broadcast {
        /// What.
        #[serde(borrow)]
        data: Cow<'a, str>,
    },
    /// To make something the room's document.
    SyncDocument {
        /// What.
        #[serde(borrow)]
        document: Cow<'a, str>,
    },
    /// To be sent the room's document.
    RequestSync,
    /// To be answered.
    Ping,
}

/// Reads a message. Whatever it holds, no more is kept of it than is asked for.
///
/// # Errors
/// What the client is to be told, in the words of the original server.
pub(super) fn parse(text: &str) -> Result<ClientMessage<'_>, String> {
    let mut message = read(text, Metadata::LookedInto).map_err(|error| told(&error))?;
    if let ClientMessage::Join { metadata: Some(_), .. } = message {
        // That it is valid is known now. Taken as it stands it is looked into less, and the error would not be the same.
        message = read(text, Metadata::AsItStands).expect("it was read before");
    }
    if let ClientMessage::Join { metadata, .. } = &mut message {
        *metadata = metadata.filter(|text| *text != "null");
    }
    Ok(message)
}

fn read(text: &str, metadata: Metadata) -> serde_json::Result<ClientMessage<'_>> {
    let mut json = serde_json::Deserializer::from_str(text);
    let message = ClientMessage::deserialize(Hollow::new(&mut json, metadata))?;
    json.end()?;
    Ok(message)
}

/// What a client is told of an error.
fn told(error: &serde_json::Error) -> String {
    let mut text = format!("{INVALID}{error}");
    if let Some((end, _)) = text.char_indices().nth(ERROR_CHARS_MAX) {
        text.truncate(end);
        text.shrink_to_fit();
    }
    text
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
