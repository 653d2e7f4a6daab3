//! A client that sends exactly the bytes of a test, and returns exactly what came back.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::{Method, response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::origin::send_cut;
use super::script::Cut;
use super::wait::{TIMEOUT, show, within};
use crate::http1::{BodyLength, BodyScanner, HeadLimits, Parsed, parse_response};

/// The key of [`UPGRADE_REQUEST`], from RFC 6455, section 1.3.
pub const SAMPLE_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A good WebSocket upgrade request, ending with the empty line.
pub const UPGRADE_REQUEST: &str = "GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// A client on a TCP socket. Every wait is bounded by [`TIMEOUT`](super::TIMEOUT), or by
/// [`timeout`](ScriptedClient::timeout).
///
/// The [`ScriptedOrigin`](super::ScriptedOrigin) has an example.
#[derive(Debug)]
pub struct ScriptedClient {
    stream: TcpStream,
    /// Read, and not yet asked for.
    unread: Vec<u8>,
    timeout: Duration,
}

impl From<TcpStream> for ScriptedClient {
    /// On a connection made already: from an address of its own, with options of its own.
    fn from(stream: TcpStream) -> Self {
        let _ = stream.set_nodelay(true);
        ScriptedClient {
            stream,
            unread: Vec::new(),
            timeout: TIMEOUT,
        }
    }
}

impl ScriptedClient {
    /// Connects.
    ///
    /// # Panics
    ///
    /// If nobody accepts in time.
    pub async fn connect(address: SocketAddr) -> Self {
        let connecting = TcpStream::connect(address);
        let stream = within(TIMEOUT, &format!("a connection to {address}"), connecting).await;
        ScriptedClient::from(stream.unwrap_or_else(|error| panic!("no connection to {address}: {error}")))
    }

