//! What peers of rooms say and are told in a transcript.

use serde_json::Value;

use super::Player;
use crate::peer::{Heard, Peer};

impl Player<'_> {
    /// What a peer does, or is told.
    pub(super) fn peer(&mut self, said: &str) -> Result<(), String> {
        let (name, rest) = said.split_once(' ').ok_or("  a peer has a name, and does something")?;
        if let Some(path) = rest.strip_prefix("opens ") {
            let path = self.fill(path)?;
            let peer = Peer::try_connect(self.served.address(), &path);
            let peer = peer.map_err(|(status, body)| format!("  refused: {status} {body}"))?;
            self.peers.insert(name.to_owned(), peer);
            return Ok(());
        }
        if rest == "drops" {
            return self.peers.remove(name).map(drop).ok_or_else(|| format!("  {name} is not there"));
        }
        if let Some(text) = rest.strip_prefix("> ") {
            let text = self.fill(text)?;
            let peer = self.peers.get_mut(name).ok_or_else(|| format!("  {name} is not there"))?;
            peer.say_text(&text);
            return Ok(());
        }
        let expected = rest.strip_prefix("< ").ok_or("  a peer opens, drops, says (>) or is told (<)")?;
        let peer = self.peers.get_mut(name).ok_or_else(|| format!("  {name} is not there"))?;
        if expected == "nothing" {
            let heard = peer.heard_so_far();
            return if heard.is_empty() { Ok(()) } else { Err(format!("  it was told: {}", Value::from(heard))) };
        }
        let came = match peer.hear() {
            Heard::Text(text) => text,
            Heard::Closed(Some(code)) => format!("closed {code}"),
            Heard::Closed(None) => "closed".to_owned(),
        };
        let expected = self.fill_ids(expected)?;
        let mut differences = Vec::new();
        self.compare_text("what it was told", &expected, &came, &mut differences);
        if differences.is_empty() { Ok(()) } else { Err(format!("  {}", differences.join("\n  "))) }
    }
}
