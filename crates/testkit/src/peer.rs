//! A peer of a room: a WebSocket that says exactly what it is told, and does not read by itself.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::http;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocket, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, HandshakeError, Message, client::client_with_config};

/// Longer than a server on a busy machine takes for anything that it sends at all.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to `/ws`.
#[derive(Debug)]
pub struct Peer {
    socket: WebSocket<TcpStream>,
}

/// What a peer heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A message.
    Text(String),
    /// The end: with this code, or without a word.
    Closed(Option<u16>),
}

impl Peer {
    /// Connects.
    ///
    /// # Errors
    /// The status and the body with which the server refused; zero for what is no HTTP.
    ///
    /// # Panics
    /// When the server cannot be reached.
    pub fn try_connect(address: SocketAddr, path: &str) -> Result<Self, (u16, String)> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket has a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket has a timeout");
        stream.set_nodelay(true).expect("a socket can be told not to wait");
        let request = http::Request::get(format!("ws://{address}{path}"))
            .header("Host", address.to_string())
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", generate_key())
            .body(())
            .expect("a request");
        // As large as a server may send.
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        match client_with_config(request, stream, Some(config)) {
            Ok((socket, _)) => Ok(Self { socket }),
            Err(HandshakeError::Failure(Error::Http(response))) => {
                let body = response.body().clone().unwrap_or_default();
                Err((response.status().as_u16(), String::from_utf8_lossy(&body).into_owned()))
            }
            Err(error) => Err((0, format!("no answer to an upgrade: {error}"))),
        }
    }

    /// Connects.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    pub fn connect(address: SocketAddr, path: &str) -> Self {
        Self::try_connect(address, path).unwrap_or_else(|refused| panic!("refused: {refused:?}"))
    }

    /// Connects and joins, and reads what it is told of that, up to its own `peer_joined`.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    pub fn join(address: SocketAddr, path: &str, code: &str, peer: &str) -> Self {
        let mut this = Self::connect(address, path);
        this.say(&json!({ "action": "join", "room_code": code, "peer_id": peer, "is_host": false }));
        loop {
            let told = this.told();
            assert_ne!(told["type"], "error", "{told}");
            if told["type"] == "peer_joined" && told["peer"]["id"] == peer {
                return this;
            }
        }
    }

    /// Sends a message.
    ///
    /// # Panics
    /// When it cannot be sent.
    pub fn say(&mut self, message: &Value) {
        self.say_text(&message.to_string());
    }

    /// Sends a message, whatever it is.
    ///
    /// # Panics
    /// When it cannot be sent.
    pub fn say_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).expect("the server reads");
    }

    /// Sends a message, which the server may not want any more.
    pub fn try_say(&mut self, message: &Value) -> bool {
        self.socket.send(Message::text(message.to_string())).is_ok()
    }

    /// Sends a frame that is no text.
    ///
    /// # Panics
    /// When it cannot be sent.
    pub fn send(&mut self, message: Message) {
        self.socket.send(message).expect("the server reads");
    }

    /// What is heard next.
    ///
    /// # Panics
    /// When nothing is, for longer than the server needs for anything.
    pub fn hear(&mut self) -> Heard {
        let mut pings = 0;
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => return Heard::Text(text.to_string()),
                Ok(Message::Close(frame)) => {
                    // The answer to it, and the end of the connection.
                    while self.socket.read().is_ok() {}
                    return Heard::Closed(frame.map(|CloseFrame { code, .. }| code.into()));
                }
                // The server asks whether anybody is there, every twenty seconds in which nothing is said.
                Ok(Message::Ping(_)) => {
                    pings += 1;
                    assert!(pings < 3, "the server said nothing for as long as it takes to ask thrice");
                }
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("the server said nothing for {PATIENCE:?}")
                }
                Err(_) => return Heard::Closed(None),
            }
        }
    }

    /// The next message.
    ///
    /// # Panics
    /// When the connection ends instead, or what comes is no JSON.
    pub fn told(&mut self) -> Value {
        match self.hear() {
            Heard::Text(text) => serde_json::from_str(&text).expect("a message is JSON"),
            Heard::Closed(code) => panic!("the server closed the connection: {code:?}"),
        }
    }

    /// The next message of this type; others are passed over.
    ///
    /// # Panics
    /// As [`Self::told`].
    pub fn told_of(&mut self, kind: &str) -> Value {
        loop {
            let told = self.told();
            if told["type"] == kind {
                return told;
            }
        }
    }

    /// What was heard until the server, asked now, says that it is there. What others did before that is among it.
    ///
    /// # Panics
    /// As [`Self::told`].
    pub fn heard_so_far(&mut self) -> Vec<Value> {
        self.say(&json!({ "action": "ping" }));
        let mut heard = Vec::new();
        loop {
            let told = self.told();
            if told == json!({ "type": "pong" }) {
                return heard;
            }
            heard.push(told);
        }
    }

    /// Waits until everything that this peer said has been done.
    ///
    /// # Panics
    /// When something was heard meanwhile.
    pub fn settle(&mut self) {
        assert_eq!(self.heard_so_far(), Vec::<Value>::new());
    }

    /// Reads to the end, and says what was heard and with which code the server closed.
    pub fn to_end(&mut self) -> (Vec<Value>, Option<u16>) {
        let mut heard = Vec::new();
        loop {
            match self.hear() {
                Heard::Text(text) => heard.push(serde_json::from_str(&text).unwrap_or(Value::String(text))),
                Heard::Closed(code) => return (heard, code),
            }
        }
    }

    /// The connection below.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        self.socket.get_ref()
    }
}