    /// Waits no longer than this for anything. Default [`TIMEOUT`](super::TIMEOUT).
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// The socket, for what a script has no word for. Reading from it overtakes bytes that have been read already.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Sends bytes at once.
    ///
    /// # Panics
    ///
    /// If they are not taken in time, or the connection has failed.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.send_cut(bytes.as_ref(), Cut::Nowhere).await;
    }

    /// Sends bytes, each in a segment of its own.
    ///
    /// # Panics
    ///
    /// As [`send`](ScriptedClient::send).
    pub async fn send_byte_by_byte(&mut self, bytes: impl AsRef<[u8]>) {
        self.send_cut(bytes.as_ref(), Cut::Every(1)).await;
    }

    /// Sends bytes in two segments, the first of which ends at the offset.
    ///
    /// # Panics
    ///
    /// As [`send`](ScriptedClient::send).
    pub async fn send_split_at(&mut self, bytes: impl AsRef<[u8]>, offset: usize) {
        self.send_cut(bytes.as_ref(), Cut::At(offset)).await;
    }

    async fn send_cut(&mut self, bytes: &[u8], cut: Cut) {
        let awaited = format!("the peer to take {} bytes", bytes.len());
        let sent = within(self.timeout, &awaited, send_cut(&mut self.stream, bytes, cut)).await;
        sent.unwrap_or_else(|error| panic!("{awaited}: {error}"));
    }

    /// Sends bytes as far as the peer takes them: without a panic if the connection fails, as it may when the peer
    /// refuses in the middle.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let awaited = "the peer to take bytes or to fail";
        within(self.timeout, awaited, self.stream.write_all(bytes.as_ref())).await
    }

    /// Reads a response head.
    ///
    /// # Panics
    ///
    /// If it is not whole in time, or not valid, or the connection ends before it.
    pub async fn head(&mut self) -> response::Parts {
        let limits = HeadLimits::default().max_bytes(1024 * 1024).max_fields(10_000);
        loop {
            match parse_response(&self.unread, &limits) {
                Ok(Parsed::Complete { parts, consumed }) => {
                    self.unread.drain(..consumed);
                    return parts;
                }
                Ok(Parsed::Partial) => {}
                Err(error) => panic!("a response head that is none: {error}; {}", show(&self.unread)),
            }
            let read = self.read("a response head").await;
            if !matches!(read, Ok(true)) {
                panic!(
                    "the connection ended ({read:?}) before a response head; so far {}",
                    show(&self.unread)
                );
            }
        }
    }

    /// Reads a response to a GET whole: head and body, the body without alteration, chunks and all.
    ///
    /// # Panics
    ///
    /// As [`head`](ScriptedClient::head), and if the body is cut short.
    pub async fn response(&mut self) -> (response::Parts, Vec<u8>) {
        let head = self.head().await;
        let length = BodyLength::of_response(&head, &Method::GET).expect("a framing that is not ambiguous");
        let mut scanner = BodyScanner::new(length);
        let mut body = Vec::new();
        loop {
            let taken = scanner
                .advance(&self.unread)
                .expect("a body framed as its head says");
            body.extend(self.unread.drain(..taken));
            if scanner.is_complete() {
                return (head, body);
            }
            match self.read("the rest of a response body").await {
                Ok(true) => {}
                Ok(false) if scanner.may_end_here() => return (head, body),
                end => panic!("the body was cut short ({end:?}) after {}", show(&body)),
            }
        }
    }

    /// Waits for exactly these bytes next.
    ///
    /// # Panics
    ///
    /// If they do not come in time, or others do.
    pub async fn receives(&mut self, bytes: &[u8]) {
        let awaited = format!("a client to receive {}", show(bytes));
        while self.unread.len() < bytes.len() {
            let read = self.read(&awaited).await;
            if !matches!(read, Ok(true)) {
                panic!("{awaited}: ended ({read:?}) after {}", show(&self.unread));
            }
        }
        let received: Vec<u8> = self.unread.drain(..bytes.len()).collect();
        assert!(received == bytes, "{awaited}: received {}", show(&received));
    }

    /// Reads to the end in order, and returns what came before it.
    ///
    /// # Panics
    ///
    /// If the end does not come in time, or is a reset.
    pub async fn rest(&mut self) -> Vec<u8> {
        loop {
            match self.read("the end of the connection").await {
                Ok(true) => {}
                Ok(false) => return std::mem::take(&mut self.unread),
                Err(error) => panic!("{error} instead of an end in order, after {}", show(&self.unread)),
            }
        }
    }

    /// Reads to the end, which must not be one in order, and returns what came before it.
    ///
    /// # Panics
    ///
    /// If the end does not come in time, or is in order.
    pub async fn rest_until_reset(&mut self) -> Vec<u8> {
        loop {
            match self.read("a reset of the connection").await {
                Ok(true) => {}
                Ok(false) => panic!("an end in order instead of a reset, after {}", show(&self.unread)),
                Err(_) => return std::mem::take(&mut self.unread),
            }
        }
    }

    /// Waits for the end, in order and without one byte more.
    ///
    /// # Panics
    ///
    /// If it does not come in time, or bytes do, or a reset does.
    pub async fn ends(&mut self) {
        let rest = self.rest().await;
        assert!(rest.is_empty(), "bytes before the end: {}", show(&rest));
    }

    /// Waits for as long as given, in which nothing may come.
    ///
    /// # Panics
    ///
    /// If bytes come, or the end does.
    pub async fn receives_nothing_for(&mut self, length: Duration) {
        assert!(self.unread.is_empty(), "bytes already: {}", show(&self.unread));
        let mut byte = [0];
        if let Ok(read) = tokio::time::timeout(length, self.stream.read(&mut byte)).await {
            panic!("not silence but {read:?}, {}", show(&byte));
        }
    }

    /// Ends the write side in order and goes on reading.
    ///
    /// # Panics
    ///
    /// If the connection has failed.
    pub async fn end_writes(&mut self) {
        self.stream.shutdown().await.expect("a write side to end");
    }

    /// Resets the connection.
    pub fn reset(self) {
        // It fails only on a connection that is gone.
        let _ = self.stream.set_zero_linger();
    }

    /// Reads once. False at the end of the stream.
    async fn read(&mut self, awaited: &str) -> io::Result<bool> {
        let mut bytes = vec![0; 16 * 1024];
        let read = tokio::time::timeout(self.timeout, self.stream.read(&mut bytes)).await;
        let Ok(read) = read else {
            panic!(
                "waited {:?} for {awaited} and timed out; so far {}",
                self.timeout,
                show(&self.unread)
            );
        };
        let count = read?;
        self.unread.extend_from_slice(&bytes[..count]);
        Ok(count > 0)
    }
}
