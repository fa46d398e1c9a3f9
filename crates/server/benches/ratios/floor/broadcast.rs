//! The floor of what is passed on: a bare axum WebSocket, and a bare broadcast channel.

use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use futures_util::SinkExt as _;
use tokio::sync::broadcast::{Receiver, Sender};

/// More than a burst of the load.
pub(super) const BEHIND_MAX: usize = 8_192;

pub(super) async fn upgrade(State(sender): State<Sender<Utf8Bytes>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|socket| converse(socket, sender))
}

/// Passes on what the client says to all, and to the client what any of them say.
async fn converse(mut socket: WebSocket, sender: Sender<Utf8Bytes>) {
    let mut receiver = sender.subscribe();
    loop {
        tokio::select! {
            said = socket.recv() => match said {
                Some(Ok(Message::Text(text))) => drop(sender.send(text)),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
            told = receiver.recv() => {
                if pass_on(&mut socket, &mut receiver, told.unwrap()).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// What waits goes out together: one write each would cost it most of its speed.
async fn pass_on(
    socket: &mut WebSocket,
    receiver: &mut Receiver<Utf8Bytes>,
    first: Utf8Bytes,
) -> Result<(), axum::Error> {
    let mut next = Some(first);
    while let Some(text) = next {
        socket.feed(Message::Text(text)).await?;
        next = receiver.try_recv().ok();
    }
    socket.flush().await
}
