//! An origin that follows its script on every connection, and remembers everything it received.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::ControlFlow;
use std::time::Duration;

use http::request::Parts;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::record::{Connection, Recorder};
use super::script::{Cut, Script, Step};
use super::wait::{TIMEOUT, within};
use crate::http1::{HeadLimits, Parsed, parse_request};

/// Long enough between two segments for a reader on the same machine to see them one after the other.
pub(super) const SEGMENT_GAP: Duration = Duration::from_millis(1);

/// An origin on a loopback socket that follows a [`Script`] and records what it receives.
///
/// Dropping it closes the listener and all connections.
///
/// ```
/// use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
/// let mut client = ScriptedClient::connect(origin.address()).await;
/// client.send(UPGRADE_REQUEST).await;
/// assert_eq!(client.head().await.status, 101);
/// client.send(b"any bytes").await;
/// client.receives(b"any bytes").await;
/// client.end_writes().await;
///
/// let connection = origin.connection(0).await;
/// let expected = [UPGRADE_REQUEST.as_bytes(), b"any bytes"].concat();
/// connection.receives_exactly_and_ends(&expected).await;
/// # }
/// ```
#[derive(Debug)]
pub struct ScriptedOrigin {
    address: SocketAddr,
    connections: watch::Receiver<Vec<Connection>>,
    _listening: JoinSet<()>,
}

impl ScriptedOrigin {
    /// Listens, and follows the same script on every connection.
    ///
    /// # Panics
    ///
    /// If there is no loopback socket to be had.
    pub async fn start(script: Script) -> Self {
        Self::start_with(move |_| script.clone()).await
    }

    /// Listens, and asks for the script of each connection, the first of which has the index 0.
    ///
    /// # Panics
    ///
    /// If there is no loopback socket to be had.
    pub async fn start_with(script: impl FnMut(usize) -> Script + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a loopback socket to listen on");
        let address = listener.local_addr().expect("the address of a listening socket");
        let (sender, connections) = watch::channel(Vec::new());
        let mut listening = JoinSet::new();
        listening.spawn(accept(listener, sender, script));
        ScriptedOrigin {
            address,
            connections,
            _listening: listening,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.borrow().len()
    }

    /// Waits for the connection with this index, the first of which is 0.
    ///
    /// # Panics
    ///
    /// If it has not come within [`TIMEOUT`](super::TIMEOUT).
    pub async fn connection(&self, index: usize) -> Connection {
        let mut connections = self.connections.clone();
        let arrived = connections.wait_for(|connections| connections.len() > index);
        let awaited = format!("connection {index} to an origin");
        let arrived = within(TIMEOUT, &awaited, arrived).await;
        arrived.expect("an origin that accepts")[index].clone()
    }

    /// How many request lines all connections have brought.
    pub fn requests(&self) -> usize {
        self.connections.borrow().iter().map(Connection::requests).sum()
    }
}

async fn accept(
    listener: TcpListener,
    connections: watch::Sender<Vec<Connection>>,
    mut script: impl FnMut(usize) -> Script,
) {
    let mut running = JoinSet::new();
    for index in 0.. {
        let stream = loop {
            match listener.accept().await {
                Ok((stream, _)) => break stream,
                // A test has taken all descriptors, and will give them back.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        let (recorder, connection) = Recorder::new();
        connections.send_modify(|all| all.push(connection));
        running.spawn(follow(stream, script(index), recorder));
        while running.try_join_next().is_some() {}
    }
}

/// Follows the script to its end. A connection that fails early ends it early; the record says so.
async fn follow(stream: TcpStream, script: Script, recorder: Recorder) {
    let _ = stream.set_nodelay(true);
    let mut acting = Acting {
        stream,
        recorder,
        unread: Vec::new(),
        head: http::Request::new(()).into_parts().0,
    };
    for step in script.steps() {
        match acting.act(step).await {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => return,
            Err(_) => break,
        }
    }
    while acting.read().await.is_ok_and(|more| more) {}
}

/// A connection on which a script is being followed.
struct Acting {
    stream: TcpStream,
    recorder: Recorder,
    /// Received, and not yet asked for by a step.
    unread: Vec<u8>,
    head: Parts,
}

impl Acting {
    async fn act(&mut self, step: &Step) -> io::Result<ControlFlow<()>> {
        match step {
            Step::ReadHead => self.read_head().await?,
            Step::Read(count) => {
                while self.unread.len() < *count && self.read().await? {}
                self.unread.drain(..(*count).min(self.unread.len()));
            }
            Step::Answer(answer, cut) => send_cut(&mut self.stream, &answer(&self.head), *cut).await?,
            Step::Pause(length) => tokio::time::sleep(*length).await,
            Step::EndWrites => self.stream.shutdown().await?,
            Step::Echo => loop {
                let bytes = std::mem::take(&mut self.unread);
                self.stream.write_all(&bytes).await?;
                if !self.read().await? {
                    break;
                }
            },
            Step::Close => return Ok(ControlFlow::Break(())),
            Step::Reset => {
                self.stream.set_zero_linger()?;
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Reads until a head is whole. Bytes that are no head are kept in the record; the step ends with the connection.
    async fn read_head(&mut self) -> io::Result<()> {
        let limits = HeadLimits::default().max_bytes(1024 * 1024).max_fields(10_000);
        loop {
            if let Ok(Parsed::Complete { parts, consumed }) = parse_request(&self.unread, &limits) {
                self.head = parts;
                self.unread.drain(..consumed);
                return Ok(());
            }
            if !self.read().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads once. False at the end of the stream.
    async fn read(&mut self) -> io::Result<bool> {
        let mut bytes = vec![0; 16 * 1024];
        let read = self.stream.read(&mut bytes).await;
        let received = &bytes[..*read.as_ref().unwrap_or(&0)];
        let more = self.recorder.note(&read, received);
        self.unread.extend_from_slice(received);
        read.map(|_| more)
    }
}

/// Sends bytes in the segments that the cut makes.
pub(super) async fn send_cut(stream: &mut TcpStream, bytes: &[u8], cut: Cut) -> io::Result<()> {
    let first = match cut {
        Cut::Nowhere => bytes.len(),
        Cut::At(offset) => offset.min(bytes.len()),
        Cut::Every(size) => size.clamp(1, bytes.len().max(1)),
    };
    let size = match cut {
        Cut::Every(size) => size.max(1),
        Cut::Nowhere | Cut::At(_) => usize::MAX,
    };
    let (first, rest) = bytes.split_at(first.min(bytes.len()));
    stream.write_all(first).await?;
    for segment in rest.chunks(size) {
        tokio::time::sleep(SEGMENT_GAP).await;
        stream.write_all(segment).await?;
    }
    Ok(())
}
