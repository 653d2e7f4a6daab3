//! The connection of a client, and its handshake.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use switchover::http1::{HeadLimits, Parsed, parse_response};
use switchover::websocket::SecWebSocketKey;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// A connection to a door.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// Why a story has come to no end of its own.
pub(crate) enum Stop {
    /// The connection broke, by this error or by an orderly end before its time.
    Broken(io::Error),
    /// A Close that the client has not asked for.
    Close(Option<u16>),
    /// An answer other than 101.
    Declined(u16),
    /// What must not happen.
    Fault(String),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Stop::Broken(error)
    }
}

pub(crate) fn early_end() -> Stop {
    Stop::Broken(io::ErrorKind::UnexpectedEof.into())
}

/// Asks for the upgrade. Returns the number of the origin, and what came behind the head.
pub(crate) async fn handshake(stream: &mut Stream, path: &str, id: u64) -> Result<(usize, Vec<u8>), Stop> {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&id.to_be_bytes());
    let key = SecWebSocketKey::generate(key);
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n\r\n",
        key.as_str()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::with_capacity(1024);
    loop {
        match parse_response(&bytes, &HeadLimits::default()) {
            Ok(Parsed::Complete { parts, consumed }) => {
                if parts.status != http::StatusCode::SWITCHING_PROTOCOLS {
                    return Err(Stop::Declined(parts.status.as_u16()));
                }
                let field = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
                if field("sec-websocket-accept") != Some(key.accept().as_str()) {
                    return Err(Stop::Fault("a wrong Sec-WebSocket-Accept".to_owned()));
                }
                let origin = field("x-origin").and_then(|name| name.parse().ok());
                return Ok((origin.unwrap_or(0), bytes.split_off(consumed)));
            }
            Ok(_) => {}
            Err(error) => return Err(Stop::Fault(format!("the response: {error}"))),
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(early_end());
        }
    }
}
