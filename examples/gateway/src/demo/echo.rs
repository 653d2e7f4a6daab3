//! The echo of the demo, and the two ways to end a WebSocket: with a Close frame of our own, or because of an error.
//!
//! It must not know HTTP: it is given a socket on which the handshake is done.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use switchover::websocket::ClosePayload;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::Socket;

/// How long a peer may take to answer our Close frame, or to stop sending after an error.
const LINGER: Duration = Duration::from_secs(5);

/// Sends every message back until the other side closes, or asks to be closed.
pub(super) async fn echo(mut socket: Socket) {
    while let Some(message) = socket.next().await {
        let sent = match message {
            Ok(Message::Text(text)) => match requested_close(&text) {
                Some(frame) => return close(socket, frame).await,
                None => socket.send(Message::Text(text)).await,
            },
            Ok(Message::Binary(bytes)) => socket.send(Message::Binary(bytes)).await,
            // The library answers a ping and a Close frame by itself.
            Ok(_) => Ok(()),
            Err(error) => return fail(socket, &error).await,
        };
        if sent.is_err() {
            return;
        }
    }
}

/// The Close frame that the text `close CODE REASON` asks for, if a Close frame may say so.
fn requested_close(text: &str) -> Option<CloseFrame> {
    let (code, reason) = text
        .strip_prefix("close ")
        .map(|rest| rest.split_once(' ').unwrap_or((rest, "")))?;
    let code = code
        .parse()
        .ok()
        .filter(|code| switchover::websocket::CloseCode(*code).may_be_sent())?;
    let fits = reason.len() <= ClosePayload::MAX_REASON_LENGTH;
    fits.then(|| CloseFrame {
        code: code.into(),
        reason: reason.into(),
    })
}

/// Says why, then waits for the other side to say that it understood.
pub(super) async fn close(mut socket: Socket, frame: CloseFrame) {
    if socket.close(Some(frame)).await.is_ok() {
        let answered = async { while let Some(Ok(_)) = socket.next().await {} };
        let _ = timeout(LINGER, answered).await;
    }
}

/// Ends a connection on which the other side broke a rule, or that broke by itself (RFC 6455 7.1.7).
pub(super) async fn fail(mut socket: Socket, error: &Error) {
    let (code, reason) = match error {
        Error::Capacity(_) => (CloseCode::Size, "message too big"),
        Error::Utf8(_) => (CloseCode::Invalid, "not UTF-8"),
        Error::Protocol(_) => (CloseCode::Protocol, "not as RFC 6455 has it"),
        _ => return,
    };
    if socket
        .close(Some(CloseFrame {
            code,
            reason: reason.into(),
        }))
        .await
        .is_err()
    {
        return;
    }
    // A socket closed with bytes unread is reset, and a reset may overtake the Close frame. So: send FIN, read on.
    let stream = socket.get_mut();
    let drained = async {
        stream.shutdown().await?;
        tokio::io::copy(stream, &mut tokio::io::sink()).await
    };
    let _ = timeout(LINGER, drained).await;
}
