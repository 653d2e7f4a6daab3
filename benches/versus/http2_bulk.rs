//! As many bytes as go through WebSockets over HTTP/2 and TLS, one way, on streams that share a connection.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::Builder;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::bulk::Flow;
use super::frames;
use super::http2::{self, Certificate, Tunnel};
use super::load::Direction;
use super::upstream::Upstream;

/// The windows of Chromium, so that those of the client hold up nobody.
const WINDOW: u32 = 6 << 20;
const CONNECTION_WINDOW: u32 = 15 << 20;

/// What is given to a stream at a time.
const PIECE: usize = 64 * 1024;

/// Streams that run until dropped, and the connection under them.
pub(crate) struct Http2Flow {
    pub(crate) flow: Flow,
    _driving: JoinSet<()>,
}

impl Http2Flow {
    /// For bytes that nobody counts beforehand.
    pub(crate) async fn start(
        proxy: SocketAddr,
        certificate: &Certificate,
        upstream: &Upstream,
        (streams, direction): (usize, Direction),
    ) -> io::Result<Http2Flow> {
        Http2Flow::of(proxy, certificate, upstream, (streams, direction, u64::MAX)).await
    }

    /// At most so many bytes upwards on each stream.
    async fn of(
        proxy: SocketAddr,
        certificate: &Certificate,
        upstream: &Upstream,
        (streams, direction, at_most): (usize, Direction, u64),
    ) -> io::Result<Http2Flow> {
        let mut driving = JoinSet::new();
        let mut builder = Builder::new();
        builder
            .initial_window_size(WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        let mut sender = http2::connect(proxy, certificate, &builder, &mut driving).await?;
        let mut flow = Flow::new(upstream);
        for _ in 0..streams {
            let tunnel = http2::open(&mut sender, proxy, direction.path()).await?;
            let down = flow.down.clone();
            flow.add(run(tunnel, direction, down, at_most));
        }
        Ok(Http2Flow {
            flow,
            _driving: driving,
        })
    }
}

/// Moves so many bytes, in all.
pub(crate) async fn carry(
    proxy: SocketAddr,
    certificate: &Certificate,
    upstream: &Upstream,
    (streams, direction, bytes): (usize, Direction, u64),
) -> io::Result<()> {
    let each = bytes / streams as u64;
    let mut carried = Http2Flow::of(proxy, certificate, upstream, (streams, direction, each)).await?;
    while carried.flow.arrived() < each * streams as u64 {
        carried.flow.check()?;
        sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

async fn run(tunnel: Tunnel, direction: Direction, down: Arc<AtomicU64>, at_most: u64) -> io::Result<()> {
    match direction {
        Direction::Down => receive(tunnel, &down).await,
        Direction::Up => send(tunnel, at_most).await,
        Direction::Both => Err(io::ErrorKind::Unsupported.into()),
    }
}

async fn receive(mut tunnel: Tunnel, down: &AtomicU64) -> io::Result<()> {
    while let Some(data) = tunnel.receive.data().await {
        let count = data.map_err(io::Error::other)?.len();
        let released = tunnel.receive.flow_control().release_capacity(count);
        released.map_err(io::Error::other)?;
        down.fetch_add(count as u64, Ordering::Relaxed);
    }
    Ok(())
}

/// Sends what there is room for, and then holds the stream.
async fn send(mut tunnel: Tunnel, at_most: u64) -> io::Result<()> {
    let frame = Bytes::from(frames::from_client(frames::bulk_payload()));
    let (mut at, mut left) = (0, at_most);
    while left > 0 {
        let piece = usize::try_from(left).unwrap_or(usize::MAX);
        let piece = piece.min(PIECE).min(frame.len() - at);
        tunnel.send.reserve_capacity(piece);
        let room = match tunnel.send.capacity() {
            0 => poll_fn(|cx| tunnel.send.poll_capacity(cx)).await,
            room => Some(Ok(room)),
        };
        let room = room.ok_or_else(|| io::Error::other("closed in the middle of bulk"))?;
        let count = piece.min(room.map_err(io::Error::other)?);
        let sent = tunnel.send.send_data(frame.slice(at..at + count), false);
        sent.map_err(io::Error::other)?;
        left -= count as u64;
        at = (at + count) % frame.len();
    }
    std::future::pending().await
}
