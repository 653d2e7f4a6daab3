//! Two origins, which do what the path of the request asks for: `/story/lane/stream/number`. One after the other they leave, with
//! all their connections reset, and come back.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use switchover::http1::{HeadLimits, Parsed, parse_request};
use switchover::websocket::SecWebSocketKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::count::{Books, Count, Counts};
use crate::pattern;

/// Small buffers: there are thousands of both ends in one process.
pub(crate) fn frames() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(4096)
        .write_buffer_size(0)
}

pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    /// How often it has left.
    left: watch::Sender<u64>,
    pub(crate) open: Count,
    books: Arc<Books>,
    name: usize,
}

impl Origin {
    pub(crate) async fn start(name: usize, books: Arc<Books>) -> io::Result<Arc<Self>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let origin = Arc::new(Origin {
            address: listener.local_addr()?,
            left: watch::Sender::new(0),
            open: Count::default(),
            books,
            name,
        });
        tokio::spawn(origin.clone().accept(listener));
        Ok(origin)
    }

    pub(crate) fn times_left(&self) -> u64 {
        *self.left.borrow()
    }

    async fn accept(self: Arc<Self>, listener: TcpListener) {
        let mut left = self.left.subscribe();
        loop {
            let stream = tokio::select! {
                stream = listener.accept() => stream,
                _ = left.changed() => return,
            };
            if let Ok((stream, _)) = stream {
                tokio::spawn(self.clone().serve(stream));
            }
        }
    }

    /// Resets every connection, refuses new ones for this time, and listens again.
    pub(crate) async fn leave(self: &Arc<Self>, time: Duration) -> io::Result<()> {
        self.left.send_modify(|left| *left += 1);
        tokio::time::sleep(time).await;
        // The port may serve a connection of somebody's meanwhile.
        let mut tries = 100;
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Err(_) if tries > 0 => tokio::time::sleep(Duration::from_millis(100)).await,
                bound => break bound?,
            }
            tries -= 1;
        };
        tokio::spawn(self.clone().accept(listener));
        Ok(())
    }

    async fn serve(self: Arc<Self>, mut stream: TcpStream) {
        self.open.add(1);
        let mut left = self.left.subscribe();
        let has_left = tokio::select! {
            // A connection that breaks: its client knows why, or reports a fault.
            _ = self.story(&mut stream) => false,
            _ = left.changed() => true,
        };
        if has_left {
            // Dropped, it is reset.
            let _ = stream.set_zero_linger();
        }
        drop(stream);
        self.open.sub(1);
    }

    async fn story(&self, stream: &mut TcpStream) -> io::Result<()> {
        let _ = stream.set_nodelay(true);
        let (path, rest) = self.switch(stream).await?;
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let number = |at: usize| parts.get(at).and_then(|part| part.parse().ok()).unwrap_or(0);
        let counts = &self.books.lanes[number(1) as usize];
        match parts[0] {
            "frames" => frames_echo(stream, rest, counts).await,
            "echo" => echo(stream, rest, counts).await,
            "swap" => self.swap(stream, rest, counts, number(2)).await,
            "push" => push(stream, counts, number(2), number(3)).await,
            _ => reset(stream, rest.len() as u64, counts, number(3)).await,
        }
    }

    /// Reads the request and answers 101. Returns the path, and what came behind the head.
    async fn switch(&self, stream: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
        let mut bytes = Vec::with_capacity(1024);
        loop {
            if let Parsed::Complete { parts, consumed } =
                parse_request(&bytes, &HeadLimits::default()).map_err(io::Error::other)?
            {
                let key = parts.headers.get("sec-websocket-key");
                let key = key.and_then(|key| SecWebSocketKey::parse(key.as_bytes()).ok());
                let key = key.ok_or_else(|| io::Error::other("a request without a key"))?;
                let answer = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Accept: {}\r\nX-Origin: {}\r\n\r\n",
                    key.accept().as_str(),
                    self.name
                );
                stream.write_all(answer.as_bytes()).await?;
                return Ok((parts.uri.path().to_owned(), bytes.split_off(consumed)));
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Checks all that comes until the half-close, and answers with as many bytes of its own.
    async fn swap(&self, stream: &mut TcpStream, rest: Vec<u8>, counts: &Counts, id: u64) -> io::Result<()> {
        let (mut buffer, mut total) = (rest, 0);
        loop {
            if !pattern::matches(id, total, &buffer) {
                self.books
                    .fault(format!("stream {id}: wrong bytes after {total}"));
            }
            total += buffer.len() as u64;
            counts.received_by_origins.add(buffer.len() as u64);
            buffer.clear();
            buffer.reserve(16 * 1024);
            if stream.read_buf(&mut buffer).await? == 0 {
                break;
            }
        }
        send(stream, counts, id + 1, total).await?;
        stream.shutdown().await
    }
}

async fn send(stream: &mut TcpStream, counts: &Counts, id: u64, total: u64) -> io::Result<()> {
    let mut at = 0;
    while at < total {
        let piece = pattern::bytes(id, at, (total - at).min(32 * 1024) as usize);
        // Counted first: a part of what fails may have gone.
        counts.sent_by_origins.add(piece.len() as u64);
        stream.write_all(&piece).await?;
        at += piece.len() as u64;
    }
    Ok(())
}

async fn push(stream: &mut TcpStream, counts: &Counts, id: u64, total: u64) -> io::Result<()> {
    send(stream, counts, id, total).await?;
    stream.shutdown().await?;
    let mut end = Vec::new();
    stream.read_to_end(&mut end).await.map(drop)
}

async fn echo(stream: &mut TcpStream, rest: Vec<u8>, counts: &Counts) -> io::Result<()> {
    let mut buffer = rest;
    loop {
        counts.received_by_origins.add(buffer.len() as u64);
        counts.sent_by_origins.add(buffer.len() as u64);
        stream.write_all(&buffer).await?;
        buffer.clear();
        stream.readable().await?;
        buffer.reserve(4096);
        if stream.read_buf(&mut buffer).await? == 0 {
            return stream.shutdown().await;
        }
        buffer.shrink_to(4096);
    }
}

async fn reset(stream: &mut TcpStream, mut received: u64, counts: &Counts, after: u64) -> io::Result<()> {
    counts.received_by_origins.add(received);
    let mut buffer = [0; 4096];
    while received < after {
        let length = stream.read(&mut buffer).await? as u64;
        if length == 0 {
            break;
        }
        received += length;
        counts.received_by_origins.add(length);
    }
    stream.set_zero_linger()
}

async fn frames_echo(stream: &mut TcpStream, rest: Vec<u8>, counts: &Counts) -> io::Result<()> {
    let mut socket = WebSocketStream::from_partially_read(stream, rest, Role::Server, Some(frames())).await;
    while let Some(message) = socket.next().await {
        let message = message.map_err(io::Error::other)?;
        if message.is_binary() {
            counts.received_by_origins.add(message.len() as u64);
            counts.sent_by_origins.add(message.len() as u64);
            socket.send(message).await.map_err(io::Error::other)?;
        }
    }
    Ok(())
}
