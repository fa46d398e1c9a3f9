//! What the fake server keeps: a log, simpler than the real one, and strict with its client.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Value, json};

/// One change, as it is told.
#[derive(Clone)]
struct Entry {
    key: String,
    device: String,
    /// As it came, byte for byte; empty where the server only says an outcome again.
    sent: String,
    change: Value,
}

pub(crate) struct Store {
    log: Vec<Entry>,
    generation: u64,
    /// Records of one page.
    pub(crate) page: usize,
    /// How many uploads came again.
    pub(crate) repeats: usize,
    /// Changes of one upload: more are too large.
    pub(crate) changes_max: usize,
    /// Whether everything was erased.
    pub(crate) erased: bool,
}

impl Default for Store {
    fn default() -> Self {
        Self::of(1)
    }
}

pub(crate) fn random_id() -> uuid::Uuid {
    let mut bytes = [0; 16];
    #[expect(clippy::disallowed_methods, reason = "the ids of the app's own rows")]
    getrandom::fill(&mut bytes).unwrap();
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

impl Store {
    /// An empty one, in a run of history of its own.
    pub(crate) const fn of(generation: u64) -> Self {
        Self { log: Vec::new(), generation, page: 1_000, repeats: 0, changes_max: 10_000, erased: false }
    }

    pub(crate) fn handle(&mut self, line: &str, body: &[u8]) -> (u16, String) {
        match line.split(' ').nth(1).unwrap() {
            "/v1/sync/upload" => self.upload(body),
            "/v1/sync/download" => self.download(body),
            "/v1/sync/data" => {
                self.log.clear();
                self.erased = true;
                (204, String::new())
            }
            _ => (404, json!({"code": "not_found"}).to_string()),
        }
    }

    /// As if another device had sent it.
    pub(crate) fn add(&mut self, value: i64, note: &str) -> uuid::Uuid {
        let id = random_id();
        self.put(id, value, note, "2026-11-20T09:00:00.000Z");
        id
    }

    pub(crate) fn put(&mut self, id: uuid::Uuid, value: i64, note: &str, updated_at: &str) {
        let metadata = json!({"created_at": updated_at, "updated_at": updated_at});
        let data = json!({"value": value, "scale": 7, "note": note, "recorded_at": updated_at, "metadata": metadata});
        let change =
            json!({"entity_type": "MoodEntry", "id": id, "updated_at": updated_at, "deleted": false, "data": data});
        let key = format!("MoodEntry/{id}");
        self.log.push(Entry { key, device: "another".to_owned(), sent: String::new(), change });
    }

    /// The heads, as the app's rows are told.
    pub(crate) fn rows(&self) -> Vec<String> {
        let heads: BTreeMap<_, _> = self.log.iter().map(|entry| (&entry.key, &entry.change)).collect();
        let row = |change: &Value| {
            let id = change["id"].as_str().unwrap();
            let data = &change["data"];
            let note = data["note"].as_str().unwrap_or("-");
            if change["deleted"] == true { format!("{id} gone") } else { format!("{id}|{}|{note}", data["value"]) }
        };
        heads.into_values().map(row).collect()
    }

    /// How often each change that a device sent was stored: always once.
    pub(crate) fn stored(&self) -> usize {
        self.log.iter().filter(|entry| !entry.sent.is_empty()).count()
    }

    fn version(&self, seq: usize) -> String {
        format!("v{}-{seq}", self.generation)
    }

    fn cursor(&self, seq: usize) -> String {
        format!("c.{}.{seq}", self.generation)
    }

    fn seq(&self, cursor: &Value) -> Result<usize, (u16, String)> {
        let Some(cursor) = cursor.as_str() else { return Ok(0) };
        if self.erased {
            return Err((410, json!({"code": "erased"}).to_string()));
        }
        let (generation, seq) = cursor.strip_prefix("c.").unwrap().split_once('.').unwrap();
        if generation != self.generation.to_string() {
            return Err((409, json!({"code": "cursor_reset", "reason": "restored"}).to_string()));
        }
        Ok(seq.parse().unwrap())
    }

    fn head(&self, key: &str) -> Option<usize> {
        self.log.iter().rposition(|entry| entry.key == key).map(|index| index + 1)
    }

    fn upload(&mut self, body: &[u8]) -> (u16, String) {
        let request: Value = serde_json::from_slice(body).unwrap();
        let texts: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(body).unwrap();
        let texts: Vec<Box<RawValue>> = serde_json::from_str(texts["changes"].get()).unwrap();
        if texts.len() > self.changes_max {
            return (413, json!({"code": "too_large"}).to_string());
        }
        let seq = match self.seq(&request["client_cursor"]) {
            Ok(seq) => seq,
            Err(refused) => return refused,
        };
        let device = request["device_id"].as_str().unwrap();
        let (mut applied, mut versions, mut conflicts) = (Vec::new(), BTreeMap::new(), Vec::new());
        for text in texts {
            let change: Value = serde_json::from_str(text.get()).unwrap();
            let id = change["id"].as_str().unwrap().to_owned();
            let reason = self.judge(device, text.get(), &change, &mut versions);
            match reason {
                None => applied.push(id),
                Some(reason) => {
                    conflicts.push(json!({"entity_type": change["entity_type"], "id": id, "reason": reason}));
                }
            }
        }
        let answer = json!({"server_cursor": self.cursor(seq), "applied_ids": applied, "applied": applied,
            "versions": versions, "conflicts": conflicts});
        (200, answer.to_string())
    }

    /// Stores a change, or says why not. A repeat is known by its base, and has to be the same, byte for byte.
    fn judge(
        &mut self,
        device: &str,
        sent: &str,
        change: &Value,
        versions: &mut BTreeMap<String, String>,
    ) -> Option<&'static str> {
        let id = change["id"].as_str().unwrap().to_owned();
        if change["data"]["value"] == 0 {
            return Some("invalid: a mood is 1 to 7");
        }
        let key = format!("{}/{id}", change["entity_type"].as_str().unwrap());
        assert!(change.get("base").is_some(), "our client says its base always");
        let earlier = self.log.iter().position(|entry| {
            let is_it = entry.key == key && entry.device == device && !entry.sent.is_empty();
            is_it && entry.change["base"] == change["base"]
        });
        if let Some(index) = earlier {
            assert_eq!(self.log[index].sent, sent, "a retry is the same change");
            self.repeats += 1;
            versions.insert(id, self.version(index + 1));
            return None;
        }
        let head = self.head(&key);
        let base = change["base"].as_str().map(str::to_owned);
        let is_newer = head.is_none_or(|head| {
            let present = &self.log[head - 1].change;
            base == Some(self.version(head)) || present["updated_at"].as_str() < change["updated_at"].as_str()
        });
        self.log.push(Entry { key, device: device.to_owned(), sent: sent.to_owned(), change: change.clone() });
        versions.insert(id, self.version(self.log.len()));
        if is_newer {
            return None;
        }
        let outcome = Entry { sent: String::new(), ..self.log[head.unwrap() - 1].clone() };
        self.log.push(outcome);
        Some("server_newer")
    }

    fn download(&self, body: &[u8]) -> (u16, String) {
        let request: Value = serde_json::from_slice(body).unwrap();
        let seq = match self.seq(&request["since"]) {
            Ok(seq) => seq,
            Err(refused) => return refused,
        };
        let mut changes = Vec::new();
        let mut until = self.log.len();
        for (index, entry) in self.log.iter().enumerate().skip(seq) {
            if self.head(&entry.key) != Some(index + 1) {
                continue;
            }
            if changes.len() == self.page {
                until = index;
                break;
            }
            let mut change = entry.change.clone();
            change["version"] = self.version(index + 1).into();
            change.as_object_mut().unwrap().remove("base");
            changes.push(change);
        }
        let has_more = until < self.log.len();
        let answer = json!({"server_cursor": self.cursor(until), "changes": changes, "has_more": has_more});
        (200, answer.to_string())
    }
}
